/* Listening sockets, made before the HTTP library sees them, and what serves them. */
#ifndef RIFT_API_LISTEN_H
#define RIFT_API_LISTEN_H

#include "api/collected.h"
#include "api/gate.h"
#include "api/reaper.h"

#include <stdatomic.h>
#include <stdint.h>

/* Bind an address literal; port 0 lets the kernel choose. */
int listen_tcp(const char *address, uint16_t port, int *ret_fd, uint16_t *ret_port, char message[256]);
/* Replaces a socket file that an earlier riftd left behind. */
int listen_unix(const char *path, int *ret_fd, char message[256]);
/* A listening stream socket from outside: make it ours. A unix socket has the address "". */
int listen_adopt(int fd, char ret_address[64], uint16_t *ret_port, char message[256]);
/* Whoever ends the descriptor from here on ends another socket; what it was stays open where others have it. */
void listen_detach(int fd);
/* Connect to a listening socket of ours, without waiting: a descriptor, or negative errno. */
int listen_knock(int fd);

struct listener {
    struct api *api;
    struct MHD_Daemon *daemon; /* http.c's */
    int fd;
    char address[64]; /* empty: a unix socket */
    uint16_t port;
    bool trusted; /* the unix socket: no browser gets there, so any Host will do */
    bool given;   /* somebody else has the socket, too, and goes on with it */
    bool health;  /* answers only what health_paths has */
    unsigned connection_limit;
    atomic_uint turns; /* connections and requests that its threads saw */
    unsigned turns_told;
    int knock_fd;         /* our own connection to it, or negative */
    pthread_mutex_t said; /* guards message: its threads may speak while it starts */
    char *message;        /* while starting: 256 bytes for the library's reason not to */
};

struct api {
    struct api_config config;
    struct listener tcp, local, health;
    struct feeds feeds;
    struct traffic traffic;
    struct gate gate;
    struct clerks clerks;
    struct reaper reaper;
};

/* ---- http.c: the library serves a listening socket ---- */

/* Read the certificate, where there is to be TLS. */
int tls_start(const struct api_config *config, char message[256]);
int listener_start(struct api *api, struct listener *listener, char message[256]);
/* It takes no more connections at the moment, and knows it. */
bool listener_full(const struct listener *listener);
/* No new requests; waits for handlers to finish. No connection may be suspended. */
void listener_stop(struct listener *listener);

#endif
