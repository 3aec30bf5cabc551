/* What must hold of an image decoder, whichever it is? */
#ifndef RIFT_TESTS_FUZZ_PICTURE_H
#define RIFT_TESTS_FUZZ_PICTURE_H

#include "gpu/data/reader.h"
#include "tests/fuzz/fuzz.h"

typedef int decoder(const char *name, const uint8_t *data, size_t size, const int input[3], struct picture *picture,
                    struct fault *why);

/* Its shape alone, as a gray and as a colour image of 32 pixels. */
static inline void picture_see(decoder *decode, const uint8_t *data, size_t size)
{
    static const int inputs[2][3] = { { 3, 32, 32 }, { 1, 32, 32 } };
    struct fault why = { 0 };
    struct picture shape = { 0 };

    if (decode("x", data, size, NULL, &shape, &why) == 0)
        PROMISE(shape.c > 0 && shape.h > 0 && shape.w > 0);
    else
        PROMISE(*why.message);
    for (int i = 0; i < 2; i++) {
        const int *input = inputs[i];
        size_t room = 3 * (size_t)input[1] * (size_t)input[2]; /* exactly what the promise says: a byte more is seen */
        struct picture picture = { .pixel = malloc(room) };
        volatile unsigned sum = 0;

        PROMISE(picture.pixel);
        if (decode("x", data, size, input, &picture, &why) == 0) {
            size_t used = (size_t)picture.c * (size_t)picture.h * (size_t)picture.w;
            PROMISE(used <= room && picture.h <= input[1] && picture.w <= input[2]);
            for (size_t k = 0; k < used; k++)
                sum += picture.pixel[k];
        }
        free(picture.pixel);
    }
}

#endif
