/* The state from which each function of db/db.h is called (functions.h). */
#include "tests/faults/functions.h"

#include "tests/check.h"

#define SHA "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

void must(int r, const char *what)
{
    if (r >= 0)
        return;
    CHECK_FAIL("%s: %d", what, r);
    exit(1);
}

int insert(struct db *db, const char *id, const char *kind, const char *parent, int step, const char *key)
{
    char first[DB_ID_SIZE];
    struct db_new_job job = { .id = id, .kind = kind, .spec = "{}", .parent = parent, .step = step };

    return db_job_insert(db, &job, 1, key, "hash", 1000, first);
}

static const char evaluation[] = "{\"name\":\"clean\"}", module[] = "{\"module\":\"conv1\"}";
static const struct db_ingest_event events[] = {
    { 1, 1, "metric", "{}", { ROW_METRIC, .name = "loss", .step = 1, .epoch = 1, .value = 2 } },
    { 2, 2, "module", module, { ROW_MODULE, .name = "conv1", .step = 1, .fields = module } },
    { 3, 3, "evaluation", evaluation, { ROW_EVALUATION, .name = "clean", .fields = evaluation } },
    { 4, 4, "artifact", "{}", { ROW_ARTIFACT, .name = "a", .size = 1, .sha256 = SHA } },
    { 5, 5, "progress", "{}", { ROW_PROGRESS, .fields = "{}" } },
};
enum { EVENT_COUNT = sizeof(events) / sizeof(events[0]) };

/* "run" runs, "wait" is queued, "end" has failed, "gone" was deleted, "p" is a rift job whose step is "p0". */
void fill(struct db *db)
{
    static const struct db_audit first_audit[] = { { .time_ms = 1, .role = "read", .method = "GET", .path = "/" },
                                                   { .time_ms = 2, .role = "read", .method = "GET", .path = "/" } };
    struct db_model model;
    db_job_auto job = { 0 };

    must(insert(db, "run", "train", NULL, -1, NULL), "run");
    must(db_job_claim(db, &(struct db_offer){ .device = "cpu" }, 2000, &job), "claim");
    must(db_job_started(db, "run", 7, 8, "boot"), "started");
    must(db_ingest(db, "run", 0, 500, events, EVENT_COUNT), "ingest");
    must(insert(db, "end", "train", NULL, -1, "used"), "end");
    must(db_job_cancel(db, "end", 2000), "cancel");
    must(insert(db, "gone", "train", NULL, -1, NULL), "gone");
    must(db_job_cancel(db, "gone", 2000) < 0 ? -1 : db_job_delete(db, "gone"), "delete");
    must(insert(db, "p", "rift", NULL, -1, NULL), "p");
    must(insert(db, "p0", "train", "p", 0, NULL), "p0");
    must(insert(db, "wait", "train", NULL, -1, NULL), "wait");
    must(db_model_insert(
             db, &(struct db_model){ .id = "model", .name = "m", .size = 5, .sha256 = "a", .created_ms = 1 }, &model),
         "model");
    must(db_token_insert(db, &(struct db_token){ .id = "token", .name = "t", .role = "read", .created_ms = 1 }),
         "token");
    must(db_webhook_insert(db, &(struct db_webhook){ .id = "hook", .url = "http://x/", .states = "failed" }), "hook");
    must(db_delivery_insert(db, "hook", "{}", 1000), "delivery");
    must(db_audit_add(db, first_audit, 2), "audit");
}
