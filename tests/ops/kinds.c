/* The table of operations: for each, what it reads and writes and how it is
 * called. Tolerances stand here too, each with its reason. */
#include "tests/ops/kinds.h"

static const float EPS = 1e-5f, MOMENTUM = 0.1f;
static const double MEAN[3] = { 0.4914, 0.4822, 0.4465 }, STD[3] = { 0.2471, 0.2435, 0.2616 };

#define OPS(r) ((r)->dev->ops)

static struct io plain(enum io_way way, int n, int c, int h, int w, enum fill fill)
{
    return (struct io){ IO_PLAIN, way, { n, c, h, w }, fill };
}

static struct io vector(enum io_way way, int count, enum fill fill)
{
    return plain(way, count, 1, 1, 1, fill);
}

static struct io activation(enum io_way way, struct shape s, enum fill fill)
{
    return (struct io){ IO_ACTIVATION, way, s, fill };
}

static struct io image(const struct op_case *c, enum io_way way)
{
    return (struct io){ c->image_in ? IO_PLAIN : IO_ACTIVATION, way, c->in, FILL_SIGNED };
}

/* ---- convolution: 8 and 9 are always weights and scale -------------------------- */

static void conv_weights(const struct op_case *c, struct io io[IO_MAX])
{
    io[CONV_WEIGHT] = plain(WAY_IN, c->out_c, c->in.c, c->kernel, c->kernel, FILL_SIGNED);
    if (c->scale)
        io[CONV_SCALE] = vector(WAY_IN, c->out_c, FILL_POSITIVE);
}

static void conv_forward_ios(const struct op_case *c, struct io io[IO_MAX])
{
    struct conv_geometry g = case_geometry(c);

    conv_weights(c, io);
    io[0] = image(c, WAY_IN);
    if (c->bias)
        io[1] = vector(WAY_IN, c->out_c, FILL_SIGNED);
    if (c->residual)
        io[2] = activation(WAY_IN, conv_out(&g), FILL_SIGNED);
    io[3] = activation(WAY_OUT, conv_out(&g), FILL_SIGNED);
}

static int conv_forward_call(struct run *r)
{
    return OPS(r)->conv_forward(r->conv, r->mem[0], r->packed, r->mem[1], r->mem[2], r->mem[3], r->scratch);
}

static void conv_backward_data_ios(const struct op_case *c, struct io io[IO_MAX])
{
    struct conv_geometry g = case_geometry(c);

    conv_weights(c, io);
    io[0] = activation(WAY_IN, conv_out(&g), FILL_SIGNED);
    io[1] = image(c, WAY_OUT);
}

static int conv_backward_data_call(struct run *r)
{
    return OPS(r)->conv_backward_data(r->conv, r->mem[0], r->packed, r->mem[1], r->scratch);
}

static void conv_backward_weights_ios(const struct op_case *c, struct io io[IO_MAX])
{
    struct conv_geometry g = case_geometry(c);

    conv_weights(c, io);
    io[0] = image(c, WAY_IN);
    io[1] = activation(WAY_IN, conv_out(&g), FILL_SIGNED);
    io[2] = plain(WAY_OUT, c->out_c, c->in.c, c->kernel, c->kernel, FILL_SIGNED);
}

static int conv_backward_weights_call(struct run *r)
{
    return OPS(r)->conv_backward_weights(r->conv, r->mem[0], r->mem[1], r->mem[2], r->scratch);
}

/* ---- batch normalisation and elementwise -------------------------------------------- */

static void bn_forward_ios(const struct op_case *c, struct io io[IO_MAX])
{
    io[0] = activation(WAY_IN, c->in, FILL_SIGNED);
    io[1] = vector(WAY_IN, c->in.c, FILL_POSITIVE);
    io[2] = vector(WAY_IN, c->in.c, FILL_SIGNED);
    if (c->residual)
        io[3] = activation(WAY_IN, c->in, FILL_SIGNED);
    io[4] = activation(WAY_OUT, c->in, FILL_SIGNED);
    io[5] = vector(WAY_OUT, c->in.c, FILL_SIGNED);
    io[6] = vector(WAY_OUT, c->in.c, FILL_SIGNED);
    io[7] = vector(WAY_BOTH, c->in.c, FILL_SIGNED);
    io[8] = vector(WAY_BOTH, c->in.c, FILL_POSITIVE);
}

