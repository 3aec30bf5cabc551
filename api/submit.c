/* How does a spec become a job, or six, or a hundred?
 *
 * seen before? -> parse -> check every field -> resolve references to other
 * jobs -> (rift: expand into a parent and five steps; sweep: into a parent and
 * rift jobs with theirs) -> insert all in one transaction. Everything wrong is reported at once, by JSON pointer.
 *
 * A repeat (the Idempotency-Key and body of an earlier request) is answered
 * before anything is checked: it was good then, and what it names may be gone.
 *
 * A reference {"job": ID} makes the new job wait for that one. Asked for a rift
 * job's weights it means the step that makes them, and the stored spec says so:
 * after this file no reference names a rift job. */
#include "api/exchange.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AFTER_MAX      64
#define MODELS_MAX     8
#define KEY_LENGTH_MAX 255
#define STEP_PREFIX    "step:"

static_assert(sizeof(((struct db_job *)NULL)->label) == LABEL_SIZE,
              "every label that a spec may have comes back whole");

/* The jobs that one new job depends on, and the models that it reads. */
struct needs {
    char ids[AFTER_MAX][DB_ID_SIZE];
    enum db_condition on[AFTER_MAX];
    int count;
    char models[MODELS_MAX][DB_ID_SIZE];
    int model_count;
};

struct drafts;

struct resolver {
    const struct request *request;
    char (*steps)[DB_ID_SIZE];   /* ids of the rift job's steps, or NULL */
    const struct drafts *drafts; /* what is inserted together, or NULL */
    json_t *errors;              /* [{pointer, message}] */
    struct needs needs;
};

/* -EEXIST: it waits for another end of that job already. Who takes a job's files
 * needs its success, whatever else it may be told to wait for. */
static int needs_add(struct needs *needs, const char *id, enum db_condition on)
{
    for (int i = 0; i < needs->count; i++)
        if (!strcmp(needs->ids[i], id)) {
            if (on == ON_ANY || needs->on[i] == on)
                return 0;
            if (needs->on[i] != ON_ANY)
                return -EEXIST;
            needs->on[i] = on;
            return 0;
        }
    if (needs->count == AFTER_MAX)
        return -E2BIG;
    needs->on[needs->count] = on;
    strcpy(needs->ids[needs->count++], id);
    return 0;
}

/* A registered model stays a reference; the daemon finds its file. */
static int model_resolve(struct resolver *resolver, const struct spec_ref *ref)
{
    struct needs *needs = &resolver->needs;
    struct db_model model;
    int r = db_model_get(resolver->request->config->db, ref->model, &model);

    if (r == -ENOENT)
        errors_add(resolver->errors, ref->pointer, "there is no model of this id");
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    for (int i = 0; i < needs->model_count; i++)
        if (!strcmp(needs->models[i], model.id))
            return 0;
    if (needs->model_count == MODELS_MAX)
        return -E2BIG;
    strcpy(needs->models[needs->model_count++], model.id);
    return 0;
}

/* Make the reference name this job, and wait for it. */
static int ref_point(struct resolver *resolver, const struct spec_ref *ref, const char *id, const char *artifact)
{
    json_t *object = json_object_get(ref->parent, ref->key);
    int r = needs_add(&resolver->needs, id, ON_SUCCESS); /* first: id may lie in the object */

    if (r < 0)
        return r;
    r = json_object_set_new(object, "job", json_string(id));
    if (!r && artifact)
        r = json_object_set_new(object, "artifact", json_string(artifact));
    return r < 0 ? -ENOMEM : 0;
}

/* The same, if the job's files are still there; `artifact` is the name where it is another than the reference's. */
static int ref_to_job(struct resolver *resolver, const struct spec_ref *ref, const struct db_job *job,
                      const char *artifact)
{
    char message[250];

    if (!artifact_gone(job, ref->wants, artifact ? artifact : ref->artifact, message, sizeof(message)))
        return ref_point(resolver, ref, job->id, artifact);
    errors_add(resolver->errors, ref->pointer, message);
    return 0;
}

