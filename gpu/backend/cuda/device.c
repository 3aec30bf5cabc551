/* How does a graphics card become a device?
 *
 * One stream, in which everything happens in the order of the calls; one cuDNN
 * handle in that stream; a little memory of our own for sums and for host
 * arrays on their way. Activations are NHWC in float or bf16 (layout.cu),
 * convolutions are cuDNN's (conv.c), the rest are kernels of ours.
 *
 *   float32  no tensor cores: the numbers of the CPU but for the order of sums
 *   tf32     as float32, convolutions on tensor cores with 10 bits of mantissa
 *   bf16     activations and packed weights in bf16, everything else float32
 *
 * Surprising: a fault of the card (an illegal address, an error of its memory)
 * can't be repaired within a process. From then on every call answers -ENODEV,
 * and the worker ends; the daemon starts another. */
#include "gpu/backend/cuda/choice.h"
#include "gpu/backend/cuda/device_attack.h"
#include "gpu/backend/cuda/nvml.h"
#include "gpu/backend/cuda_module.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OLDEST_MAJOR = 8 }; /* compute capability; older ones have neither bf16 nor code in this module */
enum { SUMS = 512 << 10, COUNTERS = 1024 };

/* ---- errors ---------------------------------------------------------------------------- */

/* Errors after which the card is as it was. All others end the context, or may. */
static bool survivable(cudaError_t r)
{
    static const cudaError_t list[] = { cudaErrorMemoryAllocation,         cudaErrorInvalidValue,
                                        cudaErrorInvalidConfiguration,     cudaErrorNotSupported,
                                        cudaErrorStreamCaptureUnsupported, cudaErrorStreamCaptureInvalidated,
                                        cudaErrorStreamCaptureMerge,       cudaErrorStreamCaptureUnmatched,
                                        cudaErrorStreamCaptureUnjoined,    cudaErrorStreamCaptureIsolation,
                                        cudaErrorStreamCaptureImplicit,    cudaErrorStreamCaptureWrongThread,
                                        cudaErrorGraphExecUpdateFailure };

    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
        if (list[i] == r)
            return true;
    return false;
}

static int lost(struct cuda_device *d)
{
    d->base.lost = true;
    return -ENODEV;
}

int cuda_result(struct cuda_device *d, cudaError_t r, const char *what)
{
    if (d->base.lost)
        return -ENODEV;
    if (r == cudaSuccess)
        return 0;
    cudaGetLastError(); /* it has been heard */
    snprintf(d->base.message, sizeof(d->base.message), "%s: %s (%s)", what, cudaGetErrorString(r), cudaGetErrorName(r));
    if (r == cudaErrorMemoryAllocation)
        return -ENOMEM;
    return survivable(r) ? -EIO : lost(d);
}

/* The stream knows of every fault. cudaGetLastError only knows of what calls of ours have returned:
 * cuDNN brings a runtime of its own. While a stream is recorded it can't be asked. */
int cuda_beneath(struct cuda_device *d, int r, const char *what)
{
    cudaError_t under = d->recording ? cudaGetLastError() : cudaStreamQuery(d->stream);

    if (under == cudaErrorNotReady)
        cudaGetLastError(); /* it has been heard, and isn't an error */
    else if (under != cudaSuccess && !survivable(under))
        return cuda_result(d, under, what);
    return d->base.lost ? -ENODEV : r;
}

int cuda_dnn_result(struct cuda_device *d, cudnnStatus_t status, const char *what)
{
    char words[128] = "";

    if (d->base.lost)
        return -ENODEV;
    if (status == CUDNN_STATUS_SUCCESS)
        return 0;
    if (cuda_beneath(d, 0, what) < 0)
        return -ENODEV;
    cudnnGetLastErrorString(words, sizeof(words));
    snprintf(d->base.message, sizeof(d->base.message), "%s: %s %s", what, cudnnGetErrorString(status), words);
    return -EIO;
}

/* ---- which cards are there ------------------------------------------------------------------ */

