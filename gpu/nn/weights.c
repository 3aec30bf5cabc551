/* Where do the numbers of a model come from, and how do they leave?
 *
 * One flat vector on the device, parameters first. Files are safetensors with
 * the names of the published PyTorch models, so that weights move either way
 * with one line of Python.
 *
 * The idea of loading: everything is checked and put together on the host;
 * only a complete, finite set of numbers ever reaches the device.
 *
 * Surprising: PyTorch also has an int64 `num_batches_tracked` for every batch
 * norm. We have no use for it, ignore it when reading and write a zero, so
 * that load_state_dict in strict mode is content. Tensors that a model never
 * uses (the wide ResNet's sub_block1) are kept where a file has them, so that
 * they leave as they came; a file without them, or with others, is as good. */
#include "gpu/nn/weights.h"

#include "gpu/backend/philox.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- life ------------------------------------------------------------------ */

int weights_open(struct device *dev, const struct model *model, struct weights **ret, struct fault *why)
{
    size_t bytes = (size_t)model->total_count * sizeof(float);
    weights_auto *w = calloc(1, sizeof(*w));

    if (!w)
        return fault_set(why, -ENOMEM, "no memory for weights");
    w->model = model;
    w->dev = dev;
    w->version = calloc((size_t)model->tensor_count, sizeof(*w->version));
    w->theta = dev->ops->alloc(dev, bytes);
    if (!w->version || !w->theta)
        return fault_set(why, -ENOMEM, "no memory for %zu bytes of weights", bytes);
    weights_touch_all(w); /* versions start above 0: a plan's zeroed notes are out of date */
    *ret = w;
    w = NULL;
    return 0;
}

void weights_close(struct weights *w)
{
    if (!w)
        return;
    if (w->theta)
        w->dev->ops->free(w->dev, w->theta);
    free(w->version);
    free(w);
}

void weights_touch(struct weights *w, int tensor)
{
    w->version[tensor] = ++w->clock;
}

void weights_touch_all(struct weights *w)
{
    w->clock++;
    for (int t = 0; t < w->model->tensor_count; t++)
        w->version[t] = w->clock;
}

int weights_get(const struct weights *w, float *host)
{
    return w->dev->ops->read(w->dev, host, w->theta, (size_t)w->model->total_count * sizeof(float));
}

int weights_set(struct weights *w, const float *host)
{
    int r = w->dev->ops->write(w->dev, w->theta, host, (size_t)w->model->total_count * sizeof(float));

    weights_touch_all(w); /* also after a failure: what is there now is unknown */
    return r;
}

/* Host memory for the flat vector. */
static float *vector_alloc(const struct weights *w, struct fault *why)
{
    float *host = calloc((size_t)w->model->total_count, sizeof(float));

    if (!host)
        fault_set(why, -ENOMEM, "no memory for a copy of %lld weights", (long long)w->model->total_count);
    return host;
}

static void free_floats(float **p)
{
    free(*p);
}
#define floats_auto __attribute__((cleanup(free_floats))) float

/* ---- initialisation ----------------------------------------------------------- */

/* Inputs of one output of the layer that tensor t belongs to. A bias has the
 * fan-in of the weight declared just before it. */
static int64_t fan_in(const struct model *model, int t)
{
    const struct tensor_info *info = &model->tensors[t];

    if (info->role == TENSOR_BIAS)
        info = &model->tensors[t - 1];
    assert(info->role == TENSOR_WEIGHT);
    return info->count / info->shape[0];
}

/* U[-b, b), b = 1/sqrt(fan_in): what kaiming_uniform with a = sqrt(5) comes to. */
static void uniform_fill(const struct model *model, int t, int64_t seed, float *to)
{
    float bound = (float)(1.0 / sqrt((double)fan_in(model, t)));

    for (int64_t i = 0; i < model->tensors[t].count; i += 4) {
        struct philox four = philox((uint64_t)seed, RANDOM_INIT, (uint32_t)t, (uint64_t)i / 4, 0);

        for (int64_t k = 0; k < 4 && i + k < model->tensors[t].count; k++)
            to[i + k] = (2.0f * philox_unit(four.word[k]) - 1.0f) * bound;
    }
}

/* N(0, 2/fan_out), fan_out = k*k*O (He et al. 2015, backward). */
static void normal_fill(const struct model *model, int t, int64_t seed, float *to)
{
    const struct tensor_info *info = &model->tensors[t];
    double deviation = sqrt(2.0 / ((double)info->shape[0] * info->shape[2] * info->shape[3]));

    for (int64_t i = 0; i < info->count; i++) {
        struct philox four = philox((uint64_t)seed, RANDOM_INIT, (uint32_t)t, (uint64_t)i / 4, 0);

        to[i] = (float)(deviation * philox_normal(four, (int)(i % 4)));
    }
}

