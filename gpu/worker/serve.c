/* How does a worker come to be that nobody forks?
 *
 * systemd accepts a connection on its socket and starts one of us for it (unit
 * rift-worker@.service), in a unit, a control group and a sandbox of its own.
 * The connection is stdin. One request a connection, one line each:
 *
 *   riftd                         worker
 *   run --sandbox try /STATE/jobs/ID
 *                        ------>  looks whether that may be
 *                        <------  {"pid": 4711}       or {"error": "..."}
 *   go                   ------>  becomes `rift-worker run --sandbox try /STATE/jobs/ID`
 *
 *   devices              ------>
 *                        <------  [{"id": "cpu", ...}]
 *
 * Between the answer and `go` riftd writes down who we are. When it dies or
 * cannot, the connection ends without a `go` and nothing has happened. After it
 * we are the same process as a worker that riftd started by itself: same command
 * line, working directory, log.txt and journal, so that a later riftd finds us
 * in the same way.
 *
 * Who may ask: the socket is riftd's own (0600), and the other side must run as
 * our own user or as root. What may be asked for: a directory that lies directly
 * in --jobs-dir and belongs to us; no symlink, nothing deeper. */
#include "gpu/worker/serve.h"
#include "job/job.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

enum { PATIENCE_S = 30, LINE_MAX_BYTES = PATH_MAX + 256, WORDS_MAX = 8, WRONG_USAGE = 64 };

/* Stdin is a unix stream socket, its other end our user's or root's. */
static int peer_check(struct fault *why)
{
    struct timeval patience = { .tv_sec = PATIENCE_S };
    struct ucred peer;
    int type = 0, domain = 0;
    socklen_t type_size = sizeof(type), domain_size = sizeof(domain), peer_size = sizeof(peer);

    if (getsockopt(STDIN_FILENO, SOL_SOCKET, SO_TYPE, &type, &type_size) < 0 || type != SOCK_STREAM ||
        getsockopt(STDIN_FILENO, SOL_SOCKET, SO_DOMAIN, &domain, &domain_size) < 0 || domain != AF_UNIX)
        return fault_set(why, -ENOTSOCK, "stdin is not a unix socket; `serve` is for rift-worker.socket");
    if (getsockopt(STDIN_FILENO, SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) < 0)
        return fault_set(why, -errno, "who is asking cannot be told: %s", strerror(errno));
    if (peer.uid != geteuid() && peer.uid != 0)
        return fault_set(why, -EPERM, "user %u may not ask; only user %u may", (unsigned)peer.uid, (unsigned)geteuid());
    setsockopt(STDIN_FILENO, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(STDIN_FILENO, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    return 0;
}

/* A line without its end. -ECONNRESET: there came none. */
static int line_read(char ret[LINE_MAX_BYTES])
{
    size_t length = 0;

    while (length < LINE_MAX_BYTES) {
        ssize_t got = read(STDIN_FILENO, ret + length, 1); /* nothing after the line is ours yet */
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : -ECONNRESET;
        if (ret[length] == '\n') {
            ret[length] = '\0';
            return strlen(ret) == length ? 0 : -EINVAL;
        }
        length++;
    }
    return -E2BIG;
}

/* One line of JSON. Takes the reference. */
static int answer(json_t *value)
{
    char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
    size_t length = text ? strlen(text) : 0, at = 0;
    int r = text ? 0 : -ENOMEM;

    if (text)
        text[length++] = '\n'; /* in the place of its end */
    while (r == 0 && at < length) {
        ssize_t put = send(STDIN_FILENO, text + at, length - at, MSG_NOSIGNAL);
        if (put < 0 && errno != EINTR)
            r = -errno;
        at += put > 0 ? (size_t)put : 0;
    }
    free(text);
    json_decref(value);
    return r;
}

/* The directory of a job, open: directly in jobs_dir, ours, no symlink. */
static int jobdir_open(const char *jobs_dir, const char *dir, struct fault *why)
{
    char folder[PATH_MAX];
    struct stat st;

    if (!realpath(jobs_dir, folder))
        return fault_set(why, -errno, "%s: %s", jobs_dir, strerror(errno));
    size_t length = strlen(folder);
    const char *name = strncmp(dir, folder, length) == 0 && dir[length] == '/' ? dir + length + 1 : "";
    if (!*name || *name == '.' || strchr(name, '/'))
        return fault_set(why, -EPERM, "%s: is no job's directory; those lie in %s", dir, folder);
    int fd = open(dir, O_DIRECTORY | O_NOFOLLOW | O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fault_set(why, -errno, "%s: %s", dir, strerror(errno));
    if (fstat(fd, &st) < 0 || st.st_uid != geteuid()) {
        close(fd);
        return fault_set(why, -EPERM, "%s: belongs to another user", dir);
    }
    return fd;
}

/* Stdin from nowhere, stdout and stderr into the log; the connection goes. */
static int files_set(int log, struct fault *why)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    shutdown(STDIN_FILENO, SHUT_RDWR); /* whoever else holds it */
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0)
        return fault_set(why, -errno, "log.txt cannot become stderr: %s", strerror(errno));
    closefrom(STDERR_FILENO + 1);
    return 0;
}

/* Returns only when it can't. */
static int become_run(char *const words[], int count, char *dir, struct fault *why)
{
    char program[PATH_MAX], *argv[WORDS_MAX + 4] = { program, "run" };
    ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);

    for (int i = 0; i < count; i++)
        argv[2 + i] = words[i];
    argv[2 + count] = dir;
    if (length >= 0) {
        program[length] = '\0';
        execv(program, argv);
    }
    return fault_set(why, -errno, "cannot become a worker: %s", strerror(errno));
}

