/* Does the engine compute what an independent implementation computes?
 *
 * Plans directly: logits, losses, gradients of pixels and parameters, running
 * statistics, and PGD's pixels, on the fast device and on the reference one.
 *
 * Surprising: in the golden files of today `train.grad.*` is bit for bit
 * `awp.grad.*`, the gradient on the adversarial examples at AWP's perturbed
 * weights (whoever wrote them kept a reference, not a copy). So parameter
 * gradients are compared at that point; files in which the two differ are
 * compared at both. The gradient at theta is also what SGD's golden weights
 * depend on (test_jobs.c). */
#include "golden.h"

#include "gpu/rift/attack.h"
#include "gpu/rift/training.h"

/* The case's model and data on a device. */
struct bench {
    struct golden golden;
    struct run run;
    struct images images;
    struct batch batch;
    bool *all;
    char what[64]; /* for messages */
};

static void bench_open(struct bench *b, int number, const char *device)
{
    struct spec_errors errors;
    const struct examples *examples;

    *b = (struct bench){ .golden = golden_open(number) };
    snprintf(b->what, sizeof(b->what), "%s on %s", golden_cases[number], device);
    json_t *model = json_deep_copy(json_object_get(b->golden.expected, "model"));
    json_object_set_new(model, "weights", json_string("model.safetensors"));
    json_t *spec =
        json_pack("{s:s, s:s, s:s, s:i, s:O, s:{s:s, s:s}, s:{s:b, s:s, s:s}}", "kind", "evaluate", "device", device,
                  "protocol", "paper", "threads", 2, "batch_size", json_object_get(b->golden.expected, "batch"),
                  "dataset", "format", "tensors", "path", "data.safetensors", "attack", "random_start", false,
                  "epsilon", "8/255", "step_size", "2/255");
    json_object_set_new(spec, "model", model);
    b->run = (struct run){ .dir = b->golden.dir };
    CHECK_INT(spec_from_json(spec, &b->run.spec, &errors), 0);
    json_decref(spec);
    CHECK_INT(run_open(&b->run), 0);
    CHECK_INT(run_weights(&b->run, &b->run.spec.model.weights, "weights"), 0);
    CHECK_INT(run_dataset(&b->run, split_wants(SPLIT_TEST)), 0);
    CHECK_INT(run_examples(&b->run, SPLIT_TEST, &examples), 0);
    CHECK_INT(images_open(&b->run, examples, &b->images), 0);
    CHECK_INT(batch_open(&b->run, examples->count, true, &b->batch), 0);
    CHECK_INT(batch_load(&b->batch, &b->images, NULL, 0, examples->count, NULL), 0);
    b->all = calloc((size_t)b->run.model->tensor_count, sizeof(bool));
    for (int t = 0; t < b->run.model->tensor_count; t++)
        b->all[t] = b->run.model->tensors[t].parameter;
}

static void bench_close(struct bench *b)
{
    batch_done(&b->batch);
    images_done(&b->images);
    run_close(&b->run);
    golden_close(&b->golden);
    free(b->all);
}

/* Device floats beside the golden tensor of that name. */
static void check_tensor(struct bench *b, const char *name, const float *device, int64_t count, double tolerance)
{
    float *is = malloc((size_t)count * sizeof(float)), *want = golden_floats(b->golden.values, name, count);

    CHECK_INT(b->run.ops->read(b->run.dev, is, device, (size_t)count * sizeof(float)), 0);
    check_close(b->what, name, is, want, count, tolerance);
    free(is);
    free(want);
}

