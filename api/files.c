/* How does a file get out?
 *
 * Logs, the dashboard's files and, from artifacts.c, what jobs made. One function
 * turns a name into a descriptor: each step of the path is opened beneath the one
 * before, without following symbolic links and without names that start with a
 * dot, so there is no spelling that leaves the directory. (openat2's
 * RESOLVE_BENEATH would do the same for the names we allow, but isn't there in
 * every container.) */
#include "api/exchange.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAIL_LINES_MAX 100000
#define BLOCK_BYTES    65536

/* Open `path` below `dir`, step by step; the last step is a file. */
static int walk(int dir, const char *path)
{
    char name[256];
    int at = dir;

    for (;;) {
        size_t length = strcspn(path, "/");
        bool last = !path[length];
        int next = -ENOENT;
        if (length && length < sizeof(name) && path[0] != '.') {
            memcpy(name, path, length);
            name[length] = 0;
            next = openat(at, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (last ? 0 : O_DIRECTORY));
            next = next < 0 ? -errno : next;
        }
        if (at != dir)
            close(at);
        if (next < 0 || last)
            return next;
        at = next;
        path += length + 1;
    }
}

int file_open_beneath(const char *dir, const char *path, int64_t *ret_size, int64_t *ret_mtime_ns)
{
    struct stat st;
    int top = open(dir, O_RDONLY | O_CLOEXEC | O_DIRECTORY);

    if (top < 0)
        return -errno;
    int fd = walk(top, path);
    close(top);
    if (fd < 0)
        return fd == -ELOOP || fd == -ENOTDIR ? -ENOENT : fd;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return -ENOENT;
    }
    *ret_size = st.st_size;
    *ret_mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    return fd;
}

/* Digits up to `stop`; -1 when there are none or too many. */
static int64_t range_number(const char **at)
{
    int64_t value = 0;
    int digits = 0;

    for (; isdigit((unsigned char)**at && digits < 18 ? **at : 0); (*at)++, digits++)
        value = value * 10 + (**at - '0');
    return digits ? value : -1;
}

/* "bytes=a-b", "bytes=a-", "bytes=-n" -> offset and length, 1. 0: not a single
 * range of bytes, so it is ignored (RFC 9110 14.2). -ERANGE: outside. */
static int range_parse(const char *text, int64_t size, int64_t *ret_offset, int64_t *ret_length)
{
    if (strncmp(text, "bytes=", 6))
        return 0;
    text += 6;
    int64_t first = range_number(&text);
    if (*text++ != '-')
        return 0;
    int64_t last = range_number(&text);
    if (*text || (first < 0 && last < 0) || (first >= 0 && last >= 0 && last < first))
        return 0;
    if (first < 0) { /* the last n */
        first = last < size ? size - last : 0;
        if (!last || !size)
            return -ERANGE;
        last = size - 1;
    }
    if (first >= size)
        return -ERANGE;
    if (last < 0 || last >= size)
        last = size - 1;
    *ret_offset = first;
    *ret_length = last - first + 1;
    return 1;
}

static void file_take(struct answer *answer, int fd, int64_t offset, int64_t length)
{
    if (!length) { /* the HTTP library wants a buffer for nothing */
        close(fd);
        return;
    }
    answer->has_file = true;
    answer->file = (struct answer_file){ fd, offset, length };
}

