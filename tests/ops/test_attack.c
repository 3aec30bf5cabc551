/* Do the steps of APGD, FAB and Square do what backend.h says?
 *
 * Every backend beside the oracle, on odd shapes; the oracle itself against
 * closed forms and a second, naive way. Pixels that move by
 * signs and clamps have to be the same bits; FAB goes by sums over an image. */
#include "gpu/backend/philox.h"
#include "tests/check.h"
#include "tests/ops/call.h"
#include "tests/ops/cases.h"

static const float EPSILON = 8.0f / 255;
#define FAB 1e-6 /* sums in another order, then a few roundings of 6e-8 */

static const struct shape shapes[] = { { 2, 3, 32, 32 }, { 1, 1, 8, 8 }, { 5, 3, 9, 7 }, { 3, 1, 33, 5 } };
enum {
    SHAPES = 4,
    MOST = 2 * 3 * 32 * 32,
    ROWS = 5,
};
static const struct random_key key = { 11, RANDOM_SQUARE, 3 };
static const int64_t ids[ROWS] = { 7, 0, (int64_t)1 << 33, 49999, 3 };

static int64_t row(struct shape s)
{
    return (int64_t)s.c * s.h * s.w;
}

/* Pixels with exact zeros and ones among them. */
static void pixels(float *x, uint32_t what, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        x[i] = fminf(fmaxf(noise(what, i) * 0.7f + 0.5f, 0), 1);
}

/* Signed numbers, every seventh 0. */
static void slopes(float *g, uint32_t what, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        g[i] = i % 7 == 3 ? 0 : noise(what, i);
}

/* Somewhere in the ball around x. */
static void nearby(float *u, const float *x, uint32_t what, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        u[i] = fminf(fmaxf(x[i] + EPSILON * noise(what, i), 0), 1);
}

/* What every step has: fills `out` (which holds what was there before) for shape s. */
typedef void step_function(struct device *dev, struct shape s, float *out);

static void apgd_start(struct device *dev, struct shape s, float *out)
{
    static float x[MOST];
    struct call c = { .dev = dev };
    size_t bytes = (size_t)shape_count(s) * sizeof(float);

    pixels(x, 1, shape_count(s));
    memset(out, 0xff, bytes);
    float *dx = in(&c, x, bytes), *du = in(&c, out, bytes);
    CHECK_INT(dev->ops->apgd_start(dev, s, dx, EPSILON, key, ids, du), 0);
    done(&c, out, 1);
}

static const float steps[ROWS] = { 2 * 8.0f / 255, 8.0f / 255, 0.001f, 0.25f, 4.0f / 255 };

static void apgd_step(struct device *dev, struct shape s, float *out)
{
    static float x[MOST], g[MOST], now[MOST];
    struct call c = { .dev = dev };
    int64_t n = shape_count(s);
    size_t bytes = (size_t)n * sizeof(float);

    pixels(x, 1, n);
    slopes(g, 2, n);
    nearby(now, x, 3, n);
    nearby(out, x, 4, n);
    float *dx = in(&c, x, bytes), *dg = in(&c, g, bytes), *dn = in(&c, now, bytes), *du = in(&c, out, bytes);
    CHECK_INT(dev->ops->apgd_step(dev, s, dx, dg, dn, steps, 0.75f, EPSILON, du), 0);
    done(&c, out, 3);
}

static void square_start(struct device *dev, struct shape s, float *out)
{
    static float x[MOST];
    struct call c = { .dev = dev };
    size_t bytes = (size_t)shape_count(s) * sizeof(float);

    pixels(x, 1, shape_count(s));
    memset(out, 0xff, bytes);
    float *dx = in(&c, x, bytes), *du = in(&c, out, bytes);
    CHECK_INT(dev->ops->square_start(dev, s, dx, EPSILON, key, ids, du), 0);
    done(&c, out, 1);
}

static void square_step_with(struct device *dev, struct shape s, uint32_t query, int side, float *out)
{
    static float x[MOST], best[MOST];
    struct call c = { .dev = dev };
    int64_t n = shape_count(s);
    size_t bytes = (size_t)n * sizeof(float);

    pixels(x, 1, n);
    nearby(best, x, 3, n);
    memset(out, 0xff, bytes);
    float *dx = in(&c, x, bytes), *db = in(&c, best, bytes), *du = in(&c, out, bytes);
    CHECK_INT(dev->ops->square_step(dev, s, dx, db, EPSILON, key, ids, query, side, du), 0);
    done(&c, out, 2);
}

static void square_step(struct device *dev, struct shape s, float *out)
{
    square_step_with(dev, s, 17, 3, out);
}