/* A reference to a rift job is one to the step that has what is wanted. */
static int ref_to_step(struct resolver *resolver, const struct spec_ref *ref, const struct db_job *rift)
{
    const char *rest = NULL;
    char artifact[NAME_SIZE] = "";
    int kind = ref->wants >= 0 ? ref->wants : JOB_INTERPOLATE;
    db_job_auto step = { 0 };

    if (ref->wants < 0 && ref->artifact) {
        kind = step_name_split(ref->artifact, &rest);
        if (kind < 0) {
            errors_add(resolver->errors, ref->pointer,
                       "an artifact of a rift job has its step in front, such as train/best.safetensors");
            return 0;
        }
        snprintf(artifact, sizeof(artifact), "%s", rest);
    }
    int r = step_find(resolver->request->config->db, rift, kind, &step);
    if (r == -ENOENT) {
        errors_add(resolver->errors, ref->pointer, "this rift job has no such step");
        return 0;
    }
    if (r < 0)
        return r;
    return ref_to_job(resolver, ref, &step, rest ? artifact : NULL);
}

static bool drafts_hold(const struct drafts *drafts, const char *id);

static int ref_resolve(const struct spec_ref *ref, void *user)
{
    struct resolver *resolver = user;
    db_job_auto job = { 0 };
    char message[200];

    if (!ref->job)
        return model_resolve(resolver, ref);
    if (resolver->steps && !strncmp(ref->job, STEP_PREFIX, strlen(STEP_PREFIX))) {
        int step = atoi(ref->job + strlen(STEP_PREFIX));
        assert(step >= 0 && step < RIFT_STEPS);
        return ref_point(resolver, ref, resolver->steps[step], NULL);
    }
    if (resolver->drafts && drafts_hold(resolver->drafts, ref->job))
        return ref_point(resolver, ref, ref->job, NULL);
    int r = db_job_get(resolver->request->config->db, ref->job, &job);
    if (r == -ENOENT) {
        snprintf(message, sizeof(message), "there is no job of this id: %.36s", ref->job);
        errors_add(resolver->errors, ref->pointer, message);
        return 0;
    }
    if (r < 0)
        return r;
    int kind = job_kind_find(job.kind);
    if (kind == JOB_RIFT)
        return ref_to_step(resolver, ref, &job);
    if (ref->wants >= 0 ? kind == ref->wants : ref->artifact || (kind >= 0 && job_kinds[kind].weights))
        return ref_to_job(resolver, ref, &job, NULL);
    if (ref->wants >= 0)
        snprintf(message, sizeof(message), "this is a %s job, not a%s %s job", job.kind,
                 ref->wants == JOB_MRC ? "n" : "", job_kinds[ref->wants].name);
    else
        snprintf(message, sizeof(message), "a %s job makes no weights", job.kind);
    errors_add(resolver->errors, ref->pointer, message);
    return 0;
}

static_assert((int)ON_SUCCESS == AFTER_SUCCESS && (int)ON_FAILURE == AFTER_FAILURE && (int)ON_ANY == AFTER_ANY,
              "job/ and db/ say the same of conditions");

/* The jobs of /after, beside those that references name. */
static int after_resolve(struct resolver *resolver, const struct job_spec *spec)
{
    for (int i = 0; i < spec->after_count; i++) {
        db_job_auto job = { 0 };
        char pointer[32];
        snprintf(pointer, sizeof(pointer), "/after/%d/job", i);
        int r = db_job_get(resolver->request->config->db, spec->after[i].job, &job);
        if (r >= 0)
            r = needs_add(&resolver->needs, job.id, (enum db_condition)spec->after[i].on);
        if (r == -ENOENT)
            errors_add(resolver->errors, pointer, "there is no job of this id");
        else if (r == -EEXIST)
            errors_add(resolver->errors, pointer, "the job takes files of this one, so it needs its success");
        else if (r == -E2BIG)
            errors_add(resolver->errors, pointer, "a job waits for 64 others at most");
        else if (r < 0)
            return r;
    }
    return 0;
}

static int spec_refuse(const struct request *request, struct answer *answer, json_t *errors, int total)
{
    return answer_errors(answer, request, PROBLEM_BAD_SPEC, json_incref(errors),
                         total == 1 ? "%d thing is wrong with the spec" : "%d things are wrong with the spec", total);
}

/* Body -> checked spec with resolved references. 1; 0 when answered. */
static int spec_read(const struct request *request, struct answer *answer, struct job_spec *ret,
                     struct needs *ret_needs)
{
    json_error_t where;
    struct spec_errors wrong = { 0 };
    struct resolver resolver = { .request = request };
    spec_auto first = { 0 };
    int r;

