/* Do TRADES, MART and AWP compute what an independent implementation computes?
 *
 * Losses and parameter gradients on the golden adversarial examples in train
 * mode, AWP's perturbation and the gradient there, with beta 6 and gamma 0.01 as
 * the files have it, on the fast device and on the reference one. */
#include "bench.h"

#include "gpu/rift/methods.h"

/* A golden case, ready for steps of a method, x' being the golden one. */
struct lesson {
    struct bench bench;
    struct training training;
    struct descent descent;
};

static void lesson_open(struct lesson *l, int number, const char *device, enum train_method method)
{
    struct bench *b = &l->bench;

    bench_open(b, number, device);
    b->run.spec.train.method = method;
    b->run.spec.train.trades.beta = b->run.spec.train.mart.beta = 6;
    b->run.spec.train.awp.base = BASE_PGD_AT;
    b->run.spec.train.awp.gamma = 0.01;
    l->training = (struct training){ .run = &b->run, .batch = &b->batch, .train = &b->images };
    l->descent = (struct descent){ .training = &l->training, .run = &b->run, .batch = &b->batch };
    CHECK_INT(optimizer_open(b->run.weights, NULL, &l->training.optimizer, &b->run.why), 0);
    CHECK_INT(descent_open(&l->descent, b->batch.n), 0);
    struct safetensors *file = golden_file(b->golden.dir, "adversarial.safetensors");
    int64_t count = shape_count(b->batch.shape);
    float *x = golden_floats(file, "x", count);
    CHECK_INT(b->run.ops->write(b->run.dev, b->batch.x_adv, x, (size_t)count * sizeof(float)), 0);
    free(x);
    safetensors_close(file);
}

static void lesson_close(struct lesson *l)
{
    descent_done(&l->descent);
    optimizer_done(&l->training.optimizer);
    bench_close(&l->bench);
}

/* The mean loss that the last gradient belongs to. */
static void check_loss(struct lesson *l, const char *name)
{
    struct bench *b = &l->bench;
    double sum = 0;

    CHECK_INT(plan_loss_read(l->descent.heard, b->batch.loss, NULL), 0);
    for (int i = 0; i < b->batch.n; i++)
        sum += b->batch.loss[i];
    CHECK_NEAR(sum / b->batch.n, golden_number(b->golden.expected, "losses", name), LOGITS);
}

static void pair_gradient(int number, const char *device, enum train_method method, const char *name)
{
    struct lesson l;
    char prefix[32];

    lesson_open(&l, number, device, method);
    CHECK_INT(l.descent.method->gradient(&l.descent, BATCH_NORM_MOMENTUM), 0);
    check_loss(&l, name);
    snprintf(prefix, sizeof(prefix), "%s.grad", name);
    check_gradients(&l.bench, prefix, l.training.optimizer.gradient, GRADIENTS);
    lesson_close(&l);
}

/* theta + delta - theta beside the golden delta. */
static void check_perturbation(struct lesson *l)
{
    struct bench *b = &l->bench;
    const struct model *model = b->run.model;
    int compared = 0;

    CHECK_INT(b->run.ops->axpy(b->run.dev, model->parameter_count, -1, l->descent.theta, b->run.weights->theta), 0);
    for (int t = 0; t < model->tensor_count; t++) {
        const struct tensor_info *w = &model->tensors[t];
        char name[96];

        snprintf(name, sizeof(name), "awp.perturbation.%s", w->name);
        if (!w->parameter)
            continue;
        if (safetensors_find(b->golden.values, name)) {
            check_tensor(b, name, b->run.weights->theta + w->offset, w->count, PERTURBATION);
            compared++;
        } else {
            double norm;

            CHECK_INT(b->run.ops->norm(b->run.dev, w->count, b->run.weights->theta + w->offset, NULL, &norm), 0);
            CHECK_NEAR(norm, 0, 0);
        }
    }
    CHECK_INT(compared, model->module_count);
}

/* The whole step up to the gradient; `own`: which is compared where our own delta leads. */
static void awp(int number, const char *device, bool own)
{
    struct lesson l;
    struct descent *d = &l.descent;
    struct run *run = &l.bench.run;

    lesson_open(&l, number, device, TRAIN_AWP);
    double tolerance = l.bench.batch.n == 16 ? GRADIENTS_16 : GRADIENTS;
    CHECK_INT(awp_gradient(d), 0);
    check_loss(&l, "awp");
    if (own)
        check_gradients(&l.bench, "awp.grad", l.training.optimizer.gradient, tolerance);
    check_perturbation(&l);
    CHECK_INT(
        run->ops->copy(run->dev, run->weights->theta, d->theta, (size_t)run->model->parameter_count * sizeof(float)),
        0);
    weights_touch_all(run->weights);
    perturb(&l.bench);
    CHECK_INT(d->method->gradient(d, BATCH_NORM_MOMENTUM), 0);
    check_gradients(&l.bench, "awp.grad", l.training.optimizer.gradient, tolerance);
    lesson_close(&l);
}

static void trades_fast(void)
{
    for (int i = 0; i < GOLDEN_CASES; i++)
        pair_gradient(i, check_device(), TRAIN_TRADES, "trades");
}

static void mart_fast(void)
{
    for (int i = 0; i < GOLDEN_CASES; i++)
        pair_gradient(i, check_device(), TRAIN_MART, "mart");
}

static void awp_fast(void)
{
    for (int i = 0; i < GOLDEN_CASES; i++)
        awp(i, check_device(), true);
}

static int reference_cases = 1; /* it is slow: all of them with --every */

/* Sums in double move delta by 6e-5 of its norm, and with it one ReLU gate of the gray case falls the other way: six
 * tensors of the first stage are 0.001 to 0.006 apart there. So gradients are compared at the golden delta. */
static void reference(void)
{
    for (int i = 0; i < reference_cases; i++) {
        pair_gradient(i, "ref", TRAIN_TRADES, "trades");
        pair_gradient(i, "ref", TRAIN_MART, "mart");
        awp(i, "ref", false);
    }
}

static const struct check_case cases[] = {
    { "loss and gradients of TRADES are the golden ones", trades_fast },
    { "loss and gradients of MART are the golden ones", mart_fast },
    { "AWP's perturbation, and the loss and gradients there, are the golden ones", awp_fast },
    { "all of that on the reference device", reference },
};

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--every") == 0) {
        reference_cases = GOLDEN_CASES;
        argc--;
        argv++;
    }
    return check_main(cases, (int)(sizeof(cases) / sizeof(cases[0])), argc, argv);
}
