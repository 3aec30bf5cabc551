/* Is the description the published model?
 *
 * Counts and names are those of the PyTorch models (METHODS, section 1); the
 * order of operations and the frontier are checked as properties, for every
 * operation of every model. */
#include "gpu/nn/model.h"
#include "tests/check.h"

#include <errno.h>

/* "wideresnet-34-10" gives depth and widening; `width` is the resnets'. */
static struct model_spec spec_of(const char *arch, int width, int classes, int channels, int side)
{
    struct model_spec spec = { .arch = arch,
                               .width = width,
                               .num_classes = classes,
                               .input = { channels, side, side },
                               .mean = { 0 },
                               .std = { 1, 1, 1, 1 } };

    if (sscanf(arch, "wideresnet-%d-%d", &spec.depth, &spec.widen_factor) == 2)
        spec.arch = "wideresnet";
    return spec;
}

static struct model *open_model(const char *arch, int width, int classes, int channels, int side)
{
    struct model_spec spec = spec_of(arch, width, classes, channels, side);
    struct model *model = NULL;
    struct fault why = { 0 };

    if (model_open(&spec, &model, &why) < 0) {
        fprintf(stderr, "%s\n", why.message);
        exit(1);
    }
    return model;
}

static void test_counts(void)
{
    static const struct {
        const char *arch;
        int classes, side, modules;
        int64_t parameters, weights, bn_channels, dead; /* dead: parameters that are never used */
    } rows[] = {
        { "resnet18", 10, 32, 21, 11173962, 11164352, 4800, 0 },
        { "resnet18", 100, 32, 21, 11220132, 11210432, 4800, 0 },
        { "resnet18", 200, 64, 21, 11578632, 11568832, 4800, 0 },
        { "resnet34", 10, 32, 37, 21282122, 21265088, 8512, 0 },
        { "resnet34", 100, 32, 37, 21328292, 21311168, 8512, 0 },
        { "resnet34", 200, 64, 37, 21686792, 21669568, 8512, 0 },
        { "wideresnet-34-10", 10, 32, 35, 46160474, 46138032, 11216, 2102112 },
        { "wideresnet-34-10", 100, 32, 35, 46218164, 46195632, 11216, 2102112 },
        { "wideresnet-34-10", 200, 64, 35, 46666264, 46643632, 11216, 2102112 },
        /* of the relatives only these numbers are published */
        { "wideresnet-28-10", 10, 32, 29, 36479194, 0, 0, 1640672 },
        { "wideresnet-34-5", 10, 32, 35, 11554074, 0, 0, 532672 },
        { "wideresnet-22-2", 10, 32, 23, 1079642, 0, 0, 51552 },
        /* the weights of ResNet18; batch norms of 3,392 channels in the blocks and 512 after them */
        { "preactresnet18", 10, 32, 21, 11172170, 11164352, 3904, 0 },
        { "preactresnet18", 200, 64, 21, 11576840, 11568832, 3904, 0 },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        model_auto *m = open_model(rows[i].arch, 64, rows[i].classes, 3, rows[i].side);
        int64_t weights = 0, buffers = 0, dead = 0;

        for (int k = 0; k < m->module_count; k++)
            weights += m->tensors[m->modules[k].weight].count;
        for (int t = 0; t < m->tensor_count; t++) {
            const struct tensor_info *info = &m->tensors[t];
            bool statistic = info->role == TENSOR_BN_MEAN || info->role == TENSOR_BN_VAR;

            buffers += statistic && !info->dead ? info->count : 0;
            dead += info->dead && !statistic ? info->count : 0;
        }
        CHECK_INT(m->module_count, rows[i].modules);
        CHECK_INT(m->parameter_count, rows[i].parameters);
        CHECK_INT(dead, rows[i].dead);
        if (!rows[i].weights)
            continue;
        CHECK_INT(weights, rows[i].weights);
        CHECK_INT(buffers, 2 * rows[i].bn_channels);
    }
}

