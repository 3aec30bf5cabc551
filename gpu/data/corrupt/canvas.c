/* What do several effects need?
 *
 * Random numbers, blurring, magnifying, and the fractal of the fog, as the
 * published generator's libraries do them (scipy, OpenCV, ImageMagick), written
 * from their definitions.
 *
 * Surprising: a Poisson number is found by looking at the outcomes one by one
 * from the most likely one outwards, until the uniform number is used up. That
 * takes some sqrt(mean) steps and one random number, whatever the mean. */
#include "gpu/data/corrupt/canvas.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- random numbers -------------------------------------------------------------- */

static uint32_t dice_word(struct dice *dice)
{
    if (dice->left == 0) {
        dice->words = philox(dice->seed, RANDOM_CORRUPT, dice->epoch, dice->index, dice->block++);
        dice->left = 4;
    }
    return dice->words.word[4 - dice->left--];
}

double dice_unit(struct dice *dice)
{
    uint64_t high = dice_word(dice) >> 5, low = dice_word(dice) >> 6;

    return (double)(high << 26 | low) * 0x1p-53;
}

double dice_between(struct dice *dice, double low, double high)
{
    return low + (high - low) * dice_unit(dice);
}

int dice_int(struct dice *dice, int low, int high)
{
    return low + (int)(dice_unit(dice) * (high - low + 1));
}

/* Box and Muller's pair. */
double dice_normal(struct dice *dice, double mean, double deviation)
{
    if (dice->has_normal) {
        dice->has_normal = false;
        return mean + deviation * dice->normal;
    }
    double radius = sqrt(-2 * log(1 - dice_unit(dice))), angle = 2 * M_PI * dice_unit(dice);

    dice->normal = radius * sin(angle);
    dice->has_normal = true;
    return mean + deviation * radius * cos(angle);
}

int dice_poisson(struct dice *dice, double mean)
{
    int below = (int)floor(mean), above = below, sign;

    if (mean <= 0)
        return 0;
    double u = dice_unit(dice), p = exp(below * log(mean) - mean - lgamma_r(below + 1.0, &sign));
    double down = p, up = p;

    for (u -= p; u >= 0 && (up > 0 || down > 0);) { /* what rounding leaves over ends where nothing is likely */
        up *= mean / ++above;
        u -= up;
        if (u < 0)
            return above;
        if (below > 0) {
            down *= below-- / mean;
            u -= down;
            if (u < 0)
                return below;
        } else {
            down = 0;
        }
    }
    return (int)floor(mean);
}

/* ---- planes ------------------------------------------------------------------------- */

int border_at(enum border border, int at, int size)
{
    int period = border == BORDER_REFLECT ? 2 * size : 2 * size - 2;

    if (at >= 0 && at < size)
        return at;
    if (border == BORDER_NEAREST)
        return at < 0 ? 0 : size - 1;
    at = ((at % period) + period) % period;
    return at < size ? at : (border == BORDER_REFLECT ? period - 1 : period) - at;
}

double clip(double value)
{
    return value < 0 ? 0 : value > 1 ? 1 : value;
}

uint8_t to_byte(double value)
{
    return (uint8_t)(clip(value) * 255);
}

double luma(const double *planes, int plane, int at)
{
    return 0.299 * planes[at] + 0.587 * planes[plane + at] + 0.114 * planes[2 * plane + at];
}

void gaussian_weights(double deviation, int radius, double *ret)
{
    double sum = 0;

    for (int k = -radius; k <= radius; k++)
        sum += ret[k + radius] = exp(-0.5 * k * k / (deviation * deviation));
    for (int k = 0; k <= 2 * radius; k++)
        ret[k] /= sum;
}

/* One row or column of `side` values that lie `step` apart. */
static void line_filter(struct canvas *canvas, double *line, int step, const double *weights, int radius,
                        enum border border)
{
    int side = canvas->side;

    for (int i = 0; i < side; i++) {
        double sum = 0;

        for (int k = -radius; k <= radius; k++)
            sum += weights[k + radius] * line[(size_t)border_at(border, i + k, side) * step];
        canvas->row[i] = sum;
    }
    for (int i = 0; i < side; i++)
        line[(size_t)i * step] = canvas->row[i];
}

void plane_gaussian(struct canvas *canvas, double *plane, double deviation, double truncate, enum border border)
{
    int radius = (int)(truncate * deviation + 0.5);
    double weights[2 * CORRUPT_SIDE_MOST + 1];

    if (radius > CORRUPT_SIDE_MOST)
        radius = CORRUPT_SIDE_MOST;
    if (deviation <= 0 || radius == 0)
        return;
    gaussian_weights(deviation, radius, weights);
    for (int y = 0; y < canvas->side; y++)
        line_filter(canvas, plane + (size_t)y * canvas->side, 1, weights, radius, border);
    for (int x = 0; x < canvas->side; x++)
        line_filter(canvas, plane + x, canvas->side, weights, radius, border);
}

