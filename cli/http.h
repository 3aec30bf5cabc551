/* How does riftctl speak HTTP? Only its implementation and download.c know
 * libcurl. */
#ifndef RIFT_CLI_HTTP_H
#define RIFT_CLI_HTTP_H

#include "job/job.h"

struct http; /* one server, one connection that is kept alive */

/* Who we are, and whom we believe. */
struct http_access {
    const char *token;  /* shown with every request, or NULL */
    const char *cacert; /* file of certificates to believe in the system's place, or NULL */
};
/* base_url: http://HOST:PORT, https://..., or unix:PATH. */
int http_open(const char *base_url, const struct http_access *access, struct http **ret, struct fault *why);
/* Can others on the network read along? */
bool http_overheard(const struct http *http);
void http_close(struct http *http);
/* From now on no answer may take longer: who waits has other things to do. 0: no such limit. */
void http_hurry(struct http *http, int most_ms);
/* Called about once a second while an answer is awaited. NULL: nothing is. */
void http_idle(struct http *http, void (*idle)(void *user), void *user);
/* The address as people write it. */
const char *http_base(const struct http *http);

struct http_request {
    const char *method; /* NULL: GET */
    const char *path;   /* "/v1/jobs?limit=10" */
    const char *body;   /* JSON text or NULL */
    size_t body_size;
    const char *file;       /* path of a file to send as application/octet-stream in the body's place, or NULL */
    const char *headers[4]; /* "Range: bytes=10-", NULL ends */
};

struct http_response {
    int status;
    char *body; /* NUL after it, owned */
    size_t size;
};
void http_response_done(struct http_response *response);
#define http_response_auto __attribute__((cleanup(http_response_done))) struct http_response

/* Ask and collect the answer, whatever its status. -ECONNREFUSED (with words)
 * when no answer came. */
int http_ask(struct http *http, const struct http_request *request, struct http_response *ret, struct fault *why);

/* Ask and hand the body of a 2xx answer to `see` as it comes; `see` returns
 * negative to end the transfer, which then is the result. The body of another
 * answer is collected in ret. -ECONNRESET when the connection broke or was
 * silent for silence_s (0: 60 s without a byte), -ECONNREFUSED when there was
 * none. A body that ended in order is 0. */
int http_stream(struct http *http, const struct http_request *request, int silence_s,
                int (*see)(const char *data, size_t size, int status, void *user), void *user,
                struct http_response *ret, struct fault *why);

/* Whether the last request failed because this user may not open the unix socket. */
bool http_denied(const struct http *http);

/* `text` as one segment of a path or value of a query; free() it. */
char *http_escape(const char *text);

#endif
