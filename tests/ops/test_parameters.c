/* Do parameters move as they should, and are the random numbers the right ones?
 *
 * SGD against PyTorch's rule in double, the ends of an interpolation, the
 * projection, norms of what is not finite, and Philox's published answers. */
#include "gpu/backend/philox.h"
#include "tests/check.h"
#include "tests/ops/subjects.h"

enum { COUNT = 1003 };

static float *on_device(struct device *dev, const float *host)
{
    float *mem = dev->ops->alloc(dev, COUNT * sizeof(float));

    CHECK_INT(dev->ops->write(dev, mem, host, COUNT * sizeof(float)), 0);
    return mem;
}

static void from_device(struct device *dev, float *host, float *mem)
{
    CHECK_INT(dev->ops->read(dev, host, mem, COUNT * sizeof(float)), 0);
}

/* ---- SGD ---------------------------------------------------------------------------- */

static void sgd_with(struct device *dev, float momentum, float wd)
{
    static float start[COUNT], zero[COUNT], g[COUNT], theta[COUNT];
    static double wanted[COUNT], buffer[COUNT];
    const float lr = 0.1f;

    for (int i = 0; i < COUNT; i++)
        wanted[i] = start[i] = noise(1, i);
    float *dt = on_device(dev, start), *dv = on_device(dev, zero), *dg = on_device(dev, zero);
    for (int step = 0; step < 5; step++) {
        for (int i = 0; i < COUNT; i++) {
            g[i] = noise(2 + (uint32_t)step, i);
            double d = g[i] + (double)wd * wanted[i];
            /* PyTorch: the buffer starts as the first gradient itself */
            buffer[i] = step == 0 ? d : momentum * buffer[i] + d;
            wanted[i] -= lr * buffer[i];
        }
        CHECK_INT(dev->ops->write(dev, dg, g, sizeof(g)), 0);
        CHECK_INT(dev->ops->sgd_step(dev, COUNT, dt, dg, dv, lr, momentum, wd), 0);
    }
    from_device(dev, theta, dt);
    for (int i = 0; i < COUNT; i++)
        CHECK_NEAR(theta[i], wanted[i], 2e-6);
    dev->ops->free(dev, dt);
    dev->ops->free(dev, dv);
    dev->ops->free(dev, dg);
}

static void sgd(struct device *dev)
{
    sgd_with(dev, 0.9f, 5e-4f);
    sgd_with(dev, 0.0f, 0.0f);
    sgd_with(dev, 0.9f, 0.5f); /* decay large enough to be seen */
}

static void test_sgd(void)
{
    on_each_float32(sgd);
}

/* ---- between two points ------------------------------------------------------------------ */

static void interpolation(struct device *dev)
{
    static float a[COUNT], b[COUNT], out[COUNT];

    for (int i = 0; i < COUNT; i++) {
        a[i] = 1e8f * noise(1, i);
        b[i] = 1e-8f * noise(2, i);
    }
    a[5] = INFINITY; /* 0 * infinity must not reach the other end */
    b[6] = -INFINITY;
    float *da = on_device(dev, a), *db = on_device(dev, b), *dout = on_device(dev, a);
    CHECK_INT(dev->ops->interpolate(dev, COUNT, da, db, 0.0f, dout), 0);
    from_device(dev, out, dout);
    CHECK(memcmp(out, a, sizeof(a)) == 0);
    CHECK_INT(dev->ops->interpolate(dev, COUNT, da, db, 1.0f, dout), 0);
    from_device(dev, out, dout);
    CHECK(memcmp(out, b, sizeof(b)) == 0);
    CHECK_INT(dev->ops->interpolate(dev, COUNT, da, db, 0.25f, dout), 0);
    from_device(dev, out, dout);
    CHECK_NEAR(out[0], 0.75 * a[0] + 0.25 * b[0], 1e-6);
    dev->ops->free(dev, da);
    dev->ops->free(dev, db);
    dev->ops->free(dev, dout);
}

static void test_interpolation(void)
{
    on_each_float32(interpolation);
}

