/* What `top` knows, between riftd (top.c) and the rows of a screen (top_frame.c). */
#ifndef RIFT_CLI_TOP_H
#define RIFT_CLI_TOP_H

#include "cli/style.h"
#include "job/job.h"

struct top {
    json_t *queue, *devices, *recent; /* riftd's answers; NULL: none yet */
    char where[128];                  /* its address */
    char problem[256];                /* why there is no newer answer, or "" */
    char chosen[40];                  /* id of the row that keys act on, or "" */
    char note[256];                   /* the last line, in place of the keys' names */
    bool asking;                      /* that line is a question */
    size_t first;                     /* of the rows of jobs that are seen */
    char time[16];                    /* of the newest answer, on the clock here */
};

/* A screen's rows. */
struct frame {
    struct line *lines;
    int count, most, columns;
};

/* Draw into `frame`, whose `most` rows may all be used; 0: as many as there are, and
 * nothing about keys. */
void top_draw(struct top *top, struct frame *frame);

#endif