static int count_cards(struct fault *why)
{
    int count = 0, driver = 0;
    cudaError_t r = cudaGetDeviceCount(&count);

    if (r == cudaSuccess && count > 0)
        return count;
    cudaGetLastError();
    cudaDriverGetVersion(&driver);
    if (r == cudaErrorInsufficientDriver && driver > 0)
        return fault_set(why, -ENODEV, "no CUDA device: the driver knows CUDA %d.%d, %d.%d is needed", driver / 1000,
                         driver % 1000 / 10, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
    if (r == cudaErrorInsufficientDriver)
        return fault_set(why, -ENODEV, "no CUDA device: there is no driver");
    return fault_set(why, -ENODEV, "no CUDA device: %s", r == cudaSuccess ? "no card" : cudaGetErrorString(r));
}

/* "cuda" is card 0, "cuda:N" card N. */
static int ordinal_of(const char *id)
{
    const char *colon = strchr(id, ':');

    return colon ? atoi(colon + 1) : 0;
}

static int find_card(const char *id, int *ret, struct cudaDeviceProp *ret_properties, struct fault *why)
{
    int count = count_cards(why), ordinal = ordinal_of(id);

    if (count < 0)
        return count;
    if (ordinal < 0 || ordinal >= count)
        return fault_set(why, -ENODEV, "device \"%s\": there are %d CUDA devices, cuda:0 to cuda:%d", id, count,
                         count - 1);
    cudaError_t r = cudaGetDeviceProperties(ret_properties, ordinal);
    if (r != cudaSuccess)
        return fault_set(why, -ENODEV, "device \"%s\": %s", id, cudaGetErrorString(r));
    if (ret_properties->major < OLDEST_MAJOR)
        return fault_set(why, -ENODEV, "device \"%s\": %s has compute capability %d.%d, %d.0 is needed", id,
                         ret_properties->name, ret_properties->major, ret_properties->minor, OLDEST_MAJOR);
    *ret = ordinal;
    return 0;
}

/* Every card that we take can compute in all formats. */
static int precision_check(const char *id, enum precision precision, struct fault *why)
{
    (void)id;
    (void)precision;
    (void)why;
    return 0;
}

static void put_number(json_t *object, const char *key, bool known, unsigned long long value)
{
    if (known)
        json_object_set_new(object, key, json_integer((json_int_t)value));
}

static json_t *about_card(int ordinal)
{
    struct cudaDeviceProp p;
    struct nvml_reading now = { 0 };
    char bus_id[32] = "", capability[16];

    if (cudaGetDeviceProperties(&p, ordinal) != cudaSuccess)
        return NULL;
    snprintf(capability, sizeof(capability), "%d.%d", p.major, p.minor);
    json_t *about = json_pack("{s:s, s:s, s:s, s:I}", "name", p.name, "type", "gpu", "compute_capability", capability,
                              "memory_bytes", (json_int_t)p.totalGlobalMem);
    if (cudaDeviceGetPCIBusId(bus_id, sizeof(bus_id), ordinal) == cudaSuccess)
        nvml_read(bus_id, &now);
    put_number(about, "memory_used_bytes", now.has_memory, now.used_bytes);
    put_number(about, "utilization_percent", now.has_utilization, now.utilization_percent);
    put_number(about, "temperature_c", now.has_temperature, now.temperature_c);
    return about;
}

static json_t *describe(struct device *dev)
{
    struct cuda_device *d = cuda(dev);
    size_t version = cudnnGetVersion();
    char library[64], id[24];

    snprintf(library, sizeof(library), "CUDA %d.%d, cuDNN %zu.%zu.%zu", CUDART_VERSION / 1000,
             CUDART_VERSION % 1000 / 10, version / 10000, version % 10000 / 100, version % 100);
    snprintf(id, sizeof(id), "cuda:%d", d->ordinal);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:I}", "id", id, "name", d->name, "type", "gpu", "library",
                     library, "precision", job_precisions[dev->precision], "deterministic", dev->deterministic,
                     "memory_bytes", (json_int_t)d->memory_bytes);
}

/* ---- opening ------------------------------------------------------------------------------------- */

static void device_stop(struct device *dev)
{
    struct cuda_device *d = cuda(dev);

    if (!d)
        return;
    if (d->stream)
        cudaStreamSynchronize(d->stream);
    choices_done(d);
    if (d->dnn)
        cudnnDestroy(d->dnn);
    for (int i = 0; i < STAGES; i++) {
        if (d->stages[i].used)
            cudaEventDestroy(d->stages[i].used);
        cudaFreeHost(d->stages[i].host);
        cudaFree(d->stages[i].device);
    }
    cudaFree(d->collector.sums);
    cudaFree(d->collector.arrived);
    cudaFree(d->number);
    cudaFreeHost(d->number_host);
    if (d->stream)
        cudaStreamDestroy(d->stream);
    free(d);
}

static int open_stages(struct cuda_device *d)
{
    cudaError_t r = cudaSuccess;

    for (int i = 0; i < STAGES && r == cudaSuccess; i++) {
        struct stage *stage = &d->stages[i];

        r = cudaEventCreateWithFlags(&stage->used, cudaEventDisableTiming);
        if (r == cudaSuccess)
            r = cudaMallocHost(&stage->host, STAGE_BYTES);
        if (r == cudaSuccess)
            r = cudaMalloc(&stage->device, STAGE_BYTES);
    }
    return cuda_result(d, r, "opening the card");
}

static int open_collector(struct cuda_device *d)
{
    cudaError_t r = cudaMalloc((void **)&d->collector.sums, SUMS * sizeof(double));

    d->collector.sums_count = SUMS;
    d->collector.arrived_count = COUNTERS;
    if (r == cudaSuccess)
        r = cudaMalloc((void **)&d->collector.arrived, COUNTERS * sizeof(unsigned));
    if (r == cudaSuccess)
        r = cudaMemsetAsync(d->collector.arrived, 0, COUNTERS * sizeof(unsigned), d->stream);
    if (r == cudaSuccess)
        r = cudaMalloc((void **)&d->number, sizeof(double));
    if (r == cudaSuccess)
        r = cudaMallocHost((void **)&d->number_host, sizeof(double));
    return cuda_result(d, r, "opening the card");
}

