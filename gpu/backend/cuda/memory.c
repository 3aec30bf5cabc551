/* Memory of the card, and data on their way there and back.
 *
 * Everything goes through the one stream, so it happens in the order of the
 * calls. Writing waits until the source has been read, and so for all before it;
 * reading waits too. Small host arrays that a kernel needs (crops, ids, row
 * numbers) go through a ring of pinned stages, so that the host runs ahead. */
#include "gpu/backend/cuda/device.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

void *cuda_memory(struct cuda_device *d, size_t bytes)
{
    size_t free_bytes = 0, total = 0;
    void *memory = NULL;

    cudaError_t r = cudaMalloc(&memory, bytes ? bytes : 64);
    if (r == cudaSuccess)
        return memory;
    if (r != cudaErrorMemoryAllocation) { /* of something before it, perhaps */
        cuda_result(d, r, "taking memory");
        return NULL;
    }
    cudaGetLastError(); /* it has been heard */
    if (cudaMemGetInfo(&free_bytes, &total) != cudaSuccess)
        cudaGetLastError();
    snprintf(d->base.message, sizeof(d->base.message), "no memory for %zu bytes: %zu of %zu are free", bytes,
             free_bytes, total);
    return NULL;
}

void *cuda_alloc(struct device *dev, size_t bytes)
{
    struct cuda_device *d = cuda(dev);
    void *memory = cuda_memory(d, bytes);

    if (memory && cuda_result(d, cudaMemsetAsync(memory, 0, bytes ? bytes : 64, d->stream), "clearing memory") < 0) {
        cudaFree(memory);
        return NULL;
    }
    return memory;
}

void cuda_free(struct device *dev, void *memory)
{
    struct cuda_device *d = cuda(dev);

    if (!memory)
        return;
    cudaStreamSynchronize(d->stream); /* nobody may be using it */
    cudaFree(memory);
}

int cuda_write(struct device *dev, void *to, const void *host, size_t bytes)
{
    struct cuda_device *d = cuda(dev);

    int r;

    assert(!d->recording);
    r = cuda_result(d, cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice, d->stream), "writing");
    return r < 0 ? r : cuda_result(d, cudaStreamSynchronize(d->stream), "waiting for the card");
}

int cuda_read(struct device *dev, void *host, const void *from, size_t bytes)
{
    struct cuda_device *d = cuda(dev);
    int r;

    assert(!d->recording);
    if (d->trap_countdown > 0 && --d->trap_countdown == 0)
        kernel_trap(d->stream); /* a fault on request, to see that whoever is above lives through it */
    r = cuda_result(d, cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, d->stream), "reading");
    return r < 0 ? r : cuda_result(d, cudaStreamSynchronize(d->stream), "waiting for the card");
}

int cuda_copy(struct device *dev, void *to, const void *from, size_t bytes)
{
    struct cuda_device *d = cuda(dev);

    return cuda_result(d, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, d->stream), "copying");
}

/* ---- stages ---- */

int stage_write(struct cuda_device *d, const void *host, size_t bytes, const void **ret)
{
    struct stage *stage = &d->stages[d->next_stage];
    int r;

    assert(!d->recording && bytes <= STAGE_BYTES);
    r = cuda_result(d, cudaEventSynchronize(stage->used), "waiting for the card");
    if (r < 0)
        return r;
    memcpy(stage->host, host, bytes);
    *ret = stage->device;
    return cuda_result(d, cudaMemcpyAsync(stage->device, stage->host, bytes, cudaMemcpyHostToDevice, d->stream),
                       "writing");
}

int stage_used(struct cuda_device *d)
{
    struct stage *stage = &d->stages[d->next_stage];

    d->next_stage = (d->next_stage + 1) % STAGES;
    return cuda_result(d, cudaEventRecord(stage->used, d->stream), "marking the stream");
}

/* ---- activations ---- */

size_t cuda_activation_bytes(struct device *dev, struct shape s)
{
    return (size_t)s.n * (size_t)s.h * (size_t)s.w * (size_t)channels_padded(s.c) * element_bytes(cuda(dev));
}

/* By way of plain memory on the card; for tests, so it may take its time. */
int cuda_activation_write(struct device *dev, struct shape s, void *to, const float *host_nchw)
{
    struct cuda_device *d = cuda(dev);
    size_t bytes = (size_t)shape_count(s) * sizeof(float);
    float *plain = cuda_memory(d, bytes);
    int r = plain ? cuda_write(dev, plain, host_nchw, bytes) : cuda_no_memory(d);

    if (r == 0)
        r = cuda_result(d, kernel_pack_image(d->stream, d->bf16, extent_of(s), plain, to), "packing an activation");
    cuda_free(dev, plain);
    return r;
}

int cuda_activation_read(struct device *dev, struct shape s, float *host_nchw, const void *from)
{
    struct cuda_device *d = cuda(dev);
    size_t bytes = (size_t)shape_count(s) * sizeof(float);
    float *plain = cuda_memory(d, bytes);
    int r = plain ? cuda_result(d, kernel_unpack_image(d->stream, d->bf16, extent_of(s), from, plain),
                                "unpacking an activation")
                  : cuda_no_memory(d);

    if (r == 0)
        r = cuda_read(dev, host_nchw, plain, bytes);
    cuda_free(dev, plain);
    return r;
}

int cuda_gather_rows(struct device *dev, void *to, const void *from, size_t row_bytes, const int32_t *index, int n)
{
    struct cuda_device *d = cuda(dev);
    const int most = STAGE_BYTES / (int)sizeof(*index);
    int r = 0;

    for (int first = 0; first < n && r == 0; first += most) {
        int rows = n - first < most ? n - first : most;
        const void *staged;

        r = stage_write(d, index + first, (size_t)rows * sizeof(*index), &staged);
        if (r == 0)
            r = cuda_result(
                d, kernel_gather_rows(d->stream, (char *)to + (size_t)first * row_bytes, from, row_bytes, staged, rows),
                "gathering rows");
        if (r == 0)
            r = stage_used(d);
    }
    return r;
}
