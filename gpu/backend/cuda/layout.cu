/* How do numbers get from the order of the seam to that of the card, and back?
 *
 * Plain images are NCHW, activations NHWC with padded channels; plain weights
 * OIHW, packed ones OHWI padded both ways. Padding is written as zero each
 * time, so that nobody ever has to look at it. */
#include "gpu/backend/cuda/eight.cuh"

/* One thread a pixel and eight channels: reads along planes, neighbours read neighbours. */
template <class T> __global__ void pack_image(struct extent s, int vecs, const float *plain, T *activation)
{
    int64_t plane = (int64_t)s.h * s.w, count = s.n * plane;

    for (int64_t i = loop_first(); i < count * vecs; i += loop_stride()) {
        int64_t pixel = i % count, n = pixel / plane, at = pixel % plane;
        int vec = (int)(i / count);
        float v[8];

#pragma unroll
        for (int k = 0; k < 8; k++) {
            int c = vec * 8 + k;

            v[k] = c < s.c ? plain[(n * s.c + c) * plane + at] : 0.0f;
        }
        store8(activation + (pixel * vecs + vec) * 8, v);
    }
}

template <class T> __global__ void unpack_image(struct extent s, int vecs, const T *activation, float *plain)
{
    int64_t plane = (int64_t)s.h * s.w, count = s.n * plane;

    for (int64_t i = loop_first(); i < count * vecs; i += loop_stride()) {
        int64_t pixel = i % count, n = pixel / plane, at = pixel % plane;
        int vec = (int)(i / count);
        float v[8];

        load8(activation + (pixel * vecs + vec) * 8, v);
#pragma unroll
        for (int k = 0; k < 8; k++) {
            int c = vec * 8 + k;

            if (c < s.c)
                plain[(n * s.c + c) * plane + at] = v[k];
        }
    }
}

/* [Op,T,Ip] then [Op]: one thread an element, those of the bias last. */
template <class T>
__global__ void pack_weights(int o_count, int i_count, int taps, const float *w, const float *scale, const float *bias,
                             T *packed, T *packed_bias)
{
    int op = channels_padded(o_count), ip = channels_padded(i_count);
    int64_t count = (int64_t)op * taps * ip;

    for (int64_t at = loop_first(); at < count + op; at += loop_stride()) {
        if (at >= count) {
            int o = (int)(at - count);

            put(packed_bias + o, bias && o < o_count ? bias[o] : 0.0f);
            continue;
        }
        int i = (int)(at % ip), tap = (int)(at / ip % taps), o = (int)(at / ip / taps);
        float v = 0.0f;

        if (o < o_count && i < i_count)
            v = w[((int64_t)o * i_count + i) * taps + tap] * (scale ? scale[o] : 1.0f);
        put(packed + at, v);
    }
}

template <class T>
__global__ void unpack_weights(int o_count, int i_count, int taps, const T *packed, float *w)
{
    int ip = channels_padded(i_count);

    for (int64_t at = loop_first(); at < (int64_t)o_count * i_count * taps; at += loop_stride()) {
        int tap = (int)(at % taps), i = (int)(at / taps % i_count);
        int64_t o = at / taps / i_count;

        w[at] = as_float(packed[(o * taps + tap) * ip + i]);
    }
}

/* W: the widest word that all rows are made of. */
template <class W> __global__ void gather(W *to, const W *from, size_t words, const int32_t *index, int n)
{
    for (int64_t i = loop_first(); i < (int64_t)n * (int64_t)words; i += loop_stride()) {
        int64_t row = i / (int64_t)words, at = i % (int64_t)words;

        to[i] = from[(int64_t)index[row] * (int64_t)words + at];
    }
}

