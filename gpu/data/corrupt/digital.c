/* What does digital processing do?
 *
 *   contrast          c      towards each channel's mean
 *   saturate          m, a   S of HSV becomes S m + a
 *   pixelate          c      down by a box filter, up again
 *   jpeg_compression  q      through libjpeg as PIL calls it: quality q, colour at half size */
#include "gpu/data/corrupt/canvas.h"
#include "gpu/data/image_write.h"
#include "gpu/data/reader.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

int contrast(struct canvas *canvas, const double *p, struct dice *dice)
{
    int plane = canvas_plane(canvas);

    (void)dice;
    for (int c = 0; c < CHANNELS; c++) {
        double *x = canvas->x + (size_t)c * plane, mean = 0;

        for (int i = 0; i < plane; i++)
            mean += x[i] / plane;
        for (int i = 0; i < plane; i++)
            x[i] = (x[i] - mean) * p[0] + mean;
    }
    return 0;
}

/* With V, the largest channel, and the hue kept, every channel's distance from V is proportional to
 * S. A gray pixel has hue 0: it turns red. */
int saturate(struct canvas *canvas, const double *p, struct dice *dice)
{
    int plane = canvas_plane(canvas);

    (void)dice;
    for (int i = 0; i < plane; i++) {
        double *x[CHANNELS] = { canvas->x + i, canvas->x + plane + i, canvas->x + 2 * plane + i };
        double high = fmax(*x[0], fmax(*x[1], *x[2])), low = fmin(*x[0], fmin(*x[1], *x[2]));
        double s = high > 0 ? (high - low) / high : 0, wanted = clip(s * p[0] + p[1]);

        for (int c = 0; c < CHANNELS; c++)
            *x[c] = s > 0 ? high - (high - *x[c]) * wanted / s : c == 0 ? high : high * (1 - wanted);
    }
    return 0;
}

/* ---- pixelate -------------------------------------------------------------------------- */

/* The pixels of a row of `from` that pixel `at` of a row of `to` is the mean of: those whose middle
 * is in its box (PIL: above its lower end, up to its upper one). */
static void box_range(int at, int from, int to, int *ret_first, int *ret_end)
{
    double scale = (double)from / to, middle = (at + 0.5) * scale, half = fmax(scale, 1) / 2;
    int first = (int)floor(middle - half - 0.5) + 1, end = (int)floor(middle + half - 0.5) + 1;

    *ret_first = first < 0 ? 0 : first;
    *ret_end = end > from ? from : end;
    assert(*ret_end > *ret_first);
}

/* Rows, then columns, each to bytes: from [side,side] in `plane` to [size,size] in `ret`. */
static void box_resize(const uint8_t *plane, int side, int size, uint8_t *scratch, uint8_t *ret)
{
    for (int x = 0; x < size; x++) {
        int first, end;

        box_range(x, side, size, &first, &end);
        for (int y = 0; y < side; y++) {
            int sum = 0;

            for (int k = first; k < end; k++)
                sum += plane[y * side + k];
            scratch[y * size + x] = (uint8_t)(((double)sum / (end - first)) + 0.5);
        }
    }
    for (int y = 0; y < size; y++) {
        int first, end;

        box_range(y, side, size, &first, &end);
        for (int x = 0; x < size; x++) {
            int sum = 0;

            for (int k = first; k < end; k++)
                sum += scratch[k * size + x];
            ret[y * size + x] = (uint8_t)(((double)sum / (end - first)) + 0.5);
        }
    }
}

int pixelate(struct canvas *canvas, const double *p, struct dice *dice)
{
    int side = canvas->side, plane = side * side, small = (int)(side * p[0]);
    uint8_t *bytes = canvas->bytes[0], *scratch = canvas->bytes[0] + plane, *reduced = canvas->bytes[1];

    (void)dice;
    for (int c = 0; c < CHANNELS; c++) {
        double *x = canvas->x + (size_t)c * plane;

        for (int i = 0; i < plane; i++)
            bytes[i] = to_byte(x[i]);
        box_resize(bytes, side, small, scratch, reduced);
        box_resize(reduced, small, side, scratch, bytes);
        for (int i = 0; i < plane; i++)
            x[i] = bytes[i] / 255.0;
    }
    return 0;
}

/* ---- jpeg ------------------------------------------------------------------------------ */

int jpeg_compression(struct canvas *canvas, const double *p, struct dice *dice)
{
    int side = canvas->side, plane = side * side;
    struct picture picture = { .pixel = canvas->bytes[1] };
    const int shape[3] = { CHANNELS, side, side };
    struct fault why = { 0 };
    uint8_t *rgb = canvas->bytes[0], *data = NULL;
    size_t size;

    (void)dice;
    for (int i = 0; i < CHANNELS * plane; i++)
        rgb[i % plane * CHANNELS + i / plane] = to_byte(canvas->x[i]);
    int r = jpeg_encode(rgb, CHANNELS, side, side, (int)p[0], &data, &size);
    if (r == 0)
        r = image_jpeg_decode("jpeg_compression", data, size, shape, &picture, &why);
    for (int i = 0; i < CHANNELS * plane && r == 0; i++)
        canvas->x[i] = picture.pixel[i % plane * CHANNELS + i / plane] / 255.0;
    free(data);
    return r;
}
