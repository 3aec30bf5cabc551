/* Are the random numbers of corruptions what they claim to be, and noise as strong as published? */
#include "tests/data/canvas.h"

enum { DRAWS = 40000 };

static void moments(double (*draw)(struct dice *), double *ret_mean, double *ret_variance)
{
    struct dice dice = dice_of(5);
    double sum = 0, squares = 0;

    for (int i = 0; i < DRAWS; i++) {
        double value = draw(&dice);

        sum += value;
        squares += value * value;
    }
    *ret_mean = sum / DRAWS;
    *ret_variance = squares / DRAWS - *ret_mean * *ret_mean;
}

static double draw_unit(struct dice *dice)
{
    return dice_unit(dice);
}
static double draw_normal(struct dice *dice)
{
    return dice_normal(dice, 3, 2);
}
static double draw_int(struct dice *dice)
{
    return dice_int(dice, -2, 1);
}
static double poisson_mean;
static double draw_poisson(struct dice *dice)
{
    return dice_poisson(dice, poisson_mean);
}

/* Five standard errors: never by chance. */
static void check_moments(double (*draw)(struct dice *), double mean, double variance)
{
    double m, v;

    moments(draw, &m, &v);
    if (fabs(m - mean) > 5 * sqrt(variance / DRAWS))
        CHECK_FAIL("the mean is %g, expected %g", m, mean);
    if (fabs(v - variance) > 0.05 * variance)
        CHECK_FAIL("the variance is %g, expected %g", v, variance);
}

static void dice_are_fair(void)
{
    static const double means[] = { 0.02, 0.7, 3.5, 40, 499.3 };

    check_moments(draw_unit, 0.5, 1 / 12.0);
    check_moments(draw_normal, 3, 4);
    check_moments(draw_int, -0.5, 1.25);
    for (int i = 0; i < 5; i++) {
        poisson_mean = means[i];
        check_moments(draw_poisson, means[i], means[i]);
    }
    struct dice dice = dice_of(1);
    CHECK_INT(dice_poisson(&dice, 0), 0);
}

/* Pearson's chi squared of 7 outcomes; 30 is beyond one in 10,000. */
static void poisson_has_its_probabilities(void)
{
    int counts[7] = { 0 };
    double chi = 0, p = exp(-2.0), rest = 1;
    struct dice dice = dice_of(11);

    for (int i = 0; i < DRAWS; i++) {
        int k = dice_poisson(&dice, 2);
        counts[k < 6 ? k : 6]++;
    }
    for (int k = 0; k < 7; k++) {
        double expected = DRAWS * (k < 6 ? p : rest);

        chi += (counts[k] - expected) * (counts[k] - expected) / expected;
        rest -= p;
        p *= 2.0 / (k + 1);
    }
    if (!(chi < 30))
        CHECK_FAIL("chi squared is %g", chi);
}

static void noise_has_its_strength(void)
{
    struct canvas *canvas = easel(64);
    struct dice dice = dice_of(2);
    double squares = 0;

    for (int i = 0; i < EASEL_IMAGE; i++)
        canvas->x[i] = 0.5;
    gaussian_noise(canvas, numbers("gaussian_noise", CORRUPTION_TINY, 3), &dice);
    for (int i = 0; i < EASEL_IMAGE; i++)
        squares += (canvas->x[i] - 0.5) * (canvas->x[i] - 0.5);
    CHECK_NEAR(sqrt(squares / EASEL_IMAGE) / 0.12, 1, 0.03);

    squares = 0;
    for (int i = 0; i < EASEL_IMAGE; i++)
        canvas->x[i] = i % 2 ? 0.5 : 0;
    speckle_noise(canvas, numbers("speckle_noise", CORRUPTION_TINY, 5), &dice);
    for (int i = 0; i < EASEL_IMAGE; i++) {
        if (i % 2 == 0 && canvas->x[i] != 0)
            CHECK_FAIL("speckle changes black");
        squares += i % 2 ? (canvas->x[i] - 0.5) * (canvas->x[i] - 0.5) : 0;
    }
    CHECK_NEAR(sqrt(squares / (EASEL_IMAGE / 2)) / (0.35 * 0.5), 1, 0.03);

    for (int i = 0; i < EASEL_IMAGE; i++)
        canvas->x[i] = 0.5;
    shot_noise(canvas, numbers("shot_noise", CORRUPTION_CIFAR, 5), &dice);
    for (int i = 0; i < EASEL_IMAGE; i++)
        if (fabs(canvas->x[i] * 50 - rint(canvas->x[i] * 50)) > 1e-9)
            CHECK_FAIL("%g isn't a number of photons over 50", canvas->x[i]);
}

static void impulses_hit_their_part(void)
{
    for (int severity = 1; severity <= SEVERITY_COUNT; severity++) {
        struct canvas *canvas = easel(64);
        const double *p = numbers("impulse_noise", CORRUPTION_TINY, severity);
        struct dice dice = dice_of(3);
        double white = 0, black = 0, error = 5 * sqrt(p[0] / 2 * EASEL_IMAGE);

        for (int i = 0; i < EASEL_IMAGE; i++)
            canvas->x[i] = 0.5;
        impulse_noise(canvas, p, &dice);
        for (int i = 0; i < EASEL_IMAGE; i++) {
            white += canvas->x[i] == 1;
            black += canvas->x[i] == 0;
        }
        if (fabs(white - p[0] / 2 * EASEL_IMAGE) > error || fabs(black - p[0] / 2 * EASEL_IMAGE) > error)
            CHECK_FAIL("%g white and %g black ones of %d at probability %g", white, black, EASEL_IMAGE, p[0]);
    }
}

static const struct check_case cases[] = {
    { "uniform, normal, whole and Poisson numbers have their means and variances", dice_are_fair },
    { "Poisson numbers have their probabilities", poisson_has_its_probabilities },
    { "Gaussian, speckle and shot noise are as strong as they should be", noise_has_its_strength },
    { "impulses hit their part of the pixels, half of them white", impulses_hit_their_part },
};

CHECK_MAIN(cases)
