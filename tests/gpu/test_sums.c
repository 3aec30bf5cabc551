/* Is every pixel in its channel's sum once, when there are many blocks to add up?
 *
 * On the pretended card, with as many processors as make each lane of the last
 * block fetch more chunks than it asks for at once. Numbers are small and whole,
 * so sums are exact in any order: nothing may be missing or there twice. */
#include "gpu/backend/backend.h"
#include "tests/check.h"

static float value(int64_t i)
{
    return (float)((i * 2654435761LL >> 7) % 17 - 8);
}

static void sums_of(struct device *dev, struct shape s)
{
    size_t count = (size_t)shape_count(s), plane = (size_t)s.h * (size_t)s.w;
    float *host = malloc(count * sizeof(float)), *is = calloc((size_t)s.c, sizeof(float));
    void *g = dev->ops->alloc(dev, dev->ops->activation_bytes(dev, s));
    float *sum = dev->ops->alloc(dev, (size_t)s.c * sizeof(float));
    double *expected = calloc((size_t)s.c, sizeof(double));

    for (size_t i = 0; i < count; i++) {
        host[i] = value((int64_t)i);
        expected[i / plane % (size_t)s.c] += (double)host[i];
    }
    CHECK_INT(dev->ops->activation_write(dev, s, g, host), 0);
    for (int turn = 0; turn < 2; turn++) { /* the counter of blocks starts again by itself */
        CHECK_INT(dev->ops->channel_sum(dev, s, g, sum), 0);
        CHECK_INT(dev->ops->read(dev, is, sum, (size_t)s.c * sizeof(float)), 0);
        for (int c = 0; c < s.c; c++)
            if ((double)is[c] != expected[c])
                CHECK_FAIL("%dx%dx%dx%d: the sum of channel %d is %g, expected %g", s.n, s.c, s.h, s.w, c,
                           (double)is[c], expected[c]);
    }
    dev->ops->free(dev, g);
    dev->ops->free(dev, sum);
    free(host);
    free(is);
    free(expected);
}

static void test_sums(void)
{
    static const struct shape shapes[] = { { 5, 64, 32, 32 },  { 7, 64, 31, 29 },  { 9, 3, 32, 32 },
                                           { 3, 160, 32, 32 }, { 2, 264, 16, 16 }, { 1, 64, 1, 1 } };
    struct device *dev;
    struct fault why = { 0 };

    setenv("RIFT_PRETEND_PROCESSORS", "66", 1);
    if (device_open("cuda", PRECISION_FLOAT32, 1, &dev, &why) < 0) {
        CHECK_FAIL("%s", why.message);
        return;
    }
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        sums_of(dev, shapes[i]);
    device_close(dev);
}

static const struct check_case cases[] = {
    { "every pixel is in its channel's sum once", test_sums },
};

int main(int argc, char **argv)
{
    return check_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
