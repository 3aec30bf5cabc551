/* Do augmentation and PGD do what they promise, pixel by pixel?
 *
 * On every backend, against a second, naive way of working it out that shares
 * no code with the oracle. */
#include "gpu/backend/philox.h"
#include "tests/check.h"
#include "tests/ops/subjects.h"

static const float EPSILON = 8.0f / 255, STEP = 2.0f / 255;

static void *on_device(struct device *dev, const void *host, size_t bytes)
{
    void *mem = dev->ops->alloc(dev, bytes);

    CHECK_INT(dev->ops->write(dev, mem, host, bytes), 0);
    return mem;
}

/* ---- load_batch ---------------------------------------------------------------------- */

enum { SIDE = 9, TALL = 7, PAD = 4, IMAGES = 3, WINDOWS = (2 * PAD + 1) * (2 * PAD + 1) * 2 };

/* The naive way: really pad, really cut, really mirror. */
static void naive_window(const uint8_t *image, const struct crop *crop, enum padding padding, float *x)
{
    static uint8_t padded[TALL + 2 * PAD][SIDE + 2 * PAD];

    for (int h = -PAD; h < TALL + PAD; h++) {
        for (int w = -PAD; w < SIDE + PAD; w++) {
            bool outside = h < 0 || h >= TALL || w < 0 || w >= SIDE;
            int from_h = abs(h), from_w = abs(w); /* mirror at 0, the edge itself not repeated */

            if (from_h >= TALL)
                from_h = TALL - 1 - (from_h - (TALL - 1));
            if (from_w >= SIDE)
                from_w = SIDE - 1 - (from_w - (SIDE - 1));
            padded[h + PAD][w + PAD] = outside && padding == PADDING_ZERO ? 0 : image[from_h * SIDE + from_w];
        }
    }
    for (int h = 0; h < TALL; h++)
        for (int w = 0; w < SIDE; w++)
            x[h * SIDE + (crop->flip ? SIDE - 1 - w : w)] =
                (float)padded[h + PAD + crop->dy][w + PAD + crop->dx] / 255.0f;
}

static void load_batch_with(struct device *dev, enum padding padding)
{
    enum { C = 2, PIXELS = C * TALL * SIDE };
    static uint8_t images[IMAGES * PIXELS];
    static struct crop crops[WINDOWS];
    static float is[WINDOWS * PIXELS], wanted[PIXELS];
    int n = 0;

    for (int i = 0; i < IMAGES * PIXELS; i++)
        images[i] = (uint8_t)((noise(1, i) + 1) * 128);
    for (int dy = -PAD; dy <= PAD; dy++)
        for (int dx = -PAD; dx <= PAD; dx++)
            for (int flip = 0; flip < 2; flip++, n++)
                crops[n] = (struct crop){ n % IMAGES, (int8_t)dx, (int8_t)dy, (uint8_t)flip };
    uint8_t *stored = on_device(dev, images, sizeof(images));
    float *x = on_device(dev, is, sizeof(is));
    CHECK_INT(dev->ops->load_batch(dev, WINDOWS, C, TALL, SIDE, stored, crops, padding, x), 0);
    CHECK_INT(dev->ops->read(dev, is, x, sizeof(is)), 0);
    for (int i = 0; i < WINDOWS; i++) {
        for (int c = 0; c < C; c++)
            naive_window(images + crops[i].index * PIXELS + c * TALL * SIDE, &crops[i], padding,
                         wanted + c * TALL * SIDE);
        if (memcmp(wanted, is + i * PIXELS, sizeof(wanted)) != 0)
            CHECK_FAIL("padding %d: window dx %d, dy %d, flip %d is wrong", (int)padding, crops[i].dx, crops[i].dy,
                       crops[i].flip);
    }
    dev->ops->free(dev, stored);
    dev->ops->free(dev, x);
}

static void load_batch_reflect(struct device *dev)
{
    load_batch_with(dev, PADDING_REFLECT);
}

