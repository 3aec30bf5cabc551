/* Which of cuDNN's engines runs a convolution?
 *
 *   deterministic   the first of cuDNN's own list that works: a function of the
 *                   card and the library, not of the clock
 *   otherwise       each of the first few is timed, the fastest wins
 *
 * What is named in the file RIFT_CUDA_PLANS wins in both: a run that times adds
 * its winners there, so a tuned choice can be pinned and repeated.
 *
 * A forward convolution with residual, bias and ReLU has a rival: the plain
 * convolution and a kernel of ours after it ("split"). Without a clock the
 * fused one wins when it was compiled ahead: those are the library's best; what
 * it compiles at run time takes a second to build and is often slower.
 *
 * Every plan runs once on noise before it is taken: an engine that lists itself
 * and then refuses is found here and not in the middle of a job, and modules
 * are loaded before anything is recorded. */
#include "gpu/backend/cuda/choice.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORKSPACE_MOST = 256 << 20, TIMED_MOST = 10, ROUNDS = 7 };
#define PLANS_FILE "RIFT_CUDA_PLANS"
#define SPLIT      "split"

/* Memory that plans are tried on. */
struct trial {
    void *memory[5]; /* x, w, y, bias, residual */
    void *workspace;
    size_t workspace_bytes;
};

static struct dnn_wish wish_of(const struct cuda_device *d)
{
    return (struct dnn_wish){ .full_float = d->base.precision == PRECISION_FLOAT32,
                              .deterministic = d->base.deterministic,
                              .workspace_bytes_max = WORKSPACE_MOST };
}

/* ---- the file of choices ---------------------------------------------------------------------- */

/* The choice that the file names for this question; false: none. */
static bool pinned(const struct question *q, char *ret, size_t size)
{
    const char *path = getenv(PLANS_FILE);
    FILE *file = path ? fopen(path, "re") : NULL;
    size_t length = strlen(q->key);
    char line[512];
    bool found = false;

    while (file && !found && fgets(line, sizeof(line), file)) {
        if (strncmp(line, q->key, length) != 0 || line[length] != '\t')
            continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(ret, size, "%s", line + length + 1);
        ret[strcspn(ret, "\t")] = '\0';
        found = true;
    }
    if (file)
        fclose(file);
    return found;
}

/* One write a line, at the end: several workers may share the file. */
static void pin(const struct question *q, const char *name, float ms)
{
    const char *path = getenv(PLANS_FILE);
    char line[512];
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;
    int length = snprintf(line, sizeof(line), "%s\t%s\t%.4f ms\n", q->key, name, (double)ms);

    if (fd < 0)
        return;
    if (length > 0 && length < (int)sizeof(line) && write(fd, line, (size_t)length) < 0)
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
    close(fd);
}

/* ---- trying ---------------------------------------------------------------------------------------- */

static void trial_done(struct trial *t)
{
    for (int i = 0; i < 5; i++)
        cudaFree(t->memory[i]);
    cudaFree(t->workspace);
    *t = (struct trial){ 0 };
}

static int trial_open(struct cuda_device *d, const struct dnn_conv *c, struct trial *ret)
{
    size_t in = (size_t)c->n * (size_t)c->h * (size_t)c->w * (size_t)c->c;
    size_t out = (size_t)c->n * (size_t)c->out_h * (size_t)c->out_w * (size_t)c->out_c;
    size_t weights = (size_t)c->out_c * (size_t)c->kernel * (size_t)c->kernel * (size_t)c->c;
    const size_t counts[5] = { in, weights, out, (size_t)c->out_c, out };

    *ret = (struct trial){ 0 };
    for (int i = 0; i < 5; i++) {
        ret->memory[i] = cuda_memory(d, counts[i] * element_bytes(d));
        int r = ret->memory[i] ? cuda_result(d, kernel_noise(d->stream, d->bf16, counts[i], ret->memory[i]), "noise")
                               : cuda_no_memory(d);
        if (r < 0) {
            trial_done(ret);
            return r;
        }
    }
    return 0;
}

static int trial_workspace(struct cuda_device *d, struct trial *t, size_t bytes)
{
    if (bytes <= t->workspace_bytes)
        return 0;
    cudaFree(t->workspace);
    t->workspace_bytes = 0;
    t->workspace = cuda_memory(d, bytes);
    if (!t->workspace)
        return cuda_no_memory(d);
    t->workspace_bytes = bytes;
    return 0;
}

static const int64_t all_uids[5] = { UID_X, UID_W, UID_Y, UID_BIAS, UID_RESIDUAL };

