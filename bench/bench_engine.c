/* How fast is the engine on this machine?
 *
 * Images per second of the four things a RiFT job spends its time on, on
 * random weights and images (speed doesn't depend on them), for ResNet18 at
 * 3x32x32:
 *
 *   forward     eval mode, BN folded
 *   input grad  eval mode, one forward and backward to the pixels
 *   AT step     PGD-10 in train mode (as the paper: BN in train mode while
 *               crafting), then one training step; images/s counts an image once
 *   AT eval     the same with frozen statistics while crafting
 *   MRC         one ascent step with its projection and one evaluation for every
 *               module, started at the module from cached inputs;
 *               images/s = modules * images / time
 *
 * Each figure is the median of `rounds`, after one warm-up. */
#include "gpu/backend/philox.h"
#include "gpu/nn/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The attack and the ball of the paper's settings. */
static const float EPSILON = 8 / 255.0f, STEP_SIZE = 2 / 255.0f, BALL = 0.1f;
enum { STEPS = 10, MODULES_MAX = 64 };

struct bench {
    struct device *dev;
    struct model *model;
    struct weights *weights;
    struct plan_cache *plans;
    struct shape shape;
    float *x, *x_adv, *gx, *gradient, *velocity, *theta_i;
    void *cache[MODULES_MAX][4]; /* inputs of each module */
    int32_t *labels;
    int64_t *ids;
    bool *all, *wanted;
};

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void must(int r, const struct fault *why)
{
    if (r >= 0)
        return;
    fprintf(stderr, "bench: %s (%d)\n", why->message, r);
    exit(1);
}

static struct plan *plan(struct bench *b, struct plan_spec spec)
{
    struct fault why = { 0 };
    struct plan *ret = NULL;

    spec.batch = b->shape.n;
    must(plan_cache_get(b->plans, &spec, &ret, &why), &why);
    return ret;
}

static void forward(struct bench *b)
{
    struct plan *p = plan(b, (struct plan_spec){ .mode = PLAN_EVAL });

    plan_bind(p, 0, b->x);
    plan_forward(p, 0);
}

static void gradient_of_pixels(struct bench *b, enum plan_mode mode, const float *x)
{
    struct plan *p = plan(b, (struct plan_spec){ .mode = mode, .want_input = true });

    plan_bind(p, 0, x);
    plan_forward(p, mode == PLAN_TRAIN ? 0.1f : 0);
    plan_cross_entropy(p, b->labels, 1.0f / (float)b->shape.n);
    plan_backward(p, NULL, b->gx);
}

static void input_gradient(struct bench *b)
{
    gradient_of_pixels(b, PLAN_EVAL, b->x);
}

static void adversarial_step(struct bench *b, enum plan_mode mode)
{
    const struct backend *ops = b->dev->ops;
    struct random_key key = { 0, RANDOM_ATTACK, 0 };

    ops->pgd_start(b->dev, b->shape, b->x, EPSILON, key, b->ids, b->x_adv);
    for (int step = 0; step < STEPS; step++) {
        gradient_of_pixels(b, mode, b->x_adv);
        ops->pgd_step(b->dev, b->shape, b->x, b->gx, STEP_SIZE, EPSILON, b->x_adv);
    }
    struct plan *p = plan(b, (struct plan_spec){ .mode = PLAN_TRAIN, .wanted = b->all });
    plan_bind(p, 0, b->x_adv);
    plan_forward(p, 0.1f);
    plan_cross_entropy(p, b->labels, 1.0f / (float)b->shape.n);
    plan_backward(p, b->gradient, NULL);
    ops->sgd_step(b->dev, b->model->parameter_count, b->weights->theta, b->gradient, b->velocity, 1e-4f, 0.9f, 5e-4f);
    weights_touch_all(b->weights);
}

static void at_train(struct bench *b)
{
    adversarial_step(b, PLAN_TRAIN);
}
static void at_eval(struct bench *b)
{
    adversarial_step(b, PLAN_EVAL);
}

static void bind_cache(struct bench *b, struct plan *p, int module, const int frontier[4], int count)
{
    for (int i = 0; i < count; i++) {
        size_t bytes = plan_row_bytes(b->weights, frontier[i]) * (size_t)b->shape.n;
        if (frontier[i] > 0 && !b->cache[module][i])
            b->cache[module][i] = b->dev->ops->alloc(b->dev, bytes);
        plan_bind(p, frontier[i], frontier[i] > 0 ? b->cache[module][i] : (void *)b->x);
    }
}

static void ascend(struct bench *b, int module, bool *wanted)
{
    const struct backend *ops = b->dev->ops;
    const struct tensor_info *info = &b->model->tensors[b->model->modules[module].weight];
    float *theta = weights_at(b->weights, b->model->modules[module].weight);
    int op = b->model->modules[module].op, frontier[4], count = model_frontier(b->model, op, frontier);
    double moved, size;

    memset(wanted, 0, (size_t)b->model->tensor_count);
    wanted[b->model->modules[module].weight] = true;
    struct plan *suffix = plan(b, (struct plan_spec){ .mode = PLAN_EVAL, .first = op, .wanted = wanted });
    struct plan *judge = plan(b, (struct plan_spec){ .mode = PLAN_EVAL, .first = op });
    bind_cache(b, suffix, module, frontier, count);
    bind_cache(b, judge, module, frontier, count);
    ops->copy(b->dev, b->theta_i, theta, (size_t)info->count * sizeof(float));
    plan_forward(suffix, 0);
    plan_cross_entropy(suffix, b->labels, 1.0f / (float)b->shape.n);
    plan_backward(suffix, b->gradient, NULL);
    ops->axpy(b->dev, info->count, 1.0f, b->gradient + info->offset, theta);
    ops->norm(b->dev, info->count, theta, b->theta_i, &moved);
    ops->norm(b->dev, info->count, b->theta_i, NULL, &size);
    if (moved > BALL * size)
        ops->project(b->dev, info->count, b->theta_i, (float)(BALL * size / moved), theta);
    weights_touch(b->weights, b->model->modules[module].weight);
    plan_forward(judge, 0);
    ops->copy(b->dev, theta, b->theta_i, (size_t)info->count * sizeof(float));
    weights_touch(b->weights, b->model->modules[module].weight);
}