static void load_batch_zero(struct device *dev)
{
    load_batch_with(dev, PADDING_ZERO);
}

static void test_load_batch_reflect(void)
{
    on_each_float32(load_batch_reflect);
}

static void test_load_batch_zero(void)
{
    on_each_float32(load_batch_zero);
}

static void bytes_exact(struct device *dev)
{
    static uint8_t bytes[256];
    static float x[256];
    struct crop crop = { 0 };

    for (int i = 0; i < 256; i++)
        bytes[i] = (uint8_t)i;
    uint8_t *stored = on_device(dev, bytes, sizeof(bytes));
    float *out = on_device(dev, x, sizeof(x));
    CHECK_INT(dev->ops->load_batch(dev, 1, 1, 16, 16, stored, &crop, PADDING_ZERO, out), 0);
    CHECK_INT(dev->ops->read(dev, x, out, sizeof(x)), 0);
    for (int i = 0; i < 256; i++)
        CHECK_NEAR(x[i], (float)i / 255.0f, 0);
    dev->ops->free(dev, stored);
    dev->ops->free(dev, out);
}

static void test_bytes_exact(void)
{
    on_each_float32(bytes_exact);
}

/* ---- pgd_start --------------------------------------------------------------------------- */

enum { N = 6, PER = 3 * 5 * 7 };
static const struct shape batch = { N, 3, 5, 7 };

/* Pixels with many exact zeros and ones, where the clamp is at work. */
static void pixels_fill(float *x, uint32_t what, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        x[i] = fminf(fmaxf(noise(what, i) * 0.8f + 0.5f, 0.0f), 1.0f);
}

static void start(struct device *dev, struct shape s, const float *x, struct random_key key, const int64_t *id,
                  float *ret)
{
    size_t bytes = (size_t)shape_count(s) * sizeof(float);
    float *in = on_device(dev, x, bytes), *out = on_device(dev, x, bytes);

    memset(ret, 0xff, bytes);
    CHECK_INT(dev->ops->write(dev, out, ret, bytes), 0);
    CHECK_INT(dev->ops->pgd_start(dev, s, in, EPSILON, key, id, out), 0);
    CHECK_INT(dev->ops->read(dev, ret, out, bytes), 0);
    dev->ops->free(dev, in);
    dev->ops->free(dev, out);
}

static const struct random_key key = { 17, RANDOM_ATTACK, 2 };

static void start_in_ball(struct device *dev)
{
    static float x[N * PER], adv[N * PER];
    static const int64_t id[N] = { 0, 1, 2, 3, 4, 5 };
    double low = 0, high = 0, sum = 0;

    pixels_fill(x, 2, N * PER);
    start(dev, batch, x, key, id, adv);
    for (int i = 0; i < N * PER; i++) {
        double d = (double)adv[i] - x[i];

        if (!(adv[i] >= 0 && adv[i] <= 1 && fabs(d) <= EPSILON + 1e-7))
            CHECK_FAIL("element %d starts at %g from %g", i, adv[i], x[i]);
        low = fmin(low, d);
        high = fmax(high, d);
        sum += d;
    }
    /* 630 uniform numbers: they reach both ends, and their mean is small */
    CHECK(low < -0.95 * EPSILON && high > 0.95 * EPSILON);
    CHECK_NEAR(sum / (N * PER) / EPSILON, 0, 0.1);
}

static void test_start_in_ball(void)
{
    on_each_float32(start_in_ball);
}

/* The documented stream, worked out here word by word. */
static void start_stream(struct device *dev)
{
    static float x[N * PER], adv[N * PER];
    static const int64_t id[N] = { 7, 0, (int64_t)1 << 33, 49999, 3, 123456789 };

    for (int i = 0; i < N * PER; i++)
        x[i] = 0.5f; /* far from the clamps */
    start(dev, batch, x, key, id, adv);
    for (int i = 0; i < N; i++) {
        for (int e = 0; e < PER; e++) {
            struct philox four = philox(key.seed, key.purpose, key.epoch, (uint64_t)id[i], (uint32_t)e / 4);
            double u = ((double)(four.word[e % 4] >> 8) / 16777216.0 * 2 - 1) * EPSILON;

            CHECK_NEAR(adv[i * PER + e], 0.5 + u, 1e-7);
        }
    }
}