static int bn_forward_call(struct run *r)
{
    return OPS(r)->bn_forward(r->dev, r->c->in, r->mem[0], r->mem[1], r->mem[2], r->mem[3], r->c->relu, r->mem[4],
                              r->mem[5], r->mem[6], r->mem[7], r->mem[8], MOMENTUM, EPS);
}

static void bn_backward_ios(const struct op_case *c, struct io io[IO_MAX])
{
    io[0] = activation(WAY_IN, c->in, FILL_SIGNED);
    if (c->second)
        io[1] = activation(WAY_IN, c->in, FILL_SIGNED);
    if (c->relu)
        io[2] = activation(WAY_IN, c->in, FILL_RELU);
    io[3] = activation(WAY_IN, c->in, FILL_SIGNED);
    io[4] = vector(WAY_IN, c->in.c, FILL_POSITIVE);
    io[5] = vector(WAY_IN, c->in.c, FILL_SIGNED);
    io[6] = activation(WAY_OUT, c->in, FILL_SIGNED);
    if (c->residual)
        io[7] = activation(WAY_OUT, c->in, FILL_SIGNED);
    io[8] = vector(WAY_OUT, c->in.c, FILL_SIGNED);
    io[9] = vector(WAY_OUT, c->in.c, FILL_SIGNED);
}

/* gamma serves as invstd too: any positive numbers do. */
static int bn_backward_call(struct run *r)
{
    return OPS(r)->bn_backward(r->dev, r->c->in, r->mem[0], r->mem[1], r->mem[2], r->mem[3], r->mem[4], r->mem[5],
                               r->mem[4], r->mem[6], r->mem[7], r->mem[8], r->mem[9]);
}

static void bn_fold_ios(const struct op_case *c, struct io io[IO_MAX])
{
    io[0] = vector(WAY_IN, c->in.c, FILL_SIGNED);
    io[1] = vector(WAY_IN, c->in.c, FILL_SIGNED);
    io[2] = vector(WAY_IN, c->in.c, FILL_SIGNED);
    io[3] = vector(WAY_IN, c->in.c, FILL_POSITIVE);
    io[4] = vector(WAY_OUT, c->in.c, FILL_SIGNED);
    io[5] = vector(WAY_OUT, c->in.c, FILL_SIGNED);
}

static int bn_fold_call(struct run *r)
{
    return OPS(r)->bn_fold(r->dev, r->c->in.c, r->mem[0], r->mem[1], r->mem[2], r->mem[3], EPS, r->mem[4], r->mem[5]);
}

/* Runs on the convolutions: bias says that dgamma and dbeta are wanted. */
static void bn_unfold_ios(const struct op_case *c, struct io io[IO_MAX])
{
    io[0] = plain(WAY_IN, c->out_c, c->in.c, c->kernel, c->kernel, FILL_SIGNED);
    io[1] = vector(WAY_IN, c->out_c, FILL_SIGNED);
    io[2] = vector(WAY_IN, c->out_c, FILL_SIGNED);
    io[3] = vector(WAY_IN, c->out_c, FILL_POSITIVE);
    io[4] = plain(WAY_BOTH, c->out_c, c->in.c, c->kernel, c->kernel, FILL_SIGNED);
    if (!c->bias)
        return;
    io[5] = vector(WAY_IN, c->out_c, FILL_SIGNED);
    io[6] = vector(WAY_OUT, c->out_c, FILL_SIGNED);
    io[7] = vector(WAY_OUT, c->out_c, FILL_SIGNED);
}

static int bn_unfold_call(struct run *r)
{
    return OPS(r)->bn_unfold(r->dev, r->c->out_c, r->c->in.c * r->c->kernel * r->c->kernel, r->mem[0], r->mem[1],
                             r->mem[2], r->mem[3], EPS, r->mem[4], r->mem[5], r->mem[6], r->mem[7]);
}

