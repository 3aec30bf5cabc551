/* What is a model? The tables of model.h, built from a spec.
 *
 * The idea: architectures.c declares layers and operations through builder.h;
 * here they become rows, and at the end the flat vector is laid out.
 *
 * Surprising: tensors stand in state-dict order (batch norm's running values
 * right after its weights), but their offsets don't follow it: all parameters
 * come first, then all buffers, so that one SGD call covers exactly the
 * parameters and one interpolation covers everything; dead tensors come last. */
#include "gpu/nn/builder.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLASSES_MAX = 1 << 20 };

/* ---- tables that grow ------------------------------------------------------ */

/* Room for one more row of `row` bytes in *table, zeroed; its number, or -1. */
static int row_add(struct builder *b, void **table, int *count, int *room, size_t row)
{
    if (b->failed)
        return -1;
    if (*count == *room) {
        int bigger = *room ? *room * 2 : 64;
        void *moved = realloc(*table, (size_t)bigger * row);

        if (!moved) {
            b->failed = true;
            return -1;
        }
        *table = moved;
        *room = bigger;
    }
    memset((char *)*table + (size_t)*count * row, 0, row);
    return (*count)++;
}

static int tensor_add(struct builder *b, const char *layer, const char *suffix, enum tensor_role role, int rank,
                      const int shape[4])
{
    struct model *m = b->model;
    void *table = m->tensors;
    int t = row_add(b, &table, &m->tensor_count, &b->tensor_room, sizeof(*m->tensors));

    m->tensors = table;
    if (t < 0)
        return -1;
    struct tensor_info *info = &m->tensors[t];
    int length = snprintf(info->name, sizeof(info->name), "%s.%s", layer, suffix);
    assert(length > 0 && (size_t)length < sizeof(info->name));
    info->role = role;
    info->dead = b->dead;
    info->parameter = !b->dead && role != TENSOR_BN_MEAN && role != TENSOR_BN_VAR;
    info->rank = rank;
    info->count = 1;
    for (int i = 0; i < rank; i++) {
        info->shape[i] = shape[i];
        info->count *= shape[i];
    }
    return t;
}

static int module_add(struct builder *b, const char *name, int weight)
{
    struct model *m = b->model;
    void *table = m->modules;

    if (b->dead)
        return -1; /* nothing to perturb */
    int i = row_add(b, &table, &m->module_count, &b->module_room, sizeof(*m->modules));

    m->modules = table;
    if (i < 0)
        return -1;
    snprintf(m->modules[i].name, sizeof(m->modules[i].name), "%s", name);
    m->modules[i].weight = weight;
    m->modules[i].op = -1; /* until the layer is used */
    return i;
}

static int value_add(struct builder *b, struct shape shape)
{
    struct model *m = b->model;
    void *table = m->values;
    int v = row_add(b, &table, &m->value_count, &b->value_room, sizeof(*m->values));

    m->values = table;
    if (v < 0)
        return -1;
    m->values[v] = shape;
    return v;
}

/* ---- layers ------------------------------------------------------------------ */

/* The printf'd name of a layer, which always fits. */
#define LAYER_NAME(name, format)                                                                                       \
    char name[48];                                                                                                     \
    do {                                                                                                               \
        va_list list_;                                                                                                 \
        va_start(list_, format);                                                                                       \
        int length_ = vsnprintf(name, sizeof(name), format, list_);                                                    \
        va_end(list_);                                                                                                 \
        assert(length_ > 0 && (size_t)length_ < sizeof(name));                                                         \
    } while (0)

struct layer builder_conv_layer(struct builder *b, int in_c, int out_c, int kernel, const char *format, ...)
{
    LAYER_NAME(name, format);
    int w = tensor_add(b, name, "weight", TENSOR_WEIGHT, 4, (int[4]){ out_c, in_c, kernel, kernel });

    return (struct layer){ { w, -1, -1, -1 }, module_add(b, name, w), kernel };
}

struct layer builder_bn_layer(struct builder *b, int channels, const char *format, ...)
{
    LAYER_NAME(name, format);
    static const struct {
        const char *suffix;
        enum tensor_role role;
    } rows[4] = { { "weight", TENSOR_BN_GAMMA },
                  { "bias", TENSOR_BN_BETA },
                  { "running_mean", TENSOR_BN_MEAN },
                  { "running_var", TENSOR_BN_VAR } };
    struct layer layer = { .module = -1 };