/* Forward and backward as `spec` says; logits, loss and pixel gradient are compared. */
static void pass(struct bench *b, struct plan_spec spec, float *gradient)
{
    const char *mode = spec.mode == PLAN_TRAIN ? "train" : "eval";
    char name[64];
    struct tally tally = { 0 };
    struct plan *plan;

    spec.batch = b->batch.n;
    CHECK_INT(run_plan(&b->run, spec, &plan), 0);
    plan_bind(plan, 0, b->batch.x);
    CHECK_INT(plan_forward(plan, BATCH_NORM_MOMENTUM), 0);
    CHECK_INT(plan_cross_entropy(plan, b->batch.labels, 1.0f / (float)b->batch.n), 0);
    CHECK_INT(batch_tally(&b->batch, plan, &tally), 0);
    CHECK_NEAR(tally.loss / b->batch.n, golden_number(b->golden.expected, mode, "loss"), LOGITS);
    if (spec.mode == PLAN_EVAL)
        CHECK_NEAR((double)tally.correct / b->batch.n, golden_number(b->golden.expected, mode, "accuracy"), 1e-9);
    snprintf(name, sizeof(name), "%s.logits", mode);
    check_tensor(b, name, plan_logits(plan), (int64_t)b->batch.n * b->run.model->num_classes, LOGITS);
    CHECK_INT(plan_backward(plan, gradient, spec.want_input ? b->batch.gradient : NULL), 0);
    snprintf(name, sizeof(name), "%s.input_grad", mode);
    if (spec.want_input)
        check_tensor(b, name, b->batch.gradient, shape_count(b->batch.shape), GRADIENTS);
}

/* The running statistics of one pass in train mode. */
static void check_statistics(struct bench *b)
{
    const struct model *model = b->run.model;

    for (int t = 0; t < model->tensor_count; t++) {
        char name[96];

        snprintf(name, sizeof(name), "train.stat.%s", model->tensors[t].name);
        if (!model->tensors[t].parameter)
            check_tensor(b, name, weights_at(b->run.weights, t), model->tensors[t].count, GRADIENTS);
    }
}

/* Every parameter's gradient beside PREFIX.NAME. */
static void check_gradients(struct bench *b, const char *prefix, const float *gradient, double tolerance)
{
    const struct model *model = b->run.model;

    for (int t = 0; t < model->tensor_count; t++) {
        char name[96];

        snprintf(name, sizeof(name), "%s.%s", prefix, model->tensors[t].name);
        if (model->tensors[t].parameter)
            check_tensor(b, name, gradient + model->tensors[t].offset, model->tensors[t].count, tolerance);
    }
}

static bool train_grad_is_awp_grad(const struct bench *b)
{
    const struct safetensor *train = safetensors_find(b->golden.values, "train.grad.conv1.weight");
    const struct safetensor *awp = safetensors_find(b->golden.values, "awp.grad.conv1.weight");

    return train && awp && train->size == awp->size && memcmp(train->data, awp->data, awp->size) == 0;
}

/* theta + v, v of the golden file. */
static void perturb(struct bench *b)
{
    const struct model *model = b->run.model;

    for (int t = 0; t < model->tensor_count; t++) {
        char name[96];
        int64_t count = model->tensors[t].count;

        snprintf(name, sizeof(name), "awp.perturbation.%s", model->tensors[t].name);
        if (!model->tensors[t].parameter || !safetensors_find(b->golden.values, name))
            continue;
        float *v = golden_floats(b->golden.values, name, count), *theta = malloc((size_t)count * sizeof(float));
        CHECK_INT(b->run.ops->read(b->run.dev, theta, weights_at(b->run.weights, t), (size_t)count * sizeof(float)), 0);
        for (int64_t i = 0; i < count; i++)
            theta[i] += v[i];
        CHECK_INT(b->run.ops->write(b->run.dev, weights_at(b->run.weights, t), theta, (size_t)count * sizeof(float)),
                  0);
        weights_touch(b->run.weights, t);
        free(theta);
        free(v);
    }
}

