/* What does `top` look like?
 *
 *     riftd at http://127.0.0.1:8717   1 running, 2 waiting            12:34:56
 *     cpu      ok       12.1 of 23.0 GiB  train tiny
 *
 *     ID             KIND         LABEL         PROGRESS
 *     01a22085-f2cc  train        tiny          [####......]  42 %  0:31  epoch 3/6
 *     01a22085-f2cd  mrc          tiny          waits for 1 other job: ...
 *
 *     LATELY ENDED
 *     01a22085-f262  rift         tiny          succeeded  in 0:21
 *
 *     q quit  up/down choose  c cancel
 *
 * Columns go as the terminal gets narrower: label, id, then what the bar has
 * behind it. */
#include "cli/cli.h"
#include "cli/top.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GIB         (1024.0 * 1024 * 1024)
#define LABEL_FROM  76 /* columns from which there is room for it */
#define ID_FROM     60
#define BAR_FROM    100 /* and for a longer bar */
#define WHOLE_FROM  124 /* and for whole ids */
#define ID_SHORT    13  /* the millisecond of its making, which the steps of a job share */
#define ID_TELLING  18  /* as much as tells steps apart, from BAR_FROM on */
#define ID_WHOLE    36
#define KIND_WIDTH  11
#define LABEL_WIDTH 14
#define ROWS_FEWEST 3 /* of jobs, however low the terminal is */
#define RECENT_MOST 8

static struct line *row_add(struct frame *frame)
{
    if (frame->most && frame->count >= frame->most)
        return NULL;
    struct line *grown = realloc(frame->lines, (size_t)(frame->count + 1) * sizeof(*grown));
    if (!grown)
        return NULL;
    frame->lines = grown;
    line_start(&grown[frame->count], frame->columns);
    return &grown[frame->count++];
}

static const json_t *jobs_of(const json_t *answer)
{
    return json_object_get(answer, "jobs");
}

static bool is_running(const json_t *job)
{
    return strcmp(text_at(job, "state", ""), "running") == 0;
}

/* ---- the head ---- */

static void head_draw(const struct top *top, struct frame *frame)
{
    struct line *line = row_add(frame);
    size_t running = 0, all = json_array_size(jobs_of(top->queue)), i;
    const json_t *job;

    if (!line)
        return;
    json_array_foreach(jobs_of(top->queue), i, job) running += is_running(job);
    line_add(line, STYLE_TITLE, "%zu running, %zu%s waiting", running, all - running,
             json_is_true(json_object_get(top->queue, "more")) ? " or more" : "");
    if (json_is_true(json_object_get(top->queue, "drained")))
        line_add(line, STYLE_WARN, "  drained: nothing starts");
    line_add(line, STYLE_QUIET, "  %s", top->where);
    int right = frame->columns - (int)strlen(top->time);
    if (line->columns + 2 <= right) {
        line_pad(line, right);
        line_add(line, STYLE_QUIET, "%s", top->time);
    }
    if (*top->problem && (line = row_add(frame)))
        line_add(line, STYLE_BAD, "%s", top->problem);
}

static const json_t *job_called(const json_t *jobs, const char *id)
{
    const json_t *job;
    size_t i;

    json_array_foreach(jobs, i, job) if (strcmp(text_at(job, "id", ""), id) == 0) return job;
    return NULL;
}

