/* How do weights come in that no job here has made, and how are others kept?
 *
 * A model is registered by upload, or from an artifact of a job. Its bytes go to
 * STATE/models/SHA256.safetensors, its row into the database; a spec names it
 * as {"model": ID}. Registering is its own key: the same bytes under the same
 * name by the same owner are the same model, so a repeated request is harmless.
 *
 * riftd doesn't parse weights, it runs where the network is: only the outermost shape is
 * looked at here (8 bytes of length, then '{'). What is inside, a worker checks.
 *
 * File and row can't change in one step. First the file, then the row; first the
 * row away, then the file: a crash between leaves a file that nothing names. One
 * lock keeps a file from going while the same bytes come in again. */
#include "api/exchange.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define LIST_LIMIT_MAX 200
#define LIST_LIMIT     50
#define BLOCK_BYTES    65536

static pthread_mutex_t store_lock = PTHREAD_MUTEX_INITIALIZER;

static json_t *string_or_null(const char *text)
{
    return *text ? json_string(text) : json_null();
}

static json_t *model_json(const struct db_model *model)
{
    char self[80], weights[90];

    snprintf(self, sizeof(self), "/v1/models/%s", model->id);
    snprintf(weights, sizeof(weights), "%s/weights", self);
    return json_pack("{s:s, s:s, s:o, s:I, s:s, s:o, s:o, s:o, s:{s:s, s:s}}", "id", model->id, "name", model->name,
                     "owner", string_or_null(model->owner), "size", (json_int_t)model->size, "sha256", model->sha256,
                     "created_at", time_json(model->created_ms), "job", string_or_null(model->job), "artifact",
                     string_or_null(model->artifact), "links", "self", self, "weights", weights);
}

/* Read the model of {id}: 1; 0 with the 404 answered; negative errno. */
static int model_find(const struct request *request, struct answer *answer, struct db_model *ret)
{
    int r = db_model_get(request->config->db, request->id, ret);

    if (r == -ENOENT)
        return answer_problem(answer, request, PROBLEM_NO_MODEL, "there is no such model");
    return r < 0 ? r : 1;
}

/* The model with the jobs that read it. */
static int answer_model(const struct request *request, struct answer *answer, int status, const struct db_model *model)
{
    char(*users)[DB_ID_SIZE] = NULL;
    int count = db_model_users(request->config->db, model->id, &users);

    if (count < 0)
        return count;
    json_auto_t *list = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(list, json_string(users[i]));
    free(users);
    json_t *json = model_json(model);
    if (!json || json_object_set(json, "used_by", list) < 0) {
        json_decref(json);
        return -ENOMEM;
    }
    return answer_json(answer, status, json);
}

int handle_model_get(const struct request *request, struct answer *answer)
{
    struct db_model model;
    int r = model_find(request, answer, &model);

    return r <= 0 ? r : answer_model(request, answer, 200, &model);
}

int handle_model_list(const struct request *request, struct answer *answer)
{
    struct db_model_filter filter = { .name = request_query(request, "name"),
                                      .owner = request_query(request, "owner"),
                                      .job = request_query(request, "job") };
    const char *cursor = request_query(request, "cursor");
    struct db_model *models;
    int64_t limit;
    int r = 0;

    if (request_int(request, answer, "limit", 1, LIST_LIMIT_MAX, LIST_LIMIT, &limit) < 0)
        return 0;
    if (cursor && cursor_read(cursor, &filter.before) < 0)
        return answer_problem(answer, request, PROBLEM_BAD_QUERY, "cursor must be the `next` of another page");
    filter.limit = (int)limit + 1; /* one more says whether there is a next page */
    int count = db_model_list(request->config->db, &filter, &models);
    if (count < 0)
        return count;
    int shown = count > limit ? (int)limit : count;
    json_auto_t *list = json_array();
    for (int i = 0; i < shown && r >= 0; i++)
        r = json_array_append_new(list, model_json(&models[i])) < 0 ? -ENOMEM : 0;
    char next[CURSOR_SIZE];
    if (count > limit) {
        cursor_make(models[shown - 1].number, next);
        r = r < 0 ? r : answer_next(request, answer, next);
    }
    free(models);
    return r < 0 ? r
                 : answer_json(answer, 200,
                               json_pack("{s:O, s:o}", "models", list, "next",
                                         count > limit ? json_string(next) : json_null()));
}

/* ---- registering ---- */

