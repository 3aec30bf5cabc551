/* What is known of a watched job, between the events (watch.c) and the
 * terminal (screen.c). */
#ifndef RIFT_CLI_WATCH_H
#define RIFT_CLI_WATCH_H

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
    char note[160]; /* the newest thing worth a line */
};

struct screen {
    bool terminal; /* redraw in place; else one line for each news */
    bool silent;   /* say nothing at all: --json */
    int lines;     /* drawn last time */
    int64_t drawn_ms;
};

/* Redraw (at most ten times a second unless `now`). Does nothing in plain mode. */
void screen_draw(struct screen *screen, const struct watch_job *job, int64_t now_ms, bool now);
/* A step moved on: in plain mode, a line every ten seconds and for each phase. */
void screen_progress(struct screen *screen, struct watch_step *step, int64_t now_ms);
/* Something happened that deserves a line in plain mode. */
void screen_say(struct screen *screen, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