/* The whole image, where there is only one place for the window. */
static void square_step_whole(struct device *dev, struct shape s, float *out)
{
    square_step_with(dev, s, 4999, s.h < s.w ? s.h : s.w, out);
}

static void square_step_pixel(struct device *dev, struct shape s, float *out)
{
    square_step_with(dev, s, 0, 1, out);
}

/* Boundaries near and far, on both sides, and one that the box doesn't reach. */
static const float heights[ROWS] = { -0.5f, 0.02f, -30, 1e6f, 0 };

static void fab_step(struct device *dev, struct shape s, float *out)
{
    static float x[MOST], g[MOST];
    struct call c = { .dev = dev };
    int64_t n = shape_count(s);
    size_t bytes = (size_t)n * sizeof(float);

    pixels(x, 1, n);
    slopes(g, 2, n);
    nearby(out, x, 4, n);
    float *dx = in(&c, x, bytes), *dg = in(&c, g, bytes), *du = in(&c, out, bytes);
    CHECK_INT(dev->ops->fab_step(dev, s, dx, dg, heights, 1.05f, 0.1f, du), 0);
    done(&c, out, 2);
}

static void fab_step_flat(struct device *dev, struct shape s, float *out)
{
    static float x[MOST], g[MOST];
    struct call c = { .dev = dev };
    int64_t n = shape_count(s);
    size_t bytes = (size_t)n * sizeof(float);

    memset(g, 0, sizeof(g));
    pixels(x, 1, n);
    nearby(out, x, 4, n);
    float *dx = in(&c, x, bytes), *dg = in(&c, g, bytes), *du = in(&c, out, bytes);
    CHECK_INT(dev->ops->fab_step(dev, s, dx, dg, heights, 1.05f, 0.1f, du), 0);
    done(&c, out, 2);
}

static void fab_back(struct device *dev, struct shape s, float *out)
{
    static float x[MOST];
    static const int32_t rows[] = { 4, 0, 2 };
    struct call c = { .dev = dev };
    int64_t n = shape_count(s);
    size_t bytes = (size_t)n * sizeof(float);
    int count = s.n == 5 ? 3 : 0;

    pixels(x, 1, n);
    nearby(out, x, 4, n);
    float *dx = in(&c, x, bytes), *du = in(&c, out, bytes);
    CHECK_INT(dev->ops->fab_back(dev, s, dx, 0.9f, count ? rows : rows + 1, count ? count : 1, du), 0);
    done(&c, out, 1);
}

static void row_distance(struct device *dev, struct shape s, float *out)
{
    static float a[MOST], b[MOST];
    struct call c = { .dev = dev };
    size_t bytes = (size_t)shape_count(s) * sizeof(float);

    pixels(a, 1, shape_count(s));
    pixels(b, 2, shape_count(s));
    float *da = in(&c, a, bytes), *db = in(&c, b, bytes);
    memset(out, 0, bytes);
    CHECK_INT(dev->ops->row_distance(dev, s, da, db, out), 0);
    CHECK_INT(s.n * 2 > shape_count(s) ? 0 : dev->ops->row_distance(dev, s, da, NULL, out + s.n), 0);
    done(&c, NULL, 0);
}

static const struct {
    const char *name;
    step_function *run;
    double tolerance; /* 0: the same bits */
} kinds[] = {
    { "apgd_start", apgd_start, 0 },
    { "apgd_step", apgd_step, 0 },
    { "square_start", square_start, 0 },
    { "square_step", square_step, 0 },
    { "square_step, whole", square_step_whole, 0 },
    { "square_step, a pixel", square_step_pixel, 0 },
    { "fab_step", fab_step, FAB },
    { "fab_step, flat", fab_step_flat, FAB },
    { "fab_back", fab_back, 0 },
    { "row_distance", row_distance, 0 },
};

/* ---- every backend beside the oracle --------------------------------------------------------- */

static void on_each(void (*test)(struct device *dev))
{
    for (int b = 0; backends[b]; b++) {
        struct device *dev;
        int before = check_failures;
        int r = backends[b]->device_open(backends[b]->name, PRECISION_FLOAT32, 0, &dev, NULL);

        if (r < 0)
            continue; /* test_devices tells of devices that aren't here */
        test(dev);
        if (check_failures != before)
            fprintf(stderr, "that was backend %s\n", backends[b]->name);
        device_close(dev);
    }
}

