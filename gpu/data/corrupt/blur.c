/* What does blur do?
 *
 *   gaussian_blur  s                 separable, edges repeated
 *   defocus_blur   radius, a         a disk whose edge is softened by a
 *   glass_blur     s, distance, n    pixels are taken from near by, between two Gaussians
 *   motion_blur    radius, s         along a line of random angle
 *   zoom_blur      n                 the mean of the image and n of its magnifications
 *
 * Surprising: glass was meant to swap two pixels; the published generator copies
 * one onto the other, because its pixels are views of the same memory. So do we.
 * And zoom's first magnification is 1: the image itself counts twice. */
#include "gpu/data/corrupt/canvas.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int gaussian_blur(struct canvas *canvas, const double *p, struct dice *dice)
{
    (void)dice;
    canvas_gaussian(canvas, canvas->x, p[0]);
    return 0;
}

/* ---- defocus ------------------------------------------------------------------------ */

int disk_kernel(double radius, double softness, double ret[DISK_SIDE * DISK_SIDE])
{
    double disk[DISK_SIDE * DISK_SIDE], soft[3], sum = 0;
    int reach = 0;

    for (int y = -DISK_RADIUS; y <= DISK_RADIUS; y++)
        for (int x = -DISK_RADIUS; x <= DISK_RADIUS; x++)
            sum += disk[(y + DISK_RADIUS) * DISK_SIDE + x + DISK_RADIUS] = x * x + y * y <= radius * radius;
    gaussian_weights(softness, 1, soft);
    for (int y = 0; y < DISK_SIDE; y++)
        for (int x = 0; x < DISK_SIDE; x++) {
            double value = 0;

            for (int dy = -1; dy <= 1; dy++)
                for (int dx = -1; dx <= 1; dx++)
                    value += soft[dy + 1] * soft[dx + 1] *
                             disk[border_at(BORDER_REFLECT_101, y + dy, DISK_SIDE) * DISK_SIDE +
                                  border_at(BORDER_REFLECT_101, x + dx, DISK_SIDE)];
            ret[y * DISK_SIDE + x] = value / sum;
            int far = (int)fmax(abs(y - DISK_RADIUS), abs(x - DISK_RADIUS));
            if (value > 0 && far > reach)
                reach = far;
        }
    return reach;
}

int defocus_blur(struct canvas *canvas, const double *p, struct dice *dice)
{
    double kernel[DISK_SIDE * DISK_SIDE];
    int side = canvas->side, reach = disk_kernel(p[0], p[1], kernel);

    (void)dice;
    for (int c = 0; c < CHANNELS; c++) {
        double *plane = canvas->x + (size_t)c * side * side, *blurred = canvas->spare[0];

        for (int y = 0; y < side; y++)
            for (int x = 0; x < side; x++) {
                double value = 0;

                for (int dy = -reach; dy <= reach; dy++) {
                    const double *row = plane + (size_t)border_at(BORDER_REFLECT_101, y + dy, side) * side;
                    const double *weight = kernel + (dy + DISK_RADIUS) * DISK_SIDE + DISK_RADIUS;

                    for (int dx = -reach; dx <= reach; dx++)
                        value += weight[dx] * row[border_at(BORDER_REFLECT_101, x + dx, side)];
                }
                blurred[y * side + x] = value;
            }
        memcpy(plane, blurred, (size_t)side * side * sizeof(*plane));
    }
    return 0;
}

/* ---- glass --------------------------------------------------------------------------- */

void glass_copy(uint8_t *image, int side, int distance, int passes, struct dice *dice)
{
    int plane = side * side;

    for (int pass = 0; pass < passes; pass++)
        for (int y = side - distance; y > distance; y--)
            for (int x = side - distance; x > distance; x--) {
                int dx = dice_int(dice, -distance, distance - 1), dy = dice_int(dice, -distance, distance - 1);

                for (int c = 0; c < CHANNELS; c++)
                    image[c * plane + y * side + x] = image[c * plane + (y + dy) * side + x + dx];
            }
}

int glass_blur(struct canvas *canvas, const double *p, struct dice *dice)
{
    int count = CHANNELS * canvas_plane(canvas);
    uint8_t *glass = canvas->bytes[0];

    canvas_gaussian(canvas, canvas->x, p[0]);
    for (int i = 0; i < count; i++)
        glass[i] = to_byte(canvas->x[i]);
    glass_copy(glass, canvas->side, (int)p[1], (int)p[2], dice);
    for (int i = 0; i < count; i++)
        canvas->x[i] = glass[i] / 255.0;
    canvas_gaussian(canvas, canvas->x, p[0]);
    return 0;
}

/* ---- motion and zoom -------------------------------------------------------------------- */

int motion_blur(struct canvas *canvas, const double *p, struct dice *dice)
{
    const double widest = M_PI / 4;
    double angle = dice_between(dice, -widest, widest);
    int side = canvas->side;

    for (int c = 0; c < CHANNELS; c++) {
        double *plane = canvas->x + (size_t)c * side * side;

        plane_motion(plane, side, (int)p[0], p[1], angle, canvas->spare[0]);
        memcpy(plane, canvas->spare[0], (size_t)side * side * sizeof(*plane));
    }
    return 0;
}

/* Of the published range "1 to the end in steps of 0.01" the table holds how many there are: the
 * end itself is in it or not by a rounding error of the library that made it. */
int zoom_blur(struct canvas *canvas, const double *p, struct dice *dice)
{
    const double step = 0.01;
    int side = canvas->side, zooms = (int)p[0];
    double *sum = canvas->spare[0], *zoomed = canvas->spare[1];

    (void)dice;
    for (int c = 0; c < CHANNELS; c++) {
        double *plane = canvas->x + (size_t)c * side * side;

        memcpy(sum, plane, (size_t)side * side * sizeof(*sum));
        for (int i = 0; i < zooms; i++) {
            plane_zoom(plane, side, 1 + i * step, zoomed);
            for (int at = 0; at < side * side; at++)
                sum[at] += zoomed[at];
        }
        for (int at = 0; at < side * side; at++)
            plane[at] = sum[at] / (zooms + 1);
    }
    return 0;
}