    for (int i = 0; i < 4; i++)
        layer.tensor[i] = tensor_add(b, name, rows[i].suffix, rows[i].role, 1, (int[4]){ channels });
    return layer;
}

struct layer builder_linear_layer(struct builder *b, int in_count, int out_count, const char *format, ...)
{
    LAYER_NAME(name, format);
    int w = tensor_add(b, name, "weight", TENSOR_WEIGHT, 2, (int[4]){ out_count, in_count });
    int bias = tensor_add(b, name, "bias", TENSOR_BIAS, 1, (int[4]){ out_count });

    return (struct layer){ { w, bias, -1, -1 }, module_add(b, name, w), 0 };
}

/* ---- operations ---------------------------------------------------------------- */

/* Add an op that makes a value of that shape; returns the value. */
static int op_add(struct builder *b, struct op op, int module, struct shape out)
{
    struct model *m = b->model;
    void *table = m->ops;
    int i = row_add(b, &table, &m->op_count, &b->op_room, sizeof(*m->ops));

    m->ops = table;
    op.out = value_add(b, out);
    if (b->failed)
        return 0; /* value 0 exists, so that whoever builds can go on */
    m->ops[i] = op;
    if (module >= 0)
        m->modules[module].op = i;
    return op.out;
}

static const struct tensor_info *layer_tensor(const struct builder *b, struct layer layer, int i)
{
    return &b->model->tensors[layer.tensor[i]];
}

int builder_conv(struct builder *b, int value, struct layer layer, int stride, int pad)
{
    if (b->failed)
        return 0;
    int out_c = layer_tensor(b, layer, 0)->shape[0];
    struct conv_geometry g = { b->model->values[value], out_c, layer.kernel, stride, pad };
    struct op op = { .type = OP_CONV,
                     .in = { value, -1 },
                     .tensor = { layer.tensor[0], -1, -1, -1 },
                     .kernel = layer.kernel,
                     .stride = stride,
                     .pad = pad };

    assert(g.in.c == layer_tensor(b, layer, 0)->shape[1]);
    return op_add(b, op, layer.module, conv_out(&g));
}

int builder_bn(struct builder *b, int value, struct layer layer)
{
    if (b->failed)
        return 0;
    struct op op = { .type = OP_BN, .in = { value, -1 } };

    assert(b->model->values[value].c == layer_tensor(b, layer, 0)->shape[0]);
    memcpy(op.tensor, layer.tensor, sizeof(op.tensor));
    return op_add(b, op, -1, b->model->values[value]);
}

int builder_relu(struct builder *b, int value)
{
    if (b->failed)
        return 0;
    struct op op = { .type = OP_RELU, .in = { value, -1 }, .tensor = { -1, -1, -1, -1 } };

    return op_add(b, op, -1, b->model->values[value]);
}

int builder_add(struct builder *b, int left, int right)
{
    if (b->failed)
        return 0;
    struct op op = { .type = OP_ADD, .in = { left, right }, .tensor = { -1, -1, -1, -1 } };

    assert(shape_count(b->model->values[left]) == shape_count(b->model->values[right]));
    return op_add(b, op, -1, b->model->values[left]);
}

int builder_pool(struct builder *b, int value, int window)
{
    if (b->failed)
        return 0;
    struct shape s = b->model->values[value];
    struct op op = { .type = OP_POOL, .in = { value, -1 }, .tensor = { -1, -1, -1, -1 }, .kernel = window };

    return op_add(b, op, -1, (struct shape){ 1, s.c, s.h / window, s.w / window });
}

int builder_linear(struct builder *b, int value, struct layer layer)
{
    if (b->failed)
        return 0;
    const struct tensor_info *w = layer_tensor(b, layer, 0);
    struct op op = { .type = OP_LINEAR, .in = { value, -1 } };

    assert(shape_count(b->model->values[value]) == w->shape[1]);
    memcpy(op.tensor, layer.tensor, sizeof(op.tensor));
    return op_add(b, op, layer.module, (struct shape){ 1, w->shape[0], 1, 1 });
}

/* ---- opening ------------------------------------------------------------------- */

