/* The list of cases, and how one is printed. */
#include "tests/ops/cases.h"

#include "gpu/backend/philox.h"

#include <stdio.h>

/* clang-format off */
const struct op_case op_cases[] = {
    /* stems: the image is plain */
    { GROUP_CONV, { 2, 3, 9, 9 }, 16, 3, 1, .image_in = true, .bias = true, .relu = true },
    { GROUP_CONV, { 1, 1, 33, 33 }, 8, 3, 1, .image_in = true },
    { GROUP_CONV, { 3, 3, 8, 8 }, 10, 3, 2, .image_in = true, .bias = true },
    { GROUP_CONV, { 2, 1, 5, 7 }, 64, 3, 1, .image_in = true, .bias = true, .relu = true, .scale = true },
    /* the body */
    { GROUP_CONV, { 2, 16, 8, 8 }, 16, 3, 1, .bias = true, .residual = true, .relu = true, .scale = true },
    { GROUP_CONV, { 5, 10, 7, 5 }, 24, 3, 2, .bias = true, .residual = true, .relu = true },
    { GROUP_CONV, { 2, 24, 11, 13 }, 8, 3, 1, .bias = true, .relu = true },
    { GROUP_CONV, { 2, 64, 16, 16 }, 64, 3, 1, .bias = true, .residual = true },
    { GROUP_CONV, { 5, 16, 6, 6 }, 32, 3, 2 },
    { GROUP_CONV, { 1, 3, 4, 4 }, 3, 3, 1, .residual = true },
    { GROUP_CONV, { 1, 100, 4, 4 }, 36, 3, 1, .relu = true },
    { GROUP_CONV, { 4, 8, 32, 32 }, 8, 3, 1, .bias = true, .residual = true, .relu = true, .scale = true },
    { GROUP_CONV, { 2, 8, 33, 33 }, 16, 3, 2, .residual = true, .relu = true },
    { GROUP_CONV, { 3, 128, 4, 4 }, 128, 3, 1, .bias = true, .residual = true, .relu = true, .scale = true },
    /* shortcuts */
    { GROUP_CONV, { 1, 24, 4, 4 }, 64, 1, 2, .bias = true },
    { GROUP_CONV, { 3, 8, 5, 4 }, 10, 1, 1, .relu = true },
    { GROUP_CONV, { 4, 64, 9, 9 }, 128, 1, 2, .scale = true },
    { GROUP_CONV, { 2, 1, 8, 8 }, 3, 1, 2, .bias = true, .residual = true },
    /* one value a channel and example */
    { GROUP_ACTIVATION, { 2, 16, 8, 8 } },
    { GROUP_ACTIVATION, { 2, 16, 8, 8 }, .residual = true, .relu = true, .second = true },
    { GROUP_ACTIVATION, { 5, 10, 7, 5 }, .relu = true },
    { GROUP_ACTIVATION, { 3, 1, 4, 4 }, .residual = true },
    { GROUP_ACTIVATION, { 1, 3, 33, 32 }, .residual = true, .relu = true },
    { GROUP_ACTIVATION, { 4, 24, 5, 4 }, .relu = true, .second = true },
    { GROUP_ACTIVATION, { 2, 64, 16, 16 }, .second = true },
    { GROUP_ACTIVATION, { 3, 100, 4, 4 }, .residual = true, .second = true },
    { GROUP_POOL, { 2, 16, 4, 4 }, 4 },
    { GROUP_POOL, { 3, 10, 8, 8 }, 4 },
    { GROUP_POOL, { 1, 24, 6, 7 }, 2 },
    { GROUP_POOL, { 2, 20, 8, 8 }, 8 },
    { GROUP_POOL, { 1, 5, 16, 16 }, 8 },
    { GROUP_POOL, { 5, 3, 9, 4 }, 4 },
    { GROUP_LINEAR, { 1, 10, 1, 1 }, 3, .second = true },
    { GROUP_LINEAR, { 5, 64, 1, 1 }, 10, .bias = true, .second = true },
    { GROUP_LINEAR, { 3, 33, 1, 1 }, 100, .bias = true },
    { GROUP_LINEAR, { 33, 512, 1, 1 }, 7 },
    { GROUP_LINEAR, { 4, 8, 1, 1 }, 1, .bias = true, .second = true },
    { GROUP_LOSS, { 1, 1, 1, 1 }, 2, .bias = true, .second = true },
    { GROUP_LOSS, { 7, 1, 1, 1 }, 10, .bias = true, .second = true },
    { GROUP_LOSS, { 33, 1, 1, 1 }, 10 },
    { GROUP_LOSS, { 5, 1, 1, 1 }, 200, .bias = true, .second = true, .relu = true },
    { GROUP_LOSS, { 16, 1, 1, 1 }, 3, .bias = true, .relu = true },
    { GROUP_IMAGE, { 2, 3, 32, 32 } },
    { GROUP_IMAGE, { 1, 1, 8, 8 } },
    { GROUP_IMAGE, { 5, 3, 9, 7 } },
    { GROUP_IMAGE, { 3, 1, 33, 5 } },
    { GROUP_VECTOR, { 1, 1, 1, 1 } },
    { GROUP_VECTOR, { 17, 1, 1, 1 } },
    { GROUP_VECTOR, { 100003, 1, 1, 1 }, .second = true },
    /* ResNet18 at its published width, batch 128 */
    { GROUP_CONV, { 128, 3, 32, 32 }, 64, 3, 1, .image_in = true, .bias = true, .relu = true, .speed = true },
    { GROUP_CONV, { 128, 64, 32, 32 }, 64, 3, 1, .bias = true, .relu = true, .speed = true },
    { GROUP_CONV, { 128, 64, 32, 32 }, 64, 3, 1, .bias = true, .residual = true, .relu = true, .speed = true },
    { GROUP_CONV, { 128, 64, 32, 32 }, 128, 3, 2, .bias = true, .relu = true, .speed = true },
    { GROUP_CONV, { 128, 64, 32, 32 }, 128, 1, 2, .bias = true, .speed = true },
    { GROUP_CONV, { 128, 128, 16, 16 }, 128, 3, 1, .bias = true, .relu = true, .speed = true },
    { GROUP_CONV, { 128, 256, 8, 8 }, 256, 3, 1, .bias = true, .relu = true, .speed = true },
    { GROUP_CONV, { 128, 512, 4, 4 }, 512, 3, 1, .bias = true, .relu = true, .speed = true },
    { GROUP_CONV, { 128, 16, 32, 32 }, 16, 3, 1, .bias = true, .relu = true, .speed = true },
    { GROUP_ACTIVATION, { 128, 64, 32, 32 }, .residual = true, .relu = true, .second = true, .speed = true },
    { GROUP_ACTIVATION, { 128, 512, 4, 4 }, .relu = true, .speed = true },
    { GROUP_POOL, { 128, 512, 4, 4 }, 4, .speed = true },
    { GROUP_LINEAR, { 128, 512, 1, 1 }, 10, .bias = true, .second = true, .speed = true },
    { GROUP_LINEAR, { 128, 2048, 1, 1 }, 200, .bias = true, .second = true, .speed = true },
    { GROUP_LOSS, { 128, 1, 1, 1 }, 10, .bias = true, .second = true, .speed = true },
    { GROUP_LOSS, { 128, 1, 1, 1 }, 200, .bias = true, .second = true, .speed = true },
    { GROUP_IMAGE, { 128, 3, 32, 32 }, .speed = true },
    { GROUP_VECTOR, { 11173962, 1, 1, 1 }, .second = true, .speed = true },
    { 0 },
};
/* clang-format on */

struct conv_geometry case_geometry(const struct op_case *c)
{
    return (struct conv_geometry){ c->in, c->out_c, c->kernel, c->stride, c->kernel / 2 };
}

void case_print(const struct op_case *c, char *ret, size_t size)
{
    char out[48] = "";

    if (c->group == GROUP_CONV)
        snprintf(out, sizeof(out), " -> %d, %dx%d/%d", c->out_c, c->kernel, c->kernel, c->stride);
    else if (c->out_c)
        snprintf(out, sizeof(out), " / %d", c->out_c);
    snprintf(ret, size, "%dx%dx%dx%d%s%s%s%s%s%s%s", c->in.n, c->in.c, c->in.h, c->in.w, out,
             c->image_in ? " image" : "", c->bias ? " bias" : "", c->residual ? " residual" : "",
             c->relu ? " relu" : "", c->scale ? " scale" : "", c->second ? " second" : "");
}

float noise(uint32_t what, int64_t i)
{
    struct philox four = philox(20230802, what, 0, (uint64_t)i / 4, 0);

    return 2.0f * philox_unit(four.word[i % 4]) - 1.0f;
}