static void affine_forward_ios(const struct op_case *c, struct io io[IO_MAX])
{
    io[0] = activation(WAY_IN, c->in, FILL_SIGNED);
    io[1] = vector(WAY_IN, c->in.c, FILL_SIGNED);
    io[2] = vector(WAY_IN, c->in.c, FILL_SIGNED);
    io[3] = activation(WAY_OUT, c->in, FILL_SIGNED);
}

static int affine_forward_call(struct run *r)
{
    return OPS(r)->affine_forward(r->dev, r->c->in, r->mem[0], r->mem[1], r->mem[2], r->c->relu, r->mem[3]);
}

/* `residual` says that the gradients of gamma and beta are wanted; the input's is, unless only they are. */
static void affine_backward_ios(const struct op_case *c, struct io io[IO_MAX])
{
    io[0] = activation(WAY_IN, c->in, FILL_SIGNED);
    if (c->second)
        io[1] = activation(WAY_IN, c->in, FILL_SIGNED);
    if (c->relu)
        io[2] = activation(WAY_IN, c->in, FILL_RELU);
    io[4] = vector(WAY_IN, c->in.c, FILL_SIGNED);
    io[7] = activation(WAY_OUT, c->in, FILL_SIGNED);
    if (!c->residual)
        return;
    io[3] = activation(WAY_IN, c->in, FILL_SIGNED);
    io[5] = vector(WAY_IN, c->in.c, FILL_SIGNED);
    io[6] = vector(WAY_IN, c->in.c, FILL_POSITIVE);
    io[8] = vector(WAY_OUT, c->in.c, FILL_SIGNED);
    io[9] = vector(WAY_OUT, c->in.c, FILL_SIGNED);
    if (c->in.c == 1) /* parameters alone */
        io[7] = (struct io){ 0 };
}

static int affine_backward_call(struct run *r)
{
    return OPS(r)->affine_backward(r->dev, r->c->in, r->mem[0], r->mem[1], r->mem[2], r->mem[3], r->mem[4], r->mem[5],
                                   r->mem[6], EPS, r->mem[7], r->mem[8], r->mem[9]);
}

static void relu_backward_ios(const struct op_case *c, struct io io[IO_MAX])
{
    io[0] = activation(WAY_IN, c->in, FILL_SIGNED);
    if (c->second)
        io[1] = activation(WAY_IN, c->in, FILL_SIGNED);
    if (c->relu)
        io[2] = activation(WAY_IN, c->in, FILL_RELU);
    io[3] = activation(WAY_OUT, c->in, FILL_SIGNED);
}

static int relu_backward_call(struct run *r)
{
    return OPS(r)->relu_backward(r->dev, r->c->in, r->mem[0], r->mem[1], r->mem[2], r->mem[3]);
}

static void channel_sum_ios(const struct op_case *c, struct io io[IO_MAX])
{
    io[0] = activation(WAY_IN, c->in, FILL_POSITIVE);
    io[1] = vector(WAY_OUT, c->in.c, FILL_SIGNED);
}

static int channel_sum_call(struct run *r)
{
    return OPS(r)->channel_sum(r->dev, r->c->in, r->mem[0], r->mem[1]);
}

/* ---- head ------------------------------------------------------------------------ */

static struct io features(const struct op_case *c, enum io_way way)
{
    return plain(way, c->in.n, c->in.c, c->in.h / c->out_c, c->in.w / c->out_c, FILL_SIGNED);
}

static void pool_forward_ios(const struct op_case *c, struct io io[IO_MAX])
{
    io[0] = activation(WAY_IN, c->in, FILL_SIGNED);
    io[1] = features(c, WAY_OUT);
}

static int pool_forward_call(struct run *r)
{
    return OPS(r)->pool_forward(r->dev, r->c->in, r->c->out_c, r->mem[0], r->mem[1]);
}

static void pool_backward_ios(const struct op_case *c, struct io io[IO_MAX])
{
    io[0] = features(c, WAY_IN);
    io[1] = activation(WAY_OUT, c->in, FILL_SIGNED);
}

