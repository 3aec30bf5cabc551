/* What does rift-worker do?
 *
 * It is one job's process: the daemon starts one for every job, because a
 * device that has failed can only be left, not repaired, and because files from
 * strangers are read away from the network: before it reads weights or data it
 * shuts itself in (sandbox.h). It works as well without a daemon.
 *
 * SIGTERM and SIGINT ask the job to write a checkpoint and stop (exit 75). */
#include "gpu/gpu.h"

#include "gpu/backend/backend.h"
#include "gpu/worker/log.h"
#include "gpu/worker/sandbox.h"
#include "gpu/worker/serve.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const char usage[] = "usage: rift-worker run [OPTION...] DIR   run the job in DIR, or go on with it\n"
                            "       rift-worker check DIR             read and plan everything, run nothing\n"
                            "       rift-worker devices               usable devices as JSON\n"
                            "       rift-worker serve --jobs-dir DIR\n"
                            "                                         answer one request of riftd on stdin, a\n"
                            "                                         socket; for rift-worker.socket\n"
                            "       rift-worker --help | --version\n"
                            "\n"
                            "DIR holds spec.json; the worker writes journal.ndjson, checkpoint/, artifacts/ and\n"
                            "log.txt there, the last with what it says on stderr, and shuts itself in: it reads\n"
                            "what the spec names and reaches nothing else.\n"
                            "\n"
                            "  --sandbox try|require|off   as far as this kernel can (the default); all of it, or\n"
                            "                              the job fails; not at all\n"
                            "  --memory-limit BYTES        of data, for jobs on the CPU; those on cards have none:\n"
                            "                              their drivers map much that isn't memory\n"
                            "  --quiet                     say nothing of what happens\n"
                            "\n"
                            "SIGTERM: write a checkpoint and stop; run DIR again to go on.\n"
                            "Exit: 0 finished, 75 interrupted, 65 bad spec or data, 69 device lost, 70 internal,\n"
                            "64 wrong usage.\n";
enum { WRONG_USAGE = 64, SPEC_BYTES = 1 << 20 };

#ifdef RIFT_SANITIZED /* its shadow memory is larger than any machine */
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

static volatile sig_atomic_t stop;

static void stop_asked(int signal)
{
    (void)signal;
    stop = 1;
}

/* One line an event, for a terminal and for log.txt. Metrics of every batch are
 * in the journal and would drown the rest here. */
static void event_print(const json_t *event, void *user)
{
    const char *name = json_string_value(json_object_get(event, "name"));

    (void)user;
    if (name && strcmp(name, "batch_loss") == 0)
        return;
    char *text = json_dumps(event, JSON_COMPACT | JSON_REAL_PRECISION(6));
    if (text)
        fprintf(stderr, "%s\n", text);
    free(text);
}

static bool may_use_card(const json_t *spec)
{
    const char *device = json_string_value(json_object_get(spec, "device"));

    return device_may_be_card(device ? device : "auto");
}

/* Bytes from the first number after `key` ("" : at the start) in a file; 0 unknown. */
static unsigned long long bytes_in(const char *path, const char *key, unsigned unit)
{
    char text[4096] = "";
    FILE *file = fopen(path, "r");
    size_t size = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

    text[size] = 0;
    if (file)
        fclose(file);
    const char *at = strstr(text, key);
    return at ? strtoull(at + strlen(key), NULL, 10) * unit : 0;
}

/* Lower the soft limit of data to `bytes`. */
static void data_limit(unsigned long long bytes)
{
    struct rlimit limit;

    if (SANITIZED || !bytes || getrlimit(RLIMIT_DATA, &limit) < 0 || limit.rlim_cur <= bytes)
        return;
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_DATA, &limit);
}

/* A job that needs more memory than there is shall be told so by an allocation
 * that fails; without a limit the system says yes and then kills it, or a neighbour.
 * Not on a card: RLIMIT_DATA counts what its driver only maps. */
static void memory_limit(const json_t *spec)
{
    unsigned long long available = bytes_in("/proc/meminfo", "MemAvailable:", 1024);
    unsigned long long group = bytes_in("/sys/fs/cgroup/memory.max", "", 1);

    if (group && (!available || group < available))
        available = group;
    if (!may_use_card(spec))
        data_limit(available);
}

/* ---- run ---- */

struct order {
    const char *dir;
    bool quiet;
    enum sandbox_mode sandbox;
    unsigned long long memory_limit; /* bytes, 0: none */
};

static int take_quiet(struct order *order, const char *text)
{
    (void)text;
    order->quiet = true;
    return 0;
}

static int take_sandbox(struct order *order, const char *text)
{
    for (int i = 0; i < SANDBOX_MODE_COUNT; i++)
        if (strcmp(text, sandbox_modes[i]) == 0) {
            order->sandbox = (enum sandbox_mode)i;
            return 0;
        }
    return -EINVAL;
}

static int take_memory_limit(struct order *order, const char *text)
{
    char *end;

    errno = 0;
    order->memory_limit = strtoull(text, &end, 10);
    return errno || end == text || *end || *text == '-' || !order->memory_limit ? -EINVAL : 0;
}

static const struct {
    const char *name;
    bool argument;
    int (*take)(struct order *order, const char *text);
} options[] = {
    { "--quiet", false, take_quiet },
    { "--sandbox", true, take_sandbox },
    { "--memory-limit", true, take_memory_limit },
};
enum { OPTION_COUNT = sizeof(options) / sizeof(options[0]) };

