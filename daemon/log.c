/* Where do riftd's own words go?
 *
 * To the journal with fields, when our stderr is the journal's (JOURNAL_STREAM
 * names its device and inode): `journalctl RIFT_JOB=ID` then tells one job's
 * story. Elsewhere to stderr, a line each, with the time before it. */
#define SD_JOURNAL_SUPPRESS_LOCATION /* it would always be this file */
#include "daemon/log.h"
#include "daemon/daemon.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <time.h>

enum { FIELD_COUNT = 4, TEXT_SIZE = 1024 };

static const int priorities[] = { [LEVEL_ERROR] = 3, [LEVEL_WARNING] = 4, [LEVEL_INFO] = 6, [LEVEL_DEBUG] = 7 };
static _Atomic int level_now = LEVEL_INFO;
static bool to_journal; /* before there are threads */

void log_open(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat st;

    to_journal = stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(2, &st) == 0 &&
                 st.st_dev == device && st.st_ino == inode;
}

void log_level_set(enum log_level level)
{
    level_now = (int)level;
}

/* What a line is about. */
struct about {
    const char *field; /* "RIFT_JOB", or NULL */
    const char *noun;  /* "job" */
    const char *id;
};

static bool journal_send(enum log_level level, const struct about *about, const char *text)
{
    char fields[FIELD_COUNT][TEXT_SIZE + 128];
    struct iovec parts[FIELD_COUNT];
    int count = about->field ? FIELD_COUNT : FIELD_COUNT - 1;

    snprintf(fields[0], sizeof(fields[0]), "MESSAGE=%s", text);
    snprintf(fields[1], sizeof(fields[1]), "PRIORITY=%d", priorities[level]);
    snprintf(fields[2], sizeof(fields[2]), "SYSLOG_IDENTIFIER=riftd");
    if (about->field)
        snprintf(fields[3], sizeof(fields[3]), "%s=%s", about->field, about->id);
    for (int i = 0; i < count; i++)
        parts[i] = (struct iovec){ fields[i], strlen(fields[i]) };
    return sd_journal_sendv(parts, count) >= 0;
}

static void line(enum log_level level, const struct about *about, const char *format, va_list arguments)
{
    char text[TEXT_SIZE], start[40];
    size_t length = 0;

    if ((int)level > level_now)
        return;
    if (about->field)
        length = (size_t)snprintf(text, sizeof(text), "%s %.100s: ", about->noun, about->id);
    vsnprintf(text + length, sizeof(text) - length, format, arguments);
    if (to_journal && journal_send(level, about, text))
        return;
    time_t now = (time_t)(clock_ms() / 1000);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(start, sizeof(start), "%Y-%m-%dT%H:%M:%SZ ", &tm);
    fprintf(stderr, "%sriftd: %s\n", start, text);
}

#define LINE(level, ...)                                                                                               \
    do {                                                                                                               \
        va_list arguments;                                                                                             \
        va_start(arguments, format);                                                                                   \
        line(level, &(struct about){ __VA_ARGS__ }, format, arguments);                                                \
        va_end(arguments);                                                                                             \
    } while (0)

void log_error(const char *format, ...)
{
    LINE(LEVEL_ERROR, NULL);
}

void log_warning(const char *format, ...)
{
    LINE(LEVEL_WARNING, NULL);
}

void log_info(const char *format, ...)
{
    LINE(LEVEL_INFO, NULL);
}

void log_debug(const char *format, ...)
{
    LINE(LEVEL_DEBUG, NULL);
}

void log_job(enum log_level level, const char *id, const char *format, ...)
{
    LINE(level, "RIFT_JOB", "job", id);
}

void log_request(enum log_level level, const char *id, const char *format, ...)
{
    LINE(level, "RIFT_REQUEST", "request", id);
}
