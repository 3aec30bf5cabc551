/* What do the effects work with? (private to this folder)
 *
 * A canvas is one image as doubles in [0,1], a plane a channel, with room to
 * work in; dice are its own stream of random numbers. */
#ifndef RIFT_GPU_DATA_CORRUPT_CANVAS_H
#define RIFT_GPU_DATA_CORRUPT_CANVAS_H

#include "gpu/data/corrupt/corrupt.h"

#include "gpu/backend/philox.h"

enum { CHANNELS = 3, SPARES = 6 };

struct canvas {
    int side;
    double *x;             /* [3,side,side], what the effect changes */
    double *spare[SPARES]; /* [3,side,side] each, anything */
    double *row;           /* [side] */
    uint8_t *bytes[2];     /* [3,side,side] each */
};

static inline int canvas_plane(const struct canvas *canvas)
{
    return canvas->side * canvas->side;
}

/* Random numbers in the order in which an effect asks for them. */
struct dice {
    uint64_t seed, index;
    uint32_t epoch, block;
    struct philox words;
    int left;
    double normal; /* the second one of a pair */
    bool has_normal;
};
double dice_unit(struct dice *dice);                             /* [0,1), 53 bits */
double dice_between(struct dice *dice, double low, double high); /* uniform */
int dice_int(struct dice *dice, int low, int high);              /* low..high, both possible */
double dice_normal(struct dice *dice, double mean, double deviation);
int dice_poisson(struct dice *dice, double mean);

/* An effect with the numbers of its row. Effects leave values outside [0,1] to the caller to clip. */
enum { PARAMETERS_MOST = 7 };
typedef int effect_function(struct canvas *canvas, const double *p, struct dice *dice);
effect_function gaussian_noise, shot_noise, impulse_noise, speckle_noise;
effect_function gaussian_blur, defocus_blur, glass_blur, motion_blur, zoom_blur;
effect_function snow, frost, fog, brightness, spatter;
effect_function contrast, elastic_transform, pixelate, jpeg_compression, saturate;

struct effect {
    effect_function *apply;
    double parameters[2][SEVERITY_COUNT][PARAMETERS_MOST];
};
extern const struct effect effects[CORRUPTION_COUNT];

/* ---- steps of single effects, seen by the tests ---- */

enum { DISK_RADIUS = 8, DISK_SIDE = 2 * DISK_RADIUS + 1 };
/* [17,17]: a disk, softened. Returns the distance beyond which all is 0. */
int disk_kernel(double radius, double softness, double ret[DISK_SIDE * DISK_SIDE]);
/* Copy pixels of [3,side,side] from near by, from the last to the first, `passes` times. */
void glass_copy(uint8_t *image, int side, int distance, int passes, struct dice *dice);
/* Canny's edges of a plane: 255 where one is, else 0. `work` is [2,side,side]. */
void edges_find(const uint8_t *plane, int side, double *work, uint8_t *ret);
/* Distance of each pixel to the nearest that isn't 0, by steps of a 5x5 mask. */
void distances(const uint8_t *edges, int side, double *ret);
/* Histogram equalisation in place. */
void equalise(uint8_t *plane, int count);

/* ---- canvas.c ---- */

/* How a row goes on beyond its ends. */
enum border {
    BORDER_NEAREST,     /* aaa|abcd|ddd */
    BORDER_REFLECT,     /* cba|abcd|dcb */
    BORDER_REFLECT_101, /* dcb|abcd|cba */
};
int border_at(enum border border, int at, int size);

/* Separable Gaussian of one plane in place, cut off at `truncate` deviations. 0: no change. */
void plane_gaussian(struct canvas *canvas, double *plane, double deviation, double truncate, enum border border);
/* The same of all channels, as the effects mean it when they say nothing else. */
void canvas_gaussian(struct canvas *canvas, double *planes, double deviation);
/* 2*radius + 1 weights of a Gaussian, normalised to 1. */
void gaussian_weights(double deviation, int radius, double *ret);
/* Bilinear value at (x, y), which may lie outside. */
double plane_sample(const double *plane, int side, double y, double x, enum border border);
/* The middle of `from`, magnified; one plane. */
void plane_zoom(const double *from, int side, double factor, double *to);
/* Blurred along a line, one-sided; the result is rounded to 8 bits. One plane. */
void plane_motion(const double *from, int side, int radius, double deviation, double angle, double *to);
/* A fractal of values 0..1 on the canvas; spare[0] is used. 0 or -ENOMEM. */
int plasma(struct canvas *canvas, double decay, struct dice *dice, double *ret);
/* [0,1] to a byte, cut off, and back. */
uint8_t to_byte(double value);
double luma(const double *planes, int plane, int at);
double clip(double value);

#endif
