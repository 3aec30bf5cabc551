/* What does a job do when the disk is full? It waits.
 *
 * Hours of training shall not end for want of a line in a journal, and a disk
 * that is full is somebody's to empty. So whoever writes asks here after each
 * failure and tries again; each pause is twice as long as the one before. All
 * writers put things aside and rename them, or take back a torn line, so that
 * trying again is the same as having waited first.
 *
 * SIGTERM ends the waiting: the job is interrupted then, without a checkpoint, and
 * goes on from the last one. */
#include "gpu/rift/run.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

enum { PAUSE_FIRST_MS = 250, PAUSE_MOST_MS = 15000 };

bool run_waits(struct run *run, int *r)
{
    struct room *room = &run->room;

    if (*r != -ENOSPC && *r != -EDQUOT) {
        if (room->pause_ms && *r >= 0)
            run_log(run, "there is room again, after %lld s",
                    (long long)(run->steady_ms() - room->since_ms + 500) / 1000);
        room->pause_ms = 0;
        return false;
    }
    if (!room->pause_ms) {
        room->since_ms = run->steady_ms();
        run_log(run, "waiting for room: %s", *run->why.message ? run->why.message : strerror(-*r));
    }
    room->pause_ms = room->pause_ms ? room->pause_ms * 2 : PAUSE_FIRST_MS;
    if (room->pause_ms > PAUSE_MOST_MS)
        room->pause_ms = PAUSE_MOST_MS;
    run->why = (struct fault){ 0 };
    if (!run->stop || !*run->stop)
        poll(NULL, 0, room->pause_ms); /* a signal ends it */
    if (!run->stop || !*run->stop)
        return true;
    *r = -EINTR;
    return false;
}