static int spec_check(const struct model_spec *spec, struct fault *why)
{
    if (!architecture_find(spec->arch)) {
        char names[128];

        architecture_names(names, sizeof(names));
        return fault_set(why, -EINVAL, "model.arch: \"%s\" is unknown; there are %s", spec->arch, names);
    }
    if (spec->input[0] != 1 && spec->input[0] != 3)
        return fault_set(why, -EINVAL, "model.input: %d channels; %s takes 1 or 3", spec->input[0], spec->arch);
    if (spec->input[1] != spec->input[2] || (spec->input[1] != 32 && spec->input[1] != 64))
        return fault_set(why, -EINVAL, "model.input: images of %dx%d; %s takes 32x32 or 64x64", spec->input[1],
                         spec->input[2], spec->arch);
    if (spec->num_classes < 1 || spec->num_classes > CLASSES_MAX)
        return fault_set(why, -EINVAL, "model.num_classes: %d is not in 1..%d", spec->num_classes, CLASSES_MAX);
    for (int c = 0; c < spec->input[0]; c++)
        if (!isfinite(spec->mean[c]) || !isfinite(spec->std[c]) || spec->std[c] <= 0)
            return fault_set(why, -EINVAL, "model.normalize: channel %d has mean %g and std %g; std must be above 0", c,
                             spec->mean[c], spec->std[c]);
    return architecture_find(spec->arch)->check(spec, why);
}

/* Parameters first, then buffers, then what is dead, each in state-dict order. */
static void offsets_assign(struct model *m)
{
    enum { PARAMETERS, BUFFERS, DEAD, SECTIONS };
    int64_t offset = 0;

    for (int section = PARAMETERS; section < SECTIONS; section++) {
        for (int t = 0; t < m->tensor_count; t++) {
            struct tensor_info *info = &m->tensors[t];

            if (section != (info->dead ? DEAD : info->parameter ? PARAMETERS : BUFFERS))
                continue;
            info->offset = offset;
            offset += info->count;
        }
        if (section == PARAMETERS)
            m->parameter_count = offset;
    }
    m->total_count = offset;
}

int model_open(const struct model_spec *spec, struct model **ret, struct fault *why)
{
    int r = spec_check(spec, why);
    if (r < 0)
        return r;

    const struct architecture *architecture = architecture_find(spec->arch);
    model_auto *m = calloc(1, sizeof(*m));
    if (!m)
        return fault_set(why, -ENOMEM, "no memory for a model description");
    m->arch = architecture->name;
    m->initialisation = architecture->initialisation;
    m->num_classes = spec->num_classes;
    memcpy(m->input, spec->input, sizeof(m->input));
    memcpy(m->mean, spec->mean, sizeof(m->mean));
    memcpy(m->std, spec->std, sizeof(m->std));

    struct builder b = { .model = m };
    value_add(&b, (struct shape){ 1, spec->input[0], spec->input[1], spec->input[2] });
    architecture->build(&b, spec, architecture);
    if (b.failed)
        return fault_set(why, -ENOMEM, "no memory for a model description");
    offsets_assign(m);
    *ret = m;
    m = NULL;
    return 0;
}

void model_close(struct model *model)
{
    if (!model)
        return;
    free(model->ops);
    free(model->values);
    free(model->tensors);
    free(model->modules);
    free(model);
}

/* ---- questions ------------------------------------------------------------------ */

int model_module(const struct model *model, const char *name)
{
    for (int i = 0; i < model->module_count; i++)
        if (strcmp(model->modules[i].name, name) == 0)
            return i;
    return -ENOENT;
}

int model_tensor(const struct model *model, const char *name)
{
    for (int i = 0; i < model->tensor_count; i++)
        if (strcmp(model->tensors[i].name, name) == 0)
            return i;
    return -ENOENT;
}

/* Is `value` made before op `at`? */
static bool value_made_before(const struct model *model, int value, int at)
{
    for (int i = 0; i < at; i++)
        if (model->ops[i].out == value)
            return true;
    return value == 0;
}

int model_frontier(const struct model *model, int at, int ret_values[4])
{
    int count = 0;

    for (int i = at; i < model->op_count; i++) {
        for (int side = 0; side < 2; side++) {
            int value = model->ops[i].in[side];
            bool known = value < 0 || !value_made_before(model, value, at);

            for (int k = 0; k < count; k++)
                known = known || ret_values[k] == value;
            if (known)
                continue;
            assert(count < 4);
            ret_values[count++] = value;
        }
    }
    return count;
}
