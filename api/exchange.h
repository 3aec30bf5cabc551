/* What passes between the HTTP library and a handler?
 *
 * A finished request comes in, a finished answer goes out. Nothing here knows
 * libmicrohttpd (that is api/http.c alone), so that handlers are plain
 * functions over records.
 *
 *   http.c  --request-->  guard.c  routes.c  -->  handler  --answer-->  http.c
 *
 * A handler returns 0 with a filled answer, or negative errno for what is
 * nobody's fault but ours: http.c makes a 500 of it. */
#ifndef RIFT_API_EXCHANGE_H
#define RIFT_API_EXCHANGE_H

#include "api/api.h"

#include <sys/types.h>

#define QUERY_COUNT_MAX 16
#define NAME_SIZE       520

/* What a caller may do; each role may do what those before it may. */
enum role {
    ROLE_NONE,   /* whoever reaches the port */
    ROLE_READ,   /* look at everything */
    ROLE_SUBMIT, /* make jobs and models, and change one's own */
    ROLE_ADMIN,  /* change everybody's, and riftd itself */
    ROLE_COUNT,
};

struct gate;

/* Who asks. */
struct caller {
    enum role role;
    char owner[DB_OWNER_SIZE]; /* in whose name jobs are made */
    char token[DB_ID_SIZE];    /* id of the token that was shown, "" none */
    char session[DB_ID_SIZE];  /* id of the session whose cookie was shown, "" none */
    int64_t expires_ms;        /* when token or session end, 0 never */
};

/* The other end of the connection (peer.c). */
struct peer {
    char address[64]; /* "127.0.0.1", or "unix:UID"; behind a proxy of ours its client's */
    bool local;       /* the unix socket: the kernel vouches for uid */
    uid_t uid;
    bool proxied; /* somebody is between: no trust in the connection itself */
    bool tls;     /* to us, or to a proxy of ours */
    bool outside; /* other machines reach the address that was asked */
};

struct request {
    const struct api_config *config;
    struct traffic *traffic; /* counts; NULL where nobody counts */
    struct gate *gate;       /* NULL in tests of parts */
    struct peer peer;
    struct caller caller;
    bool let_in;    /* the caller may do what the route does */
    bool wrong;     /* a credential was shown that isn't good */
    char path[256]; /* as it was asked for, cut where it is longer */
    const struct route *route;
    const char *method; /* "GET" for a HEAD request, too */
    bool head;
    char id[DB_ID_SIZE];  /* {id}, in lower case */
    char name[NAME_SIZE]; /* {name...}, decoded */
    struct query {
        char *name, *value; /* decoded, owned by http.c */
    } query[QUERY_COUNT_MAX];
    int query_count;
    const char *body; /* NUL after it */
    size_t body_size;
    struct upload *upload; /* the body, when it went into a file; http.c's */
    char request_id[65];
    void *connection; /* http.c's, for request_header */
};

/* A header of the request, or NULL. */
const char *request_header(const struct request *request, const char *name);
const char *request_cookie(const struct request *request, const char *name);
/* A decoded query parameter, or NULL when it wasn't given. */
const char *request_query(const struct request *request, const char *name);

/* Text that never ends: one event stream. `fill` runs in an HTTP thread. */
struct stream {
    /* Hand out the next piece of text (malloc'ed). 1 with text; 0: nothing new
     * at the moment; -ENODATA: the stream is over; other errors end it too. */
    int (*fill)(struct stream *stream, char **ret_text, size_t *ret_size);
    void (*free)(struct stream *stream);
    const char *heartbeat; /* what is sent when there is nothing for long; NULL: a comment */
    int wait_ms;           /* the last call of fill comes so long after the first; 0: it goes on */
    bool last;             /* fill: this is the last call */
    uint64_t news;         /* fill: counts what was announced so far; a text made at one count serves others at it */
    bool drained;          /* the last text was all there is until more is announced */
};

struct answer_file {
    int fd;                 /* owned */
    int64_t offset, length; /* the bytes to send */
};

#define HEADER_COUNT_MAX 12
struct answer {
    int status;
    const char *type;   /* Content-Type, static */
    const char *policy; /* Content-Security-Policy, NULL: nothing is allowed */
    char *text;         /* owned; NULL: empty, or file, or stream */
    size_t size;
    bool has_file;
    struct answer_file file;
    struct stream *stream; /* owned */
    struct caller proved;  /* who the body showed to be asking, where no header says so; role 0: nobody */
    struct {
        const char *name; /* static */
        char *value;      /* owned */
    } headers[HEADER_COUNT_MAX];
    int header_count;
};
void answer_done(struct answer *answer);

