/* Pixels on the card: cutting a batch out of stored images, normalising, the
 * halves of PGD. Plain NCHW; each element is one call into elements.h, so the
 * bits are those of the other devices. */
#include "gpu/backend/cuda/eight.cuh"

__global__ void load_batch(struct extent s, const uint8_t *images, const struct window *crops, bool zeros, float *x)
{
    int64_t count = (int64_t)s.n * s.c * s.h * s.w;

    for (int64_t at = loop_first(); at < count; at += loop_stride()) {
        int column = (int)(at % s.w), row = (int)(at / s.w % s.h), channel = (int)(at / s.w / s.h % s.c);
        int64_t i = at / s.w / s.h / s.c;

        x[at] = window_pixel(images, crops[i], s.c, s.h, s.w, zeros, channel, row, column);
    }
}

__global__ void normalize(struct extent s, const float *x, struct per_channel p, float *out)
{
    int64_t plane = (int64_t)s.h * s.w, count = s.n * plane * s.c;

    for (int64_t at = loop_first(); at < count; at += loop_stride()) {
        int c = (int)(at / plane % s.c);

        out[at] = normalized(x[at], pick(p.mean, c), pick(p.std, c));
    }
}

__global__ void normalize_backward(struct extent s, const float *gn, struct per_channel p, float *gx)
{
    int64_t plane = (int64_t)s.h * s.w, count = s.n * plane * s.c;

    for (int64_t at = loop_first(); at < count; at += loop_stride())
        gx[at] = gn[at] / pick(p.std, (int)(at / plane % s.c));
}

/* One thread a Philox block: four neighbouring elements of an example. */
__global__ void pgd_start(int n, int64_t per_example, const float *x, float epsilon, struct start_key key,
                          const int64_t *id, float *x_adv)
{
    int64_t blocks = (per_example + 3) / 4;

    for (int64_t i = loop_first(); i < n * blocks; i += loop_stride()) {
        int64_t example = i / blocks, block = i % blocks;
        struct philox four = philox(key.seed, key.purpose, key.epoch, (uint64_t)id[example], (uint32_t)block);

#pragma unroll
        for (int lane = 0; lane < 4; lane++) {
            int64_t e = block * 4 + lane, at = example * per_example + e;

            if (e < per_example)
                x_adv[at] = pgd_started(x[at], epsilon, four.word[lane]);
        }
    }
}

__global__ void normal_start(int n, int64_t per_example, const float *x, float sigma, struct start_key key,
                             const int64_t *id, float *x_adv)
{
    int64_t blocks = (per_example + 3) / 4;

    for (int64_t i = loop_first(); i < n * blocks; i += loop_stride()) {
        int64_t example = i / blocks, block = i % blocks;
        struct philox four = philox(key.seed, key.purpose, key.epoch, (uint64_t)id[example], (uint32_t)block);

#pragma unroll
        for (int lane = 0; lane < 4; lane++) {
            int64_t e = block * 4 + lane, at = example * per_example + e;

            if (e < per_example)
                x_adv[at] = x[at] + sigma * (float)philox_normal(four, lane);
        }
    }
}

__global__ void pgd_step(int64_t count, const float *x, const float *g, float step, float epsilon, float *x_adv)
{
    for (int64_t at = loop_first(); at < count; at += loop_stride())
        x_adv[at] = pgd_stepped(x[at], g[at], step, epsilon, x_adv[at]);
}

extern "C" cudaError_t kernel_load_batch(cudaStream_t stream, struct extent s, const uint8_t *images,
                                         const struct window *crops, bool zeros, float *x)
{
    LAUNCH(load_batch, blocks_for(extent_plain(s)), BLOCK, stream, s, images, crops, zeros, x);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_normalize(cudaStream_t stream, struct extent s, const float *x, struct per_channel p,
                                        float *out)
{
    LAUNCH(normalize, blocks_for(extent_plain(s)), BLOCK, stream, s, x, p, out);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_normalize_backward(cudaStream_t stream, struct extent s, const float *gn,
                                                 struct per_channel p, float *gx)
{
    LAUNCH(normalize_backward, blocks_for(extent_plain(s)), BLOCK, stream, s, gn, p, gx);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_pgd_start(cudaStream_t stream, struct extent s, const float *x, float epsilon,
                                        struct start_key key, const int64_t *id, float *x_adv)
{
    int64_t per_example = (int64_t)s.c * s.h * s.w;

    LAUNCH(pgd_start, blocks_for(s.n * ((per_example + 3) / 4)), BLOCK, stream, s.n, per_example, x, epsilon, key, id,
                                                                               x_adv);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_normal_start(cudaStream_t stream, struct extent s, const float *x, float sigma,
                                           struct start_key key, const int64_t *id, float *x_adv)
{
    int64_t per_example = (int64_t)s.c * s.h * s.w;

    LAUNCH(normal_start, blocks_for(s.n * ((per_example + 3) / 4)), BLOCK, stream, s.n, per_example, x, sigma, key, id,
                                                                                  x_adv);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_pgd_step(cudaStream_t stream, struct extent s, const float *x, const float *g, float step,
                                       float epsilon, float *x_adv)
{
    LAUNCH(pgd_step, blocks_for(extent_plain(s)), BLOCK, stream, extent_plain(s), x, g, step, epsilon, x_adv);
    return cudaGetLastError();
}
