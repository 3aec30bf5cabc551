/* The table of requests.h and the walk over it. */
#include "tests/faults/requests.h"

#include "tests/check.h"
#include "tests/faults/client.h"
#include "tests/faults/fault_point.h"
#include "tests/fuzz/service.h"

#include <sqlite3.h>

static struct api_config config;
static struct api *api;
static char socket_path[512], db_path[512];

/* ---- what requests change ---- */

static void job_make(struct db *db, char ret_id[DB_ID_SIZE])
{
    static int count;
    char first[DB_ID_SIZE];

    snprintf(ret_id, DB_ID_SIZE, "10000000-0000-7000-8000-%012d", ++count);
    struct db_new_job job = {
        .id = ret_id, .kind = "train", .spec = "{\"kind\":\"train\"}", .step = -1, .device = "cuda"
    };
    CHECK_INT(db_job_insert(db, &job, 1, NULL, NULL, 1000, first), 0);
}

static void ended_make(struct db *db, char ret_id[DB_ID_SIZE])
{
    job_make(db, ret_id);
    CHECK_INT(db_job_cancel(db, ret_id, 2000), 0);
}

static void model_make(struct db *db, char ret_id[DB_ID_SIZE])
{
    static int count;
    struct db_model model = { .name = "m", .size = 5, .created_ms = 1000 }, ret;

    snprintf(model.id, sizeof(model.id), "20000000-0000-7000-8000-%012d", ++count);
    snprintf(model.sha256, sizeof(model.sha256), "%064d", count);
    CHECK(db_model_insert(db, &model, &ret) >= 0);
    strcpy(ret_id, model.id);
}

static void token_make(struct db *db, char ret_id[DB_ID_SIZE])
{
    static int count;
    struct db_token token = { .name = "t", .role = "read", .created_ms = 1000 };

    snprintf(token.id, sizeof(token.id), "30000000-0000-7000-8000-%012d", ++count);
    snprintf(token.secret_sha256, sizeof(token.secret_sha256), "%064d", count);
    CHECK_INT(db_token_insert(db, &token), 0);
    strcpy(ret_id, token.id);
}

static void webhook_make(struct db *db, char ret_id[DB_ID_SIZE])
{
    static int count;
    struct db_webhook webhook = { .url = "http://localhost/", .secret = "s", .states = "failed", .created_ms = 1000 };

    snprintf(webhook.id, sizeof(webhook.id), "40000000-0000-7000-8000-%012d", ++count);
    CHECK_INT(db_webhook_insert(db, &webhook), 0);
    strcpy(ret_id, webhook.id);
}

/* ---- the table ---- */

#define TRAIN_BODY "{\"kind\":\"train\",\"dataset\":{\"format\":\"idx\",\"path\":\"/data\"}}"
#define NAMED_BODY "{\"kind\":\"train\",\"dataset\":{\"name\":\"images\"},\"label\":\"l\xc3\xa9\",\"seed\":7}"
#define RIFT_BODY  "{\"kind\":\"rift\",\"dataset\":{\"format\":\"idx\",\"path\":\"/data\"}}"
#define AFTER_BODY                                                                                                     \
    "{\"kind\":\"evaluate\",\"model\":{\"weights\":{\"job\":\"" JOB_STEP "\"}},"                                       \
    "\"dataset\":{\"format\":\"idx\",\"path\":\"/data\"}}"
#define SWEEP_BODY                                                                                                     \
    "{\"kind\":\"sweep\",\"dataset\":{\"format\":\"idx\",\"path\":\"/"                                                 \
    "data\"},\"sweep\":{\"seeds\":[0,1],\"modules\":[\"lowest\",\"last\"]}}"

