/* Which architectures are there, and what are they made of?
 *
 * ResNet18/34 for small images, as the published PyTorch models have them:
 * a 3x3 stem without max-pool, four stages of two-convolution blocks, 4x4
 * average pooling (not global: 64 px leave a 2x2 map) and one linear layer.
 *
 *     x --+-- conv1 - bn1 - relu --------------------- conv2 - bn2 --+-- relu
 *         |                        [conv1x1 - bn] ->                 |
 *         +----------------------------------------------------------+
 *
 * `width` is the number of channels of the first stage; 64 is the paper's. */
#include "gpu/nn/builder.h"

#include <stdio.h>
#include <string.h>

enum { RESNET_WINDOW = 4 };

/* One block; returns its output. */
static int basic_block(struct builder *b, int x, int stage, int block, int in_c, int out_c, int stride)
{
    bool projected = stride != 1 || in_c != out_c;
    struct layer conv1 = builder_conv_layer(b, in_c, out_c, 3, "layer%d.%d.conv1", stage, block);
    struct layer bn1 = builder_bn_layer(b, out_c, "layer%d.%d.bn1", stage, block);
    struct layer conv2 = builder_conv_layer(b, out_c, out_c, 3, "layer%d.%d.conv2", stage, block);
    struct layer bn2 = builder_bn_layer(b, out_c, "layer%d.%d.bn2", stage, block);
    int shortcut = x;

    int a = builder_relu(b, builder_bn(b, builder_conv(b, x, conv1, stride, 1), bn1)); /* [N,out_c,H/s,W/s] */
    if (projected) {
        struct layer conv = builder_conv_layer(b, in_c, out_c, 1, "layer%d.%d.shortcut.0", stage, block);
        struct layer bn = builder_bn_layer(b, out_c, "layer%d.%d.shortcut.1", stage, block);

        shortcut = builder_bn(b, builder_conv(b, x, conv, stride, 0), bn);
    }
    int sum = builder_add(b, builder_bn(b, builder_conv(b, a, conv2, 1, 1), bn2), shortcut);
    return builder_relu(b, sum);
}

static void resnet_build(struct builder *b, const struct model_spec *spec, const struct architecture *self)
{
    struct layer stem = builder_conv_layer(b, spec->input[0], spec->width, 3, "conv1");
    struct layer stem_bn = builder_bn_layer(b, spec->width, "bn1");
    int x = builder_relu(b, builder_bn(b, builder_conv(b, 0, stem, 1, 1), stem_bn)); /* [N,width,H,W] */
    int channels = spec->width, side = spec->input[1];

    for (int stage = 1; stage <= 4; stage++) {
        int out_c = spec->width << (stage - 1);

        for (int block = 0; block < self->stages[stage - 1]; block++) {
            int stride = stage > 1 && block == 0 ? 2 : 1;

            x = basic_block(b, x, stage, block, channels, out_c, stride);
            channels = out_c;
            side /= stride;
        }
    }
    int windows = side / RESNET_WINDOW;
    struct layer linear = builder_linear_layer(b, channels * windows * windows, spec->num_classes, "linear");
    builder_linear(b, builder_pool(b, x, RESNET_WINDOW), linear);
}

static const struct architecture architectures[] = {
    { "resnet18", resnet_build, { 2, 2, 2, 2 } },
    { "resnet34", resnet_build, { 3, 4, 6, 3 } },
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