/* Options and one DIR, in any order. */
static int order_read(int count, char **arguments, struct order *ret)
{
    for (int i = 0; i < count; i++) {
        int o = 0;

        while (o < OPTION_COUNT && strcmp(arguments[i], options[o].name) != 0)
            o++;
        if (o == OPTION_COUNT) {
            if (ret->dir || arguments[i][0] == '-')
                return -EINVAL;
            ret->dir = arguments[i];
            continue;
        }
        i += options[o].argument;
        if (i == count || options[o].take(ret, arguments[i]) < 0)
            return -EINVAL;
    }
    return ret->dir ? 0 : -EINVAL;
}

static int confine(const char *dir, const json_t *spec, json_t **ret, struct fault *why, void *user)
{
    const struct order *order = user;
    struct sandbox held;

    memory_limit(spec); /* first: what the group has can't be read any more when shut in */
    int r = sandbox_enter(order->sandbox, dir, spec, &held, why);
    if (r < 0)
        return r;
    if (held.missing.code)
        fprintf(stderr, "rift-worker: not fully shut in: %s\n", held.missing.message);
    if (order->memory_limit && may_use_card(spec))
        fprintf(stderr, "rift-worker: --memory-limit isn't for jobs on a card\n");
    else
        data_limit(order->memory_limit);
    *ret = json_pack("{s:i, s:b}", "landlock", held.landlock_abi, "seccomp", held.seccomp);
    return *ret ? 0 : fault_set(why, -ENOMEM, "out of memory");
}

static int run_command(int count, char **arguments)
{
    struct sigaction action = { .sa_handler = stop_asked };
    static struct order order;

    if (order_read(count, arguments, &order) < 0) {
        fputs(usage, stderr);
        return WRONG_USAGE;
    }
    log_begin(order.dir);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    int code = engine_run_confined(order.dir, &stop, order.quiet ? NULL : event_print, confine, &order);
    if (code != WORKER_FINISHED)
        jobdir_exit_write(order.dir, code); /* where that can't be, it looks like a crash */
    return code;
}

/* The spec as it is written; NULL: what is wrong with it is the check's to say. */
static json_t *spec_look(const char *dir)
{
    char path[PATH_MAX], *text = NULL;
    struct fault why;
    size_t size;

    snprintf(path, sizeof(path), "%s/" JOBDIR_SPEC, dir);
    json_t *spec = file_read(path, SPEC_BYTES, &text, &size, &why) < 0 ? NULL : text_read(text);
    free(text);
    return spec;
}

static int check_command(int count, char **arguments)
{
    struct fault why = { 0 };

    if (count != 1) {
        fputs(usage, stderr);
        return WRONG_USAGE;
    }
    json_auto_t *spec = spec_look(arguments[0]);
    memory_limit(spec); /* a check is of what a run would have */
    int code = engine_check(arguments[0], &why);
    if (code != WORKER_FINISHED)
        fprintf(stderr, "rift-worker: %s\n", why.message);
    return code;
}

static int devices_command(int count, char **arguments)
{
    (void)arguments;
    if (count) {
        fputs(usage, stderr);
        return WRONG_USAGE;
    }
    json_t *devices = engine_devices();
    char *text = devices ? json_dumps(devices, JSON_INDENT(2)) : NULL;
    if (text)
        puts(text);
    free(text);
    json_decref(devices);
    return text ? WORKER_FINISHED : WORKER_INTERNAL;
}

static int serve_command(int count, char **arguments)
{
    if (count != 2 || strcmp(arguments[0], "--jobs-dir") != 0) {
        fputs(usage, stderr);
        return WRONG_USAGE;
    }
    return serve(arguments[1], engine_devices);
}

static int help_command(int count, char **arguments)
{
    (void)count;
    (void)arguments;
    fputs(usage, stdout);
    return 0;
}

static int version_command(int count, char **arguments)
{
    (void)count;
    (void)arguments;
    puts("rift-worker " RIFT_VERSION);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(int count, char **arguments);
} commands[] = {
    { "run", run_command },     { "check", check_command },       { "devices", devices_command },
    { "serve", serve_command }, { "-h", help_command },           { "--help", help_command },
    { "help", help_command },   { "--version", version_command },
};

/* Threads that wait for each other shall spin a little and then sleep: a worker
 * often shares its processors with another, and a thread that spins for long (the
 * library's default is 300,000 rounds) holds the very core that the one it waits
 * for needs: two jobs on two cores come to a tenth of what they do asleep. A
 * thousand rounds have most of what spinning gains alone and lose little when
 * others are there (figures in bench/RESULTS.md). The library reads its settings
 * before main, so the program starts once more. OMP_WAIT_POLICY or
 * GOMP_SPINCOUNT in the environment go before. */
static void wait_briefly(char **argv)
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);

    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT") || length < 0 || setenv("GOMP_SPINCOUNT", "1000", 1) < 0)
        return;
    path[length] = '\0';
    execv(path, argv); /* when it fails we go on as we are */
}

int main(int argc, char **argv)
{
    wait_briefly(argv);
    for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 2, argv + 2);
    fputs(usage, stderr);
    return WRONG_USAGE;
}
