/* What do splashes do?
 *
 *   spatter  mean, deviation, s, threshold, mix, mud
 *
 * A random field is smoothed by s, and what lies below the threshold is dry.
 * Mud (mud = 1) covers the rest in brown, with soft edges of width mix. Water
 * (mud = 0) is transparent: it is bright in the middle of a drop and along its
 * lower right side, so that its light depends on the distance to the drop's edge:
 *
 *   edges (Canny) -> distance, at most 20 -> mean of 3x3 -> equalised -> embossed -> mean of 3x3
 *
 * The steps in between are bytes, as in the published generator, which has them
 * from OpenCV; they are written here from their definitions. */
#include "gpu/data/corrupt/canvas.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Canny's edges -------------------------------------------------------------------- */

enum { WEAK_EDGE = 1, EDGE = 255 };

/* Sobel's gradient at a pixel; edges of the image are repeated. */
static void gradient(const uint8_t *plane, int side, int y, int x, int *ret_x, int *ret_y)
{
    int near[3][3];

    for (int dy = -1; dy <= 1; dy++)
        for (int dx = -1; dx <= 1; dx++)
            near[dy + 1][dx + 1] =
                plane[border_at(BORDER_NEAREST, y + dy, side) * side + border_at(BORDER_NEAREST, x + dx, side)];
    *ret_x = near[0][2] + 2 * near[1][2] + near[2][2] - near[0][0] - 2 * near[1][0] - near[2][0];
    *ret_y = near[2][0] + 2 * near[2][1] + near[2][2] - near[0][0] - 2 * near[0][1] - near[0][2];
}

/* Is the strength at a pixel the largest across the edge? Ties go to the first of two. */
static bool is_ridge(const double *strength, int side, int y, int x, int gx, int gy)
{
    const double tan_22_5 = 0.41421356237309503, tan_67_5 = 2.414213562373095;
    int dx = 1, dy = 1;
    bool diagonal = false;

    if (abs(gy) < tan_22_5 * abs(gx)) {
        dy = 0;
    } else if (abs(gy) > tan_67_5 * abs(gx)) {
        dx = 0;
    } else {
        diagonal = true;
        dx = (gx ^ gy) < 0 ? -1 : 1;
    }
#define STRENGTH(sign)                                                                                                 \
    (y + (sign)*dy < 0 || y + (sign)*dy >= side || x + (sign)*dx < 0 || x + (sign)*dx >= side                          \
         ? 0                                                                                                           \
         : strength[(y + (sign)*dy) * side + x + (sign)*dx])
    double here = strength[y * side + x], before = STRENGTH(-1), after = STRENGTH(1);
#undef STRENGTH

    return here > before && (diagonal ? here > after : here >= after);
}

/* Weak edges that touch an edge are edges, too. */
static void edges_grow(uint8_t *edges, int side)
{
    for (bool grown = true; grown;) {
        grown = false;
        for (int at = 0; at < side * side; at++) {
            int y = at / side, x = at % side;

            if (edges[at] != WEAK_EDGE)
                continue;
            for (int k = 0; k < 9; k++) {
                int ny = y + k / 3 - 1, nx = x + k % 3 - 1;

                if (ny >= 0 && ny < side && nx >= 0 && nx < side && edges[ny * side + nx] == EDGE)
                    edges[at] = EDGE;
            }
            grown = grown || edges[at] == EDGE;
        }
    }
}

void edges_find(const uint8_t *plane, int side, double *work, uint8_t *ret)
{
    const double low = 50, high = 150;
    double *strength = work;
    int gx, gy;

    for (int at = 0; at < side * side; at++) {
        gradient(plane, side, at / side, at % side, &gx, &gy);
        strength[at] = abs(gx) + abs(gy);
    }
    for (int at = 0; at < side * side; at++) {
        gradient(plane, side, at / side, at % side, &gx, &gy);
        ret[at] = strength[at] <= low || !is_ridge(strength, side, at / side, at % side, gx, gy) ? 0
                  : strength[at] > high                                                          ? EDGE
                                                                                                 : WEAK_EDGE;
    }
    edges_grow(ret, side);
    for (int at = 0; at < side * side; at++)
        ret[at] = ret[at] == EDGE ? EDGE : 0;
}

/* ---- from edges to light ----------------------------------------------------------------- */

/* One way over the image: each pixel's distance by way of those that came before. */
static void distances_pass(double *at, int side, int sign)
{
    static const struct {
        int dy, dx;
        double length;
    } steps[] = { { 0, -1, 1 },       { -1, 0, 1 },      { -1, -1, 1.4 },    { -1, 1, 1.4 },
                  { -1, -2, 2.1969 }, { -1, 2, 2.1969 }, { -2, -1, 2.1969 }, { -2, 1, 2.1969 } };

    for (int i = 0; i < side * side; i++) {
        int here = sign > 0 ? i : side * side - 1 - i, y = here / side, x = here % side;

        for (size_t k = 0; k < sizeof(steps) / sizeof(steps[0]); k++) {
            int ny = y + sign * steps[k].dy, nx = x + sign * steps[k].dx;

            if (ny >= 0 && ny < side && nx >= 0 && nx < side)
                at[here] = fmin(at[here], at[ny * side + nx] + steps[k].length);
        }
    }
}

