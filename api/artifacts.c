/* How do the files that a job made get out?
 *
 * The list is what artifact events announced; the bytes lie in the job
 * directory. The two can differ: a worker first puts the next best.safetensors in
 * place and then announces it, and the announcement takes a moment to arrive, or
 * never comes when the worker is killed in between. Bytes that aren't the
 * announced ones never go out under the announced hash. */
#include "api/exchange.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_BYTES 65536

/* Rows of one job; `prefix` is "" or "train/" on a rift job. */
static int artifacts_add(struct db *db, const char *asked, const char *job, const char *prefix, json_t *list)
{
    struct db_artifact *artifacts;
    int count = db_artifact_list(db, job, &artifacts);

    for (int i = 0; i < count; i++) {
        char name[600], link[700];
        snprintf(name, sizeof(name), "%s%s", prefix, artifacts[i].name);
        snprintf(link, sizeof(link), "/v1/jobs/%s/artifacts/%s", asked, name);
        json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:s, s:o, s:s}", "name", name, "job", job, "size",
                                              (json_int_t)artifacts[i].size, "sha256", artifacts[i].sha256,
                                              "created_at", time_json(artifacts[i].time_ms), "href", link));
    }
    if (count >= 0)
        free(artifacts);
    return count < 0 ? count : 0;
}

int handle_job_artifacts(const struct request *request, struct answer *answer)
{
    struct db *db = request->config->db;
    struct db_job *steps;
    db_job_auto job = { 0 };

    int r = job_find(request, answer, &job);
    if (r <= 0)
        return r;
    json_auto_t *list = json_array();
    r = artifacts_add(db, job.id, job.id, "", list);
    int count = r < 0 ? r : db_job_steps(db, job.id, &steps);
    for (int i = 0; i < count && r >= 0; i++) {
        char prefix[20];
        snprintf(prefix, sizeof(prefix), "%s/", steps[i].kind);
        r = artifacts_add(db, job.id, steps[i].id, prefix, list);
    }
    if (count >= 0)
        db_jobs_free(steps, count);
    if (count < 0 || r < 0)
        return count < 0 ? count : r;
    return answer_json(answer, 200, json_pack("{s:O}", "artifacts", list));
}

/* `owner` becomes its step of that kind. */
static int step_enter(struct db *db, int kind, struct db_job *owner)
{
    struct db_job step;
    int r = step_find(db, owner, kind, &step);

    if (r < 0)
        return r;
    db_job_done(owner);
    *owner = step;
    return 0;
}

/* The artifact that is what the job was for. */
static int outcome_find(struct db *db, struct db_job *owner, struct db_artifact *ret)
{
    int kind = job_kind_find(owner->kind);
    int r = kind == JOB_RIFT ? step_enter(db, JOB_INTERPOLATE, owner) : kind;

    if (kind == JOB_RIFT)
        kind = JOB_INTERPOLATE;
    if (r < 0)
        return r;
    return job_kinds[kind].weights ? db_artifact_get(db, owner->id, job_kinds[kind].weights, ret) : -ENOENT;
}

int artifact_find(struct db *db, const char *name, struct db_job *owner, struct db_artifact *ret)
{
    const char *rest;

    if (!name)
        return outcome_find(db, owner, ret);
    if (!artifact_name_valid(name))
        return -ENOENT;
    int r = db_artifact_get(db, owner->id, name, ret);
    if (r != -ENOENT)
        return r;
    int kind = step_name_split(name, &rest);
    r = kind < 0 ? -ENOENT : step_enter(db, kind, owner);
    return r < 0 ? r : db_artifact_get(db, owner->id, rest, ret);
}

int hash_read(int fd, char ret_hex[65])
{
    char block[BLOCK_BYTES];
    struct sha256 sha;
    ssize_t n;

    sha256_start(&sha);
    for (off_t at = 0; (n = pread(fd, block, sizeof(block), at)) != 0; at += n) {
        if (n < 0)
            return -errno;
        sha256_add(&sha, block, (size_t)n);
    }
    sha256_finish(&sha, ret_hex);
    return 0;
}

/* Is the opened file the one that was announced? 1 or 0. A succeeded job has
 * announced all that it wrote, so there a file that wasn't touched since needs no
 * look inside. Else only the hash tells; it is taken of the descriptor, which
 * goes on meaning these bytes when the name gets others. */
static int is_announced(int fd, int64_t size, int64_t mtime_ns, const struct db_job *owner,
                        const struct db_artifact *artifact)
{
    char hex[65];

    if (size != artifact->size)
        return 0;
    if (owner->state == STATE_SUCCEEDED && mtime_ns / 1000000 <= artifact->time_ms)
        return 1;
    int r = hash_read(fd, hex);
    return r < 0 ? r : strcmp(hex, artifact->sha256) == 0;
}

/* Other bytes than those announced: of a job that goes on, their announcement
 * is still to come. */
int artifact_mismatch(const struct request *request, struct answer *answer, const struct db_job *owner)
{
    if (job_state_ended(owner->state))
        return answer_problem(answer, request, PROBLEM_NO_FILE, "the file is not the one that the job announced");
    return answer_problem(answer, request, PROBLEM_FILE_CHANGING,
                          "the job has put a new file in place and not announced it yet");
}

/* Pictures are shown on pages, and browsers that are told not to guess want their type; everything else is a file to
 * keep. */
static const char *type_of(const char *name)
{
    size_t length = strlen(name);

    return length > 4 && strcmp(name + length - 4, ".png") == 0 ? "image/png" : "application/octet-stream";
}

int handle_job_artifact(const struct request *request, struct answer *answer)
{
    struct db_artifact artifact;
    char path[DB_ID_SIZE + 600], etag[72];
    int64_t size, mtime_ns;
    db_job_auto owner = { 0 };

    int r = job_find(request, answer, &owner);
    if (r <= 0)
        return r;
    int fd = r = artifact_find(request->config->db, request->name, &owner, &artifact);
    if (r >= 0) {
        snprintf(path, sizeof(path), "%s/" JOBDIR_ARTIFACTS "/%s", owner.id, artifact.name);
        fd = file_open_beneath(request->config->jobs_dir, path, &size, &mtime_ns);
    }
    if (fd == -ENOENT)
        return answer_problem(answer, request, PROBLEM_NO_FILE, "the job has no such artifact");
    if (fd < 0)
        return fd;
    r = is_announced(fd, size, mtime_ns, &owner, &artifact);
    if (r <= 0) {
        close(fd);
        return r < 0 ? r : artifact_mismatch(request, answer, &owner);
    }
    const char *slash = strrchr(artifact.name, '/');
    snprintf(etag, sizeof(etag), "\"%s\"", artifact.sha256);
    answer_digest(answer, artifact.sha256);
    answer_header(answer, "Content-Disposition", "attachment; filename=\"%s\"", slash ? slash + 1 : artifact.name);
    answer_header(answer, "Cache-Control", "private, no-cache");
    return answer_file(answer, request, &(struct file_info){ fd, size, type_of(artifact.name), etag });
}
