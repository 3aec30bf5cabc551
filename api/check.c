/* Is everything still as it was written?
 *
 * One JSON object a line: what is wrong, as it is found, how far it is, and at the end
 * the sum of what was looked at.
 *
 *   database   pages and references
 *   job        its directory, where it has run; every artifact's size and SHA-256
 *   model      its file's size and SHA-256
 *   directory  one that belongs to no job
 *   file       one that belongs to no model
 *
 * A few jobs at a time, between which the thread's other requests get their turn. A job
 * that isn't over is looked at without its artifacts: it may just be replacing them. */
#include "api/exchange.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE 8

struct check {
    struct stream stream; /* first */
    const struct api_config *config;
    struct traffic *traffic;
    /* What is looked at in this piece; the next when it returns 0. */
    int stage;
    int64_t before; /* of jobs and models: the cursor */
    json_int_t jobs, models, files, bytes, findings;
};

static void line(FILE *out, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

    fprintf(out, "%s\n", text ? text : "{}");
    free(text);
    json_decref(json);
}

/* Is it still as it was read, and over? Else what was found says nothing. */
static bool still_so(struct check *check, const struct db_job *job)
{
    db_job_auto now = { 0 };

    return db_job_get(check->config->db, job->id, &now) >= 0 && now.attempts == job->attempts &&
           now.state == job->state;
}

static void finding(struct check *check, FILE *out, const char *what, const char *id, const char *name,
                    const char *problem)
{
    check->findings++;
    line(out, json_pack("{s:s, s:s, s:s*, s:s}", "what", what, "id", id, "name", name, "problem", problem));
}

/* Is the file there, whole and the same? NULL, or what is wrong. */
static const char *file_fault(struct check *check, const char *dir, const char *path, int64_t size, const char *sha256)
{
    char hex[65];
    int64_t found, mtime_ns;
    int fd = file_open_beneath(dir, path, &found, &mtime_ns);

    if (fd == -ENOENT)
        return "missing";
    if (fd < 0)
        return "cannot be opened";
    int r = found == size ? hash_read(fd, hex) : 0;
    close(fd);
    check->files++;
    check->bytes += found;
    if (found != size)
        return "has another size than announced";
    return r < 0 ? "cannot be read" : strcmp(hex, sha256) ? "has other bytes than announced" : NULL;
}

/* ---- the stages: 1 there is more of it, 0 it is over, or negative errno ---- */

static int stage_database(struct check *check, FILE *out)
{
    char **texts;
    int count = db_check(check->config->db, &texts);

    for (int i = 0; i < count; i++)
        finding(check, out, "database", "riftd.db", NULL, texts[i]);
    if (count >= 0)
        db_texts_free(texts, count);
    return count < 0 ? count : 0;
}

static int job_check(struct check *check, FILE *out, const struct db_job *job)
{
    struct db_artifact *artifacts;
    char *path = NULL;
    int count = db_artifact_list(check->config->db, job->id, &artifacts);

    if (count < 0) /* deleted meanwhile is no fault */
        return count == -ENOENT ? 0 : count;
    if (job->attempts) {
        if (asprintf(&path, "%s/%s", check->config->jobs_dir, job->id) < 0)
            path = NULL;
        if (path && access(path, X_OK) < 0 && still_so(check, job))
            finding(check, out, "job", job->id, NULL, "its directory is missing");
        free(path);
    }
    for (int i = 0; i < count && job_state_ended(job->state) && !check->stream.last; i++) {
        char place[DB_ID_SIZE + 600];
        snprintf(place, sizeof(place), "%s/" JOBDIR_ARTIFACTS "/%s", job->id, artifacts[i].name);
        const char *fault = file_fault(check, check->config->jobs_dir, place, artifacts[i].size, artifacts[i].sha256);
        if (fault && still_so(check, job))
            finding(check, out, "job", job->id, artifacts[i].name, fault);
    }
    free(artifacts);
    check->jobs++;
    return 0;
}

static int stage_jobs(struct check *check, FILE *out)
{
    struct db_job_filter filter = { .state = -1, .before = check->before, .limit = PAGE };
    struct db_job *jobs;
    int count = db_job_list(check->config->db, &filter, &jobs), r = count;

    for (int i = 0; i < count && r >= 0; i++)
        r = job_check(check, out, &jobs[i]);
    if (count > 0)
        check->before = jobs[count - 1].number;
    if (count >= 0)
        db_jobs_free(jobs, count);
    if (count == 0)
        check->before = 0;
    return r < 0 ? r : count > 0;
}

