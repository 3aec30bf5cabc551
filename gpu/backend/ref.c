/* What is right? The oracle: backend.h's formulas in plain C.
 *
 * The idea: loops one can check by reading, sums in double, an activation is
 * just NCHW. Nothing here is meant to be fast; only convolutions use threads,
 * each output element by one thread, so that the thread count changes no bit.
 *
 * This file holds the device, its memory and the table; ref_conv.c, ref_bn.c,
 * ref_head.c, ref_pixels.c, ref_attack.c and ref_parameters.c are the table's sections. */
#include "gpu/backend/ref.h"

#include <errno.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

/* ---- device and memory ------------------------------------------------------ */

/* One format only: what is compared with it is compared with the formulas themselves. */
static int precision_check(const char *id, enum precision precision, struct fault *why)
{
    if (precision == PRECISION_FLOAT32)
        return 0;
    return fault_set(why, -ENOTSUP, "%s: the reference computes in float32 only, not in %s", id,
                     job_precisions[precision]);
}

static int device_start(const char *id, enum precision precision, int threads, struct device **ret, struct fault *why)
{
    struct ref_device *dev = calloc(1, sizeof(*dev));

    if (!dev)
        return fault_set(why, -ENOMEM, "no memory to open device \"%s\"", id);
    dev->base.ops = &backend_ref;
    dev->base.precision = precision;
    dev->threads = threads > 0 ? threads : omp_get_num_procs();
    *ret = &dev->base;
    return 0;
}

static void device_stop(struct device *dev)
{
    free(dev);
}

static json_t *describe(struct device *dev)
{
    const struct ref_device *ref = (const struct ref_device *)dev;

    return json_pack("{s:s, s:s, s:s, s:i, s:I}", "name", "plain C reference", "type", "cpu", "precision",
                     job_precisions[dev->precision], "threads", ref->threads, "memory_bytes",
                     (json_int_t)device_host_bytes());
}

static void *memory_alloc(struct device *dev, size_t bytes)
{
    (void)dev;
    if (bytes > SIZE_MAX - 64)
        return NULL;
    size_t rounded = bytes ? (bytes + 63) / 64 * 64 : 64; /* aligned_alloc wants a multiple */
    void *memory = aligned_alloc(64, rounded);

    if (memory)
        memset(memory, 0, rounded);
    return memory;
}

static void memory_free(struct device *dev, void *memory)
{
    (void)dev;
    free(memory);
}

static int memory_write(struct device *dev, void *to, const void *host, size_t bytes)
{
    (void)dev;
    memcpy(to, host, bytes);
    return 0;
}

static int memory_read(struct device *dev, void *host, const void *from, size_t bytes)
{
    (void)dev;
    memcpy(host, from, bytes);
    return 0;
}

static int memory_copy(struct device *dev, void *to, const void *from, size_t bytes)
{
    (void)dev;
    memcpy(to, from, bytes);
    return 0;
}

/* ---- activations --------------------------------------------------------------- */

static size_t activation_bytes(struct device *dev, struct shape s)
{
    (void)dev;
    return (size_t)shape_count(s) * sizeof(float);
}

static int activation_write(struct device *dev, struct shape s, void *to, const float *host_nchw)
{
    return memory_write(dev, to, host_nchw, activation_bytes(dev, s));
}

static int activation_read(struct device *dev, struct shape s, float *host_nchw, const void *from)
{
    return memory_read(dev, host_nchw, from, activation_bytes(dev, s));
}

static int gather_rows(struct device *dev, void *to, const void *from, size_t row_bytes, const int32_t *index, int n)
{
    (void)dev;
    for (int i = 0; i < n; i++)
        memcpy((char *)to + (size_t)i * row_bytes, (const char *)from + (size_t)index[i] * row_bytes, row_bytes);
    return 0;
}

/* Nothing is remembered: calling again costs nothing here. */
static int repeat(struct device *dev, struct recording **recording, uint64_t key, int (*run)(void *user), void *user)
{
    (void)dev;
    (void)recording;
    (void)key;
    return run(user);
}

const struct backend backend_ref = {
    .name = "ref",
    .precision_check = precision_check,
    .device_open = device_start,
    .device_close = device_stop,
    .describe = describe,
    .alloc = memory_alloc,
    .free = memory_free,
    .write = memory_write,
    .read = memory_read,
    .copy = memory_copy,
    .activation_bytes = activation_bytes,
    .activation_write = activation_write,
    .activation_read = activation_read,
    .repeat = repeat,
    .gather_rows = gather_rows,
    .conv_open = ref_conv_open,
    .conv_close = ref_conv_close,
    .conv_packed_bytes = ref_conv_packed_bytes,
    .conv_scratch_bytes = ref_conv_scratch_bytes,
    .conv_pack = ref_conv_pack,
    .conv_forward = ref_conv_forward,
    .conv_backward_data = ref_conv_backward_data,
    .conv_backward_weights = ref_conv_backward_weights,
    .bn_forward = ref_bn_forward,
    .bn_backward = ref_bn_backward,
    .bn_fold = ref_bn_fold,
    .bn_unfold = ref_bn_unfold,
    .affine_forward = ref_affine_forward,
    .affine_backward = ref_affine_backward,
    .relu_backward = ref_relu_backward,
    .channel_sum = ref_channel_sum,
    .pool_forward = ref_pool_forward,
    .pool_backward = ref_pool_backward,
    .linear_forward = ref_linear_forward,
    .linear_backward_data = ref_linear_backward_data,
    .linear_backward_weights = ref_linear_backward_weights,
    .cross_entropy = ref_cross_entropy,
    .kl_loss = ref_kl_loss,
    .mart_loss = ref_mart_loss,
    .lse_loss = ref_lse_loss,
    .load_batch = ref_load_batch,
    .normalize = ref_normalize,
    .normalize_backward = ref_normalize_backward,
    .pgd_start = ref_pgd_start,
    .normal_start = ref_normal_start,
    .pgd_step = ref_pgd_step,
    .margin_loss = ref_margin_loss,
    .copy_rows = ref_copy_rows,
    .row_distance = ref_row_distance,
    .apgd_start = ref_apgd_start,
    .apgd_step = ref_apgd_step,
    .fab_step = ref_fab_step,
    .fab_back = ref_fab_back,
    .square_start = ref_square_start,
    .square_step = ref_square_step,
    .sgd_step = ref_sgd_step,
    .axpy = ref_axpy,
    .interpolate = ref_interpolate,
    .project = ref_project,
    .norm = ref_norm,
};