int answer_file(struct answer *answer, const struct request *request, const struct file_info *file)
{
    const char *none_match = request_header(request, "If-None-Match");
    const char *range = request_header(request, "Range"), *if_range = request_header(request, "If-Range");
    int64_t offset = 0, length = file->size;

    answer_header(answer, "Accept-Ranges", "bytes");
    if (file->etag)
        answer_header(answer, "ETag", "%s", file->etag);
    if (none_match && file->etag && etag_listed(none_match, file->etag)) {
        close(file->fd);
        answer->status = 304;
        return 0;
    }
    answer->status = 200;
    if (range && !request->head && (!if_range || (file->etag && !strcmp(if_range, file->etag)))) {
        int r = range_parse(range, file->size, &offset, &length);
        if (r == -ERANGE) {
            close(file->fd);
            answer_header(answer, "Content-Range", "bytes */%" PRId64, file->size);
            return answer_problem(answer, request, PROBLEM_RANGE, "the file has %" PRId64 " bytes", file->size);
        }
        if (r > 0) {
            answer->status = 206;
            answer_header(answer, "Content-Range", "bytes %" PRId64 "-%" PRId64 "/%" PRId64, offset,
                          offset + length - 1, file->size);
        }
    }
    answer->type = file->type;
    file_take(answer, file->fd, offset, length);
    return 0;
}

/* ---- log ---- */

/* Where the last `lines` lines of a file begin. */
static int tail_find(int fd, int64_t size, int64_t lines, int64_t *ret_offset)
{
    char block[BLOCK_BYTES];
    int64_t end = size;

    while (end > 0) {
        int64_t start = end > BLOCK_BYTES ? end - BLOCK_BYTES : 0;
        ssize_t n = pread(fd, block, (size_t)(end - start), start);
        if (n < 0)
            return -errno;
        if (n != end - start)
            return -EIO; /* shorter than a moment ago: logs only grow */
        for (int64_t i = n - 1; i >= 0; i--) {
            if (block[i] != '\n' || start + i == size - 1)
                continue;
            if (!--lines) {
                *ret_offset = start + i + 1;
                return 0;
            }
        }
        end = start;
    }
    *ret_offset = 0;
    return 0;
}

/* The kind of the step of a rift job whose log is meant when none was named: of
 * the one that started last. Steps don't start in their order: corrupted copies
 * are made while training runs. */
static int step_started_last(struct db *db, const char *parent)
{
    struct db_job *steps;
    int count = db_job_steps(db, parent, &steps), found = JOB_TRAIN;
    int64_t latest_ms = 1;

    for (int i = 0; i < count; i++) {
        if (steps[i].started_ms < latest_ms)
            continue;
        latest_ms = steps[i].started_ms;
        found = job_kind_find(steps[i].kind);
    }
    if (count >= 0)
        db_jobs_free(steps, count);
    return count < 0 ? count : found;
}

int handle_job_log(const struct request *request, struct answer *answer)
{
    int64_t tail, size, mtime_ns, offset = 0;
    char path[DB_ID_SIZE + 16], etag[64];
    db_job_auto job = { 0 };

    if (request_int(request, answer, "tail", 1, TAIL_LINES_MAX, 0, &tail) < 0)
        return 0;
    int kind = step_started_last(request->config->db, request->id);
    int r = source_find(request, answer, kind < 0 ? JOB_TRAIN : kind, &job);
    if (r <= 0)
        return r;
    snprintf(path, sizeof(path), "%s/" JOBDIR_LOG, job.id);
    int fd = file_open_beneath(request->config->jobs_dir, path, &size, &mtime_ns);
    if (fd == -ENOENT && job.purged & PART_JOURNAL)
        return answer_problem(answer, request, PROBLEM_NO_FILE, "the log is not kept any more (retain-journals)");
    answer->type = "text/plain; charset=utf-8";
    answer->status = 200;
    if (fd == -ENOENT) /* nothing was written yet */
        return 0;
    if (fd < 0)
        return fd;
    /* It has a validator once nothing is added to it any more. */
    snprintf(etag, sizeof(etag), "\"%" PRIx64 "-%" PRIx64 "\"", (uint64_t)mtime_ns, (uint64_t)size);
    struct file_info file = { fd, size, answer->type, job_state_ended(job.state) ? etag : NULL };
    if (!tail)
        return answer_file(answer, request, &file);
    r = tail_find(fd, size, tail, &offset);
    if (r < 0) {
        close(fd);
        return r;
    }
    file_take(answer, fd, offset, size - offset);
    return 0;
}
