/* How is a model description put together?
 *
 * Private to gpu/nn: architectures.c says which layers and operations, model.c
 * keeps the tables. Layers (tensors and modules) are declared in state-dict
 * order; operations are added in an order that can be run. The two differ: a
 * block's shortcut is declared last, as PyTorch has it, but runs before the
 * second convolution, so that its result is ready to be added there.
 *
 * While `dead` is set, layers are declared whose tensors are part of the state
 * dict and that no operation ever uses.
 *
 * Running out of memory sets `failed` once and makes every later call
 * harmless; whoever builds looks once, at the end. */
#ifndef RIFT_GPU_NN_BUILDER_H
#define RIFT_GPU_NN_BUILDER_H

#include "gpu/nn/model.h"

struct builder {
    struct model *model;
    int op_room, value_room, tensor_room, module_room;
    bool failed;
    bool dead; /* layers that are declared now have no operation */
};

/* What an operation needs to know of a declared layer. */
struct layer {
    int tensor[4]; /* as in struct op; -1: none */
    int module;    /* -1: none */
    int kernel;
};

/* Declare a layer; the name is printf's. */
struct layer builder_conv_layer(struct builder *b, int in_c, int out_c, int kernel, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
struct layer builder_bn_layer(struct builder *b, int channels, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
struct layer builder_linear_layer(struct builder *b, int in_count, int out_count, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Add an operation on values; each returns the value it makes. */
int builder_conv(struct builder *b, int value, struct layer layer, int stride, int pad);
int builder_bn(struct builder *b, int value, struct layer layer);
int builder_relu(struct builder *b, int value);
int builder_add(struct builder *b, int left, int right);
int builder_pool(struct builder *b, int value, int window);
int builder_linear(struct builder *b, int value, struct layer layer);

/* One row of the table of architectures. */
struct architecture {
    const char *name;
    void (*build)(struct builder *b, const struct model_spec *spec, const struct architecture *self);
    /* Can it be built? Fields of the spec that only some architectures read are looked at here. */
    int (*check)(const struct model_spec *spec, struct fault *why);
    enum initialisation initialisation;
    int stages[4];      /* blocks in each; 0: the spec says */
    bool preactivation; /* batch norm and ReLU before each convolution */
};

/* NULL when there is none of that name. */
const struct architecture *architecture_find(const char *name);
/* "resnet18, resnet34", for messages. */
void architecture_names(char *ret, size_t size);

#endif
