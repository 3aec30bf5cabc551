/* How does riftd get a worker without starting one?
 *
 * It connects to the socket that the setting `launcher` names, on which systemd
 * listens (rift-worker.socket), and systemd starts a worker for the connection
 * (rift-worker@.service). The words are drawn in gpu/worker/serve.c.
 *
 * Why at all: riftd talks to the network and wants no devices, no home
 * directories, no new programs, no writable code. A worker wants all of these.
 * In one unit both get what either needs, and stopping the unit means both; in
 * two units each has its own sandbox and limits, and a worker lives on whatever
 * becomes of riftd and its control group.
 *
 * Why a socket, and not systemd's D-Bus (StartTransientUnit): that needs a bus,
 * a polkit rule that lets riftd start units, and whoever takes riftd over may
 * then start any unit that the rule's pattern lets through, with properties of
 * his choice. Behind the socket one thing can be had: this unit, as it stands in
 * /lib/systemd, on a job directory. And anything that accepts on a socket and
 * starts a program does in systemd's place; the tests use
 * systemd-socket-activate.
 *
 * Who answers is told by the kernel (SCM_CREDENTIALS), not by the answer, and
 * must run as our user. It waits for our `go`, so that no worker is at work that
 * we haven't written down.
 *
 * This waits, and the loop with it: as long as it takes to start a process, and
 * for a launcher that is stuck as long as START_PATIENCE_S. The slot then rests
 * (scheduler.c), and a worker that comes too late finds us gone. */
#include "daemon/daemon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { START_PATIENCE_S = 4, DEVICES_PATIENCE_S = 60, ANSWER_BYTES = 1 << 20, LINE_BYTES = PATH_MAX + 200 };

static int launcher_connect(const char *path, int patience_s, int *ret, struct fault *why)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct timeval patience = { .tv_sec = patience_s };
    int one = 1;

    if (strlen(path) >= sizeof(address.sun_path))
        return fault_set(why, -ENAMETOOLONG, "launcher %s: the path is too long", path);
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        int r = fault_set(why, -errno, "launcher %s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return r;
    }
    *ret = fd;
    return 0;
}

static int line_send(int fd, const char *verb, const char *rest)
{
    char line[LINE_BYTES + 16];
    int length = snprintf(line, sizeof(line), "%s%s%s\n", verb, rest ? " " : "", rest ? rest : "");

    if (length >= (int)sizeof(line))
        return -ENAMETOOLONG;
    ssize_t put = send(fd, line, (size_t)length, MSG_NOSIGNAL);
    if (put < 0)
        return -errno;
    return put == length ? 0 : -EPIPE;
}

/* The sender of what was received, by the kernel's word. */
static int sender(struct msghdr *message, pid_t *ret)
{
    struct ucred who;

    for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at; at = CMSG_NXTHDR(message, at))
        if (at->cmsg_level == SOL_SOCKET && at->cmsg_type == SCM_CREDENTIALS) {
            memcpy(&who, CMSG_DATA(at), sizeof(who));
            if (who.uid != geteuid() || who.pid <= 0)
                return -EPERM;
            *ret = who.pid;
            return 0;
        }
    return -EPERM;
}

/* A piece of the answer; 0 at its end. */
static ssize_t piece_receive(int fd, char *ret, size_t size, pid_t *ret_pid)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(struct ucred))];
    } control;
    struct iovec into = { ret, size };
    struct msghdr message = {
        .msg_iov = &into, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
    };
    ssize_t got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);

    if (got <= 0)
        return got < 0 ? -errno : 0;
    int r = sender(&message, ret_pid);
    return r < 0 ? r : got;
}