static const struct request_case cases[] = {
    { "a job is submitted", "POST", "/v1/jobs", "Idempotency-Key: %s\r\n", TRAIN_BODY, NULL, 201, 200, true },
    { "a job with a registered data set is submitted", "POST", "/v1/jobs", "Idempotency-Key: %s\r\n", NAMED_BODY, NULL,
      201, 200, true },
    { "a rift job is submitted", "POST", "/v1/jobs", "Idempotency-Key: %s\r\n", RIFT_BODY, NULL, 201, 200, true },
    { "a job that needs another is submitted", "POST", "/v1/jobs", "Idempotency-Key: %s\r\n", AFTER_BODY, NULL, 201,
      200, true },
    { "a sweep is submitted", "POST", "/v1/jobs", "Idempotency-Key: %s\r\n", SWEEP_BODY, NULL, 201, 200, true },
    { "a spec is tried", "POST", "/v1/jobs?dry_run=1", "", RIFT_BODY, NULL, 200, 0, false },
    { "a wrong spec is refused", "POST", "/v1/jobs", "", "{\"kind\":\"train\",\"epoch\":1,\"batch_size\":0}", NULL, 422,
      0, false },
    { "a body that isn't JSON is refused", "POST", "/v1/jobs", "", "{\"kind\":", NULL, 400, 0, false },
    { "a job is cancelled", "POST", "/v1/jobs/%s/cancel", "", NULL, job_make, 202, 409, true },
    { "a job is tried again", "POST", "/v1/jobs/%s/retry", "", NULL, ended_make, 202, 409, true },
    { "a job is deleted", "DELETE", "/v1/jobs/%s", "", NULL, ended_make, 204, 404, true },
    { "a job is changed", "PATCH", "/v1/jobs/%s", "", "{\"priority\":7,\"label\":\"new\"}", job_make, 200, 0, true,
      true },
    { "a wrong change is refused", "PATCH", "/v1/jobs/%s", "", "{\"priority\":\"x\"}", job_make, 422, 0, false, true },
    { "starting is stopped", "POST", "/v1/admin/drain", "", NULL, NULL, 200, 0, true, true },
    { "starting goes on", "POST", "/v1/admin/resume", "", NULL, NULL, 200, 0, true, true },
    { "jobs are listed", "GET", "/v1/jobs?limit=2&kind=evaluate&label=some%20label", "", NULL, NULL, 200, 0, false },
    { "a page is turned", "GET", "/v1/jobs?limit=1&cursor=ajI&state=succeeded", "", NULL, NULL, 200, 0, false },
    { "a job is shown", "GET", "/v1/jobs/" JOB_DONE, "", NULL, NULL, 200, 0, false },
    { "a rift job is shown", "GET", "/v1/jobs/" JOB_PARENT, "", NULL, NULL, 200, 0, false },
    { "a job that isn't there is missing", "GET", "/v1/jobs/" JOB_DONE "0", "", NULL, NULL, 404, 0, false },
    { "curves are listed", "GET", "/v1/jobs/" JOB_DONE "/metrics", "", NULL, NULL, 200, 0, false },
    { "a curve is shown", "GET", "/v1/jobs/" JOB_DONE "/metrics?name=loss&max_points=10", "", NULL, NULL, 200, 0,
      false },
    { "curves come as CSV", "GET", "/v1/jobs/" JOB_DONE "/metrics?format=csv", "", NULL, NULL, 200, 0, false },
    { "a curve comes as lines", "GET", "/v1/jobs/" JOB_DONE "/metrics?name=loss", "Accept: application/x-ndjson\r\n",
      NULL, NULL, 200, 0, false },
    { "jobs are compared", "GET", "/v1/compare?name=loss&jobs=" JOB_DONE "," JOB_PARENT, "", NULL, NULL, 200, 0,
      false },
    { "a job that changed long ago is waited for", "GET", "/v1/jobs/" JOB_DONE "?wait=1&version=0", "", NULL, NULL, 200,
      0, false },
    { "a change that comes too late is refused", "POST", "/v1/jobs/" JOB_DONE "/cancel", "If-Match: \"0-0\"\r\n", NULL,
      NULL, 412, 0, false },
    { "modules are shown", "GET", "/v1/jobs/" JOB_DONE "/modules", "", NULL, NULL, 200, 0, false },
    { "a line is shown", "GET", "/v1/jobs/" JOB_DONE "/interpolation", "", NULL, NULL, 200, 0, false },
    { "measurements are shown", "GET", "/v1/jobs/" JOB_DONE "/evaluations", "", NULL, NULL, 200, 0, false },
    { "a step's curves are shown by its parent", "GET", "/v1/jobs/" JOB_PARENT "/metrics?step=0", "", NULL, NULL, 200,
      0, false },
    { "a table is shown", "GET", "/v1/jobs/" JOB_PARENT "/table", "", NULL, NULL, 200, 0, false },
    { "a table is shown as text", "GET", "/v1/jobs/" JOB_PARENT "/table?format=csv&group_by=model.arch", "", NULL, NULL,
      200, 0, false },
    { "a report is written", "GET", "/v1/jobs/" JOB_DONE "/report", "", NULL, NULL, 200, 0, false },
    { "a rift job's report is written", "GET", "/v1/jobs/" JOB_PARENT "/report?format=latex", "", NULL, NULL, 200, 0,
      false },
    { "a part of a report is written", "GET", "/v1/jobs/" JOB_DONE "/report?format=csv&part=settings", "", NULL, NULL,
      200, 0, false },
    { "events are listed", "GET", "/v1/jobs/" JOB_DONE "/events?wait=0&limit=3", "", NULL, NULL, 200, 0, false },
    { "events come as lines", "GET", "/v1/events?wait=0&limit=5", "Accept: application/x-ndjson\r\n", NULL, NULL, 200,
      0, false },
    { "a log is sent", "GET", "/v1/jobs/" JOB_DONE "/log", "Range: bytes=2-5\r\n", NULL, NULL, 206, 0, false },
    { "the end of a log is sent", "GET", "/v1/jobs/" JOB_DONE "/log?tail=1", "", NULL, NULL, 200, 0, false },
    { "artifacts are listed", "GET", "/v1/jobs/" JOB_DONE "/artifacts", "", NULL, NULL, 200, 0, false },
    { "an artifact is sent", "GET", "/v1/jobs/" JOB_DONE "/artifacts/best.safetensors", "", NULL, NULL, 200, 0, false },
    { "an artifact that is known already isn't", "GET", "/v1/jobs/" JOB_DONE "/artifacts/best.safetensors",
      "If-None-Match: *\r\n", NULL, NULL, 304, 0, false },
    { "a model is made of an artifact", "POST", "/v1/models", "",
      "{\"name\":\"m\",\"job\":\"" JOB_DONE "\",\"artifact\":\"best.safetensors\"}", NULL, 201, 200, true },
    { "models are listed", "GET", "/v1/models?limit=1", "", NULL, NULL, 200, 0, false, true },
    { "a model is shown", "GET", "/v1/models/%s", "", NULL, model_make, 200, 0, false, true },
    { "weights that are gone are missing", "GET", "/v1/models/%s/weights", "", NULL, model_make, 404, 0, false },
    { "a model is deleted", "DELETE", "/v1/models/%s", "", NULL, model_make, 204, 404, true },
    { "webhooks are listed", "GET", "/v1/webhooks", "", NULL, NULL, 200, 0, false, true },
    { "a webhook is made", "POST", "/v1/webhooks", "", "{\"url\":\"http://localhost/x\",\"states\":[\"failed\"]}", NULL,
      201, 0, true, true },
    { "a wrong webhook is refused", "POST", "/v1/webhooks", "", "{\"url\":\"x\",\"jobs\":7}", NULL, 422, 0, false },
    { "a webhook is shown", "GET", "/v1/webhooks/%s", "", NULL, webhook_make, 200, 0, false, true },
    { "a webhook is tried", "POST", "/v1/webhooks/%s/test", "", NULL, webhook_make, 202, 0, true, true },
    { "deliveries are listed", "GET", "/v1/webhooks/%s/deliveries", "", NULL, webhook_make, 200, 0, false, true },
    { "a webhook is deleted", "DELETE", "/v1/webhooks/%s", "", NULL, webhook_make, 204, 404, true },
    { "tokens are listed", "GET", "/v1/tokens", "", NULL, NULL, 200, 0, false, true },
    { "a token is made", "POST", "/v1/tokens", "", "{\"name\":\"n\",\"role\":\"read\",\"owner\":\"o\"}", NULL, 201, 0,
      true, true },
    { "a wrong token is refused", "POST", "/v1/tokens", "", "{\"name\":1}", NULL, 422, 0, false },
    { "a token is deleted", "DELETE", "/v1/tokens/%s", "", NULL, token_make, 204, 404, true },
    { "the audit is shown", "GET", "/v1/audit?limit=3", "", NULL, NULL, 200, 0, false, true },
    { "a browser without a token stays out", "POST", "/v1/session", "", "{}", NULL, 422, 0, false },
    { "who asks is told", "GET", "/v1/session", "", NULL, NULL, 200, 0, false },
    { "who isn't signed in signs out", "DELETE", "/v1/session", "", NULL, NULL, 204, 0, true },
    { "backups are listed", "GET", "/v1/admin/backups", "", NULL, NULL, 200, 0, false, true },
    { "a backup is made", "POST", "/v1/admin/backups", "", NULL, NULL, 201, 0, true, true },
    { "a backup that isn't there is missing", "GET", "/v1/admin/backups/x.db", "", NULL, NULL, 404, 0, false },
    { "a backup that isn't there isn't deleted", "DELETE", "/v1/admin/backups/x.db", "", NULL, NULL, 404, 0, false },
    { "files are checked", "GET", "/v1/admin/check", "", NULL, NULL, 200, 0, false, true },
    { "counts are told to Prometheus", "GET", "/metrics", "", NULL, NULL, 200, 0, false, true },
    { "the queue is shown", "GET", "/v1/queue", "", NULL, NULL, 200, 0, false },
    { "data sets are listed", "GET", "/v1/datasets", "", NULL, NULL, 200, 0, false },
    { "devices are listed", "GET", "/v1/devices", "", NULL, NULL, 200, 0, false },
    { "fields are listed", "GET", "/v1/fields", "", NULL, NULL, 200, 0, false },
    { "the version is told", "GET", "/v1/version", "", NULL, NULL, 200, 0, false },
    { "the API's description is sent", "GET", "/v1/openapi.yaml", "", NULL, NULL, 200, 0, false },
    { "an error is explained", "GET", "/problems/bad-spec", "", NULL, NULL, 200, 0, false },
    { "health is told", "GET", "/healthz", "", NULL, NULL, 200, 0, false },
    { "readiness is told", "GET", "/readyz", "", NULL, NULL, 200, 0, false },
    { "every check of readiness is told", "GET", "/readyz?verbose", "", NULL, NULL, 200, 0, false },
    { "the dashboard is sent", "GET", "/", "", NULL, NULL, 200, 0, false },
    { "a file of the dashboard is sent", "GET", "/web/index.html", "", NULL, NULL, 200, 0, false },
    { "a path that isn't there is missing", "GET", "/nothing", "", NULL, NULL, 404, 0, false },
    { "a method that isn't taken is refused", "PUT", "/v1/jobs", "", "{}", NULL, 405, 0, false },
    { "a query that isn't taken is refused", "GET", "/v1/jobs?x=1", "", NULL, NULL, 400, 0, false },
};
enum { CASE_COUNT = sizeof(cases) / sizeof(cases[0]) };