void canvas_gaussian(struct canvas *canvas, double *planes, double deviation)
{
    const double truncate = 4;

    for (int c = 0; c < CHANNELS; c++)
        plane_gaussian(canvas, planes + (size_t)c * canvas_plane(canvas), deviation, truncate, BORDER_NEAREST);
}

double plane_sample(const double *plane, int side, double y, double x, enum border border)
{
    int top = (int)floor(y), left = (int)floor(x);
    double down = y - top, right = x - left;
    const double *row[2] = { plane + (size_t)border_at(border, top, side) * side,
                             plane + (size_t)border_at(border, top + 1, side) * side };
    int column[2] = { border_at(border, left, side), border_at(border, left + 1, side) };

    return (1 - down) * ((1 - right) * row[0][column[0]] + right * row[0][column[1]]) +
           down * ((1 - right) * row[1][column[0]] + right * row[1][column[1]]);
}

void plane_zoom(const double *from, int side, double factor, double *to)
{
    int crop = (int)ceil(side / factor), top = (side - crop) / 2;
    int grown = (int)rint(crop * factor), trim = (grown - side) / 2;
    double scale = grown > 1 ? (double)(crop - 1) / (grown - 1) : 0; /* corners stay corners */

    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++)
            to[y * side + x] =
                plane_sample(from, side, top + (y + trim) * scale, top + (x + trim) * scale, BORDER_NEAREST);
}

void plane_motion(const double *from, int side, int radius, double deviation, double angle, double *to)
{
    enum { WIDTH_MOST = 64 };
    int width = 2 * radius + 1 < WIDTH_MOST ? 2 * radius + 1 : WIDTH_MOST;
    int down[WIDTH_MOST], right[WIDTH_MOST];
    double weight[WIDTH_MOST], sum = 0;

    for (int i = 0; i < width; i++) {
        sum += weight[i] = exp(-0.5 * i * i / (deviation * deviation));
        right[i] = (int)ceil(i * cos(angle) - 0.5);
        down[i] = (int)ceil(i * sin(angle) - 0.5);
    }
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++) {
            double value = 0;

            for (int i = 0; i < width; i++)
                value += weight[i] / sum *
                         from[border_at(BORDER_NEAREST, y + down[i], side) * side +
                              border_at(BORDER_NEAREST, x + right[i], side)];
            to[y * side + x] = rint(clip(value) * 255) / 255;
        }
}

/* ---- the fractal of the fog ------------------------------------------------------------ */

/* Diamond and square on a torus of `size`, a power of two. */
static void plasma_fill(double *map, int size, double decay, struct dice *dice)
{
    const double first_wibble = 100;
    double wibble = first_wibble;
    int mask = size - 1;

#define MAP(y, x) map[((y)&mask) * size + ((x)&mask)]
    map[0] = 0;
    for (int step = size; step >= 2; step /= 2, wibble /= decay) {
        int half = step / 2;

        for (int y = 0; y < size; y += step)
            for (int x = 0; x < size; x += step)
                MAP(y + half, x + half) =
                    (MAP(y, x) + MAP(y + step, x) + MAP(y, x + step) + MAP(y + step, x + step)) / 4 +
                    wibble * dice_between(dice, -wibble, wibble);
        for (int y = 0; y < size; y += step)
            for (int x = 0; x < size; x += step) {
                MAP(y + half, x) =
                    (MAP(y, x) + MAP(y + step, x) + MAP(y + half, x - half) + MAP(y + half, x + half)) / 4 +
                    wibble * dice_between(dice, -wibble, wibble);
                MAP(y, x + half) =
                    (MAP(y, x) + MAP(y, x + step) + MAP(y - half, x + half) + MAP(y + half, x + half)) / 4 +
                    wibble * dice_between(dice, -wibble, wibble);
            }
    }
#undef MAP
}

int plasma(struct canvas *canvas, double decay, struct dice *dice, double *ret)
{
    int side = canvas->side, size = 2;
    double low = INFINITY, high = -INFINITY;

    while (size < side)
        size *= 2;
    double *map = malloc((size_t)size * size * sizeof(*map));
    if (!map)
        return -ENOMEM;
    plasma_fill(map, size, decay, dice);
    for (int i = 0; i < size * size; i++) {
        low = fmin(low, map[i]);
        high = fmax(high, map[i]);
    }
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++)
            ret[y * side + x] = high > low ? (map[y * size + x] - low) / (high - low) : 0;
    free(map);
    return 0;
}
