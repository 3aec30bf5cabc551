/* riftd's own words: log.c says where they go. Any thread may log. */
#ifndef RIFT_DAEMON_LOG_H
#define RIFT_DAEMON_LOG_H

#define LOG_LEVELS "error|warning|info|debug"
enum log_level { LEVEL_ERROR, LEVEL_WARNING, LEVEL_INFO, LEVEL_DEBUG };

/* Find out where words go. */
void log_open(void);
/* What is still logged. */
void log_level_set(enum log_level level);

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* About a job ("job ID: ..."; in the journal also RIFT_JOB=ID) or a request (RIFT_REQUEST=ID). */
void log_job(enum log_level level, const char *id, const char *format, ...) __attribute__((format(printf, 3, 4)));
void log_request(enum log_level level, const char *id, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
