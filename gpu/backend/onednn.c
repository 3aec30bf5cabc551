/* How does a CPU become a device?
 *
 * oneDNN runs the convolutions; everything that is bound by memory (batch norm
 * with its ReLU and residual, losses, attack steps, SGD) is our own loops, fused
 * so that a tensor is read and written once. This file opens the device, moves
 * data between host order and the blocked layout, and holds the table.
 *
 * Surprising: memory of the device is memory of the host, and still nobody
 * above the seam may look into it. Reductions are cut into pieces that don't
 * depend on the number of threads, so our own loops give the same bits on any
 * number; oneDNN's weight gradients don't. */
#include "gpu/backend/onednn.h"

#include <malloc.h>
#include <sched.h>
#include <stdio.h>

/* ---- device ---- */

static void device_close_onednn(struct device *dev)
{
    struct onednn *d = onednn(dev);

    if (!d)
        return;
    if (d->stream)
        dnnl_stream_destroy(d->stream);
    if (d->engine)
        dnnl_engine_destroy(d->engine);
    free(d->partial);
    free(d);
}

static int allowed_cpus(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
}

enum { LARGE_BYTES = 1 << 20 };

/* Instruction sets by what oneDNN calls them, best first: each holds the bits of those it includes. */
static const struct {
    dnnl_cpu_isa_t isa;
    const char *name;
} instruction_sets[] = {
    { dnnl_cpu_isa_avx512_core_amx, "AMX" },
    { dnnl_cpu_isa_avx512_core_bf16, "AVX512-BF16" },
    { dnnl_cpu_isa_avx512_core_vnni, "AVX512-VNNI" },
    { dnnl_cpu_isa_avx512_core, "AVX512" },
    { dnnl_cpu_isa_avx2, "AVX2" },
    { dnnl_cpu_isa_avx, "AVX" },
    { dnnl_cpu_isa_all, "SSE4.1 or less" },
};

static bool has_isa(dnnl_cpu_isa_t wanted)
{
    return ((unsigned)dnnl_get_effective_cpu_isa() & (unsigned)wanted) == (unsigned)wanted;
}

static const char *isa_name(void)
{
    int i = 0;

    while (!has_isa(instruction_sets[i].isa))
        i++;
    return instruction_sets[i].name;
}

/* Without instructions for it oneDNN emulates bf16, slower than float32: that is no offer. */
static int precision_check(const char *id, enum precision precision, struct fault *why)
{
    (void)id;
    if (precision == PRECISION_FLOAT32 || (precision == PRECISION_BF16 && has_isa(dnnl_cpu_isa_avx512_core_bf16)))
        return 0;
    if (precision == PRECISION_BF16)
        return fault_set(why, -ENOTSUP, "cpu: bf16 needs AVX512-BF16 or AMX; what oneDNN may use here ends at %s",
                         isa_name());
    return fault_set(why, -ENOTSUP, "cpu: no processor computes in %s; that is a format of GPUs",
                     job_precisions[precision]);
}

static int device_open_onednn(const char *id, enum precision precision, int threads, struct device **ret,
                              struct fault *why)
{
    struct onednn *d = calloc(1, sizeof(*d));

    (void)id;
    if (!d)
        return fault_set(why, -ENOMEM, "cpu: out of memory");
    d->device.ops = &backend_onednn;
    d->device.precision = precision;
    d->half = precision == PRECISION_BF16;
    d->threads = threads > 0 && threads < allowed_cpus() ? threads : allowed_cpus();
    mallopt(M_MMAP_THRESHOLD, LARGE_BYTES); /* large memory that is freed goes back at once */
    omp_set_dynamic(0);
    omp_set_num_threads(d->threads);
    d->block = has_isa(dnnl_cpu_isa_avx512_core) ? 16 : 8;
    if (dnnl_engine_create(&d->engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&d->stream, d->engine, dnnl_stream_default_flags) != dnnl_success) {
        device_close_onednn(&d->device);
        return fault_set(why, -ENODEV, "cpu: oneDNN has no engine for this processor");
    }
    *ret = &d->device;
    return 0;
}

/* What the kernel calls the processor, or "cpu". */
static void processor_name(char *ret, size_t size)
{
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[256], name[128];

    snprintf(ret, size, "cpu");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "model name : %127[^\n]", name) == 1) {
            snprintf(ret, size, "%s", name);
            break;
        }
    if (file)
        fclose(file);
}

static json_t *describe(struct device *dev)
{
    struct onednn *d = onednn(dev);
    const dnnl_version_t *version = dnnl_version();
    char library[64], name[128];

    snprintf(library, sizeof(library), "oneDNN %d.%d.%d", version->major, version->minor, version->patch);
    processor_name(name, sizeof(name));
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:I}", "id", "cpu", "name", name, "type", "cpu", "library",
                     library, "isa", isa_name(), "precision", job_precisions[dev->precision], "threads", d->threads,
                     "memory_bytes", (json_int_t)device_host_bytes());
}

