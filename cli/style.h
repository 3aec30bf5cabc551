/* How does text look on a terminal: colours, widths, letters beyond ASCII?
 *
 * Colours are ECMA-48's eight, which every theme has chosen for itself; whether
 * there are any is decided once, in main. What is measured here is measured in
 * columns, not in bytes. */
#ifndef RIFT_CLI_STYLE_H
#define RIFT_CLI_STYLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum style {
    STYLE_PLAIN,
    STYLE_TITLE, /* bold: heads of tables */
    STYLE_QUIET, /* dim: what is of less interest */
    STYLE_GOOD,  /* green */
    STYLE_BAD,   /* red */
    STYLE_BUSY,  /* blue: at work */
    STYLE_WARN,  /* yellow: waiting for somebody, or stopped by one */
    STYLE_FIRST, /* cyan, magenta: beside the others, for curves */
    STYLE_SECOND,
    STYLE_MARKED, /* inverse: the row that a key would act on */
    STYLE_COUNT,
};

/* when: "auto" (standard output is a terminal that has colours, and NO_COLOR isn't
 * set), "always" or "never". -EINVAL: none of them. */
int style_choose(const char *when);
/* May letters beyond ASCII be shown? The locale says so. */
bool style_unicode(void);
/* What turns it on, and what turns everything off again: "" without colours. */
const char *style_on(enum style style);
const char *style_off(void);
/* Of a job's state, or a device's. */
enum style style_of_state(const char *state);
/* Print `text` with this look, filled up to `width` columns (0: as long as it is). */
void style_print(FILE *out, enum style style, const char *text, int width);

/* Columns and rows of the terminal at standard output, else $COLUMNS and $LINES,
 * else 80 and 24. */
void style_size(int *ret_columns, int *ret_rows);
/* Columns that UTF-8 text takes. */
int style_width(const char *text);

/* ---- a line that is never wider than a terminal ---- */

#define LINE_BYTES 4096

struct line {
    char bytes[LINE_BYTES]; /* with colours; '\0' after it */
    size_t size;
    enum style style; /* that it is in */
    int columns;      /* taken */
    int most;         /* columns there are */
};

void line_start(struct line *line, int most);
/* Append; what doesn't fit is cut. What the locale can't show becomes '?', as
 * control characters do. */
void line_add(struct line *line, enum style style, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Spaces up to this column. */
void line_pad(struct line *line, int column);
/* The whole line, with nothing turned on at its end. */
const char *line_end(struct line *line);

#endif
