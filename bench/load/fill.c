/* load_fill: what does the database of a busy year look like?
 *
 *     load_fill FILE [JOBS [POINTS]]
 *
 * Makes a riftd.db by the same functions that riftd uses: db_job_insert,
 * db_job_claim, db_job_move, and db_ingest for every point with its event, as
 * from a worker's journal. Half of the jobs have ended, half wait. One job
 * ("load-big") has a curve of POINTS points, a hundred ("load-small") have 1000
 * each. Slow on a disk, since every move is a transaction that is synced: fill
 * in /dev/shm and copy. */
#include "db/db.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 512, SMALL_JOBS = 100, SMALL_POINTS = 1000, TEXT = 192 };

static const int64_t start_ms = 1760000000000;

static const char spec[] =
    "{\"kind\":\"train\",\"device\":\"auto\",\"seed\":0,\"batch_size\":128,\"label\":\"\",\"precision\":\"float32\","
    "\"protocol\":\"validation\",\"model\":{\"arch\":\"resnet18\",\"width\":64,\"num_classes\":10,\"input\":[3,32,32],"
    "\"normalize\":{\"mean\":[0,0,0],\"std\":[1,1,1]},\"weights\":null},\"dataset\":{\"format\":\"cifar10\",\"path\":"
    "\"/srv/data/cifar10\",\"train_limit\":null,\"test_limit\":null},\"augment\":\"standard\",\"shuffle\":true,"
    "\"attack\":{\"type\":\"pgd\",\"epsilon\":0.031372549,\"step_size\":0.0078431372,\"steps\":10,\"random_start\":"
    "true,"
    "\"restarts\":1},\"train\":{\"method\":\"pgd-at\",\"epochs\":110,\"evaluate_every\":1},\"optimizer\":{\"lr\":0.1,"
    "\"momentum\":0.9,\"weight_decay\":0.0005,\"schedule\":{\"type\":\"step\",\"milestones\":[100,105],\"gamma\":0.1}}"
    "}";

static void id_make(int k, char ret[DB_ID_SIZE])
{
    snprintf(ret, DB_ID_SIZE, "0199c000-0000-7000-8000-%012x", (unsigned)k);
}

static int jobs_insert(struct db *db, int first, int count)
{
    char ids[BATCH][DB_ID_SIZE], labels[BATCH][32], id[DB_ID_SIZE];
    struct db_new_job jobs[BATCH];
    int r = 0;

    for (int done = 0; done < count && r >= 0; done += BATCH) {
        int now = count - done < BATCH ? count - done : BATCH;
        for (int i = 0; i < now; i++) {
            int k = first + done + i;
            id_make(k, ids[i]);
            snprintf(labels[i], sizeof(labels[i]),
                     k == 0            ? "load-big"
                     : k <= SMALL_JOBS ? "load-small"
                                       : "load-%d",
                     k % 100);
            jobs[i] = (struct db_new_job){
                .id = ids[i], .kind = "train", .label = labels[i], .spec = spec, .priority = k % 3, .step = -1
            };
        }
        r = db_job_insert(db, jobs, now, NULL, NULL, start_ms + first + done, id);
    }
    return r;
}

/* Points of one curve with their events, in batches like the daemon's. */
static int curve_fill(struct db *db, const char *job, int64_t points)
{
    static char texts[BATCH][TEXT];
    struct db_ingest_event events[BATCH];
    int r = 0;

    for (int64_t step = 0; step < points && r >= 0;) {
        int64_t from = step;
        int count = 0;
        for (; count < BATCH && step < points; count++, step++) {
            double value = 2 * exp(-(double)step / 2e5) + 0.1 * sin((double)step * 0.37);
            snprintf(texts[count], TEXT,
                     "{\"seq\":%lld,\"time_ms\":%lld,\"type\":\"metric\",\"name\":\"loss\",\"step\":%lld,"
                     "\"epoch\":%.4f,\"value\":%.6f}",
                     (long long)step + 1, (long long)(start_ms + step), (long long)step, (double)step / 1000, value);
            events[count] = (struct db_ingest_event){ .seq = step + 1,
                                                      .time_ms = start_ms + step,
                                                      .type = "metric",
                                                      .fields = texts[count],
                                                      .row = { .type = ROW_METRIC,
                                                               .name = "loss",
                                                               .step = step,
                                                               .epoch = (double)step / 1000,
                                                               .value = value } };
        }
        r = db_ingest(db, job, from, step, events, count);
    }
    return r;
}

/* Run the next job to its end: four in five succeed. */
static int job_run(struct db *db, int k, int64_t points)
{
    static const enum job_state ends[] = { STATE_SUCCEEDED, STATE_SUCCEEDED, STATE_SUCCEEDED, STATE_SUCCEEDED,
                                           STATE_FAILED };
    db_job_auto job = { 0 };
    enum job_state end = ends[k % 5];
    int r = db_job_claim(db, &(struct db_offer){ .device = "cpu" }, start_ms + k, &job);

    if (r == 1 && !strcmp(job.label, "load-big"))
        r = curve_fill(db, job.id, points);
    else if (r == 1 && !strcmp(job.label, "load-small"))
        r = curve_fill(db, job.id, SMALL_POINTS);
    if (r >= 0)
        r = db_job_move(db, job.id, end, end == STATE_SUCCEEDED ? "{\"epochs\":110,\"clean_accuracy\":0.83}" : NULL,
                        end == STATE_FAILED ? "{\"code\":\"data\",\"message\":\"no such file\"}" : NULL, start_ms + k);
    return r;
}

int main(int argc, char **argv)
{
    int jobs = argc > 2 ? atoi(argv[2]) : 10000;
    int64_t points = argc > 3 ? atoll(argv[3]) : 1000000;
    char message[256];
    struct db *db;

    if (argc < 2 || jobs < 2 * (SMALL_JOBS + 1) || points < 1) {
        fprintf(stderr, "usage: load_fill FILE [JOBS [POINTS]]; at least %d jobs\n", 2 * (SMALL_JOBS + 1));
        return 2;
    }
    int r = db_open(argv[1], &db, message);
    if (r < 0) {
        fprintf(stderr, "load_fill: %s\n", message);
        return 1;
    }
    r = jobs_insert(db, 0, jobs / 2);
    for (int k = 0; k < jobs / 2 && r >= 0; k++)
        r = job_run(db, k, points);
    if (r >= 0)
        r = jobs_insert(db, jobs / 2, jobs - jobs / 2);
    if (r < 0)
        fprintf(stderr, "load_fill: %s\n", db_errmsg(db));
    db_close(db);
    return r < 0;
}
