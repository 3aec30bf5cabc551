/* What does a program see when somebody sets the clock?
 *
 * Preloaded, it adds the milliseconds that stand in the file $CLOCK_SHIFT to
 * CLOCK_REALTIME, and leaves CLOCK_MONOTONIC alone, as the kernel does. The file
 * is read at every call, so that a test sets the clock by writing it. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static long long shift_ms(void)
{
    const char *path = getenv("CLOCK_SHIFT");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    char text[32] = "";

    if (fd < 0)
        return 0;
    ssize_t got = read(fd, text, sizeof(text) - 1);
    close(fd);
    return got > 0 ? strtoll(text, NULL, 10) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *ret)
{
    static int (*real)(clockid_t, struct timespec *);

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    int r = real(clock, ret);
    if (r < 0 || clock != CLOCK_REALTIME)
        return r;
    long long ms = ret->tv_sec * 1000LL + ret->tv_nsec / 1000000 + shift_ms();
    ret->tv_nsec = ret->tv_nsec % 1000000 + ms % 1000 * 1000000;
    ret->tv_sec = ms / 1000;
    return 0;
}

time_t time(time_t *ret)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (ret)
        *ret = now.tv_sec;
    return now.tv_sec;
}
