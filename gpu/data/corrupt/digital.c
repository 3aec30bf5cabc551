/* What does digital processing do?
 *
 *   contrast          c      towards each channel's mean
 *   saturate          m, a   S of HSV becomes S m + a
 *   pixelate          c      down by a box filter, up again
 *   jpeg_compression  q      through libjpeg as PIL calls it: quality q, colour at half size */
#include "gpu/data/corrupt/canvas.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>

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

/* libjpeg reports by calling back and must not be returned to. Nothing here comes from outside, so
 * that only memory can fail. */
struct jpeg_out {
    struct jpeg_error_mgr errors;
    jmp_buf out;
};

static void leave(j_common_ptr jpeg)
{
    longjmp(((struct jpeg_out *)jpeg->client_data)->out, 1);
}

/* RGB rows to a file in memory that libjpeg allocates. */
static int jpeg_write(const uint8_t *rgb, int side, int quality, unsigned char **ret, unsigned long *ret_size)
{
    struct jpeg_out errors;
    struct jpeg_compress_struct jpeg = { .client_data = &errors };

    jpeg.err = jpeg_std_error(&errors.errors);
    errors.errors.error_exit = leave;
    if (setjmp(errors.out)) {
        jpeg_destroy_compress(&jpeg);
        return -ENOMEM;
    }
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, ret, ret_size);
    jpeg.image_width = jpeg.image_height = (JDIMENSION)side;
    jpeg.input_components = CHANNELS;
    jpeg.in_color_space = JCS_RGB;
    jpeg_set_defaults(&jpeg); /* 4:2:0 */
    jpeg_set_quality(&jpeg, quality, TRUE);
    jpeg_start_compress(&jpeg, TRUE);
    while (jpeg.next_scanline < jpeg.image_height) {
        JSAMPROW row = (JSAMPROW)rgb + (size_t)jpeg.next_scanline * side * CHANNELS;

        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    return 0;
}

static int jpeg_read(const unsigned char *data, unsigned long size, int side, uint8_t *rgb)
{
    struct jpeg_out errors;
    struct jpeg_decompress_struct jpeg = { .client_data = &errors };

    jpeg.err = jpeg_std_error(&errors.errors);
    errors.errors.error_exit = leave;
    if (setjmp(errors.out)) {
        jpeg_destroy_decompress(&jpeg);
        return -ENOMEM;
    }
    jpeg_create_decompress(&jpeg);
    jpeg_mem_src(&jpeg, data, size);
    jpeg_read_header(&jpeg, TRUE);
    jpeg_start_decompress(&jpeg);
    while (jpeg.output_scanline < jpeg.output_height) {
        JSAMPROW row = rgb + (size_t)jpeg.output_scanline * side * CHANNELS;

        jpeg_read_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_decompress(&jpeg);
    jpeg_destroy_decompress(&jpeg);
    return 0;
}

int jpeg_compression(struct canvas *canvas, const double *p, struct dice *dice)
{
    int side = canvas->side, plane = side * side;
    unsigned char *data = NULL;
    unsigned long size = 0;
    uint8_t *rgb = canvas->bytes[0];

    (void)dice;
    for (int i = 0; i < CHANNELS * plane; i++)
        rgb[i % plane * CHANNELS + i / plane] = to_byte(canvas->x[i]);
    int r = jpeg_write(rgb, side, (int)p[0], &data, &size);
    if (r == 0)
        r = jpeg_read(data, size, side, rgb);
    for (int i = 0; i < CHANNELS * plane && r == 0; i++)
        canvas->x[i] = rgb[i % plane * CHANNELS + i / plane] / 255.0;
    free(data);
    return r;
}