/* The file into its place, the row into the database. */
static int model_store(const struct request *request, struct upload *upload, const struct db_model *model,
                       struct db_model *ret)
{
    const struct api_config *config = request->config;
    char name[MODEL_FILE_SIZE];

    model_file(model->sha256, name);
    int r = upload_sync(upload); /* outside of the lock: it may take long */
    pthread_mutex_lock(&store_lock);
    if (r >= 0)
        r = upload_keep(upload, name);
    if (r >= 0) {
        r = db_model_insert(config->db, model, ret);
        if (r < 0 && db_model_bytes_used(config->db, model->sha256) == 0)
            upload_forget(upload, name);
    }
    pthread_mutex_unlock(&store_lock);
    return r;
}

/* A length that fits, and the beginning of a JSON object. */
static bool looks_like_safetensors(const uint8_t head[9], int64_t size)
{
    uint64_t length = 0;

    for (int i = 7; i >= 0; i--)
        length = length << 8 | head[i];
    return size > 9 && length >= 2 && length <= (uint64_t)size - 8 && head[8] == '{';
}

/* What was uploaded, or copied from a job, becomes a model: `model` has all but its bytes' size and hash. */
static int upload_register(const struct request *request, struct answer *answer, struct upload *upload,
                           struct db_model *model)
{
    const struct api_config *config = request->config;
    const char *wanted = request_query(request, "sha256");
    uint8_t head[9];

    upload_end(upload, model->sha256, &model->size, head);
    if (request_digest_check(request, model->sha256) < 0 || (wanted && strcasecmp(wanted, model->sha256) != 0))
        return answer_problem(answer, request, PROBLEM_DIGEST, "%" PRId64 " bytes came, with the SHA-256 %s",
                              model->size, model->sha256);
    if (!looks_like_safetensors(head, model->size))
        return answer_problem(answer, request, PROBLEM_BAD_MODEL, "the body is no safetensors file");
    model->created_ms = config->now_ms(config->user);
    id_new(model->created_ms, model->id);
    snprintf(model->owner, sizeof(model->owner), "%s", request->caller.owner);
    int r = model_store(request, upload, model, model);
    if (r == -ENOSPC || r == -EDQUOT)
        return answer_problem(answer, request, PROBLEM_NO_SPACE, "the disk is full");
    if (r < 0)
        return r;
    int status = r == 1 ? 200 : 201;
    r = answer_header(answer, "Location", "/v1/models/%s", model->id);
    return r < 0 ? r : answer_model(request, answer, status, model);
}

static bool name_valid(const char *name)
{
    return *name && text_valid(name) && text_characters(name) <= LABEL_CHARACTERS_MAX;
}

int model_upload_check(const struct request *request, struct answer *answer)
{
    const char *name = request_query(request, "name");

    if (!name || !name_valid(name))
        return answer_problem(answer, request, PROBLEM_BAD_QUERY, "name: say ?name= with 1 to %d characters",
                              LABEL_CHARACTERS_MAX);
    return 1;
}

static int uploaded(const struct request *request, struct answer *answer)
{
    const char *name = request_query(request, "name");
    struct db_model model = { 0 };
    int r = model_upload_check(request, answer); /* once more: http.c has looked before the body came */

    if (r <= 0)
        return r;
    snprintf(model.name, sizeof(model.name), "%s", name);
    return upload_register(request, answer, request->upload, &model);
}

/* ---- from a job ---- */

static int file_copy(int fd, struct upload *upload)
{
    char block[BLOCK_BYTES];
    ssize_t n;
    int r = 0;

    for (off_t at = 0; r >= 0 && (n = pread(fd, block, sizeof(block), at)) != 0; at += n)
        r = n < 0 ? -errno : upload_write(upload, block, (size_t)n);
    return r;
}

/* Copy what the job announced; bytes that are others by now are refused. */
static int artifact_register(const struct request *request, struct answer *answer, const struct db_job *job,
                             const struct db_artifact *artifact, struct db_model *model)
{
    struct upload *upload = NULL;
    char path[DB_ID_SIZE + 600], hex[65];
    int64_t size, mtime_ns;
    uint8_t head[9];

    snprintf(path, sizeof(path), "%s/" JOBDIR_ARTIFACTS "/%s", job->id, artifact->name);
    int fd = file_open_beneath(request->config->jobs_dir, path, &size, &mtime_ns);
    if (fd == -ENOENT)
        return answer_problem(answer, request, PROBLEM_NO_FILE, "the file of artifact %s is gone", artifact->name);
    int r = fd < 0 ? fd : upload_open(request->config->models_dir, size, (uint64_t)size, &upload);
    slow_begin(request->traffic);
    if (r >= 0)
        r = file_copy(fd, upload);
    slow_end(request->traffic);
    if (fd >= 0)
        close(fd);
    if (r >= 0) {
        upload_end(upload, hex, &size, head);
        r = strcmp(hex, artifact->sha256) ? artifact_mismatch(request, answer, job)
                                          : upload_register(request, answer, upload, model);
    }
    upload_close(upload);
    return r;
}

