/* Does what one operation leaves behind suit the next?
 *
 * A small network on every device, and batch norm worked out by hand. */
#include "tests/ops/subjects.h"

#include <math.h>
#include <string.h>

/* ---- a small network: what one operation leaves behind must suit the next ------------- */

/* Lanes of a blocked layout beyond the last channel are nobody's output, yet
 * convolutions and reductions read them. All memory starts as NaN, so a lane
 * that somebody forgot poisons the result. */
struct chain {
    struct device *dev;
    void *owned[32];
    int count;
};

static void *chain_memory(struct chain *chain, size_t bytes)
{
    void *mem = chain->dev->ops->alloc(chain->dev, bytes);
    char *ones = malloc(bytes);

    memset(ones, 0xff, bytes);
    CHECK_INT(chain->dev->ops->write(chain->dev, mem, ones, bytes), 0);
    free(ones);
    chain->owned[chain->count++] = mem;
    return mem;
}

static void *chain_plain(struct chain *chain, uint32_t what, int64_t count)
{
    void *mem = chain_memory(chain, (size_t)count * sizeof(float));
    float *f = noise_array(what, count);

    CHECK_INT(chain->dev->ops->write(chain->dev, mem, f, (size_t)count * sizeof(float)), 0);
    free(f);
    return mem;
}

static void *chain_activation(struct chain *chain, struct shape s)
{
    return chain_memory(chain, chain->dev->ops->activation_bytes(chain->dev, s));
}

struct chain_conv {
    struct conv *conv;
    void *packed, *scratch;
    struct shape out;
};

static struct chain_conv chain_conv(struct chain *chain, struct shape in, int out_c, int stride, bool image_in,
                                    uint32_t what)
{
    struct conv_request request = {
        { in, out_c, 3, stride, 1 }, .image_in = image_in, .backward_data = true, .backward_weights = true
    };
    const struct backend *ops = chain->dev->ops;
    struct chain_conv c = { .out = conv_out(&request.geometry) };

    CHECK_INT(ops->conv_open(chain->dev, &request, &c.conv, NULL), 0);
    c.packed = chain_memory(chain, ops->conv_packed_bytes(c.conv));
    c.scratch = chain_memory(chain, ops->conv_scratch_bytes(c.conv) + 64);
    void *w = chain_plain(chain, what, (int64_t)out_c * in.c * 9);
    CHECK_INT(ops->conv_pack(c.conv, w, NULL, NULL, c.packed, c.scratch), 0);
    return c;
}

enum { CHAIN_FEATURES = 2 * 24, CHAIN_WEIGHTS = 24 * 10 * 9, CHAIN_PIXELS = 2 * 3 * 8 * 8 };
struct chain_result {
    float features[CHAIN_FEATURES], dw[CHAIN_WEIGHTS], dx[CHAIN_PIXELS];
};

/* image -> conv 3..10 -> bn relu -> conv 10..24 /2 -> pool, and all the way back. */
static void chain_run(struct device *dev, struct chain_result *ret)
{
    struct chain chain = { dev };
    const struct backend *ops = dev->ops;
    struct shape in = { 2, 3, 8, 8 };
    void *x = chain_plain(&chain, 20, CHAIN_PIXELS);
    struct chain_conv first = chain_conv(&chain, in, 10, 1, true, 21);
    struct chain_conv second = chain_conv(&chain, first.out, 24, 2, false, 22);
    void *y = chain_activation(&chain, first.out), *z = chain_activation(&chain, first.out);
    void *u = chain_activation(&chain, second.out), *du = chain_activation(&chain, second.out);
    void *dz = chain_activation(&chain, first.out);
    float *gamma = chain_plain(&chain, 23, 10), *beta = chain_plain(&chain, 24, 10);
    float *mean = chain_plain(&chain, 25, 10), *invstd = chain_plain(&chain, 26, 10);
    float *dgamma = chain_plain(&chain, 27, 10), *dbeta = chain_plain(&chain, 28, 10);
    float *f = chain_plain(&chain, 29, CHAIN_FEATURES), *df = chain_plain(&chain, 30, CHAIN_FEATURES);
    float *dw = chain_memory(&chain, sizeof(ret->dw)), *dx = chain_memory(&chain, sizeof(ret->dx));
    int r = 0;

    r |= ops->conv_forward(first.conv, x, first.packed, NULL, NULL, y, first.scratch);
    r |= ops->bn_forward(dev, first.out, y, gamma, beta, NULL, true, z, mean, invstd, NULL, NULL, 0, 1e-5f);
    r |= ops->conv_forward(second.conv, z, second.packed, NULL, NULL, u, second.scratch);
    r |= ops->pool_forward(dev, second.out, 4, u, f);
    r |= ops->pool_backward(dev, second.out, 4, df, du);
    r |= ops->conv_backward_weights(second.conv, z, du, dw, second.scratch);
    r |= ops->conv_backward_data(second.conv, du, second.packed, dz, second.scratch);
    r |= ops->bn_backward(dev, first.out, dz, NULL, z, y, gamma, mean, invstd, dz, NULL, dgamma, dbeta);
    r |= ops->conv_backward_data(first.conv, dz, first.packed, dx, first.scratch);
    r |= ops->read(dev, ret->features, f, sizeof(ret->features));
    r |= ops->read(dev, ret->dw, dw, sizeof(ret->dw));
    r |= ops->read(dev, ret->dx, dx, sizeof(ret->dx));
    CHECK_INT(r, 0);
    ops->conv_close(first.conv);
    ops->conv_close(second.conv);
    for (int i = 0; i < chain.count; i++)
        ops->free(dev, chain.owned[i]);
}

