/* The functions of db/db.h, each as a call with fixed arguments: what functions.h promises. */
#include "tests/faults/functions.h"

#include <errno.h>
#include <stdlib.h>

#define SHA "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

/* ---- the functions ---- */

int f_insert(struct db *db)
{
    return insert(db, "new", "train", NULL, -1, "key");
}
static int f_repeated(struct db *db)
{
    char id[DB_ID_SIZE];
    return db_job_repeated(db, "", "used", "hash", id);
}
static int f_get(struct db *db)
{
    db_job_auto job = { 0 };
    return db_job_get(db, "run", &job);
}
/* A list was only for its length. */
static int counted(int count, void *list)
{
    if (count >= 0)
        free(list);
    return count;
}
static int f_queue_list(struct db *db)
{
    struct db_job *jobs;
    int count = db_queue_list(db, 10, 5000, &jobs);
    if (count >= 0)
        db_jobs_free(jobs, count);
    return count;
}
static int f_queue_depths(struct db *db)
{
    struct db_depth *depths;
    int count = db_queue_depths(db, &depths);
    return counted(count, depths);
}
int f_list(struct db *db)
{
    struct db_job_filter filter = { .state = -1 };
    struct db_job *jobs;
    int count = db_job_list(db, &filter, &jobs);
    if (count >= 0)
        db_jobs_free(jobs, count);
    return count;
}
static int f_after(struct db *db)
{
    struct db_need *ids;
    int count = db_job_after(db, "wait", &ids);
    return counted(count, ids);
}
static int f_steps(struct db *db)
{
    struct db_job *jobs;
    int count = db_job_steps(db, "p", &jobs);
    if (count >= 0)
        db_jobs_free(jobs, count);
    return count;
}
static int f_position(struct db *db)
{
    return db_job_position(db, "wait", 5000);
}
static int f_claim(struct db *db)
{
    db_job_auto job = { 0 };
    return db_job_claim(db, &(struct db_offer){ .device = "cpu" }, 3000, &job);
}
static int f_started(struct db *db)
{
    return db_job_started(db, "run", 1, 2, "boot");
}
static int f_attempt_tell(struct db *db)
{
    return db_attempt_tell(db, "run", &(struct db_attempt_end){ "crashed", -1, 9 });
}
static int f_attempt_list(struct db *db)
{
    struct db_attempt *attempts = NULL;
    int count = db_attempt_list(db, "run", &attempts);
    db_attempts_free(attempts, count > 0 ? count : 0);
    return count;
}
static int f_crashed(struct db *db)
{
    return db_job_crashed(db, "run");
}
static int f_move(struct db *db)
{
    return db_job_move(db, "run", STATE_SUCCEEDED, "{}", NULL, 4000);
}
static int f_cancel(struct db *db)
{
    return db_job_cancel(db, "p", 4000);
}
static int f_retry(struct db *db)
{
    return db_job_retry(db, "end", 4000);
}
static int f_delete(struct db *db)
{
    return db_job_delete(db, "end");
}
static int f_below(struct db *db)
{
    char(*ids)[DB_ID_SIZE];
    int count = db_job_below(db, "p", &ids);
    return counted(count, ids);
}
static int f_artifact_put(struct db *db)
{
    return db_artifact_put(db, "run", "b", 1, SHA, 4000);
}
static int f_set_result(struct db *db)
{
    return db_job_set_result(db, "run", "{}");
}
static int f_running(struct db *db)
{
    struct db_job *jobs;
    int count = db_job_running(db, &jobs);
    if (count >= 0)
        db_jobs_free(jobs, count);
    return count;
}
static int f_ingest(struct db *db)
{
    struct db_ingest_event more[] = {
        { 6, 6, "metric", "{}", { ROW_METRIC, .name = "loss", .step = 2, .value = 1 } },
        { 7, 7, "artifact", "{}", { ROW_ARTIFACT, .name = "c", .size = 1, .sha256 = SHA } }
    };
    return db_ingest(db, "run", 500, 700, more, 2);
}
static int f_rewind(struct db *db)
{
    return db_journal_rewind(db, "run");
}
static int f_journal_cut(struct db *db)
{
    return db_journal_cut(db, "run", 100);
}
static int f_event_last(struct db *db)
{
    struct db_event event = { 0 };
    bool fresh;
    int r = db_event_last(db, "run", &event, &fresh);
    free(event.fields);
    return r;
}
static int f_event_list(struct db *db)
{
    struct db_event *list;
    int count = db_event_list(db, NULL, 0, 100, &list);
    if (count >= 0)
        db_events_free(list, count);
    return count;
}
static int f_event_newest(struct db *db)
{
    int64_t id;
    return db_event_newest(db, &id);
}
static int f_series(struct db *db)
{
    struct db_series *list;
    int count = db_series_list(db, "run", &list);
    return counted(count, list);
}
static int f_points_within(struct db *db)
{
    struct db_point *list;
    int count = db_point_list_within(db, "run", "loss", (struct db_steps){ -1, 100 }, 10, &list);
    return counted(count, list);
}
static int f_users(struct db *db)
{
    struct db_job *list;
    int count = db_job_users(db, "run", 10, &list);
    if (count >= 0)
        db_jobs_free(list, count);
    return count;
}
static int f_points(struct db *db)
{
    struct db_point *list;
    int count = db_point_list(db, "run", "loss", -1, 10, &list);
    return counted(count, list);
}
static int f_rows(struct db *db)
{
    char **texts;
    int count = db_row_list(db, "run", ROW_MODULE, &texts);
    if (count >= 0)
        db_texts_free(texts, count);
    return count;
}
static int f_artifacts(struct db *db)
{
    struct db_artifact *list;
    int count = db_artifact_list(db, "run", &list);
    return counted(count, list);
}
static int f_artifact(struct db *db)
{
    struct db_artifact artifact;
    return db_artifact_get(db, "run", "a", &artifact);
}
static int f_ping(struct db *db)
{
    return db_ping(db, 100000);
}

