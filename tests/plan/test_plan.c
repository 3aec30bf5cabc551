/* Does a plan compute what the model says, whatever it leaves out or fuses?
 *
 * The whole network on small inputs: cpu against ref, gradients against finite
 * differences, a run started at a module against the whole run, gradients of a
 * few parameters against those of all. */
#include "gpu/backend/philox.h"
#include "gpu/nn/plan.h"
#include "tests/check.h"

#include <errno.h>
#include <malloc.h>

/* Two float32 implementations of some twenty layers, relative to the norm. */
#define TOLERANCE_BACKENDS 2e-4
/* Central differences in float32 with ReLU kinks around. */
#define TOLERANCE_DIFFERENCES 3e-2
/* What float32 leaves uncertain in a mean loss of about 2. */
#define LOSS_ROUNDING 5e-7

struct net {
    struct device *dev;
    struct model *model;
    struct weights *weights;
    struct plan_cache *plans;
    struct shape shape;
    float *x, *gx, *gradient; /* device */
    int32_t *labels;          /* device */
    float *host;              /* the pixels */
};

/* `width` of a wideresnet is how much it is widened; its depth is 10. */
static struct net net_open(const char *device, const char *arch, int width, int channels, int size, int batch)
{
    struct model_spec spec = { .arch = arch,
                               .width = width,
                               .depth = 10,
                               .widen_factor = width,
                               .num_classes = 7,
                               .input = { channels, size, size },
                               .mean = { 0.3, 0.4, 0.5 },
                               .std = { 0.2, 0.25, 0.3 } };
    struct net net = { .shape = { batch, channels, size, size } };
    size_t bytes = (size_t)shape_count(net.shape) * sizeof(float);
    struct fault why = { 0 };
    int32_t labels[64];

    if (device_open(device, PRECISION_FLOAT32, 2, &net.dev, &why) < 0 || model_open(&spec, &net.model, &why) < 0 ||
        weights_open(net.dev, net.model, &net.weights, &why) < 0 || weights_init(net.weights, 5) < 0 ||
        plan_cache_open(net.weights, &net.plans) < 0) {
        fprintf(stderr, "%s\n", why.message);
        exit(1);
    }
    net.x = net.dev->ops->alloc(net.dev, bytes);
    net.gx = net.dev->ops->alloc(net.dev, bytes);
    net.gradient = net.dev->ops->alloc(net.dev, (size_t)net.model->total_count * sizeof(float));
    net.labels = net.dev->ops->alloc(net.dev, sizeof(labels));
    net.host = malloc(bytes);
    for (int64_t i = 0; i < shape_count(net.shape); i++)
        net.host[i] = philox_unit(philox(3, 0, 0, (uint64_t)i, 0).word[0]);
    for (int i = 0; i < 64; i++)
        labels[i] = i * 5 % 7;
    net.dev->ops->write(net.dev, net.x, net.host, bytes);
    net.dev->ops->write(net.dev, net.labels, labels, sizeof(labels));
    return net;
}

static void net_close(struct net *net)
{
    plan_cache_close(net->plans);
    net->dev->ops->free(net->dev, net->x);
    net->dev->ops->free(net->dev, net->gx);
    net->dev->ops->free(net->dev, net->gradient);
    net->dev->ops->free(net->dev, net->labels);
    free(net->host);
    weights_close(net->weights);
    model_close(net->model);
    device_close(net->dev);
}

static struct plan *get(struct net *net, struct plan_spec spec)
{
    struct fault why = { 0 };
    struct plan *plan = NULL;

    spec.batch = net->shape.n;
    if (plan_cache_get(net->plans, &spec, &plan, &why) < 0) {
        fprintf(stderr, "plan: %s\n", why.message);
        exit(1);
    }
    return plan;
}

static float *copy(struct net *net, const void *from, int64_t count)
{
    float *host = malloc((size_t)count * sizeof(float));

    net->dev->ops->read(net->dev, host, from, (size_t)count * sizeof(float));
    return host;
}

static double relative(const float *a, const float *b, int64_t count)
{
    double difference = 0, size = 0;

    for (int64_t i = 0; i < count; i++) {
        difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        size += (double)b[i] * b[i];
    }
    return sqrt(difference / (size + 1e-30));
}

/* Mean loss and, if wanted, gradients of one run. */
static double run(struct net *net, struct plan *plan, bool gradients, float momentum)
{
    const struct plan_spec *spec = plan_spec(plan);
    float loss[64];
    double sum = 0;

    CHECK_INT(plan_forward(plan, momentum), 0);
    CHECK_INT(plan_cross_entropy(plan, net->labels, 1.0f / (float)net->shape.n), 0);
    CHECK_INT(plan_loss_read(plan, loss, NULL), 0);
    if (gradients)
        CHECK_INT(plan_backward(plan, spec->wanted ? net->gradient : NULL, spec->want_input ? net->gx : NULL), 0);
    for (int i = 0; i < net->shape.n; i++)
        sum += loss[i];
    return sum / net->shape.n;
}

