/* What of a job may be changed while it waits, runs or has ended?
 *
 * A JSON merge patch (RFC 7396) of four members; null is the member's default, as
 * merge patches have it. All that is wrong is reported at once. */
#include "api/exchange.h"

#include <errno.h>
#include <string.h>

/* What a patch says, with room for what db_job_change points at. */
struct patch {
    int priority;
    bool held, pinned;
    struct db_job_change change;
};

/* Of members that specs have too, their row says what is right. */
static int field_check(const char *pointer, const json_t *value, json_t *errors)
{
    struct spec_errors wrong;
    int r = spec_value_check(pointer, value, &wrong);

    if (r == -EINVAL)
        errors_add(errors, pointer, wrong.list[0].message);
    return r == -ENOMEM ? r : 0;
}

static int priority_take(const json_t *value, struct patch *patch, json_t *errors)
{
    patch->priority = (int)json_number_value(value);
    patch->change.priority = &patch->priority;
    return json_is_null(value) ? 0 : field_check("/priority", value, errors);
}

static int label_take(const json_t *value, struct patch *patch, json_t *errors)
{
    patch->change.label = json_string_value(value) ?: "";
    return field_check("/label", value, errors);
}

static void bool_take(const char *pointer, const json_t *value, bool *ret, json_t *errors)
{
    *ret = json_is_true(value);
    if (!json_is_boolean(value) && !json_is_null(value))
        errors_add(errors, pointer, "must be true or false");
}

static int held_take(const json_t *value, struct patch *patch, json_t *errors)
{
    bool_take("/held", value, &patch->held, errors);
    patch->change.held = &patch->held;
    return 0;
}

static int pinned_take(const json_t *value, struct patch *patch, json_t *errors)
{
    bool_take("/pinned", value, &patch->pinned, errors);
    patch->change.pinned = &patch->pinned;
    return 0;
}

static const struct {
    const char *name;
    int (*take)(const json_t *value, struct patch *patch, json_t *errors);
} members[] = {
    { "priority", priority_take },
    { "label", label_take },
    { "held", held_take },
    { "pinned", pinned_take },
};
enum { MEMBERS = sizeof(members) / sizeof(members[0]) };

static int member_take(const char *name, const json_t *value, struct patch *patch, json_t *errors)
{
    char pointer[80];

    for (int i = 0; i < MEMBERS; i++)
        if (!strcmp(members[i].name, name))
            return members[i].take(value, patch, errors);
    snprintf(pointer, sizeof(pointer), "/%.70s", name);
    errors_add(errors, pointer, "can't be changed; priority, label, held and pinned can");
    return 0;
}

static int change_store(const struct request *request, struct answer *answer, const struct db_job_change *change)
{
    const struct api_config *config = request->config;
    int r = db_job_change(config->db, request->id, change, config->now_ms(config->user));

    if (r == -ENOENT)
        return answer_problem(answer, request, PROBLEM_NO_JOB, "there is no such job");
    if (r == -ESTALE)
        return answer_problem(answer, request, PROBLEM_STATE, "%s", db_errmsg(config->db));
    if (r < 0)
        return r;
    config->bell(config->user);
    return answer_job(request, answer, 200, request->id);
}

int handle_job_change(const struct request *request, struct answer *answer)
{
    json_error_t where;
    struct patch patch = { 0 };
    const char *name;
    json_t *value;
    int r = 0;

    json_auto_t *body = json_read(request->body, request->body_size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);
    if (!body)
        return answer_problem(answer, request, PROBLEM_BAD_JSON, "line %d, column %d: %s", where.line, where.column,
                              where.text);
    json_auto_t *errors = json_array();
    if (!json_is_object(body))
        errors_add(errors, "", "must be a JSON object");
    json_object_foreach(body, name, value) if (r >= 0) r = member_take(name, value, &patch, errors);
    if (r < 0)
        return r;
    if (json_starved()) /* what is wrong may be missing from the list */
        return -ENOMEM;
    if (json_array_size(errors))
        return answer_errors(answer, request, PROBLEM_BAD_MEMBERS, json_incref(errors),
                             "the job can't be changed so; errors say why");
    return change_store(request, answer, &patch.change);
}
