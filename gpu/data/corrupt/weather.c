/* What does weather do?
 *
 *   snow        mean, deviation, zoom, threshold, radius, s, mix   flakes, blurred along the wind
 *   fog         c, decay                                           a fractal, added
 *   brightness  c                                                  added to the V of HSV
 *
 * Frost and water have files of their own. */
#include "gpu/data/corrupt/canvas.h"

#include <math.h>
#include <string.h>

int fog(struct canvas *canvas, const double *p, struct dice *dice)
{
    int plane = canvas_plane(canvas);
    double *mist = canvas->spare[0], top = 0;
    int r = plasma(canvas, p[1], dice, mist);

    if (r < 0)
        return r;
    for (int i = 0; i < CHANNELS * plane; i++)
        top = fmax(top, canvas->x[i]);
    for (int i = 0; i < CHANNELS * plane; i++)
        canvas->x[i] = (canvas->x[i] + p[0] * mist[i % plane]) * top / (top + p[0]);
    return 0;
}

/* HSV's V is the largest of R, G and B; hue and saturation stay when all three grow alike. */
int brightness(struct canvas *canvas, const double *p, struct dice *dice)
{
    int plane = canvas_plane(canvas);

    (void)dice;
    for (int i = 0; i < plane; i++) {
        double value = fmax(canvas->x[i], fmax(canvas->x[plane + i], canvas->x[2 * plane + i]));
        double brighter = clip(value + p[0]);

        for (int c = 0; c < CHANNELS; c++)
            canvas->x[c * plane + i] = value > 0 ? canvas->x[c * plane + i] * brighter / value : brighter;
    }
    return 0;
}

/* ---- snow ------------------------------------------------------------------------------ */

/* One plane of flakes in spare[0]; spare[1] is used. */
static void flakes_fall(struct canvas *canvas, const double *p, struct dice *dice)
{
    int side = canvas->side, plane = canvas_plane(canvas);
    double *flakes = canvas->spare[0], *zoomed = canvas->spare[1];

    for (int i = 0; i < plane; i++)
        flakes[i] = dice_normal(dice, p[0], p[1]);
    plane_zoom(flakes, side, p[2], zoomed);
    for (int i = 0; i < plane; i++)
        zoomed[i] = zoomed[i] < p[3] ? 0 : to_byte(zoomed[i]) / 255.0;
    plane_motion(zoomed, side, (int)p[4], p[5], dice_between(dice, -3 * M_PI / 4, -M_PI / 4), flakes);
}

int snow(struct canvas *canvas, const double *p, struct dice *dice)
{
    const double whiter = 1.5, lighter = 0.5;
    int plane = canvas_plane(canvas);
    double *flakes = canvas->spare[0], mix = p[6];

    flakes_fall(canvas, p, dice);
    for (int i = 0; i < plane; i++) {
        double white = whiter * luma(canvas->x, plane, i) + lighter;
        double turned = flakes[plane - 1 - i]; /* by 180 degrees */

        for (int c = 0; c < CHANNELS; c++) {
            double *x = &canvas->x[c * plane + i];

            *x = mix * *x + (1 - mix) * fmax(*x, white) + flakes[i] + turned;
        }
    }
    return 0;
}