/* ---- scheduling, retention ---- */

static int f_attempt_end(struct db *db)
{
    return db_job_attempt_end(db, "run", 3000, 4000);
}
static int f_postpone(struct db *db)
{
    return db_job_postpone(db, "run", 9000, "{}", 4000);
}
static int f_change(struct db *db)
{
    static const int priority = 7;
    return db_job_change(db, "wait", &(struct db_job_change){ .priority = &priority }, 4000);
}
static int f_version(struct db *db)
{
    int64_t version;
    return db_job_version(db, "wait", &version);
}
static int f_pressing(struct db *db)
{
    db_job_auto job = { 0 };
    return db_job_pressing(db, &(struct db_offer){ .device = "cpu" }, 0, 5000, &job);
}
static int f_next_start(struct db *db)
{
    int64_t ms;
    return db_next_start(db, 5000, &ms);
}
static int f_waits_shift(struct db *db)
{
    return db_waits_shift(db, 1000, 1 << 30, 1 << 30);
}
static int f_share_list(struct db *db)
{
    struct db_share *list;
    int count = db_share_list(db, 5000, &list);
    return counted(count, list);
}
static int f_state_get(struct db *db)
{
    char text[16];
    return db_state_get(db, STATE_DRAINED, text, sizeof(text));
}
static int f_state_put(struct db *db)
{
    return db_state_put(db, STATE_DRAINED, "x");
}
static int f_aged_list(struct db *db)
{
    struct db_aged *list;
    int count = db_aged_list(db, 7, 9000, 0, 0, 10, &list);
    return counted(count, list);
}
static int f_purge(struct db *db)
{
    return db_job_purge(db, "end", PART_ARTIFACTS, true, 9000);
}
static int f_expire(struct db *db)
{
    return db_job_expire(db, "end");
}
static int f_doomed_list(struct db *db)
{
    char(*paths)[64];
    int count = db_doomed_list(db, 10, &paths);
    return counted(count, paths);
}
static int f_doomed_has(struct db *db)
{
    return db_doomed_has(db, "gone");
}
static int f_doomed_done(struct db *db)
{
    return db_doomed_done(db, "nothing");
}
static int f_policy_set(struct db *db)
{
    return db_policy_set(db, &(struct db_policy){ .ageing_ms = 1000, .half_life_ms = 1000 });
}
static int f_event_gap(struct db *db)
{
    return db_event_gap(db, "run", 1);
}

/* ---- models, tokens, webhooks, audit ---- */

