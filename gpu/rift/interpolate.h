/* Which point between two sets of weights is best? The rule alone, for tests. */
#ifndef RIFT_GPU_RIFT_INTERPOLATE_H
#define RIFT_GPU_RIFT_INTERPOLATE_H

struct point {
    double alpha, clean_loss, clean_accuracy, robust_loss, robust_accuracy;
};

/* Among the points whose robust accuracy is at most `tolerance` below that of
 * alpha 0: the highest clean accuracy; ties: higher robust accuracy, then the
 * smaller alpha. alpha 0 must be there and always qualifies, so the choice is
 * never worse than the start by this measure. Returns the index. */
int interpolation_choose(const struct point *points, int count, double tolerance);

#endif
