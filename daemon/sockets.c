/* Which sockets has systemd opened for us?
 *
 * One unit may hold several sockets under one name, so their kind says what they
 * are for, not their name: a unix socket takes the place of `socket`, another
 * that of `listen`. Only FileDescriptorName=health is a name of meaning: that
 * one takes the place of `health-listen`. */
#include "daemon/daemon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

static int socket_take(struct daemon *daemon, int fd, const char *name, struct fault *why)
{
    bool local = sd_is_socket(fd, AF_UNIX, SOCK_STREAM, 1) > 0;
    int *place = strcmp(name, "health") == 0 ? &daemon->health_fd : local ? &daemon->local_fd : &daemon->tcp_fd;

    if (!local && sd_is_socket_inet(fd, AF_UNSPEC, SOCK_STREAM, 1, 0) <= 0)
        return fault_set(why, -ENOTSOCK, "systemd handed over \"%s\", which is no listening stream socket", name);
    if (*place)
        return fault_set(why, -EEXIST,
                         "systemd handed over two sockets of a kind (\"%s\" is the second); riftd takes one unix "
                         "socket, one other, and one named health",
                         name);
    *place = fd;
    return 0;
}

int sockets_take(struct daemon *daemon, struct fault *why)
{
    char **names = NULL;
    int count = sd_listen_fds_with_names(1, &names);
    int r = count < 0 ? fault_set(why, count, "sockets from systemd: %s", strerror(-count)) : 0;

    for (int i = 0; i < count; i++) {
        if (r >= 0)
            r = socket_take(daemon, SD_LISTEN_FDS_START + i, names[i], why);
        free(names[i]);
    }
    free(names);
    return r;
}
