/* Who is at the other end of the connection?
 *
 * A unix socket's peer is a user, whom the kernel vouches for. TCP has an
 * address, which behind a proxy is the proxy's: then the last entry of
 * X-Forwarded-For that isn't a proxy of ours is the client, but only where the
 * settings name the proxy, since anybody can send that header.
 *
 * Surprising: any of these headers from elsewhere still counts for something. It
 * shows that a proxy is between, so whoever is behind it gets none of the trust
 * that a local peer would have. */
#include "api/caller.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

union any_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_storage room;
};

/* ---- users ---- */

#define USERS_KEPT 64

/* Names don't change while we run, and a directory service may be slow. */
static struct {
    pthread_mutex_t lock;
    struct user {
        bool known;
        uid_t uid;
        char name[DB_OWNER_SIZE];
    } list[USERS_KEPT];
} users = { .lock = PTHREAD_MUTEX_INITIALIZER };

void user_name(uid_t uid, char ret[DB_OWNER_SIZE])
{
    struct user *user = &users.list[uid % USERS_KEPT];
    struct passwd entry, *found = NULL;
    char room[4096];

    pthread_mutex_lock(&users.lock);
    if (user->known && user->uid == uid) {
        strcpy(ret, user->name);
        pthread_mutex_unlock(&users.lock);
        return;
    }
    pthread_mutex_unlock(&users.lock);
    int e = getpwuid_r(uid, &entry, room, sizeof(room), &found);
    if (e || !found)
        snprintf(ret, DB_OWNER_SIZE, "%u", (unsigned)uid);
    else
        snprintf(ret, DB_OWNER_SIZE, "%s", found->pw_name);
    if (e && e != ENOENT && e != ESRCH) /* the directory is away: who it is will be known later */
        return;
    pthread_mutex_lock(&users.lock);
    *user = (struct user){ .known = true, .uid = uid };
    strcpy(user->name, ret);
    pthread_mutex_unlock(&users.lock);
}

/* ---- addresses ---- */

bool address_is_loopback(const char *address)
{
    struct in_addr v4;
    struct in6_addr v6;

    if (inet_pton(AF_INET, address, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, address, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/* One spelling for an address; false when it is none. ::ffff:1.2.3.4 is 1.2.3.4. */
static bool address_write(const char *text, size_t length, char ret[64])
{
    char plain[64];
    struct in_addr v4;
    struct in6_addr v6;

    if (!length || length >= sizeof(plain))
        return false;
    memcpy(plain, text, length);
    plain[length] = 0;
    if (inet_pton(AF_INET, plain, &v4) == 1)
        return inet_ntop(AF_INET, &v4, ret, 64);
    if (inet_pton(AF_INET6, plain, &v6) != 1)
        return false;
    if (IN6_IS_ADDR_V4MAPPED(&v6))
        return inet_ntop(AF_INET, &v6.s6_addr[12], ret, 64);
    return inet_ntop(AF_INET6, &v6, ret, 64);
}

int peer_find(struct request *request, int fd)
{
    struct peer *peer = &request->peer;
    union any_address address = { 0 };
    socklen_t size = sizeof(address);
    char text[INET6_ADDRSTRLEN] = "";

    if (getpeername(fd, &address.any, &size) < 0)
        return -errno;
    if (address.any.sa_family == AF_UNIX) {
        struct ucred who;
        size = sizeof(who);
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0)
            return -errno;
        peer->local = true;
        peer->uid = who.uid;
        snprintf(peer->address, sizeof(peer->address), "unix:%u", (unsigned)who.uid);
        return 0;
    }
    if (address.any.sa_family == AF_INET)
        inet_ntop(AF_INET, &address.v4.sin_addr, text, sizeof(text));
    else
        inet_ntop(AF_INET6, &address.v6.sin6_addr, text, sizeof(text));
    return address_write(text, strlen(text), peer->address) ? 0 : -EAFNOSUPPORT;
}

/* ---- proxies ---- */

/* The setting names addresses, and users of the unix socket as unix:NAME or unix:UID. `user`: this
 * is the peer itself, who may be known by its user's name; an address that somebody forwarded isn't. */
static bool is_proxy(const struct request *request, const char *address, bool user)
{
    const struct api_rules *rules = rules_of(request->config);
    char named[DB_OWNER_SIZE + 8] = "", name[DB_OWNER_SIZE], plain[64];

    if (user && request->peer.local) {
        user_name(request->peer.uid, name);
        snprintf(named, sizeof(named), "unix:%s", name);
    }
    for (int i = 0; i < rules->proxy_count; i++) {
        const char *proxy = rules->proxies[i];
        if (!strcmp(proxy, address) || (*named && !strcmp(proxy, named)))
            return true;
        if (address_write(proxy, strlen(proxy), plain) && !strcmp(plain, address))
            return true;
    }
    return false;
}

void peer_forwarded(struct request *request, const char *forwarded_for, const char *forwarded_proto)
{
    struct peer *peer = &request->peer;
    bool believed = is_proxy(request, peer->address, true);
    char client[64];

    peer->proxied = believed || forwarded_for || forwarded_proto || request_header(request, "Forwarded") ||
                    request_header(request, "Via") || request_header(request, "X-Real-IP");
    if (!believed)
        return;
    peer->tls |= forwarded_proto && !strcasecmp(forwarded_proto, "https");
    /* From the right: what our proxies have written themselves stands there. */
    size_t end = forwarded_for ? strlen(forwarded_for) : 0;
    while (end) {
        size_t start = end;
        while (start && forwarded_for[start - 1] != ',')
            start--;
        size_t from = start + strspn(forwarded_for + start, " \t");
        size_t to = end;
        while (to > from && (forwarded_for[to - 1] == ' ' || forwarded_for[to - 1] == '\t'))
            to--;
        if (!address_write(forwarded_for + from, to > from ? to - from : 0, client))
            return;
        strcpy(peer->address, client);
        if (!is_proxy(request, client, false))
            return;
        end = start ? start - 1 : 0;
    }
}
