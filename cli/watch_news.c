/* What do riftd's answers and events say about a watched job?
 *
 * GET says how it is; an event says what happened, to the job itself or to one of
 * its steps. */
#include "cli/cli.h"
#include "cli/watch.h"

#include <stdio.h>
#include <string.h>

bool state_has_ended(const char *state)
{
    static const char *const ends[] = { "succeeded", "failed", "cancelled" };

    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        if (strcmp(ends[i], state) == 0)
            return true;
    return false;
}

static void copy(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from);
}

/* ---- the truth: GET ---- */

static void take_progress(struct watch_step *step, const json_t *progress)
{
    if (!json_is_object(progress))
        return;
    copy(step->phase, sizeof(step->phase), text_at(progress, "phase", step->phase));
    step->done = json_number_value(json_object_get(progress, "done"));
    step->total = json_number_value(json_object_get(progress, "total"));
    step->images_per_s = json_number_value(json_object_get(progress, "images_per_s"));
    step->eta_s = json_number_value(json_object_get(progress, "eta_s"));
}

static void say_state(struct watch_job *job, struct screen *screen, struct watch_step *step)
{
    if (strcmp(step->said_state, step->state) == 0)
        return;
    screen_say(screen, job, "%-11s  %s", step->kind, step->state);
    copy(step->said_state, sizeof(step->said_state), step->state);
}

static void take_step(struct watch_job *job, int place, const json_t *json)
{
    struct watch_step *step = &job->steps[place];

    copy(step->id, sizeof(step->id), text_at(json, "id", ""));
    copy(step->kind, sizeof(step->kind), text_at(json, "kind", ""));
    copy(step->state, sizeof(step->state), text_at(json, "state", "?"));
    take_progress(step, json_object_get(json, "progress"));
}

/* How many of a sweep's rift jobs have ended. */
static void count_runs(struct watch_job *job)
{
    struct watch_step *step = &job->steps[0];
    const char *id;
    json_t *run;

    copy(step->phase, sizeof(step->phase), "rift jobs");
    step->total = (double)json_object_size(job->runs);
    step->done = 0;
    json_object_foreach(job->runs, id, run) step->done += state_has_ended(text_at(run, "state", ""));
}

/* A sweep is watched as one thing. */
static void take_runs(struct watch_job *job, const json_t *runs)
{
    json_t *run;
    size_t i;

    json_decref(job->runs);
    job->runs = json_object();
    json_array_foreach((json_t *)runs, i, run) json_object_set(job->runs, text_at(run, "id", ""), run);
    count_runs(job);
}

void job_take(struct watch_job *job, const json_t *json)
{
    const json_t *steps = json_object_get(json, "steps"), *step;
    size_t i;

    copy(job->id, sizeof(job->id), text_at(json, "id", ""));
    copy(job->kind, sizeof(job->kind), text_at(json, "kind", ""));
    copy(job->state, sizeof(job->state), text_at(json, "state", ""));
    copy(job->label, sizeof(job->label), text_at(json, "label", ""));
    if (strcmp(job->kind, job_kinds[JOB_RIFT].name) != 0) {
        job->step_count = 1;
        take_step(job, 0, json);
        if (strcmp(job->kind, job_kinds[JOB_SWEEP].name) == 0)
            take_runs(job, steps);
        return;
    }
    json_array_foreach(steps, i, step)
    {
        if (i == RIFT_STEPS)
            break;
        take_step(job, (int)i, step);
        job->step_count = (int)i + 1;
    }
}

void job_forget(struct watch_job *job)
{
    for (int i = 0; i < job->step_count; i++)
        json_decref(job->steps[i].numbers);
    json_decref(job->runs);
}

void job_say_states(struct watch_job *job, struct screen *screen)
{
    for (int i = 0; i < job->step_count; i++)
        say_state(job, screen, &job->steps[i]);
}

/* ---- the news: events ---- */

struct news {
    struct watch_job *job;
    struct screen *screen;
    int64_t now_ms;
};

static void see_state(struct news *news, struct watch_step *step, const json_t *event)
{
    const char *state = text_at(event, "state", NULL);

    if (!state)
        return;
    copy(step->state, sizeof(step->state), state);
    say_state(news->job, news->screen, step);
}