/* Multiply-adds of one image, as the published table has them. */
static void test_work(void)
{
    static const struct {
        const char *arch;
        int classes, side;
        int64_t work;
    } rows[] = { { "resnet18", 10, 32, 555422720 },
                 { "resnet18", 200, 64, 2222080000 },
                 { "resnet34", 100, 32, 1159448576 },
                 { "resnet34", 200, 64, 4637999104 },
                 { "wideresnet-34-10", 10, 32, 6658906368 },
                 { "wideresnet-34-10", 100, 32, 6658963968 },
                 { "wideresnet-34-10", 200, 64, 26636111872 },
                 { "resnet34", 10, 32, 1159402496 },
                 { "resnet18", 100, 32, 555468800 } };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        model_auto *m = open_model(rows[i].arch, 64, rows[i].classes, 3, rows[i].side);
        int64_t work = 0;

        for (int k = 0; k < m->op_count; k++) {
            const struct op *op = &m->ops[k];
            struct shape out = m->values[op->out];

            if (op->type == OP_CONV || op->type == OP_LINEAR)
                work += m->tensors[op->tensor[0]].count * out.h * out.w;
        }
        CHECK_INT(work, rows[i].work);
    }
}

static void test_names(void)
{
    static const char *const modules[] = {
        "conv1",          "layer1.0.conv1", "layer1.0.conv2",      "layer1.1.conv1", "layer1.1.conv2",
        "layer2.0.conv1", "layer2.0.conv2", "layer2.0.shortcut.0", "layer2.1.conv1", "layer2.1.conv2",
        "layer3.0.conv1", "layer3.0.conv2", "layer3.0.shortcut.0", "layer3.1.conv1", "layer3.1.conv2",
        "layer4.0.conv1", "layer4.0.conv2", "layer4.0.shortcut.0", "layer4.1.conv1", "layer4.1.conv2",
        "linear"
    };
    static const char *const first[] = { "conv1.weight",       "bn1.weight",      "bn1.bias",
                                         "bn1.running_mean",   "bn1.running_var", "layer1.0.conv1.weight",
                                         "layer1.0.bn1.weight" };
    static const char *const block[] = { "layer2.0.conv1.weight",
                                         "layer2.0.bn1.weight",
                                         "layer2.0.bn1.bias",
                                         "layer2.0.bn1.running_mean",
                                         "layer2.0.bn1.running_var",
                                         "layer2.0.conv2.weight",
                                         "layer2.0.bn2.weight",
                                         "layer2.0.bn2.bias",
                                         "layer2.0.bn2.running_mean",
                                         "layer2.0.bn2.running_var",
                                         "layer2.0.shortcut.0.weight",
                                         "layer2.0.shortcut.1.weight",
                                         "layer2.0.shortcut.1.bias",
                                         "layer2.0.shortcut.1.running_mean",
                                         "layer2.0.shortcut.1.running_var",
                                         "layer2.1.conv1.weight" };
    model_auto *m = open_model("resnet18", 8, 10, 3, 32);

    CHECK_INT(m->module_count, sizeof(modules) / sizeof(modules[0]));
    for (int i = 0; i < m->module_count; i++) {
        char weight[80];

        CHECK_STRING(m->modules[i].name, modules[i]);
        snprintf(weight, sizeof(weight), "%s.weight", modules[i]);
        CHECK_STRING(m->tensors[m->modules[i].weight].name, weight);
        CHECK_INT(model_module(m, modules[i]), i);
    }
    for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++)
        CHECK_STRING(m->tensors[i].name, first[i]);
    int at = model_tensor(m, block[0]);
    for (size_t i = 0; at >= 0 && i < sizeof(block) / sizeof(block[0]); i++)
        CHECK_STRING(m->tensors[at + (int)i].name, block[i]);
    CHECK_STRING(m->tensors[m->tensor_count - 2].name, "linear.weight");
    CHECK_STRING(m->tensors[m->tensor_count - 1].name, "linear.bias");
    CHECK_INT(model_module(m, "layer5.0.conv1"), -ENOENT);
    CHECK_INT(model_tensor(m, "conv1"), -ENOENT);
}

