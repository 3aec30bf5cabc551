/* Does an upload leave the room that others need?
 *
 * The file system is the real one; only how much is free on it is said here (ld's --wrap). */
#include "api/exchange.h"
#include "tests/check.h"

#include <errno.h>
#include <sys/statvfs.h>

enum { RESERVE = 64 << 20 };

static uint64_t free_bytes;

int __wrap_fstatvfs(int fd, struct statvfs *ret);

int __wrap_fstatvfs(int fd, struct statvfs *ret)
{
    (void)fd;
    *ret = (struct statvfs){ .f_frsize = 1, .f_bavail = free_bytes };
    return 0;
}

static void announced(void)
{
    struct upload *upload = NULL;
    char *dir = check_tmpdir();

    free_bytes = RESERVE + 999;
    CHECK_INT(upload_open(dir, 1 << 20, 1000, &upload), -ENOSPC);
    CHECK(!upload);
    free_bytes = RESERVE + 1000;
    CHECK_INT(upload_open(dir, 1 << 20, 1000, &upload), 0);
    upload_close(upload);
    check_rmdir(dir);
}

static void not_announced(void)
{
    struct upload *upload = NULL;
    char *dir = check_tmpdir();
    const char bytes[1000] = "";

    free_bytes = RESERVE + 1500;
    CHECK_INT(upload_open(dir, 1 << 20, 0, &upload), 0);
    CHECK_INT(upload_write(upload, bytes, sizeof(bytes)), 0);
    free_bytes -= sizeof(bytes); /* by this one, or by somebody else */
    CHECK_INT(upload_write(upload, bytes, sizeof(bytes)), -ENOSPC);
    upload_close(upload);
    check_rmdir(dir);
}

static const struct check_case cases[] = {
    { "an upload that says how long it is and leaves no room is refused at once", announced },
    { "one that doesn't say it ends when others would have no room", not_announced },
};
CHECK_MAIN(cases)
