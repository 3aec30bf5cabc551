/* Who only holds sockets open?
 *
 * Two kinds, each in a child process of its own so that holding them takes
 * nothing from the client that is timed: readers of event streams, who note how
 * old each `state` event is when it gets to them (its time_ms is taken before
 * the transaction that stores it, so the age holds the commit too), and clients
 * that send a byte a second and never come to an end. */
#include "bench/load/load.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, LINE_BYTES = 8192, TRICKLE_MS = 1000, READY_MS = 60000, QUIET_MS = 1000, REST_US = 20000000 };

static volatile sig_atomic_t stop_wanted;

static void on_term(int number)
{
    (void)number;
    stop_wanted = 1;
}

struct watcher {
    int fd; /* -1: not open */
    bool greeted, heard;
    char line[LINE_BYTES];
    size_t used;
};

struct child {
    uint16_t port;
    int epoll_fd;
    struct watcher *list;
    int count;
    int up_fd; /* pipe to the parent */
    struct times times;
    int64_t closed;
};

static int64_t wall_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Connect if need be, and send the hello once the connection stands: a riftd that is
 * full lets us wait. True when it was sent. */
static bool watcher_greet(struct child *child, struct watcher *watcher, const char *hello)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = watcher };
    char text[512];

    if (watcher->fd < 0) {
        watcher->fd = port_connect(child->port, false);
        watcher->greeted = false;
        watcher->used = 0;
        if (watcher->fd >= 0)
            epoll_ctl(child->epoll_fd, EPOLL_CTL_ADD, watcher->fd, &event);
    }
    if (watcher->fd < 0 || watcher->greeted)
        return watcher->greeted;
    int length = snprintf(text, sizeof(text), hello, (unsigned)child->port);
    watcher->greeted = send(watcher->fd, text, (size_t)length, MSG_NOSIGNAL) == length;
    return watcher->greeted;
}

/* A whole line of a stream. */
static void line_take(struct child *child, const char *line)
{
    const char *time = strncmp(line, "data: ", 6) ? NULL : strstr(line, "\"time_ms\":");

    if (time && strstr(line, "\"type\":\"state\""))
        times_add(&child->times, wall_us() - atoll(time + 10) * 1000);
}

static void lines_take(struct child *child, struct watcher *watcher)
{
    char *start = watcher->line, *end;

    watcher->line[watcher->used] = 0;
    while ((end = strchr(start, '\n'))) {
        *end = 0;
        line_take(child, start);
        start = end + 1;
    }
    watcher->used -= (size_t)(start - watcher->line);
    memmove(watcher->line, start, watcher->used);
    if (watcher->used == LINE_BYTES - 1)
        watcher->used = 0;
}

/* Read what came; a socket that was closed is counted and gone. */
static bool watcher_read(struct child *child, struct watcher *watcher)
{
    ssize_t n = recv(watcher->fd, watcher->line + watcher->used, LINE_BYTES - 1 - watcher->used, 0);

    if (n < 0 && errno == EAGAIN)
        return true;
    if (n > 0) {
        watcher->heard = true;
        watcher->used += (size_t)n;
        lines_take(child, watcher);
        return true;
    }
    close(watcher->fd);
    watcher->fd = -1;
    watcher->greeted = false;
    child->closed++;
    return false;
}

/* How many had something to say. */
static int watch(struct child *child, int timeout_ms)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(child->epoll_fd, events, EVENTS, timeout_ms);

    for (int i = 0; i < count; i++)
        watcher_read(child, events[i].data.ptr);
    return count;
}

static void streams_child(struct child *child)
{
    bool all = false, ready = false;

    while (!stop_wanted) {
        for (int i = 0; i < child->count && !all; i++)
            watcher_greet(child, &child->list[i], "GET /v1/events?after=now HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n");
        all = true;
        for (int i = 0; i < child->count; i++)
            all &= child->list[i].greeted;
        watch(child, 50);
        int heard = 0;
        for (int i = 0; i < child->count && !ready; i++)
            heard += child->list[i].heard;
        if (!ready && heard == child->count)
            ready = write(child->up_fd, "\n", 1) == 1;
    }
    /* What was sent on its way before is waited for. */
    for (int64_t until = now_us() + REST_US; now_us() < until && watch(child, QUIET_MS) > 0;)
        ;
}

static void trickle_child(struct child *child)
{
    static const char *const hellos[] = {
        "GET /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nX-Slow: ",
        "POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Type: application/json\r\n"
        "Content-Length: 100000\r\n\r\n",
    };
    int64_t next = now_us();

    while (!stop_wanted) {
        /* Whoever was thrown out comes back: an attacker would. */
        for (int i = 0; i < child->count && now_us() >= next; i++)
            if (watcher_greet(child, &child->list[i], hellos[i % 2]))
                send(child->list[i].fd, " ", 1, MSG_NOSIGNAL);
        next += now_us() >= next ? TRICKLE_MS * 1000 : 0;
        watch(child, 20);
    }
}

static int child_start(const struct target *target, int count, void (*run)(struct child *), struct watchers *ret)
{
    int up[2];

    if (pipe(up) < 0)
        return -errno;
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (!pid) {
        struct child child = { .port = target->port, .epoll_fd = epoll_create1(0), .count = count, .up_fd = up[1] };
        child.list = calloc((size_t)count, sizeof(*child.list));
        signal(SIGTERM, on_term);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (int i = 0; child.list && i < count; i++)
            child.list[i].fd = -1;
        close(up[0]);
        if (child.list)
            run(&child);
        FILE *file = fdopen(up[1], "w");
        fprintf(file, "%lld\n", (long long)child.closed);
        for (size_t i = 0; i < child.times.count; i++)
            fprintf(file, "%lld\n", (long long)child.times.us[i]);
        fclose(file);
        _exit(0);
    }
    close(up[1]);
    *ret = (struct watchers){ pid, up[0] };
    return 0;
}

int watchers_start(const struct target *target, int streams, struct watchers *ret)
{
    int r = child_start(target, streams, streams_child, ret);
    char ready;

    if (r < 0)
        return r;
    struct pollfd said = { .fd = ret->from_child, .events = POLLIN };
    if (poll(&said, 1, READY_MS) == 1 && read(ret->from_child, &ready, 1) == 1)
        return 0;
    kill(ret->pid, SIGKILL);
    waitpid(ret->pid, NULL, 0);
    close(ret->from_child);
    return -ETIMEDOUT;
}

int trickle_start(const struct target *target, int sockets, struct watchers *ret)
{
    return child_start(target, sockets, trickle_child, ret);
}

int watchers_stop(struct watchers *watchers, struct times *ret_times, int64_t *ret_closed)
{
    FILE *file = fdopen(watchers->from_child, "r");
    long long number;

    kill(watchers->pid, SIGTERM);
    if (!file)
        return -errno;
    *ret_closed = fscanf(file, "%lld", &number) == 1 ? number : -1;
    while (fscanf(file, "%lld", &number) == 1)
        times_add(ret_times, number);
    fclose(file);
    waitpid(watchers->pid, NULL, 0);
    return *ret_closed < 0 ? -EIO : 0;
}
