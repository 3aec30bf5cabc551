/* How does a stranger's JSON become a spec that everybody can rely on?
 *
 *   the JSON given          the field table
 *        |                        |
 *        +---- check_members -----+   every member is a field, of this kind or another
 *        +---- take_scope --------+   every field has a value: given and checked, or its default
 *                   |
 *              rules_apply            what depends on several fields
 *                   |
 *              spec_read              the typed struct
 *
 * All mistakes are collected and each is named by its JSON pointer. The
 * normalised JSON has every field of the kind and keeps numbers as they were
 * written ("8/255"); checking it again gives the same JSON again.
 *
 * Surprising: a scope is the whole spec or one object that may be null (an
 * attack, the normalisation). The rows of an inner scope count only when its
 * object is there, and an attack in a list has the rows of /attack but its own
 * pointer; so two places are carried along, `row` in the table and `shown` to
 * the user. */
#include "job/spec.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POINTER_SIZE = 96, ATTACKS_TOP = 100 };

struct reading {
    unsigned kinds;
    const char *kind; /* name, NULL when it isn't known */
    struct spec_errors *errors;
};

void spec_wrong(struct spec_errors *errors, const char *pointer, const char *format, ...)
{
    const int room = sizeof(errors->list) / sizeof(errors->list[0]);
    va_list arguments;

    errors->total++;
    if (errors->count == room)
        return;
    struct spec_error *error = &errors->list[errors->count++];
    snprintf(error->pointer, sizeof(error->pointer), "%s", pointer);
    va_start(arguments, format);
    vsnprintf(error->message, sizeof(error->message), format, arguments);
    va_end(arguments);
    text_clean(error->pointer);
    text_clean(error->message);
}

/* ---- members that nobody asked for ------------------------------------------------ */

/* shown + "/" + name, with RFC 6901's escapes. */
static void pointer_join(const char *shown, const char *name, char *ret, size_t size)
{
    size_t used = (size_t)snprintf(ret, size, "%s/", shown);

    for (; *name && used + 2 < size; name++) {
        if (*name == '~' || *name == '/') {
            ret[used++] = '~';
            ret[used++] = *name == '~' ? '0' : '1';
        } else {
            ret[used++] = *name;
        }
    }
    ret[used < size ? used : size - 1] = 0;
}

static int take_value(const struct reading *reading, const struct spec_field *field, const json_t *given,
                      const char *shown, json_t **ret);

static void unknown_member(const struct reading *reading, const char *row_at, const char *name, const char *shown)
{
    char near[64];

    if (field_nearest(row_at, name, reading->kinds, near, sizeof(near)))
        spec_wrong(reading->errors, shown, "isn't a known field; did you mean \"%s\"?", near);
    else
        spec_wrong(reading->errors, shown, "isn't a known field");
}

/* A field that only other kinds have: one file of settings may serve a train, an
 * mrc and a finetune job. Its value must be good; then it is left out, so that
 * the normalised spec holds just what counts. */
static void check_other_kinds(const struct reading *reading, const char *row, const json_t *value, const char *shown)
{
    struct reading any = { ~0u, reading->kind, reading->errors };
    json_t *checked = NULL;

    if (take_value(&any, field_find(row, ~0u), value, shown, &checked) == 0)
        json_decref(checked);
}

static void check_members(const struct reading *reading, const json_t *object, const char *row_at, const char *shown_at)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)object, name, value)
    {
        char row[POINTER_SIZE], shown[POINTER_SIZE], given[40];

        pointer_join(row_at, name, row, sizeof(row));
        pointer_join(shown_at, name, shown, sizeof(shown));
        if (field_find(row, reading->kinds))
            continue; /* take_scope looks at its value */
        if (field_find(row, ~0u)) {
            check_other_kinds(reading, row, value, shown);
        } else if (!field_has_members(row, ~0u)) {
            unknown_member(reading, row_at, name, shown);
        } else if (json_is_object(value)) {
            check_members(reading, value, row, shown);
        } else {
            value_show(value, given, sizeof(given));
            spec_wrong(reading->errors, shown, "must be an object, is %s", given);
        }
    }
}

/* ---- values ------------------------------------------------------------------------- */

static int take_scope(const struct reading *reading, const json_t *given, const char *row_at, const char *shown_at,
                      json_t **ret);

