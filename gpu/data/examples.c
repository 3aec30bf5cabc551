/* How do a file's pixels become the model's pixels?
 *
 *   28x28       zeros around, to 32x32         gray        repeated for three channels
 *   same size   as it is                       the rest    an error that names both sizes
 *
 * Nothing is resized: interpolation would be a choice of its own, with
 * consequences for what an epsilon means. */
#include "gpu/data/reader.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *path_join(const char *folder, const char *name)
{
    char *path;

    return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

/* ---- fit: from the images' shape to the model's ----------------------------- */

/* MNIST-sized images get this many zeros on every side; networks that halve
 * the size three times want 32. */
enum { MNIST_SIZE = 28, MNIST_PADDED = 32 };

static bool size_fits(int64_t h, int64_t w, const int input[3])
{
    return (h == input[1] && w == input[2]) ||
           (h == MNIST_SIZE && w == MNIST_SIZE && input[1] == MNIST_PADDED && input[2] == MNIST_PADDED);
}

int fit_check(const char *name, int64_t c, int64_t h, int64_t w, const int input[3], struct fault *why)
{
    if (!input) {
        if ((c != 1 && c != 3) || h != w || h < NATURAL_SIDE_LEAST || h > NATURAL_SIDE_MOST)
            return fault_set(why, -EINVAL, "%s: images of %lldx%lldx%lld; wanted are square ones of %d to %d pixels",
                             name, (long long)c, (long long)h, (long long)w, NATURAL_SIDE_LEAST, NATURAL_SIDE_MOST);
        return 0;
    }
    if (c != input[0] && input[0] == 1)
        return fault_set(why, -EINVAL, "%s: colour (%lldx%lldx%lld), but the model's input is gray (%dx%dx%d)", name,
                         (long long)c, (long long)h, (long long)w, input[0], input[1], input[2]);
    if (!size_fits(h, w, input) || (c != input[0] && !(c == 1 && input[0] == 3)))
        return fault_set(why, -EINVAL, "%s: %lldx%lldx%lld does not fit the model's input %dx%dx%d", name, (long long)c,
                         (long long)h, (long long)w, input[0], input[1], input[2]);
    return 0;
}

void fit(const uint8_t *from, int c, int h, int w, size_t element, const int input[3], uint8_t *ret)
{
    size_t plane = (size_t)input[1] * input[2], corner = (size_t)((input[1] - h) / 2) * input[2] + (input[2] - w) / 2;

    memset(ret, 0, input[0] * plane * element);
    for (int channel = 0; channel < input[0]; channel++)
        for (int y = 0; y < h; y++) {
            size_t source = ((size_t)(c == 1 ? 0 : channel) * h + y) * w;

            memcpy(ret + (channel * plane + corner + (size_t)y * input[2]) * element, from + source * element,
                   w * element);
        }
}

/* ---- examples --------------------------------------------------------------- */

void examples_done(struct examples *examples)
{
    if (!examples)
        return;
    free(examples->u8);
    free(examples->f32);
    free(examples->label);
    free(examples->id);
    *examples = (struct examples){ 0 };
}

void examples_read(const struct examples *examples, int first, int n, float *ret)
{
    size_t image = (size_t)examples->c * examples->h * examples->w;
    size_t from = first * image, size = n * image;

    assert(first >= 0 && n >= 0 && n <= examples->count - first);
    if (examples->f32) {
        memcpy(ret, examples->f32 + from, size * sizeof(*ret));
        return;
    }
    for (size_t i = 0; i < size; i++)
        ret[i] = (float)examples->u8[from + i] / 255.0f;
}

void examples_bytes(const struct examples *examples, int at, uint8_t *ret)
{
    size_t image = (size_t)examples->c * examples->h * examples->w;

    assert(at >= 0 && at < examples->count);
    if (examples->u8)
        memcpy(ret, examples->u8 + (size_t)at * image, image);
    for (size_t i = 0; examples->f32 && i < image; i++)
        ret[i] = (uint8_t)(examples->f32[(size_t)at * image + i] * 255 + 0.5f);
}

static int pixels_allocate(const struct file_set *set, const int input[3], int count, struct examples *ret,
                           struct fault *why)
{
    uint64_t image = (uint64_t)input[0] * input[1] * input[2] * (set->real ? sizeof(float) : 1);

    if (image > DATA_LIMIT_BYTES / (uint64_t)count)
        return fault_set(why, -EFBIG, "%s: %d images of %llu bytes are more than can be loaded", set->name, count,
                         (unsigned long long)image);
    void *pixels = malloc(count * image);

    if (set->real)
        ret->f32 = pixels;
    else
        ret->u8 = pixels;
    return pixels ? 0
                  : fault_set(why, -ENOMEM, "%s: no memory for %llu bytes of images", set->name,
                              (unsigned long long)(count * image));
}

int examples_label(const struct file_set *set, const int input[3], const int32_t *id, int count, struct examples *ret,
                   struct fault *why)
{
    *ret = (struct examples){ .count = count, .c = input[0], .h = input[1], .w = input[2] };
    ret->label = malloc(count * sizeof(*ret->label));
    ret->id = malloc(count * sizeof(*ret->id));
    if (!ret->label || !ret->id) {
        examples_done(ret);
        return fault_set(why, -ENOMEM, "%s: no memory for %d labels", set->name, count);
    }
    for (int i = 0; i < count; i++) {
        ret->id[i] = id[i];
        ret->label[i] = (int32_t)set->label[id[i]];
    }
    return 0;
}

/* Formats whose pixels are in memory already. */
static void copy_chosen(const struct file_set *set, const int input[3], struct examples *ret)
{
    size_t element = set->real ? sizeof(float) : 1, image = (size_t)input[0] * input[1] * input[2];
    uint8_t *pixels = set->real ? (uint8_t *)ret->f32 : ret->u8;

#pragma omp parallel for if (ret->count > 1000) /* fewer are copied before a thread is awake */
    for (int i = 0; i < ret->count; i++)
        fit(set->data + ret->id[i] * set->stride, set->c, set->h, set->w, element, input, pixels + i * image * element);
    if (set->real)
        for (size_t e = 0; e < ret->count * image; e++)
            ret->f32[e] = fminf(fmaxf(ret->f32[e], 0.0f), 1.0f); /* reals_check let only rounding through */
}

/* Torch's ToTensor never leaves [0,1] by more than rounding; more than that is
 * somebody's normalised data, on which an epsilon of 8/255 means something else. */
static int reals_check(const struct file_set *set, const int32_t *id, int count, struct fault *why)
{
    const float slack = 1e-6f;
    size_t image = (size_t)set->c * set->h * set->w;

    for (int i = 0; i < count; i++)
        for (size_t e = 0; e < image; e++) {
            float value;

            memcpy(&value, set->data + id[i] * set->stride + e * sizeof(value), sizeof(value));
            if (!(value >= -slack && value <= 1.0f + slack))
                return fault_set(why, -EINVAL, "%s: example %d has a pixel of %g, outside 0..1", set->name, id[i],
                                 (double)value);
        }
    return 0;
}

int examples_load(const struct reader *reader, const struct file_set *set, const int input[3], const int32_t *id,
                  int count, struct examples *ret, struct fault *why)
{
    struct examples loaded;
    int r = set->real ? reals_check(set, id, count, why) : 0;

    if (r < 0)
        return r;
    r = examples_label(set, input, id, count, &loaded, why);
    if (r < 0)
        return r;
    r = pixels_allocate(set, input, count, &loaded, why);
    if (r == 0 && reader->load)
        r = reader->load(set, input, id, count, loaded.u8, why);
    else if (r == 0)
        copy_chosen(set, input, &loaded);
    if (r < 0) {
        examples_done(&loaded);
        return r;
    }
    *ret = loaded;
    return 0;
}
