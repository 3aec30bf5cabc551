/* What is riftd without its daemon?
 *
 * The real api/ on a real database in a directory of its own, with this
 * program in the daemon's place: tests say on stdin what the daemon and its
 * workers would do (one JSON command a line, one JSON answer a line), so that
 * every state of a job can be had at once and without training anything.
 *
 *     api_alone DIR WEB_DIR OPENAPI [BODY_LIMIT STREAM_LIMIT HEARTBEAT_MS [HEADER_MS BODY_MS]]
 *     api_alone --tables      the route, field and problem tables as JSON
 *
 * First line out: {"port": N}. Ends when stdin does. */
#include "api/api.h"
#include "api/exchange.h"
#include "tests/faults/fault_point.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

struct alone {
    struct db *db;
    struct api *api;
    pthread_mutex_t lock; /* guards what callbacks touch */
    json_t *devices, *datasets;
    int bells, failures;
};

static int64_t now_ms(void *user)
{
    struct timespec now;

    (void)user;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void on_bell(void *user)
{
    struct alone *alone = user;

    pthread_mutex_lock(&alone->lock);
    alone->bells++;
    pthread_mutex_unlock(&alone->lock);
}

static void on_failed(void *user, const char *request_id, const char *message)
{
    struct alone *alone = user;

    pthread_mutex_lock(&alone->lock);
    alone->failures++;
    pthread_mutex_unlock(&alone->lock);
    fprintf(stderr, "api_alone: request %s: %s\n", request_id, message);
}

static json_t *list_copy(struct alone *alone, json_t *const *list)
{
    pthread_mutex_lock(&alone->lock);
    json_t *copy = json_deep_copy(*list);
    pthread_mutex_unlock(&alone->lock);
    return copy;
}

static json_t *on_devices(void *user)
{
    struct alone *alone = user;

    return list_copy(alone, &alone->devices);
}

static json_t *on_datasets(void *user)
{
    struct alone *alone = user;

    return list_copy(alone, &alone->datasets);
}

/* ---- commands ---- */

static const char *text_of(const json_t *command, const char *key)
{
    return json_string_value(json_object_get(command, key));
}

/* {"do":"claim","device":"cpu"} -> {"job": ID or null} */
static json_t *do_claim(struct alone *alone, const json_t *command)
{
    db_job_auto job = { 0 };
    struct db_offer offer = { .device = text_of(command, "device") };
    int r = db_job_claim(alone->db, &offer, now_ms(NULL), &job);

    if (r < 0)
        return json_pack("{s:i}", "code", r);
    return json_pack("{s:o}", "job", r ? json_string(job.id) : json_null());
}

/* {"do":"move","job":ID,"state":"succeeded","result":{...},"error":{...}} -> {"code": 0} */
static json_t *do_move(struct alone *alone, const json_t *command)
{
    const json_t *result = json_object_get(command, "result"), *error = json_object_get(command, "error");
    char *result_text = result ? json_dumps(result, 0) : NULL, *error_text = error ? json_dumps(error, 0) : NULL;
    int r = db_job_move(alone->db, text_of(command, "job"), (enum job_state)job_state_find(text_of(command, "state")),
                        result_text, error_text, now_ms(NULL));

    free(result_text);
    free(error_text);
    return json_pack("{s:i}", "code", r);
}

/* {"do":"result","job":ID,"result":{...}} -> {"code": 0}: what the daemon writes into parents. */
static json_t *do_result(struct alone *alone, const json_t *command)
{
    char *text = json_dumps(json_object_get(command, "result"), 0);
    int r = db_job_set_result(alone->db, text_of(command, "job"), text);

    free(text);
    return json_pack("{s:i}", "code", r);
}

static double real_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return json_is_number(value) ? json_number_value(value) : __builtin_nan("");
}

/* {"do":"event","job":ID,"offset":N,"fields":{"seq":..,"type":..}} -> {"code": 0};
 * offset is the job's journal offset before; one byte further after. */
