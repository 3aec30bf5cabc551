/* Is there room on the disk?
 *
 * Below the floor nothing new is accepted or started; what runs goes on, for it
 * may be about to end, and its journal's lines are small. Asked before each start
 * and each submission: statvfs costs a microsecond. */
#include "daemon/daemon.h"

#include <sys/statvfs.h>

#define FLOOR_BYTES (INT64_C(1) << 30)

/* The floor, what is free now and what there is. -1 when the disk can't be asked: then it isn't full. */
static int space_read(const struct daemon *daemon, struct space *ret)
{
    struct statvfs disk;

    if (statvfs(daemon->jobs_dir, &disk) < 0)
        return -1;
    int64_t all = (int64_t)disk.f_blocks * (int64_t)disk.f_frsize;
    *ret = (struct space){ .free_bytes = (int64_t)disk.f_bavail * (int64_t)disk.f_frsize,
                           .floor_bytes = daemon->settings->min_free_space,
                           .total_bytes = all };
    if (ret->floor_bytes == SETTING_UNSET)
        ret->floor_bytes = all / 100 < FLOOR_BYTES ? all / 100 : FLOOR_BYTES;
    return 0;
}

bool space_short(const struct daemon *daemon, struct space *ret)
{
    return space_read(daemon, ret) == 0 && ret->free_bytes < ret->floor_bytes;
}

void space_look(struct daemon *daemon)
{
    struct space space = { 0 };
    bool now = space_short(daemon, &space);

    if (now && !daemon->no_space)
        log_error("only %lld bytes are free on the disk of %s, %lld are to be (min-free-space): nothing starts",
                  (long long)space.free_bytes, daemon->jobs_dir, (long long)space.floor_bytes);
    else if (!now && daemon->no_space)
        log_info("there is room on the disk again");
    daemon->no_space = now;
}
