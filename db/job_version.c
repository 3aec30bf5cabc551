/* Has anything that people see of a job changed?
 *
 * Every row of job counts the changes of what is shown of it (a trigger, so that no
 * statement can forget to). What is shown of a parent has its steps in it, so a job's
 * version is the sum over itself and all below it. Each count only grows, and a step that
 * is deleted alone leaves its count, and one more, to its parent.
 *
 * Who changes a job only if nobody else did in between says so first (db_job_expect):
 * an expectation is the thread's, so that every change there is heeds it. */
#include "db/inside.h"

static int version_select(struct connection *on, const char *id, int64_t *ret)
{
    query_auto query = { 0 };
    int r = query_start(on, &query,
                        "WITH RECURSIVE tree(id, version) AS (SELECT id, version FROM job WHERE id = ?1"
                        " UNION ALL SELECT job.id, job.version FROM tree JOIN job ON job.parent = tree.id)"
                        " SELECT COUNT(*), SUM(version) FROM tree",
                        VALUES(V(id)));

    if (r >= 0)
        r = query_next(&query);
    if (r < 0)
        return r;
    if (!query_int(&query, 0))
        return refuse(-ENOENT, "there is no job %.36s", id);
    *ret = query_int(&query, 1);
    return 0;
}

int db_job_version(struct db *db, const char *id, int64_t *ret)
{
    struct connection *on;
    int r = readers_take(db, &on);

    if (r < 0)
        return r;
    r = version_select(on, id, ret);
    readers_give(db, on);
    return r;
}

/* ---- expectations ---- */

static _Thread_local struct {
    char id[DB_ID_SIZE]; /* "" none */
    int64_t version;
} expected;

void db_job_expect(const char *id, int64_t version)
{
    assert(!id || strlen(id) < sizeof(expected.id));
    strcpy(expected.id, id ? id : "");
    expected.version = version;
}

int expectation_check(struct connection *on)
{
    int64_t version = 0;
    int r = *expected.id ? version_select(on, expected.id, &version) : -ENOENT;

    if (r < 0)
        return r == -ENOENT ? 0 : r; /* that a job is gone the change will find out */
    return version == expected.version ? 0 : refuse(-ECANCELED, "job %.36s has changed meanwhile", expected.id);
}