/* `count` names from `first` on are those of the tensors. */
static void tensors_are(const struct model *m, const char *const *names, size_t count)
{
    int at = model_tensor(m, names[0]);

    CHECK(at >= 0);
    for (size_t i = 0; at >= 0 && i < count && at + (int)i < m->tensor_count; i++)
        CHECK_STRING(m->tensors[at + (int)i].name, names[i]);
}
#define TENSORS_ARE(model, names) tensors_are(model, names, sizeof(names) / sizeof(names[0]))

/* METHODS 1.5: 35 modules, the weights' counts in the order they are walked. */
static void test_wide_names(void)
{
    static const char *const start[] = { "conv1.weight",
                                         "block1.layer.0.bn1.weight",
                                         "block1.layer.0.bn1.bias",
                                         "block1.layer.0.bn1.running_mean",
                                         "block1.layer.0.bn1.running_var",
                                         "block1.layer.0.conv1.weight",
                                         "block1.layer.0.bn2.weight",
                                         "block1.layer.0.bn2.bias",
                                         "block1.layer.0.bn2.running_mean",
                                         "block1.layer.0.bn2.running_var",
                                         "block1.layer.0.conv2.weight",
                                         "block1.layer.0.convShortcut.weight",
                                         "block1.layer.1.bn1.weight" };
    static const char *const dead[] = { "block1.layer.4.conv2.weight", "sub_block1.layer.0.bn1.weight" };
    static const char *const after[] = { "sub_block1.layer.4.conv2.weight", "block2.layer.0.bn1.weight" };
    static const char *const end[] = { "block3.layer.4.conv2.weight", "bn1.weight", "bn1.bias", "bn1.running_mean",
                                       "bn1.running_var",             "fc.weight",  "fc.bias" };
    static const int64_t first[3][3] = { { 23040, 230400, 2560 }, { 460800, 921600, 51200 }, { 1843200, 3686400, 204800 } };
    model_auto *m = open_model("wideresnet-34-10", 0, 10, 3, 32);
    int k = 0;

    TENSORS_ARE(m, start);
    TENSORS_ARE(m, dead);
    TENSORS_ARE(m, after);
    TENSORS_ARE(m, end);
    CHECK_STRING(m->modules[k++].name, "conv1");
    for (int group = 0; group < 3; group++)
        for (int block = 0; block < 5; block++)
            for (int layer = 0; layer < (block ? 2 : 3); layer++, k++) {
                static const char *const names[] = { "conv1", "conv2", "convShortcut" };
                char name[64];

                snprintf(name, sizeof(name), "block%d.layer.%d.%s", group + 1, block, names[layer]);
                CHECK_STRING(m->modules[k].name, name);
                CHECK_INT(m->tensors[m->modules[k].weight].count, first[group][block ? 1 : layer]);
            }
    CHECK_STRING(m->modules[k].name, "fc");
    CHECK_INT(m->module_count, k + 1);
    for (int t = 0; t < m->tensor_count; t++)
        CHECK_INT(m->tensors[t].dead, strncmp(m->tensors[t].name, "sub_block1.", 11) == 0);
}

static void test_preact_names(void)
{
    static const char *const start[] = { "conv1.weight",
                                         "layer1.0.bn1.weight",
                                         "layer1.0.bn1.bias",
                                         "layer1.0.bn1.running_mean",
                                         "layer1.0.bn1.running_var",
                                         "layer1.0.conv1.weight",
                                         "layer1.0.bn2.weight" };
    static const char *const block[] = { "layer2.0.bn2.running_var", "layer2.0.conv2.weight",
                                         "layer2.0.shortcut.0.weight", "layer2.1.bn1.weight" };
    static const char *const end[] = { "layer4.1.conv2.weight", "bn.weight",      "bn.bias",     "bn.running_mean",
                                       "bn.running_var",        "linear.weight", "linear.bias" };
    model_auto *m = open_model("preactresnet18", 8, 10, 3, 32);

    TENSORS_ARE(m, start);
    TENSORS_ARE(m, block);
    TENSORS_ARE(m, end);
}