    json_auto_t *body = json_read(request->body, request->body_size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);
    if (!body)
        return answer_problem(answer, request, PROBLEM_BAD_JSON, "line %d, column %d: %s", where.line, where.column,
                              where.text);
    json_auto_t *errors = resolver.errors = json_array();
    r = spec_from_json(body, &first, &wrong);
    if (r >= 0)
        spec_paths_check(&first, &wrong);
    for (int i = 0; i < wrong.count; i++)
        errors_add(errors, wrong.list[i].pointer, wrong.list[i].message);
    if (r == -EINVAL)
        return spec_refuse(request, answer, errors, wrong.total);
    if (r >= 0)
        r = spec_fits(request, &first, errors);
    if (r >= 0)
        r = spec_refs(first.json, ref_resolve, &resolver);
    if (r >= 0)
        r = after_resolve(&resolver, &first);
    if (r < 0)
        return r;
    if (json_array_size(errors))
        return spec_refuse(request, answer, errors, (int)json_array_size(errors));
    /* References were rewritten under the typed members: read them again. */
    r = spec_from_json(first.json, ret, &wrong);
    if (r < 0)
        return r;
    *ret_needs = resolver.needs;
    return 1;
}

/* What one row of the insertion needs to stay alive. */
struct draft {
    char id[DB_ID_SIZE];
    char *spec;
    json_t *words; /* label and device lie in it */
    struct needs needs;
    const char *after[AFTER_MAX]; /* into needs */
    const char *models[MODELS_MAX];
};
struct drafts {
    struct draft *list;
    struct db_new_job *jobs;
    int count;
    const char *owner;     /* of all of them */
    int64_t time_limit_ms; /* of jobs that say none */
    struct needs all;      /* what all steps wait for */
    struct fault gone;     /* what isn't there any more that was when the spec was read */
};

static void drafts_done(struct drafts *drafts)
{
    for (int i = 0; i < drafts->count; i++) {
        free(drafts->list[i].spec);
        json_decref(drafts->list[i].words);
    }
    free(drafts->list);
    free(drafts->jobs);
}

/* Rows point at each other: all have their room before the first is made. */
static int drafts_open(struct drafts *drafts, int most)
{
    drafts->list = calloc((size_t)most, sizeof(*drafts->list));
    drafts->jobs = calloc((size_t)most, sizeof(*drafts->jobs));
    return drafts->list && drafts->jobs ? 0 : -ENOMEM;
}

static bool drafts_hold(const struct drafts *drafts, const char *id)
{
    for (int i = 0; i < drafts->count; i++)
        if (!strcmp(drafts->list[i].id, id))
            return true;
    return false;
}

/* The next row, of a job with this id: step `step` of the row `parent`, -1: of nobody. */
static int draft_add(struct drafts *drafts, const struct job_spec *spec, const json_t *json, const char *id,
                     const struct needs *needs, int parent, int step)
{
    int place = drafts->count++, kind = job_kind_find(json_string_value(json_object_get(json, "kind")));
    struct draft *draft = &drafts->list[place];

    assert(kind >= 0);
    strcpy(draft->id, id);
    draft->words = json_incref(spec->json);
    draft->spec = json_dumps(json, JSON_COMPACT);
    if (!draft->spec)
        return -ENOMEM;
    if (!job_kinds[kind].parent) { /* its steps wait, not the parent */
        draft->needs = needs ? *needs : (struct needs){ 0 };
        for (int i = 0; i < drafts->all.count; i++)
            if (needs_add(&draft->needs, drafts->all.ids[i], drafts->all.on[i]) == -E2BIG)
                return -E2BIG;
    }
    for (int i = 0; i < draft->needs.count; i++)
        draft->after[i] = draft->needs.ids[i];
    for (int i = 0; i < draft->needs.model_count; i++)
        draft->models[i] = draft->needs.models[i];
    drafts->jobs[place] = (struct db_new_job){
        .id = draft->id,
        .kind = job_kinds[kind].name,
        .label = spec->label,
        .owner = drafts->owner,
        .spec = draft->spec,
        .priority = spec->priority,
        .device = spec->device,
        .memory_bytes = spec->memory_bytes,
        .time_limit_ms = spec->time_limit_s ? (int64_t)spec->time_limit_s * 1000 : drafts->time_limit_ms,
        .parent = parent < 0 ? NULL : drafts->list[parent].id,
        .step = step,
        .after = draft->after,
        .after_on = draft->needs.on,
        .after_count = draft->needs.count,
        .models = draft->models,
        .model_count = draft->needs.model_count,
    };
    return 0;
}

/* The steps of a rift job, each waiting for the steps and jobs it takes from;
 * the ids are made here. */
