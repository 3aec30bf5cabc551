/* How does a test ask riftd in C? One request over the unix socket, the whole
 * answer. The thread that asks is never hit by faults. */
#ifndef RIFT_TESTS_FAULTS_CLIENT_H
#define RIFT_TESTS_FAULTS_CLIENT_H

#include <stddef.h>

struct reply {
    int status; /* 0: the connection was closed without an answer */
    char *text; /* the whole answer; free() it */
    size_t size;
    char *body;
    size_t body_size;
};

/* headers: "Name: value\r\n" lines or "". body NULL: none. Waits for the end of the
 * answer, of an event stream until it is silent. */
void ask(const char *socket_path, const char *method, const char *target, const char *headers, const char *body,
         struct reply *ret);
void reply_done(struct reply *reply);

#endif
