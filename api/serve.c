/* How does the HTTP side come to life, how is it seen to be alive, how does it end?
 *
 * Three listeners, each with threads of its own: TCP, a unix socket beside it,
 * and one that answers only health. Sockets are ours (listen.c) or were opened
 * for us; what serves them is http.c's. */
#include "api/caller.h"
#include "api/listen.h"
#include "api/tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BODY_LIMIT_BYTES   (1 << 20)
#define UPLOAD_LIMIT_BYTES (8LL << 30)
/* Below the connections of one pool thread (2048 / 4), so that streams can't fill one up. */
#define STREAM_LIMIT     256
#define HEARTBEAT_MS     15000
#define HEADER_MS        15000
#define BODY_MS          15000
#define BODY_BYTES_PER_S 1024
#define ADDRESS_LIMIT    128

void api_news(struct api *api)
{
    feeds_news(&api->feeds);
}

/* A socket that we were given: where is it bound? */
static int listener_adopt(struct listener *listener, int fd, char message[256])
{
    if (fd <= 0)
        return 0;
    listener->fd = fd;
    listener->given = true;
    int r = listen_adopt(fd, listener->address, &listener->port, message);
    if (r >= 0 && listener->trusted != !*listener->address) {
        snprintf(message, 256, "a socket of the wrong kind was handed over");
        r = -EAFNOSUPPORT;
    }
    return r;
}

/* Everybody who asks the configuration where we listen hears the truth. */
static int listeners_adopt(struct api *api, char message[256])
{
    struct api_config *config = &api->config;
    int r = listener_adopt(&api->tcp, config->tcp_fd, message);

    if (r >= 0)
        r = listener_adopt(&api->local, config->local_fd, message);
    if (r >= 0)
        r = listener_adopt(&api->health, config->health_fd, message);
    if (api->tcp.fd < 0)
        snprintf(api->tcp.address, sizeof(api->tcp.address), "%s", config->address);
    config->address = api->tcp.address;
    if (api->health.fd < 0 && config->health_address)
        snprintf(api->health.address, sizeof(api->health.address), "%s", config->health_address);
    return r;
}

static int listener_open(struct api *api, struct listener *listener, const char *path, uint16_t port, char message[256])
{
    int r = 0;

    if (listener->fd < 0 && listener->trusted)
        r = listen_unix(path, &listener->fd, message);
    else if (listener->fd < 0)
        r = listen_tcp(listener->address, port, &listener->fd, &listener->port, message);
    return r < 0 ? r : listener_start(api, listener, message);
}

static int listeners_open(struct api *api, char message[256])
{
    const struct api_config *config = &api->config;
    int r = 0;

    /* First the one that tells how the others are. */
    if (*api->health.address)
        r = listener_open(api, &api->health, NULL, config->health_port, message);
    if (r >= 0)
        r = listener_open(api, &api->tcp, NULL, config->port, message);
    if (r >= 0 && (api->local.fd >= 0 || config->socket_path))
        r = listener_open(api, &api->local, config->socket_path, 0, message);
    return r;
}

static int address_limit(const struct api_rules *rules)
{
    return rules->address_limit ? rules->address_limit : ADDRESS_LIMIT;
}