static int steps_draft(const struct request *request, struct drafts *drafts, const struct job_spec *rift,
                       char ids[RIFT_STEPS][DB_ID_SIZE])
{
    json_t *steps[RIFT_STEPS] = { 0 };
    int parent = drafts->count - 1, r = rift_expand(rift, steps);

    for (int i = 0; i < RIFT_STEPS; i++)
        id_new(request->config->now_ms(request->config->user), ids[i]);
    for (int place = 0; place < RIFT_STEPS && r >= 0; place++) {
        int i = rift_order[place];
        struct resolver resolver = { .request = request, .steps = ids, .drafts = drafts, .errors = json_array() };
        if (steps[i])
            r = spec_refs(steps[i], ref_resolve, &resolver);
        /* Users' references were resolved before, so nothing can be wrong but
         * a job that was deleted, or whose files were, in this very moment. */
        const json_t *error = json_array_get(resolver.errors, 0);
        if (r >= 0 && error)
            r = fault_set(&drafts->gone, -ENOENT, "%s: %s", json_string_value(json_object_get(error, "pointer")),
                          json_string_value(json_object_get(error, "message")));
        json_decref(resolver.errors);
        if (r >= 0 && steps[i])
            r = draft_add(drafts, rift, steps[i], ids[i], &resolver.needs, parent, i);
    }
    for (int i = 0; i < RIFT_STEPS; i++)
        json_decref(steps[i]);
    return r;
}

/* One rift job of a sweep and its steps; shared: the ids of the steps that it
 * takes from, or NULL. */
static int run_draft(const struct request *request, struct drafts *drafts, const struct sweep_run *run, int number,
                     char (*shared)[DB_ID_SIZE], char ids[RIFT_STEPS][DB_ID_SIZE])
{
    struct spec_errors *errors = malloc(sizeof(*errors));
    char id[DB_ID_SIZE];
    spec_auto spec = { 0 };
    int r = errors ? 0 : -ENOMEM;

    if (r >= 0 && shared)
        r = sweep_share(run->spec, json_pack("{s:s}", "job", shared[0]), json_pack("{s:s}", "job", shared[1]));
    if (r >= 0)
        r = spec_from_json(run->spec, &spec, errors);
    free(errors);
    id_new(request->config->now_ms(request->config->user), id);
    if (r >= 0)
        r = draft_add(drafts, &spec, spec.json, id, NULL, 0, number);
    return r < 0 ? r : steps_draft(request, drafts, &spec, ids);
}

static int runs_draft(const struct request *request, struct drafts *drafts, const struct sweep_run *runs, int count)
{
    char(*ids)[RIFT_STEPS][DB_ID_SIZE] = calloc((size_t)count, sizeof(*ids));
    int r = ids ? 0 : -ENOMEM;

    for (int i = 0; i < count && r >= 0; i++)
        r = run_draft(request, drafts, &runs[i], i, runs[i].shares < 0 ? NULL : ids[runs[i].shares], ids[i]);
    free(ids);
    return r;
}

/* Idempotency-Key: a quoted string (structured field) or bare. False: neither. */
static bool key_read(const char *header, char ret[KEY_LENGTH_MAX + 1])
{
    size_t length = strlen(header);

    if (length >= 2 && header[0] == '"' && header[length - 1] == '"') {
        header++;
        length -= 2;
    }
    if (!length || length > KEY_LENGTH_MAX)
        return false;
    for (size_t i = 0; i < length; i++)
        if (header[i] < 0x21 || header[i] > 0x7e || header[i] == '"' || header[i] == '\\')
            return false;
    memcpy(ret, header, length);
    ret[length] = 0;
    return true;
}

/* What makes two submissions the same: the client's key and the body. */
struct identity {
    bool keyed;
    char key[KEY_LENGTH_MAX + 1];
    char body_sha256[65];
};

/* 1; 0 when answered. */
static int identity_read(const struct request *request, struct answer *answer, struct identity *ret)
{
    const char *header = request_header(request, "Idempotency-Key");
    struct sha256 sha;

    ret->keyed = header != NULL;
    if (header && !key_read(header, ret->key))
        return answer_problem(answer, request, PROBLEM_BAD_REQUEST,
                              "Idempotency-Key must be 1 to %d visible ASCII characters", KEY_LENGTH_MAX);
    sha256_start(&sha);
    sha256_add(&sha, request->body, request->body_size);
    sha256_finish(&sha, ret->body_sha256);
    return 1;
}

