/* What has a job found out so far? (Its curves: curves.c.)
 *
 * Everything here is served from what db/ ingested of the journal, so it is
 * the same during the run, after it, and after a restart. */
#include "api/exchange.h"

#include <errno.h>
#include <float.h>
#include <stdlib.h>
#include <string.h>

int rows_read(struct db *db, const char *job, enum db_row_type type, json_t **ret)
{
    char **texts;
    int count = db_row_list(db, job, type, &texts);

    if (count < 0)
        return count;
    json_t *list = json_array();
    for (int i = 0; i < count; i++) {
        json_t *row = text_json(texts[i]);
        json_object_del(row, "seq");
        json_object_del(row, "type");
        json_array_append_new(list, row);
    }
    db_texts_free(texts, count);
    *ret = list;
    return 0;
}

/* {"job", "kind", "complete", NAME: rows, EXTRA: member of the result, "images", "split"}: the
 * last three null until there is a result; without EXTRA none of them. */
static int rows_answer(const struct request *request, struct answer *answer, const struct db_job *job,
                       enum db_row_type type, const char *name, const char *extra, json_t **ret_rows)
{
    json_t *rows;
    int r = rows_read(request->config->db, job->id, type, &rows);

    if (r < 0)
        return r;
    json_auto_t *result = text_json(job->result);
    const char *const members[] = { extra, "images", "split" };
    json_t *json = json_pack("{s:s, s:s, s:b, s:o}", "job", job->id, "kind", job->kind, "complete",
                             job->state == STATE_SUCCEEDED, name, rows);
    for (size_t i = 0; json && extra && i < sizeof(members) / sizeof(members[0]); i++) {
        json_t *found = json_object_get(result, members[i]);
        json_object_set_new(json, members[i], found ? json_incref(found) : json_null());
    }
    if (ret_rows) { /* the caller adds to it and answers */
        *ret_rows = json;
        return json ? 0 : -ENOMEM;
    }
    return answer_json(answer, 200, json);
}

/* Until the job has said which, the lowest of the rows so far; sets of modules don't count. */
static json_t *lowest_so_far(const json_t *rows)
{
    double least = DBL_MAX;
    json_t *row, *lowest = NULL;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        json_t *mrc = json_object_get(row, "mrc");
        if (json_is_number(mrc) && json_number_value(mrc) < least && !json_object_get(row, "modules")) {
            least = json_number_value(mrc);
            lowest = json_object_get(row, "module");
        }
    }
    return lowest ? json_incref(lowest) : json_null();
}

int handle_job_modules(const struct request *request, struct answer *answer)
{
    db_job_auto job = { 0 };
    json_t *json;

    int r = source_find(request, answer, JOB_MRC, &job);
    if (r <= 0)
        return r;
    r = rows_answer(request, answer, &job, ROW_MODULE, "modules", "lowest", &json);
    if (r < 0)
        return r;
    if (json_is_null(json_object_get(json, "lowest")))
        json_object_set_new(json, "lowest", lowest_so_far(json_object_get(json, "modules")));
    return answer_json(answer, 200, json);
}

int handle_job_interpolation(const struct request *request, struct answer *answer)
{
    db_job_auto job = { 0 };
    int r = source_find(request, answer, JOB_INTERPOLATE, &job);

    return r <= 0 ? r : rows_answer(request, answer, &job, ROW_ALPHA, "points", "chosen_alpha", NULL);
}

int handle_job_evaluations(const struct request *request, struct answer *answer)
{
    db_job_auto job = { 0 };
    int r = source_find(request, answer, JOB_EVALUATE, &job);

    return r <= 0 ? r : rows_answer(request, answer, &job, ROW_EVALUATION, "evaluations", NULL, NULL);
}
