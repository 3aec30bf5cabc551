/* Server-sent events (the text/event-stream of the HTML standard), as a parser
 * that is fed bytes as they come. */
#ifndef RIFT_CLI_SSE_H
#define RIFT_CLI_SSE_H

#include <stddef.h>

#define SSE_LINE_MOST (1u << 20) /* bytes of one line; more is -EMSGSIZE */

struct sse {
    char *line; /* the unfinished line */
    size_t line_size;
    char *data; /* the unfinished event's data lines */
    size_t data_size;
    char type[32];
    char id[32];      /* of the newest event, whole or not */
    char last_id[32]; /* of the newest dispatched event: what Last-Event-ID sends */
    int (*see)(const char *type, const char *data, void *user); /* negative ends it */
    void *user;
};

/* Hand over bytes. 0, -EMSGSIZE, -ENOMEM, or what `see` returned. */
int sse_feed(struct sse *sse, const char *bytes, size_t size);
/* Forget what is unfinished: the connection broke. last_id stays. */
void sse_restart(struct sse *sse);
void sse_done(struct sse *sse);

#endif