/* Answer with what db_job_repeated or db_job_insert said: r and the job. */
static int submitted_answer(const struct request *request, struct answer *answer, int r, const char *id)
{
    bool replayed = r == 1;

    if (r == -EEXIST)
        return answer_problem(answer, request, PROBLEM_KEY_REUSED,
                              "this Idempotency-Key came with another body before");
    if (r == -ENOENT)
        return answer_problem(answer, request, PROBLEM_BAD_SPEC, "what the spec names was deleted just now: %s",
                              db_errmsg(request->config->db));
    if (r == -EAGAIN)
        return answer_problem(answer, request, PROBLEM_TOO_MANY_JOBS, "%s", db_errmsg(request->config->db));
    if (r == -EDQUOT)
        return answer_problem(answer, request, PROBLEM_QUOTA, "%s", db_errmsg(request->config->db));
    if (r >= 0)
        r = answer_header(answer, "Location", "/v1/jobs/%s", id);
    if (r >= 0 && replayed)
        r = answer_header(answer, "Idempotency-Replayed", "true");
    return r < 0 ? r : answer_job(request, answer, replayed ? 200 : 201, id);
}

/* Store the drafts and answer with the first: 201, or 200 when the same request
 * came at the same time and was faster. */
static int drafts_insert(const struct request *request, struct answer *answer, struct drafts *drafts,
                         const struct identity *identity)
{
    const struct api_config *config = request->config;
    char id[DB_ID_SIZE];

    if (json_starved()) /* a spec that lacks what couldn't be allocated is another spec */
        return -ENOMEM;
    int r = db_job_insert(config->db, drafts->jobs, drafts->count, identity->keyed ? identity->key : NULL,
                          identity->body_sha256, config->now_ms(config->user), id);

    if (r == 0)
        config->bell(config->user);
    return submitted_answer(request, answer, r, id);
}

/* Spec -> rows -> answer. */
static int spec_submit(const struct request *request, struct answer *answer, const struct job_spec *spec,
                       const struct needs *needs, const struct identity *identity)
{
    char id[DB_ID_SIZE], steps[RIFT_STEPS][DB_ID_SIZE];
    struct sweep_run *runs = NULL;
    struct api_condition condition;
    int count = 0, r = 0;

    server_condition(request, &condition);
    if (condition.no_space)
        return answer_problem(answer, request, PROBLEM_NO_SPACE,
                              "%lld bytes are free on the server's disk, %lld are to be",
                              (long long)condition.free_bytes, (long long)condition.floor_bytes);
    struct drafts drafts = { .owner = request->caller.owner, .time_limit_ms = condition.time_limit_max_ms };
    for (int i = 0; i < spec->after_count && job_kinds[spec->kind].parent; i++)
        needs_add(&drafts.all, spec->after[i].job, (enum db_condition)spec->after[i].on);
    if (spec->kind == JOB_SWEEP)
        r = sweep_expand(spec, &runs, &count);
    if (r >= 0)
        r = drafts_open(&drafts, 1 + (spec->kind == JOB_RIFT ? RIFT_STEPS : count * (1 + RIFT_STEPS)));
    id_new(request->config->now_ms(request->config->user), id);
    if (r >= 0)
        r = draft_add(&drafts, spec, spec->json, id, needs, -1, -1);
    if (r >= 0 && spec->kind == JOB_RIFT)
        r = steps_draft(request, &drafts, spec, steps);
    if (r >= 0 && spec->kind == JOB_SWEEP)
        r = runs_draft(request, &drafts, runs, count);
    if (r >= 0)
        r = drafts_insert(request, answer, &drafts, identity);
    if (r == -ENOENT)
        r = answer_problem(answer, request, PROBLEM_BAD_SPEC, "what the spec names was deleted just now: %s",
                           drafts.gone.message);
    drafts_done(&drafts);
    sweep_runs_free(runs, count);
    return r;
}

int handle_job_submit(const struct request *request, struct answer *answer)
{
    struct identity identity = { 0 };
    struct needs needs = { 0 };
    char id[DB_ID_SIZE];
    spec_auto spec = { 0 };
    int64_t dry_run;

    if (request_int(request, answer, "dry_run", 0, 1, 0, &dry_run) < 0)
        return 0;
    int r = identity_read(request, answer, &identity);
    if (r <= 0)
        return r;
    if (identity.keyed && !dry_run) {
        r = db_job_repeated(request->config->db, request->caller.owner, identity.key, identity.body_sha256, id);
        if (r != 0)
            return submitted_answer(request, answer, r, id);
    }
    r = spec_read(request, answer, &spec, &needs);
    if (r <= 0)
        return r;
    if (dry_run)
        return answer_json(answer, 200, json_incref(spec.json));
    return spec_submit(request, answer, &spec, &needs, &identity);
}