static void devices_draw(const struct top *top, struct frame *frame)
{
    const json_t *device;
    size_t i;

    json_array_foreach(json_object_get(top->devices, "devices"), i, device)
    {
        struct line *line = row_add(frame);
        double room = json_number_value(json_object_get(device, "memory_for_jobs_bytes"));
        double taken = json_number_value(json_object_get(device, "memory_taken_bytes"));
        const char *state = text_at(device, "state", "-"), *id = text_at(device, "job", NULL);
        const json_t *job = id ? job_called(jobs_of(top->queue), id) : NULL;

        if (!line)
            return;
        line_add(line, STYLE_PLAIN, "%-8s ", text_at(device, "id", "-"));
        line_add(line, style_of_state(state), "%-8s", state);
        if (room > 0 && frame->columns >= ID_FROM)
            line_add(line, STYLE_PLAIN, " %5.1f of %.1f GiB", taken / GIB, room / GIB);
        if (text_at(device, "why", NULL))
            line_add(line, STYLE_WARN, "  %s", text_at(device, "why", ""));
        else
            line_add(line, STYLE_QUIET, "  %s%s%s", id ? text_at(job, "kind", "busy") : "idle", id ? " " : "",
                     text_at(job, "label", ""));
    }
}

/* ---- jobs ---- */

static void names_draw(struct line *line, const char *id, const char *kind, const char *label, enum style style)
{
    int id_width = line->most >= WHOLE_FROM ? ID_WHOLE : line->most >= BAR_FROM ? ID_TELLING : ID_SHORT;

    if (line->most >= ID_FROM)
        line_add(line, style, "%-*.*s  ", id_width, id_width, id);
    line_add(line, style, "%-*.*s  ", KIND_WIDTH, KIND_WIDTH, kind);
    if (line->most < LABEL_FROM)
        return;
    int start = line->columns, most = line->most;
    line->most = start + LABEL_WIDTH; /* letters may take more bytes than columns */
    line_add(line, style, "%s", label);
    line->most = most;
    line_pad(line, start + LABEL_WIDTH + 2);
}

static void progress_draw(struct line *line, const json_t *job)
{
    const json_t *progress = json_object_get(job, "progress");
    double done = json_number_value(json_object_get(progress, "done"));
    double total = json_number_value(json_object_get(progress, "total"));
    double eta_s = json_number_value(json_object_get(progress, "eta_s"));
    double speed = json_number_value(json_object_get(progress, "images_per_s"));
    double part = total > 0 ? done / total : 0;
    int width = line->most >= BAR_FROM ? 20 : 10;
    char bar[32], left[32];

    print_bar(bar, width, part);
    line_add(line, STYLE_BUSY, "[%s]", bar);
    line_add(line, STYLE_PLAIN, " %3.0f %%", 100 * (part > 1 ? 1 : part));
    print_duration(left, eta_s);
    if (eta_s > 0)
        line_add(line, STYLE_PLAIN, "  %s", left);
    if (json_is_true(json_object_get(job, "cancel_wanted")))
        line_add(line, STYLE_WARN, "  is being stopped");
    line_add(line, STYLE_QUIET, "  %s", text_at(progress, "phase", "starting"));
    if (speed > 0)
        line_add(line, STYLE_QUIET, "  %.0f images/s", speed);
}

static void job_draw(const struct top *top, struct frame *frame, const json_t *job)
{
    struct line *line = row_add(frame);
    const char *id = text_at(job, "id", "-");
    bool chosen = strcmp(top->chosen, id) == 0;

    if (!line)
        return;
    names_draw(line, id, text_at(job, "kind", "-"), text_at(job, "label", ""), chosen ? STYLE_MARKED : STYLE_PLAIN);
    if (chosen && !*style_on(STYLE_MARKED)) /* without colours, too */
        line->bytes[line->size - 1] = '>';
    if (is_running(job))
        progress_draw(line, job);
    else
        line_add(line, STYLE_QUIET, "%s", text_at(job, "reason", text_at(job, "state", "")));
}