/* Tensor t as it begins: drawn, or what leaves batch norm (and a bias) out. */
static void initial_fill(const struct model *model, int t, int64_t seed, float *to)
{
    const struct tensor_info *info = &model->tensors[t];
    bool fan_out = model->initialisation == INIT_FAN_OUT;

    if (info->role == TENSOR_WEIGHT && fan_out && info->rank == 4)
        normal_fill(model, t, seed, to);
    else if (info->role == TENSOR_WEIGHT || (info->role == TENSOR_BIAS && !fan_out))
        uniform_fill(model, t, seed, to);
    else
        for (int64_t i = 0; i < info->count; i++)
            to[i] = info->role == TENSOR_BN_GAMMA || info->role == TENSOR_BN_VAR ? 1.0f : 0.0f;
}

int weights_init(struct weights *w, int64_t seed)
{
    floats_auto *host = vector_alloc(w, NULL);

    if (!host)
        return -ENOMEM;
    for (int t = 0; t < w->model->tensor_count; t++)
        initial_fill(w->model, t, seed, host + w->model->tensors[t].offset);
    return weights_set(w, host);
}

/* ---- loading ------------------------------------------------------------------ */

static bool ends_with(const char *name, const char *end)
{
    size_t length = strlen(name), tail = strlen(end);

    return length >= tail && strcmp(name + length - tail, end) == 0;
}

/* Tensors that published files have and we have no use for. */
static bool ignored(const char *name)
{
    return ends_with(name, "num_batches_tracked") || strstr(name, "sub_block1.");
}

/* "[64,3,3,3]" */
static void shape_print(char *ret, size_t size, const int64_t *shape, int rank)
{
    size_t used = (size_t)snprintf(ret, size, "[");

    for (int i = 0; i < rank && used < size; i++)
        used += (size_t)snprintf(ret + used, size - used, "%s%lld", i ? "," : "", (long long)shape[i]);
    if (used < size)
        snprintf(ret + used, size - used, "]");
}

static int shape_check(const struct tensor_info *info, const struct safetensor *st, const char *path, struct fault *why)
{
    int64_t want[4];
    bool same = st->rank == info->rank;
    char is[96], wanted[96];

    for (int i = 0; i < info->rank; i++) {
        want[i] = info->shape[i];
        same = same && st->shape[i] == want[i];
    }
    if (same)
        return 0;
    shape_print(is, sizeof(is), st->shape, st->rank);
    shape_print(wanted, sizeof(wanted), want, info->rank);
    return fault_set(why, -EINVAL, "%s: tensor \"%s\" has shape %s, the model wants %s", path, info->name, is, wanted);
}

/* One tensor of the file into its place of the host vector. */
static int tensor_take(const struct tensor_info *info, const struct safetensor *st, const char *path, float *to,
                       struct fault *why)
{
    if (st->dtype != DTYPE_F32)
        return fault_set(why, -EINVAL, "%s: tensor \"%s\" is not float32", path, info->name);
    int r = shape_check(info, st, path, why);
    if (r < 0)
        return r;
    assert(st->size == (size_t)info->count * sizeof(float));
    memcpy(to, st->data, st->size);
    for (int64_t i = 0; i < info->count; i++) {
        if (!isfinite(to[i]))
            return fault_set(why, -EINVAL, "%s: tensor \"%s\" has a value that is not finite (element %lld)", path,
                             info->name, (long long)i);
        if (info->role == TENSOR_BN_VAR && to[i] < 0)
            return fault_set(why, -EINVAL, "%s: tensor \"%s\" has a negative variance (element %lld)", path, info->name,
                             (long long)i);
    }
    return 0;
}

/* Every tensor of the file to where it belongs; seen[t] says which came. Of dead
 * ones that don't come, or don't fit, the first weights of seed 0 are there. */
