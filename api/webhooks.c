/* How does somebody ask to be told of jobs' states?
 *
 * A webhook is an address, the states it is told of, and a secret with which
 * daemon/webhooks.c signs what it sends. It is told of its owner's jobs; an
 * administrator's may be told of everybody's. Nobody but its owner and
 * administrators sees it. The secret is shown once, when it is made. */
#include "api/caller.h"
#include "api/exchange.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SECRET_BYTES       32
#define SECRET_LENGTH_MIN  16
#define DELIVERIES_MAX     100
#define DELIVERIES         20
#define STATES_WHEN_UNSAID "succeeded,failed,cancelled"

static bool visible(const struct request *request, const struct db_webhook *webhook)
{
    return request->caller.role == ROLE_ADMIN || !strcmp(webhook->owner, request->caller.owner);
}

static json_t *states_json(const char *states)
{
    json_t *list = json_array();

    for (int i = 0; i < STATE_COUNT; i++)
        if (list_holds(states, job_state_names[i]))
            json_array_append_new(list, json_string(job_state_names[i]));
    return list;
}

static json_t *webhook_json(const struct db_webhook *webhook, bool with_secret)
{
    return json_pack("{s:s, s:s, s:o, s:s, s:o, s:o, s:s*}", "id", webhook->id, "url", webhook->url, "states",
                     states_json(webhook->states), "jobs", webhook->everybody ? "all" : "own", "owner",
                     *webhook->owner ? json_string(webhook->owner) : json_null(), "created_at",
                     time_json(webhook->created_ms), "secret", with_secret ? webhook->secret : NULL);
}

/* Read the webhook of {id}: 1; 0 with the 404 answered; negative errno. */
static int webhook_find(const struct request *request, struct answer *answer, struct db_webhook *ret)
{
    int r = db_webhook_get(request->config->db, request->id, ret);

    if (r == -ENOENT || (r >= 0 && !visible(request, ret)))
        return answer_problem(answer, request, PROBLEM_NO_WEBHOOK, "there is no such webhook");
    return r < 0 ? r : 1;
}

/* ---- making one ---- */

static void error_add(json_t *errors, const char *pointer, const char *message)
{
    json_array_append_new(errors, json_pack("{s:s, s:s}", "pointer", pointer, "message", message));
}

/* http or https, a host, no user; what stands behind is the receiver's. */
static bool url_valid(const char *url)
{
    const char *host = !strncasecmp(url, "https://", 8) ? url + 8 : !strncasecmp(url, "http://", 7) ? url + 7 : NULL;

    if (!host || !*host || strchr("/?#:", *host))
        return false;
    for (const char *at = url; *at; at++)
        if ((unsigned char)*at <= 0x20 || (unsigned char)*at >= 0x7f)
            return false;
    return !memchr(host, '@', strcspn(host, "/?#"));
}

static void url_take(const json_t *value, struct db_webhook *ret, json_t *errors)
{
    const char *url = json_string_value(value);

    if (!url || strlen(url) >= sizeof(ret->url) || !url_valid(url))
        error_add(errors, "/url", "an http or https URL without a user, in ASCII, of at most 2000 characters");
    else
        strcpy(ret->url, url);
}

static void states_take(const json_t *value, struct db_webhook *ret, json_t *errors)
{
    size_t count = json_array_size(value);

    if (!value) {
        strcpy(ret->states, STATES_WHEN_UNSAID);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const char *name = json_string_value(json_array_get(value, i));
        if (!name || job_state_find(name) < 0 || list_holds(ret->states, name)) {
            count = 0;
            break;
        }
        snprintf(ret->states + strlen(ret->states), sizeof(ret->states) - strlen(ret->states), "%s%s",
                 *ret->states ? "," : "", name);
    }
    if (!count)
        error_add(errors, "/states",
                  "a list of blocked, queued, running, succeeded, failed, cancelled, each at most once");
}

static int secret_draw(char ret[SECRET_BYTES * 2 + 1])
{
    uint8_t bytes[SECRET_BYTES];
    int r = random_fill(bytes, sizeof(bytes));

    for (int i = 0; i < SECRET_BYTES && r >= 0; i++)
        sprintf(ret + 2 * i, "%02x", bytes[i]);
    return r;
}

static void secret_take(const json_t *value, struct db_webhook *ret, json_t *errors)
{
    const char *secret = json_string_value(value);

    if (!value)
        *ret->secret = '\0';
    else if (!secret || strlen(secret) < SECRET_LENGTH_MIN || strlen(secret) >= sizeof(ret->secret))
        error_add(errors, "/secret", "16 to 100 bytes, or left out: then one is made");
    else
        strcpy(ret->secret, secret);
}

static void jobs_take(const json_t *value, const struct request *request, struct db_webhook *ret, json_t *errors)
{
    const char *jobs = value ? json_string_value(value) : "own";

    ret->everybody = jobs && !strcmp(jobs, "all");
    if (!jobs || (!ret->everybody && strcmp(jobs, "own")))
        error_add(errors, "/jobs", "own or all");
    else if (ret->everybody && request->caller.role != ROLE_ADMIN)
        error_add(errors, "/jobs", "only an administrator is told of everybody's jobs");
}

