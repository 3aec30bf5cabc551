/* Which architectures are there, and what are they made of?
 *
 * Networks for small images, as the published PyTorch models have them: a 3x3
 * stem without max-pool, stages of two-convolution blocks, average pooling by
 * a fixed window (not global: 64 px leave a 2x2 map) and one linear layer.
 *
 *   ResNet (He et al. 2015): activation after the addition
 *     x --+-- conv1 - bn1 - relu --------------------- conv2 - bn2 --+-- relu
 *         |                        [conv1x1 - bn] ->                 |
 *         +----------------------------------------------------------+
 *
 *   pre-activation (He et al. 2016; Zagoruyko and Komodakis 2016)
 *     x --+-- bn1 - relu --+-- conv1 - bn2 - relu --------------- conv2 --+--
 *         |                +------------------------- [conv1x1] -->       |
 *         +---------------------------------------------------------------+
 *     A block that changes the number of channels or the size adds the 1x1
 *     convolution of the ACTIVATED x instead of x. One more bn - relu follows
 *     the last block.
 *
 * `width` is the number of channels of a resnet's first stage; 64 is the paper's.
 *
 * Surprising: the published wide ResNet holds a second block1, `sub_block1`,
 * that is never used; it is here so that files move either way. */
#include "gpu/nn/builder.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { RESNET_WINDOW = 4, WIDE_WINDOW = 8, WIDE_STEM = 16, WIDE_GROUPS = 3 };
enum { WIDTH_MAX = 4096, WIDEN_MAX = 64, DEPTH_MAX = 1000 };

/* ---- blocks ------------------------------------------------------------------- */

/* One block; returns its output. */
static int basic_block(struct builder *b, int x, const char *at, int in_c, int out_c, int stride)
{
    bool projected = stride != 1 || in_c != out_c;
    struct layer conv1 = builder_conv_layer(b, in_c, out_c, 3, "%s.conv1", at);
    struct layer bn1 = builder_bn_layer(b, out_c, "%s.bn1", at);
    struct layer conv2 = builder_conv_layer(b, out_c, out_c, 3, "%s.conv2", at);
    struct layer bn2 = builder_bn_layer(b, out_c, "%s.bn2", at);
    int shortcut = x;

    int a = builder_relu(b, builder_bn(b, builder_conv(b, x, conv1, stride, 1), bn1)); /* [N,out_c,H/s,W/s] */
    if (projected) {
        struct layer conv = builder_conv_layer(b, in_c, out_c, 1, "%s.shortcut.0", at);
        struct layer bn = builder_bn_layer(b, out_c, "%s.shortcut.1", at);

        shortcut = builder_bn(b, builder_conv(b, x, conv, stride, 0), bn);
    }
    int sum = builder_add(b, builder_bn(b, builder_conv(b, a, conv2, 1, 1), bn2), shortcut);
    return builder_relu(b, sum);
}

struct preact_layers {
    struct layer bn1, conv1, bn2, conv2, shortcut;
    bool projected;
};

static struct preact_layers preact_declare(struct builder *b, const char *at, const char *shortcut, int in_c, int out_c,
                                           int stride)
{
    struct preact_layers l = { .projected = stride != 1 || in_c != out_c };

    l.bn1 = builder_bn_layer(b, in_c, "%s.bn1", at);
    l.conv1 = builder_conv_layer(b, in_c, out_c, 3, "%s.conv1", at);
    l.bn2 = builder_bn_layer(b, out_c, "%s.bn2", at);
    l.conv2 = builder_conv_layer(b, out_c, out_c, 3, "%s.conv2", at);
    if (l.projected)
        l.shortcut = builder_conv_layer(b, in_c, out_c, 1, "%s.%s", at, shortcut);
    return l;
}

static int preact_block(struct builder *b, int x, const struct preact_layers *l, int stride)
{
    int activated = builder_relu(b, builder_bn(b, x, l->bn1));                                  /* [N,in_c,H,W] */
    int a = builder_relu(b, builder_bn(b, builder_conv(b, activated, l->conv1, stride, 1), l->bn2)); /* [N,out_c,H/s,W/s] */
    int shortcut = l->projected ? builder_conv(b, activated, l->shortcut, stride, 0) : x;

    return builder_add(b, builder_conv(b, a, l->conv2, 1, 1), shortcut);
}

/* Pooling by a window and the linear layer on [channels, side, side]. */
static void head(struct builder *b, int x, int channels, int side, int window, int classes, const char *name)
{
    int windows = side / window;
    struct layer linear = builder_linear_layer(b, channels * windows * windows, classes, "%s", name);

    builder_linear(b, builder_pool(b, x, window), linear);
}

/* ---- resnets ------------------------------------------------------------------- */

static int resnet_check(const struct model_spec *spec, struct fault *why)
{
    if (spec->width < 1 || spec->width > WIDTH_MAX)
        return fault_set(why, -EINVAL, "model.width: %d is not in 1..%d", spec->width, WIDTH_MAX);
    return 0;
}

