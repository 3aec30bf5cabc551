/* Are the gradients the gradients?
 *
 * For the same cases as test_ops: L = sum of weight * output is a number, and
 * its slope along a random direction, from two forward runs of the oracle,
 * must be the scalar product of that direction with what the backward
 * operations say. A graph is a forward and a backward the way a plan chains
 * them, so the masks of ReLU, the batch statistics and the folding of batch
 * norm into a convolution are all differentiated through.
 *
 * The oracle's device memory is host memory and its activations are NCHW, so
 * plain arrays go in. Inputs stay away from ReLU's kink, where there is no
 * slope to speak of. */
#include "tests/check.h"
#include "tests/ops/cases.h"

enum { INPUT_MAX = 5 };
static const float EPS = 1e-5f;
static const double STD[3] = { 0.2471, 0.2435, 0.2616 }, MEAN[3] = { 0.4914, 0.4822, 0.4465 };

struct graph {
    const char *name;
    enum group group;
    double tolerance; /* of the slope, relative to ||gradient|| ||direction|| / sqrt(elements) */
    const char *reason;
    /* Elements of input i (0: there is none) and of the output at -1. */
    int64_t (*count)(const struct op_case *c, int i);
    /* Replace noise by something this graph can be differentiated at; may be NULL. */
    void (*prepare)(const struct op_case *c, float *in[INPUT_MAX]);
    void (*forward)(struct device *dev, const struct op_case *c, float *const in[INPUT_MAX], float *out);
    void (*backward)(struct device *dev, const struct op_case *c, float *const in[INPUT_MAX], float *out, float *dout,
                     float *din[INPUT_MAX]);
    bool mean; /* weight of every output is 1/N: the operation takes a scale, not a gradient */
};

static float *floats(int64_t count)
{
    float *f = calloc((size_t)(count ? count : 1), sizeof(float));

    if (!f)
        abort();
    return f;
}

static void must(int r)
{
    if (r < 0)
        CHECK_FAIL("an operation failed: %d", r);
}

/* ---- convolution: x, w, bias, residual ------------------------------------------ */

static struct conv *conv_prepared(struct device *dev, const struct op_case *c, bool bias, const float *w,
                                  const float *scale, void **ret_packed)
{
    struct conv_request request = { case_geometry(c), c->image_in, bias, c->residual, c->relu, true, true };
    struct conv *conv = NULL;

    must(dev->ops->conv_open(dev, &request, &conv, NULL));
    *ret_packed = floats((int64_t)dev->ops->conv_packed_bytes(conv) / 4);
    must(dev->ops->conv_pack(conv, w, scale, NULL, *ret_packed, NULL));
    return conv;
}

static struct shape conv_shape(const struct op_case *c)
{
    struct conv_geometry g = case_geometry(c);

    return conv_out(&g);
}

static int64_t weight_count(const struct op_case *c)
{
    return (int64_t)c->out_c * c->in.c * c->kernel * c->kernel;
}

static int64_t conv_count(const struct op_case *c, int i)
{
    int64_t out = shape_count(conv_shape(c));

    return i == -1  ? out
           : i == 0 ? shape_count(c->in)
           : i == 1 ? weight_count(c)
           : i == 2 ? (c->bias ? c->out_c : 0)
           : i == 3 ? (c->residual ? out : 0)
                    : 0;
}

/* A sum of so many products of noise has this standard deviation (1/3 each);
 * half of the channels (or of the residual) is moved four of those up, half
 * down. Without either, smaller weights and the biasless kink stay. */
static float away(const struct op_case *c)
{
    return 4.0f * sqrtf((float)c->in.c * (float)(c->kernel * c->kernel)) / 3.0f;
}