int api_start(const struct api_config *config, struct api **ret, char message[256])
{
    struct api *api = calloc(1, sizeof(*api));

    if (!api) {
        snprintf(message, 256, "out of memory");
        return -ENOMEM;
    }
    json_starved_watch();
    api->config = *config;
    api->config.body_limit = config->body_limit ? config->body_limit : BODY_LIMIT_BYTES;
    api->config.upload_limit = config->upload_limit ? config->upload_limit : UPLOAD_LIMIT_BYTES;
    api->config.stream_limit = config->stream_limit ? config->stream_limit : STREAM_LIMIT;
    api->config.heartbeat_ms = config->heartbeat_ms ? config->heartbeat_ms : HEARTBEAT_MS;
    api->config.header_ms = config->header_ms ? config->header_ms : HEADER_MS;
    api->config.body_ms = config->body_ms ? config->body_ms : BODY_MS;
    api->tcp.fd = api->local.fd = api->health.fd = -1;
    api->tcp.knock_fd = api->local.knock_fd = api->health.knock_fd = -1;
    api->traffic.started_ms = config->now_ms(config->user);
    api->local.trusted = true;
    api->health.health = true;
    if (api->config.models_dir)
        leftovers_clean(api->config.models_dir, UPLOAD_PREFIX);
    if (api->config.backups_dir)
        leftovers_clean(api->config.backups_dir, BACKUP_PREFIX);

    int r = feeds_start(&api->feeds, api->config.stream_limit, api->config.heartbeat_ms);
    if (r < 0)
        snprintf(message, 256, "no thread for heartbeats: %s", strerror(-r));
    if (r >= 0 && ((r = clerks_start(&api->clerks)) < 0 ||
                   (r = reaper_start(&api->reaper, api->config.header_ms, api->config.body_ms, BODY_BYTES_PER_S,
                                     address_limit(rules_of(&api->config)))) < 0))
        snprintf(message, 256, "too few threads: %s", strerror(-r));
    if (r >= 0)
        r = listeners_adopt(api, message);
    if (r >= 0)
        r = doors_check(&api->config, message);
    if (r >= 0)
        r = gate_open(&api->gate, &api->config, message);
    api->gate.feeds = &api->feeds;
    api->gate.revoke = feeds_revoke;
    api->gate.streams = feeds_count;
    if (r >= 0)
        r = tls_start(&api->config, message);
    if (r >= 0)
        r = listeners_open(api, message);
    if (r < 0) {
        api_stop(api);
        return r;
    }
    *ret = api;
    return 0;
}

const char *api_address(const struct api *api)
{
    return api->tcp.address;
}

int api_is_open(const struct api *api)
{
    int needed = token_needed(&api->config);

    return needed < 0 ? needed : !needed;
}

bool api_is_overheard(const struct api *api)
{
    return !api->config.tls_cert && !address_is_loopback(api->tcp.address);
}

int api_reload(struct api *api, char message[256])
{
    return api->config.tls_cert ? tls_load(api->config.tls_cert, api->config.tls_key, message) : 0;
}

int api_rules_set(struct api *api, const struct api_rules *rules, char message[256])
{
    struct api_config wanted = api->config;
    int was_needed = token_needed(&api->config);

    wanted.rules = rules;
    int r = doors_check(&wanted, message);
    if (r < 0)
        return r;
    api->config.rules = rules;
    gate_rules(&api->gate, rules);
    reaper_rules(&api->reaper, address_limit(rules));
    if (was_needed == 0 && token_needed(&api->config))
        feeds_revoke(&api->feeds, ""); /* streams of those who have shown none; over the unix socket they come again */
    return 0;
}

uint16_t api_port(const struct api *api)
{
    return api->tcp.port;
}

/* Has one of its threads done anything since the last call? Knock, so that one has at the next. */
static bool listener_alive(struct listener *listener)
{
    if (!listener->daemon)
        return true;
    unsigned turns = listener->turns;
    bool alive = turns != listener->turns_told || listener->knock_fd < 0 || listener_full(listener);

    listener->turns_told = turns;
    if (!alive)
        return false; /* the knock still stands */
    if (listener->knock_fd >= 0)
        close(listener->knock_fd);
    listener->knock_fd = listen_knock(listener->fd);
    return listener->knock_fd != -ECONNREFUSED; /* any other failure says nothing about the listener */
}

bool api_alive(struct api *api)
{
    bool tcp = listener_alive(&api->tcp), local = listener_alive(&api->local), health = listener_alive(&api->health);

    /* Whoever copies or checks all there is may hold the only thread of the unix socket. */
    return (tcp && local && health) || is_slow(&api->traffic);
}

static void listener_close(struct listener *listener)
{
    if (listener->given && listener->fd >= 0)
        listen_detach(listener->fd); /* the library shuts the listening socket down, for everybody */
    listener_stop(listener);
    if (listener->knock_fd >= 0)
        close(listener->knock_fd);
    if (listener->fd >= 0)
        close(listener->fd);
}

void api_stop(struct api *api)
{
    if (!api)
        return;
    bool own_path = api->local.fd >= 0 && !api->local.given;
    /* None may be suspended when the library stops: what clerks hold comes back, streams end, new ones are refused. */
    clerks_stop(&api->clerks);
    feeds_stop(&api->feeds);
    listener_close(&api->tcp);
    listener_close(&api->local);
    listener_close(&api->health);
    reaper_stop(&api->reaper);
    if (own_path)
        unlink(api->config.socket_path);
    feeds_done(&api->feeds);
    gate_close(&api->gate);
    tls_done();
    free(api);
}
