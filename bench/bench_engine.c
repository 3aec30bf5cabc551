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
 * Each figure is the median of `rounds`, after one warm-up.
 *
 * `bench_engine serve` does one piece of work at a time when it is told to on its
 * standard input, on weights and images from files, and says on its output how
 * long it took: so that another program can do the same work in turn and compare
 * times and numbers (compare_torch.py). */
#include "gpu/backend/philox.h"
#include "gpu/nn/plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The attack and the ball of the paper's settings. */
static const float EPSILON = 8 / 255.0f, STEP_SIZE = 2 / 255.0f, BALL = 0.1f;
enum { STEPS = 10, MODULES_MAX = 64 };
/* Of the training step: small, so that repeating it doesn't lead far away. */
static const float LR = 1e-4f, MOMENTUM = 0.9f, WEIGHT_DECAY = 5e-4f;

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
    float *losses; /* host, [N] */
    double loss;   /* of the last training step */
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

/* What fails is over sooner than what works: its time would be believed. */
static void did(struct bench *b, int r)
{
    if (r >= 0)
        return;
    fprintf(stderr, "bench: %s (%d)\n", device_errmsg(b->dev), r);
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
    did(b, plan_forward(p, 0));
}

static void gradient_of_pixels(struct bench *b, enum plan_mode mode, const float *x)
{
    struct plan *p = plan(b, (struct plan_spec){ .mode = mode, .want_input = true });

    plan_bind(p, 0, x);
    did(b, plan_gradient(p, mode == PLAN_TRAIN ? 0.1f : 0, b->labels, 1.0f / (float)b->shape.n, NULL, b->gx));
}

/* A device may work asynchronously; reading waits for it. */
static void wait(struct bench *b)
{
    float word;

    did(b, b->dev->ops->read(b->dev, &word, b->x, sizeof(word)));
}

static void input_gradient(struct bench *b)
{
    gradient_of_pixels(b, PLAN_EVAL, b->x);
}

/* Training looks at each batch's loss, so it belongs to the step. */
static double mean_loss(struct bench *b, struct plan *p)
{
    double sum = 0;

    did(b, plan_loss_read(p, b->losses, NULL));
    for (int i = 0; i < b->shape.n; i++)
        sum += b->losses[i];
    return sum / b->shape.n;
}

/* The inner maximum, in a form that a device may repeat from memory. */
struct ascent {
    struct bench *b;
    struct plan *plan;
    float momentum;
    int steps;
};

static int ascent_run(void *user)
{
    const struct ascent *a = user;
    struct bench *b = a->b;
    int r = 0;

    for (int step = 0; step < a->steps && r == 0; step++) {
        r = plan_forward(a->plan, a->momentum);
        if (r == 0)
            r = plan_cross_entropy(a->plan, b->labels, 1.0f / (float)b->shape.n);
        if (r == 0)
            r = plan_backward(a->plan, NULL, b->gx);
        if (r == 0)
            r = b->dev->ops->pgd_step(b->dev, b->shape, b->x, b->gx, STEP_SIZE, EPSILON, b->x_adv);
    }
    return r;
}

static void adversarial_step(struct bench *b, enum plan_mode mode, bool random_start, int steps)
{
    const struct backend *ops = b->dev->ops;
    struct random_key key = { 0, RANDOM_ATTACK, 0 };

    did(b, ops->pgd_start(b->dev, b->shape, b->x, random_start ? EPSILON : 0, key, b->ids, b->x_adv));
    struct ascent a = { b, plan(b, (struct plan_spec){ .mode = mode, .want_input = true }),
                        mode == PLAN_TRAIN ? 0.1f : 0, steps };
    plan_bind(a.plan, 0, b->x_adv);
    did(b, plan_repeat(a.plan, plan_key(PLAN_KEY, &steps, sizeof(steps)), a.momentum, ascent_run, &a));
    struct plan *p = plan(b, (struct plan_spec){ .mode = PLAN_TRAIN, .wanted = b->all });
    plan_bind(p, 0, b->x_adv);
    did(b, plan_gradient(p, 0.1f, b->labels, 1.0f / (float)b->shape.n, b->gradient, NULL));
    b->loss = mean_loss(b, p);
    did(b, ops->sgd_step(b->dev, b->model->parameter_count, b->weights->theta, b->gradient, b->velocity, LR, MOMENTUM,
                         WEIGHT_DECAY));
    weights_touch_all(b->weights);
}