static int open_card(struct cuda_device *d)
{
    int r = cuda_result(d, cudaSetDevice(d->ordinal), "opening the card");

    if (r == 0)
        r = cuda_result(d, cudaStreamCreateWithFlags(&d->stream, cudaStreamNonBlocking), "opening the card");
    if (r == 0)
        r = cuda_dnn_result(d, cudnnCreate(&d->dnn), "opening cuDNN");
    if (r == 0)
        r = cuda_dnn_result(d, cudnnSetStream(d->dnn, d->stream), "opening cuDNN");
    if (r == 0)
        r = open_collector(d);
    if (r == 0)
        r = open_stages(d);
    return r == 0 ? cuda_result(d, cudaStreamSynchronize(d->stream), "opening the card") : r;
}

extern const struct backend backend_cuda;

static int device_start(const char *id, enum precision precision, int threads, struct device **ret, struct fault *why)
{
    struct cudaDeviceProp properties;
    const char *trap = getenv("RIFT_CUDA_TRAP_AFTER");
    int ordinal = 0, r = find_card(id, &ordinal, &properties, why);

    (void)threads;
    if (r < 0)
        return r;
    struct cuda_device *d = calloc(1, sizeof(*d));
    if (!d)
        return fault_set(why, -ENOMEM, "no memory to open device \"%s\"", id);
    d->base.ops = &backend_cuda;
    d->base.precision = precision;
    d->ordinal = ordinal;
    d->bf16 = precision == PRECISION_BF16;
    d->memory_bytes = properties.totalGlobalMem;
    d->collector.processors = properties.multiProcessorCount;
    snprintf(d->name, sizeof(d->name), "%s", properties.name);
    r = open_card(d);
    if (r < 0) {
        fault_set(why, r == -ENOMEM ? r : -ENODEV, "device \"%s\": %s", id, d->base.message);
        device_stop(&d->base);
        return r == -ENOMEM ? r : -ENODEV;
    }
    d->trap_countdown = trap ? atol(trap) : 0;
    *ret = &d->base;
    return 0;
}

/* ---- the table ------------------------------------------------------------------------------------- */

const struct backend backend_cuda = {
    .name = "cuda",
    .precision_check = precision_check,
    .device_open = device_start,
    .device_close = device_stop,
    .describe = describe,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .write = cuda_write,
    .read = cuda_read,
    .copy = cuda_copy,
    .activation_bytes = cuda_activation_bytes,
    .activation_write = cuda_activation_write,
    .activation_read = cuda_activation_read,
    .repeat = cuda_repeat,
    .recording_free = cuda_recording_free,
    .gather_rows = cuda_gather_rows,
    .conv_open = cuda_conv_open,
    .conv_close = cuda_conv_close,
    .conv_packed_bytes = cuda_conv_packed_bytes,
    .conv_scratch_bytes = cuda_conv_scratch_bytes,
    .conv_pack = cuda_conv_pack,
    .conv_forward = cuda_conv_forward,
    .conv_backward_data = cuda_conv_backward_data,
    .conv_backward_weights = cuda_conv_backward_weights,
    .bn_forward = cuda_bn_forward,
    .bn_backward = cuda_bn_backward,
    .bn_fold = cuda_bn_fold,
    .bn_unfold = cuda_bn_unfold,
    .affine_forward = cuda_affine_forward,
    .affine_backward = cuda_affine_backward,
    .relu_backward = cuda_relu_backward,
    .channel_sum = cuda_channel_sum,
    .pool_forward = cuda_pool_forward,
    .pool_backward = cuda_pool_backward,
    .linear_forward = cuda_linear_forward,
    .linear_backward_data = cuda_linear_backward_data,
    .linear_backward_weights = cuda_linear_backward_weights,
    .cross_entropy = cuda_cross_entropy,
    .kl_loss = cuda_kl_loss,
    .mart_loss = cuda_mart_loss,
    .lse_loss = cuda_lse_loss,
    .margin_loss = cuda_margin_loss,
    .copy_rows = cuda_copy_rows,
    .row_distance = cuda_row_distance,
    .apgd_start = cuda_apgd_start,
    .apgd_step = cuda_apgd_step,
    .fab_step = cuda_fab_step,
    .fab_back = cuda_fab_back,
    .square_start = cuda_square_start,
    .square_step = cuda_square_step,
    .load_batch = cuda_load_batch,
    .normalize = cuda_normalize,
    .normalize_backward = cuda_normalize_backward,
    .pgd_start = cuda_pgd_start,
    .normal_start = cuda_normal_start,
    .pgd_step = cuda_pgd_step,
    .sgd_step = cuda_sgd_step,
    .axpy = cuda_axpy,
    .interpolate = cuda_interpolate,
    .project = cuda_project,
    .norm = cuda_norm,
};

__attribute__((visibility("default"))) extern const struct cuda_module rift_cuda_module;
const struct cuda_module rift_cuda_module = { sizeof(struct backend), &backend_cuda, count_cards, about_card };
