/* Which files did a job announce?
 *
 * Only what an `artifact` event said, or riftd itself: name, size, hash. The bytes stay in the
 * job directory. A name that is announced again (best.safetensors after a
 * better epoch) means its newest bytes. */
#include "db/inside.h"

int artifact_store(struct connection *on, int64_t job, int64_t time_ms, const struct db_row *row)
{
    int r = query_run(on,
                      "INSERT INTO artifact(job, name, size, sha256, time_ms) VALUES(?1, ?2, ?3, ?4, ?5)"
                      " ON CONFLICT(job, name) DO UPDATE SET size = excluded.size, sha256 = excluded.sha256,"
                      " time_ms = excluded.time_ms",
                      VALUES(V(job), V(row->name), V(row->size), V(row->sha256), V(time_ms)));

    return r < 0 ? r : 0;
}

static void artifact_read(const struct query *query, struct db_artifact *ret)
{
    query_copy(query, 0, ret->name, sizeof(ret->name));
    ret->size = query_int(query, 1);
    query_copy(query, 2, ret->sha256, sizeof(ret->sha256));
    ret->time_ms = query_int(query, 3);
}

/* All of a job's artifacts by name, or the one called `name`. */
static int artifacts_select(struct connection *on, const char *job, const char *name, struct db_artifact **ret)
{
    query_auto query = { 0 };
    struct db_artifact *artifacts = NULL;
    struct job_key key;
    int count = 0, capacity = 0;
    int r = job_key_find(on, job, &key);

    if (r >= 0 && name)
        r = query_start(on, &query, "SELECT name, size, sha256, time_ms FROM artifact WHERE job = ?1 AND name = ?2",
                        VALUES(V(key.number), V(name)));
    else if (r >= 0)
        r = query_start(on, &query, "SELECT name, size, sha256, time_ms FROM artifact WHERE job = ?1 ORDER BY name",
                        VALUES(V(key.number)));
    while (r >= 0 && (r = query_next(&query)) > 0) {
        r = array_room((void **)&artifacts, count, &capacity, sizeof(*artifacts));
        if (r >= 0)
            artifact_read(&query, &artifacts[count++]);
    }
    if (r < 0) {
        free(artifacts);
        return r;
    }
    *ret = artifacts;
    return count;
}

int db_artifact_list(struct db *db, const char *job, struct db_artifact **ret)
{
    struct connection *on;
    int r = readers_take(db, &on);

    if (r < 0)
        return r;
    r = artifacts_select(on, job, NULL, ret);
    readers_give(db, on);
    return r;
}

int db_artifact_get(struct db *db, const char *job, const char *name, struct db_artifact *ret)
{
    struct connection *on;
    struct db_artifact *artifacts;
    int r = readers_take(db, &on);

    if (r < 0)
        return r;
    r = artifacts_select(on, job, name, &artifacts);
    readers_give(db, on);
    if (r < 0)
        return r;
    if (r > 0)
        *ret = artifacts[0];
    free(artifacts);
    return r > 0 ? 0 : refuse(-ENOENT, "job %.36s has no artifact \"%s\"", job, name);
}

int db_artifact_put(struct db *db, const char *job, const char *name, int64_t size, const char *sha256, int64_t now_ms)
{
    const struct db_row row = { .type = ROW_ARTIFACT, .name = name, .size = size, .sha256 = sha256 };
    struct connection *on;
    struct job_key key;
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    r = job_key_find(on, job, &key);
    if (r >= 0)
        r = artifact_store(on, key.number, now_ms, &row);
    return writer_end(db, r);
}
