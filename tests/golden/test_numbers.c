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
#include "bench.h"

/* Examples whose two largest golden logits are nearer than two logits may be off together: either class is right. */
static int near_ties(struct bench *b, double tolerance)
{
    int k = b->run.model->num_classes, ties = 0;
    float *z = golden_floats(b->golden.values, "eval.logits", (int64_t)b->batch.n * k), largest = 0;

    for (int i = 0; i < b->batch.n * k; i++)
        largest = fmaxf(largest, fabsf(z[i]));
    for (int n = 0; n < b->batch.n; n++) {
        float first = -INFINITY, second = -INFINITY;

        for (int c = 0; c < k; c++) {
            float v = z[n * k + c];
            second = fmaxf(second, fminf(first, v));
            first = fmaxf(first, v);
        }
        ties += first - second <= 2 * tolerance * largest;
    }
    free(z);
    return ties;
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
    CHECK_NEAR(tally.loss / b->batch.n, golden_number(b->golden.expected, mode, "loss"), b->subject.losses);
    if (spec.mode == PLAN_EVAL)
        CHECK_NEAR((double)tally.correct / b->batch.n, golden_number(b->golden.expected, mode, "accuracy"),
                   (double)near_ties(b, b->subject.logits) / b->batch.n + 1e-9);
    snprintf(name, sizeof(name), "%s.logits", mode);
    check_tensor(b, name, plan_logits(plan), (int64_t)b->batch.n * b->run.model->num_classes, b->subject.logits);
    CHECK_INT(plan_backward(plan, gradient, spec.want_input ? b->batch.gradient : NULL), 0);
    snprintf(name, sizeof(name), "%s.input_grad", mode);
    if (spec.want_input)
        check_tensor(b, name, b->batch.gradient, shape_count(b->batch.shape), b->subject.gradients);
}

/* The running statistics of one pass in train mode. */
static void check_statistics(struct bench *b)
{
    const struct model *model = b->run.model;

    for (int t = 0; t < model->tensor_count; t++) {
        char name[96];

        snprintf(name, sizeof(name), "train.stat.%s", model->tensors[t].name);
        if (!model->tensors[t].parameter && !model->tensors[t].dead)
            check_tensor(b, name, weights_at(b->run.weights, t), model->tensors[t].count, b->subject.statistics);
    }
}

static bool train_grad_is_awp_grad(const struct bench *b)
{
    const struct safetensor *train = safetensors_find(b->golden.values, "train.grad.conv1.weight");
    const struct safetensor *awp = safetensors_find(b->golden.values, "awp.grad.conv1.weight");

    return train && awp && train->size == awp->size && memcmp(train->data, awp->data, awp->size) == 0;
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
    check_gradients(b, "awp.grad", gradient, b->batch.n == 16 ? b->subject.gradients_16 : b->subject.gradients);
    free(x);
    safetensors_close(file);
}

static void passes(int number, struct subject subject)
{
    struct bench b;

    bench_open_as(&b, number, subject);
    float *gradient = run_alloc(&b.run, (size_t)b.run.model->parameter_count * sizeof(float), "gradients");
    pass(&b, (struct plan_spec){ .mode = PLAN_EVAL, .want_input = true }, NULL);
    pass(&b, (struct plan_spec){ .mode = PLAN_TRAIN, .want_input = true, .wanted = b.all }, gradient);
    check_statistics(&b);
    if (!train_grad_is_awp_grad(&b))
        check_gradients(&b, "train.grad", gradient, b.subject.gradients);
    awp_gradient(&b, gradient);
    b.run.ops->free(b.run.dev, gradient);
    bench_close(&b);
}

