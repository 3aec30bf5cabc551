/* What does the daemon count for Prometheus?
 *
 * How long jobs waited and ran, how often workers were started and died, and
 * what the slots do. Everything is counted where it happens, in the loop's
 * thread; HTTP threads read it at any moment, so it is atomic. */
#include "daemon/daemon.h"

#include <inttypes.h>
#include <string.h>

static const enum job_state ends[] = { STATE_SUCCEEDED, STATE_FAILED, STATE_CANCELLED };

void metrics_started(struct daemon *daemon, const struct db_job *job, int64_t now_ms)
{
    daemon->counts.starts++;
    if (!job->attempts)
        histogram_add(&daemon->counts.waits, &job_bounds, (double)(now_ms - job->created_ms) / 1000);
}

void metrics_ended(struct daemon *daemon, const struct db_job *job)
{
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        if (ends[i] == job->state && job->started_ms)
            histogram_add(&daemon->counts.runs[i], &job_bounds, (double)(job->ended_ms - job->started_ms) / 1000);
}

static void slots_write(struct daemon *daemon, FILE *out)
{
    fputs("# HELP riftd_slots Places where a job can run, by device and whether one does.\n# TYPE riftd_slots gauge\n",
          out);
    for (int i = 0; i < daemon->slot_count; i++) {
        const char *device = daemon->slots[i].on->name;
        int busy = 0, all = 0;
        for (int k = 0; k < daemon->slot_count; k++)
            if (!strcmp(daemon->slots[k].on->name, device)) {
                if (k < i)
                    goto told;
                all++;
                busy += daemon->slots[k].busy;
            }
        fprintf(out, "riftd_slots{device=\"%s\",state=\"busy\"} %d\nriftd_slots{device=\"%s\",state=\"free\"} %d\n",
                device, busy, device, all - busy);
    told:;
    }
}

void metrics_write(struct daemon *daemon, FILE *out)
{
    char labels[32];

    slots_write(daemon, out);
    fputs("# HELP riftd_worker_starts_total Workers that were started.\n# TYPE riftd_worker_starts_total counter\n",
          out);
    fprintf(out, "riftd_worker_starts_total %" PRIu64 "\n", daemon->counts.starts);
    fputs("# HELP riftd_worker_crashes_total Ends of workers that were the machine's fault: crashes, lost devices, "
          "full disks.\n"
          "# TYPE riftd_worker_crashes_total counter\n",
          out);
    fprintf(out, "riftd_worker_crashes_total %" PRIu64 "\n", daemon->counts.crashes);
    fputs("# HELP riftd_job_wait_seconds Time from a job's submission to its first start.\n"
          "# TYPE riftd_job_wait_seconds histogram\n",
          out);
    histogram_write(out, "riftd_job_wait_seconds", "", &daemon->counts.waits, &job_bounds);
    fputs("# HELP riftd_job_run_seconds Time from a job's first start to its end, by how it ended.\n"
          "# TYPE riftd_job_run_seconds histogram\n",
          out);
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        snprintf(labels, sizeof(labels), "state=\"%s\"", job_state_names[ends[i]]);
        histogram_write(out, "riftd_job_run_seconds", labels, &daemon->counts.runs[i], &job_bounds);
    }
}
