/* How does a worker tell what happened, so that neither side's death loses it?
 *
 * A file of lines, one event each, only ever appended to. The writer puts each
 * line down with one write(2), so a reader sees whole lines plus at most one
 * torn one at the very end, which it leaves for later. A writer that starts
 * again cuts the torn line off and goes on with the next number.
 *
 *   {"seq":1,...}\n {"seq":2,...}\n {"se          <- crash
 *   {"seq":1,...}\n {"seq":2,...}\n               <- after journal_open; seq is 2
 *
 * Surprising: a last line may be damaged although it has its newline (a power
 * cut can keep a page's length and lose its bytes), so it is cut too. A power cut
 * may also lose bytes further up and keep what was written after them, as long as
 * neither was synced: zeros, which no line has, so all from the first one's line
 * on is cut. If the line before the last is damaged in another way, something
 * else is wrong than a crash, and nothing is cut.
 *
 * A reader may remember the bytes it has seen for longer than the page cache
 * does, so it puts them on the disk before it looks at them; what is appended
 * meanwhile it leaves for the next time.
 *
 * One thread at a time uses a journal handle. */
#include "job/job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_LIMIT = 16 << 20, PIECE = 64 << 10 };

struct journal {
    int fd;
    int64_t seq;  /* of the last event */
    int64_t size; /* bytes, all of them whole lines */
};

/* The event that a line holds, new reference; NULL when it isn't one. */
static json_t *event_parse(const char *line, size_t length)
{
    json_t *event = json_read(line, length, JSON_REJECT_DUPLICATES, NULL);

    if (json_is_object(event) && json_is_integer(json_object_get(event, "seq")) &&
        json_is_integer(json_object_get(event, "time_ms")) && json_is_string(json_object_get(event, "type")))
        return event;
    json_decref(event);
    return NULL;
}