/* ---- the service ---- */

static void start(void)
{
    char message[256] = "";

    service_open(&config);
    scratch_path("riftd.sock", socket_path);
    scratch_path("riftd.db", db_path);
    config.socket_path = socket_path;
    config.failed = NULL; /* what failed is what was meant to */
    if (api_start(&config, &api, message) < 0) {
        fprintf(stderr, "%s\n", message);
        abort();
    }
}

static void stop(void)
{
    api_stop(api);
    service_close(&config);
}

/* One count(*), of what must not be. */
static void database_none(sqlite3 *sqlite, const char *sql, const char *when)
{
    sqlite3_stmt *statement = NULL;

    if (sqlite3_prepare_v2(sqlite, sql, -1, &statement, NULL) != SQLITE_OK || sqlite3_step(statement) != SQLITE_ROW)
        CHECK_FAIL("%s: %s", sql, sqlite3_errmsg(sqlite));
    else if (sqlite3_column_int(statement, 0))
        CHECK_FAIL("%s: %d rows: %s", when, sqlite3_column_int(statement, 0), sql);
    sqlite3_finalize(statement);
}

bool database_whole(const char *path, const char *when)
{
    sqlite3 *sqlite = NULL;
    int failures = check_failures;

    CHECK_INT(sqlite3_open_v2(path, &sqlite, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    database_none(sqlite, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'", when);
    database_none(sqlite, "SELECT count(*) FROM pragma_foreign_key_check", when);
    database_none(sqlite,
                  "SELECT count(*) FROM job WHERE gone = 0 AND NOT EXISTS"
                  " (SELECT 1 FROM event WHERE event.job = job.number AND type = 'state')",
                  when);
    database_none(
        sqlite,
        "SELECT count(*) FROM job WHERE gone = 0 AND state <> (SELECT json_extract(fields, '$.state') FROM event"
        " WHERE event.job = job.number AND type = 'state' ORDER BY event.id DESC LIMIT 1)",
        when);
    /* A rift job of ours has all its steps, a sweep all its rift jobs. The fixture's own has one step. */
    database_none(sqlite,
                  "SELECT count(*) FROM job AS a WHERE gone = 0 AND kind = 'rift' AND id <> '" JOB_PARENT
                  "' AND length(id) = 36"
                  " AND (SELECT count(*) FROM job AS b WHERE b.parent = a.id) < 3",
                  when);
    database_none(sqlite,
                  "SELECT count(*) FROM job AS a WHERE gone = 0 AND kind = 'sweep'"
                  " AND (SELECT count(*) FROM job AS b WHERE b.parent = a.id) <> 4",
                  when);
    sqlite3_close(sqlite);
    return check_failures == failures;
}

/* ---- one request ---- */

struct asked {
    const struct request_case *request;
    char target[512], headers[256];
};

static void asked_make(const struct request_case *request, long n, struct asked *ret)
{
    char id[DB_ID_SIZE] = "", key[64];
    static long serial;

    if (request->prepare)
        request->prepare(config.db, id);
    ret->request = request;
    snprintf(key, sizeof(key), "key-%ld-%ld", n, ++serial);
    if (request->prepare)
        snprintf(ret->target, sizeof(ret->target), request->target, id);
    else
        snprintf(ret->target, sizeof(ret->target), "%s", request->target);
    snprintf(ret->headers, sizeof(ret->headers), request->headers, key);
}

static void asked_ask(const struct asked *asked, struct reply *reply)
{
    ask(socket_path, asked->request->method, asked->target, asked->headers, asked->request->body, reply);
}

/* Ids and request ids differ each time, their lengths don't; what changes nothing answers the same bytes. */
static bool like(const struct request_case *request, const struct reply *a, const struct reply *b)
{
    if (request->varying && a->status == b->status)
        return true;
    if (a->status != b->status || a->body_size != b->body_size)
        return false;
    return request->status >= 400 || request->changing || !memcmp(a->body, b->body, a->body_size);
}

static bool problem_has(const struct reply *reply, int status)
{
    char want[32];

    snprintf(want, sizeof(want), "\"status\":%d", status);
    return strstr(reply->text, "application/problem+json") && strstr(reply->body, want);
}

/* What a request may answer in which something failed. */
static void answer_check(const struct fault_plan *plan, const struct request_case *request, long n,
                         const struct reply *reply, const struct reply *good)
{
    bool failed = reply->status == 503 || reply->status == (plan->status ? plan->status : 500);

    /* A refusal may be short of words. */
    failed |= reply->status == request->status && request->status >= 400;
    if (!reply->status || (failed && problem_has(reply, reply->status)) || like(request, reply, good))
        return;
    if (request->changing && request->again == 200 && reply->status == 200) /* it was made before, and found */
        return;
    /* Only the place in the queue may have a digit more. */
    if (request->changing && reply->status == request->status && reply->body_size >= good->body_size &&
        reply->body_size <= good->body_size + 3)
        return;
    /* The answer was on its way: less of it came than was promised. */
    if (reply->status == good->status && reply->body_size < good->body_size &&
        !memcmp(reply->body, good->body, reply->body_size) && strstr(reply->text, "Content-Length"))
        return;
    CHECK_FAIL("%s: %s, at %ld: answered %d: %.300s", plan->name, request->sentence, n, reply->status, reply->body);
}

/* Nothing fails any more: the same request must do. */
static void again_check(const struct fault_plan *plan, const struct asked *asked, long n, int first)
{
    const struct request_case *request = asked->request;
    struct reply reply;

    asked_ask(asked, &reply);
    bool done = first == request->status; /* then it is a repetition */
    bool maybe = request->changing && !done;
    bool right = done && request->again ? reply.status == request->again : reply.status == request->status;
    if (!right && !(maybe && reply.status == request->again)) /* it was done, only the answer was lost */
        CHECK_FAIL("%s: %s, at %ld: afterwards answered %d: %.300s", plan->name, request->sentence, n, reply.status,
                   reply.body ? reply.body : "");
    reply_done(&reply);
}

/* A sweep has tens of thousands of places that are the same few over and over: of 17,000, 4,566 tried took
 * two thirds of the whole test. */
enum { DENSE = 1500, FURTHER = 300 };

static long places_further(const struct fault_plan *plan, long n)
{
    return 1 + (plan->sparse ? n / plan->sparse : n < DENSE ? 0 : n / FURTHER);
}

static void request_fails(const struct fault_plan *plan, const struct request_case *request)
{
    struct asked asked;
    struct reply good, reply;
    bool fired = true;
    int failures = check_failures, tried = 0;
    long n;

    asked_make(request, 0, &asked);
    asked_ask(&asked, &good);
    if (good.status != request->status)
        CHECK_FAIL("%s answered %d: %.300s", request->sentence, good.status, good.body ? good.body : "");
    for (n = 1; fired && check_failures < failures + 5; n += places_further(plan, n)) {
        if (plan->cold || (request->changing && tried % 128 == 127)) { /* what piles up would slow it down */
            stop();
            start();
        }
        asked_make(request, n, &asked);
        plan->arm(n);
        asked_ask(&asked, &reply);
        fired = fault_disarm();
        tried++;
        answer_check(plan, request, n, &reply, &good);
        again_check(plan, &asked, n, reply.status);
        reply_done(&reply);
        if (request->changing && tried % 8 == 0)
            database_whole(db_path, request->sentence);
    }
    if (getenv("FAULTS_TELL"))
        printf("%s: %s: %ld places, %d tried\n", plan->name, request->sentence, n - 1, tried);
    reply_done(&good);
}

/* Is this a path of that route? {id} and {name...} stand for one or more segments. */
static bool target_of(const char *pattern, const char *target)
{
    for (;;) {
        size_t length = strcspn(pattern, "/"), given = strcspn(target, "/?");
        if (!strncmp(pattern, "{name...}", 9))
            return given > 0;
        if (strncmp(pattern, "{id}", 4) && (length != given || strncmp(pattern, target, length)))
            return false;
        pattern += length;
        target += given;
        if (!*pattern || *target != '/')
            return !*pattern && *target != '/';
        pattern++;
        target++;
    }
}

/* A route that nobody asks here is one that nobody has seen fail. */
static void routes_check(void)
{
    const struct api_route_info *routes;
    int count = api_routes(&routes);

    for (int i = 0; i < count; i++) {
        bool asked = false;
        for (int k = 0; k < CASE_COUNT && !asked; k++)
            asked = !strcmp(cases[k].method, routes[i].method) && target_of(routes[i].path, cases[k].target);
        if (!asked)
            CHECK_FAIL("%s %s is in no row of the table in this file", routes[i].method, routes[i].path);
    }
}

int requests_fail(const struct fault_plan *plan)
{
    int failures = check_failures;
    const char *only = getenv("FAULTS_ONLY"); /* a part of a sentence, for whoever looks at one */

    routes_check();
    fault_spare();
    start();
    for (int i = 0; i < CASE_COUNT; i++) {
        if (only && !strstr(cases[i].sentence, only))
            continue;
        request_fails(plan, &cases[i]);
        if (cases[i].changing) { /* what it left shall not slow the rest down */
            stop();
            start();
        }
    }
    database_whole(db_path, plan->name);
    stop();
    return check_failures - failures;
}
