/* What does noise do? One random number or two for every element of the image. */
#include "gpu/data/corrupt/canvas.h"

/* x + s N(0,1) */
int gaussian_noise(struct canvas *canvas, const double *p, struct dice *dice)
{
    for (int i = 0; i < CHANNELS * canvas_plane(canvas); i++)
        canvas->x[i] += dice_normal(dice, 0, p[0]);
    return 0;
}

/* Poisson(x c) / c */
int shot_noise(struct canvas *canvas, const double *p, struct dice *dice)
{
    for (int i = 0; i < CHANNELS * canvas_plane(canvas); i++)
        canvas->x[i] = dice_poisson(dice, canvas->x[i] * p[0]) / p[0];
    return 0;
}

/* With probability a, white or black, each as often. */
int impulse_noise(struct canvas *canvas, const double *p, struct dice *dice)
{
    for (int i = 0; i < CHANNELS * canvas_plane(canvas); i++) {
        bool hit = dice_unit(dice) < p[0], white = dice_unit(dice) < 0.5;

        if (hit)
            canvas->x[i] = white;
    }
    return 0;
}

/* x + x s N(0,1) */
int speckle_noise(struct canvas *canvas, const double *p, struct dice *dice)
{
    for (int i = 0; i < CHANNELS * canvas_plane(canvas); i++)
        canvas->x[i] += canvas->x[i] * dice_normal(dice, 0, p[0]);
    return 0;
}