static int take_attacks(const struct reading *reading, const json_t *given, const char *shown_at, json_t **ret)
{
    json_auto_t *list = json_array();
    size_t i;
    json_t *item;

    if (!list)
        return -ENOMEM;
    json_array_foreach((json_t *)given, i, item)
    {
        char shown[POINTER_SIZE], words[40];
        json_t *attack = NULL;
        int r;

        snprintf(shown, sizeof(shown), "%s/%zu", shown_at, i);
        if (!json_is_object(item)) {
            value_show(item, words, sizeof(words));
            spec_wrong(reading->errors, shown, "must be an attack object, is %s", words);
            continue;
        }
        r = take_scope(reading, item, "/attack", shown, &attack);
        if (r < 0)
            return r;
        if (json_array_append_new(list, attack) < 0)
            return -ENOMEM;
    }
    *ret = json_incref(list);
    return 0;
}

/* One value that is there. 0 with *ret; -EINVAL with the error recorded; -ENOMEM. */
static int take_value(const struct reading *reading, const struct spec_field *field, const json_t *given,
                      const char *shown, json_t **ret)
{
    char expected[400], words[40];

    if (json_is_null(given) && field->nullable) {
        *ret = json_null();
        return 0;
    }
    if ((field->type == FIELD_OBJECT || field->type == FIELD_ATTACK) && json_is_object(given))
        return take_scope(reading, given, field->pointer, shown, ret);
    if (field->type == FIELD_ATTACK_LIST && json_is_array(given) && json_array_size(given) <= ATTACKS_TOP)
        return take_attacks(reading, given, shown, ret);
    if (field->type != FIELD_OBJECT && field->type != FIELD_ATTACK && field->type != FIELD_ATTACK_LIST)
        return value_take(field, given, shown, reading->errors, ret);
    value_expected(field, expected, sizeof(expected));
    value_show(given, words, sizeof(words));
    spec_wrong(reading->errors, shown, "must be %s, is %s", expected, words);
    return -EINVAL;
}

/* The field's value or its default, as above. */
static int take_field(const struct reading *reading, const struct spec_field *field, const json_t *given,
                      const char *shown, json_t **ret)
{
    char expected[400];

    if (given)
        return take_value(reading, field, given, shown, ret);
    if (field->fallback) {
        json_auto_t *fallback = json_loads(field->fallback, JSON_DECODE_ANY, NULL);
        return fallback ? take_value(reading, field, fallback, shown, ret) : -ENOMEM;
    }
    value_expected(field, expected, sizeof(expected));
    spec_wrong(reading->errors, shown, "is required: %s", expected);
    return -EINVAL;
}

/* A new object with every field of the scope whose value is good. */
static int take_scope(const struct reading *reading, const json_t *given, const char *row_at, const char *shown_at,
                      json_t **ret)
{
    json_auto_t *taken = json_object();

    if (!taken)
        return -ENOMEM;
    check_members(reading, given, row_at, shown_at);
    for (int i = 0; i < spec_field_count; i++) {
        const struct spec_field *field = &spec_fields[i];
        const char *place = field->pointer + strlen(row_at);
        char shown[POINTER_SIZE];
        json_t *value = NULL;
        int r;

        if (!(field->kinds & reading->kinds) || strcmp(field_owner(field), row_at) != 0)
            continue;
        snprintf(shown, sizeof(shown), "%s%s", shown_at, place);
        r = take_field(reading, field, spec_at(given, place), shown, &value);
        if (r == 0)
            r = spec_put(taken, place, value);
        if (r == -ENOMEM)
            return r;
    }
    *ret = json_incref(taken);
    return 0;
}

/* ---- the whole ------------------------------------------------------------------------ */