static int stage_models(struct check *check, FILE *out)
{
    struct db_model_filter filter = { .before = check->before, .limit = PAGE };
    struct db_model *models;
    int count = db_model_list(check->config->db, &filter, &models);

    for (int i = 0; i < count; i++) {
        char name[MODEL_FILE_SIZE];
        model_file(models[i].sha256, name);
        const char *fault = file_fault(check, check->config->models_dir, name, models[i].size, models[i].sha256);
        if (fault)
            finding(check, out, "model", models[i].id, models[i].name, fault);
        check->models++;
    }
    if (count > 0)
        check->before = models[count - 1].number;
    if (count >= 0)
        free(models);
    return count < 0 ? count : count > 0;
}

/* Has the directory no job? That of one just deleted is doomed first, and then moved away. */
static int unowned(struct check *check, const char *name)
{
    db_job_auto job = { 0 };
    char *path;
    int r = id_valid(name) ? db_job_get(check->config->db, name, &job) : -ENOENT;

    if (r != -ENOENT)
        return r;
    r = db_doomed_has(check->config->db, name);
    if (r)
        return r < 0 ? r : 0;
    if (asprintf(&path, "%s/%s", check->config->jobs_dir, name) < 0)
        return -ENOMEM;
    r = access(path, F_OK) == 0;
    free(path);
    return r;
}

static int stage_directories(struct check *check, FILE *out)
{
    DIR *dir = opendir(check->config->jobs_dir);
    struct dirent *entry;
    int r = dir ? 0 : -errno;

    while (dir && r >= 0 && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        r = unowned(check, entry->d_name);
        if (r > 0)
            finding(check, out, "directory", entry->d_name, NULL, "belongs to no job");
    }
    if (dir)
        closedir(dir);
    return r < 0 ? r : 0;
}

/* Files of models that no row knows: an upload that was cut off between the two. */
static int stage_files(struct check *check, FILE *out)
{
    DIR *dir = opendir(check->config->models_dir);
    struct dirent *entry;
    int r = dir ? 0 : -errno;

    while (dir && r >= 0 && (entry = readdir(dir))) {
        char sha256[65];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(sha256, sizeof(sha256), "%.*s", (int)strcspn(entry->d_name, "."), entry->d_name);
        int used = db_model_bytes_used(check->config->db, sha256);
        if (used == 0)
            finding(check, out, "file", entry->d_name, NULL, "belongs to no model");
        else if (used < 0)
            r = used;
    }
    if (dir)
        closedir(dir);
    return r;
}

static int stage_sum(struct check *check, FILE *out)
{
    line(out, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "what", "sum", "jobs", check->jobs, "models", check->models,
                        "files", check->files, "bytes", check->bytes, "findings", check->findings));
    return 0;
}

static int check_fill(struct stream *base, char **ret_text, size_t *ret_size)
{
    static int (*const stages[])(struct check * check, FILE * out) = { stage_database,    stage_jobs,  stage_models,
                                                                       stage_directories, stage_files, stage_sum };
    struct check *check = (struct check *)base;
    const int count = (int)(sizeof(stages) / sizeof(stages[0]));
    char *text = NULL;
    size_t size = 0;

    if (check->stage == count || base->last)
        return -ENODATA;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return -ENOMEM;
    slow_begin(check->traffic);
    int r = stages[check->stage](check, out);
    slow_end(check->traffic);
    check->stage += r == 0;
    if (r < 0) {
        line(out, json_pack("{s:s, s:s}", "what", "failed", "problem", strerror(-r)));
        check->stage = count;
    } else if (r > 0) { /* something in any case: who says nothing waits for news */
        line(out, json_pack("{s:s, s:I, s:I, s:I}", "what", "progress", "jobs", check->jobs, "files", check->files,
                            "bytes", check->bytes));
    } else if (check->stage < count) {
        line(out, json_pack("{s:s, s:i}", "what", "progress", "stage", check->stage));
    }
    if (fclose(out)) {
        free(text);
        return -ENOMEM;
    }
    *ret_text = text;
    *ret_size = size;
    return 1;
}

static void check_free(struct stream *base)
{
    free(base);
}

int handle_check(const struct request *request, struct answer *answer)
{
    struct check *check = calloc(1, sizeof(*check));

    if (!check)
        return -ENOMEM;
    check->stream = (struct stream){ check_fill, check_free };
    check->config = request->config;
    check->traffic = request->traffic;
    answer->status = 200;
    answer->type = "application/x-ndjson";
    answer->stream = &check->stream;
    return 0;
}