/* As many rows as there is room for, around the chosen one. */
static void jobs_draw(struct top *top, struct frame *frame, int room)
{
    const json_t *jobs = jobs_of(top->queue);
    size_t count = json_array_size(jobs), seen = frame->most ? (size_t)room : count, at = 0, i;
    struct line *line = row_add(frame);
    const json_t *job;

    if (!line)
        return;
    names_draw(line, "ID", "KIND", "LABEL", STYLE_TITLE);
    line_add(line, STYLE_TITLE, "PROGRESS");
    json_array_foreach(jobs, i, job) at = strcmp(text_at(job, "id", ""), top->chosen) == 0 ? i : at;
    if (at < top->first || !seen)
        top->first = at;
    else if (at >= top->first + seen)
        top->first = at + 1 - seen;
    if (top->first + seen > count)
        top->first = count > seen ? count - seen : 0;
    for (i = top->first; i < count && i < top->first + seen; i++)
        job_draw(top, frame, json_array_get(jobs, i));
    if (!count && top->queue && (line = row_add(frame)))
        line_add(line, STYLE_QUIET, "Nothing runs and nothing waits: `riftctl submit` hands in a job.");
}

/* ---- what ended ---- */

static int recent_count(const struct top *top)
{
    int count = 0;
    const json_t *job;
    size_t i;

    json_array_foreach(jobs_of(top->recent), i, job) count += text_at(job, "ended_at", NULL) != NULL;
    return count > RECENT_MOST ? RECENT_MOST : count;
}

/* Between two moments as riftd writes them; 0: one isn't known. */
static double seconds_between(const char *from, const char *to)
{
    struct tm begin = { 0 }, end = { 0 };

    if (!from || !to || !strptime(from, "%Y-%m-%dT%H:%M:%S", &begin) || !strptime(to, "%Y-%m-%dT%H:%M:%S", &end))
        return 0;
    return difftime(timegm(&end), timegm(&begin));
}

static void recent_draw(const struct top *top, struct frame *frame, int room)
{
    struct line *line;
    const json_t *job;
    char took[32];
    int said = 0;
    size_t i;

    if (room < 3 || !recent_count(top) || !row_add(frame) || !(line = row_add(frame)))
        return;
    line_add(line, STYLE_TITLE, "LATELY ENDED");
    json_array_foreach(jobs_of(top->recent), i, job)
    {
        const char *state = text_at(job, "state", "-");
        double ran_s = seconds_between(text_at(job, "started_at", NULL), text_at(job, "ended_at", NULL));

        if (!text_at(job, "ended_at", NULL))
            continue;
        if (said++ == RECENT_MOST || said > room - 2 || !(line = row_add(frame)))
            return;
        names_draw(line, text_at(job, "id", "-"), text_at(job, "kind", "-"), text_at(job, "label", ""), STYLE_QUIET);
        line_add(line, style_of_state(state), "%-9s", state);
        print_duration(took, ran_s);
        if (ran_s > 0)
            line_add(line, STYLE_QUIET, "  in %s", took);
        line_add(line, STYLE_QUIET, "  %s", text_at(json_object_get(job, "error"), "message", ""));
    }
}

void top_draw(struct top *top, struct frame *frame)
{
    int most = frame->most;
    struct line *line;

    frame->most = most ? most - 1 : 0; /* the last row is the keys' */
    head_draw(top, frame);
    devices_draw(top, frame);
    row_add(frame);
    int jobs = (int)json_array_size(jobs_of(top->queue)), room = frame->most - frame->count - 1;
    int others = recent_count(top) ? recent_count(top) + 2 : 0;
    bool all = jobs + others <= room;
    jobs_draw(top, frame, room > ROWS_FEWEST ? room : ROWS_FEWEST);
    recent_draw(top, frame, most ? (all ? others : room - (jobs ? jobs : 1)) : others);
    while (most && frame->count < frame->most && row_add(frame))
        ;
    frame->most = most;
    if (!most || !(line = row_add(frame)))
        return;
    if (*top->note)
        line_add(line, top->asking ? STYLE_WARN : STYLE_PLAIN, "%s", top->note);
    else
        line_add(line, STYLE_QUIET, "q quit  %s choose  c cancel", style_unicode() ? "↑↓" : "up/down");
}