static void test_start_stream(void)
{
    on_each_float32(start_stream);
}

/* The same example in another batch, at another place, gets the same noise;
 * another id, epoch, purpose or seed gets another. */
static void start_composition(struct device *dev)
{
    static float x[N * PER], adv[N * PER], moved_x[2 * PER], moved[2 * PER];
    static const int64_t id[N] = { 10, 11, 12, 13, 14, 15 }, two[2] = { 14, 11 };
    const struct random_key others[] = { { 18, RANDOM_ATTACK, 2 },
                                         { 17, RANDOM_EVALUATE, 2 },
                                         { 17, RANDOM_ATTACK, 3 } };

    pixels_fill(x, 3, N * PER);
    start(dev, batch, x, key, id, adv);
    memcpy(moved_x, x + 4 * PER, PER * sizeof(float));
    memcpy(moved_x + PER, x + 1 * PER, PER * sizeof(float));
    struct shape s = { 2, batch.c, batch.h, batch.w };
    start(dev, s, moved_x, key, two, moved);
    CHECK(memcmp(moved, adv + 4 * PER, PER * sizeof(float)) == 0);
    CHECK(memcmp(moved + PER, adv + 1 * PER, PER * sizeof(float)) == 0);
    CHECK(memcmp(adv, adv + PER, PER * sizeof(float)) != 0);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        start(dev, s, moved_x, others[i], two, moved);
        CHECK(memcmp(moved, adv + 4 * PER, PER * sizeof(float)) != 0);
    }
}

static void test_start_composition(void)
{
    on_each_float32(start_composition);
}

/* ---- pgd_step ------------------------------------------------------------------------------ */

static double clamp(double v, double low, double high)
{
    return fmin(fmax(v, low), high);
}

static void step_formula(struct device *dev)
{
    static float x[N * PER], adv[N * PER], g[N * PER], is[N * PER];
    int at_edge = 0;

    pixels_fill(x, 4, N * PER);
    for (int i = 0; i < N * PER; i++) {
        adv[i] = (float)clamp((double)x[i] + EPSILON * noise(5, i), 0, 1);
        g[i] = i % 5 == 0 ? 0.0f : i % 5 == 1 ? -0.0f : noise(6, i) * 1e-20f; /* the sign counts, not the size */
    }
    float *dx = on_device(dev, x, sizeof(x)), *dg = on_device(dev, g, sizeof(g));
    float *da = on_device(dev, adv, sizeof(adv));
    for (int round = 0; round < 6; round++) { /* six steps of 2/255 leave the ball of 8/255 unless they are held */
        CHECK_INT(dev->ops->pgd_step(dev, batch, dx, dg, STEP, EPSILON, da), 0);
        CHECK_INT(dev->ops->read(dev, is, da, sizeof(is)), 0);
        for (int i = 0; i < N * PER; i++) {
            int sign = g[i] > 0 ? 1 : g[i] < 0 ? -1 : 0;
            double wanted = clamp(x[i] + clamp(adv[i] + (double)STEP * sign - x[i], -(double)EPSILON, EPSILON), 0, 1);

            CHECK_NEAR(is[i], wanted, 1.2e-7); /* two roundings near 1 */
            CHECK(is[i] >= 0 && is[i] <= 1);
            at_edge += fabs(is[i] - x[i]) > EPSILON * 0.999;
            adv[i] = is[i];
        }
    }
    CHECK(at_edge > N * PER);
    dev->ops->free(dev, dx);
    dev->ops->free(dev, dg);
    dev->ops->free(dev, da);
}

static void test_step_formula(void)
{
    on_each_float32(step_formula);
}

