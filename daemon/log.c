/* Where do riftd's own words go?
 *
 * To stderr, a line each. Under systemd (JOURNAL_STREAM is set) a line starts
 * with its priority, which the journal takes off; elsewhere with the time. */
#include "daemon/daemon.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void line(int priority, const char *format, va_list arguments)
{
    char text[1024], start[40];

    if (getenv("JOURNAL_STREAM")) {
        snprintf(start, sizeof(start), "<%d>", priority);
    } else {
        time_t now = (time_t)(clock_ms() / 1000);
        struct tm tm;
        gmtime_r(&now, &tm);
        strftime(start, sizeof(start), "%Y-%m-%dT%H:%M:%SZ ", &tm);
    }
    vsnprintf(text, sizeof(text), format, arguments);
    fprintf(stderr, "%sriftd: %s\n", start, text);
}

void log_error(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    line(3, format, arguments);
    va_end(arguments);
}

void log_info(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    line(6, format, arguments);
    va_end(arguments);
}