/* ---- answer.c: the ways to answer ---- */

/* Every kind of error has one row in problems.c; `code` is what programs read. */
enum problem {
    PROBLEM_BAD_REQUEST,
    PROBLEM_BAD_PATH,
    PROBLEM_BAD_QUERY,
    PROBLEM_BAD_JSON,
    PROBLEM_UNAUTHENTICATED,
    PROBLEM_CROSS_ORIGIN,
    PROBLEM_FORBIDDEN,
    PROBLEM_NO_ROUTE,
    PROBLEM_NO_JOB,
    PROBLEM_NO_FILE,
    PROBLEM_NO_MODEL,
    PROBLEM_NO_TOKEN,
    PROBLEM_NO_WEBHOOK,
    PROBLEM_METHOD,
    PROBLEM_STATE,
    PROBLEM_IN_USE,
    PROBLEM_DIGEST,
    PROBLEM_PRECONDITION,
    PROBLEM_TOO_LARGE,
    PROBLEM_MEDIA_TYPE,
    PROBLEM_RANGE,
    PROBLEM_HOST,
    PROBLEM_NOT_COMPARABLE,
    PROBLEM_BAD_SPEC,
    PROBLEM_KEY_REUSED,
    PROBLEM_BAD_MODEL,
    PROBLEM_BAD_WEBHOOK,
    PROBLEM_NO_SPACE,
    PROBLEM_BAD_MEMBERS,
    PROBLEM_TOO_MANY_REQUESTS,
    PROBLEM_TOO_MANY_JOBS,
    PROBLEM_INTERNAL,
    PROBLEM_TOO_MANY_STREAMS,
    PROBLEM_NOT_READY,
    PROBLEM_FILE_CHANGING,
    PROBLEM_QUOTA,
    PROBLEM_COUNT,
};
struct problem_info {
    const char *code;
    int status;
    const char *title;
    const char *meaning;
    int retry_s; /* Retry-After, unless the answer says another; 0: later is no better */
};
extern const struct problem_info problems[PROBLEM_COUNT];

