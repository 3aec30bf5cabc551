/* What is tested: every backend, in every number format that it computes in. */
#ifndef RIFT_TESTS_OPS_SUBJECTS_H
#define RIFT_TESTS_OPS_SUBJECTS_H

#include "tests/check.h"
#include "tests/ops/cases.h"

#include <stdlib.h>

/* Run `test` on every backend, in every number format that it computes in. */
static inline void on_each(void (*test)(struct device *dev))
{
    for (int b = 0; backends[b]; b++)
        for (int p = 0; p < PRECISION_COUNT; p++) {
            struct device *dev;
            int before = check_failures;

            if (backends[b]->precision_check(backends[b]->name, (enum precision)p, NULL) < 0)
                continue;
            CHECK_INT(backends[b]->device_open(backends[b]->name, (enum precision)p, 0, &dev, NULL), 0);
            test(dev);
            if (check_failures != before)
                fprintf(stderr, "that was backend %s in %s\n", backends[b]->name, job_precisions[p]);
            device_close(dev);
        }
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