static void conv_prepare(const struct op_case *c, float *in[INPUT_MAX])
{
    int64_t out = conv_count(c, -1);

    if (!c->relu)
        return;
    for (int64_t i = 0; c->residual && i < out; i++)
        in[3][i] += i % 3 == 0 ? -2 * away(c) : 2 * away(c);
    for (int64_t i = 0; c->bias && !c->residual && i < c->out_c; i++)
        in[2][i] += i % 3 == 0 ? -away(c) : away(c);
    if (c->bias || c->residual)
        return;
    for (int64_t i = 0; i < shape_count(c->in); i++) /* nothing to move: all sums of a channel get one sign */
        in[0][i] = 1.5f + 0.5f * in[0][i];
    for (int64_t i = 0; i < weight_count(c); i++)
        in[1][i] = (1.5f + 0.5f * in[1][i]) * (i / (weight_count(c) / c->out_c) % 3 == 0 ? -1.0f : 1.0f);
}

static void conv_forward(struct device *dev, const struct op_case *c, float *const in[INPUT_MAX], float *out)
{
    void *packed;
    struct conv *conv = conv_prepared(dev, c, c->bias, in[1], NULL, &packed);

    must(dev->ops->conv_forward(conv, in[0], packed, in[2], in[3], out, NULL));
    dev->ops->conv_close(conv);
    free(packed);
}

static void conv_backward(struct device *dev, const struct op_case *c, float *const in[INPUT_MAX], float *out,
                          float *dout, float *din[INPUT_MAX])
{
    void *packed;
    struct conv *conv = conv_prepared(dev, c, c->bias, in[1], NULL, &packed);

    must(dev->ops->relu_backward(dev, conv_shape(c), dout, NULL, c->relu ? out : NULL, dout));
    must(dev->ops->conv_backward_data(conv, dout, packed, din[0], NULL));
    must(dev->ops->conv_backward_weights(conv, in[0], dout, din[1], NULL));
    if (din[2])
        must(dev->ops->channel_sum(dev, conv_shape(c), dout, din[2]));
    if (din[3])
        memcpy(din[3], dout, (size_t)conv_count(c, 3) * sizeof(float));
    dev->ops->conv_close(conv);
    free(packed);
}

/* ---- convolution with batch norm folded in: x, w, gamma, beta, residual ---------- */

static int64_t folded_count(const struct op_case *c, int i)
{
    return i == 2 || i == 3 ? c->out_c : i == 4 ? (c->residual ? conv_count(c, -1) : 0) : conv_count(c, i);
}

/* Frozen statistics of so many channels. */
static void frozen(int channels, float *mean, float *var)
{
    for (int o = 0; o < channels; o++) {
        mean[o] = noise(90, o);
        var[o] = 1 + 0.5f * noise(91, o);
    }
}

static void folded_prepare(const struct op_case *c, float *in[INPUT_MAX])
{
    for (int64_t o = 0; o < c->out_c; o++)
        in[2][o] = 1 + 0.5f * in[2][o];
    if (!c->relu)
        return;
    for (int64_t i = 0; c->residual && i < conv_count(c, -1); i++)
        in[4][i] += i % 3 == 0 ? -4 * away(c) : 4 * away(c);
    for (int64_t o = 0; !c->residual && o < c->out_c; o++)
        in[3][o] += (o % 3 == 0 ? -3 : 3) * away(c);
}

struct folded {
    struct conv *conv;
    void *packed;
    float *mean, *var, *scale, *bias;
};

static struct folded folded_open(struct device *dev, const struct op_case *c, float *const in[INPUT_MAX])
{
    struct folded f = {
        .mean = floats(c->out_c), .var = floats(c->out_c), .scale = floats(c->out_c), .bias = floats(c->out_c)
    };

    frozen(c->out_c, f.mean, f.var);
    must(dev->ops->bn_fold(dev, c->out_c, in[2], in[3], f.mean, f.var, EPS, f.scale, f.bias));
    f.conv = conv_prepared(dev, c, true, in[1], f.scale, &f.packed);
    return f;
}

static void folded_close(struct device *dev, struct folded *f)
{
    dev->ops->conv_close(f->conv);
    free(f->packed);
    free(f->mean);
    free(f->var);
    free(f->scale);
    free(f->bias);
}

