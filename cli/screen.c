/* What does a watched job look like?
 *
 * On a terminal: one line a step, redrawn in place with cursor-up and
 * erase-line (ECMA-48), cut at the terminal's width so that a line never
 * wraps and the count of lines stays true. Elsewhere: one line for each thing
 * that happened, so that a log file reads well. */
#include "cli/watch.h"

#include "cli/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BAR_WIDTH         22
#define REDRAW_MS         100
#define PLAIN_PROGRESS_MS 10000
#define LINE_SIZE         400
#define DEFAULT_COLUMNS   80

static int columns(void)
{
    struct winsize size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20)
        return size.ws_col;
    return DEFAULT_COLUMNS;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);

    return length >= tail && strcmp(text + length - tail, end) == 0;
}

/* Append to a line that never overflows. */
static void add(char line[LINE_SIZE], const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(char line[LINE_SIZE], const char *format, ...)
{
    size_t used = strlen(line);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line + used, LINE_SIZE - used, format, arguments);
    va_end(arguments);
}

/* Accuracies and the loss that is being learned; a line has room for little more. */
static void add_numbers(char line[LINE_SIZE], json_t *numbers)
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
        add(line, "  %s %s", name, text);
    }
}

static void add_speed(char line[LINE_SIZE], const struct watch_step *step)
{
    char left[32];

    if (step->images_per_s > 0)
        add(line, "  %.0f images/s", step->images_per_s);
    if (step->eta_s > 0) {
        print_duration(left, step->eta_s);
        add(line, "  ETA %s", left);
    }
}

static void step_line(char line[LINE_SIZE], const struct watch_step *step, int number)
{
    bool running = strcmp(step->state, "running") == 0, succeeded = strcmp(step->state, "succeeded") == 0;
    double part = succeeded ? 1 : step->total > 0 ? step->done / step->total : 0;
    char bar[BAR_WIDTH + 1];

    line[0] = '\0';
    if (part > 1)
        part = 1;
    print_bar(bar, BAR_WIDTH, part);
    add(line, "  %d %-11s [%s] %3.0f %%  ", number, step->kind, bar, 100 * part);
    if (!running)
        add(line, "%s", step->state);
    else
        add(line, "%s", *step->phase ? step->phase : "starting");
    if (running)
        add_speed(line, step);
    add_numbers(line, step->numbers);
}

static void put_line(const char *line, int width)
{
    printf("\033[2K%.*s\n", width - 1, line);
}

void screen_draw(struct screen *screen, const struct watch_job *job, int64_t now_ms, bool now)
{
    char line[LINE_SIZE] = "";
    int width = columns(), lines = 0;

    if (!screen->terminal || (!now && now_ms - screen->drawn_ms < REDRAW_MS))
        return;
    if (screen->lines)
        printf("\033[%dA", screen->lines);
    add(line, "%s %s  %s  %s", job->kind, job->id, job->state, job->label);
    put_line(line, width);
    lines++;
    for (int i = 0; i < job->step_count; i++, lines++) {
        step_line(line, &job->steps[i], i + 1);
        put_line(line, width);
    }
    put_line(job->note, width);
    lines++;
    fflush(stdout);
    screen->lines = lines;
    screen->drawn_ms = now_ms;
}

void screen_progress(struct screen *screen, struct watch_step *step, int64_t now_ms)
{
    char line[LINE_SIZE] = "";
    bool new_phase = strcmp(step->said_phase, step->phase) != 0, over = step->total > 0 && step->done >= step->total;

    /* What is over already is told by its results. */
    if (screen->terminal || over || (!new_phase && now_ms - step->said_ms < PLAIN_PROGRESS_MS))
        return;
    add(line, "%-11s  %s", step->kind, step->phase);
    if (step->total > 0)
        add(line, "  %3.0f %%", 100 * step->done / step->total);
    add_speed(line, step);
    screen_say(screen, "%s", line);
    step->said_ms = now_ms;
    snprintf(step->said_phase, sizeof(step->said_phase), "%s", step->phase);
}

void screen_say(struct screen *screen, const char *format, ...)
{
    va_list arguments;

    if (screen->terminal || screen->silent)
        return;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}