static void see_progress(struct news *news, struct watch_step *step, const json_t *event)
{
    take_progress(step, event);
    screen_progress(news->screen, news->job, step, news->now_ms);
}

static void see_metric(struct news *news, struct watch_step *step, const json_t *event)
{
    const char *name = text_at(event, "name", "");
    json_t *value = json_object_get(event, "value");
    char percent[16];

    if (!step->numbers)
        step->numbers = json_object();
    json_object_set(step->numbers, name, value);
    if (!strstr(name, "accuracy")) /* losses come every step: too many lines */
        return;
    print_percent(percent, value);
    screen_say(news->screen, news->job, "%-11s  epoch %g  %s %s", step->kind,
               json_number_value(json_object_get(event, "epoch")), name, percent);
}

static void see_module(struct news *news, struct watch_step *step, const json_t *event)
{
    (void)step;
    snprintf(news->job->note, sizeof(news->job->note), "  %s  MRC %#.4g", text_at(event, "module", "-"),
             json_number_value(json_object_get(event, "mrc")));
}

static void see_alpha(struct news *news, struct watch_step *step, const json_t *event)
{
    char clean[16], robust[16];

    print_percent(clean, json_object_get(event, "clean_accuracy"));
    print_percent(robust, json_object_get(event, "robust_accuracy"));
    snprintf(news->job->note, sizeof(news->job->note), "  alpha %g  clean %s  robust %s",
             json_number_value(json_object_get(event, "alpha")), clean, robust);
    screen_say(news->screen, news->job, "%-11s%s", step->kind, news->job->note);
}

static void see_evaluation(struct news *news, struct watch_step *step, const json_t *event)
{
    char accuracy[16];

    print_percent(accuracy, json_object_get(event, "accuracy"));
    snprintf(news->job->note, sizeof(news->job->note), "  %s  accuracy %s", text_at(event, "name", "-"), accuracy);
    screen_say(news->screen, news->job, "%-11s%s", step->kind, news->job->note);
}

/* One of the rift jobs of a sweep starts or ends. */
static void see_run(struct news *news, const json_t *event)
{
    const char *state = text_at(event, "state", "");
    json_t *run = json_object_get(news->job->runs, text_at(event, "job", ""));

    if (!run)
        return;
    json_object_set_new(run, "state", json_string(state));
    count_runs(news->job);
    if (strcmp(state, "running") != 0 && !state_has_ended(state))
        return;
    snprintf(news->job->note, sizeof(news->job->note), "  %s: %s", text_at(run, "label", "?"), state);
    screen_say(news->screen, news->job, "%-11s  %.0f of %.0f ended%s", news->job->kind, news->job->steps[0].done,
               news->job->steps[0].total, news->job->note);
}

/* The step that an event is about; NULL: the rift job or sweep itself. false: neither. */
static bool step_find(struct watch_job *job, const char *id, struct watch_step **ret)
{
    *ret = NULL;
    for (int i = 0; i < job->step_count; i++)
        if (strcmp(job->steps[i].id, id) == 0)
            *ret = &job->steps[i];
    return *ret || strcmp(job->id, id) == 0 || json_object_get(job->runs, id);
}

bool job_see(struct watch_job *job, struct screen *screen, const char *type, const json_t *event, int64_t now_ms)
{
    static const struct {
        const char *type;
        void (*see)(struct news *news, struct watch_step *step, const json_t *event);
    } rows[] = {
        { "state", see_state },   { "progress", see_progress }, { "metric", see_metric },
        { "module", see_module }, { "alpha", see_alpha },       { "evaluation", see_evaluation },
    };
    const char *id = text_at(event, "job", job->id);
    struct news news = { job, screen, now_ms };
    struct watch_step *step;

    if (!step_find(job, id, &step))
        return false;
    if (strcmp(type, "state") == 0 && strcmp(job->id, id) == 0)
        copy(job->state, sizeof(job->state), text_at(event, "state", job->state));
    if (!step && strcmp(type, "state") == 0)
        see_run(&news, event);
    for (size_t i = 0; step && i < sizeof(rows) / sizeof(rows[0]); i++)
        if (strcmp(rows[i].type, type) == 0)
            rows[i].see(&news, step, event);
    return true;
}
