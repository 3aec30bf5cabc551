/* Do weights come and go unharmed, and is everything else refused by name?
 *
 * A small model on the oracle's device; files are written with the same
 * library that reads them, whose own tests are elsewhere. */
#include "gpu/backend/philox.h"
#include "gpu/nn/weights.h"
#include "tests/check.h"

#include <errno.h>

struct world {
    struct device *dev;
    struct model *model;
    struct weights *weights;
    char *dir;
    char path[512];
};

static struct world world_open(void)
{
    struct model_spec spec = {
        .arch = "resnet18", .width = 2, .num_classes = 3, .input = { 1, 32, 32 }, .std = { 1, 1, 1, 1 }
    };
    struct world w = { .dir = check_tmpdir() };

    CHECK_INT(device_open("ref", PRECISION_FLOAT32, 1, &w.dev, NULL), 0);
    CHECK_INT(model_open(&spec, &w.model, NULL), 0);
    CHECK_INT(weights_open(w.dev, w.model, &w.weights, NULL), 0);
    CHECK_INT(weights_init(w.weights, 5), 0);
    snprintf(w.path, sizeof(w.path), "%s/w.safetensors", w.dir);
    return w;
}

static void world_close(struct world *w)
{
    weights_close(w->weights);
    model_close(w->model);
    device_close(w->dev);
    check_rmdir(w->dir);
}

static float *vector_of(const struct world *w)
{
    float *host = calloc((size_t)w->model->total_count, sizeof(float));

    CHECK_INT(weights_get(w->weights, host), 0);
    return host;
}

/* ---- initialisation ---------------------------------------------------------------- */

static void test_init_values(void)
{
    struct world w = world_open();
    float *v = vector_of(&w);

    for (int t = 0; t < w.model->tensor_count; t++) {
        const struct tensor_info *info = &w.model->tensors[t];
        bool drawn = info->role == TENSOR_WEIGHT || info->role == TENSOR_BIAS;
        int64_t fan_in = info->role == TENSOR_BIAS ? w.model->tensors[t - 1].shape[1] : info->count / info->shape[0];
        double bound = 1 / sqrt((double)fan_in), largest = 0;

        for (int64_t i = 0; i < info->count; i++) {
            float is = v[info->offset + i];

            if (!drawn) {
                CHECK_NEAR(is, info->role == TENSOR_BN_GAMMA || info->role == TENSOR_BN_VAR, 0);
                continue;
            }
            struct philox four = philox(5, RANDOM_INIT, (uint32_t)t, (uint64_t)i / 4, 0);
            CHECK_NEAR(is, ((double)(four.word[i % 4] >> 8) / 16777216 * 2 - 1) * bound, 1e-7);
            CHECK(fabsf(is) <= bound * (1 + 1e-6));
            largest = fmax(largest, fabs(is));
        }
        if (drawn && info->count > 100)
            CHECK(largest > 0.9 * bound);
    }
    free(v);
    world_close(&w);
}

static void test_init_seeds(void)
{
    struct world w = world_open();
    float *first = vector_of(&w), *again, *other;
    size_t bytes = (size_t)w.model->total_count * sizeof(float);

    CHECK_INT(weights_init(w.weights, 6), 0);
    other = vector_of(&w);
    CHECK_INT(weights_init(w.weights, 5), 0);
    again = vector_of(&w);
    CHECK(memcmp(first, other, bytes) != 0);
    CHECK(memcmp(first, again, bytes) == 0);
    free(first);
    free(again);
    free(other);
    world_close(&w);
}

/* The published width, where a wrong fan-in would be seen from afar. */
static void test_init_bounds(void)
{
    struct model_spec spec = {
        .arch = "resnet18", .width = 64, .num_classes = 10, .input = { 3, 32, 32 }, .std = { 1, 1, 1, 1 }
    };
    static const struct {
        const char *tensor;
        double bound;
    } rows[] = { { "conv1.weight", 0.19245009 },          /* 1/sqrt(27) */
                 { "layer1.0.conv1.weight", 0.04166667 }, /* 1/sqrt(576) */
                 { "layer2.0.shortcut.0.weight", 0.125 }, /* 1/sqrt(64) */
                 { "linear.weight", 0.04419417 },         /* 1/sqrt(512) */
                 { "linear.bias", 0.04419417 } };
    struct device *dev;
    model_auto *model = NULL;
    weights_auto *weights = NULL;

    CHECK_INT(device_open("ref", PRECISION_FLOAT32, 1, &dev, NULL), 0);
    CHECK_INT(model_open(&spec, &model, NULL), 0);
    CHECK_INT(weights_open(dev, model, &weights, NULL), 0);
    CHECK_INT(weights_init(weights, 0), 0);
    float *v = calloc((size_t)model->total_count, sizeof(float));
    CHECK_INT(weights_get(weights, v), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct tensor_info *info = &model->tensors[model_tensor(model, rows[i].tensor)];
        double largest = 0;

        for (int64_t k = 0; k < info->count; k++)
            largest = fmax(largest, fabs(v[info->offset + k]));
        CHECK(largest <= rows[i].bound * (1 + 1e-6) && largest > rows[i].bound * (info->count > 100 ? 0.99 : 0.5));
    }
    free(v);
    weights_close(weights);
    weights = NULL; /* before its device */
    device_close(dev);
}

