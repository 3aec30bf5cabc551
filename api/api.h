/* How does the outside speak to riftd?
 *
 * libmicrohttpd in one file (api/http.c), a table of routes (api/routes.c), one
 * file per resource. Handlers get a finished request and return a finished
 * response; they know db/db.h and job/job.h and ask the daemon for the rest
 * through the callbacks below. */
#ifndef RIFT_API_API_H
#define RIFT_API_API_H

#include "db/db.h"
#include "job/job.h"

#include <stdio.h>

struct api;

/* ---- histogram.c: how durations spread, as Prometheus counts them ---- */

#define HISTOGRAM_BOUNDS_MAX 16
/* Any thread may add. The bounds are given to those who show it. */
struct histogram {
    _Atomic uint64_t buckets[HISTOGRAM_BOUNDS_MAX + 1]; /* of what is at most bounds[i], and the rest */
    _Atomic uint64_t sum_us;
};
struct histogram_bounds {
    int count;
    double seconds[HISTOGRAM_BOUNDS_MAX]; /* rising */
};
extern const struct histogram_bounds request_bounds, job_bounds;
void histogram_add(struct histogram *histogram, const struct histogram_bounds *bounds, double seconds);
/* Lines NAME_bucket, NAME_sum and NAME_count; labels: `route="/v1/jobs"`, or "". */
void histogram_write(FILE *out, const char *name, const char *labels, const struct histogram *histogram,
                     const struct histogram_bounds *bounds);

/* What the daemon says of itself, at this moment. */
struct api_condition {
    bool no_space; /* nothing new is accepted or started: free_bytes is below floor_bytes */
    int64_t free_bytes, floor_bytes, total_bytes; /* of the file system of the jobs; total 0: it can't be asked */
    int owner_running_max, owner_queued_max;      /* jobs of one owner that run, and wait, at once; 0: any number */
    int64_t owner_bytes_max;                      /* of one owner's artifacts, 0: any number */
    int64_t time_limit_max_ms;                    /* longest time limit that a job may have, 0: any */
};

/* What may change while riftd serves (api_rules_set). With its lists it stays as it is until api_stop. */
struct api_rules {
    /* Must TCP clients show a token? AUTO: on loopback once there was one. */
    enum { TOKEN_AUTO, TOKEN_ALWAYS, TOKEN_NEVER } require_token;
    const char *const *allowed_hosts; /* names beside our own that Host may have, with any port */
    int allowed_host_count;
    const char *const *proxies; /* addresses, or unix:USER, whose X-Forwarded-For is believed */
    int proxy_count;
    int rate_limit, rate_burst; /* requests a second of one caller, and at once; 0: no limit */
    int64_t audit_keep_ms;      /* 0: for ever */
    int address_limit;          /* connections from one address that isn't loopback; 0: 128 */
};

/* Strings must live until api_stop, addresses until api_start. */
struct api_config {
    const char *address;        /* "127.0.0.1", "::1" */
    uint16_t port;              /* 0: the kernel chooses */
    const char *socket_path;    /* a unix socket beside it, or NULL */
    const char *health_address; /* one more address, that answers only health, so that it does when others are full */
    uint16_t health_port;
    /* Listening sockets that somebody opened for us, in the place of the three above; 0: none. Taken over. */
    int tcp_fd, local_fd, health_fd;
    const char *jobs_dir;                  /* STATE/jobs: job directories are jobs_dir/ID */
    const char *models_dir;                /* STATE/models: registered weights under their hashes */
    const char *backups_dir;               /* STATE/backups: copies of the database */
    int64_t upload_limit;                  /* bytes of an uploaded model: more is 413; 0: 8 GiB */
    const char *trash_dir;                 /* on the same file system; what is to be removed is moved there */
    const char *web_dir;                   /* files of the dashboard, or NULL */
    const char *openapi_path;              /* openapi.yaml to serve, or NULL */
    const struct api_rules *_Atomic rules; /* read it once and use what you got; NULL: all zero */
    const char *tls_cert, *tls_key;        /* PEM files: TCP speaks TLS; both or neither */
    size_t body_limit;                     /* bytes of a JSON body: more is 413; 0: 1 MiB */
    int stream_limit;                      /* event streams at once: more is 503; 0: 256 */
    int header_ms;                         /* from accept, or the answer before, to a complete header; 0: 15000 */
    int body_ms;                           /* a body may be slower than 1 KiB/s for so long; 0: 15000 */
    int heartbeat_ms;                      /* a comment on silent event streams; 0: 15000 */
    struct db *db;

    /* The daemon's part; called from HTTP threads. */
    void *user;
    void (*bell)(void *user);        /* something changed: run the scheduler, stop cancelled workers */
    void (*tidy)(void *user);        /* there is something in trash_dir; may be NULL */
    json_t *(*devices)(void *user);  /* slots with what runs on them; new reference */
    json_t *(*datasets)(void *user); /* [{name, format, path, ...}]; new reference */
    /* May a job read at this absolute path? 0, or -EACCES with words; NULL: anywhere. */
    int (*place_check)(void *user, const char *path, struct fault *why);
    void (*metrics)(void *user, FILE *out); /* the daemon's part of /metrics, in Prometheus' text format */
    int64_t (*now_ms)(void *user);
    void (*condition)(void *user, struct api_condition *ret); /* may be NULL: nothing is wrong, nothing limited */
    void (*failed)(void *user, const char *request_id, const char *message); /* why a request became a 500; or NULL */
};

/* Start serving; where is in api_address and api_port afterwards. `message` (256
 * bytes) says why not. */
int api_start(const struct api_config *config, struct api **ret, char message[256]);
const char *api_address(const struct api *api);
uint16_t api_port(const struct api *api);
/* 1 when whoever reaches the TCP port may do everything, for want of a token. */
int api_is_open(const struct api *api);
/* True when other machines speak to us over a network that anybody on it can read. */
bool api_is_overheard(const struct api *api);
/* For a watchdog: has every listener, where it isn't full, done something since
 * the last call? Each call gives them something to do. One thread. */
bool api_alive(struct api *api);
/* Read the certificate again; the one before stays where that fails, and
 * `message` (256 bytes) says why. Without TLS nothing happens. */
int api_reload(struct api *api, char message[256]);
/* Other rules from now on. -EPERM, and `message` (256 bytes) says why, when riftd may not listen where it
 * does under them: those before stay. One thread. */
int api_rules_set(struct api *api, const struct api_rules *rules, char message[256]);
/* Tell event streams that there is news in the database. Any thread. */
void api_news(struct api *api);
/* No new requests; streams end; waits for handlers to finish. */
void api_stop(struct api *api);

/* Make a token while nobody serves; its text, which is kept nowhere else, is in
 * ret_text. -EINVAL: name, owner or role ("read", "submit", "admin") can't be. */
#define API_TOKEN_SIZE 64
int api_token_make(struct db *db, const char *name, const char *owner, const char *role, int64_t now_ms,
                   char ret_text[API_TOKEN_SIZE]);

/* The route table, for the test that compares it with openapi.yaml. */
struct api_route_info {
    const char *method, *path;
    const char *role;    /* the least that may ask: "none", "read", "submit" or "admin" */
    const char *query;   /* names of its query parameters, separated by ',' */
    const char *summary; /* one line for people */
};
int api_routes(const struct api_route_info **ret);

#endif