static int f_model_insert(struct db *db)
{
    struct db_model model = { .id = "model2", .name = "m", .size = 5, .sha256 = "b", .created_ms = 1000 }, ret;
    return db_model_insert(db, &model, &ret);
}
static int f_model_get(struct db *db)
{
    struct db_model model;
    return db_model_get(db, "model", &model);
}
static int f_model_bytes_used(struct db *db)
{
    return db_model_bytes_used(db, "a");
}
static int f_model_list(struct db *db)
{
    struct db_model_filter filter = { .limit = 10 };
    struct db_model *list;
    int count = db_model_list(db, &filter, &list);
    return counted(count, list);
}
static int f_model_users(struct db *db)
{
    char(*ids)[DB_ID_SIZE];
    int count = db_model_users(db, "model", &ids);
    return counted(count, ids);
}
static int f_model_delete(struct db *db)
{
    bool last;
    return db_model_delete(db, "model", &last);
}
static int f_token_insert(struct db *db)
{
    struct db_token token = { .id = "token2", .name = "t", .role = "read", .secret_sha256 = "c", .created_ms = 1000 };
    return db_token_insert(db, &token);
}
static int f_token_get(struct db *db)
{
    struct db_token token;
    return db_token_get(db, "token", &token);
}
static int f_token_list(struct db *db)
{
    struct db_token *list;
    int count = db_token_list(db, &list);
    return counted(count, list);
}
static int f_token_delete(struct db *db)
{
    return db_token_delete(db, "token");
}
static int f_token_used(struct db *db)
{
    return db_token_used(db, "token", 5000);
}
static int f_token_admin(struct db *db)
{
    return db_token_admin(db, 5000);
}
static int f_webhook_insert(struct db *db)
{
    struct db_webhook webhook = {
        .id = "hook2", .url = "http://x/", .secret = "s", .states = "failed", .created_ms = 1
    };
    return db_webhook_insert(db, &webhook);
}
static int f_webhook_get(struct db *db)
{
    struct db_webhook webhook;
    return db_webhook_get(db, "hook", &webhook);
}
static int f_webhook_list(struct db *db)
{
    struct db_webhook *list;
    int count = db_webhook_list(db, &list);
    return counted(count, list);
}
static int f_webhook_delete(struct db *db)
{
    return db_webhook_delete(db, "hook");
}
static int f_delivery_insert(struct db *db)
{
    return db_delivery_insert(db, "hook", "{}", 1000);
}
static int f_delivery_due(struct db *db)
{
    struct db_delivery *list;
    int count = db_delivery_due(db, 9000, 10, &list);
    if (count >= 0)
        db_deliveries_free(list, count);
    return count;
}
static int f_delivery_next(struct db *db)
{
    int64_t ms;
    return db_delivery_next(db, &ms);
}
static int f_delivery_tried(struct db *db)
{
    return db_delivery_tried(db, 1, 500, "no", 9000, 10000);
}
static int f_delivery_waiting(struct db *db)
{
    int64_t count;
    return db_delivery_waiting(db, &count);
}
static int f_delivery_list(struct db *db)
{
    struct db_delivery *list;
    int count = db_delivery_list(db, "hook", 10, &list);
    if (count >= 0)
        db_deliveries_free(list, count);
    return count;
}
static const struct db_audit audit[] = {
    { .time_ms = 1, .role = "admin", .method = "POST", .path = "/", .status = 201 },
    { .time_ms = 2, .role = "admin", .method = "POST", .path = "/", .status = 201 }
};
static int f_audit_add(struct db *db)
{
    return db_audit_add(db, audit, 2);
}
static int f_audit_list(struct db *db)
{
    struct db_audit *list;
    int count = db_audit_list(db, 0, 10, &list);
    return counted(count, list);
}
static int f_audit_trim(struct db *db)
{
    return db_audit_trim(db, 2);
}
static int f_job_count(struct db *db)
{
    int64_t count;
    return db_job_count(db, STATE_QUEUED, &count);
}

