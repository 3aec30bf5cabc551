/* Do the wide ResNet's weights begin as published, and travel with its unused branch?
 *
 * PyTorch's state dict has `sub_block1` between block1 and block2; files with it
 * and without it are as good. */
#include "gpu/nn/weights.h"
#include "tests/check.h"

#include <errno.h>

struct world {
    struct device *dev;
    struct model *model;
    struct weights *weights;
    char *dir;
    float *host; /* [total_count], what is in the weights */
};

static struct world world_open(int widen_factor, int64_t seed)
{
    struct model_spec spec = { .arch = "wideresnet",
                               .depth = 10,
                               .widen_factor = widen_factor,
                               .num_classes = 10,
                               .input = { 3, 32, 32 },
                               .std = { 1, 1, 1, 1 } };
    struct world w = { .dir = check_tmpdir() };

    CHECK_INT(device_open("ref", PRECISION_FLOAT32, 1, &w.dev, NULL), 0);
    CHECK_INT(model_open(&spec, &w.model, NULL), 0);
    CHECK_INT(weights_open(w.dev, w.model, &w.weights, NULL), 0);
    CHECK_INT(weights_init(w.weights, seed), 0);
    w.host = calloc((size_t)w.model->total_count, sizeof(float));
    CHECK_INT(weights_get(w.weights, w.host), 0);
    return w;
}

static void world_close(struct world *w)
{
    free(w->host);
    weights_close(w->weights);
    model_close(w->model);
    device_close(w->dev);
    check_rmdir(w->dir);
}

/* ---- how they begin ------------------------------------------------------------------ */

/* Normal with variance 2/(k*k*O): the second moment, and the share within one deviation, 68.27 %. */
static void check_normal(const struct tensor_info *info, const float *v)
{
    double deviation = sqrt(2.0 / (double)(info->shape[0] * info->shape[2] * info->shape[3])), sum = 0, squares = 0;
    double count = (double)info->count, inside = 0;

    for (int64_t i = 0; i < info->count; i++) {
        sum += v[i];
        squares += (double)v[i] * v[i];
        inside += fabs(v[i]) < deviation;
    }
    /* five standard errors: of the mean, of the variance, of a share */
    CHECK_NEAR(sum / count / deviation, 0, 5 / sqrt(count));
    CHECK_NEAR(squares / count / (deviation * deviation), 1, 5 * sqrt(2 / count));
    CHECK_NEAR(inside / count, 0.6827, 5 * sqrt(0.6827 * 0.3173 / count));
}

static void test_begin(void)
{
    struct world w = world_open(2, 5);
    int drawn = 0;

    for (int t = 0; t < w.model->tensor_count; t++) {
        const struct tensor_info *info = &w.model->tensors[t];
        const float *v = w.host + info->offset;

        if (info->rank == 4) {
            check_normal(info, v);
            drawn += info->dead;
            continue;
        }
        for (int64_t i = 0; i < info->count; i++)
            if (info->role != TENSOR_WEIGHT) /* fc's bias is 0 here */
                CHECK_NEAR(v[i], info->role == TENSOR_BN_GAMMA || info->role == TENSOR_BN_VAR, 0);
            else
                CHECK(fabs(v[i]) <= 1 / sqrt(128) * (1 + 1e-6));
    }
    CHECK_INT(drawn, 3); /* the branch that is never used begins like the others */
    world_close(&w);
}

/* ---- how they travel ------------------------------------------------------------------- */

enum { ROW_MAX = 120 };

/* What a file is made of: the model's tensors, `prefix` before each name, dead ones where `dead` says so. */
struct file {
    struct safetensor row[ROW_MAX];
    char name[ROW_MAX][96];
    int count;
};

static struct file *file_of(const struct world *w, const char *prefix, bool dead)
{
    struct file *f = calloc(1, sizeof(*f));

    for (int t = 0; t < w->model->tensor_count; t++) {
        const struct tensor_info *info = &w->model->tensors[t];
        struct safetensor *row = &f->row[f->count];

        if (info->dead && !dead)
            continue;
        snprintf(f->name[f->count], sizeof(f->name[0]), "%s%s", prefix, info->name);
        *row = (struct safetensor){ .name = f->name[f->count++],
                                    .dtype = DTYPE_F32,
                                    .rank = info->rank,
                                    .data = w->host + info->offset,
                                    .size = (size_t)info->count * sizeof(float) };
        for (int i = 0; i < info->rank; i++)
            row->shape[i] = info->shape[i];
    }
    return f;
}

static int file_load(const struct world *w, struct file *f, struct fault *why)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/w.safetensors", w->dir);
    CHECK_INT(safetensors_write(w->dir, "w.safetensors", f->row, f->count, NULL, NULL, NULL, NULL), 0);
    free(f);
    return weights_load(w->weights, path, why);
}