void distances(const uint8_t *edges, int side, double *ret)
{
    for (int i = 0; i < side * side; i++)
        ret[i] = edges[i] ? 0 : INFINITY;
    distances_pass(ret, side, 1);
    distances_pass(ret, side, -1);
}

void equalise(uint8_t *plane, int count)
{
    int histogram[256] = { 0 }, first = 0, sum = 0;
    uint8_t lookup[256] = { 0 };

    for (int i = 0; i < count; i++)
        histogram[plane[i]]++;
    while (histogram[first] == 0)
        first++;
    if (histogram[first] == count) /* one value only */
        return;
    for (int value = first + 1; value < 256; value++) {
        sum += histogram[value];
        lookup[value] = (uint8_t)rint(sum * 255.0 / (count - histogram[first]));
    }
    for (int i = 0; i < count; i++)
        plane[i] = lookup[plane[i]];
}

/* A 3x3 filter of bytes, mirrored at the edges; the result is rounded into a byte. */
static void filter(const uint8_t *from, int side, const double kernel[9], uint8_t *to)
{
    for (int at = 0; at < side * side; at++) {
        double sum = 0;

        for (int k = 0; k < 9; k++)
            sum += kernel[k] * from[border_at(BORDER_REFLECT_101, at / side + k / 3 - 1, side) * side +
                                    border_at(BORDER_REFLECT_101, at % side + k % 3 - 1, side)];
        to[at] = (uint8_t)fmin(fmax(rint(sum), 0), 255);
    }
}

/* The mean of 3x3 distances, cut off to a byte. */
static void distances_smooth(const double *far, int side, uint8_t *to)
{
    const double farthest = 20;

    for (int at = 0; at < side * side; at++) {
        double sum = 0;

        for (int k = 0; k < 9; k++)
            sum += fmin(farthest, far[border_at(BORDER_REFLECT_101, at / side + k / 3 - 1, side) * side +
                                      border_at(BORDER_REFLECT_101, at % side + k % 3 - 1, side)]);
        to[at] = (uint8_t)(sum / 9);
    }
}

/* ---- the two liquids ------------------------------------------------------------------------ */

/* `liquid` is the field, one plane; spare[1] and [2] are used. */
static void water(struct canvas *canvas, const double *liquid, double mix)
{
    static const double colour[CHANNELS] = { 175 / 255.0, 238 / 255.0, 238 / 255.0 };
    static const double emboss[9] = { -2, -1, 0, -1, 1, 1, 0, 1, 2 };
    static const double mean[9] = { 1 / 9.0, 1 / 9.0, 1 / 9.0, 1 / 9.0, 1 / 9.0, 1 / 9.0, 1 / 9.0, 1 / 9.0, 1 / 9.0 };
    int side = canvas->side, plane = side * side;
    uint8_t *drops = canvas->bytes[0], *light = canvas->bytes[0] + plane, *other = canvas->bytes[1];
    double *far = canvas->spare[1], top = 0;

    for (int i = 0; i < plane; i++)
        drops[i] = to_byte(liquid[i]);
    edges_find(drops, side, canvas->spare[2], other);
    distances(other, side, far);
    distances_smooth(far, side, light);
    equalise(light, plane);
    filter(light, side, emboss, other);
    filter(other, side, mean, light);
    for (int i = 0; i < plane; i++)
        top = fmax(top, (double)drops[i] * light[i]);
    for (int i = 0; i < CHANNELS * plane && top > 0; i++)
        canvas->x[i] += mix * drops[i % plane] * light[i % plane] / top * colour[i / plane];
}

static void mud(struct canvas *canvas, double *liquid, double threshold, double softness)
{
    static const double colour[CHANNELS] = { 63 / 255.0, 42 / 255.0, 20 / 255.0 };
    const double thin = 0.8, truncate = 4;
    int plane = canvas_plane(canvas);

    for (int i = 0; i < plane; i++)
        liquid[i] = liquid[i] > threshold;
    plane_gaussian(canvas, liquid, softness, truncate, BORDER_NEAREST);
    for (int i = 0; i < CHANNELS * plane; i++) {
        double cover = liquid[i % plane] < thin ? 0 : liquid[i % plane];

        canvas->x[i] = canvas->x[i] * (1 - cover) + colour[i / plane] * cover;
    }
}

int spatter(struct canvas *canvas, const double *p, struct dice *dice)
{
    const double truncate = 4;
    double *liquid = canvas->spare[0];

    for (int i = 0; i < canvas_plane(canvas); i++)
        liquid[i] = dice_normal(dice, p[0], p[1]);
    plane_gaussian(canvas, liquid, p[2], truncate, BORDER_NEAREST);
    for (int i = 0; i < canvas_plane(canvas); i++)
        liquid[i] = liquid[i] < p[3] ? 0 : liquid[i];
    if (p[5] != 0)
        mud(canvas, liquid, p[3], p[4]);
    else
        water(canvas, liquid, p[4]);
    return 0;
}
