/* How are requests sent and answers timed?
 *
 * One thread, one epoll, N keep-alive connections, two ways to load:
 *
 *   closed loop  every connection asks again as soon as it has its answer. Says
 *                how much riftd can do; latency is then mostly waiting for the
 *                other N - 1, whatever riftd does.
 *   open loop    requests fall due at fixed times, `rate` a second, whether or
 *                not earlier ones were answered, and are timed from when they
 *                fell due. Says what a client sees at that load; a server that
 *                stalls can't hide it by making the tool wait. */
#include "bench/load/load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST_BYTES = 2048, HEAD_BYTES = 4096, EVENTS = 256, PATIENCE_S = 5 };

struct connection {
    int fd;
    bool busy;
    int64_t since_us; /* when the request was due */
    char request[REQUEST_BYTES];
    size_t size, sent;
    char head[HEAD_BYTES]; /* of the answer */
    size_t head_size;
    bool in_body;
    int64_t body_left;
    int status;
};

struct load {
    const struct run *run;
    struct outcome *out;
    int epoll_fd;
    struct connection *connections;
    int *idle, idle_count; /* indices */
    uint64_t asked;
    int busy;
};

int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int connection_open(struct load *load, struct connection *connection)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = connection };

    connection->fd = port_connect(load->run->target->port, false);
    if (connection->fd < 0)
        return connection->fd;
    return epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, connection->fd, &event) < 0 ? -errno : 0;
}

static void connection_idle(struct load *load, struct connection *connection)
{
    load->busy -= connection->busy;
    connection->busy = false;
    load->idle[load->idle_count++] = (int)(connection - load->connections);
}

/* It broke: count that, and open it again for the next request. */
static int connection_broken(struct load *load, struct connection *connection)
{
    load->out->broken++;
    close(connection->fd);
    if (connection->busy)
        connection_idle(load, connection);
    return connection_open(load, connection);
}

static int connection_write(struct load *load, struct connection *connection)
{
    while (connection->sent < connection->size) {
        ssize_t n = send(connection->fd, connection->request + connection->sent, connection->size - connection->sent,
                         MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == ENOTCONN))
            return 0;
        if (n < 0)
            return connection_broken(load, connection);
        connection->sent += (size_t)n;
    }
    return 0;
}

static int request_send(struct load *load, struct connection *connection, int64_t due_us)
{
    connection->since_us = due_us;
    connection->size =
        load->run->write(load->run->target, load->asked++, connection->request, sizeof(connection->request));
    connection->sent = connection->head_size = 0;
    connection->in_body = false;
    connection->busy = true;
    load->busy++;
    return connection_write(load, connection);
}

/* The status line and Content-Length of a complete head. */
static bool head_read(struct connection *connection)
{
    const char *status = strchr(connection->head, ' ');

    connection->status = status ? atoi(status) : 0;
    connection->body_left = 0;
    for (const char *line = strstr(connection->head, "\r\n"); line; line = strstr(line + 2, "\r\n"))
        if (!strncasecmp(line + 2, "Content-Length:", 15))
            connection->body_left = atoll(line + 17);
    connection->in_body = true;
    return status != NULL;
}

static void answer_done(struct load *load, struct connection *connection)
{
    times_add(&load->out->times, now_us() - connection->since_us);
    load->out->wrong += connection->status != load->run->status;
    connection_idle(load, connection);
}

/* Take in `size` bytes of an answer. False when they make no sense. */
static bool answer_take(struct load *load, struct connection *connection, const char *data, size_t size)
{
    load->out->bytes += (int64_t)size;
    if (!connection->busy)
        return false;
    if (!connection->in_body) {
        size_t room = sizeof(connection->head) - 1 - connection->head_size;
        size_t n = size < room ? size : room;
        memcpy(connection->head + connection->head_size, data, n);
        connection->head_size += n;
        connection->head[connection->head_size] = 0;
        char *end = strstr(connection->head, "\r\n\r\n");
        if (!end)
            return connection->head_size < sizeof(connection->head) - 1;
        size_t rest = connection->head_size - (size_t)(end + 4 - connection->head) + (size - n);
        end[2] = 0;
        if (!head_read(connection))
            return false;
        connection->body_left -= (int64_t)rest;
    } else {
        connection->body_left -= (int64_t)size;
    }
    if (connection->body_left == 0)
        answer_done(load, connection);
    return connection->body_left >= 0;
}

static int connection_read(struct load *load, struct connection *connection)
{
    char data[65536];

    for (;;) {
        ssize_t n = recv(connection->fd, data, sizeof(data), 0);
        if (n < 0 && errno == EAGAIN)
            return 0;
        if (n <= 0 || !answer_take(load, connection, data, (size_t)n))
            return connection_broken(load, connection);
    }
}

/* Send what is due. Returns milliseconds until the next is, at most `until_us`. */
static int due_send(struct load *load, int64_t start_us, int64_t until_us)
{
    const struct run *run = load->run;

    while (load->idle_count) {
        int64_t now = now_us();
        int64_t due = run->rate > 0 ? start_us + (int64_t)((double)load->asked * 1e6 / run->rate) : now;
        if (due >= until_us)
            return 100;
        if (due > now)
            return (int)((due - now + 999) / 1000);
        /* The one that has waited longest: all take their turn. */
        struct connection *connection = &load->connections[load->idle[0]];
        memmove(load->idle, load->idle + 1, (size_t)--load->idle_count * sizeof(load->idle[0]));
        int r = request_send(load, connection, due);
        if (r < 0)
            return r;
    }
    return 100;
}

static int events_handle(struct load *load, int timeout_ms)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(load->epoll_fd, events, EVENTS, timeout_ms), r = 0;

    for (int i = 0; i < count && r >= 0; i++) {
        struct connection *connection = events[i].data.ptr;
        if (events[i].events & EPOLLOUT)
            r = connection_write(load, connection);
        if (r >= 0 && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            r = connection_read(load, connection);
    }
    return count < 0 && errno != EINTR ? -errno : r;
}

static int loop(struct load *load)
{
    int64_t start = now_us(), until = start + (int64_t)(load->run->seconds * 1e6), r = 0;

    while (r >= 0 && (now_us() < until || load->busy) && now_us() < until + PATIENCE_S * 1000000ll) {
        r = now_us() < until ? due_send(load, start, until) : 100;
        if (r >= 0)
            r = events_handle(load, (int)r);
    }
    load->out->seconds = (double)(now_us() - start) / 1e6;
    load->out->broken += load->busy; /* never answered */
    return r < 0 ? (int)r : 0;
}

int load_run(const struct run *run, struct outcome *ret)
{
    struct load load = { .run = run, .out = ret, .epoll_fd = epoll_create1(EPOLL_CLOEXEC) };
    int r = load.epoll_fd < 0 ? -errno : 0;

    *ret = (struct outcome){ 0 };
    load.connections = calloc((size_t)run->connections, sizeof(*load.connections));
    load.idle = calloc((size_t)run->connections, sizeof(*load.idle));
    if (!load.connections || !load.idle)
        r = -ENOMEM;
    for (int i = 0; i < run->connections && r >= 0; i++) {
        r = connection_open(&load, &load.connections[i]);
        load.idle[load.idle_count++] = i;
    }
    if (r >= 0)
        r = loop(&load);
    for (int i = 0; load.connections && i < run->connections; i++)
        if (load.connections[i].fd > 0)
            close(load.connections[i].fd);
    free(load.connections);
    free(load.idle);
    close(load.epoll_fd);
    return r;
}
