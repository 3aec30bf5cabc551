/* What do watched jobs look like?
 *
 * On a terminal: one line a step, redrawn in place with cursor-up and erase
 * (ECMA-48), cut at the terminal's width so that a line never wraps. When it
 * becomes narrower afterwards, it wraps what was drawn: how many rows that makes
 * now is counted from how wide each line was. More lines than rows become one
 * line a job. Elsewhere: one line for each thing that happened, so that a log file
 * reads well. */
#include "cli/cli.h"
#include "cli/watch.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define REDRAW_MS         100
#define PLAIN_PROGRESS_MS 10000
#define BAR_WIDE          22
#define BAR_NARROW        8 /* below WIDE_FROM columns */
#define WIDE_FROM         60
#define LABEL_WIDTH       14

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);

    return length >= tail && strcmp(text + length - tail, end) == 0;
}

/* Accuracies and the loss that is being learned; a line has room for little more. */
static void add_numbers(struct line *line, json_t *numbers)
{
    const char *name;
    json_t *value;

    json_object_foreach(numbers, name, value)
    {
        char text[32];
        if (ends_with(name, "accuracy"))
            print_percent(text, value);
        else if (strcmp(name, "train_loss") == 0)
            snprintf(text, sizeof(text), "%.4g", json_number_value(value));
        else
            continue;
        line_add(line, STYLE_PLAIN, "  %s %s", name, text);
    }
}

static void add_speed(struct line *line, const struct watch_step *step)
{
    char left[32];

    if (step->images_per_s > 0)
        line_add(line, STYLE_PLAIN, "  %.0f images/s", step->images_per_s);
    if (step->eta_s > 0) {
        print_duration(left, step->eta_s);
        line_add(line, STYLE_PLAIN, "  ETA %s", left);
    }
}

/* The bar and what stands behind it. */
static void add_step(struct line *line, const struct watch_step *step)
{
    bool running = strcmp(step->state, "running") == 0, succeeded = strcmp(step->state, "succeeded") == 0;
    double part = succeeded ? 1 : step->total > 0 ? step->done / step->total : 0;
    int width = line->most < WIDE_FROM ? BAR_NARROW : BAR_WIDE;
    char bar[BAR_WIDE + 1];

    part = part > 1 ? 1 : part;
    print_bar(bar, width, part);
    line_add(line, STYLE_PLAIN, "[");
    line_add(line, style_of_state(step->state), "%s", bar);
    line_add(line, STYLE_PLAIN, "] %3.0f %%  ", 100 * part);
    if (running)
        line_add(line, STYLE_PLAIN, "%s", *step->phase ? step->phase : "starting");
    else
        line_add(line, style_of_state(step->state), "%s", step->state);
    if (running)
        add_speed(line, step);
    add_numbers(line, step->numbers);
}

/* A job on one line: itself, or the step that it is at. */
static void job_line(struct line *line, const struct watch_job *job)
{
    int at = 0, start;

    while (at + 1 < job->step_count && strcmp(job->steps[at].state, "succeeded") == 0)
        at++;
    line_add(line, STYLE_PLAIN, "%-11s ", job->kind);
    start = line->columns;
    if (line->most >= WIDE_FROM) {
        int most = line->most;
        line->most = start + LABEL_WIDTH;
        if (*job->label)
            line_add(line, STYLE_PLAIN, "%s", job->label);
        else
            line_add(line, STYLE_PLAIN, "%.13s", job->id);
        line->most = most;
        line_pad(line, start + LABEL_WIDTH + 1);
    }
    if (job->step_count > 1)
        line_add(line, STYLE_PLAIN, "%d/%d %-11s ", at + 1, job->step_count, job->steps[at].kind);
    if (job->step_count)
        add_step(line, &job->steps[at]);
}

/* ---- the whole picture ---- */

struct picture {
    struct line lines[SCREEN_LINES];
    int count, most, columns;
};

static struct line *next_line(struct picture *picture)
{
    if (picture->count >= picture->most)
        return NULL;
    line_start(&picture->lines[picture->count], picture->columns - 1);
    return &picture->lines[picture->count++];
}

