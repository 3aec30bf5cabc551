/* One request while it is being collected, and the threads that may hold it (private to api/). */
#ifndef RIFT_API_COLLECTED_H
#define RIFT_API_COLLECTED_H

#include "api/feed.h"

#include <pthread.h>

/* Bodies of refused requests are read up to here. */
#define DRAIN_LIMIT_BYTES (16 << 20)

struct listener;
struct visitor;

struct exchange {
    struct listener *listener;
    struct feeds *feeds;
    struct visitor *visitor; /* NULL: nobody watches its time */
    struct request request;
    struct answer answer;
    const char *method; /* the library's, there as long as the request */
    bool answered;      /* decided; a body that still comes is thrown away */
    bool last;          /* the connection can't be used any more after this */
    bool has_body;
    char *body;
    size_t body_size, body_room, drained;
    int64_t began_us;      /* monotonic */
    int failed;            /* there isn't even an answer: hang up */
    bool given;            /* to a clerk, and not yet back in its HTTP thread */
    struct exchange *next; /* among those that wait for a clerk */
};
void exchange_done(struct exchange *exchange);

/* ---- collected.c ---- */

/* The body of an upload that can't be kept: why. What is our own fault comes back. */
int upload_refuse(struct exchange *exchange, int why);
/* Keep a piece of the body, or throw it away. False: hang up. */
bool body_take(struct exchange *exchange, const char *data, size_t size);
/* Make a 500 of what is nobody's fault but ours, a 507 of a full disk. */
int exchange_fail(struct exchange *exchange, int r);
/* All is there: call the handler. Negative: hang up. */
int exchange_decide(struct exchange *exchange);

/* ---- clerks.c ---- */

enum { CLERKS = 16 };

/* Threads that run handlers which wait for the disk. */
struct clerks {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct exchange *first, **last; /* in the order they came */
    bool open;
    int given; /* exchanges that aren't back yet */
    pthread_t threads[CLERKS];
    int count;
};
int clerks_start(struct clerks *clerks);
/* Suspend the exchange's connection and let a clerk decide it; the clerk resumes it.
 * False: there are none (any more), decide it yourself. */
bool clerks_give(struct clerks *clerks, struct exchange *exchange);
/* In its HTTP thread again, answered or hung up. */
void clerks_back(struct clerks *clerks, struct exchange *exchange);
/* What waits is decided, and back where it came from, before this returns. */
void clerks_stop(struct clerks *clerks);

#endif
