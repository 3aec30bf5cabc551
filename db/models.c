/* Which weights are known by themselves, apart from any job?
 *
 * A model is a name, who registered it, the hash of its bytes and, when a job
 * made it, which. The bytes lie in STATE/models under their hash, so that the
 * same ones are there once; api/models.c keeps files and rows together. Jobs that read a model
 * are remembered: it can't go while one of them hasn't ended, and people see
 * what became of it. */
#include "db/inside.h"

#include <stdio.h>

#define MODEL_COLUMNS "number, id, name, owner, size, sha256, created_ms, job, artifact "

static void model_read(const struct query *query, struct db_model *ret)
{
    ret->number = query_int(query, 0);
    query_copy(query, 1, ret->id, sizeof(ret->id));
    query_copy(query, 2, ret->name, sizeof(ret->name));
    query_copy(query, 3, ret->owner, sizeof(ret->owner));
    ret->size = query_int(query, 4);
    query_copy(query, 5, ret->sha256, sizeof(ret->sha256));
    ret->created_ms = query_int(query, 6);
    query_copy(query, 7, ret->job, sizeof(ret->job));
    query_copy(query, 8, ret->artifact, sizeof(ret->artifact));
}

static int models_read(struct query *query, struct db_model **ret)
{
    struct db_model *models = NULL;
    int count = 0, capacity = 0;
    int r;

    while ((r = query_next(query)) > 0) {
        r = array_room((void **)&models, count, &capacity, sizeof(*models));
        if (r < 0)
            break;
        model_read(query, &models[count++]);
    }
    if (r < 0) {
        free(models);
        return r;
    }
    *ret = models;
    return count;
}

static int model_find(struct connection *on, const char *id, struct db_model *ret)
{
    query_auto query = { 0 };
    int r = query_start(on, &query, "SELECT " MODEL_COLUMNS "FROM model WHERE id = ?1", VALUES(V(id)));

    if (r >= 0)
        r = query_next(&query);
    if (r < 0)
        return r;
    if (r == 0)
        return refuse(-ENOENT, "no model %.36s", id);
    model_read(&query, ret);
    return 0;
}

static const char *text_or_null(const char *text)
{
    return *text ? text : NULL;
}

static int model_insert(struct connection *on, const struct db_model *model, struct db_model *ret)
{
    query_auto query = { 0 };
    int r = query_start(on, &query,
                        "SELECT " MODEL_COLUMNS "FROM model WHERE sha256 = ?1 AND name = ?2 AND owner = ?3 LIMIT 1",
                        VALUES(V(model->sha256), V(model->name), V(model->owner)));

    if (r >= 0)
        r = query_next(&query);
    if (r > 0)
        model_read(&query, ret);
    if (r != 0)
        return r;
    r = query_run(on,
                  "INSERT INTO model(id, name, owner, size, sha256, created_ms, job, artifact)"
                  " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                  VALUES(V(model->id), V(model->name), V(model->owner), V(model->size), V(model->sha256),
                         V(model->created_ms), V(text_or_null(model->job)), V(text_or_null(model->artifact))));
    return r < 0 ? r : model_find(on, model->id, ret);
}

int db_model_insert(struct db *db, const struct db_model *model, struct db_model *ret)
{
    struct connection *on;
    struct db_model found = { 0 };
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    r = writer_end(db, model_insert(on, model, &found));
    if (r >= 0)
        *ret = found;
    return r;
}

int db_model_get(struct db *db, const char *id, struct db_model *ret)
{
    struct connection *on;
    int r = readers_take(db, &on);

    if (r < 0)
        return r;
    r = model_find(on, id, ret);
    readers_give(db, on);
    return r;
}

