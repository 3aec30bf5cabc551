/* load_service: how fast does a riftd answer when many ask?
 *
 *     load_service --state DIR --pid PID [--clients N] [--streams N] [--trickles N] [--seconds S] [--rate R]
 *                  [--only PHASE,...] [--json FILE]
 *
 * Loads the riftd that runs on DIR (its address stands there) and prints a
 * table; bench/service fills a directory, starts a riftd and runs all of it. */
#include "bench/load/load.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

void times_add(struct times *times, int64_t us)
{
    if (times->count == times->room) {
        size_t room = times->room ? 2 * times->room : 4096;
        int64_t *grown = reallocarray(times->us, room, sizeof(*grown));
        if (!grown)
            return;
        times->us = grown;
        times->room = room;
    }
    times->us[times->count++] = us;
}

static int us_order(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;

    return (a > b) - (a < b);
}

void times_sort(struct times *times)
{
    if (times->count)
        qsort(times->us, times->count, sizeof(times->us[0]), us_order);
}

double times_ms(const struct times *times, double quantile)
{
    if (!times->count)
        return 0;
    return (double)times->us[(size_t)(quantile * (double)(times->count - 1) + 0.5)] / 1000;
}

void times_done(struct times *times)
{
    free(times->us);
    *times = (struct times){ 0 };
}

static double number(const json_t *row, const char *key)
{
    return json_number_value(json_object_get(row, key));
}

static void head_print(void)
{
    printf("%-20s %-9s %8s %8s %9s %9s %9s %8s %6s %6s %5s %5s\n", "phase", "how", "answers", "per s", "p50 ms",
           "p99 ms", "max ms", "KiB each", "wrong", "broken", "load", "MiB");
}

void row_print(const json_t *row)
{
    const char *name = json_string_value(json_object_get(row, "phase"));

    if (json_object_get(row, "p50_ms"))
        printf("%-20s %-9s %8.0f %8.0f %9.2f %9.2f %9.2f %8.1f %6.0f %6.0f %5.1f %5.1f\n", name,
               json_string_value(json_object_get(row, "how")), number(row, "answers"), number(row, "per_s"),
               number(row, "p50_ms"), number(row, "p99_ms"), number(row, "max_ms"), number(row, "KiB"),
               number(row, "wrong"), number(row, "broken"), number(row, "load"), number(row, "rss_MiB"));
    else
        printf("%-20s %.0f CPU ticks in %.0f s\n", name, number(row, "cpu_ticks"), number(row, "seconds"));
    if (json_object_get(row, "expected"))
        printf("%-20s %.0f of %.0f events arrived\n", "", number(row, "answers"), number(row, "expected"));
    if (json_object_get(row, "trickles_closed"))
        printf("%-20s %.0f of %.0f slow sockets were closed, or some of them again\n", "",
               number(row, "trickles_closed"), number(row, "trickles"));
    fflush(stdout);
}

static int port_read(const char *state, uint16_t *ret)
{
    char path[4096], line[256] = "";
    const char *colon;

    snprintf(path, sizeof(path), "%s/riftd.address", state);
    FILE *file = fopen(path, "r");
    if (!file || !fgets(line, sizeof(line), file) || !(colon = strrchr(line, ':'))) {
        if (file)
            fclose(file);
        return -ENOENT;
    }
    fclose(file);
    *ret = (uint16_t)atoi(colon + 1);
    return 0;
}

struct arguments {
    struct settings settings;
    const char *state, *json;
    pid_t pid;
};

static int arguments_read(int argc, char **argv, struct arguments *ret)
{
    static const struct option options[] = {
        { "state", required_argument, NULL, 's' },    { "pid", required_argument, NULL, 'p' },
        { "clients", required_argument, NULL, 'c' },  { "streams", required_argument, NULL, 'e' },
        { "seconds", required_argument, NULL, 't' },  { "rate", required_argument, NULL, 'r' },
        { "only", required_argument, NULL, 'o' },     { "json", required_argument, NULL, 'j' },
        { "trickles", required_argument, NULL, 'l' }, { 0 },
    };
    struct settings *settings = &ret->settings;
    int key;

    while ((key = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (key) {
        case 's':
            ret->state = optarg;
            break;
        case 'p':
            ret->pid = atoi(optarg);
            break;
        case 'c':
            settings->clients = atoi(optarg);
            break;
        case 'e':
            settings->streams = atoi(optarg);
            break;
        case 'l':
            settings->trickles = atoi(optarg);
            break;
        case 't':
            settings->seconds = atof(optarg);
            break;
        case 'r':
            settings->rate = atof(optarg);
            break;
        case 'o':
            settings->only = optarg;
            break;
        case 'j':
            ret->json = optarg;
            break;
        default:
            return -EINVAL;
        }
    return ret->state && ret->pid > 0 && settings->clients > 0 && settings->seconds > 0 && settings->rate > 0 &&
                   optind == argc
               ? 0
               : -EINVAL;
}

/* No answer was wrong or missing, no stream missed an event, and no slow socket was borne with. */
static bool row_well(const json_t *row)
{
    return number(row, "wrong") <= 0 && number(row, "broken") <= 0 &&
           number(row, "answers") >= number(row, "expected") &&
           number(row, "trickles_closed") >= number(row, "trickles");
}

static bool all_well(const json_t *phases)
{
    bool well = true;
    json_t *row;
    size_t i;

    json_array_foreach(phases, i, row)
    {
        if (row_well(row))
            continue;
        fprintf(stderr, "load_service: %s did not go well\n", json_string_value(json_object_get(row, "phase")));
        well = false;
    }
    return well;
}

int main(int argc, char **argv)
{
    struct arguments arguments = { .settings = { 500, 200, 300, 5, 200, NULL } };
    struct target target = { 0 };
    struct usage usage;
    struct rlimit files;

    if (arguments_read(argc, argv, &arguments) < 0) {
        fprintf(stderr, "usage: load_service --state DIR --pid PID [--clients N] [--streams N] [--trickles N]"
                        " [--seconds S] [--rate R] [--only PHASE,...] [--json FILE]\n");
        return 2;
    }
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    target.pid = arguments.pid;
    int r = port_read(arguments.state, &target.port);
    if (r >= 0)
        r = target_open(&target);
    if (r < 0) {
        fprintf(stderr, "load_service: %s: %s\n", arguments.state, strerror(-r));
        return 1;
    }
    head_print();
    json_auto_t *phases = phases_run(&target, &arguments.settings);
    target_done(&target);
    if (!phases || usage_read(arguments.pid, &usage) < 0)
        return 1;
    printf("riftd: %.1f MiB at most, %.1f MiB now, %d threads, %d files\n", (double)usage.rss_peak_kib / 1024,
           (double)usage.rss_kib / 1024, usage.threads, usage.files);
    json_auto_t *all = json_pack("{s:O, s:f, s:f}", "phases", phases, "rss_peak_MiB", (double)usage.rss_peak_kib / 1024,
                                 "rss_MiB", (double)usage.rss_kib / 1024);
    if (arguments.json && json_dump_file(all, arguments.json, JSON_INDENT(1)) < 0)
        return 1;
    return all_well(phases) ? 0 : 1;
}