/* The model now holds the numbers of `live`; its dead tensors those of `dead`. */
static void check_holds(const struct world *w, const float *live, const float *dead)
{
    float *now = calloc((size_t)w->model->total_count, sizeof(float));

    CHECK_INT(weights_get(w->weights, now), 0);
    for (int t = 0; t < w->model->tensor_count; t++) {
        const struct tensor_info *info = &w->model->tensors[t];
        const float *want = info->dead ? dead : live;

        if (memcmp(now + info->offset, want + info->offset, (size_t)info->count * sizeof(float)) != 0)
            CHECK_FAIL("%s isn't what it should be", info->name);
    }
    free(now);
}

static void test_prefix(void)
{
    struct world w = world_open(1, 5);

    CHECK_INT(weights_init(w.weights, 6), 0);
    CHECK_INT(file_load(&w, file_of(&w, "module.", true), NULL), 0);
    check_holds(&w, w.host, w.host);
    world_close(&w);
}

static void test_without_dead(void)
{
    struct world w = world_open(1, 5), zero = world_open(1, 0);
    struct fault why = { 0 };

    CHECK_INT(file_load(&w, file_of(&w, "module.", false), &why), 0);
    check_holds(&w, w.host, zero.host); /* the first weights of seed 0, whatever was there before */
    CHECK_STRING(why.message, "");

    struct file *f = file_of(&w, "", true);
    for (int i = 0; i < f->count; i++)
        if (strcmp(f->name[i], "sub_block1.layer.0.conv2.weight") == 0) { /* of a file that was widened more */
            f->row[i].rank = 1;
            f->row[i].shape[0] = (int64_t)(f->row[i].size / sizeof(float));
        }
    CHECK_INT(file_load(&w, f, &why), 0);
    CHECK_STRING(why.message, "");
    float *now = calloc((size_t)w.model->total_count, sizeof(float));
    const struct tensor_info *misshapen = &w.model->tensors[model_tensor(w.model, "sub_block1.layer.0.conv2.weight")],
                             *other = &w.model->tensors[model_tensor(w.model, "sub_block1.layer.0.conv1.weight")];
    CHECK_INT(weights_get(w.weights, now), 0);
    CHECK(memcmp(now + misshapen->offset, zero.host + misshapen->offset, (size_t)misshapen->count * 4) == 0);
    CHECK(memcmp(now + other->offset, w.host + other->offset, (size_t)other->count * 4) == 0);
    free(now);

    f = file_of(&w, "", true); /* what is used may not be missing */
    f->row[0] = f->row[--f->count];
    CHECK_INT(file_load(&w, f, &why), -EINVAL);
    CHECK_HOLDS(why.message, "\"conv1.weight\" is missing");
    world_close(&zero);
    world_close(&w);
}

/* What load_state_dict(strict=True) of the published class looks at, in its order. */
static void test_state_dict(void)
{
    static const char *const groups[] = { "conv1.", "block1.", "sub_block1.", "block2.", "block3.", "bn1.", "fc." };
    static const int counts[] = { 1, 12, 12, 13, 13, 5, 2 }; /* two batch norms of 5, two or three convolutions */
    struct world w = world_open(1, 5);
    struct safetensors *file = NULL;
    char path[512];
    int at = 0;

    CHECK_INT(weights_save(w.weights, w.dir, "w.safetensors", "{}", NULL, NULL, NULL), 0);
    snprintf(path, sizeof(path), "%s/w.safetensors", w.dir);
    CHECK_INT(safetensors_open(path, &file, NULL), 0);
    for (int g = 0; g < 7; g++)
        for (int i = 0; i < counts[g]; i++, at++)
            if (at >= safetensors_count(file) ||
                strncmp(safetensors_at(file, at)->name, groups[g], strlen(groups[g])) != 0)
                CHECK_FAIL("tensor %d is not one of %s", at, groups[g]);
    CHECK_INT(safetensors_count(file), at);
    safetensors_close(file);
    CHECK_INT(weights_init(w.weights, 6), 0);
    CHECK_INT(weights_load(w.weights, path, NULL), 0);
    check_holds(&w, w.host, w.host);
    world_close(&w);
}

static const struct check_case cases[] = {
    { "convolutions begin normal with the fan-out's variance, the linear layer without bias", test_begin },
    { "a saved file has the published keys in their order, sub_block1 too, and comes back", test_state_dict },
    { "the prefix of training on several devices is stripped from sub_block1 too", test_prefix },
    { "a file may lack sub_block1, or have another one", test_without_dead },
};

CHECK_MAIN(cases)
