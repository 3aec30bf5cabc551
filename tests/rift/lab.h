/* A laboratory for whole jobs: tiny data, tiny models, and jobs that are stopped
 * or killed at an exact event.
 *
 * Every job runs in a process of its own (this test program started again as
 * `PROGRAM --job DIR HOW EVENT`), because killing is the point, and because a
 * thread pool doesn't survive a fork. "At event k" makes kills repeatable. One
 * thread unless said otherwise: on a busy machine threads wait for each other
 * far longer than these tiny models take. */
#ifndef RIFT_TESTS_RIFT_LAB_H
#define RIFT_TESTS_RIFT_LAB_H

#include "gpu/gpu.h"
#include "tests/check.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>

extern char **environ;

/* ---- data ---------------------------------------------------------------------- */

enum { LAB_IMAGES = 40, LAB_PIXELS = 3 * 32 * 32, LAB_CLASSES = 4 };

/* DIR/data.safetensors: images whose class is in their brightness and stripes, with
 * noise, so that there is something to learn and something to attack. */
static inline void lab_data(const char *dir)
{
    static uint8_t x[LAB_IMAGES][LAB_PIXELS];
    static int64_t y[LAB_IMAGES];
    uint32_t noise = 12345;

    for (int i = 0; i < LAB_IMAGES; i++) {
        y[i] = (i * 7) % LAB_CLASSES;
        for (int p = 0; p < LAB_PIXELS; p++) {
            int column = p % 32, stripe = (column / 4 + (int)y[i]) % 4 == 0 ? 70 : 0;

            noise = noise * 1664525u + 1013904223u;
            x[i][p] = (uint8_t)(40 + 25 * y[i] + stripe + (noise >> 24) % 48);
        }
    }
    struct safetensor tensors[] = {
        { .name = "x", .dtype = DTYPE_U8, .rank = 4, .shape = { LAB_IMAGES, 3, 32, 32 }, .data = x, .size = sizeof(x) },
        { .name = "y", .dtype = DTYPE_I64, .rank = 1, .shape = { LAB_IMAGES }, .data = y, .size = sizeof(y) },
    };
    struct fault why = { 0 };
    if (safetensors_write(dir, "data.safetensors", tensors, 2, NULL, NULL, NULL, &why) < 0) {
        fprintf(stderr, "%s\n", why.message);
        exit(1);
    }
}

/* The test's directory, with data.safetensors in it; made once, removed at exit. */
static char *lab_home;

static inline void lab_leave(void)
{
    check_rmdir(lab_home);
}

static inline const char *lab(void)
{
    if (!lab_home) {
        lab_home = check_tmpdir();
        lab_data(lab_home);
        atexit(lab_leave);
    }
    return lab_home;
}

/* ---- jobs ------------------------------------------------------------------------ */

/* A job directory HOME/name; `spec` is JSON with ' for ", merged over the
 * laboratory's defaults (one level deep). Returns its path, malloc'd. */
static inline char *lab_job(const char *name, const char *spec)
{
    static const char defaults[] = "{'device':'cpu','threads':1,'protocol':'paper','batch_size':16,'seed':3,"
                                   " 'model':{'arch':'resnet18','width':4,'num_classes':4},"
                                   " 'dataset':{'format':'tensors','path':'../data.safetensors'},"
                                   " 'attack':{'steps':2}}";
    char *dir, *text[2] = { strdup(defaults), strdup(spec) };
    json_t *json[2], *value;
    const char *key;
    struct fault why = { 0 };

    for (int i = 0; i < 2; i++) {
        json_error_t error;

        for (char *c = text[i]; *c; c++)
            *c = *c == '\'' ? '"' : *c;
        json[i] = json_loads(text[i], 0, &error);
        free(text[i]);
        if (!json[i]) {
            fprintf(stderr, "the test's spec is no JSON: %s: %s\n", error.text, spec);
            exit(1);
        }
    }
    json_object_foreach(json[1], key, value)
    {
        json_t *below = json_object_get(json[0], key);

        if (json_is_object(below) && json_is_object(value))
            json_object_update(below, value);
        else
            json_object_set(json[0], key, value);
    }
    if (strcmp(json_string_value(json_object_get(json[0], "device")), "cpu") == 0)
        json_object_set_new(json[0], "device", json_string(check_device()));
    if (asprintf(&dir, "%s/%s", lab(), name) < 0 || jobdir_create(dir, json[0], &why) < 0) {
        fprintf(stderr, "%s\n", why.message);
        exit(1);
    }
    json_decref(json[0]);
    json_decref(json[1]);
    return dir;
}

/* What the child does at event number `event` (from 1). */
struct lab_order {
    const char *how; /* "run", "check", "stop", "kill" */
    long event, seen;
};
static volatile sig_atomic_t lab_stop;

static inline void lab_watch(const json_t *event, void *user)
{
    struct lab_order *order = user;

    (void)event;
    if (++order->seen != order->event)
        return;
    if (strcmp(order->how, "kill") == 0)
        raise(SIGKILL);
    if (strcmp(order->how, "stop") == 0)
        lab_stop = 1;
}

/* In main, before anything else: are we such a child? */
static inline void lab_child(int argc, char **argv)
{
    if (argc != 5 || strcmp(argv[1], "--job") != 0)
        return;
    struct lab_order order = { argv[3], atol(argv[4]), 0 };
    struct fault why = { 0 };

    if (strcmp(order.how, "check") == 0)
        exit(engine_check(argv[2], &why));
    exit(engine_run(argv[2], &lab_stop, lab_watch, &order));
}