static void mrc(struct bench *b)
{
    for (int m = 0; m < b->model->module_count; m++)
        ascend(b, m, b->wanted);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void measure(struct bench *b, const char *name, void (*work)(struct bench *), double images, int rounds)
{
    double seconds[32];

    work(b);
    for (int i = 0; i < rounds; i++) {
        double start = now_s();
        work(b);
        seconds[i] = now_s() - start;
    }
    qsort(seconds, (size_t)rounds, sizeof(double), ascending);
    printf("  %-11s %8.1f images/s   (median %.3f s, best %.3f s)\n", name, images / seconds[rounds / 2],
           seconds[rounds / 2], seconds[0]);
    fflush(stdout);
}

static void bench_width(const char *device, int threads, int width, int batch, int rounds)
{
    struct model_spec spec = { .arch = "resnet18",
                               .width = width,
                               .num_classes = 10,
                               .input = { 3, 32, 32 },
                               .mean = { .4914, .4822, .4465 },
                               .std = { .2471, .2435, .2616 } };
    struct bench b = { .shape = { batch, 3, 32, 32 } };
    size_t pixels = (size_t)shape_count(b.shape);
    struct fault why = { 0 };

    must(device_open(device, PRECISION_FLOAT32, threads, &b.dev, &why), &why);
    must(model_open(&spec, &b.model, &why), &why);
    must(weights_open(b.dev, b.model, &b.weights, &why), &why);
    must(weights_init(b.weights, 0), &why);
    must(plan_cache_open(b.weights, &b.plans), &why);
    b.x = b.dev->ops->alloc(b.dev, pixels * sizeof(float));
    b.x_adv = b.dev->ops->alloc(b.dev, pixels * sizeof(float));
    b.gx = b.dev->ops->alloc(b.dev, pixels * sizeof(float));
    b.gradient = b.dev->ops->alloc(b.dev, (size_t)b.model->total_count * sizeof(float));
    b.velocity = b.dev->ops->alloc(b.dev, (size_t)b.model->total_count * sizeof(float));
    b.labels = b.dev->ops->alloc(b.dev, (size_t)batch * sizeof(int32_t));
    b.theta_i = b.dev->ops->alloc(b.dev, (size_t)b.model->total_count * sizeof(float));
    b.wanted = calloc((size_t)b.model->tensor_count, 1);
    b.ids = calloc((size_t)batch, sizeof(int64_t));
    b.all = calloc((size_t)b.model->tensor_count, 1);
    for (int i = 0; i < b.model->tensor_count; i++)
        b.all[i] = b.model->tensors[i].parameter;
    float *host = malloc(pixels * sizeof(float));
    for (size_t i = 0; i < pixels; i++)
        host[i] = philox_unit(philox(1, 0, 0, i, 0).word[0]);
    b.dev->ops->write(b.dev, b.x, host, pixels * sizeof(float));
    free(host);

    printf("resnet18 width %d, batch %d, device %s\n", width, batch, device);
    measure(&b, "forward", forward, batch, rounds);
    measure(&b, "input grad", input_gradient, batch, rounds);
    measure(&b, "AT step", at_train, batch, rounds);
    measure(&b, "AT eval", at_eval, batch, rounds);
    measure(&b, "MRC", mrc, (double)batch * b.model->module_count, rounds);
    printf("  memory planned: %.1f MiB\n", (double)plan_cache_bytes(b.plans) / 1048576);

    plan_cache_close(b.plans);
    for (void **p = (void *[]){ b.x, b.x_adv, b.gx, b.gradient, b.velocity, b.theta_i, b.labels, NULL }; *p; p++)
        b.dev->ops->free(b.dev, *p);
    for (int m = 0; m < b.model->module_count; m++)
        for (int i = 0; i < 4; i++)
            b.dev->ops->free(b.dev, b.cache[m][i]);
    free(b.wanted);
    free(b.ids);
    free(b.all);
    weights_close(b.weights);
    model_close(b.model);
    device_close(b.dev);
}

int main(int argc, char **argv)
{
    const char *device = argc > 1 ? argv[1] : "cpu";
    int threads = argc > 2 ? atoi(argv[2]) : 0, rounds = argc > 3 ? atoi(argv[3]) : 5;

    if (rounds < 1 || rounds > 32 || (argc > 1 && argv[1][0] == '-')) {
        fprintf(stderr, "usage: bench_engine [DEVICE [THREADS [ROUNDS (1..32)]]]\n");
        return 2;
    }
    bench_width(device, threads, 16, 128, rounds);
    bench_width(device, threads, 64, 128, rounds);
    return 0;
}