/* pread until `size` bytes are there or the file ends. */
static ssize_t read_at(int fd, char *to, size_t size, int64_t offset)
{
    size_t done = 0;

    while (done < size) {
        ssize_t got = pread(fd, to + done, size - done, (off_t)(offset + (int64_t)done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

/* ---- writing --------------------------------------------------------------- */

/* Where the line that ends before byte `end` starts: after the newline nearest
 * below `end`, or at 0. */
static int64_t line_start(int fd, int64_t end)
{
    char piece[4096];

    while (end > 0) {
        int64_t from = end > (int64_t)sizeof(piece) ? end - (int64_t)sizeof(piece) : 0;
        ssize_t got = read_at(fd, piece, (size_t)(end - from), from);
        if (got < 0)
            return got;
        const char *newline = memrchr(piece, '\n', (size_t)got);
        if (newline)
            return from + (newline - piece) + 1;
        end = from;
    }
    return 0;
}

/* The number of the event in bytes from..end (newline excluded), 0 when those
 * aren't an event. */
static int64_t line_seq(int fd, int64_t from, int64_t end)
{
    size_t length = (size_t)(end - from);
    char *line = end - from < LINE_LIMIT ? malloc(length + 1) : NULL;
    ssize_t got = line ? read_at(fd, line, length, from) : -1;
    json_auto_t *event = got == (ssize_t)length ? event_parse(line, length) : NULL;
    int64_t seq = json_integer_value(json_object_get(event, "seq"));

    free(line);
    return seq > 0 ? seq : 0;
}

/* The first byte that a power cut has lost, or `end`. */
static int64_t find_hole(int fd, int64_t end)
{
    char piece[16 << 10];

    for (int64_t at = 0; at < end;) {
        size_t size = end - at < (int64_t)sizeof(piece) ? (size_t)(end - at) : sizeof(piece);
        ssize_t got = read_at(fd, piece, size, at);
        if (got <= 0)
            return got < 0 ? got : at;
        const char *zero = memchr(piece, 0, (size_t)got);
        if (zero)
            return at + (zero - piece);
        at += got;
    }
    return end;
}

/* Find the end of the last good line and its number. */
static int find_end(int fd, const char *path, int64_t *ret_end, int64_t *ret_seq, struct fault *why)
{
    struct stat st;
    int64_t end;

    if (fstat(fd, &st) < 0)
        return fault_set(why, -errno, "%s: cannot be read: %s", path, strerror(errno));
    end = find_hole(fd, st.st_size);
    if (end > 0)
        end = line_start(fd, end); /* what follows the last newline is torn */
    for (int damaged = 0; end > 0; damaged++) {
        int64_t start = line_start(fd, end - 1);
        int64_t seq = start < 0 ? 0 : line_seq(fd, start, end - 1);

        if (start < 0) {
            end = start;
        } else if (seq > 0) {
            *ret_end = end;
            *ret_seq = seq;
            return 0;
        } else if (damaged > 0) {
            return fault_set(why, -EBADMSG, "%s: the line at byte %lld isn't an event, and it isn't the last one", path,
                             (long long)start);
        } else {
            end = start;
        }
    }
    if (end < 0)
        return fault_set(why, (int)end, "%s: cannot be read: %s", path, strerror((int)-end));
    *ret_end = 0;
    *ret_seq = 0;
    return 0;
}

/* Take away what follows the good lines, for good: were it to come back under
 * the next lines after a power cut, its end would stick out behind them. */
static int tail_cut(int fd, int64_t end)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (st.st_size == end)
        return 0;
    return ftruncate(fd, (off_t)end) < 0 || fdatasync(fd) < 0 ? -errno : 0;
}

/* The directory that a path lies in; the caller frees. NULL without memory. */
static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
}

/* A file that we may just have made stays after a power cut. */
static int sync_directory(const char *path)
{
    char *dir = directory_of(path);
    int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    int code = fd < 0 || fsync(fd) < 0 ? -errno : 0;

    if (fd >= 0)
        close(fd);
    free(dir);
    return code;
}

int journal_open(const char *path, struct journal **ret, struct fault *why)
{
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644), r = 0;
    struct journal *journal;
    int64_t end = 0, seq = 0;

    if (fd < 0)
        return fault_set(why, -errno, "%s: cannot be opened: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        r = errno == EWOULDBLOCK ? fault_set(why, -EBUSY, "%s: another process is writing it", path)
                                 : fault_set(why, -errno, "%s: cannot be locked: %s", path, strerror(errno));
    if (r == 0)
        r = find_end(fd, path, &end, &seq, why);
    if (r == 0 && ((r = tail_cut(fd, end)) < 0 || (r = sync_directory(path)) < 0))
        r = fault_set(why, r, "%s: cannot be written: %s", path, strerror(-r));
    journal = r == 0 ? malloc(sizeof(*journal)) : NULL;
    if (r == 0 && !journal)
        r = fault_set(why, -ENOMEM, "%s: no memory", path);
    if (r < 0) {
        close(fd);
        return r;
    }
    *journal = (struct journal){ .fd = fd, .seq = seq, .size = end };
    *ret = journal;
    return 0;
}

int64_t journal_trim(const char *path, struct fault *why)
{
    struct journal *journal = NULL;
    const char *slash = strrchr(path, '/');
    char *dir = NULL, *line = NULL;

    if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0) /* journal_open would make one */
        return fault_set(why, -errno, "%s: %s", path, strerror(errno));
    int r = journal_open(path, &journal, why);
    if (r < 0)
        return r;
    int64_t start = journal->size > 0 ? line_start(journal->fd, journal->size - 1) : 0;
    int64_t left = journal->size - start;
    if (start < 0) {
        r = fault_set(why, (int)start, "%s: cannot be read: %s", path, strerror((int)-start));
    } else if (start > 0) {
        dir = directory_of(path);
        line = malloc((size_t)left);
        if (!dir || !line)
            r = fault_set(why, -ENOMEM, "%s: no memory", path);
        else if (read_at(journal->fd, line, (size_t)left, start) != (ssize_t)left)
            r = fault_set(why, -EIO, "%s: cannot be read", path);
        else
            r = file_replace(dir, slash ? slash + 1 : path, line, (size_t)left, why);
    }
    free(dir);
    free(line);
    journal_close(journal);
    return r < 0 ? r : left;
}

void journal_close(struct journal *journal)
{
    if (!journal)
        return;
    close(journal->fd);
    free(journal);
}

int64_t journal_seq(const struct journal *journal)
{
    return journal->seq;
}

int journal_sync(struct journal *journal)
{
    return fdatasync(journal->fd) < 0 ? -errno : 0;
}

/* One write(2). When it comes back short (disk full, size limit) what it left
 * is taken away again, so that the next line doesn't start inside a torn one. */
static int line_write(struct journal *journal, const char *line, size_t length)
{
    ssize_t wrote;
    int code;

    do
        wrote = write(journal->fd, line, length);
    while (wrote < 0 && errno == EINTR);
    if (wrote == (ssize_t)length) {
        journal->size += wrote;
        journal->seq++;
        return 0;
    }
    code = wrote < 0 ? -errno : -ENOSPC;
    if (wrote > 0 && ftruncate(journal->fd, (off_t)journal->size) < 0)
        return -errno;
    return code;
}

int journal_append(struct journal *journal, int64_t now_ms, const char *type, json_t *fields)
{
    json_auto_t *stolen = fields;
    json_auto_t *event = json_pack("{s:I, s:I, s:s}", "seq", (json_int_t)(journal->seq + 1), "time_ms",
                                   (json_int_t)now_ms, "type", type);
    char *line;
    size_t length;
    int r;

    if (!event || (stolen && json_object_update_missing(event, stolen) < 0))
        return -ENOMEM;
    length = json_dumpb(event, NULL, 0, JSON_COMPACT);
    if (length == 0)
        return -EINVAL;
    if (length >= LINE_LIMIT)
        return -EMSGSIZE;
    line = malloc(length + 1);
    if (!line)
        return -ENOMEM;
    json_dumpb(event, line, length, JSON_COMPACT);
    line[length] = '\n';
    r = line_write(journal, line, length + 1);
    free(line);
    return r;
}

/* ---- reading --------------------------------------------------------------- */

/* A window on the file: bytes offset .. offset+filled, of which `start` are done. */
struct window {
    int fd;
    char *data;
    size_t room, filled, start;
    int64_t offset, end; /* end: as much of the file as is on the disk */
};

/* The next whole line. 1 with it; 0 at the end of the whole lines; -EMSGSIZE
 * when a line is longer than any writer's. */
static int line_next(struct window *window, const char **ret_line, size_t *ret_length)
{
    size_t looked = window->start;

    for (;;) {
        char *newline = memchr(window->data + looked, '\n', window->filled - looked);
        if (newline) {
            *ret_line = window->data + window->start;
            *ret_length = (size_t)(newline - *ret_line);
            window->start += *ret_length + 1;
            return *ret_length < LINE_LIMIT ? 1 : -EMSGSIZE;
        }
        /* Keep the unfinished line, at the front, and read on behind it. */
        window->filled -= window->start;
        memmove(window->data, window->data + window->start, window->filled);
        window->offset += (int64_t)window->start;
        window->start = 0;
        looked = window->filled;
        if (window->filled >= LINE_LIMIT)
            return -EMSGSIZE;
        if (window->room - window->filled < PIECE) {
            char *larger = realloc(window->data, window->room * 2);
            if (!larger)
                return -ENOMEM;
            window->data = larger;
            window->room *= 2;
        }
        int64_t from = window->offset + (int64_t)window->filled;
        size_t size = window->room - window->filled;
        if ((int64_t)size > window->end - from)
            size = (size_t)(window->end - from);
        ssize_t got = read_at(window->fd, window->data + window->filled, size, from);
        if (got <= 0)
            return (int)got;
        window->filled += (size_t)got;
    }
}

static int read_events(struct window *window, const char *path, int64_t *offset,
                       int (*see)(json_t *event, int64_t end_offset, void *user), void *user, struct fault *why)
{
    int count = 0, r;
    const char *line = NULL;
    size_t length = 0;

    while ((r = line_next(window, &line, &length)) > 0) {
        json_auto_t *event = event_parse(line, length);
        int64_t end = window->offset + (int64_t)window->start;

        if (!event)
            return fault_set(why, -EBADMSG, "%s: the line at byte %lld isn't an event", path, (long long)*offset);
        r = see(event, end, user);
        if (r < 0)
            return r;
        *offset = end;
        count++;
    }
    if (r == -EMSGSIZE)
        return fault_set(why, -EBADMSG, "%s: the line at byte %lld is longer than %d bytes", path, (long long)*offset,
                         LINE_LIMIT);
    if (r < 0)
        return fault_set(why, r, "%s: cannot be read: %s", path, strerror(-r));
    return count;
}

/* True when whole lines end at this byte: what lies before it is what was read. */
static bool line_ends(int fd, int64_t offset)
{
    char last;

    return offset == 0 || (read_at(fd, &last, 1, offset - 1) == 1 && last == '\n');
}

int journal_read(const char *path, int64_t *offset, int (*see)(json_t *event, int64_t end_offset, void *user),
                 void *user, struct fault *why)
{
    struct window window = { .fd = open(path, O_RDONLY | O_CLOEXEC), .room = 2 * PIECE, .offset = *offset };
    struct stat st;
    int r;

    if (window.fd < 0 || fstat(window.fd, &st) < 0) {
        r = fault_set(why, -errno, "%s: cannot be read: %s", path, strerror(errno));
    } else if (st.st_size < *offset) {
        r = fault_set(why, -ESTALE, "%s: is shorter (%lld bytes) than what was read from it before (%lld)", path,
                      (long long)st.st_size, (long long)*offset);
    } else if (!line_ends(window.fd, *offset)) {
        r = fault_set(why, -ESTALE, "%s: no line ends at byte %lld, to where it was read before", path,
                      (long long)*offset);
    } else if (st.st_size == *offset) {
        r = 0;
    } else if (fdatasync(window.fd) < 0 && errno != EINVAL && errno != EROFS) { /* there: nothing to sync */
        r = fault_set(why, -errno, "%s: cannot be put on the disk: %s", path, strerror(errno));
    } else {
        window.end = st.st_size;
        window.data = malloc(window.room);
        r = window.data ? read_events(&window, path, offset, see, user, why)
                        : fault_set(why, -ENOMEM, "%s: no memory", path);
    }
    free(window.data);
    if (window.fd >= 0)
        close(window.fd);
    return r;
}
