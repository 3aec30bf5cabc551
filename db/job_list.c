/* How are jobs looked up?
 *
 * Reading only: one job, lists by filter, a job's neighbours, its place in the
 * queue. Every list goes through an index; the cursor is the job's number, so
 * that a page costs the same however deep it lies. */
#include "db/inside.h"

#include <stdio.h>

#define JOB_COLUMNS                                                                                                    \
    "number, id, kind, state, label, priority, parent, step, device, attempts, cancel_wanted, "                        \
    "created_ms, started_ms, ended_ms, pid, pid_start, boot_id, journal_offset, spec, result, error, progress, "       \
    "owner, "                                                                                                          \
    "wants, crashes, held, pinned, rank, memory, time_limit_ms, ran_ms, attempt_ms, not_before_ms, purged_ms, "        \
    "purged, version, failure, attempt_steady_ms, attempt_ran_ms "
const char job_columns[] = JOB_COLUMNS;

const char *const job_state_names[STATE_COUNT] = {
    [STATE_BLOCKED] = "blocked",     [STATE_QUEUED] = "queued", [STATE_RUNNING] = "running",
    [STATE_SUCCEEDED] = "succeeded", [STATE_FAILED] = "failed", [STATE_CANCELLED] = "cancelled",
};

const char *const db_condition_names[CONDITION_COUNT] = { "success", "failure", "any" };

int job_state_find(const char *name)
{
    for (int i = 0; i < STATE_COUNT; i++)
        if (strcmp(job_state_names[i], name) == 0)
            return i;
    return -ENOENT;
}

bool job_state_ended(enum job_state state)
{
    return state == STATE_SUCCEEDED || state == STATE_FAILED || state == STATE_CANCELLED;
}

void db_job_done(struct db_job *job)
{
    free(job->spec);
    free(job->result);
    free(job->error);
    free(job->progress);
    free(job->failure);
    *job = (struct db_job){ 0 };
}

void db_jobs_free(struct db_job *jobs, int count)
{
    for (int i = 0; i < count; i++)
        db_job_done(&jobs[i]);
    free(jobs);
}

enum job_state state_read(const struct query *query, int column)
{
    char name[16];

    query_copy(query, column, name, sizeof(name));
    int state = job_state_find(name);
    assert(state >= 0); /* the table's CHECK */
    return (enum job_state)state;
}

enum db_condition condition_read(const struct query *query, int column)
{
    char name[16];
    int condition = 0;

    query_copy(query, column, name, sizeof(name));
    while (condition < CONDITION_COUNT && strcmp(db_condition_names[condition], name) != 0)
        condition++;
    assert(condition < CONDITION_COUNT); /* the table's CHECK */
    return (enum db_condition)condition;
}

/* What the scheduler weighs; columns from the 23rd on. */
static void weighed_read(const struct query *query, struct db_job *job)
{
    query_copy(query, 23, job->wants, sizeof(job->wants));
    job->crashes = (int)query_int(query, 24);
    job->held = query_int(query, 25) != 0;
    job->pinned = query_int(query, 26) != 0;
    job->rank = query_int(query, 27);
    job->memory_bytes = query_int(query, 28);
    job->time_limit_ms = query_int(query, 29);
    job->ran_ms = query_int(query, 30);
    job->attempt_ms = query_int(query, 31);
    job->not_before_ms = query_int(query, 32);
    job->purged_ms = query_int(query, 33);
    job->purged = (int)(query_int(query, 34) & PARTS_ALL);
    job->version = query_int(query, 35);
    job->attempt_steady_ms = query_int(query, 37);
    job->attempt_ran_ms = query_int(query, 38);
}

/* A row of job_columns. The spec is loaded only when `spec` is true. */
int job_read(const struct query *query, bool spec, struct db_job *ret)
{
    struct db_job job = { 0 };
    int r = 0;

    job.number = query_int(query, 0);
    query_copy(query, 1, job.id, sizeof(job.id));
    query_copy(query, 2, job.kind, sizeof(job.kind));
    job.state = state_read(query, 3);
    query_copy(query, 4, job.label, sizeof(job.label));
    job.priority = (int)query_int(query, 5);
    query_copy(query, 6, job.parent, sizeof(job.parent));
    job.step = (int)query_int(query, 7);
    query_copy(query, 8, job.device, sizeof(job.device));
    job.attempts = (int)query_int(query, 9);
    job.cancel_wanted = query_int(query, 10) != 0;
    job.created_ms = query_int(query, 11);
    job.started_ms = query_int(query, 12);
    job.ended_ms = query_int(query, 13);
    job.pid = query_int(query, 14);
    job.pid_start = query_int(query, 15);
    query_copy(query, 16, job.boot_id, sizeof(job.boot_id));
    job.journal_offset = query_int(query, 17);
    query_copy(query, 22, job.owner, sizeof(job.owner));
    weighed_read(query, &job);
    if (spec)
        r = query_dup(query, 18, &job.spec);
    if (r >= 0)
        r = query_dup(query, 19, &job.result);
    if (r >= 0)
        r = query_dup(query, 20, &job.error);
    if (r >= 0)
        r = query_dup(query, 21, &job.progress);
    if (r >= 0)
        r = query_dup(query, 36, &job.failure);
    if (r < 0) {
        db_job_done(&job);
        return r;
    }
    *ret = job;
    return 0;
}

