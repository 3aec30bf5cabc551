/* How is accuracy won back without losing robustness?
 *
 *     theta~* = argmin over theta_i of CE(f(x, (theta_i; rest frozen)), y) + lambda |theta_i|_2     (Eq. 8)
 *
 * Step 2 of RiFT: only the least robust-critical module learns, on clean
 * images; all other parameters get neither gradient nor decay.
 *
 * Surprising: "frozen" is true of parameters only, in the published code. The
 * whole network runs in train mode, so batch norm uses batch statistics and its
 * running statistics drift to those of clean images (batch_norm "train"). With
 * "frozen" they stay too; then, when images aren't cropped, everything before
 * the module is the same in every epoch and is computed once. */
#include "gpu/rift/kinds.h"

#include "gpu/rift/criticality_sets.h"
#include "gpu/rift/frontier.h"
#include "gpu/rift/measure.h"
#include "gpu/rift/training.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct finetuning {
    struct run *run;
    bool *chosen; /* [module_count] */
    bool *wanted; /* [tensor_count] */
    int first;    /* op where the plan starts */
    bool cached;
    struct frontier frontier;
    struct images train, judge;
    struct batch batch;
};

/* ---- which modules ---------------------------------------------------------------- */

static int finished_seen(json_t *event, int64_t end_offset, void *user)
{
    json_t **result = user;

    (void)end_offset;
    if (strcmp(json_string_value(json_object_get(event, "type")), "finished") == 0) {
        json_decref(*result);
        *result = json_incref(json_object_get(event, "result"));
    }
    return 0;
}

/* A list of the mrc job's result, new reference. */
static int mrc_rows(struct run *run, const char *list, json_t **ret)
{
    const struct weights_ref *job = &run->spec.finetune.mrc_job;
    json_t *result = NULL;
    int64_t offset = 0;

    if (!job->path)
        return run_fail(run, FAILURE_BAD_SPEC,
                        "finetune.mrc_job: the path of an mrc job's directory is needed to choose modules by");
    char *dir = run_path(run, job->path), *path = NULL;
    int r = dir && asprintf(&path, "%s/%s", dir, JOBDIR_JOURNAL) > 0 ? 0 : -ENOMEM;

    if (r == 0)
        r = journal_read(path, &offset, finished_seen, &result, &run->why);
    free(dir);
    free(path);
    bool measured = json_array_size(json_object_get(result, "modules"));
    *ret = json_incref(json_object_get(result, list));
    json_decref(result);
    if (r < 0)
        return run_blame(run, FAILURE_BAD_DATA, r);
    if (!json_array_size(*ret)) {
        json_decref(*ret);
        *ret = NULL;
        if (measured)
            return run_fail(run, FAILURE_BAD_SPEC,
                            "finetune.modules: the mrc job %s searched for no set of modules: set mrc.greedy there",
                            job->path);
        return run_fail(run, FAILURE_BAD_DATA, "finetune.mrc_job: %s has no result of an mrc job with `%s`", job->path,
                        list);
    }
    return 0;
}

static int choose_name(struct finetuning *f, const char *name)
{
    int m = run_module(f->run, "finetune.modules", name);

    if (m < 0)
        return m;
    f->chosen[m] = true;
    return 0;
}

/* Choose `count` rows of lowest MRC (sign 1) or highest (sign -1); ties: the earlier module. */
static int choose_by_mrc(struct finetuning *f, int count, int sign)
{
    json_t *rows = NULL;
    int r = mrc_rows(f->run, "modules", &rows);

    for (int taken = 0; taken < count && r == 0; taken++) {
        int best = criticality_choose(rows, sign);

        if (best < 0) {
            r = run_fail(f->run, FAILURE_BAD_SPEC, "finetune.modules: %d modules are wanted, the mrc job measured %d",
                         count, taken);
            break;
        }
        const char *name = json_string_value(json_object_get(json_array_get(rows, (size_t)best), "module"));
        r = choose_name(f, name ? name : "");
        json_array_remove(rows, (size_t)best);
    }
    json_decref(rows);
    return r;
}

