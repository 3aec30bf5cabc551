/* How do requests get in and answers out?
 *
 * The only file that knows libmicrohttpd (0.9.75, as Debian 12 has it). It
 * calls us once with the headers, then with pieces of the body, then once
 * more; we decide what headers can decide in the first call, collect the body
 * (bounded), and call the handler once, with a finished request.
 *
 * What is surprising:
 * - An answer queued in the first call closes the connection under a client
 *   that may still be sending. So a refused body is read and thrown away (up
 *   to DRAIN_LIMIT) before the refusal goes out, unless the client said
 *   "Expect: 100-continue" and is waiting for our word.
 * - The library would decode the path for us, "%2F" and "%00" included; a
 *   do-nothing unescape callback stops it, and routes.c decodes each segment.
 * - An event stream with nothing to say must be suspended, or the library spins,
 *   and stopping it with a suspended connection aborts: see feed.c.
 * - At its connection limit it stops accepting instead of answering 503, so
 *   streams have a lower limit of their own, slow clients are thrown out (reaper.c),
 *   and health has an address of its own.
 * - When exactly 128 connections (all that it asks epoll for at a time) have something
 *   to say, it asks again before it listens to them, and waits: see epoll_wait.
 * - A handler that waits for the disk runs elsewhere while the connection is
 *   suspended (clerks.c); we are called again then, and send what was decided. */
#include "api/caller.h"
#include "api/collected.h"
#include "api/gate.h"
#include "api/listen.h"
#include "api/tls.h"

#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>

#define CONNECTION_LIMIT        2048
#define FILES_KEPT              256 /* for the database, logs, artifacts that are sent */
#define HEALTH_CONNECTION_LIMIT 16
#define THREAD_COUNT            4
#define IDLE_TIMEOUT_S          30
#define CONNECTION_MEMORY_BYTES (22 * 1024) /* all of it is written to, in each connection that asks twice */
#define STREAM_BLOCK_BYTES      (16 * 1024)

const char *request_header(const struct request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

const char *request_cookie(const struct request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_COOKIE_KIND, name);
}

/* The library's epoll_wait, too: the program's own comes before the C library's. The
 * library takes a full array of events for a sign that there are more, and asks
 * again with the same timeout; were those all, their senders would wait until
 * something else happens, up to the idle timeout. So its array is never full. */
int epoll_wait(int fd, struct epoll_event *events, int count, int timeout_ms)
{
    return epoll_pwait(fd, events, count > 1 ? count - 1 : count, timeout_ms, NULL);
}

/* ---- event streams: feed.c, in the library's words ---- */

void connection_suspend(void *connection)
{
    MHD_suspend_connection(connection);
}

void connection_resume(void *connection)
{
    MHD_resume_connection(connection);
}

bool connection_broken(void *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct pollfd end = { .fd = info ? info->connect_fd : -1 };

    return poll(&end, 1, 0) > 0 && end.revents; /* an error or a hang-up: they are told unasked */
}

static ssize_t stream_read(void *user, uint64_t position, char *buffer, size_t max)
{
    (void)position;
    ssize_t n = feed_read(user, buffer, max);
    return n < 0 ? MHD_CONTENT_READER_END_OF_STREAM : n;
}

static void stream_close(void *user)
{
    feed_close(user);
}

static struct MHD_Response *stream_response(struct exchange *exchange)
{
    struct feed *feed = feed_open(&exchange->listener->api->feeds, exchange->request.connection,
                                  &exchange->request.caller, exchange->answer.stream);

    if (!feed)
        return NULL;
    exchange->answer.stream = NULL; /* the feed's now */
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK_BYTES, stream_read, feed, stream_close);
    if (!response)
        feed_close(feed);
    return response;
}

/* ---- answers ---- */

static const char policy_nothing[] = "default-src 'none'; frame-ancestors 'none'; sandbox";

static void response_decorate(struct MHD_Response *response, const struct exchange *exchange)
{
    const struct answer *answer = &exchange->answer;
    const struct {
        const char *name, *value;
    } fixed[] = {
        { "Content-Type", answer->type },
        { "Content-Security-Policy", answer->policy ? answer->policy : policy_nothing },
        { "X-Content-Type-Options", "nosniff" },
        { "Referrer-Policy", "no-referrer" },
        { "Cross-Origin-Opener-Policy", "same-origin" },
        { "Cross-Origin-Resource-Policy", "same-origin" },
        { "X-Request-Id", exchange->request.request_id },
        { "Connection", exchange->last ? "close" : NULL },
    };
    bool cached = false;

    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
        if (fixed[i].value)
            MHD_add_response_header(response, fixed[i].name, fixed[i].value);
    for (int i = 0; i < answer->header_count; i++) {
        cached |= !strcmp(answer->headers[i].name, "Cache-Control");
        MHD_add_response_header(response, answer->headers[i].name, answer->headers[i].value);
    }
    if (!cached)
        MHD_add_response_header(response, "Cache-Control", "no-store");
}

