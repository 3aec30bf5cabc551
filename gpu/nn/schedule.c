/* The formulas of schedule.h. They are pure functions of the position, so a
 * resumed job needs no scheduler state. */
#include "gpu/nn/schedule.h"

#include <math.h>

static double constant(const struct optimizer_spec *spec, int epoch, double t)
{
    (void)epoch;
    (void)t;
    return spec->lr;
}

static double step(const struct optimizer_spec *spec, int epoch, double t)
{
    double lr = spec->lr;

    (void)t;
    for (int i = 0; i < spec->milestone_count && spec->milestones[i] <= epoch; i++)
        lr *= spec->gamma;
    return lr;
}

static double cosine(const struct optimizer_spec *spec, int epoch, double t)
{
    (void)epoch;
    return spec->lr * (1 + cos(M_PI * t)) / 2;
}

static double linear(const struct optimizer_spec *spec, int epoch, double t)
{
    (void)epoch;
    return spec->lr * (1 - t);
}

static double (*const formulas[])(const struct optimizer_spec *spec, int epoch, double t) = {
    [SCHEDULE_CONSTANT] = constant,
    [SCHEDULE_STEP] = step,
    [SCHEDULE_COSINE] = cosine,
    [SCHEDULE_LINEAR] = linear,
};

double schedule_lr(const struct optimizer_spec *spec, int epoch, int epochs, int i, int iterations)
{
    return formulas[spec->schedule](spec, epoch, (epoch + (double)i / iterations) / epochs);
}