int jobs_read(struct query *query, bool spec, struct db_job **ret_jobs)
{
    struct db_job *jobs = NULL;
    int count = 0, capacity = 0;
    int r;

    while ((r = query_next(query)) > 0) {
        r = array_room((void **)&jobs, count, &capacity, sizeof(*jobs));
        if (r >= 0)
            r = job_read(query, spec, &jobs[count]);
        if (r < 0)
            break;
        count++;
    }
    if (r < 0) {
        db_jobs_free(jobs, count);
        return r;
    }
    *ret_jobs = jobs;
    return count;
}

int job_key_find(struct connection *on, const char *id, struct job_key *ret)
{
    query_auto query = { 0 };
    int r = query_start(on, &query,
                        "SELECT number, family, state, cancel_wanted, NOT " HAS_WORKER
                        ", id, parent, owner, " ATTEMPT_COLUMNS " FROM job WHERE id = ?1",
                        VALUES(V(id)));

    if (r >= 0)
        r = query_next(&query);
    if (r < 0)
        return r;
    if (r == 0)
        return refuse(-ENOENT, "no job %.36s", id);
    *ret = (struct job_key){
        .number = query_int(&query, 0),
        .family = query_int(&query, 1),
        .state = state_read(&query, 2),
        .cancel_wanted = query_int(&query, 3) != 0,
        .is_parent = query_int(&query, 4) != 0,
    };
    query_copy(&query, 5, ret->id, sizeof(ret->id));
    query_copy(&query, 6, ret->parent, sizeof(ret->parent));
    query_copy(&query, 7, ret->owner, sizeof(ret->owner));
    ret->attempt = attempt_read(&query, 8);
    return 0;
}

/* Ids first, moves afterwards: a query must not walk rows that its own loop changes. */
int ids_collect(struct connection *on, const char *sql, const struct value *values, int count,
                char (**ret_ids)[DB_ID_SIZE])
{
    query_auto query = { 0 };
    char(*ids)[DB_ID_SIZE] = NULL;
    int used = 0, capacity = 0;
    int r = query_start(on, &query, sql, values, count);

    while (r >= 0 && (r = query_next(&query)) > 0) {
        r = array_room((void **)&ids, used, &capacity, sizeof(*ids));
        if (r >= 0)
            query_copy(&query, 0, ids[used++], sizeof(*ids));
    }
    if (r < 0) {
        free(ids);
        return r;
    }
    *ret_ids = ids;
    return used;
}

/* Run one query on a reader and read all its rows as jobs. */
static int jobs_select(struct db *db, const char *sql, const struct value *values, int count, bool spec,
                       struct db_job **ret_jobs)
{
    struct connection *on;
    int r = readers_take(db, &on);

    if (r < 0)
        return r;
    query_auto query = { 0 };
    r = query_start(on, &query, sql, values, count);
    if (r >= 0)
        r = jobs_read(&query, spec, ret_jobs);
    query_done(&query);
    readers_give(db, on);
    return r;
}

int db_job_get(struct db *db, const char *id, struct db_job *ret)
{
    struct db_job *jobs;
    int r = jobs_select(db, "SELECT " JOB_COLUMNS "FROM job WHERE id = ?1", VALUES(V(id)), true, &jobs);

    if (r < 0)
        return r;
    if (r == 0) {
        free(jobs);
        return refuse(-ENOENT, "no job %.36s", id);
    }
    *ret = jobs[0];
    free(jobs);
    return 0;
}

int db_job_repeated(struct db *db, const char *owner, const char *key, const char *body_sha256, char ret_id[DB_ID_SIZE])
{
    struct connection *on;
    int r = readers_take(db, &on);

    if (r < 0)
        return r;
    r = idempotency_find(on, owner, key, body_sha256, ret_id);
    readers_give(db, on);
    return r;
}

/* A condition of a list, and its value. */
struct term {
    bool wanted;
    const char *column, *compare;
    struct value value;
};

/* Without statistics SQLite takes any index that fits. The terms stand from the one that
 * leaves the fewest jobs to the one that leaves the most; a "+" keeps the others' from being used. */