static void compare(const char *name, struct shape s, const float *is, const float *want, double tolerance)
{
    double difference = 0, norm = 0;

    for (int64_t i = 0; i < shape_count(s); i++) {
        if (!(isfinite(is[i]) && isfinite(want[i])))
            CHECK_FAIL("%s: element %lld is %g, the oracle's %g", name, (long long)i, is[i], want[i]);
        difference += ((double)is[i] - want[i]) * ((double)is[i] - want[i]);
        norm += (double)want[i] * want[i];
    }
    if (!(sqrt(difference) <= tolerance * sqrt(norm)))
        CHECK_FAIL("%s on %dx%dx%dx%d: differs by %.3g, allowed %.3g of its norm", name, s.n, s.c, s.h, s.w,
                   sqrt(difference / norm), tolerance);
}

static void steps_compared(struct device *dev)
{
    static float is[MOST], want[MOST];
    struct device *ref;

    CHECK_INT(backend_ref.device_open("ref", PRECISION_FLOAT32, 1, &ref, NULL), 0);
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        for (int i = 0; i < SHAPES; i++) {
            kinds[k].run(dev, shapes[i], is);
            kinds[k].run(ref, shapes[i], want);
            compare(kinds[k].name, shapes[i], is, want, kinds[k].tolerance);
        }
    }
    device_close(ref);
}

static void test_steps_compared(void)
{
    on_each(steps_compared);
}

/* ---- what steps promise -------------------------------------------------------------------------- */

static void start_touches(struct device *dev)
{
    static float x[MOST], u[MOST];
    struct shape s = shapes[2];

    for (int64_t i = 0; i < shape_count(s); i++)
        x[i] = 0.5f;
    struct call c = { .dev = dev };
    size_t bytes = (size_t)shape_count(s) * sizeof(float);
    float *dx = in(&c, x, bytes), *du = in(&c, u, bytes);
    CHECK_INT(dev->ops->apgd_start(dev, s, dx, EPSILON, key, ids, du), 0);
    done(&c, u, 1);
    for (int n = 0; n < s.n; n++) {
        float farthest = 0, mean = 0;

        for (int64_t i = n * row(s); i < (n + 1) * row(s); i++) {
            farthest = fmaxf(farthest, fabsf(u[i] - 0.5f));
            mean += fabsf(u[i] - 0.5f) / (float)row(s);
        }
        CHECK_NEAR(farthest / EPSILON, 1, 1e-5);
        CHECK_NEAR(mean / EPSILON, 0.5, 0.1); /* of 189 uniform numbers */
    }
}

static void test_start_touches(void)
{
    on_each(start_touches);
}

/* One step of FAB from x onto a plane that the box leaves room for: |f|/||w||_1 in every coordinate. */
static void fab_distance(struct device *dev)
{
    static float x[MOST], g[MOST], u[MOST];
    struct shape s = shapes[2];
    const float f[ROWS] = { -0.4f, 0.3f, -0.01f, 1, -2 };
    struct call c = { .dev = dev };
    size_t bytes = (size_t)shape_count(s) * sizeof(float);

    for (int64_t i = 0; i < shape_count(s); i++)
        u[i] = x[i] = 0.5f + 0.1f * noise(5, i);
    slopes(g, 2, shape_count(s));
    float *dx = in(&c, x, bytes), *dg = in(&c, g, bytes), *du = in(&c, u, bytes);
    CHECK_INT(dev->ops->fab_step(dev, s, dx, dg, f, 1, 0.1f, du), 0);
    done(&c, u, 2);
    for (int n = 0; n < s.n; n++) {
        double norm = 0, reached = f[n];

        for (int64_t i = n * row(s); i < (n + 1) * row(s); i++) {
            norm += fabsf(g[i]);
            reached += g[i] * ((double)u[i] - x[i]);
        }
        CHECK_NEAR(reached, 0, 1e-5); /* it is on the plane */
        for (int64_t i = n * row(s); i < (n + 1) * row(s); i++)
            if (fabs(fabs((double)u[i] - x[i]) - (g[i] == 0 ? 0 : fabs(f[n]) / norm)) > 1e-6)
                CHECK_FAIL("example %d: moves by %g, wanted %g", n, u[i] - x[i], fabs(f[n]) / norm);
    }
}

static void test_fab_distance(void)
{
    on_each(fab_distance);
}

/* No room in most coordinates: the few that have some go all the way to the plane, inside the box. */
static void fab_box(struct device *dev)
{
    enum { COUNT = 16 };
    struct shape s = { 1, 1, 4, 4 };
    float x[COUNT] = { 0 }, g[COUNT], u[COUNT] = { 0 };
    const float f = 1.5f;
    struct call c = { .dev = dev };

    for (int i = 0; i < COUNT; i++)
        g[i] = i < 13 ? 1 : -1; /* f shrinks where a positive slope goes down, and x is at 0 already */
    float *dx = in(&c, x, sizeof(x)), *dg = in(&c, g, sizeof(g)), *du = in(&c, u, sizeof(u));
    CHECK_INT(dev->ops->fab_step(dev, s, dx, dg, &f, 1, 0.1f, du), 0);
    done(&c, u, 2);
    for (int i = 0; i < COUNT; i++)
        CHECK_NEAR(u[i], i < 13 ? 0 : 0.5, 1e-6);
}