static struct MHD_Response *response_make(struct exchange *exchange)
{
    struct answer *answer = &exchange->answer;
    struct MHD_Response *response;

    if (answer->stream && !exchange->request.head)
        return stream_response(exchange);
    if (answer->has_file) {
        response = MHD_create_response_from_fd_at_offset64((uint64_t)answer->file.length, answer->file.fd,
                                                           (uint64_t)answer->file.offset);
        answer->has_file = !response; /* the response closes it */
        return response;
    }
    response = MHD_create_response_from_buffer(answer->size, answer->text ? answer->text : (void *)"",
                                               answer->text ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
    if (response)
        answer->text = NULL;
    return response;
}

static enum MHD_Result answer_send(struct exchange *exchange)
{
    traffic_count(exchange->request.traffic, exchange->request.route, exchange->answer.status,
                  (double)(monotonic_us() - exchange->began_us) / 1e6);
    audit_see(&exchange->request, &exchange->answer, exchange->method);
    struct MHD_Response *response = response_make(exchange);

    if (!response)
        return MHD_NO;
    response_decorate(response, exchange);
    enum MHD_Result r = MHD_queue_response(exchange->request.connection, (unsigned)exchange->answer.status, response);
    MHD_destroy_response(response);
    return r;
}

/* ---- requests ---- */

/* What a walk over headers or query parameters finds. */
struct survey {
    struct request *request;
    struct framing framing;
    const char *wrong; /* name of the bad parameter */
    bool no_memory;
};

static enum MHD_Result header_see(void *user, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct survey *survey = user;

    (void)kind;
    survey->framing.strange |= !header_plain(name, value);
    survey->framing.hosts += !strcasecmp(name, "Host");
    survey->framing.lengths += !strcasecmp(name, "Content-Length");
    survey->framing.encodings += !strcasecmp(name, "Transfer-Encoding");
    survey->framing.credentials += !strcasecmp(name, "Authorization");
    if (!strcasecmp(name, "X-Forwarded-For"))
        survey->framing.forwarded_for = value ? value : "";
    if (!strcasecmp(name, "X-Forwarded-Proto"))
        survey->framing.forwarded_proto = value ? value : "";
    return MHD_YES;
}

static enum MHD_Result query_see(void *user, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct survey *survey = user;
    struct request *request = survey->request;

    (void)kind;
    if (request->query_count == QUERY_COUNT_MAX) {
        survey->wrong = name;
        return MHD_NO;
    }
    struct query *query = &request->query[request->query_count++];
    query->name = strdup(name);
    query->value = strdup(value ? value : "");
    if (!query->name || !query->value) {
        survey->no_memory = true;
        return MHD_NO;
    }
    if (percent_decode(query->name, false) < 0 || percent_decode(query->value, false) < 0 ||
        !route_takes(request->route, query->name)) {
        survey->wrong = name;
        return MHD_NO;
    }
    for (int i = 0; i + 1 < request->query_count; i++)
        if (!strcmp(request->query[i].name, query->name))
            survey->wrong = name;
    return survey->wrong ? MHD_NO : MHD_YES;
}

/* Who is at the other end? */
static int peer_see(struct request *request, const struct framing *framing, const struct listener *listener)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    int r = info ? peer_find(request, info->connect_fd) : -EIO;

    request->peer.tls = !request->peer.local && request->config->tls_cert;
    request->peer.outside = !listener->trusted && !address_is_loopback(listener->address);
    if (r >= 0)
        peer_forwarded(request, framing->forwarded_for, framing->forwarded_proto);
    return r;
}

/* What is answered where nothing else is, so that it is answered when everything else is full. */
static const char *const health_paths[] = { "/healthz", "/readyz", "/metrics" };

static bool is_health(const struct route *route)
{
    for (size_t i = 0; i < sizeof(health_paths) / sizeof(health_paths[0]); i++)
        if (!strcmp(route->path, health_paths[i]))
            return true;
    return false;
}

static int health_check(const struct request *request, struct answer *answer)
{
    if (is_health(request->route))
        return 0;
    int r = answer_problem(answer, request, PROBLEM_NO_ROUTE, "this address answers only questions about health");
    return r < 0 ? r : 1;
}

