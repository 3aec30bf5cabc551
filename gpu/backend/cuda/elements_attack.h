/* What happens to one element, or one row of logits, in APGD, FAB and Square?
 *
 * As elements.h: the same functions for the card and for the processor. FAB's
 * sums over an image are meets of a whole block on the card, so its loops are in
 * attack.cu; here is what they are made of. */
#ifndef RIFT_GPU_BACKEND_CUDA_ELEMENTS_ATTACK_H
#define RIFT_GPU_BACKEND_CUDA_ELEMENTS_ATTACK_H

#include "gpu/backend/cuda/elements.h"

/* ---- margin_loss ------------------------------------------------------------------------- */

/* backend.h's enum margin, held to it by a static assertion in operations_attack.c. */
enum row_margin { ROW_MARGIN_PLAIN, ROW_MARGIN_DLR, ROW_MARGIN_DLR_TARGETED };

HD int row_least(int mine)
{
#ifdef ON_CARD
    for (int step = 16; step; step /= 2) {
        int other = __shfl_xor_sync(0xffffffffu, mine, step);

        mine = other < mine ? other : mine;
    }
#endif
    return mine;
}

/* The class of the r-th largest logit, r from 1; of equals the first is larger. */
HD int row_ranked(const float *z, int k, int r)
{
    int mine = k;

    for (int c = row_lane(); c < k; c += LANES) {
        int above = 0;

        for (int other = 0; other < k; other++)
            above += z[other] > z[c] || (z[other] == z[c] && other < c);
        if (above == r - 1 && c < mine)
            mine = c;
    }
    mine = row_least(mine);
    return mine < k ? mine : 0;
}

/* The denominator D, and its derivative by the logit of class c. */
HD double margin_denominator(int margin, const float *z, const int rank[5])
{
    if (margin == ROW_MARGIN_PLAIN)
        return 1;
    if (margin == ROW_MARGIN_DLR)
        return (double)z[rank[1]] - z[rank[3]] + 1e-12;
    return z[rank[1]] - 0.5 * ((double)z[rank[3]] + z[rank[4]]) + 1e-12;
}

HD double margin_denominator_by(int margin, const int rank[5], int c)
{
    if (margin == ROW_MARGIN_PLAIN)
        return 0;
    if (margin == ROW_MARGIN_DLR)
        return (c == rank[1]) - (c == rank[3]);
    return (c == rank[1]) - 0.5 * ((c == rank[3]) + (c == rank[4]));
}

/* target -1: the largest but for the label. */
HD void row_margin_loss(int margin, const float *z, int k, int label, int target, float scale, float *loss,
                        int32_t *correct, float *dz)
{
    int rank[5] = { 0, row_ranked(z, k, 1), row_ranked(z, k, 2), row_ranked(z, k, 3), row_ranked(z, k, 4) };
    int t = target >= 0 ? target : rank[1] == label ? rank[2] : rank[1];
    double d = margin_denominator(margin, z, rank), difference = (double)z[label] - z[t];

    if (row_lane() == 0) {
        *loss = (float)(-difference / d);
        *correct = rank[1] == label;
    }
    for (int c = row_lane(); dz && c < k; c += LANES)
        dz[c] = (float)((((c == t) - (c == label)) / d +
                         difference / (d * d) * margin_denominator_by(margin, rank, c)) *
                        scale);
}

/* ---- pixels ---------------------------------------------------------------------------------- */

/* P: into the ball around x, and into [0, 1]. */
HD float into_ball(float u, float x, float epsilon)
{
    return clampf(x + clampf(u - x, -epsilon, epsilon), 0.0f, 1.0f);
}

/* The words of pgd_start as numbers in [-1, 1). */
HD float signed_unit(uint32_t word)
{
    return 2.0f * philox_unit(word) - 1.0f;
}

HD float apgd_started(float x, float epsilon, float t, float largest)
{
    return clampf(x + epsilon * (t / largest), 0.0f, 1.0f);
}

HD float apgd_stepped(float x, float g, float now, float step, float a, float epsilon, float old)
{
    float sign = (float)((g > 0) - (g < 0));
    float z = into_ball(now + step * sign, x, epsilon);

    return into_ball(now + a * (z - now) + (1.0f - a) * (now - old), x, epsilon);
}

/* Square: which of 128 columns' signs a word holds. */
enum { STRIPE_BITS = 128 };
#define STRIPE_BLOCKS (1u << 31)

/* bits: the word of the column's sign. */
HD float square_started(float x, float epsilon, uint32_t bits, int64_t column)
{
    bool up = bits >> (column % 32) & 1;

    return clampf(x + (up ? epsilon : -epsilon), 0.0f, 1.0f);
}

struct square_window {
    int row, column, side;
};

HD struct square_window square_window(struct philox four, int h, int w, int side)
{
    struct square_window ret = { (int)((uint64_t)four.word[0] * (uint64_t)(h - side) >> 32),
                                 (int)((uint64_t)four.word[1] * (uint64_t)(w - side) >> 32), side };

    return ret;
}

HD float square_stepped(float x, float best, float epsilon, struct philox four, struct square_window at, int c, int row,
                        int column)
{
    bool inside = row >= at.row && row < at.row + at.side && column >= at.column && column < at.column + at.side;
    float change = (four.word[2] >> c & 1 ? 2.0f : -2.0f) * epsilon;

    return inside ? into_ball(best + change, x, epsilon) : best;
}

/* ---- FAB --------------------------------------------------------------------------------------- */

enum { FAB_HALVINGS = 100 };

/* How far element u may go against s*w, and on which side that is; s is the sign of c. */
HD double fab_room(double u, double w, double c, double *ret_sign)
{
    double sw = c >= 0 ? w : -w;

    *ret_sign = (sw > 0) - (sw < 0);
    return sw > 0 ? u : sw < 0 ? 1 - u : 0;
}

HD double fab_moved(double u, double w, double c, double lambda)
{
    double sign, most = fab_room(u, w, c, &sign);

    return -sign * (lambda < most ? lambda : most);
}

HD double fab_reach(double u, double w, double c, double lambda)
{
    double sign, most = fab_room(u, w, c, &sign);

    return fabs(w) * (lambda < most ? lambda : most);
}

#endif