static int pool_backward_call(struct run *r)
{
    return OPS(r)->pool_backward(r->dev, r->c->in, r->c->out_c, r->mem[0], r->mem[1]);
}

static void linear_forward_ios(const struct op_case *c, struct io io[IO_MAX])
{
    io[0] = plain(WAY_IN, c->in.n, c->in.c, 1, 1, FILL_SIGNED);
    io[1] = plain(WAY_IN, c->out_c, c->in.c, 1, 1, FILL_SIGNED);
    io[2] = vector(WAY_IN, c->out_c, FILL_SIGNED);
    io[3] = plain(WAY_OUT, c->in.n, c->out_c, 1, 1, FILL_SIGNED);
}

static int linear_forward_call(struct run *r)
{
    return OPS(r)->linear_forward(r->dev, r->c->in.n, r->c->in.c, r->c->out_c, r->mem[0], r->mem[1], r->mem[2],
                                  r->mem[3]);
}

static void linear_backward_data_ios(const struct op_case *c, struct io io[IO_MAX])
{
    io[0] = plain(WAY_IN, c->in.n, c->out_c, 1, 1, FILL_SIGNED);
    io[1] = plain(WAY_IN, c->out_c, c->in.c, 1, 1, FILL_SIGNED);
    io[2] = plain(WAY_OUT, c->in.n, c->in.c, 1, 1, FILL_SIGNED);
}

static int linear_backward_data_call(struct run *r)
{
    return OPS(r)->linear_backward_data(r->dev, r->c->in.n, r->c->in.c, r->c->out_c, r->mem[0], r->mem[1], r->mem[2]);
}

static void linear_backward_weights_ios(const struct op_case *c, struct io io[IO_MAX])
{
    io[0] = plain(WAY_IN, c->in.n, c->out_c, 1, 1, FILL_SIGNED);
    io[1] = plain(WAY_IN, c->in.n, c->in.c, 1, 1, FILL_SIGNED);
    io[2] = plain(WAY_OUT, c->out_c, c->in.c, 1, 1, FILL_SIGNED);
    if (c->bias)
        io[3] = vector(WAY_OUT, c->out_c, FILL_SIGNED);
}

static int linear_backward_weights_call(struct run *r)
{
    return OPS(r)->linear_backward_weights(r->dev, r->c->in.n, r->c->in.c, r->c->out_c, r->mem[0], r->mem[1], r->mem[2],
                                           r->mem[3]);
}

static void cross_entropy_ios(const struct op_case *c, struct io io[IO_MAX])
{
    io[0] = plain(WAY_IN, c->in.n, c->out_c, 1, 1, FILL_SIGNED);
    io[1] = (struct io){ IO_INT32, WAY_IN, { c->in.n, 1, 1, 1 }, FILL_CLASS };
    io[2] = vector(WAY_OUT, c->in.n, FILL_SIGNED);
    io[3] = (struct io){ IO_INT32, WAY_OUT, { c->in.n, 1, 1, 1 }, FILL_CLASS };
    if (c->second)
        io[4] = plain(WAY_OUT, c->in.n, c->out_c, 1, 1, FILL_SIGNED);
}

static int cross_entropy_call(struct run *r)
{
    return OPS(r)->cross_entropy(r->dev, r->c->in.n, r->c->out_c, r->mem[0], r->mem[1], 1.0f / (float)r->c->in.n,
                                 r->mem[2], r->mem[3], r->mem[4]);
}

/* ---- losses of two sets of logits: bias says that there are labels, second that dz is wanted,
 * relu that the clean term is clipped too --------------------------------------------------- */