/* The mean loss in float32 at these pixels, or at the clean ones (NULL). */
static double loss_at(int number, const float *x_adv)
{
    struct bench b;
    struct plan *plan;
    struct tally tally = { 0 };

    bench_open(&b, number, check_device());
    if (x_adv)
        CHECK_INT(b.run.ops->write(b.run.dev, b.batch.x_adv, x_adv, (size_t)shape_count(b.batch.shape) * sizeof(float)),
                  0);
    CHECK_INT(run_plan(&b.run, (struct plan_spec){ .batch = b.batch.n, .mode = PLAN_EVAL }, &plan), 0);
    plan_bind(plan, 0, x_adv ? b.batch.x_adv : b.batch.x);
    CHECK_INT(plan_forward(plan, 0), 0);
    CHECK_INT(plan_cross_entropy(plan, b.batch.labels, 1), 0);
    CHECK_INT(batch_tally(&b.batch, plan, &tally), 0);
    double mean = tally.loss / b.batch.n;
    bench_close(&b);
    return mean;
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
    bool other_order = steps > 1 && strcmp(device, "cpu") == 0 && !__builtin_cpu_supports("avx512f");
    double least = other_order ? PIXELS_OTHER_ORDER : PIXELS;
    if (!((double)apart <= (1 - least) * (double)count))
        CHECK_FAIL("%s: %s: %.4f %% of the pixels differ", b.what, name, 100.0 * (double)apart / (double)count);
    /* Whichever way a sign within rounding of zero fell, what was found is as bad. */
    double losses = b.subject.losses;
    bench_close(&b);
    CHECK_NEAR(loss_at(number, is), loss_at(number, want), losses);
    free(is);
    free(want);
}

static void passes_fast(void)
{
    for (int i = 0; i < GOLDEN_CASES; i++)
        passes(i, exact(check_device()));
}

static void passes_reference(void)
{
    for (int i = 0; i < golden_reference_cases(); i++)
        passes(i, exact("ref"));
}

static void pgd_fast(void)
{
    for (int i = 0; i < GOLDEN_CASES; i++) {
        pgd(i, check_device(), 1);
        pgd(i, check_device(), 10);
    }
}

static void pgd_reference(void)
{
    pgd(0, "ref", 1);
    pgd(0, "ref", 10);
    pgd(GOLDEN_64, "ref", 10);
    if (golden_reference_cases() > GOLDEN_WIDE) {
        pgd(GOLDEN_WIDE, "ref", 1);
        pgd(GOLDEN_WIDE, "ref", 10);
    }
}

static bool bf16_is_here(void)
{
    struct fault why = { 0 };

    struct device *dev = NULL;

    if (device_open(check_device(), PRECISION_BF16, 1, &dev, &why) == 0) {
        device_close(dev);
        return true;
    }
    fprintf(stderr, "skipped: %s\n", why.message);
    return false;
}

static void passes_bf16(void)
{
    for (int i = 0; bf16_is_here() && i < GOLDEN_CASES; i++)
        passes(i, half());
}

static void pgd_bf16(void)
{
    for (int i = 0; bf16_is_here() && i < GOLDEN_CASES; i++) {
        struct bench b;
        struct plan *plan;
        struct plan_spec spec = attack_plan(PLAN_EVAL);

        bench_open_as(&b, i, half());
        b.run.spec.attack.steps = 10;
        spec.batch = b.batch.n;
        int64_t count = shape_count(b.batch.shape);
        float *is = malloc((size_t)count * sizeof(float)), *want = golden_floats(b.golden.values, "pgd10.x_adv", count);
        CHECK_INT(run_plan(&b.run, spec, &plan), 0);
        CHECK_INT(attack_pgd(&b.batch, plan, &b.run.spec.attack, (struct random_key){ 0 }), 0);
        CHECK_INT(b.run.ops->read(b.run.dev, is, b.batch.x_adv, (size_t)count * sizeof(float)), 0);
        bench_close(&b);
        double clean = loss_at(i, NULL), added = loss_at(i, is) - clean, golden = loss_at(i, want) - clean;
        if (!(golden > 0 && added >= BF16_ATTACK * golden))
            CHECK_FAIL("%s: PGD-10 in bf16 adds %.6g to the loss, the golden one %.6g", golden_cases[i], added, golden);
        free(is);
        free(want);
    }
}

static const struct check_case cases[] = {
    { "logits, losses, gradients and statistics are the golden ones", passes_fast },
    { "the same on the reference device", passes_reference },
    { "PGD-1 and PGD-10 end at the golden pixels", pgd_fast },
    { "the same pixels on the reference device", pgd_reference },
    { "in bf16 they are the golden ones within what bf16 keeps", passes_bf16 },
    { "PGD-10 in bf16 finds as much loss as the golden one", pgd_bf16 },
};
CHECK_MAIN(cases)