template <class T>
__global__ void epilogue(int64_t eights, int vecs, const T *residual, const T *bias, bool relu, T *y)
{
    for (int64_t i = loop_first(); i < eights; i += loop_stride()) {
        float v[8], r[8] = { 0 }, b[8] = { 0 };

        load8(y + i * 8, v);
        if (residual)
            load8(residual + i * 8, r);
        if (bias)
            load8(bias + i % vecs * 8, b);
#pragma unroll
        for (int k = 0; k < 8; k++) {
            float sum = v[k] + r[k] + b[k];

            v[k] = relu ? relu_or_nan(sum) : sum;
        }
        store8(y + i * 8, v);
    }
}

template <class T> __global__ void noise(int64_t count, T *to)
{
    for (int64_t i = loop_first(); i < count; i += loop_stride()) {
        struct philox four = philox(1, 0, 0, (uint64_t)i, 0);

        put(to + i, 2.0f * philox_unit(four.word[0]) - 1.0f);
    }
}

__global__ void trap(void)
{
    __trap();
}

extern "C" cudaError_t kernel_pack_image(cudaStream_t stream, bool bf16, struct extent s, const float *plain,
                                         void *activation)
{
    IN_FORMAT(bf16, pack_image, blocks_for(extent_eights(s)), BLOCK, stream, T, s, channels_padded(s.c) / 8, plain,
              (T *)activation);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_unpack_image(cudaStream_t stream, bool bf16, struct extent s, const void *activation,
                                           float *plain)
{
    IN_FORMAT(bf16, unpack_image, blocks_for(extent_eights(s)), BLOCK, stream, T, s, channels_padded(s.c) / 8,
              (const T *)activation, plain);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_pack_weights(cudaStream_t stream, bool bf16, int o, int i, int taps, const float *w,
                                           const float *scale, const float *bias, void *packed, void *packed_bias)
{
    int64_t count = (int64_t)channels_padded(o) * taps * channels_padded(i) + channels_padded(o);

    IN_FORMAT(bf16, pack_weights, blocks_for(count), BLOCK, stream, T, o, i, taps, w, scale, bias, (T *)packed,
              (T *)packed_bias);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_unpack_weights(cudaStream_t stream, bool bf16, int o, int i, int taps,
                                             const void *packed, float *w)
{
    IN_FORMAT(bf16, unpack_weights, blocks_for((int64_t)o * i * taps), BLOCK, stream, T, o, i, taps,
              (const T *)packed, w);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_gather_rows(cudaStream_t stream, void *to, const void *from, size_t row_bytes,
                                          const int32_t *index, int n)
{
    uintptr_t all = (uintptr_t)to | (uintptr_t)from | row_bytes;
    int blocks = blocks_for((int64_t)(row_bytes / (all % 16 == 0 ? 16 : all % 4 == 0 ? 4 : 1)) * n);

    if (all % 16 == 0)
        LAUNCH(gather, blocks, BLOCK, stream, (uint4 *)to, (const uint4 *)from, row_bytes / 16, index, n);
    else if (all % 4 == 0)
        LAUNCH(gather, blocks, BLOCK, stream, (uint32_t *)to, (const uint32_t *)from, row_bytes / 4, index, n);
    else
        LAUNCH(gather, blocks, BLOCK, stream, (uint8_t *)to, (const uint8_t *)from, row_bytes, index, n);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_epilogue(cudaStream_t stream, bool bf16, struct extent s, const void *residual,
                                       const void *bias, bool relu, void *y)
{
    IN_FORMAT(bf16, epilogue, blocks_for(extent_eights(s)), BLOCK, stream, T, extent_eights(s),
              channels_padded(s.c) / 8, (const T *)residual, (const T *)bias, relu, (T *)y);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_noise(cudaStream_t stream, bool bf16, size_t count, void *to)
{
    IN_FORMAT(bf16, noise, blocks_for((int64_t)count), BLOCK, stream, T, (int64_t)count, (T *)to);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_trap(cudaStream_t stream)
{
    LAUNCH(trap, 1, 1, stream);
    return cudaGetLastError();
}
