/* What does an elastic transform do?
 *
 * Three points of the image are moved a little: that is an affine map, and the
 * image is seen through it. Then every pixel is moved by a smooth random field:
 *
 *   out(y, x) = affine(y + dy, x + dx),   dx, dy = alpha * Gaussian(U(-1, 1), s)
 *
 * alpha, s and the points' movement are multiples of the side. At severity 1
 * alpha is 0, so that only the affine map is left. */
#include "gpu/data/corrupt/canvas.h"

#include <math.h>
#include <string.h>

/* The map that takes to[k] back to from[k]: x = m[0] u + m[1] v + m[2], and y likewise. */
static void affine_find(const double to[3][2], const double from[3][2], double m[2][3])
{
    double u1 = to[1][0] - to[0][0], v1 = to[1][1] - to[0][1], u2 = to[2][0] - to[0][0], v2 = to[2][1] - to[0][1];
    double area = u1 * v2 - u2 * v1;

    for (int axis = 0; axis < 2; axis++) {
        double a = from[1][axis] - from[0][axis], b = from[2][axis] - from[0][axis];

        m[axis][0] = (a * v2 - b * v1) / area;
        m[axis][1] = (b * u1 - a * u2) / area;
        m[axis][2] = from[0][axis] - m[axis][0] * to[0][0] - m[axis][1] * to[0][1];
    }
}

static void affine_warp(struct canvas *canvas, double movement, struct dice *dice)
{
    int side = canvas->side, plane = side * side;
    double centre = side / 2, square = side / 3; /* whole numbers */
    const double from[3][2] = { { centre + square, centre + square },
                                { centre + square, centre - square },
                                { centre - square, centre - square } };
    double to[3][2], m[2][3];

    for (int k = 0; k < 3; k++)
        for (int axis = 0; axis < 2; axis++)
            to[k][axis] = from[k][axis] + dice_between(dice, -movement, movement);
    affine_find(to, from, m);
    memcpy(canvas->spare[0], canvas->x, (size_t)CHANNELS * plane * sizeof(double));
    for (int c = 0; c < CHANNELS; c++)
        for (int y = 0; y < side; y++)
            for (int x = 0; x < side; x++)
                canvas->x[c * plane + y * side + x] =
                    plane_sample(canvas->spare[0] + c * plane, side, m[1][0] * x + m[1][1] * y + m[1][2],
                                 m[0][0] * x + m[0][1] * y + m[0][2], BORDER_REFLECT_101);
}

/* dx or dy, one plane. */
static void field_draw(struct canvas *canvas, double alpha, double deviation, struct dice *dice, double *ret)
{
    const double truncate = 3;

    for (int i = 0; i < canvas_plane(canvas); i++)
        ret[i] = dice_between(dice, -1, 1);
    plane_gaussian(canvas, ret, deviation, truncate, BORDER_REFLECT);
    for (int i = 0; i < canvas_plane(canvas); i++)
        ret[i] *= alpha;
}

int elastic_transform(struct canvas *canvas, const double *p, struct dice *dice)
{
    int side = canvas->side, plane = side * side;
    double *dx = canvas->spare[1], *dy = canvas->spare[2];

    affine_warp(canvas, p[2] * side, dice);
    if (p[0] == 0)
        return 0;
    field_draw(canvas, p[0] * side, p[1] * side, dice, dx);
    field_draw(canvas, p[0] * side, p[1] * side, dice, dy);
    memcpy(canvas->spare[0], canvas->x, (size_t)CHANNELS * plane * sizeof(double));
    for (int c = 0; c < CHANNELS; c++)
        for (int y = 0; y < side; y++)
            for (int x = 0; x < side; x++)
                canvas->x[c * plane + y * side + x] = plane_sample(
                    canvas->spare[0] + c * plane, side, y + dy[y * side + x], x + dx[y * side + x], BORDER_REFLECT);
    return 0;
}