/* The set of `size` that the mrc job's search found. */
static int choose_greedy(struct finetuning *f, int size)
{
    json_t *rows = NULL;
    int r = mrc_rows(f->run, "greedy", &rows);
    const json_t *names = json_object_get(json_array_get(rows, (size_t)size - 2), "modules");

    if (r == 0 && !names)
        r = run_fail(
            f->run, FAILURE_BAD_SPEC,
            "finetune.modules: the mrc job had no search for a set of %d modules, only up to %zu: set mrc.greedy "
            "to %d there",
            size, json_array_size(rows) + 1, size);
    for (size_t i = 0; i < json_array_size(names) && r == 0; i++)
        r = choose_name(f, json_string_value(json_array_get(names, i)));
    json_decref(rows);
    return r;
}

/* The modules that own such a parameter; wanted_set takes the parameters themselves. */
static int choose_containing(struct finetuning *f, const char *text)
{
    const struct model *model = f->run->model;

    for (int m = 0; m < model->module_count; m++)
        f->chosen[m] = strstr(model->tensors[model->modules[m].weight].name, text) != NULL;
    return run_parameter(f->run, "finetune.modules", text);
}

static int modules_choose(struct finetuning *f)
{
    const struct module_choice *choice = &f->run->spec.finetune.modules;
    int count = f->run->model->module_count, r = 0;

    switch (choice->rule) {
    case MODULES_NAMED:
        for (int i = 0; i < choice->count && r == 0; i++)
            r = choose_name(f, choice->names[i]);
        return r;
    case MODULES_LOWEST:
        return choose_by_mrc(f, 1, 1);
    case MODULES_HIGHEST:
        return choose_by_mrc(f, 1, -1);
    case MODULES_TOP:
        return choose_by_mrc(f, choice->top, 1);
    case MODULES_GREEDY:
        return choose_greedy(f, choice->top);
    case MODULES_CONTAINING:
        return choose_containing(f, choice->text);
    case MODULES_LAST:
        f->chosen[count - 1] = true;
        return 0;
    case MODULES_ALL:
        for (int m = 0; m < count; m++)
            f->chosen[m] = true;
        return 0;
    }
    return run_fail(f->run, FAILURE_INTERNAL, "finetune.modules: unknown rule");
}

/* Does the parameter move? A module is its weight and bias; "all" is every parameter, batch norm's
 * too, and so is what contains the text: the published code chooses by substring. */
static bool moves(const struct finetuning *f, int t)
{
    const struct model *model = f->run->model;
    const struct module_choice *choice = &f->run->spec.finetune.modules;

    if (!model->tensors[t].parameter)
        return false;
    if (choice->rule == MODULES_ALL)
        return true;
    if (choice->rule == MODULES_CONTAINING)
        return strstr(model->tensors[t].name, choice->text) != NULL;
    for (int m = 0; m < model->module_count; m++) {
        const struct op *op = &model->ops[model->modules[m].op];

        if (f->chosen[m] && (op->tensor[0] == t || (op->type == OP_LINEAR && op->tensor[1] == t)))
            return true;
    }
    return false;
}

/* How many tensors an operation has: convolution weight; linear weight, bias; batch norm gamma, beta. */
static const int parameters_of[] = { [OP_CONV] = 1, [OP_BN] = 2, [OP_LINEAR] = 2 };

/* The parameters that move, and the first operation that one of them touches. */
static void wanted_set(struct finetuning *f)
{
    const struct model *model = f->run->model;

    for (int t = 0; t < model->tensor_count; t++)
        f->wanted[t] = moves(f, t);
    f->first = model->op_count;
    for (int o = model->op_count - 1; o >= 0; o--) {
        const struct op *op = &model->ops[o];
        int count = parameters_of[op->type];

        for (int i = 0; i < count; i++)
            f->first = f->wanted[op->tensor[i]] ? o : f->first;
    }
}

static json_t *module_names(const struct finetuning *f)
{
    json_t *names = json_array();

    for (int m = 0; m < f->run->model->module_count; m++)
        if (f->chosen[m])
            json_array_append_new(names, json_string(f->run->model->modules[m].name));
    return names;
}

/* ---- steps -------------------------------------------------------------------------- */

static struct plan_spec step_plan(const struct finetuning *f)
{
    bool frozen = f->run->spec.finetune.batch_norm == BATCH_NORM_FROZEN;

