/* Open event streams, kept apart from the HTTP library. */
#ifndef RIFT_API_FEED_H
#define RIFT_API_FEED_H

#include "api/exchange.h"

#include <pthread.h>

struct feed;

/* All open streams. */
struct feeds {
    pthread_mutex_t lock; /* guards all below, and every suspend and resume */
    pthread_cond_t changed;
    struct feed *list;
    int count, limit;
    int heartbeat_ms;
    uint64_t news;      /* counts feeds_news calls */
    bool told_late;     /* there is news that parked feeds haven't been woken for */
    int64_t resumed_ms; /* when they were woken last, monotonic */
    bool stopping;
    pthread_t heart;
    bool heart_runs;
};

int feeds_start(struct feeds *feeds, int limit, int heartbeat_ms);
/* There is news: wake whoever waits for some. */
void feeds_news(struct feeds *feeds);
bool feeds_full(struct feeds *feeds);
/* How many are open. */
int feeds_count(struct feeds *feeds);
/* Streams end; waits a moment until they have. None is suspended afterwards. */
void feeds_stop(struct feeds *feeds);
void feeds_done(struct feeds *feeds);

/* A token or session isn't good any more: its streams end. "": of those who have shown none. */
void feeds_revoke(struct feeds *feeds, const char *credential);

/* Takes the stream over, which `caller` asked for. NULL: out of memory. */
struct feed *feed_open(struct feeds *feeds, void *connection, const struct caller *caller, struct stream *stream);
void feed_close(struct feed *feed);
/* Up to `max` bytes: their number; 0: suspended; negative: the stream is over. */
ssize_t feed_read(struct feed *feed, char *buffer, size_t max);

/* http.c's: what suspending means. Called under the lock. */
void connection_suspend(void *connection);
void connection_resume(void *connection);
/* Is there nobody at the other end of a suspended one? */
bool connection_broken(void *connection);

#endif
