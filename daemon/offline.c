/* What do the commands share that riftd does without serving (token, restore)?
 *
 * Words on stderr, and a guard: root could write into the state directory of
 * riftd's user, and riftd could not open afterwards what root has made there. */
#include "daemon/daemon.h"

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

bool state_is_others(int dir)
{
    struct stat st;

    return fstat(dir, &st) == 0 && st.st_uid != geteuid();
}