static void loss_ios(const struct op_case *c, struct io io[IO_MAX])
{
    io[0] = plain(WAY_IN, c->in.n, c->out_c, 1, 1, FILL_LOGIT);
    io[1] = plain(WAY_IN, c->in.n, c->out_c, 1, 1, FILL_LOGIT);
    if (c->bias)
        io[2] = (struct io){ IO_INT32, WAY_IN, { c->in.n, 1, 1, 1 }, FILL_CLASS };
    io[3] = vector(WAY_OUT, c->in.n, FILL_SIGNED);
    if (c->second)
        io[4] = plain(WAY_OUT, c->in.n, c->out_c, 1, 1, FILL_SIGNED);
    io[5] = plain(WAY_OUT, c->in.n, c->out_c, 1, 1, FILL_SIGNED);
}

static int kl_loss_call(struct run *r)
{
    return OPS(r)->kl_loss(r->dev, r->c->in.n, r->c->out_c, r->mem[0], r->mem[1], r->mem[2], 6, 0.25f, r->mem[3],
                           r->mem[4], r->mem[5]);
}

/* It can't do without labels. */
static void mart_loss_ios(const struct op_case *c, struct io io[IO_MAX])
{
    struct op_case labelled = *c;

    labelled.bias = true;
    loss_ios(&labelled, io);
}

static int mart_loss_call(struct run *r)
{
    return OPS(r)->mart_loss(r->dev, r->c->in.n, r->c->out_c, r->mem[0], r->mem[1], r->mem[2], 5, 0.25f, r->mem[3],
                             r->mem[4], r->mem[5]);
}

static int lse_loss_call(struct run *r)
{
    return OPS(r)->lse_loss(r->dev, r->c->in.n, r->c->out_c, r->mem[0], r->mem[1], r->mem[2], 6, 0.1f, r->c->relu,
                            0.25f, r->mem[3], r->mem[4], r->mem[5]);
}

/* ---- pixels -------------------------------------------------------------------------- */

static void load_batch_ios(const struct op_case *c, struct io io[IO_MAX])
{
    io[0] = (struct io){ IO_U8, WAY_IN, { 7, c->in.c, c->in.h, c->in.w }, FILL_BYTE };
    io[1] = plain(WAY_OUT, c->in.n, c->in.c, c->in.h, c->in.w, FILL_PIXEL);
}

static int load_batch_call(struct run *r)
{
    struct shape s = r->c->in;

    return OPS(r)->load_batch(r->dev, s.n, s.c, s.h, s.w, r->mem[0], r->crops, PADDING_REFLECT, r->mem[1]);
}

static void normalize_ios(const struct op_case *c, struct io io[IO_MAX])
{
    io[0] = plain(WAY_IN, c->in.n, c->in.c, c->in.h, c->in.w, FILL_PIXEL);
    io[1] = plain(WAY_OUT, c->in.n, c->in.c, c->in.h, c->in.w, FILL_PIXEL);
}

static int normalize_call(struct run *r)
{
    return OPS(r)->normalize(r->dev, r->c->in, r->mem[0], MEAN, STD, r->mem[1]);
}

static int normalize_backward_call(struct run *r)
{
    return OPS(r)->normalize_backward(r->dev, r->c->in, r->mem[0], STD, r->mem[1]);
}

static int pgd_start_call(struct run *r)
{
    struct random_key key = { 42, 4, 3 };

    return OPS(r)->pgd_start(r->dev, r->c->in, r->mem[0], 8.0f / 255, key, r->ids, r->mem[1]);
}

static int normal_start_call(struct run *r)
{
    struct random_key key = { 42, 4, 3 };

    return OPS(r)->normal_start(r->dev, r->c->in, r->mem[0], 0.001f, key, r->ids, r->mem[1]);
}

static void pgd_step_ios(const struct op_case *c, struct io io[IO_MAX])
{
    io[0] = plain(WAY_IN, c->in.n, c->in.c, c->in.h, c->in.w, FILL_PIXEL);
    io[1] = plain(WAY_IN, c->in.n, c->in.c, c->in.h, c->in.w, FILL_SPARSE);
    io[2] = plain(WAY_BOTH, c->in.n, c->in.c, c->in.h, c->in.w, FILL_PIXEL);
}

static int pgd_step_call(struct run *r)
{
    return OPS(r)->pgd_step(r->dev, r->c->in, r->mem[0], r->mem[1], 2.0f / 255, 8.0f / 255, r->mem[2]);
}