static void at_train(struct bench *b)
{
    adversarial_step(b, PLAN_TRAIN, true, STEPS);
}
static void at_eval(struct bench *b)
{
    adversarial_step(b, PLAN_EVAL, true, STEPS);
}
/* From the images themselves, so that another program can follow; and the first step of that alone. */
static void at_plain(struct bench *b)
{
    adversarial_step(b, PLAN_TRAIN, false, STEPS);
}
static void at_first(struct bench *b)
{
    adversarial_step(b, PLAN_TRAIN, false, 1);
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
    did(b, ops->copy(b->dev, b->theta_i, theta, (size_t)info->count * sizeof(float)));
    did(b, plan_forward(suffix, 0));
    did(b, plan_cross_entropy(suffix, b->labels, 1.0f / (float)b->shape.n));
    did(b, plan_backward(suffix, b->gradient, NULL));
    did(b, ops->axpy(b->dev, info->count, 1.0f, b->gradient + info->offset, theta));
    did(b, ops->norm(b->dev, info->count, theta, b->theta_i, &moved));
    did(b, ops->norm(b->dev, info->count, b->theta_i, NULL, &size));
    if (moved > BALL * size)
        did(b, ops->project(b->dev, info->count, b->theta_i, (float)(BALL * size / moved), theta));
    weights_touch(b->weights, b->model->modules[module].weight);
    did(b, plan_forward(judge, 0));
    did(b, ops->copy(b->dev, theta, b->theta_i, (size_t)info->count * sizeof(float)));
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

    /* where a device records what is repeated: the first loads, the second records, the third is like the rest */
    int warm = b->dev->ops->recording_free ? 3 : 1;
    for (int i = 0; i < warm; i++)
        work(b);
    wait(b);
    for (int i = 0; i < rounds; i++) {
        double start = now_s();
        work(b);
        wait(b);
        seconds[i] = now_s() - start;
    }
    qsort(seconds, (size_t)rounds, sizeof(double), ascending);
    printf("  %-11s %8.1f images/s   (median %.3f s, best %.3f s)\n", name, images / seconds[rounds / 2],
           seconds[rounds / 2], seconds[0]);
    fflush(stdout);
}

/* ---- opening and closing ------------------------------------------------------------ */

/* What a bench is of. weights NULL: from seed 0. */
struct subject {
    const char *device, *weights;
    int threads, width, batch;
    enum precision precision;
};

static void bench_open(struct bench *b, const struct subject *subject)
{
    struct model_spec spec = { .arch = "resnet18",
                               .width = subject->width,
                               .num_classes = 10,
                               .input = { 3, 32, 32 },
                               .mean = { .4914, .4822, .4465 },
                               .std = { .2471, .2435, .2616 } };
    struct fault why = { 0 };

    *b = (struct bench){ .shape = { subject->batch, 3, 32, 32 } };
    size_t pixels = (size_t)shape_count(b->shape) * sizeof(float);
    must(device_open(subject->device, subject->precision, subject->threads, &b->dev, &why), &why);
    b->dev->deterministic = !getenv("RIFT_BENCH_FREE"); /* set: results may differ in their last bits */
    must(model_open(&spec, &b->model, &why), &why);
    size_t weights = (size_t)b->model->total_count * sizeof(float);
    must(weights_open(b->dev, b->model, &b->weights, &why), &why);
    must(subject->weights ? weights_load(b->weights, subject->weights, &why) : weights_init(b->weights, 0), &why);
    must(plan_cache_open(b->weights, &b->plans), &why);
    b->x = b->dev->ops->alloc(b->dev, pixels);
    b->x_adv = b->dev->ops->alloc(b->dev, pixels);
    b->gx = b->dev->ops->alloc(b->dev, pixels);
    b->gradient = b->dev->ops->alloc(b->dev, weights);
    b->velocity = b->dev->ops->alloc(b->dev, weights);
    b->labels = b->dev->ops->alloc(b->dev, (size_t)subject->batch * sizeof(int32_t));
    b->theta_i = b->dev->ops->alloc(b->dev, weights);
    b->wanted = calloc((size_t)b->model->tensor_count, 1);
    b->ids = calloc((size_t)subject->batch, sizeof(int64_t));
    b->losses = calloc((size_t)subject->batch, sizeof(float));
    b->all = calloc((size_t)b->model->tensor_count, 1);
    for (int i = 0; i < b->model->tensor_count; i++)
        b->all[i] = b->model->tensors[i].parameter;
}