/* ---- properties, on every model ---------------------------------------------------- */

static const struct {
    const char *arch;
    int width, classes, channels, side;
} models[] = { { "resnet18", 64, 10, 3, 32 },
               { "resnet34", 16, 100, 3, 32 },
               { "resnet18", 1, 2, 1, 64 },
               { "resnet34", 3, 1, 1, 32 },
               { "preactresnet18", 5, 10, 3, 64 },
               { "wideresnet-28-10", 0, 10, 3, 32 },
               { "wideresnet-10-1", 0, 10, 1, 32 },
               { "wideresnet-16-2", 0, 200, 3, 64 } };

static void on_each(void (*test)(const struct model *model))
{
    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
        model_auto *m =
            open_model(models[i].arch, models[i].width, models[i].classes, models[i].channels, models[i].side);

        test(m);
    }
}

/* Tensors fill the flat vector without holes, parameters first, then buffers, then what is dead, each in
 * state-dict order. */
static void offsets(const struct model *m)
{
    int64_t next[3] = { 0, m->parameter_count, m->parameter_count }; /* of parameters, of buffers, of dead ones */

    for (int t = 0; t < m->tensor_count; t++)
        if (!m->tensors[t].dead && !m->tensors[t].parameter)
            next[2] += m->tensors[t].count;
    for (int t = 0; t < m->tensor_count; t++) {
        const struct tensor_info *info = &m->tensors[t];
        bool buffer = info->role == TENSOR_BN_MEAN || info->role == TENSOR_BN_VAR;
        int section = info->dead ? 2 : buffer;
        int64_t count = 1;

        for (int i = 0; i < info->rank; i++)
            count *= info->shape[i];
        CHECK_INT(info->count, count);
        CHECK_INT(info->parameter, section == 0);
        CHECK_INT(info->offset, next[section]);
        next[section] += count;
    }
    CHECK_INT(next[0], m->parameter_count);
    CHECK_INT(next[2], m->total_count);
}

static void test_offsets(void)
{
    on_each(offsets);
}

/* Every value is made before it is read, once; every tensor has one op; shapes fit. */
static void order(const struct model *m)
{
    bool *made = calloc((size_t)m->value_count, sizeof(*made));
    int *used = calloc((size_t)m->tensor_count, sizeof(*used));

    made[0] = true;
    for (int i = 0; i < m->op_count; i++) {
        const struct op *op = &m->ops[i];
        struct shape in = m->values[op->in[0]], out = m->values[op->out];

        CHECK(made[op->in[0]]);
        CHECK((op->type == OP_ADD) == (op->in[1] >= 0));
        CHECK(op->in[1] < 0 || made[op->in[1]]);
        CHECK(!made[op->out]);
        made[op->out] = true;
        for (int k = 0; k < 4; k++)
            if (op->tensor[k] >= 0)
                used[op->tensor[k]]++;
        if (op->type == OP_CONV) {
            const int *w = m->tensors[op->tensor[0]].shape;

            CHECK_INT(w[0], out.c);
            CHECK_INT(w[1], in.c);
            CHECK_INT(w[2], op->kernel);
            CHECK_INT(out.h, (in.h + 2 * op->pad - op->kernel) / op->stride + 1);
        }
        if (op->type == OP_LINEAR)
            CHECK_INT(m->tensors[op->tensor[0]].shape[1], shape_count(in));
    }
    for (int t = 0; t < m->tensor_count; t++)
        CHECK_INT(used[t], !m->tensors[t].dead);
    CHECK_INT(shape_count(m->values[m->ops[m->op_count - 1].out]), m->num_classes);
    for (int k = 0; k < m->module_count; k++) {
        const struct op *op = &m->ops[m->modules[k].op];

        CHECK(op->type == OP_CONV || op->type == OP_LINEAR);
        CHECK_INT(op->tensor[0], m->modules[k].weight);
    }
    free(made);
    free(used);
}