/* "--sandbox try /DIR": cut into words; *ret_dir is what begins with '/'. How many, or -E2BIG. */
static int words_read(char *rest, char *words[WORDS_MAX], char **ret_dir)
{
    int count = 0;

    while (*rest && *rest != '/') {
        if (count == WORDS_MAX)
            return -E2BIG;
        words[count++] = rest;
        rest += strcspn(rest, " ");
        if (*rest)
            *rest++ = '\0';
    }
    *ret_dir = rest;
    return count;
}

/* The words are `run`'s own affair: wrong ones end it with its usage. */
static int run_request(char *rest, const char *jobs_dir, json_t *(*devices)(void), struct fault *why)
{
    char line[LINE_MAX_BYTES], *words[WORDS_MAX], *dir = rest;
    int count = words_read(rest, words, &dir);

    (void)devices;
    if (count < 0)
        return fault_set(why, count, "run: too many words");
    int fd = jobdir_open(jobs_dir, dir, why);
    if (fd < 0)
        return fd;
    int log = openat(fd, JOBDIR_LOG, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (log < 0 || fchdir(fd) < 0)
        return fault_set(why, -errno, "%s: %s", dir, strerror(errno));
    if (answer(json_pack("{s:i}", "pid", (int)getpid())) < 0 || line_read(line) < 0 || strcmp(line, "go") != 0)
        return 0; /* riftd has changed its mind, or died */
    int r = files_set(log, why);
    return r < 0 ? r : become_run(words, count, dir, why);
}

static int devices_request(char *rest, const char *jobs_dir, json_t *(*devices)(void), struct fault *why)
{
    (void)jobs_dir;
    if (*rest)
        return fault_set(why, -EINVAL, "devices: takes no argument");
    json_t *found = devices();
    if (!found)
        return fault_set(why, -ENOMEM, "devices cannot be told");
    answer(found); /* riftd is gone: its own affair */
    return 0;
}

static const struct {
    const char *name;
    int (*serve)(char *rest, const char *jobs_dir, json_t *(*devices)(void), struct fault *why);
} requests[] = {
    { "run", run_request },
    { "devices", devices_request },
};

static int request_serve(char *line, const char *jobs_dir, json_t *(*devices)(void), struct fault *why)
{
    char *rest = line + strcspn(line, " ");

    if (*rest)
        *rest++ = '\0';
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
        if (strcmp(line, requests[i].name) == 0)
            return requests[i].serve(rest, jobs_dir, devices, why);
    return fault_set(why, -EINVAL, "there is no such request; \"run [OPTION...] DIR\" and \"devices\" are");
}

int serve(const char *jobs_dir, json_t *(*devices)(void))
{
    char line[LINE_MAX_BYTES];
    struct fault why = { 0 };

    if (peer_check(&why) < 0) {
        fprintf(stderr, "rift-worker: %s\n", why.message);
        return WRONG_USAGE;
    }
    int r = line_read(line);
    if (r == -ECONNRESET)
        return WORKER_FINISHED; /* somebody only looked whether we are here */
    r = r < 0 ? fault_set(&why, r, "the request cannot be read: %s", strerror(-r))
              : request_serve(line, jobs_dir, devices, &why);
    if (r >= 0)
        return WORKER_FINISHED;
    fprintf(stderr, "rift-worker: %s\n", why.message);
    answer(json_pack("{s:s}", "error", why.message));
    return WORKER_BAD_INPUT;
}