static void bench_close(struct bench *b)
{
    plan_cache_close(b->plans);
    for (void **p = (void *[]){ b->x, b->x_adv, b->gx, b->gradient, b->velocity, b->theta_i, b->labels, NULL }; *p; p++)
        b->dev->ops->free(b->dev, *p);
    for (int m = 0; m < b->model->module_count; m++)
        for (int i = 0; i < 4; i++)
            b->dev->ops->free(b->dev, b->cache[m][i]);
    free(b->wanted);
    free(b->ids);
    free(b->losses);
    free(b->all);
    weights_close(b->weights);
    model_close(b->model);
    device_close(b->dev);
}

/* The most memory that this process has had, in MiB. */
static double peak_mib(void)
{
    FILE *file = fopen("/proc/self/status", "re");
    char line[256];
    double kib = 0;

    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "VmHWM: %lf", &kib) == 1)
            break;
    if (file)
        fclose(file);
    return kib / 1024;
}

/* ---- figures for people --------------------------------------------------------------- */

static void bench_width(struct subject subject, int rounds)
{
    struct bench b;
    double batch = subject.batch;

    bench_open(&b, &subject);
    size_t count = (size_t)shape_count(b.shape);
    float *host = malloc(count * sizeof(float));
    for (size_t i = 0; i < count; i++)
        host[i] = philox_unit(philox(1, 0, 0, i, 0).word[0]);
    did(&b, b.dev->ops->write(b.dev, b.x, host, count * sizeof(float)));
    free(host);

    printf("resnet18 width %d, batch %d, device %s, %s\n", subject.width, subject.batch, subject.device,
           job_precisions[subject.precision]);
    measure(&b, "forward", forward, batch, rounds);
    measure(&b, "input grad", input_gradient, batch, rounds);
    measure(&b, "AT step", at_train, batch, rounds);
    measure(&b, "AT eval", at_eval, batch, rounds);
    measure(&b, "MRC", mrc, batch * b.model->module_count, rounds);
    printf("  memory planned: %.1f MiB; peak of the process: %.1f MiB\n", (double)plan_cache_bytes(b.plans) / 1048576,
           peak_mib());
    bench_close(&b);
}

/* ---- work on demand --------------------------------------------------------------------- */

static void data_read(struct bench *b, const char *path)
{
    struct safetensors *file;
    struct fault why = { 0 };
    size_t count = (size_t)shape_count(b->shape);

    must(safetensors_open(path, &file, &why), &why);
    const struct safetensor *x = safetensors_find(file, "x"), *y = safetensors_find(file, "y");
    if (!x || !y || x->dtype != DTYPE_U8 || y->dtype != DTYPE_I64 || x->size < count ||
        y->size < (size_t)b->shape.n * sizeof(int64_t))
        must(fault_set(&why, -EINVAL, "%s: x (U8) and y (I64) of a whole batch are needed", path), &why);
    float *pixels = malloc(count * sizeof(float));
    int32_t *labels = calloc((size_t)b->shape.n, sizeof(*labels));
    for (size_t i = 0; i < count; i++)
        pixels[i] = (float)((const uint8_t *)x->data)[i] / 255.0f;
    for (int i = 0; i < b->shape.n; i++) {
        int64_t label;
        memcpy(&label, (const char *)y->data + (size_t)i * sizeof(label), sizeof(label));
        labels[i] = (int32_t)label;
    }
    must(b->dev->ops->write(b->dev, b->x, pixels, count * sizeof(float)), &why);
    must(b->dev->ops->write(b->dev, b->labels, labels, (size_t)b->shape.n * sizeof(*labels)), &why);
    free(pixels);
    free(labels);
    safetensors_close(file);
}

static const struct {
    const char *name;
    void (*work)(struct bench *b);
} works[] = { { "forward", forward },   { "input-gradient", input_gradient },
              { "at-step", at_train },  { "at-eval", at_eval },
              { "at-plain", at_plain }, { "at-first", at_first } };
enum { WORK_COUNT = sizeof(works) / sizeof(works[0]) };