static int terms_write(const struct term *terms, int terms_count, bool first, char *sql, size_t size,
                       struct value *values, int count)
{
    for (int i = 0; i < terms_count; i++) {
        if (!terms[i].wanted)
            continue;
        size_t length = strlen(sql);
        values[count++] = terms[i].value;
        snprintf(sql + length, size - length, " AND %s%s %s ?%d", first ? "" : "+", terms[i].column, terms[i].compare,
                 count);
        first = false;
    }
    return count;
}

int db_job_list(struct db *db, const struct db_job_filter *filter, struct db_job **ret_jobs)
{
    const char *parent = filter->parent && *filter->parent ? filter->parent : NULL;
    const struct term terms[] = {
        { parent != NULL, "parent", "=", V(parent) },
        { filter->label != NULL, "label", "=", V(filter->label) },
        { filter->owner != NULL, "owner", "=", V(filter->owner) },
        { filter->state >= 0, "state", "=", V(filter->state >= 0 ? job_state_names[filter->state] : NULL) },
        { filter->kind != NULL, "kind", "=", V(filter->kind) },
        { filter->parent && !parent, "parent", "IS", V(parent) },
        { filter->dataset != NULL, "json_extract(spec, '$.dataset.name')", "=", V(filter->dataset) }, /* no index */
    };
    /* One text per combination of filters, so that each is prepared once; ?1 is the cursor. 'g' comes after
     * everything that an id is written with. */
    static const char start[] = "SELECT " JOB_COLUMNS "FROM job WHERE " NOT_GONE;
    char sql[832];
    struct value values[10] = { V(filter->before > 0 ? filter->before : INT64_MAX), V(filter->id) };
    int count = filter->id ? 2 : 1;
    snprintf(sql, sizeof(sql), "%s%s", start,
             filter->id ? " AND id BETWEEN ?2 AND ?2 || 'g' AND +number < ?1" : " AND number < ?1");
    count = terms_write(terms, (int)(sizeof(terms) / sizeof(terms[0])), !filter->id, sql, sizeof(sql), values, count);
    size_t length = strlen(sql);

    values[count++] = V(filter->limit > 0 ? filter->limit : -1);
    snprintf(sql + length, sizeof(sql) - length, " ORDER BY number DESC LIMIT ?%d", count);
    return jobs_select(db, sql, values, count, false, ret_jobs);
}

int db_job_steps(struct db *db, const char *parent, struct db_job **ret_jobs)
{
    return jobs_select(db, "SELECT " JOB_COLUMNS "FROM job WHERE parent = ?1 ORDER BY step", VALUES(V(parent)), true,
                       ret_jobs);
}

int db_job_users(struct db *db, const char *id, int limit, struct db_job **ret_jobs)
{
    return jobs_select(db,
                       "SELECT " JOB_COLUMNS "FROM job WHERE number IN (SELECT dependency.job FROM dependency"
                       " WHERE needs = (SELECT number FROM job WHERE id = ?1)) ORDER BY number LIMIT ?2",
                       VALUES(V(id), V(limit)), false, ret_jobs);
}

int db_job_running(struct db *db, struct db_job **ret_jobs)
{
    return jobs_select(db, "SELECT " JOB_COLUMNS "FROM job WHERE state = 'running' AND " HAS_WORKER " ORDER BY number",
                       NO_VALUES, true, ret_jobs);
}

int db_job_after(struct db *db, const char *id, struct db_need **ret)
{
    struct connection *on;
    struct db_need *needs = NULL;
    int count = 0, capacity = 0, r = readers_take(db, &on);

    if (r < 0)
        return r;
    query_auto query = { 0 };
    r = query_start(on, &query,
                    "SELECT other.id, dependency.condition, other.state FROM job"
                    " JOIN dependency ON dependency.job = job.number"
                    " JOIN job AS other ON other.number = dependency.needs WHERE job.id = ?1 ORDER BY dependency.needs",
                    VALUES(V(id)));
    while (r >= 0 && (r = query_next(&query)) > 0) {
        r = array_room((void **)&needs, count, &capacity, sizeof(*needs));
        if (r < 0)
            break;
        query_copy(&query, 0, needs[count].id, sizeof(needs[count].id));
        needs[count].on = condition_read(&query, 1);
        needs[count++].state = state_read(&query, 2);
    }
    query_done(&query);
    readers_give(db, on);
    if (r < 0) {
        free(needs);
        return r;
    }
    *ret = needs;
    return count;
}

int db_job_count(struct db *db, enum job_state state, int64_t *ret)
{
    return number_select(db, "SELECT COUNT(*) FROM job WHERE state = ?1 AND " NOT_GONE,
                         VALUES(V(job_state_names[state])), ret);
}
