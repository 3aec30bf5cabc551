/* Is there room on the disk?
 *
 * Below the floor nothing new is accepted or started; what runs goes on, for it
 * may be about to end, and its journal's lines are small. Asked before each start
 * and each submission: statvfs costs a microsecond. */
#include "daemon/daemon.h"

#include <sys/statvfs.h>

#define FLOOR_BYTES (INT64_C(1) << 30)

/* The floor, and what is free now. -1 when the disk can't be asked: then it isn't full. */
static int space_read(const struct daemon *daemon, int64_t *ret_free, int64_t *ret_floor)
{
    struct statvfs disk;

    if (statvfs(daemon->jobs_dir, &disk) < 0)
        return -1;
    int64_t all = (int64_t)disk.f_blocks * (int64_t)disk.f_frsize;
    *ret_free = (int64_t)disk.f_bavail * (int64_t)disk.f_frsize;
    *ret_floor = daemon->settings->min_free_space;
    if (*ret_floor == SETTING_UNSET)
        *ret_floor = all / 100 < FLOOR_BYTES ? all / 100 : FLOOR_BYTES;
    return 0;
}

bool space_short(const struct daemon *daemon, int64_t *ret_free, int64_t *ret_floor)
{
    return space_read(daemon, ret_free, ret_floor) == 0 && *ret_free < *ret_floor;
}

void space_look(struct daemon *daemon)
{
    int64_t free_bytes, floor_bytes;
    bool now = space_short(daemon, &free_bytes, &floor_bytes);

    if (now && !daemon->no_space)
        log_error("only %lld bytes are free on the disk of %s, %lld are to be (min-free-space): nothing starts",
                  (long long)free_bytes, daemon->jobs_dir, (long long)floor_bytes);
    else if (!now && daemon->no_space)
        log_info("there is room on the disk again");
    daemon->no_space = now;
}