/* What can be written out after some work, as raw float32: the answer of `bytes` and where it is. */
static const void *output_find(struct bench *b, const char *name, size_t *ret_count)
{
    struct plan *eval = plan(b, (struct plan_spec){ .mode = PLAN_EVAL });

    *ret_count = (size_t)shape_count(b->shape);
    if (strcmp(name, "input-gradient") == 0)
        return b->gx;
    if (strcmp(name, "x-adv") == 0)
        return b->x_adv;
    *ret_count = (size_t)b->model->total_count;
    if (strcmp(name, "weights") == 0)
        return b->weights->theta;
    *ret_count = (size_t)b->shape.n * (size_t)b->model->num_classes;
    return strcmp(name, "logits") == 0 ? plan_logits(eval) : NULL;
}

static int output_write(struct bench *b, const char *name, const char *path)
{
    size_t count;
    const void *from = output_find(b, name, &count);
    FILE *file = from ? fopen(path, "we") : NULL;
    float *host = malloc(count * sizeof(float));

    if (file)
        did(b, b->dev->ops->read(b->dev, host, from, count * sizeof(float)));
    bool written = file && fwrite(host, sizeof(float), count, file) == count;
    if (file)
        written = fclose(file) == 0 && written;
    free(host);
    return written ? 0 : -1;
}

/* One line in, one line of JSON out. */
static int serve(const struct subject *subject, const char *data)
{
    char line[4096], name[64], path[3000];
    struct bench b;

    bench_open(&b, subject);
    data_read(&b, data);
    while (fgets(line, sizeof(line), stdin)) {
        int work = 0, words = sscanf(line, "%63s %2999s", name, path);

        while (work < WORK_COUNT && strcmp(works[work].name, name) != 0)
            work++;
        if (words == 1 && work < WORK_COUNT) {
            double start = now_s();
            works[work].work(&b);
            wait(&b);
            printf("{\"seconds\": %.6f, \"peak_mib\": %.1f, \"planned_mib\": %.1f, \"result\": %.9g}\n",
                   now_s() - start, peak_mib(), (double)plan_cache_bytes(b.plans) / 1048576, b.loss);
        } else if (words == 2 && output_write(&b, name, path) == 0) {
            printf("{}\n");
        } else {
            printf("{\"error\": \"not understood, or not written\"}\n");
        }
        fflush(stdout);
    }
    bench_close(&b);
    return 0;
}

static enum precision precision_of(const char *name)
{
    for (int i = 0; i < PRECISION_COUNT; i++)
        if (strcmp(name, job_precisions[i]) == 0)
            return (enum precision)i;
    fprintf(stderr, "bench_engine: \"%s\" is no precision\n", name);
    exit(2);
}

static int usage(void)
{
    fputs("usage: bench_engine [DEVICE [THREADS [ROUNDS (1..32) [PRECISION [WIDTH]]]]]\n"
          "       bench_engine serve DEVICE THREADS PRECISION WIDTH BATCH WEIGHTS DATA\n"
          "WEIGHTS and DATA are safetensors; then a line each: forward | input-gradient | at-step |\n"
          "at-eval | at-plain | at-first does it, NAME FILE writes logits, input-gradient, x-adv or weights there.\n",
          stderr);
    return 2;
}

int main(int argc, char **argv)
{
    if (argc == 9 && strcmp(argv[1], "serve") == 0) {
        struct subject subject = {
            argv[2], argv[7], atoi(argv[3]), atoi(argv[5]), atoi(argv[6]), precision_of(argv[4])
        };
        return subject.width > 0 && subject.batch > 0 ? serve(&subject, argv[8]) : usage();
    }
    int rounds = argc > 3 ? atoi(argv[3]) : 5;
    int width = argc > 5 ? atoi(argv[5]) : 0; /* 0: 16 and 64 */
    if (rounds < 1 || rounds > 32 || width < 0 || argc > 6 || (argc > 1 && argv[1][0] == '-'))
        return usage();
    struct subject subject = { .device = argc > 1 ? argv[1] : "cpu",
                               .threads = argc > 2 ? atoi(argv[2]) : 0,
                               .width = width ? width : 16,
                               .batch = 128,
                               .precision = precision_of(argc > 4 ? argv[4] : "float32") };
    bench_width(subject, rounds);
    if (!width) {
        subject.width = 64;
        bench_width(subject, rounds);
    }
    return 0;
}
