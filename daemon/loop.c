/* What does riftd wait for?
 *
 *   signals  SIGTERM, SIGINT: stop; workers go on without us. SIGHUP: read the settings again
 *   bell     an eventfd that HTTP threads ring: a job came, or was cancelled
 *   exits    one pidfd a worker
 *   watchdog a timer, where systemd wants to hear from us (watchdog.c)
 *   time     every TICK_MS while workers run: read their journals, kill the late,
 *            try again what failed for a reason that may pass; and when the
 *            scheduler wants to look at the queue again
 *
 * One thread, one epoll, no wake-up while nothing runs. Journals are looked at by the clock and not by inotify:
 * on the shared file system of a cluster inotify sees nothing. */
#include "daemon/daemon.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

enum { TICK_MS = 200, SLEEP_MOST_MS = 3600000, EVENTS = 32 };

static void signals_ready(struct daemon *daemon, struct source *source)
{
    struct signalfd_siginfo info;

    if (read(source->fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return;
    if (info.ssi_signo == SIGHUP) {
        settings_reload(daemon);
    } else {
        log_info("%s: stopping; running workers go on", strsignal((int)info.ssi_signo));
        daemon->stopping = true;
    }
}

static void bell_ready(struct daemon *daemon, struct source *source)
{
    uint64_t count;
    ssize_t got = read(source->fd, &count, sizeof(count)); /* only to empty it */

    (void)got;
    daemon->schedule_at_ms = 0;
    workers_review(daemon);
    webhooks_poke(daemon);
}

int loop_add(struct daemon *daemon, struct source *source)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = source };

    return epoll_ctl(daemon->epoll_fd, EPOLL_CTL_ADD, source->fd, &event) < 0 ? -errno : 0;
}

void loop_remove(struct daemon *daemon, struct source *source)
{
    if (source->fd < 0)
        return;
    epoll_ctl(daemon->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
    close(source->fd);
    source->fd = -1;
}

int loop_open(struct daemon *daemon)
{
    struct source *sources[] = { &daemon->signals, &daemon->bell };
    sigset_t mask;

    /* Before any thread is made, so that all inherit it. */
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR ||
        signal(SIGXFSZ, SIG_IGN) == SIG_ERR) /* a limit on file sizes is an error of write(2), as a full disk is */
        return -errno;
    daemon->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    daemon->signals = (struct source){ signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK), signals_ready };
    daemon->bell = (struct source){ eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), bell_ready };
    for (int i = 0; i < 2; i++)
        if (sources[i]->fd < 0 || loop_add(daemon, sources[i]) < 0)
            return -errno;
    return 0;
}

void loop_close(struct daemon *daemon)
{
    loop_remove(daemon, &daemon->signals);
    loop_remove(daemon, &daemon->bell);
    loop_remove(daemon, &daemon->watchdog);
    if (daemon->epoll_fd >= 0)
        close(daemon->epoll_fd);
    daemon->epoll_fd = -1;
}

void loop_bell(struct daemon *daemon)
{
    uint64_t one = 1;
    ssize_t put = write(daemon->bell.fd, &one, sizeof(one));

    (void)put; /* full: it rings already */
}

/* How long the loop may sleep: until the next tick, or until the queue is due; -1: for ever. */
static int sleep_ms(const struct daemon *daemon)
{
    int64_t due_ms = daemon->schedule_at_ms - monotonic_ms();

    if (daemon->workers)
        return due_ms < TICK_MS ? (int)(due_ms > 0 ? due_ms : 0) : TICK_MS;
    if (daemon->schedule_at_ms == INT64_MAX)
        return -1;
    return (int)(due_ms < 0 ? 0 : due_ms > SLEEP_MOST_MS ? SLEEP_MOST_MS : due_ms);
}

int loop_run(struct daemon *daemon)
{
    struct epoll_event events[EVENTS];
    int64_t ticked_ms = 0;

    while (!daemon->stopping) {
        clock_look(daemon);
        schedule(daemon);
        int count = epoll_wait(daemon->epoll_fd, events, EVENTS, sleep_ms(daemon));
        if (count < 0 && errno != EINTR)
            return -errno;
        for (int i = 0; i < count; i++) {
            struct source *source = events[i].data.ptr;
            source->ready(daemon, source);
        }
        if (monotonic_ms() - ticked_ms >= TICK_MS) {
            journals_tail(daemon);
            workers_watch_clock(daemon);
            workers_settle(daemon);
            ticked_ms = monotonic_ms();
        }
    }
    return 0;
}