static void test_order(void)
{
    on_each(order);
}

/* A shortcut is ready before the second convolution runs, so it can be added there. */
static void test_shortcut_first(void)
{
    model_auto *m = open_model("resnet34", 8, 10, 3, 32);

    for (int stage = 2; stage <= 4; stage++) {
        char shortcut[64], conv2[64];

        snprintf(shortcut, sizeof(shortcut), "layer%d.0.shortcut.0", stage);
        snprintf(conv2, sizeof(conv2), "layer%d.0.conv2", stage);
        CHECK(m->modules[model_module(m, shortcut)].op < m->modules[model_module(m, conv2)].op);
    }
    for (int i = 0; i < m->op_count; i++) /* what an addition adds to is just made: conv, bn, add */
        if (m->ops[i].type == OP_ADD) {
            CHECK_INT(m->ops[i].in[0], m->ops[i - 1].out);
            CHECK_INT(m->ops[i - 1].type, OP_BN);
            CHECK_INT(m->ops[i - 2].type, OP_CONV);
        }
}

/* ---- frontier ---------------------------------------------------------------------------- */

/* Sufficient: with only the frontier known, everything from `at` on can run.
 * Necessary: every value of it is read there. */
static void frontier(const struct model *m)
{
    bool *known = calloc((size_t)m->value_count, sizeof(*known));

    for (int at = 0; at < m->op_count; at++) {
        int values[4], count = model_frontier(m, at, values);

        CHECK(count >= 1 && count <= 2); /* a residual network has two paths at most */
        memset(known, 0, (size_t)m->value_count * sizeof(*known));
        for (int k = 0; k < count; k++) {
            bool read = false;

            known[values[k]] = true;
            for (int i = at; i < m->op_count; i++)
                read = read || m->ops[i].in[0] == values[k] || m->ops[i].in[1] == values[k];
            CHECK(read);
        }
        for (int i = at; i < m->op_count; i++) {
            CHECK(known[m->ops[i].in[0]]);
            CHECK(m->ops[i].in[1] < 0 || known[m->ops[i].in[1]]);
            CHECK(!known[m->ops[i].out]); /* the frontier holds nothing made later */
            known[m->ops[i].out] = true;
        }
    }
    free(known);
}

static void test_frontier(void)
{
    on_each(frontier);
}

static void test_frontier_examples(void)
{
    model_auto *m = open_model("resnet18", 8, 10, 3, 32);
    int values[4];

    CHECK_INT(model_frontier(m, 0, values), 1);
    CHECK_INT(values[0], 0);
    /* before a block: one value; before its conv2: what conv2 reads, and the shortcut */
    CHECK_INT(model_frontier(m, m->modules[model_module(m, "layer2.0.conv1")].op, values), 1);
    CHECK_INT(model_frontier(m, m->modules[model_module(m, "layer2.0.conv2")].op, values), 2);
    CHECK_INT(model_frontier(m, m->modules[model_module(m, "layer2.1.conv2")].op, values), 2);
    CHECK_INT(model_frontier(m, m->modules[model_module(m, "linear")].op, values), 1);
    CHECK_INT(model_frontier(m, m->op_count, values), 0);
}

