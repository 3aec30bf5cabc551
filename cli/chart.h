/* A chart in a terminal: curves over x, and bars. */
#ifndef RIFT_CLI_CHART_H
#define RIFT_CLI_CHART_H

#include <stdbool.h>
#include <stddef.h>

#define CURVES_MOST 6

struct curve {
    char name[96];
    double *x, *y; /* [count], ascending in x; not finite: no point there */
    int count;
};

struct chart {
    const char *title, *x_name;
    bool percent; /* y are fractions */
    bool log;     /* y is drawn by its logarithm; what isn't positive is left out */
    int columns, rows;
    struct curve curves[CURVES_MOST];
    int count;
    bool marked;
    double mark;     /* x that was chosen, when it is marked */
    char words[128]; /* what the mark means */
};

/* Print it; a chart without a point says so. */
void chart_print(const struct chart *chart);
/* Free the curves. */
void chart_done(struct chart *chart);

/* A bar in `width` columns, as fine as the locale allows: blocks or #. */
void chart_bar(double part, int width);

#endif