/* ---- there and back ------------------------------------------------------------------- */

static void test_round_trip(void)
{
    struct world w = world_open();
    float *before = vector_of(&w), *after;
    char sha[65], sha_of_file[65];
    int64_t size = 0, size_of_file = 0;

    for (int64_t i = 0; i < w.model->total_count; i++) /* no two alike, variances above zero */
        before[i] = 0.5f + (float)i / 8192;
    before[0] = -0.0f;
    before[1] = 1e-42f; /* subnormal */
    CHECK_INT(weights_set(w.weights, before), 0);
    CHECK_INT(weights_save(w.weights, w.dir, "w.safetensors", "{\"arch\":\"resnet18\"}", sha, &size, NULL), 0);
    CHECK_INT(sha256_file(w.path, sha_of_file, &size_of_file, NULL), 0);
    CHECK_STRING(sha, sha_of_file);
    CHECK_INT(size, size_of_file);
    CHECK_INT(weights_init(w.weights, 1), 0);
    CHECK_INT(weights_load(w.weights, w.path, NULL), 0);
    after = vector_of(&w);
    CHECK(memcmp(before, after, (size_t)w.model->total_count * sizeof(float)) == 0);
    free(before);
    free(after);
    world_close(&w);
}

/* What load_state_dict(strict=True) looks at: exactly PyTorch's keys, in order. */
static void test_state_dict(void)
{
    struct world w = world_open();
    struct safetensors *file = NULL;
    static const char *const start[] = { "conv1.weight",         "bn1.weight",      "bn1.bias",
                                         "bn1.running_mean",     "bn1.running_var", "bn1.num_batches_tracked",
                                         "layer1.0.conv1.weight" };
    int counters = 0;

    CHECK_INT(weights_save(w.weights, w.dir, "w.safetensors", "{\"arch\":\"resnet18\"}", NULL, NULL, NULL), 0);
    CHECK_INT(safetensors_open(w.path, &file, NULL), 0);
    CHECK_INT(safetensors_count(file), 122); /* 20 convolutions, 20 batch norms of 5, linear */
    for (size_t i = 0; i < sizeof(start) / sizeof(start[0]); i++)
        CHECK_STRING(safetensors_at(file, (int)i)->name, start[i]);
    for (int i = 0; i < safetensors_count(file); i++) {
        const struct safetensor *st = safetensors_at(file, i);
        int64_t tracked = -1;

        if (!strstr(st->name, "num_batches_tracked")) {
            CHECK_INT(st->dtype, DTYPE_F32);
            continue;
        }
        counters++;
        CHECK_INT(st->dtype, DTYPE_I64);
        CHECK_INT(st->rank, 0);
        CHECK_INT(st->size, 8);
        memcpy(&tracked, st->data, sizeof(tracked));
        CHECK_INT(tracked, 0);
    }
    CHECK_INT(counters, 20);
    CHECK_STRING(safetensors_metadata(file, "format"), "pt");
    CHECK_STRING(safetensors_metadata(file, "model"), "{\"arch\":\"resnet18\"}");
    safetensors_close(file);
    world_close(&w);
}

/* ---- a file that was tampered with ------------------------------------------------------- */

enum { ROW_MAX = 200 };

/* The rows of a good file, to be changed and written again. */
struct rows {
    struct safetensor row[ROW_MAX];
    char name[ROW_MAX][96];
    int count;
    float *data;
};

static struct rows *rows_of(const struct world *w)
{
    struct rows *rows = calloc(1, sizeof(*rows));

    rows->data = vector_of(w);
    for (int t = 0; t < w->model->tensor_count; t++) {
        const struct tensor_info *info = &w->model->tensors[t];
        struct safetensor *row = &rows->row[rows->count];

        snprintf(rows->name[rows->count], sizeof(rows->name[0]), "%s", info->name);
        *row = (struct safetensor){ rows->name[rows->count],
                                    DTYPE_F32,
                                    info->rank,
                                    { 0 },
                                    rows->data + info->offset,
                                    (size_t)info->count * sizeof(float) };
        for (int i = 0; i < info->rank; i++)
            row->shape[i] = info->shape[i];
        rows->count++;
    }
    return rows;
}