static void *memory_alloc(struct device *dev, size_t bytes)
{
    void *memory = NULL;

    (void)dev;
    if (!device_host_fits(bytes) || posix_memalign(&memory, 64, bytes ? bytes : 64) != 0)
        return NULL;
    memset(memory, 0, bytes);
    return memory;
}

static void memory_free(struct device *dev, void *memory)
{
    (void)dev;
    free(memory);
}

static int memory_copy(struct device *dev, void *to, const void *from, size_t bytes)
{
    (void)dev;
    memmove(to, from, bytes);
    return 0;
}

float *onednn_partial(struct onednn *d, size_t count)
{
    if (count > d->partial_count) {
        free(d->partial);
        d->partial_count = 0;
        if (posix_memalign((void **)&d->partial, 64, count * sizeof(float)) != 0) {
            d->partial = NULL;
            return NULL;
        }
        d->partial_count = count;
    }
    return d->partial;
}

/* ---- activations ---- */

static size_t activation_bytes(struct device *dev, struct shape s)
{
    return (size_t)activation_cells(onednn(dev), s) * cell_bytes(onednn(dev));
}

static int activation_write(struct device *dev, struct shape s, void *to, const float *host)
{
    struct onednn *d = onednn(dev);
    int block = d->block, blocks = channel_blocks(d, s.c), pixels = s.h * s.w;

#pragma omp parallel for collapse(2)
    for (int n = 0; n < s.n; n++)
        for (int b = 0; b < blocks; b++)
            for (int p = 0; p < pixels; p++)
                for (int l = 0; l < block; l++) {
                    int c = b * block + l;
                    cell_store(to, (((int64_t)n * blocks + b) * pixels + p) * block + l,
                               c < s.c ? host[((int64_t)n * s.c + c) * pixels + p] : 0, d->half);
                }
    return 0;
}

static int activation_read(struct device *dev, struct shape s, float *host, const void *from)
{
    struct onednn *d = onednn(dev);
    int block = d->block, blocks = channel_blocks(d, s.c), pixels = s.h * s.w;

#pragma omp parallel for collapse(2)
    for (int n = 0; n < s.n; n++)
        for (int c = 0; c < s.c; c++)
            for (int p = 0; p < pixels; p++)
                host[((int64_t)n * s.c + c) * pixels + p] =
                    cell_load(from, (((int64_t)n * blocks + c / block) * pixels + p) * block + c % block, d->half);
    return 0;
}

static int gather_rows(struct device *dev, void *to, const void *from, size_t row_bytes, const int32_t *index, int n)
{
    (void)dev;
#pragma omp parallel for
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

const struct backend backend_onednn = {
    .name = "cpu",
    .precision_check = precision_check,
    .device_open = device_open_onednn,
    .device_close = device_close_onednn,
    .describe = describe,
    .alloc = memory_alloc,
    .free = memory_free,
    .write = memory_copy,
    .read = memory_copy,
    .copy = memory_copy,
    .activation_bytes = activation_bytes,
    .activation_write = activation_write,
    .activation_read = activation_read,
    .repeat = repeat,
    .gather_rows = gather_rows,
    .conv_open = onednn_conv_open,
    .conv_close = onednn_conv_close,
    .conv_packed_bytes = onednn_conv_packed_bytes,
    .conv_scratch_bytes = onednn_conv_scratch_bytes,
    .conv_pack = onednn_conv_pack,
    .conv_forward = onednn_conv_forward,
    .conv_backward_data = onednn_conv_backward_data,
    .conv_backward_weights = onednn_conv_backward_weights,
    .bn_forward = onednn_bn_forward,
    .bn_backward = onednn_bn_backward,
    .bn_fold = onednn_bn_fold,
    .bn_unfold = onednn_bn_unfold,
    .affine_forward = onednn_affine_forward,
    .affine_backward = onednn_affine_backward,
    .relu_backward = onednn_relu_backward,
    .channel_sum = onednn_channel_sum,
    .pool_forward = onednn_pool_forward,
    .pool_backward = onednn_pool_backward,
    .linear_forward = onednn_linear_forward,
    .linear_backward_data = onednn_linear_backward_data,
    .linear_backward_weights = onednn_linear_backward_weights,
    .cross_entropy = onednn_cross_entropy,
    .kl_loss = onednn_kl_loss,
    .mart_loss = onednn_mart_loss,
    .lse_loss = onednn_lse_loss,
    .load_batch = onednn_load_batch,
    .normalize = onednn_normalize,
    .normalize_backward = onednn_normalize_backward,
    .pgd_start = onednn_pgd_start,
    .normal_start = onednn_normal_start,
    .pgd_step = onednn_pgd_step,
    .margin_loss = onednn_margin_loss,
    .copy_rows = onednn_copy_rows,
    .row_distance = onednn_row_distance,
    .apgd_start = onednn_apgd_start,
    .apgd_step = onednn_apgd_step,
    .fab_step = onednn_fab_step,
    .fab_back = onednn_fab_back,
    .square_start = onednn_square_start,
    .square_step = onednn_square_step,
    .sgd_step = onednn_sgd_step,
    .axpy = onednn_axpy,
    .interpolate = onednn_interpolate,
    .project = onednn_project,
    .norm = onednn_norm,
};