int spec_from_json(const json_t *json, struct job_spec *ret, struct spec_errors *errors)
{
    const char *name = json_string_value(json_object_get(json, "kind"));
    int kind = name ? job_kind_find(name) : -ENOENT, r;
    struct reading reading = { kind < 0 ? 0 : 1u << kind, name, errors };
    json_auto_t *spec = NULL;

    *errors = (struct spec_errors){ 0 };
    if (!json_is_object(json)) {
        spec_wrong(errors, "", "must be a JSON object");
        return -EINVAL;
    }
    if (kind < 0) { /* nothing else can be judged without it */
        json_t *value = NULL;
        const struct spec_field *field = field_find("/kind", ~0u);
        r = take_field(&reading, field, json_object_get(json, "kind"), field->pointer, &value);
        assert(r < 0);
        return r;
    }
    r = take_scope(&reading, json, "", "", &spec);
    if (r == 0)
        r = rules_apply(spec, (enum job_kind)kind, errors);
    if (r == 0 && errors->total > 0)
        r = -EINVAL;
    return r < 0 ? r : spec_read(spec, (enum job_kind)kind, ret);
}

int spec_parse(const char *text, size_t length, struct job_spec *ret, struct spec_errors *errors)
{
    json_error_t error;
    json_auto_t *json = json_read(text, length, JSON_REJECT_DUPLICATES, &error);

    if (json)
        return spec_from_json(json, ret, errors);
    *errors = (struct spec_errors){ 0 };
    if (json_error_code(&error) == json_error_out_of_memory)
        return -ENOMEM;
    spec_wrong(errors, "", "isn't JSON that can be read: %s, line %d, column %d", error.text, error.line, error.column);
    return -EINVAL;
}

char *spec_text(const json_t *json, size_t flags)
{
    for (int digits = 15; digits < 17; digits++) {
        char *text = json_dumps(json, flags | JSON_REAL_PRECISION(digits));
        json_auto_t *back = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;

        if (back && json_equal(json, back))
            return text;
        free(text);
    }
    return json_dumps(json, flags); /* 17 digits tell all doubles apart */
}

/* Which kind of job a field means as a whole; the rest are weights. */
static int ref_wants(const char *pointer)
{
    return strcmp(pointer, "/finetune/mrc_job") == 0           ? JOB_MRC
           : strcmp(pointer, "/evaluate/corruptions/job") == 0 ? JOB_CORRUPT
           : strcmp(pointer, "/inspect/corruptions/job") == 0  ? JOB_CORRUPT
                                                               : -1;
}

/* The reference that the field is or, as /evaluate/corruptions/job, stands in. False: there is none. */
static bool ref_find(json_t *spec, const struct spec_field *field, struct spec_ref *ret)
{
    char place[POINTER_SIZE];

    if (field->type != FIELD_WEIGHTS && field->type != FIELD_JOB)
        return false;
    snprintf(place, sizeof(place), "%s", field->pointer);
    if (field->type == FIELD_JOB)
        *strrchr(place, '/') = 0;
    const json_t *object = spec_at(spec, place);
    char *slash = strrchr(place, '/');

    *slash = 0;
    *ret = (struct spec_ref){ .pointer = field->pointer,
                              .wants = ref_wants(field->pointer),
                              .parent = spec_at(spec, place),
                              .job = json_string_value(json_object_get(object, "job")),
                              .model = json_string_value(json_object_get(object, "model")),
                              .artifact = json_string_value(json_object_get(object, "artifact")) };
    snprintf(ret->key, sizeof(ret->key), "%s", slash + 1);
    return ret->job || ret->model;
}

int spec_ref_put(const struct spec_ref *ref, const char *path)
{
    json_t *object = json_object_get(ref->parent, ref->key);

    if (strcmp(strrchr(ref->pointer, '/') + 1, ref->key) == 0)
        return json_object_set_new(ref->parent, ref->key, json_string(path)) < 0 ? -ENOMEM : 0;
    return json_object_set_new(object, "path", json_string(path)) < 0 ||
                   json_object_set_new(object, "job", json_null()) < 0
               ? -ENOMEM
               : 0;
}

int spec_refs(json_t *spec, int (*see)(const struct spec_ref *ref, void *user), void *user)
{
    const char *name = json_string_value(json_object_get(spec, "kind"));
    int kind = name ? job_kind_find(name) : -ENOENT;

    if (kind < 0)
        return -EINVAL;
    for (int i = 0; i < spec_field_count; i++) {
        struct spec_ref ref;

        if (!(spec_fields[i].kinds & 1u << kind) || !ref_find(spec, &spec_fields[i], &ref))
            continue;
        int r = see(&ref, user);
        if (r < 0)
            return r;
    }
    return 0;
}