static bool *every_parameter(const struct model *model)
{
    bool *all = calloc((size_t)model->tensor_count, 1);

    for (int i = 0; i < model->tensor_count; i++)
        all[i] = model->tensors[i].parameter;
    return all;
}

/* Give the running statistics values that look like a trained net's. */
static void warm_up(struct net *net)
{
    struct plan *plan = get(net, (struct plan_spec){ .mode = PLAN_TRAIN });

    plan_bind(plan, 0, net->x);
    for (int i = 0; i < 20; i++)
        plan_forward(plan, 0.1f);
}

static const struct {
    const char *arch;
    int width, channels, size, batch;
} nets[] = {
    { "resnet18", 4, 3, 32, 3 }, { "resnet18", 16, 1, 32, 2 }, { "resnet34", 5, 3, 32, 2 }, { "resnet18", 3, 3, 64, 2 },
    { "preactresnet18", 5, 3, 32, 2 }, { "wideresnet", 1, 3, 32, 2 }, { "wideresnet", 1, 1, 64, 1 }
};
/* One of each way to lower. */
static const char *const archs[] = { "resnet18", "preactresnet18", "wideresnet" };
enum { ARCHS = 3 };

static void backends_agree(void)
{
    for (size_t k = 0; k < sizeof(nets) / sizeof(nets[0]); k++)
        for (int mode = PLAN_EVAL; mode <= PLAN_TRAIN; mode++) {
            float *logits[2], *gx[2], *gradient[2];
            int64_t pixels = 0, parameters = 0, scores = 0;
            for (int d = 0; d < 2; d++) {
                struct net net = net_open(d ? check_device() : "ref", nets[k].arch, nets[k].width, nets[k].channels,
                                          nets[k].size, nets[k].batch);
                bool *all = every_parameter(net.model);
                warm_up(&net);
                struct plan *plan = get(&net, (struct plan_spec){ .mode = mode, .want_input = true, .wanted = all });
                plan_bind(plan, 0, net.x);
                run(&net, plan, true, 0);
                pixels = shape_count(net.shape);
                parameters = net.model->parameter_count;
                scores = (int64_t)net.shape.n * net.model->num_classes;
                logits[d] = copy(&net, plan_logits(plan), scores);
                gx[d] = copy(&net, net.gx, pixels);
                gradient[d] = copy(&net, net.gradient, parameters);
                free(all);
                net_close(&net);
            }
            CHECK_NEAR(relative(logits[1], logits[0], scores), 0, TOLERANCE_BACKENDS);
            CHECK_NEAR(relative(gx[1], gx[0], pixels), 0, TOLERANCE_BACKENDS);
            CHECK_NEAR(relative(gradient[1], gradient[0], parameters), 0, TOLERANCE_BACKENDS);
            for (int d = 0; d < 2; d++) {
                free(logits[d]);
                free(gx[d]);
                free(gradient[d]);
            }
        }
}

/* Derivative of the mean loss along a tensor's own gradient, against central
 * differences with a step that changes the loss by about a thousandth: large
 * enough for float32 losses, small enough to meet few ReLU kinks. */
static void check_slope(struct net *net, struct plan *plan, int tensor)
{
    const struct tensor_info *info = &net->model->tensors[tensor];
    size_t bytes = (size_t)info->count * sizeof(float);
    float *at = weights_at(net->weights, tensor);
    float *theta = copy(net, at, info->count), *moved = malloc(bytes);
    float *gradient = copy(net, net->gradient + info->offset, info->count);
    double slope = 0, size = 0, loss[2];

    for (int64_t i = 0; i < info->count; i++) {
        slope += (double)gradient[i] * gradient[i];
        size += (double)theta[i] * theta[i];
    }
    double h = fmin(5e-4 / slope, 3e-4 * fmax(sqrt(size), 1) / sqrt(slope));
    for (int side = 0; side < 2; side++) {
        for (int64_t i = 0; i < info->count; i++)
            moved[i] = (float)(theta[i] + (side ? h : -h) * gradient[i]);
        net->dev->ops->write(net->dev, at, moved, bytes);
        weights_touch(net->weights, tensor);
        loss[side] = run(net, plan, false, 0);
    }
    net->dev->ops->write(net->dev, at, theta, bytes);
    weights_touch(net->weights, tensor);
    double measured = (loss[1] - loss[0]) / (2 * h);
    if (!(fabs(measured - slope) <= TOLERANCE_DIFFERENCES * slope + LOSS_ROUNDING / h))
        CHECK_FAIL("%s: slope is %.6g, differences say %.6g", info->name, slope, measured);
    free(theta);
    free(moved);
    free(gradient);
}