    return (struct plan_spec){ .mode = frozen ? PLAN_EVAL : PLAN_TRAIN,
                               .first = f->cached ? f->first : 0,
                               .wanted = f->wanted };
}

static int frontier_prepare(struct training *t)
{
    struct finetuning *f = t->user;

    return f->cached ? frontier_open(&f->frontier, &f->train, &f->batch, f->first) : 0;
}

static int finetune_step(struct training *t, const int32_t *order, int first, int n)
{
    struct finetuning *f = t->user;
    struct run *run = f->run;
    struct cut cut = { run->spec.augment, run->spec.augment_padding, (uint32_t)t->epoch };
    struct plan_spec spec = step_plan(f);
    struct plan *plan;

    spec.batch = n;
    int r = run_plan(run, spec, &plan);
    if (r == 0 && f->cached) {
        r = frontier_load(&f->frontier, &f->batch, &f->train, order, first, n, plan);
    } else if (r == 0) {
        r = batch_load(&f->batch, &f->train, order, first, n, &cut);
        plan_bind(plan, 0, f->batch.x);
    }
    return r < 0 ? r : training_descend(t, plan);
}

/* ---- the whole ------------------------------------------------------------------------ */

static int plans_reserve(struct finetuning *f, const struct training *t)
{
    int r = run_plan_reserve(f->run, f->train.count, step_plan(f));

    return r < 0 || !t->judge ? r : measure_reserve(f->run, f->judge.count, 0, t->attack);
}

/* Where nothing before the module moves, and all else has its memory: store what comes before it. */
static int frontier_begin(struct training *t)
{
    struct finetuning *f = t->user;
    struct run *run = f->run;

    if (run->spec.finetune.batch_norm != BATCH_NORM_FROZEN || run->spec.augment != AUGMENT_NONE)
        return 0;
    frontier_reserve(run, f->train.count, f->batch.most, &f->first, 1, &f->frontier);
    f->cached = f->first > 0;
    if (!f->cached)
        return 0;
    plan_cache_clear(run->plans); /* what comes instead packs no more */
    int r = frontier_plan(run, f->train.count, f->first);
    return r < 0 ? r : plans_reserve(f, t);
}

static int finetune_open(struct finetuning *f, struct training *t)
{
    struct run *run = f->run;
    const struct model *model = run->model;
    int r;

    f->chosen = calloc((size_t)model->module_count, sizeof(*f->chosen));
    f->wanted = calloc((size_t)model->tensor_count, sizeof(*f->wanted));
    if (!f->chosen || !f->wanted)
        return run_fail(run, FAILURE_OUT_OF_MEMORY, "no memory");
    r = modules_choose(f);
    if (r < 0)
        return r;
    wanted_set(f);
    t->wanted = f->wanted;
    r = run_weights(run, &run->spec.model.weights, "model.weights");
    if (r == 0)
        r = training_images(t, &f->train, &f->judge);
    if (r == 0)
        r = batch_open(run, f->train.count > f->judge.count ? f->train.count : f->judge.count, t->attack != NULL,
                       &f->batch);
    if (r < 0)
        return r;
    return plans_reserve(f, t);
}

int finetune(struct run *run, json_t **ret_result)
{
    struct finetuning f = { .run = run };
    struct training t = { .run = run,
                          .batch = &f.batch,
                          .epochs = run->spec.finetune.epochs,
                          .evaluate_every = run->spec.finetune.evaluate_every,
                          .attack = attack_given(&run->spec.attack) ? &run->spec.attack : NULL,
                          .step = finetune_step,
                          .reserve = frontier_begin,
                          .prepare = frontier_prepare,
                          .user = &f };
    int r = finetune_open(&f, &t);

    if (r == 0)
        r = training_run(&t, json_pack("{s:o}", "modules", module_names(&f)), ret_result);
    if (r == 0)
        json_object_set_new(*ret_result, "modules", module_names(&f));
    frontier_done(&f.frontier);
    batch_done(&f.batch);
    images_done(&f.train);
    images_done(&f.judge);
    free(f.chosen);
    free(f.wanted);
    return r;
}