static json_t *do_event(struct alone *alone, const json_t *command)
{
    static const struct {
        const char *type, *name;
        enum db_row_type row;
    } rows[] = {
        { "metric", "name", ROW_METRIC },     { "module", "module", ROW_MODULE },
        { "alpha", NULL, ROW_ALPHA },         { "evaluation", "name", ROW_EVALUATION },
        { "artifact", "name", ROW_ARTIFACT }, { "progress", NULL, ROW_PROGRESS },
    };
    json_t *fields = json_object_get(command, "fields");
    int64_t offset = json_integer_value(json_object_get(command, "offset"));
    const char *type = text_of(fields, "type");
    char *text = json_dumps(fields, JSON_COMPACT);
    struct db_ingest_event event = {
        .seq = json_integer_value(json_object_get(fields, "seq")), .time_ms = now_ms(NULL), .type = type, .fields = text
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (!strcmp(rows[i].type, type))
            event.row = (struct db_row){
                .type = rows[i].row,
                .name = rows[i].name ? text_of(fields, rows[i].name) : NULL,
                .step = json_integer_value(json_object_get(fields, "step")),
                .epoch = real_of(fields, "epoch"),
                .value = real_of(fields, "value"),
                .alpha = real_of(fields, "alpha"),
                .size = json_integer_value(json_object_get(fields, "size")),
                .sha256 = text_of(fields, "sha256"),
                .fields = text,
            };
    int r = db_ingest(alone->db, text_of(command, "job"), offset, offset + 1, &event, 1);
    free(text);
    return json_pack("{s:i}", "code", r);
}

/* {"do":"set","devices":[...],"datasets":[...]} -> {} */
static json_t *do_set(struct alone *alone, const json_t *command)
{
    json_t *devices = json_object_get(command, "devices"), *datasets = json_object_get(command, "datasets");

    pthread_mutex_lock(&alone->lock);
    if (devices) {
        json_decref(alone->devices);
        alone->devices = json_incref(devices);
    }
    if (datasets) {
        json_decref(alone->datasets);
        alone->datasets = json_incref(datasets);
    }
    pthread_mutex_unlock(&alone->lock);
    return json_object();
}

/* {"do":"calls"} -> {"bells": N, "failures": N} */
static json_t *do_calls(struct alone *alone, const json_t *command)
{
    (void)command;
    pthread_mutex_lock(&alone->lock);
    json_t *calls = json_pack("{s:i, s:i}", "bells", alone->bells, "failures", alone->failures);
    pthread_mutex_unlock(&alone->lock);
    return calls;
}

/* {"do":"disk","fault":"the disk is full" or null} -> {"code": 0}: from now on (disk.c has the names). */
static json_t *do_disk(struct alone *alone, const json_t *command)
{
    const char *name = text_of(command, "fault");

    (void)alone;
    fault_disarm();
    for (int i = 0; name && i < disk_fault_count; i++)
        if (!strcmp(disk_faults[i].name, name)) {
            disk_fault_choose(&disk_faults[i]);
            fault_arm_lasting(1);
            name = NULL;
        }
    return json_pack("{s:i}", "code", name ? -EINVAL : 0);
}

static json_t *command_run(struct alone *alone, const char *line)
{
    static const struct {
        const char *name;
        json_t *(*run)(struct alone *alone, const json_t *command);
    } commands[] = {
        { "claim", do_claim }, { "move", do_move },   { "event", do_event }, { "result", do_result },
        { "set", do_set },     { "calls", do_calls }, { "disk", do_disk },
    };
    json_auto_t *command = json_loads(line, 0, NULL);
    const char *name = text_of(command, "do");

    for (size_t i = 0; name && i < sizeof(commands) / sizeof(commands[0]); i++)
        if (!strcmp(commands[i].name, name))
            return commands[i].run(alone, command);
    return json_pack("{s:i}", "code", -EINVAL);
}

static void say(json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);

    puts(text ? text : "null");
    fflush(stdout);
    free(text);
    json_decref(json);
}

/* ---- tables ---- */

