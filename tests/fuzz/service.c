/* The database and files of service.h. Made once; later opens copy the finished
 * database, which costs a few writes into memory. */
#include "tests/fuzz/service.h"

#include <string.h>
#include <sys/stat.h>

#define WEIGHTS "\2\0\0\0\0\0\0\0{}" /* the smallest safetensors file */

static char *pristine;
static size_t pristine_size;
static char jobs_dir[512], models_dir[512], backups_dir[512], web_dir[512], openapi[512];

/* Time stands still: an input says the same each time. */
static int64_t now_ms(void *user)
{
    (void)user;
    return 1700000000000;
}

static void on_bell(void *user)
{
    (void)user;
}

static json_t *on_devices(void *user)
{
    (void)user;
    return json_pack("[{s:s, s:n}]", "name", "cpu", "job");
}

static json_t *on_datasets(void *user)
{
    (void)user;
    return json_pack("[{s:s, s:s, s:s}]", "name", "images", "format", "idx", "path", "/data");
}

static void on_failed(void *user, const char *request_id, const char *message)
{
    (void)user;
    fprintf(stderr, "%s: %s\n", request_id, message);
}

static void must(int r)
{
    PROMISE(r >= 0);
}

static void job_add(struct db *db, const char *id, const char *spec_json, const char *parent, int step)
{
    struct spec_errors errors = { 0 };
    spec_auto spec = { 0 };
    char first[DB_ID_SIZE];

    if (spec_parse(spec_json, strlen(spec_json), &spec, &errors) < 0) {
        fprintf(stderr, "%s: %s\n", errors.list[0].pointer, errors.list[0].message);
        abort();
    }
    char *text = json_dumps(spec.json, JSON_COMPACT);
    struct db_new_job job = {
        .id = id, .kind = job_kinds[spec.kind].name, .label = "some label", .spec = text, .parent = parent, .step = step
    };
    must(db_job_insert(db, &job, 1, NULL, NULL, 1000, first));
    free(text);
}

static void job_run(struct db *db, const char *id)
{
    db_job_auto job = { 0 };

    must(db_job_claim(db, &(struct db_offer){ .device = "cpu" }, 2000, &job));
    PROMISE(!strcmp(job.id, id));
    must(db_job_started(db, id, 1, 1, "boot"));
}

/* What a worker reports, a row of each kind. */
static void events_add(struct db *db, const char *id)
{
    static const char metric[] = "{\"seq\":1,\"type\":\"metric\"}", module[] = "{\"module\":\"conv1\",\"mrc\":0.5}",
                      alpha[] = "{\"alpha\":0.5,\"clean_accuracy\":0.5}", evaluation[] = "{\"name\":\"clean\"}";
    char sha[65];
    struct db_ingest_event events[] = {
        { 1, 2001, "metric", metric, { ROW_METRIC, .name = "loss", .step = 1, .epoch = 0.5, .value = 2.5 } },
        { 2, 2002, "metric", metric, { ROW_METRIC, .name = "loss", .step = 2, .epoch = 1, .value = 1.5 } },
        { 3, 2003, "module", module, { ROW_MODULE, .name = "conv1", .step = 1, .fields = module } },
        { 4, 2004, "alpha", alpha, { ROW_ALPHA, .alpha = 0.5, .fields = alpha } },
        { 5, 2005, "evaluation", evaluation, { ROW_EVALUATION, .name = "clean", .fields = evaluation } },
        { 6, 2006, "artifact", "{}", { ROW_ARTIFACT, .name = "best.safetensors", .size = sizeof(WEIGHTS) - 1, .sha256 = sha } },
        { 7, 2007, "progress", "{\"done\":1}", { ROW_PROGRESS, .fields = "{\"done\":1}" } },
    };

    sha256_of(WEIGHTS, sizeof(WEIGHTS) - 1, sha);
    must(db_ingest(db, id, 0, 700, events, sizeof(events) / sizeof(events[0])));
}