/* Run it once and wait. -EIO: this plan doesn't work; -ENODEV: nothing does any more. */
static int try_once(struct cuda_device *d, const struct choice *choice, struct trial *t)
{
    int r = trial_workspace(d, t, choice->workspace_bytes);

    if (r == 0)
        r = choice_run(d, choice, all_uids, t->memory, t->workspace);
    if (r == 0)
        r = cuda_result(d, cudaStreamSynchronize(d->stream), "trying a convolution");
    return r;
}

static int by_time(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

/* Median milliseconds; tail: our kernel after it counts too. */
static int time_choice(const struct question *q, const struct choice *choice, struct trial *t, bool tail, float *ret)
{
    struct cuda_device *d = q->d;
    struct extent out = { q->conv->n, q->conv->out_c, q->conv->out_h, q->conv->out_w };
    cudaEvent_t from = NULL, to = NULL;
    float ms[ROUNDS] = { 0 };
    int r = cuda_result(d, cudaEventCreate(&from), "an event");

    if (r == 0)
        r = cuda_result(d, cudaEventCreate(&to), "an event");
    for (int i = 0; i < ROUNDS && r == 0; i++) {
        cudaEventRecord(from, d->stream);
        r = choice_run(d, choice, all_uids, t->memory, t->workspace);
        if (r == 0 && tail)
            r = cuda_result(d,
                            kernel_epilogue(d->stream, d->bf16, out, q->tail->residual ? t->memory[4] : NULL,
                                            q->tail->bias ? t->memory[3] : NULL, q->tail->relu, t->memory[2]),
                            "timing a convolution");
        cudaEventRecord(to, d->stream);
        if (r == 0)
            r = cuda_result(d, cudaEventSynchronize(to), "timing a convolution");
        if (r == 0)
            r = cuda_result(d, cudaEventElapsedTime(&ms[i], from, to), "timing a convolution");
    }
    if (from)
        cudaEventDestroy(from);
    if (to)
        cudaEventDestroy(to);
    qsort(ms, ROUNDS, sizeof(ms[0]), by_time);
    *ret = ms[ROUNDS / 2];
    return r;
}

/* ---- searching ----------------------------------------------------------------------------------------- */

void choice_done(struct choice *choice)
{
    if (choice->plan)
        cudnnBackendDestroyDescriptor(choice->plan);
    dnn_done(&choice->graph);
    *choice = (struct choice){ 0 };
}

int choice_run(struct cuda_device *d, const struct choice *choice, const int64_t *uids, void *const *pointers,
               void *workspace)
{
    int64_t used_uids[5];
    void *used[5];
    int count = 0;

    for (int i = 0; i < 5; i++)
        if (choice->has[i]) {
            used_uids[count] = uids[i];
            used[count++] = pointers[i];
        }
    return cuda_dnn_result(d, dnn_execute(d->dnn, choice->plan, count, used_uids, used, workspace), "a convolution");
}

static void graph_write(const struct question *q, struct choice *ret)
{
    *ret = (struct choice){ .has = { true, true, true, q->tail && q->tail->bias, q->tail && q->tail->residual } };
    dnn_start(&ret->graph, (struct dnn_target){ .handle = q->d->dnn });
    dnn_conv_graph(&ret->graph, q->conv, q->direction, q->tail);
}

/* What of a list may be taken at all. */
struct search {
    const struct question *q;
    struct dnn_wish wish;
    struct trial *trial;
    const char *only; /* the one of that name, or NULL */
    bool ahead_only;  /* nothing that is compiled at run time */
    bool timed;       /* the fastest, not the first */
    char best[96];    /* its name */
    float ms;
};

/* Take the best of the candidates into ret->plan. -ENOTSUP: none works. */
static int search_run(struct search *s, const struct dnn_candidates *candidates, struct choice *ret)
{
    int tried = 0;

    for (int i = 0; i < candidates->count && tried < (s->timed ? TIMED_MOST : DNN_CANDIDATES); i++) {
        const struct dnn_candidate *one = &candidates->list[i];
        struct choice now = *ret; /* shares the graph */

        if ((s->only && strcmp(s->only, one->name) != 0) || (s->ahead_only && one->compiled_at_run_time))
            continue;
        now.plan = dnn_plan(&ret->graph, one, &s->wish, &now.workspace_bytes);
        if (!now.plan)
            continue;
        float ms = 0;
        int r = try_once(s->q->d, &now, s->trial);
        if (r == 0 && s->timed)
            r = time_choice(s->q, &now, s->trial, false, &ms);
        if (r == -ENODEV || r == -ENOMEM) {
            cudnnBackendDestroyDescriptor(now.plan);
            return r;
        }
        tried += r == 0;
        if (r < 0 || (ret->plan && ms >= s->ms)) {
            cudnnBackendDestroyDescriptor(now.plan);
            continue;
        }
        if (ret->plan)
            cudnnBackendDestroyDescriptor(ret->plan);
        ret->plan = now.plan;
        ret->workspace_bytes = now.workspace_bytes;
        snprintf(s->best, sizeof(s->best), "%s", one->name);
        s->ms = ms;
        if (!s->timed)
            break;
    }
    return ret->plan ? 0 : -ENOTSUP;
}

/* Write the graph, list the engines, search. On failure ret is {0}. */
static int search(struct search *s, struct choice *ret)
{
    struct dnn_candidates *candidates = malloc(sizeof(*candidates));
    int r;

    if (!candidates)
        return -ENOMEM;
    graph_write(s->q, ret);
    dnn_candidates(&ret->graph, &s->wish, candidates);
    r = ret->graph.status == CUDNN_STATUS_SUCCESS ? search_run(s, candidates, ret) : -ENOTSUP;
    dnn_candidates_done(candidates);
    free(candidates);
    if (r < 0) {
        if (r == -ENOTSUP && ret->graph.message[0])
            snprintf(s->q->d->base.message, sizeof(s->q->d->base.message), "%s", ret->graph.message);
        choice_done(ret);
    }
    return r;
}

static int no_engine(const struct question *q, int r, struct fault *why)
{
    if (r == -ENOTSUP)
        return fault_set(why, r, "cuDNN has no engine for %s (%s)", q->key,
                         *q->d->base.message ? q->d->base.message : "none works");
    return fault_set(why, r, "%s: %s", q->key, q->d->base.message);
}

static int plain_on(const struct question *q, struct trial *trial, struct choice *ret)
{
    struct search s = { .q = q, .wish = wish_of(q->d), .trial = trial };
    char name[96];
    int r = -ENOTSUP;

    if (pinned(q, name, sizeof(name))) {
        s.only = name;
        r = search(&s, ret);
        s.only = NULL;
    }
    if (r == -ENOTSUP) {
        s.timed = !q->d->base.deterministic;
        r = search(&s, ret);
        if (r == 0 && s.timed)
            pin(q, s.best, s.ms);
    }
    return r;
}

int search_plain(const struct question *q, struct choice *ret, struct fault *why)
{
    struct trial trial;
    int r = trial_open(q->d, q->conv, &trial);

    if (r == 0)
        r = plain_on(q, &trial, ret);
    trial_done(&trial);
    return r < 0 ? no_engine(q, r, why) : 0;
}

/* Search; with a clock also against the plain convolution and our kernel after it. */
static int fused_on(struct search *s, const struct choice *rival, struct choice *ret)
{
    const struct question *q = s->q;
    float ms = 0;
    int r = search(s, ret);

    ret->fused = r == 0;
    if (r < 0 || !s->timed)
        return r == -ENOTSUP ? 0 : r;
    bool split = false;
    if (rival) {
        r = trial_workspace(q->d, s->trial, rival->workspace_bytes);
        if (r == 0)
            r = time_choice(q, rival, s->trial, true, &ms);
        split = r == 0 && ms < s->ms;
    }
    if (r == 0)
        pin(q, split ? SPLIT : s->best, split ? ms : s->ms);
    if (r < 0 || split)
        choice_done(ret);
    return r;
}

int search_fused(const struct question *q, struct choice *ret, struct fault *why)
{
    struct search s = { .q = q, .wish = wish_of(q->d) };
    const struct choice *rival = NULL;
    struct fault missing = { 0 };
    struct trial trial;
    char name[96];

    *ret = (struct choice){ 0 };
    if (pinned(q, name, sizeof(name)))
        s.only = name;
    else if (q->d->base.deterministic)
        s.ahead_only = true;
    else
        s.timed = true;
    if (s.only && strcmp(name, SPLIT) == 0)
        return 0;
    /* the rival first: both need memory to be tried on */
    int r = s.timed ? choose(q->d, q->conv, q->direction, &rival, &missing) : 0;
    if (r < 0 && r != -ENOTSUP)
        return fault_set(why, r, "%s", missing.message);
    r = trial_open(q->d, q->conv, &trial);
    s.trial = &trial;
    if (r == 0)
        r = fused_on(&s, rival, ret);
    trial_done(&trial);
    return r < 0 ? no_engine(q, r, why) : 0;
}
