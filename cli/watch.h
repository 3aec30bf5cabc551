/* What is known of watched jobs, between riftd (watch.c), what its answers and
 * events mean (watch_news.c) and the terminal (screen.c). */
#ifndef RIFT_CLI_WATCH_H
#define RIFT_CLI_WATCH_H

#include "cli/style.h"
#include "job/job.h"

struct watch_step {
    char id[40];
    char kind[16];
    char state[16];
    char phase[64];
    double done, total, images_per_s, eta_s; /* total 0: unknown */
    json_t *numbers;                         /* newest value of each metric, by name */
    int64_t said_ms;                         /* plain output: when a line was last printed */
    char said_phase[64], said_state[16];
};

struct watch_job {
    char id[40];
    char kind[16];
    char state[16];
    char label[LABEL_SIZE];
    struct watch_step steps[RIFT_STEPS]; /* a rift job's; else the job itself */
    int step_count;
    json_t *runs;   /* of a sweep: its rift jobs by id; else NULL */
    char note[160]; /* the newest thing worth a line */
};

#define SCREEN_LINES 64

struct screen {
    bool terminal; /* redraw in place; else one line for each news */
    bool silent;   /* say nothing at all: --json */
    bool several;  /* jobs: each says which it is */
    int lines;     /* drawn last time */
    int widths[SCREEN_LINES];
    int columns, rows; /* of the terminal then */
    int64_t drawn_ms;
    bool late; /* something came so soon after the last drawing that it isn't drawn yet */
};

/* Redraw (at most ten times a second unless `now`, or unless the size has changed).
 * Does nothing in plain mode. */
void screen_draw(struct screen *screen, const struct watch_job *jobs, int count, int64_t now_ms, bool now);
/* Something happened to a job that deserves a line in plain mode. */
void screen_say(struct screen *screen, const struct watch_job *job, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A step moved on: in plain mode, a line every ten seconds and for each phase. */
void screen_progress(struct screen *screen, const struct watch_job *job, struct watch_step *step, int64_t now_ms);

bool state_has_ended(const char *state);
/* What GET says of a job is what is known of it. */
void job_take(struct watch_job *job, const json_t *json);
void job_forget(struct watch_job *job);
/* An event of this job or of one of its steps or runs, of any type. false: it is another job's. */
bool job_see(struct watch_job *job, struct screen *screen, const char *type, const json_t *event, int64_t now_ms);
/* In plain mode: the states that no event has told of. */
void job_say_states(struct watch_job *job, struct screen *screen);

#endif
