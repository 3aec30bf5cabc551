/* What does frost do?
 *
 *   frost  a, b, size     out = a x + b frost(crop)
 *
 * The published generator takes the crop from five photographs of frosted
 * panes. We have none and draw our own: five procedural panes of ice needles,
 * which lie at random angles in the cells of a Voronoi diagram, with bright seams
 * in between. The result is *frost-like*: accuracies on it don't compare with
 * published ones.
 *
 * Lengths are in pixels of the photographs, which are shrunk to `size` of theirs: 0.2
 * for images of 32 pixels, 0.3 for 64. A pane is a pure function of its number
 * and not of the job's seed; which pane and which crop is drawn anew. */
#include "gpu/data/corrupt/canvas.h"

#include <math.h>

enum { PANES = 5, PANE_EXTENT = 1000, PANE_KEY = 0x66726f73 };

/* Two uniform numbers that belong to a point of a grid. */
static void grid_pair(uint32_t pane, uint32_t layer, int x, int y, double ret[2])
{
    struct philox words =
        philox(PANE_KEY, RANDOM_CORRUPT, pane << 8 | layer, (uint64_t)(uint32_t)x << 16 ^ (uint32_t)y, 0);

    ret[0] = philox_unit(words.word[0]);
    ret[1] = philox_unit(words.word[1]);
}

/* Random values on whole points, smooth in between; 0..1. */
static double noise(uint32_t pane, uint32_t layer, double x, double y)
{
    int left = (int)floor(x), top = (int)floor(y);
    double right = x - left, down = y - top, corner[4][2];

    for (int k = 0; k < 4; k++)
        grid_pair(pane, layer, left + k % 2, top + k / 2, corner[k]);
    right *= right * (3 - 2 * right);
    down *= down * (3 - 2 * down);
    return (1 - down) * ((1 - right) * corner[0][0] + right * corner[1][0]) +
           down * ((1 - right) * corner[2][0] + right * corner[3][0]);
}

/* The crystal that a point belongs to: where from, at which angle, and how far the next one is. */
struct crystal {
    double x, y, angle, seam;
};

static struct crystal crystal_find(uint32_t pane, double x, double y)
{
    const double cell = 130;
    int column = (int)floor(x / cell), row = (int)floor(y / cell);
    double nearest = INFINITY, second = INFINITY;
    struct crystal ret = { 0 };

    for (int dy = -1; dy <= 1; dy++)
        for (int dx = -1; dx <= 1; dx++) {
            double at[2], angle[2];

            grid_pair(pane, 0, column + dx, row + dy, at);
            grid_pair(pane, 1, column + dx, row + dy, angle);
            double px = (column + dx + at[0]) * cell, py = (row + dy + at[1]) * cell;
            double far = hypot(x - px, y - py);

            if (far < nearest) {
                second = nearest;
                nearest = far;
                ret = (struct crystal){ px, py, M_PI * angle[0], 0 };
            } else if (far < second) {
                second = far;
            }
        }
    ret.seam = second - nearest;
    return ret;
}

/* 0 in the middle of a needle's gap, 1 on its ridge. */
static double ridge(double value)
{
    double height = 1 - fabs(2 * value - 1);

    return height * height * height;
}

/* How much light the ice sends at a point of a pane, 0..1. */
static double ice(uint32_t pane, double x, double y)
{
    const double bend = 50, bends = 90;    /* needles are not quite straight */
    const double length = 160, width = 26; /* of needles, and of fine ones */
    const double fine_length = 60, fine_width = 11, seam_width = 14, cloud = 140;
    double bent_x = x + bend * noise(pane, 2, x / bends, y / bends);
    double bent_y = y + bend * noise(pane, 3, x / bends, y / bends);
    struct crystal crystal = crystal_find(pane, bent_x, bent_y);
    double along = (bent_x - crystal.x) * cos(crystal.angle) + (bent_y - crystal.y) * sin(crystal.angle);
    double across = (bent_y - crystal.y) * cos(crystal.angle) - (bent_x - crystal.x) * sin(crystal.angle);
    double light = 0.12 + 0.45 * ridge(noise(pane, 4, along / length + crystal.x, across / width + crystal.y)) +
                   0.35 * ridge(noise(pane, 5, along / fine_length, across / fine_width + crystal.angle)) +
                   0.3 * exp(-crystal.seam / seam_width) + 0.35 * noise(pane, 6, x / cloud, y / cloud);

    return clip(light);
}

int frost(struct canvas *canvas, const double *p, struct dice *dice)
{
    static const double ice_colour[CHANNELS] = { 0.90, 0.96, 1.0 };
    int side = canvas->side, plane = side * side;
    double pixel = 1 / p[2];
    uint32_t pane = (uint32_t)dice_int(dice, 1, PANES);
    double left = dice_between(dice, 0, PANE_EXTENT), top = dice_between(dice, 0, PANE_EXTENT);

    for (int i = 0; i < plane; i++) {
        double light = ice(pane, left + pixel * (i % side), top + pixel * (i / side));

        for (int c = 0; c < CHANNELS; c++)
            canvas->x[c * plane + i] = p[0] * canvas->x[c * plane + i] + p[1] * ice_colour[c] * light;
    }
    return 0;
}
