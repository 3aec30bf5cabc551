/* How do several jobs differ, in what they were told and in what came out?
 *
 * One answer for a page that draws them over each other: the same curve of each, the
 * criticality of modules in columns, and only those settings in which they differ. A
 * rift job is asked as everywhere: it answers with the step that knows, for a curve
 * with the first step that has one of that name. Whatever a job doesn't have is
 * null, or has no points. */
#include "api/exchange.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define JOBS_MAX 20

struct comparison {
    struct db *db;
    struct db_job jobs[JOBS_MAX];
    int count;
    const char *name; /* of the curve, or NULL */
    int max_points;
    json_t *rows;     /* [{id, ..., curve, criticality}] */
    json_t *modules;  /* {MODULE: [mrc of each job]} */
    json_t *settings; /* {POINTER: [value of each job]} */
};

static void comparison_done(struct comparison *comparison)
{
    for (int i = 0; i < comparison->count; i++)
        db_job_done(&comparison->jobs[i]);
    json_decref(comparison->rows);
    json_decref(comparison->modules);
    json_decref(comparison->settings);
}

/* Put a value into the column of job `i`; a row that isn't there yet is made of nulls. */
static void cell_set(const struct comparison *comparison, json_t *table, const char *row, int i, json_t *value)
{
    json_t *cells = json_object_get(table, row);

    if (!cells) {
        cells = json_array();
        for (int k = 0; k < comparison->count; k++)
            json_array_append_new(cells, json_null());
        json_object_set_new(table, row, cells);
    }
    json_array_set(cells, (size_t)i, value);
}

/* ---- settings ---- */

/* Lists are values: their places have no names. */
static void settings_add(const struct comparison *comparison, int i, const char *pointer, json_t *value)
{
    const char *name;
    json_t *member;
    char below[400];

    if (!json_is_object(value)) {
        cell_set(comparison, comparison->settings, pointer, i, value);
        return;
    }
    json_object_foreach(value, name, member)
    {
        snprintf(below, sizeof(below), "%s/%s", pointer, name);
        settings_add(comparison, i, below, member);
    }
}

static bool all_equal(const json_t *cells)
{
    const json_t *cell;
    size_t i;

    json_array_foreach(cells, i, cell) if (!json_equal(cell, json_array_get(cells, 0))) return false;
    return true;
}

/* [{KEY: row, VALUES: cells}] of a table, or of its rows that aren't all the same. */
static json_t *table_json(json_t *table, bool differing, const char *key, const char *values)
{
    json_t *list = json_array(), *cells;
    const char *row;

    json_object_foreach(table, row, cells)
    {
        if (differing && all_equal(cells))
            continue;
        json_array_append_new(list, json_pack("{s:s, s:O}", key, row, values, cells));
    }
    return list;
}

/* ---- a curve ---- */

static int curve_of(const struct comparison *comparison, const struct db_job *job, json_t **ret)
{
    json_t *points;
    int r = points_json(comparison->db, job->id, comparison->name, (struct db_steps){ -1, INT64_MAX },
                        comparison->max_points, &points);

    if (r >= 0)
        *ret = json_pack("{s:s, s:o}", "job", job->id, "points", points);
    return r;
}

static int curve_find(const struct comparison *comparison, const struct db_job *job, json_t **ret)
{
    int r = 0;

    if (strcmp(job->kind, job_kinds[JOB_RIFT].name))
        return curve_of(comparison, job, ret);
    for (int kind = 0; kind < JOB_KIND_COUNT && r >= 0; kind++) {
        db_job_auto step = { 0 };
        if (job_kinds[kind].parent)
            continue;
        r = step_find(comparison->db, job, kind, &step);
        if (!r)
            r = curve_of(comparison, &step, ret);
        if (!r && json_array_size(json_object_get(*ret, "points")))
            return 0;
        if (!r) {
            json_decref(*ret);
            *ret = NULL;
        }
        r = r == -ENOENT ? 0 : r;
    }
    return r;
}

/* ---- criticality ---- */