/* A head, a line a step. */
static void job_picture(struct picture *picture, const struct watch_job *job)
{
    struct line *line = next_line(picture);

    if (!line)
        return;
    line_add(line, STYLE_TITLE, "%s ", job->kind);
    line_add(line, STYLE_PLAIN, "%s  ", job->id);
    line_add(line, style_of_state(job->state), "%s", job->state);
    line_add(line, STYLE_PLAIN, "  %s", job->label);
    for (int i = 0; i < job->step_count; i++) {
        line = next_line(picture);
        if (!line)
            return;
        line_add(line, STYLE_PLAIN, "  %d %-11s ", i + 1, job->steps[i].kind);
        add_step(line, &job->steps[i]);
    }
}

static void picture_make(struct picture *picture, const struct watch_job *jobs, int count)
{
    int wanted = 1;
    struct line *line;

    for (int i = 0; i < count; i++) /* a single step needs no head where there are several jobs */
        wanted += count > 1 && jobs[i].step_count <= 1 ? 1 : 1 + jobs[i].step_count;
    bool short_of_room = wanted > picture->most;
    for (int i = 0; i < count; i++) {
        bool last = picture->count + 2 >= picture->most && i + 1 < count;
        if (last && (line = next_line(picture)))
            line_add(line, STYLE_QUIET, "and %d more", count - i);
        if (last)
            break;
        if (!short_of_room && (count == 1 || jobs[i].step_count > 1))
            job_picture(picture, &jobs[i]);
        else if ((line = next_line(picture)))
            job_line(line, &jobs[i]);
    }
    const struct watch_job *news = jobs;
    for (int i = 0; i < count; i++)
        news = *jobs[i].note ? &jobs[i] : news;
    if ((line = next_line(picture)))
        line_add(line, STYLE_QUIET, "%s", news->note);
}

/* How many rows the terminal has made of what was drawn. */
static int rows_drawn(const struct screen *screen, int columns)
{
    int rows = 0;

    for (int i = 0; i < screen->lines; i++)
        rows += screen->widths[i] > columns ? (screen->widths[i] + columns - 1) / columns : 1;
    return rows;
}

void screen_draw(struct screen *screen, const struct watch_job *jobs, int count, int64_t now_ms, bool now)
{
    static struct picture picture; /* large, and only one at a time */
    int columns, rows;

    if (!screen->terminal)
        return;
    style_size(&columns, &rows);
    bool resized = columns != screen->columns || rows != screen->rows;
    screen->late = !now && !resized && now_ms - screen->drawn_ms < REDRAW_MS;
    if (screen->late)
        return;
    picture.count = 0;
    picture.columns = columns;
    picture.most = rows - 1 < SCREEN_LINES ? rows - 1 : SCREEN_LINES;
    picture_make(&picture, jobs, count);
    if (screen->lines)
        printf("\r\033[%dA%s", rows_drawn(screen, columns), resized ? "\033[J" : ""); /* what wrapped is forgotten */
    for (int i = 0; i < picture.count; i++) {
        printf("%s\033[K\n", line_end(&picture.lines[i]));
        screen->widths[i] = picture.lines[i].columns;
    }
    fputs("\033[J", stdout);
    fflush(stdout);
    screen->lines = picture.count;
    screen->columns = columns;
    screen->rows = rows;
    screen->drawn_ms = now_ms;
}

/* ---- plain lines ---- */

void screen_progress(struct screen *screen, const struct watch_job *job, struct watch_step *step, int64_t now_ms)
{
    bool new_phase = strcmp(step->said_phase, step->phase) != 0, over = step->total > 0 && step->done >= step->total;
    struct line line;

    /* What is over already is told by its results. */
    if (screen->terminal || over || (!new_phase && now_ms - step->said_ms < PLAIN_PROGRESS_MS))
        return;
    line_start(&line, LINE_BYTES);
    line_add(&line, STYLE_PLAIN, "%-11s  %s", step->kind, step->phase);
    if (step->total > 0)
        line_add(&line, STYLE_PLAIN, "  %3.0f %%", 100 * step->done / step->total);
    add_speed(&line, step);
    screen_say(screen, job, "%s", line_end(&line));
    step->said_ms = now_ms;
    snprintf(step->said_phase, sizeof(step->said_phase), "%s", step->phase);
}

void screen_say(struct screen *screen, const struct watch_job *job, const char *format, ...)
{
    va_list arguments;

    if (screen->terminal || screen->silent)
        return;
    if (screen->several && job)
        printf("%.18s  ", job->id);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}
