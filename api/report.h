/* A report on its way from the database to paper (private to the report_*.c files).
 *
 * A report is JSON first: sections with a table each, whose cells are what was
 * measured and not yet text.
 *
 *   {"title", "id", "kind", "state", "made_at", "version", "badges": [text],
 *    "sections": [{"id", "title", "note", "columns": [{"key","as","head"}], "rows": [[...]],
 *                  "marked": [row index], "changes": [row index], ...what its figure wants}]}
 *
 * Every format is a function that walks over this and knows nothing of jobs. */
#ifndef RIFT_API_REPORT_H
#define RIFT_API_REPORT_H

#include "api/exchange.h"

#include <stdio.h>

struct report {
    const struct request *request;
    struct db_job job;
    int kind;
    json_t *spec;
    struct db_job parts[JOB_KIND_COUNT]; /* who knows: the job itself, or the step of that kind; id "": nobody */
    json_t *results[JOB_KIND_COUNT];     /* theirs; NULL: none */
    struct db_job *steps;                /* of a rift job or sweep */
    int step_count;
    json_t *json;
};

/* What a column holds, and so how its cells are written. */
enum cell_as {
    AS_TEXT,
    AS_MONO,    /* text that is a name or a number of something */
    AS_PERCENT, /* a fraction: 81.46 */
    AS_POINTS,  /* by how much the fraction before it is more than the one before that: +1.98 */
    AS_SINCE,   /* by how much the fraction before it is more than that of the first row */
    AS_LOST,    /* one that counts downwards: 2.86 */
    AS_NUMBER,  /* four digits */
    AS_COUNT,
    AS_SECONDS, /* 1:02:03 */
    AS_BYTES,
};

/* ---- report_sections.c ---- */

/* Add a section; columns are "key:as:head|key:as:head" with `as` as in the enumeration, in small
 * letters. NULL: no memory. Borrowed. */
json_t *section_add(struct report *report, const char *id, const char *title, const char *columns);
/* Add a row (stolen); `marked` ones stand out. */
void section_row(json_t *section, json_t *row, bool marked);
/* One of differences, right below the two rows that it is of: its fractions are points, with their sign. */
void section_change(json_t *section, json_t *row);
/* A sentence below the title. */
void section_note(json_t *section, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "`words` 200 test images.", where the result says so. */
void section_images(json_t *section, const char *words, const json_t *result);
/* The value at "/a/b", or NULL. Borrowed. */
json_t *report_at(const json_t *json, const char *pointer);
/* A value for a row, null for NULL. New reference. */
json_t *report_value(const json_t *value);
/* The text of a member, "" where it is none. */
const char *report_word(const json_t *json, const char *key);
/* "conv1, fc" or "0, 1, 2": the words or whole numbers of a list. New reference. */
json_t *report_joined(const json_t *list);
/* "TRADES": a training method as people write it. */
void report_capitals(const char *method, char ret[32]);
/* That of the job; "AT" where weights were given. */
void report_method(const struct report *report, char ret[32]);

/* ---- what a report says: each adds its sections ---- */

int report_origins(struct report *report);      /* report_origins.c: what was run, the steps */
int report_accuracy(struct report *report);     /* report_accuracy.c: before and after, corruptions */
int report_sweep(struct report *report);        /* report_sweep.c: the same of a sweep */
int report_method_parts(struct report *report); /* report_method.c: criticality, interpolation, curves */
int report_settings(struct report *report);     /* report_settings.c: settings, files */

/* ---- how it is written ---- */

typedef void text_writer(FILE *out, const char *text);
/* A cell for people, its text through `put` (report_cells.c). */
void cell_write(FILE *out, const json_t *column, const json_t *value, text_writer *put);
enum cell_as column_as(const json_t *column);
bool column_is_text(const json_t *column);
bool row_is_marked(const json_t *section, size_t row);
bool row_is_change(const json_t *section, size_t row);
/* The same of column `c` in row `row`, which may be one of changes. */
void row_cell_write(FILE *out, const json_t *section, size_t row, size_t c, text_writer *put);
void html_put(FILE *out, const char *text);

void report_markdown(FILE *out, const json_t *report); /* report_text.c */
void report_latex(FILE *out, const json_t *report);
void report_csv(FILE *out, const json_t *report);
void report_html(FILE *out, const json_t *report); /* report_html.c */
/* Content-Security-Policy of the page, which lets its own style in and nothing else. */
const char *report_policy(void);
const char *report_policy_meta(void); /* what of it a page may say of itself */
extern const char report_style[];

/* ---- figures: inline SVG whose colours the page's style says ---- */

void figure_modules(FILE *out, const json_t *section);       /* report_bars.c */
void figure_corruptions(FILE *out, const json_t *section);   /* report_bars.c */
void figure_interpolation(FILE *out, const json_t *section); /* report_plot.c */
void figure_curves(FILE *out, const json_t *section);        /* report_plot.c */

#endif
