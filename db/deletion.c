/* How is a job with tens of millions of rows deleted while others write?
 *
 *   db_job_delete   one short transaction: the job can't be found any more, what of it counts
 *                   elsewhere goes, its directory is doomed
 *   db_gone_clear   a slice of the rows that it left, as often as the janitor calls; the
 *                   job's own row comes last
 *
 * In between its row is `gone`: called by a name that no id is like, so that whoever looks
 * by id doesn't find it, and without a parent. Who looks through all jobs says NOT_GONE. Its
 * points and events hang on it until they are cleared, by this riftd or the next. */
#include "db/inside.h"

#include <stdio.h>

enum { SLICE = 2000 }; /* rows of a transaction: 10 to 20 ms, and its fsync */

/* What others would see or count, or stumble over, of a job that is gone: few rows. */
static const char *const seen[] = {
    JOB_TREE "DELETE FROM artifact WHERE job IN (SELECT number FROM tree)",
    JOB_TREE "DELETE FROM idempotency WHERE job IN (SELECT number FROM tree)",
    JOB_TREE "DELETE FROM model_use WHERE job IN (SELECT number FROM tree)",
    JOB_TREE "DELETE FROM dependency WHERE job IN (SELECT number FROM tree)",
    JOB_TREE "DELETE FROM dependency WHERE needs IN (SELECT number FROM tree)",
    JOB_TREE "UPDATE job SET gone = 1, id = 'gone-' || number, parent = NULL WHERE number IN (SELECT number FROM tree)",
};

/* What is cleared in slices, the most first. ?2: at most so many rows. */
static const char *const left[] = {
    "DELETE FROM point WHERE (series, step) IN (SELECT series, step FROM point"
    " WHERE series IN (SELECT id FROM series WHERE job = ?1) LIMIT ?2)",
    "DELETE FROM event WHERE id IN (SELECT id FROM event WHERE job = ?1 ORDER BY id LIMIT ?2)",
    "DELETE FROM rollup WHERE (series, level, first) IN (SELECT series, level, first FROM rollup"
    " WHERE series IN (SELECT id FROM series WHERE job = ?1) LIMIT ?2)",
    "DELETE FROM outcome WHERE id IN (SELECT id FROM outcome WHERE job = ?1 LIMIT ?2)",
    "DELETE FROM attempt WHERE (job, number) IN (SELECT job, number FROM attempt WHERE job = ?1 LIMIT ?2)",
    "DELETE FROM series WHERE id IN (SELECT id FROM series WHERE job = ?1 LIMIT ?2)",
};

int job_delete(struct connection *on, const char *id)
{
    struct job_key job, parent;
    int r = job_key_find(on, id, &job);

    if (r >= 0 && !job_state_ended(job.state))
        r = refuse(-ESTALE, "job %s is %s: only ended jobs can be deleted", id, job_state_names[job.state]);
    if (r >= 0 && *job.parent && (r = job_key_find(on, job.parent, &parent)) >= 0 && !job_state_ended(parent.state))
        r = refuse(-ESTALE, "job %s is a step of %s, which has not ended", id, job.parent);
    if (r >= 0)
        r = job_needed(on, &job);
    if (r > 0)
        r = refuse(-ESTALE, "a job that has not ended needs job %s", id);
    if (r == 0)
        r = query_run(on, JOB_TREE "INSERT OR IGNORE INTO doomed(path) SELECT id FROM tree", VALUES(V(job.number)));
    if (r >= 0 && *job.parent) /* what its parent has counted must not shrink: job_version.c */
        r = query_run(on,
                      "UPDATE job SET version = version + 1 + (SELECT version FROM job AS step WHERE step.number = ?1)"
                      " WHERE id = ?2",
                      VALUES(V(job.number), V(job.parent)));
    for (size_t i = 0; i < sizeof(seen) / sizeof(seen[0]) && r >= 0; i++)
        r = query_run(on, seen[i], VALUES(V(job.number)));
    return r < 0 ? r : 0;
}

int db_job_delete(struct db *db, const char *id)
{
    struct connection *on;
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    return writer_end(db, job_delete(on, id));
}

/* At most `most` rows of a job that is gone; itself when nothing is left of it. How many went. */
static int gone_slice(struct connection *on, int64_t job, int most)
{
    int went = 0, r = 0;

    for (size_t i = 0; i < sizeof(left) / sizeof(left[0]) && r >= 0 && went < most; i++) {
        r = query_run(on, left[i], VALUES(V(job), V(most - went)));
        went += r;
    }
    if (r >= 0 && went < most) {
        r = query_run(on, "DELETE FROM job WHERE number = ?1", VALUES(V(job)));
        went++;
    }
    return r < 0 ? r : went;
}

static int gone_clear(struct connection *on)
{
    int64_t job = 0;
    int went = 0, r = 1;

    while (went < SLICE && r > 0) {
        r = number_read(on, "SELECT number FROM job INDEXED BY job_gone WHERE gone = 1 ORDER BY number LIMIT 1",
                        NO_VALUES, &job);
        if (r > 0) {
            r = gone_slice(on, job, SLICE - went);
            went += r;
        }
    }
    return r < 0 ? r : r > 0;
}

int db_gone_clear(struct db *db)
{
    struct connection *on;
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    return writer_end(db, gone_clear(on));
}
