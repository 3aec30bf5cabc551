/* How do the tests call a single effect? With a canvas of their own. */
#ifndef RIFT_TESTS_DATA_CANVAS_H
#define RIFT_TESTS_DATA_CANVAS_H

#include "gpu/data/corrupt/canvas.h"
#include "tests/check.h"

enum { EASEL_MOST = 64, EASEL_IMAGE = CHANNELS * EASEL_MOST * EASEL_MOST };

/* An empty canvas of that side; the one before is gone. */
static inline struct canvas *easel(int side)
{
    static double x[EASEL_IMAGE], spare[SPARES][EASEL_IMAGE], row[EASEL_MOST];
    static uint8_t bytes[2][EASEL_IMAGE];
    static struct canvas canvas;

    canvas = (struct canvas){ .side = side, .x = x, .row = row, .bytes = { bytes[0], bytes[1] } };
    for (int i = 0; i < SPARES; i++)
        canvas.spare[i] = spare[i];
    memset(x, 0, sizeof(x));
    memset(spare, 0, sizeof(spare));
    return &canvas;
}

static inline double *at(struct canvas *canvas, int c, int y, int x)
{
    return &canvas->x[(c * canvas->side + y) * canvas->side + x];
}

static inline struct dice dice_of(uint64_t seed)
{
    return (struct dice){ .seed = seed };
}

/* The numbers of a corruption, from the table. */
static inline const double *numbers(const char *name, enum corruption_parameters parameters, int severity)
{
    return effects[corruption_find(name)].parameters[parameters == CORRUPTION_TINY][severity - 1];
}

#endif