static void folded_forward(struct device *dev, const struct op_case *c, float *const in[INPUT_MAX], float *out)
{
    struct folded f = folded_open(dev, c, in);

    must(dev->ops->conv_forward(f.conv, in[0], f.packed, f.bias, in[4], out, NULL));
    folded_close(dev, &f);
}

static void folded_backward(struct device *dev, const struct op_case *c, float *const in[INPUT_MAX], float *out,
                            float *dout, float *din[INPUT_MAX])
{
    struct folded f = folded_open(dev, c, in);
    float *dbf = floats(c->out_c);

    must(dev->ops->relu_backward(dev, conv_shape(c), dout, NULL, c->relu ? out : NULL, dout));
    must(dev->ops->conv_backward_data(f.conv, dout, f.packed, din[0], NULL));
    must(dev->ops->conv_backward_weights(f.conv, in[0], dout, din[1], NULL));
    must(dev->ops->channel_sum(dev, conv_shape(c), dout, dbf));
    must(dev->ops->bn_unfold(dev, c->out_c, (int)(weight_count(c) / c->out_c), in[1], in[2], f.mean, f.var, EPS, din[1],
                             dbf, din[2], din[3]));
    if (din[4])
        memcpy(din[4], dout, (size_t)folded_count(c, 4) * sizeof(float));
    free(dbf);
    folded_close(dev, &f);
}

/* ---- batch norm on batch statistics: y, gamma, beta, residual -------------------- */

static int64_t bn_count(const struct op_case *c, int i)
{
    return i == -1 || i == 0  ? shape_count(c->in)
           : i == 1 || i == 2 ? c->in.c
           : i == 3           ? (c->residual ? shape_count(c->in) : 0)
                              : 0;
}

static void bn_prepare(const struct op_case *c, float *in[INPUT_MAX])
{
    for (int64_t i = 0; i < c->in.c; i++)
        in[1][i] = 1 + 0.5f * in[1][i];
    for (int64_t i = 0; c->relu && !c->residual && i < c->in.c; i++)
        in[2][i] += i % 3 == 0 ? -6 : 6;
    for (int64_t i = 0; c->relu && c->residual && i < shape_count(c->in); i++)
        in[3][i] += i % 3 == 0 ? -8 : 8;
}

static void bn_run(struct device *dev, const struct op_case *c, float *const in[INPUT_MAX], float *out, float *mean,
                   float *invstd)
{
    must(dev->ops->bn_forward(dev, c->in, in[0], in[1], in[2], in[3], c->relu, out, mean, invstd, NULL, NULL, 0, EPS));
}

static void bn_forward(struct device *dev, const struct op_case *c, float *const in[INPUT_MAX], float *out)
{
    float *mean = floats(c->in.c), *invstd = floats(c->in.c);

    bn_run(dev, c, in, out, mean, invstd);
    free(mean);
    free(invstd);
}

/* `second`: the gradient comes in two parts, as where a block's paths meet. Returns the other part (malloc'd). */
static float *part_take(const struct op_case *c, float *dout)
{
    float *part = floats(shape_count(c->in));

    for (int64_t i = 0; c->second && i < shape_count(c->in); i++) {
        part[i] = 0.75f * dout[i];
        dout[i] -= part[i];
    }
    return part;
}

static void bn_backward(struct device *dev, const struct op_case *c, float *const in[INPUT_MAX], float *out,
                        float *dout, float *din[INPUT_MAX])
{
    float *mean = floats(c->in.c), *invstd = floats(c->in.c), *part = part_take(c, dout);

    bn_run(dev, c, in, out, mean, invstd);
    must(dev->ops->bn_backward(dev, c->in, dout, c->second ? part : NULL, c->relu ? out : NULL, in[0], in[1], mean,
                               invstd, din[0], din[3], din[1], din[2]));
    free(mean);
    free(invstd);
    free(part);
}

/* ---- batch norm on frozen statistics, on its own: y, gamma, beta ------------------- */

static int64_t affine_count(const struct op_case *c, int i)
{
    return i == -1 || i == 0 ? shape_count(c->in) : i == 1 || i == 2 ? c->in.c : 0;
}