/* What the body says; everything wrong with it goes into `errors`. */
static void webhook_read(const json_t *body, const struct request *request, struct db_webhook *ret, json_t *errors)
{
    static const char known[] = "url,states,secret,jobs";
    const char *key;
    json_t *value;

    if (!json_is_object(body)) {
        error_add(errors, "", "an object with url, and states, jobs and secret if wanted");
        return;
    }
    json_object_foreach((json_t *)body, key, value) if (!list_holds(known, key))
        error_add(errors, "", "only url, states, jobs and secret are known");
    url_take(json_object_get(body, "url"), ret, errors);
    states_take(json_object_get(body, "states"), ret, errors);
    secret_take(json_object_get(body, "secret"), ret, errors);
    jobs_take(json_object_get(body, "jobs"), request, ret, errors);
}

int handle_webhook_create(const struct request *request, struct answer *answer)
{
    const struct api_config *config = request->config;
    struct db_webhook webhook = { 0 };
    json_error_t where;

    json_auto_t *body = json_read(request->body, request->body_size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);
    if (!body)
        return answer_problem(answer, request, PROBLEM_BAD_JSON, "line %d, column %d: %s", where.line, where.column,
                              where.text);
    json_auto_t *errors = json_array();
    webhook_read(body, request, &webhook, errors);
    if (json_starved()) /* what is wrong may be missing from the list */
        return -ENOMEM;
    if (json_array_size(errors))
        return answer_errors(answer, request, PROBLEM_BAD_WEBHOOK, json_incref(errors), "the webhook is wrong");
    webhook.created_ms = config->now_ms(config->user);
    id_new(webhook.created_ms, webhook.id);
    snprintf(webhook.owner, sizeof(webhook.owner), "%s", request->caller.owner);
    int r = *webhook.secret ? 0 : secret_draw(webhook.secret);
    if (r >= 0)
        r = db_webhook_insert(config->db, &webhook);
    if (r >= 0)
        r = answer_header(answer, "Location", "/v1/webhooks/%s", webhook.id);
    return r < 0 ? r : answer_json(answer, 201, webhook_json(&webhook, true));
}

/* ---- the rest of its life ---- */

int handle_webhook_list(const struct request *request, struct answer *answer)
{
    struct db_webhook *webhooks;
    int count = db_webhook_list(request->config->db, &webhooks);

    if (count < 0)
        return count;
    json_t *list = json_array();
    for (int i = 0; i < count; i++)
        if (visible(request, &webhooks[i]))
            json_array_append_new(list, webhook_json(&webhooks[i], false));
    free(webhooks);
    return answer_json(answer, 200, json_pack("{s:o}", "webhooks", list));
}

int handle_webhook_get(const struct request *request, struct answer *answer)
{
    struct db_webhook webhook;
    int r = webhook_find(request, answer, &webhook);

    return r <= 0 ? r : answer_json(answer, 200, webhook_json(&webhook, false));
}

int handle_webhook_delete(const struct request *request, struct answer *answer)
{
    struct db_webhook webhook;
    int r = webhook_find(request, answer, &webhook);

    if (r <= 0)
        return r;
    r = db_webhook_delete(request->config->db, webhook.id);
    if (r == -ENOENT) /* somebody was faster */
        return answer_problem(answer, request, PROBLEM_NO_WEBHOOK, "there is no such webhook");
    answer->status = 204;
    return r;
}

int handle_webhook_test(const struct request *request, struct answer *answer)
{
    const struct api_config *config = request->config;
    int64_t now_ms = config->now_ms(config->user);
    struct db_webhook webhook;
    char body[64];
    int r = webhook_find(request, answer, &webhook);

    if (r <= 0)
        return r;
    snprintf(body, sizeof(body), "{\"type\":\"test\",\"time_ms\":%lld}", (long long)now_ms);
    r = db_delivery_insert(config->db, webhook.id, body, now_ms);
    if (r == -ENOENT) /* deleted in this very moment */
        return answer_problem(answer, request, PROBLEM_NO_WEBHOOK, "there is no such webhook");
    if (r < 0)
        return r;
    config->bell(config->user);
    answer->status = 202;
    return 0;
}

static json_t *delivery_json(const struct db_delivery *delivery)
{
    return json_pack("{s:I, s:o, s:i, s:s, s:o, s:o, s:o, s:o}", "id", (json_int_t)delivery->id, "event",
                     delivery->event ? json_integer(delivery->event) : json_null(), "attempts", delivery->attempts,
                     "state",
                     !delivery->done_ms ? "waiting"
                     : *delivery->error ? "given-up"
                                        : "delivered",
                     "next_at", delivery->done_ms ? json_null() : time_json(delivery->next_ms), "status",
                     delivery->status ? json_integer(delivery->status) : json_null(), "error",
                     *delivery->error ? json_string(delivery->error) : json_null(), "body", text_json(delivery->body));
}

int handle_webhook_deliveries(const struct request *request, struct answer *answer)
{
    struct db_webhook webhook;
    struct db_delivery *deliveries;
    int64_t limit;

    if (request_int(request, answer, "limit", 1, DELIVERIES_MAX, DELIVERIES, &limit) < 0)
        return 0;
    int r = webhook_find(request, answer, &webhook);
    if (r <= 0)
        return r;
    int count = db_delivery_list(request->config->db, webhook.id, (int)limit, &deliveries);
    if (count < 0)
        return count;
    json_t *list = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(list, delivery_json(&deliveries[i]));
    db_deliveries_free(deliveries, count);
    return answer_json(answer, 200, json_pack("{s:o}", "deliveries", list));
}
