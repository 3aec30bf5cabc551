/* The pure functions: which alpha is chosen, and how large a step is. */
#include "gpu/nn/schedule.h"
#include "gpu/rift/interpolate.h"
#include "tests/check.h"

/* ---- METHODS: the choice of alpha ------------------------------------------------ */

static int chosen(const double rows[][3], int count, double tolerance)
{
    struct point points[16] = { 0 };

    for (int i = 0; i < count; i++)
        points[i] = (struct point){ .alpha = rows[i][0], .clean_accuracy = rows[i][1], .robust_accuracy = rows[i][2] };
    return interpolation_choose(points, count, tolerance);
}

static void best_clean_within_tolerance(void)
{
    const double rows[][3] = { { 0, .80, .50 }, { .5, .82, .4995 }, { .8, .83, .4991 }, { 1, .85, .48 } };

    CHECK_INT(chosen(rows, 4, .001), 2);
    CHECK_INT(chosen(rows, 4, .0005), 1);
    CHECK_INT(chosen(rows, 4, .02), 3);
}

static void exact_tolerance_counts(void)
{
    /* 0.532 - 0.001 is a little more than 0.531 in doubles; the point is within. */
    const double rows[][3] = { { 0, .80, .532 }, { 1, .81, .531 } };

    CHECK_INT(chosen(rows, 2, .001), 1);
}

static void start_always_qualifies(void)
{
    const double rows[][3] = { { 0, .80, .50 }, { .5, .9, .4 }, { 1, .95, .3 } };

    CHECK_INT(chosen(rows, 3, 0), 0);
}

static void ties(void)
{
    const double robust[][3] = { { 0, .8, .50 }, { .3, .82, .50 }, { .6, .82, .51 } };
    const double alpha[][3] = { { 0, .8, .50 }, { .3, .82, .50 }, { .6, .82, .50 } };
    const double backwards[][3] = { { .6, .82, .50 }, { .3, .82, .50 }, { 0, .8, .50 } };

    CHECK_INT(chosen(robust, 3, .001), 2);
    CHECK_INT(chosen(alpha, 3, .001), 1);
    CHECK_INT(chosen(backwards, 3, .001), 1);
}

/* ---- learning rates -------------------------------------------------------------------- */

static void step_schedule(void)
{
    int milestones[] = { 100, 105 };
    struct optimizer_spec o = {
        .lr = .1, .schedule = SCHEDULE_STEP, .milestones = milestones, .milestone_count = 2, .gamma = .1
    };

    CHECK_NEAR(schedule_lr(&o, 0, 110, 0, 391), .1, 1e-12);
    CHECK_NEAR(schedule_lr(&o, 99, 110, 390, 391), .1, 1e-12);
    CHECK_NEAR(schedule_lr(&o, 100, 110, 0, 391), .01, 1e-12);
    CHECK_NEAR(schedule_lr(&o, 104, 110, 390, 391), .01, 1e-12);
    CHECK_NEAR(schedule_lr(&o, 105, 110, 0, 391), .001, 1e-12);
}

static void smooth_schedules(void)
{
    struct optimizer_spec cosine = { .lr = .2, .schedule = SCHEDULE_COSINE };
    struct optimizer_spec linear = { .lr = .2, .schedule = SCHEDULE_LINEAR };
    struct optimizer_spec constant = { .lr = .2, .schedule = SCHEDULE_CONSTANT };

    CHECK_NEAR(schedule_lr(&cosine, 0, 10, 0, 4), .2, 1e-12);
    CHECK_NEAR(schedule_lr(&cosine, 5, 10, 0, 4), .1, 1e-12);
    CHECK_NEAR(schedule_lr(&cosine, 2, 10, 2, 4), .1 * (1 + cos(M_PI / 4)), 1e-12);
    CHECK_NEAR(schedule_lr(&linear, 2, 10, 2, 4), .15, 1e-12);
    CHECK_NEAR(schedule_lr(&constant, 9, 10, 3, 4), .2, 1e-12);
}

static const struct check_case cases[] = {
    { "the highest clean accuracy within the tolerance is chosen", best_clean_within_tolerance },
    { "a drop of exactly the tolerance is within it", exact_tolerance_counts },
    { "alpha 0 always qualifies", start_always_qualifies },
    { "ties go to higher robust accuracy, then to the smaller alpha", ties },
    { "step multiplies by gamma from each milestone's epoch on", step_schedule },
    { "cosine and linear go down to 0 over all iterations", smooth_schedules },
};
CHECK_MAIN(cases)