#define LAB_MAIN(cases)                                                                                                \
    int main(int argc, char **argv)                                                                                    \
    {                                                                                                                  \
        lab_child(argc, argv);                                                                                         \
        return check_main(cases, (int)(sizeof(cases) / sizeof((cases)[0])), argc, argv);                               \
    }

/* Run DIR in a child; its exit code, or -SIGNAL. The log goes to DIR/log.txt. */
static inline int lab_run(const char *dir, const char *how, long event)
{
    char number[24], log[4096];
    posix_spawn_file_actions_t files;
    pid_t pid;
    int status;

    snprintf(number, sizeof(number), "%ld", event);
    snprintf(log, sizeof(log), "%s/%s", dir, JOBDIR_LOG);
    char *arguments[] = { "/proc/self/exe", "--job", (char *)dir, (char *)how, number, NULL };
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 2, log, O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (posix_spawn(&pid, "/proc/self/exe", &files, NULL, arguments, environ) != 0 || waitpid(pid, &status, 0) != pid) {
        perror("spawn");
        exit(1);
    }
    posix_spawn_file_actions_destroy(&files);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/* ---- what a job said --------------------------------------------------------------- */

static inline int lab_event(json_t *event, int64_t end, void *user)
{
    (void)end;
    json_array_append(user, event);
    return 0;
}

/* All events of DIR, new reference. */
static inline json_t *lab_events(const char *dir)
{
    json_t *events = json_array();
    int64_t offset = 0;
    struct fault why = { 0 };
    char *path;

    if (asprintf(&path, "%s/%s", dir, JOBDIR_JOURNAL) < 0 || journal_read(path, &offset, lab_event, events, &why) < 0)
        CHECK_FAIL("%s: %s", dir, why.message);
    free(path);
    return events;
}

/* What the job found out: its events without times and numbers, and without
 * those that only tell how it went there. Two ways to one result have equal ones. */
static inline json_t *lab_findings(const char *dir)
{
    static const char *const kept[] = { "metric", "module", "alpha", "evaluation", "artifact", "finished", "failed" };
    json_t *events = lab_events(dir), *findings = json_array(), *event;
    size_t i;

    json_array_foreach(events, i, event)
    {
        const char *type = json_string_value(json_object_get(event, "type"));

        for (size_t k = 0; k < sizeof(kept) / sizeof(kept[0]); k++) {
            if (strcmp(type, kept[k]) != 0)
                continue;
            json_object_del(event, "seq");
            json_object_del(event, "time_ms");
            json_array_append(findings, event);
        }
    }
    json_decref(events);
    return findings;
}

/* The last event of DIR, new reference. */
static inline json_t *lab_last(const char *dir)
{
    json_t *events = lab_events(dir);
    json_t *last = json_incref(json_array_get(events, json_array_size(events) - 1));

    json_decref(events);
    return last;
}

/* The first event of DIR, new reference. */
static inline json_t *lab_started(const char *dir)
{
    json_t *events = lab_events(dir);
    json_t *first = json_incref(json_array_get(events, 0));

    json_decref(events);
    return first;
}

static inline const char *lab_word(const json_t *object, const char *key)
{
    const char *word = json_string_value(json_object_get(object, key));

    return word ? word : "(none)";
}

static inline double lab_number(const json_t *object, const char *key)
{
    return json_is_number(json_object_get(object, key)) ? json_number_value(json_object_get(object, key)) : NAN;
}

/* The result of a job that has to finish, new reference. */
static inline json_t *lab_result(const char *dir)
{
    int code = lab_run(dir, "run", 0);
    json_t *last = lab_last(dir);
    json_t *result = json_incref(json_object_get(last, "result"));

    CHECK_INT(code, WORKER_FINISHED);
    if (!result)
        CHECK_FAIL("%s: %s: %s", dir, lab_word(last, "type"), lab_word(last, "message"));
    json_decref(last);
    return result;
}

/* HOME/theta/artifacts/best.safetensors, trained once, for jobs that need weights. */
static inline const char *lab_theta(void)
{
    static bool made;

    if (!made) {
        char *dir = lab_job("theta", "{'kind':'train','train':{'method':'standard','epochs':3,'evaluate_every':0},"
                                     " 'augment':'none','optimizer':{'lr':0.05}}");
        json_decref(lab_result(dir));
        free(dir);
        made = true;
    }
    return "../theta/artifacts/best.safetensors";
}

/* HOME/robust/artifacts/last.safetensors, adversarially trained, so that an attack doesn't make all
 * points fall at once; made once, its path seen from HOME. */
static inline const char *lab_robust(void)
{
    static bool made;

    if (!made) {
        char *dir = lab_job("robust", "{'kind':'train','train':{'epochs':8,'evaluate_every':0},'optimizer':{'lr':0.05},"
                                      " 'augment':'none','attack':{'steps':2,'epsilon':'2/255','step_size':'1/255'}}");
        json_decref(lab_result(dir));
        free(dir);
        made = true;
    }
    return "robust/artifacts/last.safetensors";
}

/* HOME/copies/artifacts: fog and contrast in severities 2 and 5, made once. */
static inline void lab_copies(void)
{
    static bool made;

    if (made)
        return;
    char *dir = lab_job("copies", "{'kind':'corrupt','corrupt':{'names':['fog','contrast'],'severities':[2,5]}}");
    json_decref(lab_result(dir));
    free(dir);
    made = true;
}

#endif