/* All that can be decided before the body. 1 when answered, 0 to go on. */
static int exchange_begin(struct exchange *exchange, const char *method, const char *path)
{
    struct request *request = &exchange->request;
    struct answer *answer = &exchange->answer;
    struct listener *listener = exchange->listener;
    struct survey survey = { .request = request };

    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, header_see, &survey);
    request->head = !strcmp(method, "HEAD");
    request_id_choose(request);
    int r = framing_check(request, answer, &survey.framing);
    if (r) {
        exchange->last = true;
        return r;
    }
    exchange->has_body = survey.framing.has_body;
    r = peer_see(request, &survey.framing, listener);
    if (!r)
        r = sender_check(request, answer, &survey.framing, method, listener->trusted ? NULL : listener->address,
                         listener->port);
    if (!r)
        r = route_check(request, answer, &survey.framing, method, path);
    if (!r && listener->health)
        r = health_check(request, answer);
    if (r)
        return r;
    MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND, query_see, &survey);
    if (survey.no_memory)
        return -ENOMEM;
    if (!survey.wrong && request_uploads(request) && (r = model_upload_check(request, answer)) <= 0)
        return r < 0 ? r : 1;
    if (!survey.wrong && request_uploads(request))
        r = upload_open(request->config->models_dir, request->config->upload_limit, survey.framing.length,
                        &request->upload);
    if (r < 0) {
        r = upload_refuse(exchange, r);
        return r < 0 ? r : 1;
    }
    if (!survey.wrong)
        return 0;
    r = answer_problem(answer, request, PROBLEM_BAD_QUERY,
                       "%.100s: not a parameter of this route (it has: %s), given twice, or badly encoded",
                       survey.wrong, *request->route->query ? request->route->query : "none");
    return r < 0 ? r : 1;
}

/* Does its handler wait for the disk? */
static bool waits_for_disk(const struct exchange *exchange)
{
    const struct request *request = &exchange->request;

    return !exchange->answered && (strcmp(request->method, "GET") || is_health(request->route));
}

/* The request is complete: have it decided, here or by a clerk, and send the answer. */
static enum MHD_Result exchange_finish(struct exchange *exchange)
{
    struct clerks *clerks = &exchange->listener->api->clerks;

    visitor_waits(exchange->visitor);
    clerks_back(clerks, exchange);
    if (waits_for_disk(exchange) && !exchange->listener->health && clerks_give(clerks, exchange))
        return MHD_YES; /* we are called again when it is decided */
    if (!exchange->failed)
        exchange->failed = exchange_decide(exchange);
    return exchange->failed ? MHD_NO : answer_send(exchange);
}

static struct visitor *visitor_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info ? info->socket_context : NULL;
}

static enum MHD_Result request_see(void *user, struct MHD_Connection *connection, const char *url, const char *method,
                                   const char *version, const char *data, size_t *data_size, void **state)
{
    struct listener *listener = user;
    struct exchange *exchange = *state;

    (void)version;
    if (exchange) {
        if (!*data_size)
            return exchange_finish(exchange);
        visitor_sent(exchange->visitor, *data_size);
        bool taken = body_take(exchange, data, *data_size);
        *data_size = 0;
        return taken ? MHD_YES : MHD_NO;
    }
    listener->turns++;
    exchange = *state = calloc(1, sizeof(*exchange));
    if (!exchange)
        return MHD_NO;
    exchange->listener = listener;
    exchange->method = method;
    snprintf(exchange->request.path, sizeof(exchange->request.path), "%s", url);
    exchange->request.gate = &listener->api->gate;
    exchange->feeds = &listener->api->feeds;
    exchange->visitor = visitor_of(connection);
    visitor_sends(exchange->visitor);
    exchange->request.config = &listener->api->config;
    exchange->request.connection = connection;
    exchange->request.traffic = &listener->api->traffic;
    exchange->began_us = monotonic_us();
    int r = exchange_begin(exchange, method, url);
    if (r == -ENOTCONN) /* who asked has left already */
        return MHD_NO;
    if (r < 0 && exchange_fail(exchange, r) < 0)
        return MHD_NO;
    exchange->answered = r;
    const char *length = request_header(&exchange->request, "Content-Length");
    bool hopeless = exchange->has_body && (request_header(&exchange->request, "Expect") ||
                                           (length && strtoull(length, NULL, 10) > DRAIN_LIMIT_BYTES));
    if (exchange->answered && (exchange->last || hopeless)) {
        exchange->last = true;
        return answer_send(exchange);
    }
    return MHD_YES;
}

static void exchange_end(void *user, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    struct exchange *exchange = *state;

    (void)user;
    (void)connection;
    (void)code;
    if (!exchange)
        return;
    clerks_back(&exchange->listener->api->clerks, exchange); /* whose client left meanwhile */
    visitor_served(exchange->visitor);
    exchange_done(exchange);
    *state = NULL;
}