/* {"name", "job", "artifact"}: artifact may be left out where the kind of job has one that is meant. */
static int from_job(const struct request *request, struct answer *answer)
{
    const char *name = NULL, *id = NULL, *artifact_name = NULL;
    struct db_artifact artifact;
    struct db_model model = { 0 };
    db_job_auto job = { 0 };
    json_error_t where;

    json_auto_t *body = json_read(request->body, request->body_size, JSON_REJECT_DUPLICATES, &where);
    if (!body)
        return answer_problem(answer, request, PROBLEM_BAD_JSON, "line %d, column %d: %s", where.line, where.column,
                              where.text);
    if (json_unpack_ex(body, &where, JSON_STRICT, "{s:s, s:s, s?s}", "name", &name, "job", &id, "artifact",
                       &artifact_name) < 0 ||
        !name_valid(name) || !id_valid(id) || (artifact_name && !artifact_name_valid(artifact_name)))
        return answer_problem(answer, request, PROBLEM_BAD_MODEL,
                              "expected {\"name\", \"job\": ID, \"artifact\": NAME or nothing}");
    int r = db_job_get(request->config->db, id, &job);
    if (r == -ENOENT)
        return answer_problem(answer, request, PROBLEM_BAD_MODEL, "there is no job %s", id);
    if (r < 0)
        return r;
    r = artifact_find(request->config->db, artifact_name, &job, &artifact);
    if (r == -ENOENT)
        return answer_problem(answer, request, PROBLEM_BAD_MODEL, "the job has announced no such weights");
    if (r < 0)
        return r;
    snprintf(model.name, sizeof(model.name), "%s", name);
    strcpy(model.job, job.id);
    strcpy(model.artifact, artifact.name);
    return artifact_register(request, answer, &job, &artifact, &model);
}

int handle_model_create(const struct request *request, struct answer *answer)
{
    return request->upload ? uploaded(request, answer) : from_job(request, answer);
}

/* ---- the rest of its life ---- */

int handle_model_delete(const struct request *request, struct answer *answer)
{
    struct db_model model;
    char *path = NULL, name[MODEL_FILE_SIZE];
    bool last = false;
    int r = model_find(request, answer, &model);

    if (r <= 0)
        return r;
    model_file(model.sha256, name);
    if (asprintf(&path, "%s/%s", request->config->models_dir, name) < 0)
        return -ENOMEM;
    pthread_mutex_lock(&store_lock);
    r = db_model_delete(request->config->db, model.id, &last);
    if (r >= 0 && last)
        unlink(path);
    pthread_mutex_unlock(&store_lock);
    free(path);
    if (r == -ENOENT)
        return answer_problem(answer, request, PROBLEM_NO_MODEL, "there is no such model");
    if (r == -ESTALE)
        return answer_problem(answer, request, PROBLEM_IN_USE, "%s", db_errmsg(request->config->db));
    answer->status = 204;
    return r;
}

int handle_model_weights(const struct request *request, struct answer *answer)
{
    struct db_model model;
    char name[MODEL_FILE_SIZE], etag[72];
    int64_t size, mtime_ns;
    int r = model_find(request, answer, &model);

    if (r <= 0)
        return r;
    model_file(model.sha256, name);
    int fd = file_open_beneath(request->config->models_dir, name, &size, &mtime_ns);
    if (fd == -ENOENT)
        return answer_problem(answer, request, PROBLEM_NO_FILE, "the model's file is gone");
    if (fd < 0)
        return fd;
    snprintf(etag, sizeof(etag), "\"%s\"", model.sha256);
    answer_digest(answer, model.sha256);
    answer_header(answer, "Content-Disposition", "attachment; filename=\"%s.safetensors\"", model.id);
    answer_header(answer, "Cache-Control", "private, no-cache");
    return answer_file(answer, request, &(struct file_info){ fd, size, "application/octet-stream", etag });
}
