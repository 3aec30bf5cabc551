/* Who is shown the door?
 *
 * The HTTP library only knows idle time: a client that sends a byte every
 * second keeps its place for ever, and some hundred such clients keep everybody
 * else out. Here a clock runs for what the client owes us, and never while it
 * waits for us:
 *
 *   accepted, answered --- header_ms ---> header complete
 *   header complete --- body_ms, and from then on the floor ---> body complete
 *   our turn (handler, answer, event stream): no clock
 *
 * What has come and lies unread in the kernel is not owed: when all threads are busy, who has
 * sent in time waits for us, though nothing here has heard of it yet.
 *
 * Whose time is over has its socket shut down; the library notices and closes
 * it. Sockets are only touched while their visitor is in the list, and the library
 * tells us before it closes one: so a number that was reused is never hit.
 *
 * Besides, one address may only hold so many connections, loopback excepted:
 * there a proxy speaks for everybody. The thread sleeps while nobody owes us
 * anything. */
#include "api/reaper.h"
#include "job/job.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

enum { LOOK_AGAIN_MS = 1000 };

struct visitor {
    struct reaper *reaper;
    struct visitor *next, **place;
    int fd;
    unsigned char address[16]; /* IPv4 as mapped; all 0: none that counts */
    int64_t since_ms;          /* monotonic */
    int64_t bytes;             /* of the body, so far */
    enum { OWES_HEADER, OWES_BODY, OWES_NOTHING } owes;
};

/* When its time is over, unless something comes. */
static int64_t deadline(const struct reaper *reaper, const struct visitor *visitor)
{
    if (visitor->owes == OWES_HEADER)
        return visitor->since_ms + reaper->header_ms;
    if (visitor->owes == OWES_BODY)
        return visitor->since_ms + reaper->body_ms + visitor->bytes * 1000 / reaper->body_floor;
    return INT64_MAX;
}

/* Is it we who haven't read? */
static bool has_sent(const struct visitor *visitor)
{
    int unread = 0;

    return ioctl(visitor->fd, FIONREAD, &unread) == 0 && unread > 0;
}

static void show_the_door(struct visitor *visitor)
{
    visitor->owes = OWES_NOTHING;
    shutdown(visitor->fd, SHUT_RDWR);
}

/* Under the lock: end what is over; when to look again. */
static int64_t round_make(struct reaper *reaper)
{
    int64_t now = monotonic_ms(), next = INT64_MAX;

    for (struct visitor *visitor = reaper->list; visitor; visitor = visitor->next) {
        int64_t due = deadline(reaper, visitor);
        if (due <= now && has_sent(visitor))
            due = now + LOOK_AGAIN_MS;
        if (due <= now)
            show_the_door(visitor);
        else if (due < next)
            next = due;
    }
    /* Who comes meanwhile may be due earlier, but not earlier than this. */
    int shortest = reaper->header_ms < reaper->body_ms ? reaper->header_ms : reaper->body_ms;
    return next < INT64_MAX && next > now + shortest ? now + shortest : next;
}

static void *reaper_run(void *user)
{
    struct reaper *reaper = user;

    pthread_mutex_lock(&reaper->lock);
    while (!reaper->stopping) {
        int64_t next = round_make(reaper);
        struct timespec until = { next / 1000, next % 1000 * 1000000 };
        reaper->asleep = next == INT64_MAX;
        if (reaper->asleep)
            pthread_cond_wait(&reaper->changed, &reaper->lock);
        else
            pthread_cond_timedwait(&reaper->changed, &reaper->lock, &until);
    }
    pthread_mutex_unlock(&reaper->lock);
    return NULL;
}

int reaper_start(struct reaper *reaper, int header_ms, int body_ms, int body_floor, int per_address)
{
    pthread_condattr_t clock;

    *reaper = (struct reaper){
        .header_ms = header_ms, .body_ms = body_ms, .body_floor = body_floor, .per_address = per_address
    };
    pthread_mutex_init(&reaper->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&reaper->changed, &clock);
    pthread_condattr_destroy(&clock);
    int r = -pthread_create(&reaper->thread, NULL, reaper_run, reaper);
    reaper->runs = !r;
    return r;
}