/* [4][C]: mean, variance, scale and shift of frozen statistics (malloc'd). */
static float *affine_open(struct device *dev, const struct op_case *c, float *const in[INPUT_MAX])
{
    int count = c->in.c;
    float *a = floats(4 * count);

    frozen(count, a, a + count);
    must(dev->ops->bn_fold(dev, count, in[1], in[2], a, a + count, EPS, a + 2 * count, a + 3 * count));
    return a;
}

static void affine_prepare(const struct op_case *c, float *in[INPUT_MAX])
{
    for (int64_t i = 0; i < c->in.c; i++) {
        in[1][i] = 1 + 0.5f * in[1][i];
        if (c->relu)
            in[2][i] += i % 3 == 0 ? -8 : 8;
    }
}

static void affine_forward(struct device *dev, const struct op_case *c, float *const in[INPUT_MAX], float *out)
{
    float *a = affine_open(dev, c, in);

    must(dev->ops->affine_forward(dev, c->in, in[0], a + 2 * c->in.c, a + 3 * c->in.c, c->relu, out));
    free(a);
}

static void affine_backward(struct device *dev, const struct op_case *c, float *const in[INPUT_MAX], float *out,
                            float *dout, float *din[INPUT_MAX])
{
    float *a = affine_open(dev, c, in), *part = part_take(c, dout);

    must(dev->ops->affine_backward(dev, c->in, dout, c->second ? part : NULL, c->relu ? out : NULL, in[0],
                                   a + 2 * c->in.c, a, a + c->in.c, EPS, din[0], din[1], din[2]));
    free(part);
    free(a);
}

/* ---- head ------------------------------------------------------------------------- */

static int64_t pool_count(const struct op_case *c, int i)
{
    return i == 0    ? shape_count(c->in)
           : i == -1 ? (int64_t)c->in.n * c->in.c * (c->in.h / c->out_c) * (c->in.w / c->out_c)
                     : 0;
}

static void pool_forward(struct device *dev, const struct op_case *c, float *const in[INPUT_MAX], float *out)
{
    must(dev->ops->pool_forward(dev, c->in, c->out_c, in[0], out));
}

static void pool_backward(struct device *dev, const struct op_case *c, float *const in[INPUT_MAX], float *out,
                          float *dout, float *din[INPUT_MAX])
{
    (void)in;
    (void)out;
    must(dev->ops->pool_backward(dev, c->in, c->out_c, dout, din[0]));
}

static int64_t linear_count(const struct op_case *c, int i)
{
    return i == -1  ? (int64_t)c->in.n * c->out_c
           : i == 0 ? (int64_t)c->in.n * c->in.c
           : i == 1 ? (int64_t)c->out_c * c->in.c
           : i == 2 ? c->out_c
                    : 0;
}

static void linear_forward(struct device *dev, const struct op_case *c, float *const in[INPUT_MAX], float *out)
{
    must(dev->ops->linear_forward(dev, c->in.n, c->in.c, c->out_c, in[0], in[1], in[2], out));
}

static void linear_backward(struct device *dev, const struct op_case *c, float *const in[INPUT_MAX], float *out,
                            float *dout, float *din[INPUT_MAX])
{
    (void)out;
    must(dev->ops->linear_backward_data(dev, c->in.n, c->in.c, c->out_c, dout, in[1], din[0]));
    must(dev->ops->linear_backward_weights(dev, c->in.n, c->in.c, c->out_c, dout, in[0], din[1], din[2]));
}

static int64_t loss_count(const struct op_case *c, int i)
{
    return i == -1 ? c->in.n : i == 0 ? (int64_t)c->in.n * c->out_c : 0;
}

static void loss_run(struct device *dev, const struct op_case *c, float *const in[INPUT_MAX], float *out, float *dz)
{
    int32_t *labels = calloc((size_t)c->in.n, sizeof(*labels)), *correct = calloc((size_t)c->in.n, sizeof(*correct));

    for (int i = 0; i < c->in.n; i++)
        labels[i] = i * 7 % c->out_c;
    must(dev->ops->cross_entropy(dev, c->in.n, c->out_c, in[0], labels, 1.0f / (float)c->in.n, out, correct, dz));
    free(labels);
    free(correct);
}