static int file_take(const struct model *model, const struct safetensors *file, const char *path, float *host,
                     bool *seen, struct fault *why)
{
    for (int i = 0; i < safetensors_count(file); i++) {
        const struct safetensor *st = safetensors_at(file, i);
        const char *name = strncmp(st->name, "module.", 7) == 0 ? st->name + 7 : st->name;

        int t = model_tensor(model, name);
        if (t < 0 && ignored(name))
            continue;
        if (t < 0)
            return fault_set(why, -EINVAL, "%s: tensor \"%s\" is not part of %s", path, st->name, model->arch);
        if (seen[t])
            return fault_set(why, -EINVAL, "%s: tensor \"%s\" is there twice, with and without \"module.\"", path,
                             name);
        bool dead = model->tensors[t].dead;
        int r = tensor_take(&model->tensors[t], st, path, host + model->tensors[t].offset, dead ? NULL : why);
        if (r < 0 && !dead)
            return r;
        seen[t] = r == 0;
    }
    for (int t = 0; t < model->tensor_count; t++)
        if (!seen[t] && model->tensors[t].dead)
            initial_fill(model, t, 0, host + model->tensors[t].offset);
        else if (!seen[t])
            return fault_set(why, -EINVAL, "%s: tensor \"%s\" is missing", path, model->tensors[t].name);
    return 0;
}

int weights_load(struct weights *w, const char *path, struct fault *why)
{
    struct safetensors *file;
    int r = safetensors_open(path, &file, why);
    if (r < 0)
        return r;

    bool *seen = calloc((size_t)w->model->tensor_count, sizeof(*seen));
    floats_auto *host = vector_alloc(w, why);
    if (!seen)
        r = fault_set(why, -ENOMEM, "no memory to load %s", path);
    else
        r = host ? file_take(w->model, file, path, host, seen, why) : -ENOMEM;
    free(seen);
    safetensors_close(file);
    if (r < 0)
        return r;
    r = weights_set(w, host);
    return r < 0 ? fault_set(why, r, "%s", device_errmsg(w->dev)) : 0;
}

/* ---- saving ------------------------------------------------------------------- */

/* What safetensors_write wants: rows, and the names of PyTorch's counters. */
struct saving {
    struct safetensor *rows;
    char (*counter_name)[80];
    int count;
};

static void saving_done(struct saving *s)
{
    free(s->rows);
    free(s->counter_name);
}

static const int64_t no_batches = 0;

/* Row of tensor t, and of the counter that follows a running variance. */
static void saving_add(struct saving *s, const struct tensor_info *info, const float *host)
{
    struct safetensor *row = &s->rows[s->count++];

    *row = (struct safetensor){ .name = info->name,
                                .dtype = DTYPE_F32,
                                .rank = info->rank,
                                .data = host + info->offset,
                                .size = (size_t)info->count * sizeof(float) };
    for (int i = 0; i < info->rank; i++)
        row->shape[i] = info->shape[i];
    if (info->role != TENSOR_BN_VAR)
        return;
    char *name = s->counter_name[s->count];
    int layer = (int)(strlen(info->name) - strlen("running_var"));
    snprintf(name, sizeof(s->counter_name[0]), "%.*snum_batches_tracked", layer, info->name);
    s->rows[s->count++] = (struct safetensor){
        .name = name, .dtype = DTYPE_I64, .rank = 0, .data = &no_batches, .size = sizeof(no_batches)
    };
}

/* Numbers that weights_load would refuse don't become a file. */
static int finite_check(const struct model *model, const float *host, const char *name, struct fault *why)
{
    for (int t = 0; t < model->tensor_count; t++) {
        const struct tensor_info *info = &model->tensors[t];

        for (int64_t i = 0; i < info->count; i++)
            if (!isfinite(host[info->offset + i]))
                return fault_set(why, -EDOM, "%s: tensor \"%s\" has a value that is not finite (element %lld)", name,
                                 info->name, (long long)i);
    }
    return 0;
}

int weights_save(const struct weights *w, const char *dir, const char *name, const char *model_json,
                 char ret_sha256[65], int64_t *ret_size, struct fault *why)
{
    size_t most = (size_t)w->model->tensor_count * 2;
    __attribute__((cleanup(saving_done))) struct saving s = { calloc(most, sizeof(*s.rows)),
                                                              calloc(most, sizeof(*s.counter_name)), 0 };
    floats_auto *host = vector_alloc(w, why);

    if (!host)
        return -ENOMEM;
    if (!s.rows || !s.counter_name)
        return fault_set(why, -ENOMEM, "no memory to save %s", name);
    int r = weights_get(w, host);
    if (r < 0)
        return fault_set(why, r, "%s", device_errmsg(w->dev));
    r = finite_check(w->model, host, name, why);
    if (r < 0)
        return r;
    for (int t = 0; t < w->model->tensor_count; t++)
        saving_add(&s, &w->model->tensors[t], host);

    json_auto_t *metadata = json_pack("{s:s, s:s}", "format", "pt", "model", model_json);
    if (!metadata)
        return fault_set(why, -ENOMEM, "no memory to save %s", name);
    return safetensors_write(dir, name, s.rows, s.count, metadata, ret_sha256, ret_size, why);
}