int answer_header(struct answer *answer, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Steals `json`; NULL is -ENOMEM (a json_pack that failed). */
int answer_json(struct answer *answer, int status, json_t *json);
int answer_problem(struct answer *answer, const struct request *request, enum problem problem, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same with errors[]: [{pointer, message}]. Steals `errors`. */
int answer_errors(struct answer *answer, const struct request *request, enum problem problem, json_t *errors,
                  const char *format, ...) __attribute__((format(printf, 5, 6)));
/* not-ready, with checks[] where there are any: [{name, ok, why}]. Steals `checks`. */
int answer_checks(struct answer *answer, const struct request *request, json_t *checks, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Add {pointer, message} to the list of what is wrong. */
void errors_add(json_t *errors, const char *pointer, const char *message);

/* ---- files.c ---- */

struct file_info {
    int fd; /* taken over, closed whatever happens */
    int64_t size;
    const char *type; /* media type */
    const char *etag; /* with its quotes, or NULL */
};
/* Send a file or the part of it that Range asks for: 200, 206, 304 or 416. */
int answer_file(struct answer *answer, const struct request *request, const struct file_info *file);
/* Open DIR/PATH for reading when it is a regular file and no step of PATH is a
 * symbolic link or starts with a dot. Returns the descriptor. */
int file_open_beneath(const char *dir, const char *path, int64_t *ret_size, int64_t *ret_mtime_ns);

/* Find NAME among the job's artifacts, or, on a rift job, STEP/NAME among its
 * step's: `owner` is the job, and becomes that step. name NULL: the weights that
 * are the job's outcome. 0 or -ENOENT (artifacts.c). */
int artifact_find(struct db *db, const char *name, struct db_job *owner, struct db_artifact *ret);
/* Answer that the file isn't the one that `owner` announced: of a job that goes on, not yet. */
int artifact_mismatch(const struct request *request, struct answer *answer, const struct db_job *owner);
/* The hash of what a descriptor means, from its first byte on (artifacts.c). */
int hash_read(int fd, char ret_hex[65]);

/* ---- digest.c: RFC 9530 ---- */

#define BASE64_SIZE 45 /* of 32 bytes, with its padding and NUL */
/* 64 hexadecimal digits as base64. */
void base64_write(const char *hex, char ret[BASE64_SIZE]);
/* Repr-Digest of a SHA-256 in hexadecimal. */
int answer_digest(struct answer *answer, const char *hex);
/* Does the request name the SHA-256 of what it sends? 0: none, or this one; -EBADMSG: another. */
int request_digest_check(const struct request *request, const char *hex);

/* ---- upload.c: a body that goes into a file ---- */

struct upload;
/* Start one in the models' directory: `limit` bytes at most, `length` are announced (0: unknown).
 * -ENOSPC, at once when they would leave too little room; others of open(2). */
int upload_open(const char *dir, int64_t limit, uint64_t length, struct upload **ret);
/* -EFBIG: more than the limit; -ENOSPC: it would leave too little room. */
int upload_write(struct upload *upload, const void *data, size_t size);
/* All is there: its hash and size, and the first bytes. */
void upload_end(const struct upload *upload, char ret_hex[65], int64_t *ret_size, uint8_t ret_head[9]);
/* Its bytes are on the disk afterwards. */
int upload_sync(struct upload *upload);
/* Put it in its place durably, once synced, as dir/name; what is there already is the same. */
int upload_keep(struct upload *upload, const char *name);
/* What was kept isn't wanted after all. */
void upload_forget(struct upload *upload, const char *name);
/* Take away what wasn't kept. NULL is fine. */
void upload_close(struct upload *upload);
/* Is there room for that much and then some on the directory's file system, where the database lies
 * as well, and what runs writes? */
bool room_for(int dir, uint64_t bytes);
/* Take away what a crash has left half done: files whose names begin so. */
#define UPLOAD_PREFIX ".upload-"
#define BACKUP_PREFIX ".riftd-"
void leftovers_clean(const char *dir, const char *prefix);

/* ---- routes.c ---- */

struct route {
    const char *method;
    const char *path; /* with {id} as a segment and {name...} as the rest */
    enum role role;   /* the least that may ask */
    int (*handle)(const struct request *request, struct answer *answer);
    enum { BODY_NONE, BODY_JSON, BODY_UPLOAD /* JSON, or bytes for a file */ } body;
    const char *query; /* allowed query parameters, "a,b" */
    const char *summary;
    bool guarded; /* changes the job of {id}; If-Match may say which version of it (versions.c) */
};

/* Find the route of a raw (still encoded) path and put {id} and {name...} into
 * the request. 0; -ENOENT; -EBADMSG (encoding that no name may have);
 * -EOPNOTSUPP with the methods that would do, OPTIONS among them, in ret_allow. */
int route_find(struct request *request, const char *method, const char *raw_path, char ret_allow[64]);
/* True when the route knows this query parameter. */
bool route_takes(const struct route *route, const char *query_name);
/* Percent-decode in place. -EBADMSG for a broken escape, a control character
 * or NUL, or
 * what isn't UTF-8; with `segment` also for a '/'. */
int percent_decode(char *text, bool segment);

/* ---- admit.c: may this request come in? 0 yes, 1 answered, negative errno ---- */

struct framing {
    /* How often Host, Content-Length, Transfer-Encoding, Authorization occur. */
    int hosts, lengths, encodings, credentials;
    const char *forwarded_for, *forwarded_proto; /* last X-Forwarded-For and -Proto, or NULL */
    uint64_t length;                             /* Content-Length */
    bool has_body;
    bool strange; /* a header that others could read otherwise */
};
/* Is this a header that everybody reads alike? */
bool header_plain(const char *name, const char *value);
void request_id_choose(struct request *request);
/* The body goes into a file: the route takes such, and the Content-Type says so. */
bool request_uploads(const struct request *request);
/* Is all said that must be said with a model's bytes? 1; 0 when answered. (models.c) */
int model_upload_check(const struct request *request, struct answer *answer);
int framing_check(const struct request *request, struct answer *answer, struct framing *framing);
/* address NULL: a socket that no browser reaches, any Host will do. */
int sender_check(const struct request *request, struct answer *answer, const struct framing *framing,
                 const char *method, const char *address, uint16_t port);
int route_check(struct request *request, struct answer *answer, const struct framing *framing, const char *method,
                const char *path);

/* ---- caller.c: who asks? Needs the route; 1 when answered (401, 403) ---- */
int caller_check(struct request *request, struct answer *answer);
#define SESSION_COOKIE "rift_session"
/* A problem (401, or 429 after many); `wrong`: something was shown that isn't good. */
int answer_unknown(struct answer *answer, const struct request *request, bool wrong);

/* ---- audit.c ---- */
/* The request is about to be answered so: a row, where it deserves one. */
void audit_see(const struct request *request, const struct answer *answer, const char *method);

/* ---- guard.c: who may speak to us at all ---- */

/* Is this Host header us? Loopback names and literals, and the bound address. */
bool host_allowed(const char *host, const char *bound_address, uint16_t port);
/* Is it one of the names in the settings, with any port? */
bool host_named(const char *host, const char *const *names, int count);
/* May a page of that Origin / Sec-Fetch-Site (both may be NULL) change things
 * here? Only pages that we served. */
bool origin_allowed(const char *origin, const char *fetch_site, const char *host);

int route_index(const struct route *route); /* 0.. in the table */

/* ---- metrics.c: what Prometheus is told ---- */

#define ROUTES_MAX     96
#define STATUS_CLASSES 6 /* status / 100 */
struct traffic {
    _Atomic uint64_t answers[ROUTES_MAX + 1][STATUS_CLASSES]; /* the last row: no route */
    struct histogram durations[ROUTES_MAX + 1]; /* until the answer was ready; bodies and streams not counted */
    int64_t started_ms;
    /* Handlers that may keep their thread for minutes, and since when (monotonic) there is one
     * without a break: not what a watchdog shall end, for SLOW_MOST_MS. */
    _Atomic int slow;
    _Atomic int64_t slow_since_ms;
};
#define SLOW_MOST_MS 3600000
void slow_begin(struct traffic *traffic);
void slow_end(struct traffic *traffic);
bool is_slow(struct traffic *traffic);
void traffic_count(struct traffic *traffic, const struct route *route, int status, double seconds);

/* ---- ids.c ---- */

/* A new UUID, version 7: milliseconds first, so that ids sort by age. */
void id_new(int64_t now_ms, char ret[DB_ID_SIZE]);
/* True for 8-4-4-4-12 hexadecimal digits, in either case. */
bool id_valid(const char *text);
/* Take the first id, in lower case, of "ID,ID,..." and step over it. 1; 0 at the end; -EINVAL. */
int id_next(const char **list, char ret[DB_ID_SIZE]);

/* ---- job_json.c: records as JSON ---- */

json_t *time_json(int64_t ms);       /* RFC 3339 in UTC, null for 0 */
json_t *number_json(double value);   /* null unless finite */
json_t *text_json(const char *text); /* parsed JSON text, null for NULL */
json_t *job_summary_json(const struct db_job *job);
/* The whole job with spec, steps, dependencies and place in the queue. */
int job_json(const struct request *request, const char *id, json_t **ret);
/* Answer with the whole job. -ENOENT is the 404. */
int answer_job(const struct request *request, struct answer *answer, int status, const char *id);

/* ---- versions.c: which version of a job is meant ---- */

/* ETag of the answer, a job of this version; 304 when the client has it already. */
int answer_tag(struct answer *answer, const struct request *request, int64_t version);
/* Is `etag` in an If-None-Match list? Weak comparison: W/ doesn't matter. */
bool etag_listed(const char *list, const char *etag);
/* The route's handler, unless If-Match says otherwise. */
int route_handle(const struct request *request, struct answer *answer);

/* ---- job_wait.c: long polls ---- */

#define WAIT_MAX_S 300
/* The job as soon as its version is past `after`, or, as it is then, in wait_s seconds. */
int answer_job_later(const struct request *request, struct answer *answer, int wait_s, int64_t after);

/* ---- results.c, curves.c: what a job found out ---- */

/* Rows of one type as JSON objects, without the journal's own members. */
int rows_read(struct db *db, const char *job, enum db_row_type type, json_t **ret);
#define POINTS_MAX 2000
#define POINTS     500 /* where nobody says how many */
/* Points of a curve as a JSON list, empty where there is no such curve, yet. */
int points_json(struct db *db, const char *job, const char *name, struct db_steps steps, int max_points, json_t **ret);

/* ---- event_list.c: events that don't stream ---- */

json_t *event_json(const struct db_event *event);
/* Events after `after`, as a list or (`lines`) one a line; where there are none, and the
 * job (if it is one's) goes on, when there is one or wait_s seconds are over. */
int answer_event_list(const struct request *request, struct answer *answer, int64_t after, int limit, bool lines,
                      int wait_s);

/* ---- service.c ---- */

/* The rules as they are now; never NULL. */
const struct api_rules *rules_of(const struct api_config *config);
/* How the daemon is; all well where there is none (tests). */
void server_condition(const struct request *request, struct api_condition *ret);

/* ---- query.c: typed query parameters ---- */

/* The parameter as a whole number within [min, max]; `fallback` when absent.
 * -EINVAL with the 400 already in `answer`. */
int request_int(const struct request *request, struct answer *answer, const char *name, int64_t min, int64_t max,
                int64_t fallback, int64_t *ret);
/* Does Accept name this media type? Wildcards don't count: they are for the usual one. */
bool request_accepts(const struct request *request, const char *type);
/* base64url of a job number, and back (-EINVAL). */
#define CURSOR_SIZE 32
void cursor_make(int64_t number, char ret[CURSOR_SIZE]);
int cursor_read(const char *text, int64_t *ret_number);
/* Link: <the same list from the cursor on>; rel="next" (RFC 8288). */
int answer_next(const struct request *request, struct answer *answer, const char *cursor);
/* The body as a JSON object: 1; 0 when `answer` has the problem (tokens.c). */
int body_object(const struct request *request, struct answer *answer, json_t **ret);

/* ---- source.c: a rift job answers for its steps ---- */

/* The step of a rift job that is of this kind, or the job that it takes in the
 * step's place; -ENOENT. */
int step_find(struct db *db, const struct db_job *rift, int kind, struct db_job *ret);
/* "train/best.safetensors" -> JOB_TRAIN and "best.safetensors"; -ENOENT when it
 * doesn't start with a kind. */
int step_name_split(const char *name, const char **ret_rest);
/* Which job a question about results means: the job itself, or, asked of a
 * rift job, its step of kind `kind` (?step=N says otherwise). 1 with the job;
 * 0 when `answer` is complete (a problem); negative errno. */
int source_find(const struct request *request, struct answer *answer, int kind, struct db_job *ret);
/* Read the job of {id}: 1; 0 with the 404 answered; negative errno. */
int job_find(const struct request *request, struct answer *answer, struct db_job *ret);

/* Strings of a small enumeration in a list: 'a,b,c' holds 'b'. */
bool list_holds(const char *list, const char *word);

/* ---- handlers ---- */

typedef int handler(const struct request *request, struct answer *answer);
handler handle_job_submit, handle_job_list, handle_job_get, handle_job_cancel, handle_job_retry, handle_job_delete;
handler handle_job_change, handle_drain, handle_resume;
handler handle_job_metrics, handle_job_modules, handle_job_interpolation, handle_job_evaluations, handle_job_table;
handler handle_job_report;
handler handle_job_events, handle_all_events, handle_compare;
handler handle_job_log, handle_job_artifacts, handle_job_artifact;
handler handle_model_list, handle_model_create, handle_model_get, handle_model_delete, handle_model_weights;
handler handle_audit, handle_token_list, handle_token_create, handle_token_delete;
handler handle_session_create, handle_session_get, handle_session_delete;
handler handle_webhook_list, handle_webhook_create, handle_webhook_get, handle_webhook_delete, handle_webhook_test;
handler handle_webhook_deliveries;
handler handle_queue, handle_datasets, handle_devices, handle_fields, handle_version, handle_problem;
handler handle_backup_list, handle_backup_create, handle_backup_get, handle_backup_delete, handle_check;
handler handle_metrics, handle_openapi, handle_healthz, handle_readyz, handle_page, handle_web;

/* ---- kept.c ---- */

/* Has retention taken what a reference wants of an ended job: the artifact of that name, its
 * kind's weights (NULL), or all that it made as a job of the kind `wants` (-1: one file)? Says so. */
bool artifact_gone(const struct db_job *job, int wants, const char *artifact, char *ret, size_t size);
/* Are all files there that the job, or a step that would run again, takes from others? 1; 0 when answered. */
int retry_check(const struct request *request, struct answer *answer, const char *id);

/* ---- fits.c ---- */

/* Add an error for every place, data set, device, memory and time of the spec that this
 * riftd doesn't have for it. 0 or negative errno. */
int spec_fits(const struct request *request, const struct job_spec *spec, json_t *errors);

#endif