void reaper_stop(struct reaper *reaper)
{
    if (!reaper->runs)
        return;
    pthread_mutex_lock(&reaper->lock);
    reaper->stopping = true;
    pthread_cond_signal(&reaper->changed);
    pthread_mutex_unlock(&reaper->lock);
    pthread_join(reaper->thread, NULL);
    pthread_cond_destroy(&reaper->changed);
    pthread_mutex_destroy(&reaper->lock);
    reaper->runs = false;
}

void reaper_rules(struct reaper *reaper, int per_address)
{
    pthread_mutex_lock(&reaper->lock);
    reaper->per_address = per_address;
    pthread_mutex_unlock(&reaper->lock);
}

/* ---- visitors ---- */

/* The clock starts: for a header, or for a body. Under the lock. */
static void owe(struct visitor *visitor, int what)
{
    visitor->owes = what;
    visitor->since_ms = monotonic_ms();
    visitor->bytes = 0;
    if (visitor->reaper->asleep) {
        visitor->reaper->asleep = false;
        pthread_cond_signal(&visitor->reaper->changed);
    }
}

/* IPv4 and IPv6 in one form; false for what isn't counted. */
static bool address_read(const struct sockaddr *address, unsigned char ret[16])
{
    const struct sockaddr_in *v4 = (const void *)address;
    const struct sockaddr_in6 *v6 = (const void *)address;

    memset(ret, 0, 16);
    if (!address)
        return false;
    if (address->sa_family == AF_INET && ntohl(v4->sin_addr.s_addr) >> 24 != 127) {
        ret[10] = ret[11] = 0xff;
        memcpy(ret + 12, &v4->sin_addr, 4);
        return true;
    }
    if (address->sa_family != AF_INET6 || IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr))
        return false;
    if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
        memcpy(ret, &v6->sin6_addr, 16);
    else
        memcpy(ret, &v6->sin6_addr, 8); /* one host has a whole /64 to choose from */
    return !IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) || ret[12] != 127;
}

struct visitor *visitor_enter(struct reaper *reaper, int fd, const struct sockaddr *address)
{
    struct visitor *visitor = calloc(1, sizeof(*visitor));
    int same = 1;

    if (!visitor)
        return NULL;
    visitor->reaper = reaper;
    visitor->fd = fd;
    bool counted = address_read(address, visitor->address);
    pthread_mutex_lock(&reaper->lock);
    for (struct visitor *other = reaper->list; other && counted; other = other->next)
        same += !memcmp(other->address, visitor->address, sizeof(visitor->address));
    visitor->next = reaper->list;
    visitor->place = &reaper->list;
    if (visitor->next)
        visitor->next->place = &visitor->next;
    reaper->list = visitor;
    if (counted && same > reaper->per_address)
        show_the_door(visitor);
    else
        owe(visitor, OWES_HEADER);
    pthread_mutex_unlock(&reaper->lock);
    return visitor;
}

void visitor_leave(struct visitor *visitor)
{
    if (!visitor)
        return;
    pthread_mutex_lock(&visitor->reaper->lock);
    *visitor->place = visitor->next;
    if (visitor->next)
        visitor->next->place = visitor->place;
    pthread_mutex_unlock(&visitor->reaper->lock);
    free(visitor);
}

static void turn(struct visitor *visitor, int what)
{
    if (!visitor)
        return;
    pthread_mutex_lock(&visitor->reaper->lock);
    if (what == OWES_NOTHING)
        visitor->owes = OWES_NOTHING;
    else
        owe(visitor, what);
    pthread_mutex_unlock(&visitor->reaper->lock);
}

void visitor_sends(struct visitor *visitor)
{
    turn(visitor, OWES_BODY);
}

void visitor_sent(struct visitor *visitor, size_t bytes)
{
    if (!visitor)
        return;
    pthread_mutex_lock(&visitor->reaper->lock);
    visitor->bytes += (int64_t)bytes;
    pthread_mutex_unlock(&visitor->reaper->lock);
}

void visitor_waits(struct visitor *visitor)
{
    turn(visitor, OWES_NOTHING);
}

void visitor_served(struct visitor *visitor)
{
    turn(visitor, OWES_HEADER);
}