static double float_distance(const float *a, const float *b, int count)
{
    double difference = 0, size = 0;

    for (int i = 0; i < count; i++) {
        difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        size += (double)b[i] * b[i];
    }
    return sqrt(difference / size);
}

/* Four layers there and back, each rounding as kinds.c says: their squares add up. */
static const double CHAIN_BF16 = 1.2e-2;
/* And a ReLU within a rounding of 0 opens or closes: about one in 200, each of them a whole gradient. */
static const double CHAIN_GATES = 0.2;

static void chain_on(struct device *dev)
{
    static struct chain_result wanted, is;
    struct device *ref;
    double slack = dev->precision == PRECISION_BF16 ? CHAIN_BF16 : 1e-5;

    CHECK_INT(device_open("ref", PRECISION_FLOAT32, 0, &ref, NULL), 0);
    chain_run(ref, &wanted);
    device_close(ref);
    chain_run(dev, &is);
    CHECK_NEAR(float_distance(is.features, wanted.features, CHAIN_FEATURES), 0, slack);
    CHECK_NEAR(float_distance(is.dw, wanted.dw, CHAIN_WEIGHTS), 0, slack);
    CHECK_NEAR(float_distance(is.dx, wanted.dx, CHAIN_PIXELS), 0,
               dev->precision == PRECISION_BF16 ? CHAIN_GATES : 1e-4); /* two more reductions in between */
}

static void test_chain(void)
{
    on_each(chain_on);
}

/* y = 1, 2, 3, 4: mean 2.5, biased variance 5/4 to normalise with, unbiased 5/3 to remember. */
static void bn_by_hand_on(struct device *dev)
{
    struct shape s = { 1, 1, 2, 2 };
    static const float y[4] = { 1, 2, 3, 4 }, start[6] = { 2, 0.5f, 0, 0, 10, 20 }; /* gamma, beta, -, -, running */

    struct chain chain = { dev };
    void *in = chain_activation(&chain, s), *out = chain_activation(&chain, s);
    float z[4], is[6], *p[6];

    for (int i = 0; i < 6; i++) {
        p[i] = chain_memory(&chain, sizeof(float));
        CHECK_INT(dev->ops->write(dev, p[i], &start[i], sizeof(float)), 0);
    }
    CHECK_INT(dev->ops->activation_write(dev, s, in, y), 0);
    CHECK_INT(dev->ops->bn_forward(dev, s, in, p[0], p[1], NULL, false, out, p[2], p[3], p[4], p[5], 0.1f, 0), 0);
    CHECK_INT(dev->ops->activation_read(dev, s, z, out), 0);
    for (int i = 0; i < 6; i++)
        CHECK_INT(dev->ops->read(dev, &is[i], p[i], sizeof(float)), 0);
    CHECK_NEAR(z[0], 0.5 + 2 * (1 - 2.5) / sqrt(1.25), 1e-6 + 4 * rounding(dev));
    CHECK_NEAR(z[3], 0.5 + 2 * (4 - 2.5) / sqrt(1.25), 1e-6 + 4 * rounding(dev));
    CHECK_NEAR(is[2], 2.5, 1e-6);
    CHECK_NEAR(is[3], 1 / sqrt(1.25), 1e-6);
    CHECK_NEAR(is[4], 0.9 * 10 + 0.1 * 2.5, 1e-6);
    CHECK_NEAR(is[5], 0.9 * 20 + 0.1 * 5 / 3, 1e-6);
    for (int i = 0; i < chain.count; i++)
        dev->ops->free(dev, chain.owned[i]);
}

static void test_bn_by_hand(void)
{
    on_each(bn_by_hand_on);
}

/* momentum 0 leaves the running statistics alone. */
static void momentum_zero_on(struct device *dev)
{
    struct shape s = { 2, 10, 4, 4 };

    struct chain chain = { dev };
    void *y = chain_activation(&chain, s), *z = chain_activation(&chain, s);
    float *host = noise_array(40, shape_count(s)), before[10], after[10];
    float *p[6];

    for (int i = 0; i < 6; i++)
        p[i] = chain_plain(&chain, 41 + (uint32_t)i, 10);
    CHECK_INT(dev->ops->activation_write(dev, s, y, host), 0);
    for (int i = 4; i < 6; i++) {
        CHECK_INT(dev->ops->read(dev, before, p[i], sizeof(before)), 0);
        CHECK_INT(dev->ops->bn_forward(dev, s, y, p[0], p[1], NULL, false, z, p[2], p[3], p[4], p[5], 0, 1e-5f), 0);
        CHECK_INT(dev->ops->read(dev, after, p[i], sizeof(after)), 0);
        CHECK(memcmp(before, after, sizeof(before)) == 0);
    }
    for (int i = 0; i < chain.count; i++)
        dev->ops->free(dev, chain.owned[i]);
    free(host);
}

static void test_momentum_zero(void)
{
    on_each(momentum_zero_on);
}

static const struct check_case cases[] = {
    { "lanes beyond the last channel never poison the next operation", test_chain },
    { "batch norm remembers the unbiased variance and uses the biased one", test_bn_by_hand },
    { "momentum 0 leaves the running statistics alone", test_momentum_zero },
};

CHECK_MAIN(cases)