int db_model_list(struct db *db, const struct db_model_filter *filter, struct db_model **ret)
{
    const struct {
        const char *column, *value;
    } terms[] = { { "name", filter->name }, { "owner", filter->owner }, { "job", filter->job } };
    struct value values[5];
    struct connection *on;
    char sql[400];
    int count = 0;
    int r = readers_take(db, &on);

    if (r < 0)
        return r;
    values[count++] = V(filter->before > 0 ? filter->before : INT64_MAX);
    int length = snprintf(sql, sizeof(sql), "SELECT " MODEL_COLUMNS "FROM model WHERE number < ?1");
    for (size_t i = 0; i < sizeof(terms) / sizeof(terms[0]); i++) {
        if (!terms[i].value)
            continue;
        values[count++] = V(terms[i].value);
        length += snprintf(sql + length, sizeof(sql) - (size_t)length, " AND %s = ?%d", terms[i].column, count);
    }
    values[count++] = V(filter->limit > 0 ? filter->limit : -1);
    snprintf(sql + length, sizeof(sql) - (size_t)length, " ORDER BY number DESC LIMIT ?%d", count);
    query_auto query = { 0 };
    r = query_start(on, &query, sql, values, count);
    if (r >= 0)
        r = models_read(&query, ret);
    query_done(&query);
    readers_give(db, on);
    return r;
}

int db_model_bytes_used(struct db *db, const char *sha256)
{
    int64_t used = 0;
    int r = number_select(db, "SELECT EXISTS(SELECT 1 FROM model WHERE sha256 = ?1)", VALUES(V(sha256)), &used);

    return r < 0 ? r : (int)used;
}

int db_model_users(struct db *db, const char *id, char (**ret_ids)[DB_ID_SIZE])
{
    struct connection *on;
    struct db_model model;
    int r = readers_take(db, &on);

    if (r < 0)
        return r;
    r = model_find(on, id, &model);
    if (r >= 0)
        r = ids_collect(on,
                        "SELECT job.id FROM model_use JOIN job ON job.number = model_use.job"
                        " WHERE model_use.model = ?1 ORDER BY model_use.job",
                        VALUES(V(model.number)), ret_ids);
    readers_give(db, on);
    return r;
}

int model_use_store(struct connection *on, int64_t job, const char *model)
{
    int r = query_run(on,
                      "INSERT INTO model_use(model, job) SELECT number, ?2 FROM model WHERE id = ?1"
                      " ON CONFLICT DO UPDATE SET job = ?2",
                      VALUES(V(model), V(job)));

    return r == 0 ? refuse(-ENOENT, "no model %.36s", model) : r;
}

/* 1 when an unended job reads it, 0 when none does. */
static int model_busy(struct connection *on, int64_t number)
{
    query_auto query = { 0 };
    int r = query_start(on, &query,
                        "SELECT 1 FROM model_use JOIN job ON job.number = model_use.job"
                        " WHERE model_use.model = ?1 AND job.state IN ('blocked','queued','running') LIMIT 1",
                        VALUES(V(number)));

    return r < 0 ? r : query_next(&query);
}

static int model_delete(struct connection *on, const char *id, bool *ret_last)
{
    struct db_model model;
    query_auto query = { 0 };
    int r = model_find(on, id, &model);

    if (r >= 0)
        r = model_busy(on, model.number);
    if (r > 0)
        r = refuse(-ESTALE, "a job that has not ended reads model %s", id);
    if (r >= 0)
        r = query_run(on, "DELETE FROM model_use WHERE model = ?1", VALUES(V(model.number)));
    if (r >= 0)
        r = query_run(on, "DELETE FROM model WHERE number = ?1", VALUES(V(model.number)));
    if (r >= 0)
        r = query_start(on, &query, "SELECT 1 FROM model WHERE sha256 = ?1 LIMIT 1", VALUES(V(model.sha256)));
    if (r >= 0)
        r = query_next(&query);
    *ret_last = r == 0;
    return r < 0 ? r : 0;
}

int db_model_delete(struct db *db, const char *id, bool *ret_last)
{
    struct connection *on;
    bool last = false;
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    r = writer_end(db, model_delete(on, id, &last));
    if (r >= 0)
        *ret_last = last;
    return r;
}