static int resnet_block(struct builder *b, int x, const char *at, int in_c, int out_c, int stride,
                        const struct architecture *self)
{
    if (!self->preactivation)
        return basic_block(b, x, at, in_c, out_c, stride);
    struct preact_layers layers = preact_declare(b, at, "shortcut.0", in_c, out_c, stride);
    return preact_block(b, x, &layers, stride);
}

static void resnet_build(struct builder *b, const struct model_spec *spec, const struct architecture *self)
{
    struct layer stem = builder_conv_layer(b, spec->input[0], spec->width, 3, "conv1");
    int x = builder_conv(b, 0, stem, 1, 1); /* [N,width,H,W] */
    int channels = spec->width, side = spec->input[1];

    if (!self->preactivation)
        x = builder_relu(b, builder_bn(b, x, builder_bn_layer(b, channels, "bn1")));
    for (int stage = 1; stage <= 4; stage++) {
        int out_c = spec->width << (stage - 1);

        for (int block = 0; block < self->stages[stage - 1]; block++) {
            int stride = stage > 1 && block == 0 ? 2 : 1;
            char at[32];

            snprintf(at, sizeof(at), "layer%d.%d", stage, block);
            x = resnet_block(b, x, at, channels, out_c, stride, self);
            channels = out_c;
            side /= stride;
        }
    }
    if (self->preactivation)
        x = builder_relu(b, builder_bn(b, x, builder_bn_layer(b, channels, "bn")));
    head(b, x, channels, side, RESNET_WINDOW, spec->num_classes, "linear");
}

/* ---- wide resnets ----------------------------------------------------------------- */

static int wide_check(const struct model_spec *spec, struct fault *why)
{
    if (spec->depth < 10 || spec->depth > DEPTH_MAX || (spec->depth - 4) % 6 != 0)
        return fault_set(why, -EINVAL, "model.depth: %d is not of the form 6n + 4 in 10..%d", spec->depth, DEPTH_MAX);
    if (spec->widen_factor < 1 || spec->widen_factor > WIDEN_MAX)
        return fault_set(why, -EINVAL, "model.widen_factor: %d is not in 1..%d", spec->widen_factor, WIDEN_MAX);
    return 0;
}

static struct preact_layers wide_declare(struct builder *b, const char *group, int block, int in_c, int out_c,
                                         int stride)
{
    char at[32];

    snprintf(at, sizeof(at), "%s.layer.%d", group, block);
    return preact_declare(b, at, "convShortcut", in_c, out_c, stride);
}

static void wide_build(struct builder *b, const struct model_spec *spec, const struct architecture *self)
{
    static const char *const groups[WIDE_GROUPS] = { "block1", "block2", "block3" };
    int blocks = (spec->depth - 4) / 6, channels = WIDE_STEM, side = spec->input[1];
    int x = builder_conv(b, 0, builder_conv_layer(b, spec->input[0], channels, 3, "conv1"), 1, 1); /* [N,16,H,W] */

    (void)self;
    for (int group = 0; group < WIDE_GROUPS; group++) {
        int first = channels, out_c = WIDE_STEM * spec->widen_factor << group;

        for (int block = 0; block < blocks; block++) {
            int stride = group > 0 && block == 0 ? 2 : 1;
            struct preact_layers layers = wide_declare(b, groups[group], block, channels, out_c, stride);

            x = preact_block(b, x, &layers, stride);
            channels = out_c;
            side /= stride;
        }
        b->dead = true;
        for (int block = 0; group == 0 && block < blocks; block++)
            wide_declare(b, "sub_block1", block, block ? out_c : first, out_c, 1);
        b->dead = false;
    }
    x = builder_relu(b, builder_bn(b, x, builder_bn_layer(b, channels, "bn1")));
    head(b, x, channels, side, WIDE_WINDOW, spec->num_classes, "fc");
}

/* ---- the table ---------------------------------------------------------------------- */

static const struct architecture architectures[] = {
    { "resnet18", resnet_build, resnet_check, INIT_UNIFORM, { 2, 2, 2, 2 }, false },
    { "resnet34", resnet_build, resnet_check, INIT_UNIFORM, { 3, 4, 6, 3 }, false },
    { "preactresnet18", resnet_build, resnet_check, INIT_UNIFORM, { 2, 2, 2, 2 }, true },
    { "wideresnet", wide_build, wide_check, INIT_FAN_OUT, { 0 }, true },
};
enum { ARCHITECTURE_COUNT = sizeof(architectures) / sizeof(architectures[0]) };

const struct architecture *architecture_find(const char *name)
{
    for (int i = 0; i < ARCHITECTURE_COUNT; i++)
        if (strcmp(architectures[i].name, name) == 0)
            return &architectures[i];
    return NULL;
}

void architecture_names(char *ret, size_t size)
{
    size_t used = 0;

    ret[0] = 0;
    for (int i = 0; i < ARCHITECTURE_COUNT && used < size; i++)
        used += (size_t)snprintf(ret + used, size - used, "%s%s", i ? ", " : "", architectures[i].name);
}