/* One line, and who sent it. */
static int line_receive(int fd, char ret[ANSWER_BYTES], pid_t *ret_pid)
{
    size_t length = 0;

    while (length < ANSWER_BYTES - 1) {
        ssize_t got = piece_receive(fd, ret + length, ANSWER_BYTES - 1 - length, ret_pid);
        if (got == -EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? (int)got : -ECONNRESET;
        length += (size_t)got;
        ret[length] = '\0';
        if (ret[length - 1] == '\n')
            return 0;
    }
    return -EMSGSIZE;
}

/* Send a request, wait for its answer. New text in *ret_text, the open connection in *ret_fd. */
static int ask(struct daemon *daemon, const char *verb, const char *rest, int patience_s, char **ret_text, int *ret_fd,
               pid_t *ret_pid, struct fault *why)
{
    const char *path = daemon->settings->launcher;
    char *text = malloc(ANSWER_BYTES);
    int fd = -1, r = text ? launcher_connect(path, patience_s, &fd, why) : fault_set(why, -ENOMEM, "out of memory");

    if (r >= 0) {
        r = line_send(fd, verb, rest);
        if (r >= 0)
            r = line_receive(fd, text, ret_pid);
        if (r == -EPERM)
            fault_set(why, r, "launcher %s: the answer is not from a process of ours", path);
        else if (r < 0)
            fault_set(why, r, "launcher %s: no answer: %s", path, r == -EAGAIN ? "it took too long" : strerror(-r));
    }
    if (r < 0) {
        free(text);
        if (fd >= 0)
            close(fd);
        return r;
    }
    *ret_text = text;
    *ret_fd = fd;
    return 0;
}

/* {"pid": N}, said by N itself, or {"error": "..."} */
static int answer_check(const char *text, pid_t pid, const char *launcher, struct fault *why)
{
    json_auto_t *answer = text_read(text);
    const char *error = json_string_value(json_object_get(answer, "error"));

    if (error)
        return fault_set(why, -EREMOTEIO, "launcher %s: %s", launcher, error);
    if (json_integer_value(json_object_get(answer, "pid")) != pid)
        return fault_set(why, -EREMOTEIO, "launcher %s: process %d gave another's number", launcher, (int)pid);
    return 0;
}

/* The words, and the directory after them. */
static void request_make(const struct daemon *daemon, const char *dir, char *ret, size_t size)
{
    struct worker_words words;
    size_t used = 0;

    worker_words(daemon, &words);
    for (int i = 0; i < words.count; i++)
        used += (size_t)snprintf(ret + used, size - used, "%s ", words.list[i]);
    snprintf(ret + used, size - used, "%s", dir);
}

static int socket_start(struct daemon *daemon, char *dir, struct started *ret, struct fault *why)
{
    char *text = NULL, request[LINE_BYTES];
    pid_t pid = 0;

    request_make(daemon, dir, request, sizeof(request));
    int fd = -1, r = ask(daemon, "run", request, START_PATIENCE_S, &text, &fd, &pid, why);

    if (r < 0)
        return r;
    r = answer_check(text, pid, daemon->settings->launcher, why);
    free(text);
    /* It waits for our word, so the number is still its own, unless it was
     * killed this moment and the number given away: then the program differs. */
    int pidfd = r < 0 ? -1 : pidfd_open(pid, 0);
    if (r >= 0 && (pidfd < 0 || !process_runs(pid, daemon->worker_path)))
        r = fault_set(why, -EREMOTEIO, "launcher %s: process %d is not %s", daemon->settings->launcher, (int)pid,
                      daemon->worker_path);
    if (r < 0) {
        if (pidfd >= 0)
            close(pidfd);
        close(fd);
        return r;
    }
    *ret = (struct started){ .pid = pid, .pidfd = pidfd, .connection = fd };
    return 0;
}

static int socket_go(struct started *started)
{
    return line_send(started->connection, "go", NULL);
}

static int socket_devices(struct daemon *daemon, char **ret, struct fault *why)
{
    pid_t pid = 0;
    int fd = -1, r = ask(daemon, "devices", NULL, DEVICES_PATIENCE_S, ret, &fd, &pid, why);

    if (r >= 0)
        close(fd);
    return r;
}

const struct executor_ops executor_socket = { .start = socket_start, .go = socket_go, .devices = socket_devices };