static void loss_forward(struct device *dev, const struct op_case *c, float *const in[INPUT_MAX], float *out)
{
    loss_run(dev, c, in, out, NULL);
}

static void loss_backward(struct device *dev, const struct op_case *c, float *const in[INPUT_MAX], float *out,
                          float *dout, float *din[INPUT_MAX])
{
    (void)dout;
    loss_run(dev, c, in, out, din[0]);
}

static int64_t normalize_count(const struct op_case *c, int i)
{
    return i <= 0 ? shape_count(c->in) : 0;
}

static void normalize_forward(struct device *dev, const struct op_case *c, float *const in[INPUT_MAX], float *out)
{
    must(dev->ops->normalize(dev, c->in, in[0], MEAN, STD, out));
}

static void normalize_backward(struct device *dev, const struct op_case *c, float *const in[INPUT_MAX], float *out,
                               float *dout, float *din[INPUT_MAX])
{
    (void)in;
    (void)out;
    must(dev->ops->normalize_backward(dev, c->in, dout, STD, din[0]));
}

/* ---- the table ----------------------------------------------------------------------- */

#define LINEAR "outputs are linear in each input: only their rounding to float, over a step of 1/64, is left"
#define CURVED "third derivatives times the square of the step, and rounding"

static const struct graph graphs[] = {
    { "convolution", GROUP_CONV, 2e-4, LINEAR, conv_count, conv_prepare, conv_forward, conv_backward },
    { "convolution with folded batch norm", GROUP_CONV, 2e-4, LINEAR, folded_count, folded_prepare, folded_forward,
      folded_backward },
    { "batch norm", GROUP_ACTIVATION, 2e-3, CURVED, bn_count, bn_prepare, bn_forward, bn_backward },
    { "frozen batch norm", GROUP_ACTIVATION, 2e-4, LINEAR, affine_count, affine_prepare, affine_forward,
      affine_backward },
    { "average pool", GROUP_POOL, 2e-4, LINEAR, pool_count, NULL, pool_forward, pool_backward },
    { "linear layer", GROUP_LINEAR, 2e-4, LINEAR, linear_count, NULL, linear_forward, linear_backward },
    { "cross-entropy", GROUP_LINEAR, 2e-3, CURVED, loss_count, NULL, loss_forward, loss_backward, .mean = true },
    { "normalisation", GROUP_IMAGE, 2e-4, LINEAR, normalize_count, NULL, normalize_forward, normalize_backward },
};

/* ---- the check ---------------------------------------------------------------------------- */

struct probe {
    const struct graph *graph;
    const struct op_case *c;
    struct device *dev;
    float *in[INPUT_MAX], *din[INPUT_MAX], *out, *weight;
    int64_t outs;
};

static void probe_open(struct probe *p)
{
    p->outs = p->graph->count(p->c, -1);
    p->out = floats(p->outs);
    p->weight = floats(p->outs);
    for (int64_t i = 0; i < p->outs; i++)
        p->weight[i] = p->graph->mean ? 1.0f / (float)p->c->in.n : noise(60, i);
    for (int i = 0; i < INPUT_MAX; i++) {
        int64_t count = p->graph->count(p->c, i);

        if (!count)
            continue;
        p->in[i] = floats(count);
        p->din[i] = floats(count);
        for (int64_t k = 0; k < count; k++)
            p->in[i][k] = noise(61 + (uint32_t)i, k);
        memset(p->din[i], 0xff, (size_t)count * sizeof(float));
    }
    if (p->graph->prepare)
        p->graph->prepare(p->c, p->in);
}

static void probe_close(struct probe *p)
{
    free(p->out);
    free(p->weight);
    for (int i = 0; i < INPUT_MAX; i++) {
        free(p->in[i]);
        free(p->din[i]);
    }
}