const struct function functions[] = {
    { "db_job_insert", f_insert, 0, 1, true },
    { "db_job_repeated", f_repeated, 1, 1, false },
    { "db_job_get", f_get, 0, 0, false },
    { "db_job_list", f_list, 5, 5, false },
    { "db_job_after", f_after, 0, 0, false },
    { "db_job_steps", f_steps, 1, 1, false },
    { "db_job_position", f_position, 1, 1, false },
    { "db_job_claim", f_claim, 1, 1, true },
    { "db_job_started", f_started, 0, 0, true },
    { "db_attempt_tell", f_attempt_tell, 0, 0, true },
    { "db_attempt_list", f_attempt_list, 1, 1, false },
    { "db_job_crashed", f_crashed, 1, 2, true },
    { "db_job_move", f_move, 0, -ESTALE, true },
    { "db_job_cancel", f_cancel, 0, -ESTALE, true },
    { "db_job_retry", f_retry, 0, -ESTALE, true },
    { "db_job_delete", f_delete, 0, -ENOENT, true },
    { "db_gone_clear", db_gone_clear, 0, 0, true },
    { "db_job_below", f_below, 1, 1, false },
    { "db_artifact_put", f_artifact_put, 0, 0, true },
    { "db_job_set_result", f_set_result, 0, 0, true },
    { "db_job_running", f_running, 1, 1, false },
    { "db_ingest", f_ingest, 0, -ESTALE, true },
    { "db_journal_rewind", f_rewind, 0, 0, true },
    { "db_journal_cut", f_journal_cut, 0, 0, true },
    { "db_event_last", f_event_last, 0, 0, false },
    { "db_event_list", f_event_list, 12, 12, false },
    { "db_event_newest", f_event_newest, 0, 0, false },
    { "db_series_list", f_series, 1, 1, false },
    { "db_point_list", f_points, 1, 1, false },
    { "db_point_list_within", f_points_within, 1, 1, false },
    { "db_job_users", f_users, 0, 0, false },
    { "db_row_list", f_rows, 1, 1, false },
    { "db_artifact_list", f_artifacts, 1, 1, false },
    { "db_artifact_get", f_artifact, 0, 0, false },
    { "db_ping", f_ping, 0, 0, true },
    { "db_job_attempt_end", f_attempt_end, 0, 0, true },
    { "db_job_postpone", f_postpone, 0, -ESTALE, true },
    { "db_job_change", f_change, 0, 0, true },
    { "db_job_version", f_version, 0, 0, false },
    { "db_job_pressing", f_pressing, 1, 1, false },
    { "db_next_start", f_next_start, 0, 0, false },
    { "db_attempts_seen", db_attempts_seen, 0, 0, true },
    { "db_waits_shift", f_waits_shift, 0, 0, true },
    { "db_share_list", f_share_list, 1, 1, false },
    { "db_queue_list", f_queue_list, 3, 3, false },
    { "db_queue_depths", f_queue_depths, 1, 1, false },
    { "db_state_get", f_state_get, 0, 0, false },
    { "db_state_put", f_state_put, 0, 0, true },
    { "db_aged_list", f_aged_list, 1, 1, false },
    { "db_job_purge", f_purge, 0, 0, true },
    { "db_job_expire", f_expire, 0, -ENOENT, true },
    { "db_doomed_list", f_doomed_list, 1, 1, false },
    { "db_doomed_has", f_doomed_has, 1, 1, false },
    { "db_doomed_done", f_doomed_done, 0, 0, true },
    { "db_policy_set", f_policy_set, 0, 0, true },
    { "db_event_gap", f_event_gap, 0, 0, false },
    { "db_model_insert", f_model_insert, 0, 1, true },
    { "db_model_get", f_model_get, 0, 0, false },
    { "db_model_list", f_model_list, 1, 1, false },
    { "db_model_bytes_used", f_model_bytes_used, 1, 1, false },
    { "db_model_users", f_model_users, 0, 0, false },
    { "db_model_delete", f_model_delete, 0, -ENOENT, true },
    { "db_token_insert", f_token_insert, 0, -EEXIST, true },
    { "db_token_get", f_token_get, 0, 0, false },
    { "db_token_list", f_token_list, 1, 1, false },
    { "db_token_delete", f_token_delete, 0, -ENOENT, true },
    { "db_token_used", f_token_used, 0, 0, true },
    { "db_token_ever", db_token_ever, 1, 1, false },
    { "db_token_admin", f_token_admin, 0, 0, false },
    { "db_webhook_insert", f_webhook_insert, 0, -EEXIST, true },
    { "db_webhook_get", f_webhook_get, 0, 0, false },
    { "db_webhook_list", f_webhook_list, 1, 1, false },
    { "db_webhook_delete", f_webhook_delete, 0, -ENOENT, true },
    { "db_delivery_insert", f_delivery_insert, 0, 0, true },
    { "db_delivery_due", f_delivery_due, 1, 1, false },
    { "db_delivery_next", f_delivery_next, 0, 0, false },
    { "db_delivery_tried", f_delivery_tried, 0, 0, true },
    { "db_delivery_waiting", f_delivery_waiting, 0, 0, false },
    { "db_delivery_list", f_delivery_list, 1, 1, false },
    { "db_audit_add", f_audit_add, 0, 0, true },
    { "db_audit_list", f_audit_list, 2, 2, false },
    { "db_audit_trim", f_audit_trim, 1, 0, true },
    { "db_job_count", f_job_count, 0, 0, false },
};
const int function_count = sizeof(functions) / sizeof(functions[0]);