/* The gradient on the golden adversarial examples at theta + v. */
static void awp_gradient(struct bench *b, float *gradient)
{
    struct safetensors *file = golden_file(b->golden.dir, "adversarial.safetensors");
    int64_t count = shape_count(b->batch.shape);
    float *x = golden_floats(file, "x", count);
    struct plan *plan;

    perturb(b);
    CHECK_INT(b->run.ops->write(b->run.dev, b->batch.x_adv, x, (size_t)count * sizeof(float)), 0);
    CHECK_INT(run_plan(&b->run, (struct plan_spec){ .batch = b->batch.n, .mode = PLAN_TRAIN, .wanted = b->all }, &plan),
              0);
    plan_bind(plan, 0, b->batch.x_adv);
    CHECK_INT(plan_forward(plan, BATCH_NORM_MOMENTUM), 0);
    CHECK_INT(plan_cross_entropy(plan, b->batch.labels, 1.0f / (float)b->batch.n), 0);
    CHECK_INT(plan_backward(plan, gradient, NULL), 0);
    check_gradients(b, "awp.grad", gradient, b->batch.n == 16 ? GRADIENTS_16 : GRADIENTS);
    free(x);
    safetensors_close(file);
}

static void passes(int number, const char *device)
{
    struct bench b;

    bench_open(&b, number, device);
    float *gradient = run_alloc(&b.run, (size_t)b.run.model->parameter_count * sizeof(float), "gradients");
    pass(&b, (struct plan_spec){ .mode = PLAN_EVAL, .want_input = true }, NULL);
    pass(&b, (struct plan_spec){ .mode = PLAN_TRAIN, .want_input = true, .wanted = b.all }, gradient);
    check_statistics(&b);
    if (!train_grad_is_awp_grad(&b))
        check_gradients(&b, "train.grad", gradient, GRADIENTS);
    awp_gradient(&b, gradient);
    b.run.ops->free(b.run.dev, gradient);
    bench_close(&b);
}

static void pgd(int number, const char *device, int steps)
{
    struct bench b;
    struct plan *plan;
    struct plan_spec spec = attack_plan(PLAN_EVAL);
    char name[32];

    bench_open(&b, number, device);
    b.run.spec.attack.steps = steps;
    spec.batch = b.batch.n;
    int64_t count = shape_count(b.batch.shape), apart = 0;
    float *is = malloc((size_t)count * sizeof(float));
    snprintf(name, sizeof(name), "pgd%d.x_adv", steps);
    float *want = golden_floats(b.golden.values, name, count);

    CHECK_INT(run_plan(&b.run, spec, &plan), 0);
    CHECK_INT(attack_pgd(&b.batch, plan, &b.run.spec.attack, (struct random_key){ 0 }), 0);
    CHECK_INT(b.run.ops->read(b.run.dev, is, b.batch.x_adv, (size_t)count * sizeof(float)), 0);
    for (int64_t i = 0; i < count; i++)
        apart += !(fabsf(is[i] - want[i]) < 1e-6f);
    if (!((double)apart <= (1 - PIXELS) * (double)count))
        CHECK_FAIL("%s: %s: %.4f %% of the pixels differ", b.what, name, 100.0 * (double)apart / (double)count);
    free(is);
    free(want);
    bench_close(&b);
}

static void passes_fast(void)
{
    for (int i = 0; i < GOLDEN_CASES; i++)
        passes(i, "cpu");
}

static void passes_reference(void)
{
    for (int i = 0; i < GOLDEN_CASES; i++)
        passes(i, "ref");
}

static void pgd_fast(void)
{
    for (int i = 0; i < GOLDEN_CASES; i++) {
        pgd(i, "cpu", 1);
        pgd(i, "cpu", 10);
    }
}

static void pgd_reference(void)
{
    pgd(0, "ref", 1);
    pgd(0, "ref", 10);
    pgd(GOLDEN_64, "ref", 10);
}

static const struct check_case cases[] = {
    { "logits, losses, gradients and statistics are the golden ones", passes_fast },
    { "the same on the reference device", passes_reference },
    { "PGD-1 and PGD-10 end at the golden pixels", pgd_fast },
    { "the same pixels on the reference device", pgd_reference },
};
CHECK_MAIN(cases)