static struct safetensor *row_add(struct rows *rows, const char *name, enum dtype dtype, int64_t count,
                                  const void *data)
{
    struct safetensor *row = &rows->row[rows->count];

    snprintf(rows->name[rows->count], sizeof(rows->name[0]), "%s", name);
    *row = (struct safetensor){ rows->name[rows->count], dtype, 1, { count }, data, (size_t)count * dtype_size(dtype) };
    rows->count++;
    return row;
}

static struct safetensor *row_find(struct rows *rows, const char *name)
{
    for (int i = 0; i < rows->count; i++)
        if (strcmp(rows->name[i], name) == 0)
            return &rows->row[i];
    abort();
}

static void rows_free(struct rows *rows)
{
    free(rows->data);
    free(rows);
}

static int rows_load(const struct world *w, const struct rows *rows, struct fault *why)
{
    CHECK_INT(safetensors_write(w->dir, "w.safetensors", rows->row, rows->count, NULL, NULL, NULL, NULL), 0);
    return weights_load(w->weights, w->path, why);
}

static const int64_t zero_count = 0;
static const float some_floats[16] = { 1, 2, 3 };

static void spoil_missing(struct rows *rows)
{
    *row_find(rows, "layer3.1.bn2.bias") = rows->row[--rows->count];
}

static void spoil_shape(struct rows *rows)
{
    struct safetensor *row = row_find(rows, "layer1.0.conv1.weight"); /* [2,2,3,3] */

    row->rank = 2;
    row->shape[0] = 4;
    row->shape[1] = 9;
}

static void spoil_dtype(struct rows *rows)
{
    static double doubles[6];
    struct safetensor *row = row_find(rows, "linear.bias");

    row->dtype = DTYPE_F64;
    row->data = doubles;
    row->size = 3 * sizeof(double);
}

static void spoil_unknown(struct rows *rows)
{
    row_add(rows, "layer9.0.conv1.weight", DTYPE_F32, 3, some_floats);
}

static void spoil_twice(struct rows *rows)
{
    row_add(rows, "module.linear.bias", DTYPE_F32, 3, some_floats);
}

static void spoil_nan(struct rows *rows)
{
    ((float *)(uintptr_t)row_find(rows, "layer4.1.conv2.weight")->data)[7] = NAN;
}

static void spoil_infinite(struct rows *rows)
{
    ((float *)(uintptr_t)row_find(rows, "layer2.0.shortcut.1.running_mean")->data)[1] = -INFINITY;
}

static void spoil_variance(struct rows *rows)
{
    ((float *)(uintptr_t)row_find(rows, "bn1.running_var")->data)[0] = -1;
}

static void test_refused(void)
{
    static const struct {
        void (*spoil)(struct rows *rows);
        const char *tensor, *words;
    } cases[] = { { spoil_missing, "layer3.1.bn2.bias", "missing" },
                  { spoil_shape, "layer1.0.conv1.weight", "[4,9]" },
                  { spoil_shape, "layer1.0.conv1.weight", "[2,2,3,3]" },
                  { spoil_dtype, "linear.bias", "float32" },
                  { spoil_unknown, "layer9.0.conv1.weight", "not part of" },
                  { spoil_twice, "linear.bias", "twice" },
                  { spoil_nan, "layer4.1.conv2.weight", "not finite" },
                  { spoil_infinite, "layer2.0.shortcut.1.running_mean", "not finite" },
                  { spoil_variance, "bn1.running_var", "negative" } };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w = world_open();
        struct rows *rows = rows_of(&w);
        struct fault why = { 0 };

        CHECK_INT(weights_init(w.weights, 77), 0); /* other numbers than the file's */
        float *before = vector_of(&w), *after;
        uint64_t clock = w.weights->clock;
        cases[i].spoil(rows);
        CHECK_INT(rows_load(&w, rows, &why), -EINVAL);
        CHECK_HOLDS(why.message, cases[i].tensor);
        CHECK_HOLDS(why.message, cases[i].words);
        CHECK_HOLDS(why.message, w.path);
        after = vector_of(&w);
        CHECK(memcmp(before, after, (size_t)w.model->total_count * sizeof(float)) == 0);
        CHECK_INT(w.weights->clock, clock); /* nothing changed, nothing to pack again */
        free(before);
        free(after);
        rows_free(rows);
        world_close(&w);
    }
}

/* ---- what published files have besides ------------------------------------------------------ */

static void test_accepted_extras(void)
{
    struct world w = world_open();
    struct rows *rows = rows_of(&w);
    struct fault why = { 0 };

    row_add(rows, "bn1.num_batches_tracked", DTYPE_I64, 1, &zero_count)->rank = 0;
    row_add(rows, "layer1.0.bn1.num_batches_tracked", DTYPE_F32, 1, some_floats)->rank = 0;
    row_add(rows, "sub_block1.layer.0.conv1.weight", DTYPE_F32, 16, some_floats);
    CHECK_INT(rows_load(&w, rows, &why), 0);
    CHECK_STRING(why.message, "");
    rows_free(rows);
    world_close(&w);
}