static size_t unescape_nothing(void *user, struct MHD_Connection *connection, char *text)
{
    (void)user;
    (void)connection;
    return strlen(text);
}

/* ---- life ---- */

/* Why it didn't start is worth hearing; later it only speaks of clients that hang up. */
static void library_said(void *user, const char *format, va_list arguments)
{
    struct listener *listener = user;

    pthread_mutex_lock(&listener->said);
    if (listener->message)
        vsnprintf(listener->message, 256, format, arguments);
    pthread_mutex_unlock(&listener->said);
}

/* A connection comes or goes. */
static void connection_see(void *user, struct MHD_Connection *connection, void **state,
                           enum MHD_ConnectionNotificationCode code)
{
    struct listener *listener = user;

    listener->turns++;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        visitor_leave(*state);
        return;
    }
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    int fd = info ? info->connect_fd : -1;
    info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    *state = fd < 0 ? NULL : visitor_enter(&listener->api->reaper, fd, info ? info->client_addr : NULL);
}

/* Not more than there are files for: at the limit of files the library would spin. */
static unsigned connections_allowed(unsigned threads)
{
    struct rlimit files = { 0 };
    rlim_t limit = CONNECTION_LIMIT;

    getrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur < limit + FILES_KEPT)
        limit = files.rlim_cur > 2 * FILES_KEPT ? files.rlim_cur - FILES_KEPT : FILES_KEPT / 2;
    if (threads == 1 && limit > CONNECTION_LIMIT / THREAD_COUNT)
        limit = CONNECTION_LIMIT / THREAD_COUNT;
    return (unsigned)limit;
}

int tls_start(const struct api_config *config, char message[256])
{
    if (!config->tls_cert)
        return 0;
    if (MHD_is_feature_supported(MHD_FEATURE_TLS) == MHD_YES &&
        MHD_is_feature_supported(MHD_FEATURE_HTTPS_CERT_CALLBACK) == MHD_YES)
        return tls_load(config->tls_cert, config->tls_key, message);
    snprintf(message, 256, "this libmicrohttpd can't speak TLS");
    return -ENOTSUP;
}

int listener_start(struct api *api, struct listener *listener, char message[256])
{
    unsigned threads = listener == &api->tcp ? THREAD_COUNT : 1;
    const struct api_config *config = &api->config;
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC | MHD_USE_ERROR_LOG | MHD_ALLOW_SUSPEND_RESUME;
    struct MHD_OptionItem more[4] = { 0 };
    int count = 0;

    if (threads > 1)
        more[count++] = (struct MHD_OptionItem){ MHD_OPTION_THREAD_POOL_SIZE, threads, NULL };
    if (!listener->trusted && config->tls_cert) {
        flags |= MHD_USE_TLS;
        more[count++] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_CERT_CALLBACK, 0, tls_callback() };
        more[count++] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_PRIORITIES, 0, TLS_PRIORITIES };
    }
    more[count] = (struct MHD_OptionItem){ MHD_OPTION_END, 0, NULL };
    listener->api = api;
    pthread_mutex_init(&listener->said, NULL);
    listener->message = message;
    listener->connection_limit = listener->health ? HEALTH_CONNECTION_LIMIT : connections_allowed(threads);
    snprintf(message, 256, "the HTTP library didn't start");
    listener->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, request_see, listener, MHD_OPTION_EXTERNAL_LOGGER, library_said,
        listener, /* first, to hear about the others */
        MHD_OPTION_LISTEN_SOCKET, listener->fd, MHD_OPTION_ARRAY, more, MHD_OPTION_CONNECTION_LIMIT,
        listener->connection_limit, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_TIMEOUT_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY_BYTES, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_UNESCAPE_CALLBACK, unescape_nothing, NULL, MHD_OPTION_NOTIFY_COMPLETED, exchange_end, NULL,
        MHD_OPTION_NOTIFY_CONNECTION, connection_see, listener, MHD_OPTION_END);
    pthread_mutex_lock(&listener->said);
    listener->message = NULL;
    pthread_mutex_unlock(&listener->said);
    return listener->daemon ? 0 : -EIO;
}

bool listener_full(const struct listener *listener)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(listener->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

    return info && info->num_connections >= listener->connection_limit;
}

/* Not quiesced first: the thread that quiesces and one that polls can both take
 * the listening socket out of its epoll set, and then the library aborts. */
void listener_stop(struct listener *listener)
{
    if (!listener->daemon)
        return;
    MHD_stop_daemon(listener->daemon); /* closes the socket, too */
    listener->daemon = NULL;
    listener->fd = -1;
}
