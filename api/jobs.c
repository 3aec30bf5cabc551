/* What can be done with jobs that are there?
 *
 * List, look, cancel, retry, forget. Which moves a state allows is db/'s
 * business; here its answers become status codes. */
#include "api/exchange.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_LIMIT_MAX 200
#define LIST_LIMIT     50
#define LIST_ID_MIN    8 /* the jobs of about a minute (RFC 9562, UUIDv7), which may be sorted */

/* Read the filter; false when a problem has been answered. */
static bool filter_read(const struct request *request, struct answer *answer, struct db_job_filter *ret)
{
    const char *state = request_query(request, "state"), *cursor = request_query(request, "cursor");
    int64_t limit;

    *ret = (struct db_job_filter){ .id = request_query(request, "id"),
                                   .state = -1,
                                   .kind = request_query(request, "kind"),
                                   .label = request_query(request, "label"),
                                   .owner = request_query(request, "owner"),
                                   .parent = request_query(request, "parent"),
                                   .dataset = request_query(request, "dataset") };
    if (request_int(request, answer, "limit", 1, LIST_LIMIT_MAX, LIST_LIMIT, &limit) < 0)
        return false;
    ret->limit = (int)limit;
    size_t length = ret->id ? strlen(ret->id) : 0;
    if (ret->id && (length < LIST_ID_MIN || length >= DB_ID_SIZE || strspn(ret->id, "0123456789abcdef-") != length)) {
        answer_problem(answer, request, PROBLEM_BAD_QUERY, "id must be the first %d to %d characters of a job's id",
                       LIST_ID_MIN, DB_ID_SIZE - 1);
        return false;
    }
    if (state && (ret->state = job_state_find(state)) < 0) {
        answer_problem(answer, request, PROBLEM_BAD_QUERY,
                       "state must be blocked, queued, running, succeeded, failed or cancelled");
        return false;
    }
    if (ret->kind && job_kind_find(ret->kind) < 0) {
        answer_problem(answer, request, PROBLEM_BAD_QUERY, "kind: there is no such kind of job");
        return false;
    }
    if (ret->dataset && !ret->kind) {
        answer_problem(answer, request, PROBLEM_BAD_QUERY, "dataset goes with kind: say which kind of jobs");
        return false;
    }
    if (ret->parent && *ret->parent && !id_valid(ret->parent)) {
        answer_problem(answer, request, PROBLEM_BAD_QUERY, "parent must be a job's id, or empty for jobs without one");
        return false;
    }
    if (cursor && cursor_read(cursor, &ret->before) < 0) {
        answer_problem(answer, request, PROBLEM_BAD_QUERY, "cursor must be the `next` of another page");
        return false;
    }
    return true;
}

int handle_job_list(const struct request *request, struct answer *answer)
{
    struct db_job_filter filter;
    struct db_job *jobs;
    char cursor[CURSOR_SIZE];

    if (!filter_read(request, answer, &filter))
        return 0;
    int limit = filter.limit++; /* one more says whether there is a next page */
    int count = db_job_list(request->config->db, &filter, &jobs), r = 0;
    if (count < 0)
        return count;
    bool more = count > limit;
    json_auto_t *list = json_array();
    for (int i = 0; i < (more ? limit : count) && r >= 0; i++)
        r = json_array_append_new(list, job_summary_json(&jobs[i])) < 0 ? -ENOMEM : 0;
    if (more && r >= 0) {
        cursor_make(jobs[limit - 1].number, cursor);
        r = answer_next(request, answer, cursor);
    }
    db_jobs_free(jobs, count);
    if (r < 0)
        return r;
    return answer_json(answer, 200,
                       json_pack("{s:O, s:o}", "jobs", list, "next", more ? json_string(cursor) : json_null()));
}

int handle_job_get(const struct request *request, struct answer *answer)
{
    int64_t wait_s, version;

    if (request_int(request, answer, "wait", 0, WAIT_MAX_S, 0, &wait_s) < 0 ||
        request_int(request, answer, "version", 0, INT64_MAX, -1, &version) < 0)
        return 0;
    if (!wait_s)
        return answer_job(request, answer, 200, request->id);
    return answer_job_later(request, answer, (int)wait_s, version);
}

/* -ENOENT and -ESTALE of a move as problems. */
static int move_refused(const struct request *request, struct answer *answer, int r)
{
    if (r == -ENOENT)
        return answer_problem(answer, request, PROBLEM_NO_JOB, "there is no such job");
    if (r == -ESTALE)
        return answer_problem(answer, request, PROBLEM_STATE, "%s", db_errmsg(request->config->db));
    return r;
}

int handle_job_cancel(const struct request *request, struct answer *answer)
{
    const struct api_config *config = request->config;
    int r = db_job_cancel(config->db, request->id, config->now_ms(config->user));

    if (r < 0)
        return move_refused(request, answer, r);
    config->bell(config->user);
    return answer_job(request, answer, 202, request->id);
}

int handle_job_retry(const struct request *request, struct answer *answer)
{
    const struct api_config *config = request->config;
    int r = retry_check(request, answer, request->id);

    if (r <= 0)
        return r;
    r = db_job_retry(config->db, request->id, config->now_ms(config->user));
    if (r < 0)
        return move_refused(request, answer, r);
    config->bell(config->user);
    return answer_job(request, answer, 202, request->id);
}

/* Out of the way at once; the daemon removes it when it has time. */
static void jobdir_trash(const struct api_config *config, const char *id)
{
    char *from, *to;

    if (asprintf(&from, "%s/%s", config->jobs_dir, id) < 0)
        return;
    if (asprintf(&to, "%s/%s", config->trash_dir, id) >= 0) {
        rename(from, to); /* where that fails the daemon, which has its name too, tries again */
        free(to);
    }
    free(from);
}

/* First the row, then the files: their names stand in the database until they are
 * gone, so a crash between leaves neither files that nothing names nor a job whose
 * files are gone. */
int handle_job_delete(const struct request *request, struct answer *answer)
{
    const struct api_config *config = request->config;
    char(*below)[DB_ID_SIZE] = NULL;
    int count = db_job_below(config->db, request->id, &below);

    if (count < 0 && count != -ENOENT)
        return count;
    int r = db_job_delete(config->db, request->id);
    if (r >= 0)
        jobdir_trash(config, request->id);
    for (int i = 0; i < count && r >= 0; i++)
        jobdir_trash(config, below[i]);
    free(below);
    if (r < 0)
        return move_refused(request, answer, r);
    if (config->tidy)
        config->tidy(config->user);
    answer->status = 204;
    return 0;
}
