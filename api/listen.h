/* Listening sockets, made before the HTTP library sees them. */
#ifndef RIFT_API_LISTEN_H
#define RIFT_API_LISTEN_H

#include <stdint.h>

/* Bind an address literal; port 0 lets the kernel choose. */
int listen_tcp(const char *address, uint16_t port, int *ret_fd, uint16_t *ret_port, char message[256]);
/* Replaces a socket file that an earlier riftd left behind. */
int listen_unix(const char *path, int *ret_fd, char message[256]);

#endif