static void step_zero_gradient(struct device *dev)
{
    static float x[N * PER], zero[N * PER], is[N * PER];

    pixels_fill(x, 7, N * PER);
    float *dx = on_device(dev, x, sizeof(x)), *dg = on_device(dev, zero, sizeof(zero));
    float *da = on_device(dev, x, sizeof(x));
    CHECK_INT(dev->ops->pgd_step(dev, batch, dx, dg, STEP, EPSILON, da), 0);
    CHECK_INT(dev->ops->read(dev, is, da, sizeof(is)), 0);
    CHECK(memcmp(x, is, sizeof(x)) == 0);
    dev->ops->free(dev, dx);
    dev->ops->free(dev, dg);
    dev->ops->free(dev, da);
}

static void test_step_zero_gradient(void)
{
    on_each_float32(step_zero_gradient);
}

/* ---- cross-entropy at its edges ---------------------------------------------------------------- */

static void loss_edges(struct device *dev)
{
    enum { ROWS = 4, K = 3 };
    static const float z[ROWS * K] = { 5,     5,     1, /* a tie: the first counts */
                                       5,     5,     1, /* and the second doesn't */
                                       1e4f,  -1e4f, 0, /* exp would overflow */
                                       -1e4f, -1e4f, -1e4f };
    static const int32_t labels[ROWS] = { 0, 1, 1, 2 }, hits[ROWS] = { 1, 0, 0, 0 };
    float loss[ROWS], dz[ROWS * K];
    int32_t correct[ROWS];
    float *in = on_device(dev, z, sizeof(z));
    float *dl = dev->ops->alloc(dev, sizeof(loss)), *ddz = dev->ops->alloc(dev, sizeof(dz));
    int32_t *dlabels = on_device(dev, labels, sizeof(labels)), *dcorrect = dev->ops->alloc(dev, sizeof(correct));

    CHECK_INT(dev->ops->cross_entropy(dev, ROWS, K, in, dlabels, 0.5f, dl, dcorrect, ddz), 0);
    CHECK_INT(dev->ops->read(dev, loss, dl, sizeof(loss)), 0);
    CHECK_INT(dev->ops->read(dev, dz, ddz, sizeof(dz)), 0);
    CHECK_INT(dev->ops->read(dev, correct, dcorrect, sizeof(correct)), 0);
    for (int i = 0; i < ROWS; i++)
        CHECK_INT(correct[i], hits[i]);
    CHECK_NEAR(loss[0], log(2 + exp(-4)), 1e-6);
    CHECK_NEAR(loss[2], 2e4, 1e-6);
    CHECK_NEAR(loss[3], log(3), 1e-6);
    CHECK_NEAR(dz[2 * K], 0.5, 1e-6);
    CHECK_NEAR(dz[2 * K + 1], -0.5, 1e-6);
    CHECK_NEAR(dz[3 * K + 2], 0.5 * (1.0 / 3 - 1), 1e-6);
    dev->ops->free(dev, in);
    dev->ops->free(dev, dl);
    dev->ops->free(dev, ddz);
    dev->ops->free(dev, dlabels);
    dev->ops->free(dev, dcorrect);
}

static void test_loss_edges(void)
{
    on_each_float32(loss_edges);
}

static const struct check_case cases[] = {
    { "every shift and flip cuts the window that padding by reflection gives", test_load_batch_reflect },
    { "every shift and flip cuts the window that padding with zeros gives", test_load_batch_zero },
    { "a byte becomes exactly its value divided by 255", test_bytes_exact },
    { "a random start is inside the ball and inside [0,1]", test_start_in_ball },
    { "a random start takes the documented words of the stream", test_start_stream },
    { "a random start depends on the example, not on its batch", test_start_composition },
    { "a step is the formula, and zero has no sign", test_step_formula },
    { "a gradient of zero moves nothing", test_step_zero_gradient },
    { "the loss survives ties and logits of ten thousand", test_loss_edges },
};

CHECK_MAIN(cases)
