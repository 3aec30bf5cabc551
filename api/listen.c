/* Where does riftd listen?
 *
 * We bind ourselves rather than let the HTTP library do it: one way for
 * addresses, port 0, and unix sockets, and an error with words. Or systemd has
 * bound for us. */
#include "api/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024

/* A peer that is gone without a word (its machine, its network) is found after 30 s: when all
 * is still by unanswered probes, when we send by what it doesn't acknowledge. The kernel's own
 * patience would be hours and a quarter of one, and as long it would hold its connection. */
#define SILENCE_IDLE_S   15
#define SILENCE_PROBE_S  5
#define SILENCE_PROBES   3
#define SILENCE_LIMIT_MS 30000

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
};

/* Whom a TCP socket accepts inherits these from it. */
static void silence_bound(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {
        { SOL_SOCKET, SO_KEEPALIVE, 1 },
        { IPPROTO_TCP, TCP_KEEPIDLE, SILENCE_IDLE_S },
        { IPPROTO_TCP, TCP_KEEPINTVL, SILENCE_PROBE_S },
        { IPPROTO_TCP, TCP_KEEPCNT, SILENCE_PROBES },
        { IPPROTO_TCP, TCP_USER_TIMEOUT, SILENCE_LIMIT_MS },
    };

    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(options[i].value));
}

static int socket_listen(const union address *address, socklen_t size, int *ret_fd)
{
    int on = 1;
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    if (address->any.sa_family != AF_UNIX) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        silence_bound(fd);
    }
    if (bind(fd, &address->any, size) < 0 || listen(fd, BACKLOG) < 0) {
        int r = -errno;
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

int listen_tcp(const char *address, uint16_t port, int *ret_fd, uint16_t *ret_port, char message[256])
{
    union address bound = { 0 };
    socklen_t size;
    int fd;

    if (inet_pton(AF_INET, address, &bound.v4.sin_addr) == 1) {
        bound.v4.sin_family = AF_INET;
        bound.v4.sin_port = htons(port);
        size = sizeof(bound.v4);
    } else if (inet_pton(AF_INET6, address, &bound.v6.sin6_addr) == 1) {
        bound.v6.sin6_family = AF_INET6;
        bound.v6.sin6_port = htons(port);
        size = sizeof(bound.v6);
    } else {
        snprintf(message, 256, "%s: not an address such as 127.0.0.1 or ::1", address);
        return -EINVAL;
    }
    int r = socket_listen(&bound, size, &fd);
    if (r < 0) {
        snprintf(message, 256, "%s port %u: %s", address, port, strerror(-r));
        return r;
    }
    if (getsockname(fd, &bound.any, &size) < 0) {
        r = -errno;
        close(fd);
        snprintf(message, 256, "%s: %s", address, strerror(-r));
        return r;
    }
    *ret_port = ntohs(bound.any.sa_family == AF_INET ? bound.v4.sin_port : bound.v6.sin6_port);
    *ret_fd = fd;
    return 0;
}

int listen_unix(const char *path, int *ret_fd, char message[256])
{
    union address bound = { .local = { .sun_family = AF_UNIX } };
    struct stat st;

    if (strlen(path) >= sizeof(bound.local.sun_path)) {
        snprintf(message, 256, "%.180s: longer than a socket's path may be", path);
        return -ENAMETOOLONG;
    }
    strcpy(bound.local.sun_path, path);
    if (!lstat(path, &st) && S_ISSOCK(st.st_mode))
        unlink(path);
    mode_t old = umask(0117); /* owner and group may connect */
    int r = socket_listen(&bound, sizeof(bound.local), ret_fd);
    umask(old);
    if (r < 0)
        snprintf(message, 256, "%.180s: %s", path, strerror(-r));
    return r;
}

int listen_adopt(int fd, char ret_address[64], uint16_t *ret_port, char message[256])
{
    union address bound = { 0 };
    socklen_t size = sizeof(bound), word = sizeof(int);
    int type = 0, listening = 0;

    if (getsockname(fd, &bound.any, &size) < 0 || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &word) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &word) < 0 || type != SOCK_STREAM || !listening) {
        snprintf(message, 256, "what was handed over as descriptor %d is no listening stream socket", fd);
        return -ENOTSOCK;
    }
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
        int r = -errno;
        snprintf(message, 256, "descriptor %d: %s", fd, strerror(-r));
        return r;
    }
    if (bound.any.sa_family != AF_UNIX)
        silence_bound(fd);
    *ret_address = '\0';
    *ret_port = 0;
    if (bound.any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &bound.v4.sin_addr, ret_address, 64);
        *ret_port = ntohs(bound.v4.sin_port);
    } else if (bound.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &bound.v6.sin6_addr, ret_address, 64);
        *ret_port = ntohs(bound.v6.sin6_port);
    }
    return 0;
}

void listen_detach(int fd)
{
    int other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (other < 0)
        return;
    dup3(other, fd, O_CLOEXEC);
    close(other);
}

int listen_knock(int fd)
{
    union address bound = { 0 };
    socklen_t size = sizeof(bound);

    if (getsockname(fd, &bound.any, &size) < 0)
        return -errno;
    int knock = socket(bound.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (knock < 0)
        return -errno;
    if (connect(knock, &bound.any, size) < 0 && errno != EINPROGRESS) {
        int r = -errno;
        close(knock);
        return r;
    }
    return knock;
}
