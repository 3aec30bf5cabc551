/* What do the files of the load tool share?
 *
 * client.c asks, watchers.c holds sockets open in a process of its own,
 * target.c knows the riftd under load, phases.c is the table of what is
 * measured, main.c prints. Only the public API of riftd is used. */
#ifndef RIFT_BENCH_LOAD_LOAD_H
#define RIFT_BENCH_LOAD_LOAD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

int64_t now_us(void); /* monotonic */

/* ---- measurements: microseconds, in order of arrival until sorted ---- */

struct times {
    int64_t *us;
    size_t count, room;
};
void times_add(struct times *times, int64_t us);
void times_sort(struct times *times);
/* Of sorted times; 0 when there are none. */
double times_ms(const struct times *times, double quantile);
void times_done(struct times *times);

/* ---- target.c: the riftd under load ---- */

enum { ID_SIZE = 37, CURSOR_TEXT = 64 };

struct target {
    uint16_t port;
    pid_t pid;
    char (*ids)[ID_SIZE]; /* of jobs that were there at the start */
    char (*cursors)[CURSOR_TEXT];
    int id_count, cursor_count;
    char big[ID_SIZE];      /* the job with the long curve */
    char (*small)[ID_SIZE]; /* jobs with short ones */
    int small_count;
};
int target_open(struct target *target);
void target_done(struct target *target);

struct usage {
    long rss_peak_kib, rss_kib; /* VmHWM, VmRSS */
    long cpu_ticks;
    int threads, files;
};
int usage_read(pid_t pid, struct usage *ret);
double load_average(void);

/* A connection to 127.0.0.1; blocking or not. Negative errno. */
int port_connect(uint16_t port, bool blocking);

/* ---- client.c ---- */

/* Write the k-th request, whole, into text; returns its length. */
typedef size_t request_writer(const struct target *target, uint64_t k, char *text, size_t size);

struct run {
    const struct target *target;
    request_writer *write;
    int status;      /* what a good answer has */
    int connections; /* keep-alive */
    double rate;     /* requests a second, each at its own time (open loop); 0: as fast as answers come (closed loop) */
    double seconds;
};
struct outcome {
    struct times times;
    int64_t wrong;  /* answers with another status */
    int64_t broken; /* connections that broke; they are opened again */
    int64_t bytes;
    double seconds;
};
int load_run(const struct run *run, struct outcome *ret);

/* ---- watchers.c: open sockets in a child process ---- */

struct watchers {
    pid_t pid;
    int from_child; /* pipe */
};
/* Event streams of all jobs, every one answered; the child notes how old each `state` event is when it
 * arrives, also what is on its way when it shall end. */
int watchers_start(const struct target *target, int streams, struct watchers *ret);
/* Sockets that send a byte a second: half in the headers, half in a body. */
int trickle_start(const struct target *target, int sockets, struct watchers *ret);
/* End the child; its times (may be none), how many sockets riftd closed. */
int watchers_stop(struct watchers *watchers, struct times *ret_times, int64_t *ret_closed);

/* ---- phases.c ---- */

struct settings {
    int clients, streams, trickles;
    double seconds, rate;
    const char *only; /* "submit,list", NULL: all */
};
void row_print(const json_t *phase); /* main.c */
/* Measure and print; one JSON object a phase. NULL: a phase could not be run. */
json_t *phases_run(const struct target *target, const struct settings *settings);

#endif
