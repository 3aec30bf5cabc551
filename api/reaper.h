/* Connections that take too long, or are too many (private to api/). */
#ifndef RIFT_API_REAPER_H
#define RIFT_API_REAPER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct visitor;

struct reaper {
    pthread_mutex_t lock; /* guards all below and every visitor */
    pthread_cond_t changed;
    struct visitor *list;
    int header_ms;   /* from accept, or from the answer before, to a complete header */
    int body_ms;     /* a body may be slow for so long */
    int body_floor;  /* then it must have come at so many bytes a second */
    int per_address; /* connections */
    bool asleep;     /* until `changed`: no visitor has a deadline */
    bool stopping;
    pthread_t thread;
    bool runs;
};
int reaper_start(struct reaper *reaper, int header_ms, int body_ms, int body_floor, int per_address);
/* Other rules for who comes from now on. */
void reaper_rules(struct reaper *reaper, int per_address);
void reaper_stop(struct reaper *reaper);

/* A connection was accepted; NULL: out of memory, nobody watches it. One too many from
 * its address is shut down at once. */
struct visitor *visitor_enter(struct reaper *reaper, int fd, const struct sockaddr *address);
/* Its socket is about to be closed. All of these take NULL. */
void visitor_leave(struct visitor *visitor);
/* The header is complete, a body may come. */
void visitor_sends(struct visitor *visitor);
void visitor_sent(struct visitor *visitor, size_t bytes);
/* It is our turn. */
void visitor_waits(struct visitor *visitor);
/* It has its answer, and may ask again. */
void visitor_served(struct visitor *visitor);

#endif
