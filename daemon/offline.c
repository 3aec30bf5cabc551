/* What do the commands share that riftd does without serving (token, restore)?
 *
 * Words on stderr, and who does it: root could write into the state directory of
 * riftd's user, and riftd could not open afterwards what root has made there. So
 * root becomes that user first. */
#include "daemon/daemon.h"

#include <errno.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int complain(const char *format, ...)
{
    va_list arguments;

    fputs("riftd: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return 1;
}

int state_user_become(int dir)
{
    struct stat st;

    if (fstat(dir, &st) < 0)
        return -errno;
    if (st.st_uid == geteuid())
        return 0;
    if (geteuid() != 0)
        return -EPERM;
    return setgroups(0, NULL) < 0 || setgid(st.st_gid) < 0 || setuid(st.st_uid) < 0 ? -errno : 0;
}