static void test_fab_box(void)
{
    on_each(fab_box);
}

/* Windows lie inside, are as large as asked for, and every allowed place is drawn. */
static void square_windows(struct device *dev)
{
    struct shape s = { 1, 3, 6, 6 };
    enum { COUNT = 3 * 36, SIDE = 4 };
    float x[COUNT], out[COUNT];
    int places[3][3] = { { 0 } }, ups = 0;
    size_t bytes = sizeof(x);

    for (int i = 0; i < COUNT; i++)
        x[i] = 0.5f;
    for (uint32_t query = 0; query < 200; query++) {
        struct call c = { .dev = dev };
        float *dx = in(&c, x, bytes), *db = in(&c, x, bytes), *du = in(&c, x, bytes);
        int top = 6, left = 6, changed = 0;

        CHECK_INT(dev->ops->square_step(dev, s, dx, db, EPSILON, key, ids, query, SIDE, du), 0);
        done(&c, out, 2);
        for (int i = 0; i < COUNT; i++) {
            if (out[i] == x[i])
                continue;
            CHECK_NEAR(fabs((double)out[i] - x[i]), EPSILON, 1e-6);
            top = i % 36 / 6 < top ? i % 36 / 6 : top;
            left = i % 6 < left ? i % 6 : left;
            changed++;
        }
        CHECK_INT(changed, 3 * SIDE * SIDE);
        if (top < 3 && left < 3)
            places[top][left]++;
        ups += out[top * 6 + left] > 0.5f;
    }
    for (int top = 0; top < 3; top++)
        for (int left = 0; left < 3; left++)
            CHECK((places[top][left] > 0) == (top < 2 && left < 2)); /* the last row and column are never drawn */
    CHECK(ups > 60 && ups < 140);
}

static void test_square_windows(void)
{
    on_each(square_windows);
}

static void square_stripes(struct device *dev)
{
    static float u[MOST];
    struct shape s = shapes[0];
    static float x[MOST];
    struct call c = { .dev = dev };
    size_t bytes = (size_t)shape_count(s) * sizeof(float);
    int ups = 0;

    for (int64_t i = 0; i < shape_count(s); i++)
        x[i] = 0.5f;
    float *dx = in(&c, x, bytes), *du = in(&c, u, bytes);
    CHECK_INT(dev->ops->square_start(dev, s, dx, EPSILON, key, ids, du), 0);
    done(&c, u, 1);
    for (int64_t i = 0; i < shape_count(s); i++) {
        int64_t first_row = i / (s.h * s.w) * s.h * s.w + i % s.w;

        CHECK_NEAR(fabs((double)u[i] - 0.5), EPSILON, 1e-6);
        CHECK(u[i] == u[first_row]); /* one sign a channel and column */
        ups += i == first_row && u[i] > 0.5f;
    }
    CHECK(ups > 64 && ups < 128); /* of 192 stripes */
}

static void test_square_stripes(void)
{
    on_each(square_stripes);
}

static void rows_copied(struct device *dev)
{
    static const int32_t to[] = { 4, 0 }, from[] = { 1, 3 };
    float a[ROWS][3], b[ROWS][3];
    struct call c = { .dev = dev };

    for (int i = 0; i < ROWS * 3; i++)
        a[i / 3][i % 3] = (float)i;
    float *mem = in(&c, a, sizeof(a));
    CHECK_INT(dev->ops->copy_rows(dev, mem, mem, sizeof(a[0]), to, from, 2), 0);
    done(&c, b, 0);
    for (int i = 0; i < ROWS; i++)
        CHECK_NEAR(b[i][1], i == 4 ? 4 : i == 0 ? 10 : 3 * i + 1, 0);
}

static void test_rows_copied(void)
{
    on_each(rows_copied);
}

static const struct check_case cases[] = {
    { "every backend steps like the oracle", test_steps_compared },
    { "APGD starts on the edge of the ball", test_start_touches },
    { "FAB's step to a plane is |f|/||w||_1 long", test_fab_distance },
    { "where the box leaves no room FAB goes another way", test_fab_box },
    { "Square's windows lie where they may", test_square_windows },
    { "Square starts with stripes", test_square_stripes },
    { "rows move inside one buffer", test_rows_copied },
};
CHECK_MAIN(cases)