static void files_add(const char *id)
{
    char name[512], path[512];

    snprintf(name, sizeof(name), "jobs/%s", id);
    scratch_path(name, path);
    mkdir(path, 0700);
    snprintf(name, sizeof(name), "jobs/%s/artifacts", id);
    scratch_path(name, path);
    mkdir(path, 0700);
    snprintf(name, sizeof(name), "jobs/%s/artifacts/best.safetensors", id);
    scratch_file(name, WEIGHTS, sizeof(WEIGHTS) - 1, path);
    snprintf(name, sizeof(name), "jobs/%s/log.txt", id);
    scratch_file(name, "one\ntwo\nthree\n", 14, path);
}

static void fill(struct db *db)
{
    static const char evaluate[] = "{\"kind\":\"evaluate\",\"model\":{\"weights\":\"/w.safetensors\"},"
                                   "\"dataset\":{\"format\":\"idx\",\"path\":\"/data\"}}";
    static const char rift[] = "{\"kind\":\"rift\",\"dataset\":{\"format\":\"idx\",\"path\":\"/data\"}}";
    static const char train[] = "{\"kind\":\"train\",\"dataset\":{\"format\":\"idx\",\"path\":\"/data\"}}";

    job_add(db, JOB_DONE, evaluate, NULL, -1);
    job_run(db, JOB_DONE);
    events_add(db, JOB_DONE);
    must(db_job_move(db, JOB_DONE, STATE_SUCCEEDED, "{\"clean\":{\"loss\":1,\"accuracy\":0.5}}", NULL, 3000));
    job_add(db, JOB_FAILED, evaluate, NULL, -1);
    job_run(db, JOB_FAILED);
    must(db_job_move(db, JOB_FAILED, STATE_FAILED, NULL, "{\"code\":\"x\",\"message\":\"y\"}", 3000));
    job_add(db, JOB_PARENT, rift, NULL, -1);
    job_add(db, JOB_STEP, train, JOB_PARENT, 0);
    job_run(db, JOB_STEP);
    job_add(db, JOB_QUEUED, evaluate, NULL, -1);
    files_add(JOB_DONE);
    files_add(JOB_STEP);
}

static void pristine_make(const char *path)
{
    char message[256];
    struct db *db;
    FILE *file;

    scratch_path("jobs", jobs_dir);
    scratch_path("models", models_dir);
    scratch_path("backups", backups_dir);
    scratch_path("web", web_dir);
    mkdir(backups_dir, 0700);
    mkdir(jobs_dir, 0700);
    mkdir(models_dir, 0700);
    mkdir(web_dir, 0700);
    scratch_file("web/index.html", "<p>", 3, openapi);
    scratch_file("openapi.yaml", "openapi: 3.1.0\n", 15, openapi);
    must(db_open(path, &db, message));
    fill(db);
    db_close(db); /* the last connection puts everything into the one file */
    PROMISE((file = fopen(path, "rb")));
    PROMISE(fseek(file, 0, SEEK_END) == 0 && (pristine_size = (size_t)ftell(file)) > 0);
    rewind(file);
    pristine = malloc(pristine_size);
    PROMISE(pristine && fread(pristine, 1, pristine_size, file) == pristine_size);
    fclose(file);
}

void service_open(struct api_config *ret)
{
    static const struct api_rules open_to_all = { .require_token = TOKEN_NEVER };
    char path[512], message[256];
    struct db *db;

    scratch_path("riftd.db", path);
    if (!pristine)
        pristine_make(path);
    scratch_file("riftd.db", pristine, pristine_size, path);
    files_add(JOB_DONE);
    must(db_open(path, &db, message));
    *ret = (struct api_config){
        .address = "127.0.0.1",
        .jobs_dir = jobs_dir,
        .models_dir = models_dir,
        .backups_dir = backups_dir,
        .rules = &open_to_all,
        .web_dir = web_dir,
        .openapi_path = openapi,
        .body_limit = 1 << 20,
        .stream_limit = 4,
        .db = db,
        .bell = on_bell,
        .devices = on_devices,
        .datasets = on_datasets,
        .now_ms = now_ms,
        .failed = on_failed,
    };
}

void service_close(struct api_config *config)
{
    db_close(config->db);
    config->db = NULL;
}
