/* What is tested: every backend, in every number format that it computes in. */
#ifndef RIFT_TESTS_OPS_SUBJECTS_H
#define RIFT_TESTS_OPS_SUBJECTS_H

#include "tests/check.h"
#include "tests/ops/cases.h"

#include <errno.h>
#include <stdlib.h>

/* Run `test` on a device in one format; nothing happens where it can't compute in it. */
static inline void on_device_named(const char *name, enum precision precision, void (*test)(struct device *dev))
{
    struct device *dev;
    struct fault why = { 0 };
    int before = check_failures, r = device_open(name, precision, 0, &dev, &why);

    if (r == -ENOTSUP)
        return;
    if (r < 0) {
        CHECK_FAIL("%s in %s: %s", name, job_precisions[precision], why.message);
        return;
    }
    test(dev);
    if (check_failures != before)
        fprintf(stderr, "that was device %s in %s\n", name, job_precisions[precision]);
    device_close(dev);
}

/* Run `test` on every backend of this build, or on RIFT_TEST_DEVICE alone, in one format. */
static inline void on_each_in(enum precision precision, void (*test)(struct device *dev))
{
    const char *only = getenv("RIFT_TEST_DEVICE");

    if (only)
        on_device_named(only, precision, test);
    for (int b = 0; !only && backends[b]; b++)
        on_device_named(backends[b]->name, precision, test);
}

/* In every number format that each computes in. */
static inline void on_each(void (*test)(struct device *dev))
{
    for (int p = 0; p < PRECISION_COUNT; p++)
        on_each_in((enum precision)p, test);
}

static inline void on_each_float32(void (*test)(struct device *dev))
{
    on_each_in(PRECISION_FLOAT32, test);
}

/* How far an activation may be from the number that was written, relatively. */
static inline double rounding(const struct device *dev)
{
    return dev->precision == PRECISION_BF16 ? 0x1p-8 : 0;
}

static inline float *noise_array(uint32_t what, int64_t count)
{
    float *f = malloc((size_t)count * sizeof(float));

    for (int64_t i = 0; i < count; i++)
        f[i] = noise(what, i);
    return f;
}

#endif