/* L with input i moved by `step` along the direction. */
static double loss_at(struct probe *p, int i, const float *direction, float step)
{
    int64_t count = p->graph->count(p->c, i);
    float *keep = p->in[i], *moved = floats(count);
    double loss = 0;

    for (int64_t k = 0; k < count; k++)
        moved[k] = keep[k] + step * direction[k];
    p->in[i] = moved;
    p->graph->forward(p->dev, p->c, p->in, p->out);
    p->in[i] = keep;
    for (int64_t k = 0; k < p->outs; k++)
        loss += (double)p->weight[k] * p->out[k];
    free(moved);
    return loss;
}

/* Random signs as a direction: every element counts equally. */
static void slope_check(struct probe *p, int i, uint32_t which)
{
    static const float step = 1.0f / 64;
    int64_t count = p->graph->count(p->c, i);
    float *direction = floats(count);
    double said = 0, size = 0;
    char name[128];

    for (int64_t k = 0; k < count; k++) {
        direction[k] = noise(70 + which, k) < 0 ? -1.0f : 1.0f;
        said += (double)direction[k] * p->din[i][k];
        size += (double)p->din[i][k] * p->din[i][k];
    }
    double measured = (loss_at(p, i, direction, step) - loss_at(p, i, direction, -step)) / (2 * step);
    size = fmax(sqrt(size), 1e-3); /* a gradient that is zero has rounding only */
    case_print(p->c, name, sizeof(name));
    if (!(fabs(said - measured) <= p->graph->tolerance * size))
        CHECK_FAIL("%s %s: along direction %u of input %d the slope is %.9g, the gradient says %.9g (norm %g): %s",
                   p->graph->name, name, which, i, measured, said, size, p->graph->reason);
    free(direction);
}

static void graph_check(const struct graph *graph, struct device *dev)
{
    int checked = 0;

    for (const struct op_case *c = op_cases; c->in.n; c++) {
        struct probe p = { graph, c, dev };

        if (c->group != graph->group || c->speed)
            continue;
        probe_open(&p);
        float *dout = floats(p.outs);
        memcpy(dout, p.weight, (size_t)p.outs * sizeof(float));
        graph->forward(dev, c, p.in, p.out);
        graph->backward(dev, c, p.in, p.out, dout, p.din);
        for (int i = 0; i < INPUT_MAX; i++) {
            for (uint32_t which = 0; p.in[i] && which < 2; which++)
                slope_check(&p, i, which);
            checked += p.in[i] != NULL;
        }
        free(dout);
        probe_close(&p);
    }
    CHECK(checked > 0);
}

static void graph_named(const char *name)
{
    struct device *dev;

    CHECK_INT(device_open("ref", PRECISION_FLOAT32, 0, &dev, NULL), 0);
    for (size_t i = 0; i < sizeof(graphs) / sizeof(graphs[0]); i++)
        if (strcmp(graphs[i].name, name) == 0)
            graph_check(&graphs[i], dev);
    device_close(dev);
}

static void test_conv(void)
{
    graph_named("convolution");
}
static void test_folded(void)
{
    graph_named("convolution with folded batch norm");
}
static void test_bn(void)
{
    graph_named("batch norm");
}
static void test_pool(void)
{
    graph_named("average pool");
}
static void test_linear(void)
{
    graph_named("linear layer");
}
static void test_loss(void)
{
    graph_named("cross-entropy");
}
static void test_normalize(void)
{
    graph_named("normalisation");
}

static const struct check_case cases[] = {
    { "slopes of the convolution agree with its gradients", test_conv },
    { "slopes of a convolution with folded batch norm agree with its gradients", test_folded },
    { "slopes of batch norm go through the batch statistics", test_bn },
    { "slopes of the average pool agree with its gradient", test_pool },
    { "slopes of the linear layer agree with its gradients", test_linear },
    { "slopes of the cross-entropy agree with its gradient", test_loss },
    { "slopes of the normalisation agree with its gradient", test_normalize },
};

CHECK_MAIN(cases)