/* theta back onto the ball of radius epsilon around center, as MRC does it. */
static void projection(struct device *dev)
{
    static float center[COUNT], theta[COUNT];
    double radius = 0.1, far, now;

    for (int i = 0; i < COUNT; i++) {
        center[i] = noise(1, i);
        theta[i] = center[i] + 0.3f * noise(2, i);
    }
    float *dc = on_device(dev, center), *dt = on_device(dev, theta);
    CHECK_INT(dev->ops->norm(dev, COUNT, dt, dc, &far), 0);
    CHECK(far > radius);
    CHECK_INT(dev->ops->project(dev, COUNT, dc, (float)(radius / far), dt), 0);
    CHECK_INT(dev->ops->norm(dev, COUNT, dt, dc, &now), 0);
    CHECK_NEAR(now, radius, 1e-5);
    dev->ops->free(dev, dc);
    dev->ops->free(dev, dt);
}

static void test_projection(void)
{
    on_each_float32(projection);
}

/* ---- norms ------------------------------------------------------------------------------------ */

static void norms(struct device *dev)
{
    static float a[COUNT], b[COUNT];
    double square = 0, is = 0;

    for (int i = 0; i < COUNT; i++) {
        a[i] = 1e30f * noise(1, i); /* the squares don't fit into a float */
        square += (double)a[i] * a[i];
    }
    float *da = on_device(dev, a), *db = on_device(dev, b);
    CHECK_INT(dev->ops->norm(dev, COUNT, da, NULL, &is), 0);
    CHECK_NEAR(is, sqrt(square), 1e-12);
    CHECK_INT(dev->ops->norm(dev, COUNT, da, da, &is), 0);
    CHECK_NEAR(is, 0, 0);
    for (int place = 0; place < COUNT; place += 167) { /* first, last and in between */
        static const float bad[] = { NAN, INFINITY, -INFINITY };

        for (int k = 0; k < 3; k++) {
            b[place] = bad[k];
            CHECK_INT(dev->ops->write(dev, db, b, sizeof(b)), 0);
            CHECK_INT(dev->ops->norm(dev, COUNT, db, NULL, &is), 0);
            CHECK(!isfinite(is));
            CHECK_INT(dev->ops->norm(dev, COUNT, da, db, &is), 0);
            CHECK(!isfinite(is));
            b[place] = 0;
        }
    }
    CHECK_INT(dev->ops->norm(dev, 0, da, NULL, &is), 0);
    CHECK_NEAR(is, 0, 0);
    dev->ops->free(dev, da);
    dev->ops->free(dev, db);
}

static void test_norms(void)
{
    on_each_float32(norms);
}

/* ---- Philox ------------------------------------------------------------------------------------- */

/* kat_vectors of Random123, philox4x32 with 10 rounds. */
static void test_philox_answers(void)
{
    static const struct {
        uint32_t counter[4];
        uint64_t key;
        uint32_t answer[4];
    } rows[] = {
        { { 0, 0, 0, 0 }, 0, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
          0xffffffffffffffff,
          { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
          0x299f31d0a4093822,
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct philox is = philox_words(rows[i].key, rows[i].counter);

        for (int k = 0; k < 4; k++)
            CHECK_INT(is.word[k], rows[i].answer[k]);
    }
}

/* Every part of what a number is for changes the number. */
static void test_philox_parts(void)
{
    struct philox base = philox(1, 2, 3, 4, 5);
    struct philox others[] = { philox(2, 2, 3, 4, 5),
                               philox(1, 3, 3, 4, 5),
                               philox(1, 2, 4, 4, 5),
                               philox(1, 2, 3, 5, 5),
                               philox(1, 2, 3, 4, 6),
                               philox(1ull << 32 | 1, 2, 3, 4, 5),
                               philox(1, 2, 3, 4 | 1ull << 32, 5) };

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        CHECK(memcmp(&others[i], &base, sizeof(base)) != 0);
}

static void test_philox_unit(void)
{
    CHECK_NEAR(philox_unit(0), 0, 0);
    CHECK_NEAR(philox_unit(0x80000000), 0.5, 0);
    CHECK(philox_unit(0xffffffff) < 1.0f);
    CHECK_NEAR(philox_unit(0xffffffff), 1 - 1.0 / 16777216, 0);
}

static const struct check_case cases[] = {
    { "five steps of SGD are PyTorch's rule", test_sgd },
    { "an interpolation is exact at both ends", test_interpolation },
    { "the projection lands on the sphere", test_projection },
    { "a norm adds in double and shows what is not finite", test_norms },
    { "Philox gives the published answers", test_philox_answers },
    { "seed, purpose, epoch, index and block all change a random number", test_philox_parts },
    { "a unit number is below one", test_philox_unit },
};

CHECK_MAIN(cases)
