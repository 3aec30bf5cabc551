/* How do targets look at what a data set became? */
#ifndef RIFT_TESTS_FUZZ_IMAGES_H
#define RIFT_TESTS_FUZZ_IMAGES_H

#include "gpu/data/dataset.h"
#include "tests/fuzz/fuzz.h"

/* Every pixel is there and every label is a class. */
static inline void examples_see(const struct examples *examples, int classes)
{
    size_t pixels = (size_t)examples->count * (size_t)examples->c * (size_t)examples->h * (size_t)examples->w;
    volatile unsigned sum = 0;

    PROMISE(examples->count > 0);
    PROMISE(!examples->u8 != !examples->f32);
    for (size_t i = 0; i < pixels; i++)
        if (examples->u8)
            sum += examples->u8[i];
        else
            PROMISE(examples->f32[i] >= 0 && examples->f32[i] <= 1);
    for (int i = 0; i < examples->count; i++)
        PROMISE(examples->label[i] >= 0 && examples->label[i] < classes);
}

/* Open the test part of a data set, the way a worker does; look at what comes of it. */
static inline void dataset_see(const struct dataset_spec *spec, const int input[3], int classes)
{
    struct dataset dataset = { 0 };
    struct fault why = { 0 };
    int count, shape[3];

    if (dataset_open(spec, PROTOCOL_PAPER, input, classes, (struct dataset_wants){ .test = true }, &dataset, &why) == 0)
        examples_see(&dataset.test, classes);
    else
        PROMISE(*why.message);
    dataset_done(&dataset);
    if (dataset_shape(spec, true, &count, shape, &why) == 0)
        PROMISE(count > 0 && shape[0] > 0 && shape[1] >= NATURAL_SIDE_LEAST && shape[1] <= NATURAL_SIDE_MOST);
}

#endif
