/* Is riftd still of use?
 *
 * Where systemd watches (WatchdogSec=), the loop says so at half the interval,
 * and only when all of these hold:
 *
 *   the loop turned              or we wouldn't be here
 *   the database's writer answered   with an error, too: a full disk is no reason to be
 *                                killed, for a restart doesn't empty it
 *   every HTTP listener did something since the last time, or is full
 *
 * The timer exists only where somebody watches; elsewhere an idle riftd sleeps. */
#include "daemon/daemon.h"

#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

static void watchdog_ready(struct daemon *daemon, struct source *source)
{
    uint64_t count;

    if (read(source->fd, &count, sizeof(count)) != (ssize_t)sizeof(count))
        return;
    int r = db_ping(daemon->db, clock_ms());
    if (r < 0)
        log_error("the database cannot be written: %s", db_errmsg(daemon->db));
    if (!api_alive(daemon->api)) {
        log_error("an HTTP listener has stopped answering; the watchdog isn't told that all is well");
        return;
    }
    log_debug("the watchdog is told that all is well");
    sd_notify(0, "WATCHDOG=1");
}

int watchdog_open(struct daemon *daemon)
{
    uint64_t interval_us = 0;
    int r = sd_watchdog_enabled(1, &interval_us);

    if (r <= 0)
        return r;
    uint64_t half_us = interval_us / 2 ? interval_us / 2 : 1;
    struct timespec half = { (time_t)(half_us / 1000000), (long)(half_us % 1000000) * 1000 };
    struct itimerspec timer = { half, half };
    daemon->watchdog = (struct source){ timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), watchdog_ready };
    if (daemon->watchdog.fd < 0 || timerfd_settime(daemon->watchdog.fd, 0, &timer, NULL) < 0)
        return -errno;
    api_alive(daemon->api); /* the first knock */
    return loop_add(daemon, &daemon->watchdog);
}
