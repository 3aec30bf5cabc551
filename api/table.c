/* What do rift jobs say together?
 *
 * The table of a sweep, of one rift job, or of several jobs (?with=ID,ID),
 * averaged by job/table.c and made of what the jobs say now, so that runs that
 * are missing stand there with their state. The stored result of a sweep is the
 * same table without states. */
#include "api/exchange.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RUNS_MAX 2000

/* The rift jobs of a table. */
struct gathered {
    struct db_job *jobs;
    struct table_run *runs;
    int count;
};

static void gathered_done(struct gathered *gathered)
{
    for (int i = 0; i < gathered->count; i++) {
        json_decref((json_t *)gathered->runs[i].spec);
        json_decref((json_t *)gathered->runs[i].result);
        db_job_done(&gathered->jobs[i]);
    }
    free(gathered->jobs);
    free(gathered->runs);
}

/* Move a rift job in. */
static int gather_one(struct gathered *gathered, struct db_job *job)
{
    size_t room = (size_t)gathered->count + 1;
    struct db_job *jobs = reallocarray(gathered->jobs, room, sizeof(*jobs));
    if (jobs)
        gathered->jobs = jobs;
    struct table_run *runs = reallocarray(gathered->runs, room, sizeof(*runs));
    if (runs)
        gathered->runs = runs;
    if (!jobs || !runs)
        return -ENOMEM;
    jobs[gathered->count] = *job;
    runs[gathered->count] = (struct table_run){ .state = job_state_names[job->state],
                                                .spec = text_json(job->spec),
                                                .result = text_json(job->result) };
    gathered->count++;
    *job = (struct db_job){ 0 };
    return 0;
}

static int gather_sweep(struct gathered *gathered, struct db *db, const char *id)
{
    struct db_job *steps;
    int count = db_job_steps(db, id, &steps), r = 0;

    for (int i = 0; i < count && r >= 0; i++)
        r = gather_one(gathered, &steps[i]);
    if (count >= 0)
        db_jobs_free(steps, count);
    return count < 0 ? count : r;
}

/* A rift job, or those of a sweep. 1; 0 when answered. */
static int gather(const struct request *request, struct answer *answer, struct gathered *gathered, const char *id)
{
    struct db *db = request->config->db;
    db_job_auto job = { 0 };
    int r = db_job_get(db, id, &job);

    if (r == -ENOENT)
        return answer_problem(answer, request, PROBLEM_NO_JOB, "there is no job %.36s", id);
    if (r < 0)
        return r;
    int kind = job_kind_find(job.kind);
    if (kind != JOB_RIFT && kind != JOB_SWEEP)
        return answer_problem(answer, request, PROBLEM_BAD_QUERY,
                              "only rift and sweep jobs have a table, job %s is a %s job", id, job.kind);
    r = kind == JOB_RIFT ? gather_one(gathered, &job) : gather_sweep(gathered, db, job.id);
    if (r >= 0 && gathered->count > RUNS_MAX)
        return answer_problem(answer, request, PROBLEM_BAD_QUERY, "these are more than %d rift jobs", RUNS_MAX);
    return r < 0 ? r : 1;
}

/* Those of ?with=ID,ID. 1; 0 when answered. */
static int gather_with(const struct request *request, struct answer *answer, struct gathered *gathered)
{
    const char *with = request_query(request, "with");
    char id[DB_ID_SIZE];
    int found, r = 1;

    with = with ? with : "";
    while (r > 0 && (found = id_next(&with, id))) {
        if (found < 0)
            return answer_problem(answer, request, PROBLEM_BAD_QUERY, "with must be ids of jobs, separated by commas");
        r = gather(request, answer, gathered, id);
    }
    return r;
}

/* -1 with the 400 answered. */
static int format_read(const struct request *request, struct answer *answer)
{
    const char *name = request_query(request, "format");

    for (int i = 0; i < TABLE_FORMAT_COUNT; i++)
        if (table_formats[i].artifact && !strcmp(table_formats[i].name, name ? name : "json"))
            return i;
    answer_problem(answer, request, PROBLEM_BAD_QUERY, "format must be json, csv, markdown or latex");
    return -1;
}

static int table_answer(const struct request *request, struct answer *answer, struct gathered *gathered, int format)
{
    struct fault why = { 0 };
    json_t *made = NULL;

    for (int i = 0; i < gathered->count; i++) /* only now the jobs stay where they are */
        gathered->runs[i].id = gathered->jobs[i].id;
    int r = table_make(gathered->runs, gathered->count, request_query(request, "group_by"), &made, &why);
    json_auto_t *table = made;
    if (r == -EINVAL || r == -ENOENT)
        return answer_problem(answer, request, r == -ENOENT ? PROBLEM_BAD_QUERY : PROBLEM_NOT_COMPARABLE, "%s",
                              why.message);
    if (r < 0)
        return r;
    if (format == TABLE_JSON)
        return answer_json(answer, 200, json_incref(table));
    char *text = table_text(table, (enum table_format)format);
    if (!text)
        return -ENOMEM;
    answer->status = 200;
    answer->type = table_formats[format].type;
    answer->text = text;
    answer->size = strlen(text);
    return 0;
}

int handle_job_table(const struct request *request, struct answer *answer)
{
    struct gathered gathered = { 0 };
    int format = format_read(request, answer);

    if (format < 0)
        return 0;
    int r = *request->id ? gather(request, answer, &gathered, request->id)
                         : answer_problem(answer, request, PROBLEM_NO_JOB, "there is no such job");
    if (r > 0)
        r = gather_with(request, answer, &gathered);
    if (r > 0)
        r = table_answer(request, answer, &gathered, format);
    gathered_done(&gathered);
    return r;
}