static void test_module_prefix(void)
{
    struct world w = world_open();
    struct rows *rows = rows_of(&w);
    float *after;

    for (int i = 0; i < rows->count; i++) {
        char name[96];

        snprintf(name, sizeof(name), "module.%.80s", rows->name[i]);
        memcpy(rows->name[i], name, sizeof(name));
    }
    CHECK_INT(weights_init(w.weights, 77), 0);
    CHECK_INT(rows_load(&w, rows, NULL), 0);
    after = vector_of(&w);
    CHECK(memcmp(rows->data, after, (size_t)w.model->total_count * sizeof(float)) == 0);
    free(after);
    rows_free(rows);
    world_close(&w);
}

static void test_any_order(void)
{
    struct world w = world_open();
    struct rows *rows = rows_of(&w);
    float *after;

    for (int i = 0; i < rows->count / 2; i++) {
        struct safetensor swap = rows->row[i];

        rows->row[i] = rows->row[rows->count - 1 - i];
        rows->row[rows->count - 1 - i] = swap;
    }
    CHECK_INT(weights_init(w.weights, 77), 0);
    CHECK_INT(rows_load(&w, rows, NULL), 0);
    after = vector_of(&w);
    CHECK(memcmp(rows->data, after, (size_t)w.model->total_count * sizeof(float)) == 0);
    free(after);
    rows_free(rows);
    world_close(&w);
}

static void test_no_file(void)
{
    struct world w = world_open();
    struct fault why = { 0 };

    CHECK_INT(weights_load(w.weights, w.path, &why), -ENOENT);
    CHECK_HOLDS(why.message, w.path);
    CHECK(weights_save(w.weights, "/nonexistent/directory", "w.safetensors", "{}", NULL, NULL, &why) < 0);
    world_close(&w);
}

static void test_save_not_finite(void)
{
    static const float values[] = { NAN, INFINITY, -INFINITY };

    for (int i = 0; i < 3; i++) {
        struct world w = world_open();
        struct fault why = { 0 };
        int t = model_tensor(w.model, "layer4.1.bn2.running_var");
        float *all = vector_of(&w);

        all[w.model->tensors[t].offset + 2] = values[i];
        CHECK_INT(weights_set(w.weights, all), 0);
        CHECK_INT(weights_save(w.weights, w.dir, "w.safetensors", "{}", NULL, NULL, &why), -EDOM);
        CHECK_HOLDS(why.message, "w.safetensors: tensor \"layer4.1.bn2.running_var\"");
        CHECK_HOLDS(why.message, "element 2");
        CHECK(access(w.path, F_OK) < 0);
        free(all);
        world_close(&w);
    }
}

/* ---- versions ---------------------------------------------------------------------------------- */

static void test_versions(void)
{
    struct world w = world_open();
    struct weights *weights = w.weights;
    int var = model_tensor(w.model, "bn1.running_var"), conv = model_tensor(w.model, "conv1.weight");
    uint64_t before;

    for (int t = 0; t < w.model->tensor_count; t++)
        CHECK(weights->version[t] > 0);
    before = weights->version[var];
    weights_touch(weights, conv);
    CHECK(weights->version[conv] > before);
    CHECK_INT(weights->version[var], before);
    weights_touch_all(weights);
    CHECK(weights->version[var] > before);
    CHECK_INT(weights->version[var], weights->version[conv]);
    float *v = vector_of(&w);
    before = weights->clock;
    CHECK_INT(weights_set(weights, v), 0);
    CHECK(weights->version[conv] > before);
    free(v);
    weights_close(NULL);
    world_close(&w);
}

static const struct check_case cases[] = {
    { "initial weights are the documented words of the stream, within their bounds", test_init_values },
    { "the same seed gives the same weights, another gives others", test_init_seeds },
    { "bounds are one over the root of the fan-in", test_init_bounds },
    { "weights saved and loaded are the same bits", test_round_trip },
    { "a saved file has exactly PyTorch's keys in PyTorch's order", test_state_dict },
    { "weights that aren't finite are never saved", test_save_not_finite },
    { "a spoilt file is refused by the tensor's name and changes nothing", test_refused },
    { "counters of batches and the unused WRN branch are ignored", test_accepted_extras },
    { "the prefix of a model that was trained on several devices is stripped", test_module_prefix },
    { "tensors may stand in any order", test_any_order },
    { "a file that isn't there is named", test_no_file },
    { "touching a tensor makes its version newer", test_versions },
};

CHECK_MAIN(cases)