/* ---- parameters --------------------------------------------------------------------------- */

static void sgd_step_ios(const struct op_case *c, struct io io[IO_MAX])
{
    io[0] = vector(WAY_BOTH, c->in.n, FILL_SIGNED);
    io[1] = vector(WAY_IN, c->in.n, FILL_SIGNED);
    io[2] = vector(WAY_BOTH, c->in.n, FILL_SIGNED);
}

static int sgd_step_call(struct run *r)
{
    return OPS(r)->sgd_step(r->dev, r->c->in.n, r->mem[0], r->mem[1], r->mem[2], 0.1f, 0.9f, 5e-4f);
}

static void axpy_ios(const struct op_case *c, struct io io[IO_MAX])
{
    io[0] = vector(WAY_IN, c->in.n, FILL_SIGNED);
    io[1] = vector(WAY_BOTH, c->in.n, FILL_SIGNED);
}

static int axpy_call(struct run *r)
{
    return OPS(r)->axpy(r->dev, r->c->in.n, -0.3f, r->mem[0], r->mem[1]);
}

static int project_call(struct run *r)
{
    return OPS(r)->project(r->dev, r->c->in.n, r->mem[0], 0.3f, r->mem[1]);
}

static void interpolate_ios(const struct op_case *c, struct io io[IO_MAX])
{
    io[0] = vector(WAY_IN, c->in.n, FILL_SIGNED);
    io[1] = vector(WAY_IN, c->in.n, FILL_SIGNED);
    io[2] = vector(WAY_OUT, c->in.n, FILL_SIGNED);
}

static int interpolate_call(struct run *r)
{
    return OPS(r)->interpolate(r->dev, r->c->in.n, r->mem[0], r->mem[1], 0.3f, r->mem[2]);
}

static void norm_ios(const struct op_case *c, struct io io[IO_MAX])
{
    io[0] = vector(WAY_IN, c->in.n, FILL_SIGNED);
    if (c->second)
        io[1] = vector(WAY_IN, c->in.n, FILL_SIGNED);
    io[2] = (struct io){ IO_NUMBER, WAY_OUT, { 1, 1, 1, 1 }, FILL_SIGNED };
}

static int norm_call(struct run *r)
{
    return OPS(r)->norm(r->dev, r->c->in.n, r->mem[0], r->mem[1], r->mem[2]);
}

/* ---- the table ------------------------------------------------------------------------------ */

#define SUMS    "the oracle adds in double, the backend in float: sqrt(terms) roundings of 6e-8"
#define ROUNDED "a few roundings of 6e-8 in another order"
#define PIXELS  "an attack is a chain of signs: only the same bits walk the same path"
#define DOUBLES "both add in double; the order differs"

/* In bf16 a number written as an activation, or packed as a weight, is off by at most 2^-8 and by
 * 1.6e-3 on the average of squares. Inputs are rounded before both sides see them; sums are float32.
 *   BF16_ONE    one rounding, of the result          BF16_TWO   that, and of weights or of g before dy
 *   BF16_STEM   three: the stem rounds the image too */
#define BF16_ONE  4e-3
#define BF16_TWO  6e-3
#define BF16_STEM 8e-3