static void gradients_match_differences(void)
{
    for (int k = 0; k < 2 * ARCHS; k++) {
        int mode = k % 2 ? PLAN_TRAIN : PLAN_EVAL;
        struct net net = net_open(check_device(), archs[k / 2], k < 4 ? 4 : 1, 3, 32, 8);
        bool *all = every_parameter(net.model);
        warm_up(&net);
        struct plan *plan = get(&net, (struct plan_spec){ .mode = mode, .wanted = all });
        plan_bind(plan, 0, net.x);
        run(&net, plan, true, 0);
        for (int t = 0; t < net.model->tensor_count; t++)
            if (all[t])
                check_slope(&net, plan, t);
        free(all);
        net_close(&net);
    }
}

/* Run ops [0,op) once, keep the frontier, run [op,end): logits and the
 * module's gradient must be those of the whole run, bit for bit. */
static void starts_at_any_module(const char *arch, int width)
{
    struct net net = net_open(check_device(), arch, width, 3, 32, 4);
    int64_t scores = (int64_t)net.shape.n * net.model->num_classes;

    warm_up(&net);
    for (int m = 0; m < net.model->module_count; m++) {
        const struct module_info *module = &net.model->modules[m];
        const struct tensor_info *info = &net.model->tensors[module->weight];
        bool *wanted = calloc((size_t)net.model->tensor_count, 1);
        int frontier[4], count = model_frontier(net.model, module->op, frontier);
        void *cache[4];
        wanted[module->weight] = true;

        struct plan *whole = get(&net, (struct plan_spec){ .mode = PLAN_EVAL, .wanted = wanted });
        plan_bind(whole, 0, net.x);
        run(&net, whole, true, 0);
        float *logits = copy(&net, plan_logits(whole), scores),
              *gradient = copy(&net, net.gradient + info->offset, info->count);

        struct plan *suffix = get(&net, (struct plan_spec){ .mode = PLAN_EVAL, .first = module->op, .wanted = wanted });
        if (module->op > 0) {
            struct plan *prefix = get(&net, (struct plan_spec){ .mode = PLAN_EVAL, .last = module->op });
            plan_bind(prefix, 0, net.x);
            plan_forward(prefix, 0);
            for (int i = 0; i < count; i++) {
                size_t bytes = plan_row_bytes(net.weights, frontier[i]) * (size_t)net.shape.n;
                cache[i] = net.dev->ops->alloc(net.dev, bytes);
                net.dev->ops->copy(net.dev, cache[i], plan_value(prefix, frontier[i]), bytes);
                plan_bind(suffix, frontier[i], cache[i]);
            }
        } else {
            plan_bind(suffix, 0, net.x);
        }
        run(&net, suffix, true, 0);
        float *logits2 = copy(&net, plan_logits(suffix), scores),
              *gradient2 = copy(&net, net.gradient + info->offset, info->count);
        if (memcmp(logits, logits2, (size_t)scores * sizeof(float)) != 0)
            CHECK_FAIL("%s: logits differ by %g", module->name, relative(logits2, logits, scores));
        CHECK_NEAR(relative(gradient2, gradient, info->count), 0, 1e-6);
        for (int i = 0; module->op > 0 && i < count; i++)
            net.dev->ops->free(net.dev, cache[i]);
        free(logits);
        free(logits2);
        free(gradient);
        free(gradient2);
        free(wanted);
        plan_cache_clear(net.plans);
    }
    net_close(&net);
}

static void a_run_may_start_at_any_module(void)
{
    starts_at_any_module("resnet18", 16);
    starts_at_any_module("preactresnet18", 16);
    starts_at_any_module("wideresnet", 2);
}

