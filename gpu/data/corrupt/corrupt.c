/* How is one image corrupted?
 *
 *   bytes -> canvas -> effect -> clip -> bytes
 *
 * Its random numbers are keyed by (seed; corruption and severity; the image's id). */
#include "gpu/data/corrupt/canvas.h"

#include <assert.h>
#include <errno.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

struct studio {
    struct canvas canvas;
    double *doubles;
    uint8_t *bytes;
};

int studio_open(int side, struct studio **ret)
{
    size_t image = (size_t)CHANNELS * side * side;
    struct studio *studio = calloc(1, sizeof(*studio));

    assert(side >= CORRUPT_SIDE_LEAST && side <= CORRUPT_SIDE_MOST);
    if (studio) {
        studio->doubles = malloc(((1 + SPARES) * image + side) * sizeof(double));
        studio->bytes = malloc(2 * image);
    }
    if (!studio || !studio->doubles || !studio->bytes) {
        studio_close(studio);
        return -ENOMEM;
    }
    studio->canvas = (struct canvas){ .side = side, .x = studio->doubles };
    for (int i = 0; i < SPARES; i++)
        studio->canvas.spare[i] = studio->doubles + (size_t)(1 + i) * image;
    studio->canvas.row = studio->doubles + (1 + SPARES) * image;
    studio->canvas.bytes[0] = studio->bytes;
    studio->canvas.bytes[1] = studio->bytes + image;
    *ret = studio;
    return 0;
}

void studio_close(struct studio *studio)
{
    if (!studio)
        return;
    free(studio->doubles);
    free(studio->bytes);
    free(studio);
}

enum corruption_parameters corruption_parameters_of(int side)
{
    const int tiny_from = 48; /* between the two published sides */

    return side < tiny_from ? CORRUPTION_CIFAR : CORRUPTION_TINY;
}

int corrupt_image(struct studio *studio, const struct corruption *corruption, uint64_t id, int channels,
                  const uint8_t *from, uint8_t *to)
{
    const struct effect *effect = &effects[corruption->which];
    struct canvas *canvas = &studio->canvas;
    int plane = canvas_plane(canvas), level = corruption->severity - 1;
    struct dice dice = { .seed = (uint64_t)corruption->seed,
                         .index = id,
                         .epoch = (uint32_t)(corruption->which * SEVERITY_COUNT + level) };

    assert((channels == 1 || channels == CHANNELS) && level >= 0 && level < SEVERITY_COUNT);
    for (int i = 0; i < CHANNELS * plane; i++)
        canvas->x[i] = from[channels == 1 ? i % plane : i] / 255.0;
    int r = effect->apply(canvas, effect->parameters[corruption->parameters == CORRUPTION_TINY][level], &dice);
    if (r < 0)
        return r;
    if (channels == CHANNELS) {
        for (int i = 0; i < CHANNELS * plane; i++)
            to[i] = to_byte(canvas->x[i]);
        return 0;
    }
    for (int i = 0; i < plane; i++) { /* the luma of bytes, rounded: three equal ones stay what they are */
        double bytes[CHANNELS] = { to_byte(canvas->x[i]), to_byte(canvas->x[plane + i]),
                                   to_byte(canvas->x[2 * plane + i]) };

        to[i] = (uint8_t)(luma(bytes, 1, 0) + 0.5);
    }
    return 0;
}

int corrupt_threads(int wanted)
{
    int most = omp_get_num_procs();

    return wanted > 0 && wanted < most ? wanted : most;
}

/* [C,H,W] -> [H,W,C] */
static void interleave(const uint8_t *from, int channels, int plane, uint8_t *to)
{
    for (int i = 0; i < plane; i++)
        for (int c = 0; c < channels; c++)
            to[i * channels + c] = from[c * plane + i];
}

int corrupt_images(const struct examples *images, int first, int n, const struct corruption *corruption, int threads,
                   uint8_t *ret)
{
    int plane = images->h * images->w;
    size_t image = (size_t)images->c * plane;
    int code = 0;

    assert(images->u8 && first >= 0 && n <= images->count - first);
#pragma omp parallel num_threads(threads)
    {
        struct studio *studio = NULL;
        uint8_t *planes = malloc(image);
        int own = planes ? studio_open(images->h, &studio) : -ENOMEM;

#pragma omp for schedule(dynamic, 8)
        for (int i = 0; i < n; i++) {
            if (own == 0)
                own = corrupt_image(studio, corruption, (uint64_t)images->id[first + i], images->c,
                                    images->u8 + (size_t)(first + i) * image, planes);
            if (own == 0)
                interleave(planes, images->c, plane, ret + (size_t)i * image);
        }
        if (own < 0) {
#pragma omp atomic write
            code = own;
        }
        studio_close(studio);
        free(planes);
    }
    return code;
}