/* What stands beside conv2 is x where a block adds x, and the shortcut's result otherwise. */
static void test_frontier_preactivation(void)
{
    model_auto *m = open_model("wideresnet-16-2", 0, 10, 3, 32);
    int values[4], activated;

    CHECK_INT(model_frontier(m, m->modules[model_module(m, "block2.layer.0.conv1")].op, values), 1);
    activated = values[0]; /* relu(bn1(x)), for conv1 and the shortcut */
    CHECK_INT(model_frontier(m, m->modules[model_module(m, "block2.layer.0.convShortcut")].op, values), 2);
    CHECK(values[0] == activated || values[1] == activated);
    CHECK_INT(model_frontier(m, m->modules[model_module(m, "block2.layer.0.conv2")].op, values), 2);
    CHECK(values[0] != activated && values[1] != activated);
    CHECK_INT(model_frontier(m, m->modules[model_module(m, "block2.layer.1.conv1")].op, values), 2); /* and x */
    CHECK_INT(model_frontier(m, m->modules[model_module(m, "fc")].op, values), 1);
}

/* ---- errors ------------------------------------------------------------------------------- */

static void refused(struct model_spec spec, const char *field)
{
    struct model *model = (struct model *)&spec; /* stays what it was */
    struct fault why = { 0 };

    CHECK_INT(model_open(&spec, &model, &why), -EINVAL);
    CHECK_HOLDS(why.message, field);
    CHECK(model == (struct model *)&spec);
}

static void test_errors(void)
{
    struct model_spec bad_std = spec_of("resnet18", 8, 10, 3, 32), bad_mean = bad_std, oblong = bad_std;

    bad_std.std[2] = 0;
    bad_mean.mean[1] = NAN;
    oblong.input[2] = 64;
    refused(spec_of("resnet19", 8, 10, 3, 32), "model.arch");
    refused(spec_of("resnet19", 8, 10, 3, 32), "resnet18, resnet34, preactresnet18, wideresnet");
    refused(spec_of("", 8, 10, 3, 32), "model.arch");
    refused(spec_of("resnet18", 8, 10, 2, 32), "model.input");
    refused(spec_of("resnet18", 8, 10, 4, 32), "model.input");
    refused(spec_of("resnet18", 8, 10, 3, 28), "model.input");
    refused(spec_of("resnet18", 8, 10, 3, 0), "model.input");
    refused(oblong, "32x64");
    refused(spec_of("resnet18", 0, 10, 3, 32), "model.width");
    refused(spec_of("resnet18", 1 << 30, 10, 3, 32), "model.width");
    refused(spec_of("resnet18", 8, 0, 3, 32), "model.num_classes");
    refused(spec_of("wideresnet-33-10", 0, 10, 3, 32), "model.depth");
    refused(spec_of("wideresnet-4-10", 0, 10, 3, 32), "model.depth");
    refused(spec_of("wideresnet-1006-1", 0, 10, 3, 32), "model.depth");
    refused(spec_of("wideresnet-34-0", 0, 10, 3, 32), "model.widen_factor");
    refused(spec_of("wideresnet-34-65", 0, 10, 3, 32), "model.widen_factor");
    refused(bad_std, "model.normalize");
    refused(bad_mean, "model.normalize");
    model_close(NULL);
}

static const struct check_case cases[] = {
    { "modules, parameters and batch norm channels are counted as published", test_counts },
    { "multiply-adds of one image are counted as published", test_work },
    { "names and their order are those of PyTorch", test_names },
    { "a wide ResNet has the published names, sub_block1 included, and its 35 modules", test_wide_names },
    { "a pre-activation ResNet18 has the names of AWP's and SCORE's", test_preact_names },
    { "tensors fill the flat vector, parameters first", test_offsets },
    { "operations can be run in the order they stand", test_order },
    { "a block's shortcut is ready before its second convolution", test_shortcut_first },
    { "the frontier is what the rest of the model needs, and no more", test_frontier },
    { "the frontier inside a block has the path and the shortcut", test_frontier_examples },
    { "inside a pre-activation block x or its shortcut waits beside the path", test_frontier_preactivation },
    { "a model that can't be built names the field", test_errors },
};

CHECK_MAIN(cases)