static int tables_print(void)
{
    const struct api_route_info *routes;
    int count = api_routes(&routes);
    json_t *route_list = json_array(), *problem_list = json_array();
    struct answer answer = { 0 };

    for (int i = 0; i < count; i++)
        json_array_append_new(route_list, json_pack("{s:s, s:s, s:s, s:s, s:s}", "method", routes[i].method, "path",
                                                    routes[i].path, "role", routes[i].role, "query", routes[i].query,
                                                    "summary", routes[i].summary));
    for (int i = 0; i < PROBLEM_COUNT; i++)
        json_array_append_new(problem_list,
                              json_pack("{s:s, s:i}", "code", problems[i].code, "status", problems[i].status));
    if (handle_fields(NULL, &answer) < 0)
        return 1;
    json_auto_t *fields = json_loadb(answer.text, answer.size, 0, NULL);
    answer_done(&answer);
    say(json_pack("{s:o, s:o, s:O}", "routes", route_list, "problems", problem_list, "fields",
                  json_object_get(fields, "fields")));
    return 0;
}

static int serve(struct alone *alone)
{
    char *line = NULL;
    size_t room = 0;

    say(json_pack("{s:i}", "port", (int)api_port(alone->api)));
    while (getline(&line, &room, stdin) > 0) {
        json_t *reply = command_run(alone, line);
        api_news(alone->api);
        say(reply);
    }
    free(line);
    return 0;
}

int main(int argc, char **argv)
{
    struct alone alone = { .lock = PTHREAD_MUTEX_INITIALIZER };
    char message[256] = "", path[4096], jobs[4096], trash[4096], models[4096], backups[4096], socket_path[4096];

    if (argc == 2 && !strcmp(argv[1], "--tables"))
        return tables_print();
    if (argc != 4 && argc != 7 && argc != 9) {
        fprintf(stderr, "usage: api_alone DIR WEB_DIR OPENAPI [BODY_LIMIT STREAM_LIMIT HEARTBEAT_MS"
                        " [HEADER_MS BODY_MS]]\n");
        return 2;
    }
    snprintf(path, sizeof(path), "%s/riftd.db", argv[1]);
    snprintf(jobs, sizeof(jobs), "%s/jobs", argv[1]);
    snprintf(socket_path, sizeof(socket_path), "%s/riftd.sock", argv[1]);
    snprintf(models, sizeof(models), "%s/models", argv[1]);
    mkdir(jobs, 0777);
    mkdir(models, 0777);
    snprintf(backups, sizeof(backups), "%s/backups", argv[1]);
    mkdir(backups, 0777);
    snprintf(trash, sizeof(trash), "%s/trash", argv[1]);
    mkdir(trash, 0777);
    alone.devices = json_pack("[{s:s, s:s, s:i, s:n, s:s, s:n, s:n, s:n}]", "id", "cpu", "name", "cpu", "slot", 0, "job",
                              "state", "ok", "why", "memory_for_jobs_bytes", "memory_taken_bytes");
    alone.datasets = json_array();
    struct api_config config = {
        .address = "127.0.0.1",
        .jobs_dir = jobs,
        .models_dir = models,
        .backups_dir = backups,
        .trash_dir = trash,
        .web_dir = argv[2],
        .openapi_path = argv[3],
        .socket_path = socket_path,
        .body_limit = argc >= 7 ? strtoul(argv[4], NULL, 10) : 0,
        .stream_limit = argc >= 7 ? atoi(argv[5]) : 0,
        .heartbeat_ms = argc >= 7 ? atoi(argv[6]) : 0,
        .header_ms = argc == 9 ? atoi(argv[7]) : 0,
        .body_ms = argc == 9 ? atoi(argv[8]) : 0,
        .user = &alone,
        .bell = on_bell,
        .devices = on_devices,
        .datasets = on_datasets,
        .now_ms = now_ms,
        .failed = on_failed,
    };
    disk_faults_open();
    int r = db_open(path, &alone.db, message);
    config.db = alone.db;
    if (r >= 0)
        r = api_start(&config, &alone.api, message);
    if (r < 0)
        fprintf(stderr, "api_alone: %s\n", message);
    else
        serve(&alone);
    api_stop(alone.api);
    db_close(alone.db);
    json_decref(alone.devices);
    json_decref(alone.datasets);
    return r < 0;
}