static void some_gradients_are_those_of_all(void)
{
    for (int k = 0; k < 2 * ARCHS; k++) {
        int mode = k % 2 ? PLAN_TRAIN : PLAN_EVAL;
        struct net net = net_open(check_device(), archs[k / 2], k < 4 ? 8 : 1, 3, 32, 4);
        bool *all = every_parameter(net.model);
        warm_up(&net);
        struct plan *plan = get(&net, (struct plan_spec){ .mode = mode, .wanted = all });
        plan_bind(plan, 0, net.x);
        run(&net, plan, true, 0);
        float *expected = copy(&net, net.gradient, net.model->parameter_count);
        for (int t = 0; t < net.model->tensor_count; t += 4) {
            const struct tensor_info *info = &net.model->tensors[t];
            bool *one = calloc((size_t)net.model->tensor_count, 1);
            if (!info->parameter) {
                free(one);
                continue;
            }
            one[t] = true;
            struct plan *small = get(&net, (struct plan_spec){ .mode = mode, .wanted = one });
            plan_bind(small, 0, net.x);
            run(&net, small, true, 0);
            float *gradient = copy(&net, net.gradient + info->offset, info->count);
            if (relative(gradient, expected + info->offset, info->count) > 1e-6)
                CHECK_FAIL("%s: alone it differs by %g", info->name,
                           relative(gradient, expected + info->offset, info->count));
            CHECK(plan_workspace_bytes(small) <= plan_workspace_bytes(plan));
            free(gradient);
            free(one);
        }
        free(expected);
        free(all);
        net_close(&net);
    }
}

static void running_statistics_move_only_when_asked(void)
{
    struct net net = net_open(check_device(), "resnet18", 8, 3, 32, 4);
    struct plan *plan = get(&net, (struct plan_spec){ .mode = PLAN_TRAIN });
    float *before = malloc((size_t)net.model->total_count * sizeof(float)),
          *after = malloc((size_t)net.model->total_count * sizeof(float));

    plan_bind(plan, 0, net.x);
    weights_get(net.weights, before);
    plan_forward(plan, 0);
    weights_get(net.weights, after);
    CHECK_INT(memcmp(before, after, (size_t)net.model->total_count * sizeof(float)), 0);
    plan_forward(plan, 0.1f);
    weights_get(net.weights, after);
    CHECK_INT(memcmp(before, after, (size_t)net.model->parameter_count * sizeof(float)), 0);
    CHECK(memcmp(before, after, (size_t)net.model->total_count * sizeof(float)) != 0);
    free(before);
    free(after);
    net_close(&net);
}

static void an_eval_plan_sees_new_statistics(void)
{
    struct net net = net_open(check_device(), "resnet18", 8, 3, 32, 4);
    struct plan *eval = get(&net, (struct plan_spec){ .mode = PLAN_EVAL });
    struct plan *train = get(&net, (struct plan_spec){ .mode = PLAN_TRAIN });

    plan_bind(eval, 0, net.x);
    plan_bind(train, 0, net.x);
    double before = run(&net, eval, false, 0);
    run(&net, train, false, 0.1f);
    CHECK(run(&net, eval, false, 0) != before);
    net_close(&net);
}

static void running_allocates_nothing(void)
{
#ifdef RIFT_SANITIZED
    printf("        (skipped: a sanitizer's heap can't be asked)\n");
#else
    struct net net = net_open(check_device(), "resnet18", 16, 3, 32, 8);
    bool *all = every_parameter(net.model);
    struct plan *plan = get(&net, (struct plan_spec){ .mode = PLAN_TRAIN, .want_input = true, .wanted = all });

    plan_bind(plan, 0, net.x);
    run(&net, plan, true, 0.1f);
    struct mallinfo2 before = mallinfo2();
    for (int i = 0; i < 3; i++)
        run(&net, plan, true, 0.1f);
    struct mallinfo2 after = mallinfo2();
    CHECK_INT(after.uordblks, before.uordblks);
    CHECK_INT(after.hblkhd, before.hblkhd);
    free(all);
    net_close(&net);
#endif
}

static void a_plan_too_large_says_how_many_bytes(void)
{
    struct net net = net_open(check_device(), "resnet18", 4, 3, 32, 2);
    struct workspace ws = { .dev = net.dev };
    struct fault why = { 0 };

    CHECK_INT(workspace_reserve(&ws, (size_t)1 << 60, &why), -ENOMEM);
    CHECK_HOLDS(why.message, "1152921504606846976 bytes");
    workspace_done(&ws);
    net_close(&net);
}

static const struct check_case cases[] = {
    { "cpu and ref agree on logits and every gradient, train and eval", backends_agree },
    { "gradients match finite differences", gradients_match_differences },
    { "a run may start at any module", a_run_may_start_at_any_module },
    { "the gradient of one parameter is the one among all", some_gradients_are_those_of_all },
    { "running statistics move only when asked", running_statistics_move_only_when_asked },
    { "an eval plan sees new statistics", an_eval_plan_sees_new_statistics },
    { "running allocates nothing", running_allocates_nothing },
    { "a plan too large says how many bytes it wanted", a_plan_too_large_says_how_many_bytes },
};
CHECK_MAIN(cases)