/* clang-format off */
const struct op_kind op_kinds[] = {
    { "conv_forward", GROUP_CONV, conv_forward_ios, conv_forward_call, { { 0 } }, 1e-5, SUMS, BF16_STEM, true },
    { "conv_backward_data", GROUP_CONV, conv_backward_data_ios, conv_backward_data_call, { { 0 } }, 1e-5, SUMS, BF16_TWO, true },
    { "conv_backward_weights", GROUP_CONV, conv_backward_weights_ios, conv_backward_weights_call, { { 0 } }, 1e-5, SUMS, BF16_ONE, true },
    { "bn_unfold", GROUP_CONV, bn_unfold_ios, bn_unfold_call, { { 0 } }, 1e-5, SUMS },
    { "bn_forward", GROUP_ACTIVATION, bn_forward_ios, bn_forward_call, { { 4, 0 } }, 1e-5, SUMS, BF16_ONE },
    { "bn_backward", GROUP_ACTIVATION, bn_backward_ios, bn_backward_call, { { 6, 0 }, { 7, 1 } }, 1e-5, SUMS, BF16_TWO },
    { "bn_fold", GROUP_ACTIVATION, bn_fold_ios, bn_fold_call, { { 0 } }, 1e-6, ROUNDED },
    { "affine_forward", GROUP_ACTIVATION, affine_forward_ios, affine_forward_call, { { 3, 0 } }, 1e-6, ROUNDED, BF16_ONE },
    { "affine_backward", GROUP_ACTIVATION, affine_backward_ios, affine_backward_call, { { 7, 0 } }, 1e-5, SUMS, BF16_ONE },
    { "relu_backward", GROUP_ACTIVATION, relu_backward_ios, relu_backward_call, { { 3, 0 } }, 1e-6, ROUNDED, BF16_ONE },
    { "channel_sum", GROUP_ACTIVATION, channel_sum_ios, channel_sum_call, { { 0 } }, 1e-6, SUMS },
    { "pool_forward", GROUP_POOL, pool_forward_ios, pool_forward_call, { { 0 } }, 1e-6, ROUNDED },
    { "pool_backward", GROUP_POOL, pool_backward_ios, pool_backward_call, { { 0 } }, 1e-6, ROUNDED, BF16_ONE },
    { "linear_forward", GROUP_LINEAR, linear_forward_ios, linear_forward_call, { { 0 } }, 1e-5, SUMS, 0, true },
    { "linear_backward_data", GROUP_LINEAR, linear_backward_data_ios, linear_backward_data_call, { { 0 } }, 1e-5, SUMS, 0, true },
    { "linear_backward_weights", GROUP_LINEAR, linear_backward_weights_ios, linear_backward_weights_call, { { 0 } }, 1e-5, SUMS, 0, true },
    { "cross_entropy", GROUP_LINEAR, cross_entropy_ios, cross_entropy_call, { { 0 } }, 1e-6, ROUNDED },
    { "kl_loss", GROUP_LOSS, loss_ios, kl_loss_call, { { 0 } }, 1e-6, ROUNDED },
    { "mart_loss", GROUP_LOSS, mart_loss_ios, mart_loss_call, { { 0 } }, 1e-6, ROUNDED },
    { "lse_loss", GROUP_LOSS, loss_ios, lse_loss_call, { { 0 } }, 1e-6, ROUNDED },
    { "load_batch", GROUP_IMAGE, load_batch_ios, load_batch_call, { { 0 } }, 0, PIXELS },
    { "normalize", GROUP_IMAGE, normalize_ios, normalize_call, { { 0 } }, 1e-6, ROUNDED },
    { "normalize_backward", GROUP_IMAGE, normalize_ios, normalize_backward_call, { { 1, 0 } }, 1e-6, ROUNDED },
    { "pgd_start", GROUP_IMAGE, normalize_ios, pgd_start_call, { { 0 } }, 0, PIXELS },
    { "normal_start", GROUP_IMAGE, normalize_ios, normal_start_call, { { 0 } }, 0, PIXELS },
    { "pgd_step", GROUP_IMAGE, pgd_step_ios, pgd_step_call, { { 0 } }, 0, PIXELS },
    { "sgd_step", GROUP_VECTOR, sgd_step_ios, sgd_step_call, { { 0 } }, 1e-6, ROUNDED },
    { "axpy", GROUP_VECTOR, axpy_ios, axpy_call, { { 0 } }, 1e-6, ROUNDED },
    { "interpolate", GROUP_VECTOR, interpolate_ios, interpolate_call, { { 0 } }, 1e-6, ROUNDED },
    { "project", GROUP_VECTOR, axpy_ios, project_call, { { 0 } }, 1e-6, ROUNDED },
    { "norm", GROUP_VECTOR, norm_ios, norm_call, { { 0 } }, 1e-12, DOUBLES },
    { 0 },
};
/* clang-format on */