static int modules_add(const struct comparison *comparison, int i, const struct db_job *mrc, json_t **ret)
{
    json_t *found, *row;
    size_t k;
    int r = rows_read(comparison->db, mrc->id, ROW_MODULE, &found);

    if (r < 0)
        return r;
    json_auto_t *rows = found;
    json_array_foreach(rows, k, row)
    {
        const char *module = json_string_value(json_object_get(row, "module"));
        json_t *value = json_object_get(row, "mrc");
        if (module && value)
            cell_set(comparison, comparison->modules, module, i, value);
    }
    json_auto_t *result = text_json(mrc->result);
    json_t *lowest = json_object_get(result, "lowest");
    *ret = json_pack("{s:s, s:b, s:O?}", "job", mrc->id, "complete", mrc->state == STATE_SUCCEEDED, "lowest",
                     lowest ? lowest : NULL);
    return *ret ? 0 : -ENOMEM;
}

/* null for a job that measures none. */
static int criticality_find(const struct comparison *comparison, int i, json_t **ret)
{
    const struct db_job *job = &comparison->jobs[i];
    db_job_auto step = { 0 };

    if (!strcmp(job->kind, job_kinds[JOB_MRC].name))
        return modules_add(comparison, i, job, ret);
    int r = strcmp(job->kind, job_kinds[JOB_RIFT].name) ? -ENOENT : step_find(comparison->db, job, JOB_MRC, &step);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    return modules_add(comparison, i, &step, ret);
}

/* ---- all of it ---- */

static int job_add(struct comparison *comparison, int i)
{
    const struct db_job *job = &comparison->jobs[i];
    json_t *curve = NULL, *criticality = NULL;
    json_auto_t *spec = text_json(job->spec);

    settings_add(comparison, i, "", spec);
    int r = comparison->name ? curve_find(comparison, job, &curve) : 0;
    if (r >= 0)
        r = criticality_find(comparison, i, &criticality);
    if (r < 0) {
        json_decref(curve);
        return r;
    }
    json_t *row =
        json_pack("{s:s, s:s, s:s, s:o, s:o, s:o}", "id", job->id, "kind", job->kind, "state",
                  job_state_names[job->state], "label", *job->label ? json_string(job->label) : json_null(), "curve",
                  curve ? curve : json_null(), "criticality", criticality ? criticality : json_null());
    return json_array_append_new(comparison->rows, row) < 0 ? -ENOMEM : 0;
}

/* 1; 0 when answered. */
static int jobs_read(const struct request *request, struct answer *answer, struct comparison *comparison)
{
    const char *list = request_query(request, "jobs");
    char id[DB_ID_SIZE];
    int found;

    list = list ? list : "";
    while ((found = id_next(&list, id)) > 0) {
        if (comparison->count == JOBS_MAX)
            return answer_problem(answer, request, PROBLEM_BAD_QUERY, "jobs: at most %d", JOBS_MAX);
        int r = db_job_get(comparison->db, id, &comparison->jobs[comparison->count]);
        if (r == -ENOENT)
            return answer_problem(answer, request, PROBLEM_NO_JOB, "there is no job %.36s", id);
        if (r < 0)
            return r;
        comparison->count++;
    }
    if (found < 0 || !comparison->count)
        return answer_problem(answer, request, PROBLEM_BAD_QUERY, "jobs must be ids of jobs, separated by commas");
    return 1;
}

static int comparison_answer(struct answer *answer, const struct comparison *comparison)
{
    return answer_json(answer, 200,
                       json_pack("{s:s?, s:O, s:o, s:o}", "name", comparison->name, "jobs", comparison->rows, "modules",
                                 table_json(comparison->modules, false, "module", "mrc"), "differences",
                                 table_json(comparison->settings, true, "pointer", "values")));
}

int handle_compare(const struct request *request, struct answer *answer)
{
    struct comparison comparison = { .db = request->config->db,
                                     .name = request_query(request, "name"),
                                     .rows = json_array(),
                                     .modules = json_object(),
                                     .settings = json_object() };
    int64_t max_points;
    int r = 0;

    if (request_int(request, answer, "max_points", 2, POINTS_MAX, POINTS, &max_points) >= 0) {
        comparison.max_points = (int)max_points;
        r = jobs_read(request, answer, &comparison);
    }
    bool found = r > 0;
    for (int i = 0; i < comparison.count && found && r >= 0; i++)
        r = job_add(&comparison, i);
    if (found && r >= 0)
        r = comparison_answer(answer, &comparison);
    comparison_done(&comparison);
    return r;
}
