/* What is Prometheus told?
 *
 * The text format 0.0.4: a family a block, with HELP and TYPE. Counters start
 * at 0 when riftd does, which Prometheus expects. Here are HTTP, the database
 * and the process; slots and workers are the daemon's to tell (its callback).
 *
 * Names end in their unit; seconds and bytes, never milliseconds or MiB. */
#include "api/exchange.h"
#include "api/gate.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

void traffic_count(struct traffic *traffic, const struct route *route, int status, double seconds)
{
    int row = route ? route_index(route) : ROUTES_MAX, class = status / 100;

    if (!traffic || class < 0 || class >= STATUS_CLASSES)
        return;
    traffic->answers[row][class]++;
    histogram_add(&traffic->durations[row], &request_bounds, seconds);
}

void slow_begin(struct traffic *traffic)
{
    if (traffic && traffic->slow++ == 0)
        traffic->slow_since_ms = monotonic_ms();
}

void slow_end(struct traffic *traffic)
{
    if (traffic)
        traffic->slow--;
}

bool is_slow(struct traffic *traffic)
{
    return traffic->slow && monotonic_ms() - traffic->slow_since_ms < SLOW_MOST_MS;
}

static void family(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void value(FILE *out, const char *name, const char *type, const char *help, double number)
{
    family(out, name, type, help);
    fprintf(out, "%s %.17g\n", name, number);
}

/* ---- HTTP ---- */

static void route_labels(int row, char ret[160])
{
    const struct api_route_info *routes;
    int count = api_routes(&routes);

    if (row < count)
        snprintf(ret, 160, "method=\"%s\",route=\"%s\"", routes[row].method, routes[row].path);
    else
        snprintf(ret, 160, "method=\"\",route=\"\"");
}

static void traffic_write(FILE *out, const struct traffic *traffic)
{
    char labels[160];

    if (!traffic) /* nobody counts */
        return;
    family(out, "riftd_http_requests_total", "counter", "Requests answered, by route and class of status.");
    for (int row = 0; row <= ROUTES_MAX; row++)
        for (int class = 1; class < STATUS_CLASSES; class ++)
            if (traffic->answers[row][class]) {
                route_labels(row, labels);
                fprintf(out, "riftd_http_requests_total{%s,status=\"%dxx\"} %" PRIu64 "\n", labels, class,
                        traffic->answers[row][class]);
            }
    family(out, "riftd_http_request_seconds", "histogram",
           "Time from a request's headers to its answer's first byte, by route.");
    for (int row = 0; row <= ROUTES_MAX; row++) {
        bool asked = false;
        for (int class = 1; class < STATUS_CLASSES; class ++)
            asked |= traffic->answers[row][class] > 0;
        if (!asked)
            continue;
        route_labels(row, labels);
        histogram_write(out, "riftd_http_request_seconds", labels, &traffic->durations[row], &request_bounds);
    }
}

/* ---- database, disk ---- */

/* Who could run and waits for a place; at most as many rows as there are priorities. */
static int queue_write(struct db *db, FILE *out)
{
    struct db_depth *depths;
    int count = db_queue_depths(db, &depths);

    if (count < 0)
        return count;
    family(out, "riftd_queued_jobs", "gauge",
           "Jobs that could run and wait for a place, by priority, those that none has left out.");
    bool usual = false;
    for (int i = 0; i < count; i++) {
        fprintf(out, "riftd_queued_jobs{priority=\"%d\"} %" PRId64 "\n", depths[i].priority, depths[i].jobs);
        usual |= !depths[i].priority;
    }
    if (!usual)
        fprintf(out, "riftd_queued_jobs{priority=\"0\"} 0\n");
    free(depths);
    return 0;
}

static int jobs_write(struct db *db, FILE *out)
{
    int64_t waiting = 0;
    int r = 0;

    family(out, "riftd_jobs", "gauge", "Jobs by state, steps and parents included.");
    for (int state = 0; state < STATE_COUNT && r >= 0; state++) {
        int64_t count = 0;
        r = db_job_count(db, (enum job_state)state, &count);
        if (r >= 0)
            fprintf(out, "riftd_jobs{state=\"%s\"} %" PRId64 "\n", job_state_names[state], count);
    }
    if (r >= 0)
        r = queue_write(db, out);
    if (r >= 0)
        r = db_delivery_waiting(db, &waiting);
    value(out, "riftd_webhook_deliveries_waiting", "gauge", "Messages that webhooks are still to be told.",
          (double)waiting);
    return r;
}

static void database_write(struct db *db, FILE *out)
{
    struct db_stats stats = { 0 };

    db_stats(db, &stats);
    value(out, "riftd_db_commits_total", "counter", "Commits, each with its fsync.", (double)stats.commits);
    value(out, "riftd_db_transactions_total", "counter", "Transactions; those that come together share a commit.",
          (double)stats.transactions);
    value(out, "riftd_db_commit_failures_total", "counter", "Commits that did not succeed.", (double)stats.failures);
    value(out, "riftd_db_commit_seconds_total", "counter", "Time that commits took.", (double)stats.commit_us / 1e6);
    value(out, "riftd_db_wal_pages", "gauge", "Pages in the write-ahead log.", (double)stats.wal_pages);
    value(out, "riftd_db_bytes", "gauge", "Size of the database file.", (double)stats.file_bytes);
}

static void disk_write(const char *dir, FILE *out)
{
    struct statvfs fs;

    if (statvfs(dir, &fs) < 0)
        return;
    value(out, "riftd_disk_free_bytes", "gauge", "Room left where jobs are kept.",
          (double)fs.f_bavail * (double)fs.f_frsize);
    value(out, "riftd_disk_bytes", "gauge", "Size of the file system where jobs are kept.",
          (double)fs.f_blocks * (double)fs.f_frsize);
}

/* ---- the process, under the names that all exporters use ---- */

static void process_write(const struct traffic *traffic, FILE *out)
{
    unsigned long long user = 0, system = 0, resident = 0;
    double ticks = (double)sysconf(_SC_CLK_TCK);
    FILE *stat = fopen("/proc/self/stat", "re"), *statm = fopen("/proc/self/statm", "re");
    char text[1024];

    if (stat && fgets(text, sizeof(text), stat)) {
        const char *at = strrchr(text, ')'); /* the name before may hold anything */
        if (at && sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system) == 2)
            value(out, "process_cpu_seconds_total", "counter", "Processor time, user and system.",
                  (double)(user + system) / ticks);
    }
    if (statm && fscanf(statm, "%*u %llu", &resident) == 1)
        value(out, "process_resident_memory_bytes", "gauge", "Memory that is resident.",
              (double)resident * (double)sysconf(_SC_PAGESIZE));
    if (stat)
        fclose(stat);
    if (statm)
        fclose(statm);
    if (traffic)
        value(out, "process_start_time_seconds", "gauge", "When riftd began to serve, since the epoch.",
              (double)traffic->started_ms / 1000);
}

int handle_metrics(const struct request *request, struct answer *answer)
{
    const struct api_config *config = request->config;
    FILE *out = open_memstream(&answer->text, &answer->size);

    if (!out)
        return -ENOMEM;
    family(out, "riftd_build_info", "gauge", "Which riftd this is.");
    fprintf(out, "riftd_build_info{version=\"%s\"} 1\n", RIFT_VERSION);
    int r = jobs_write(config->db, out);
    if (config->metrics)
        config->metrics(config->user, out);
    traffic_write(out, request->traffic);
    if (request->gate && request->gate->streams)
        value(out, "riftd_streams", "gauge", "Event streams that are open.",
              request->gate->streams(request->gate->feeds));
    database_write(config->db, out);
    disk_write(config->jobs_dir, out);
    process_write(request->traffic, out);
    if (fclose(out) && r >= 0)
        r = -ENOMEM;
    answer->status = 200;
    answer->type = "text/plain; version=0.0.4; charset=utf-8";
    return r;
}
