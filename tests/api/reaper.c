/* Does the reaper hit whom it should, and nobody else? Socket pairs stand for connections. */
#include "api/reaper.h"
#include "job/job.h"
#include "tests/check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <unistd.h>

enum { PATIENCE_MS = 20000 };

struct pair {
    int ours, theirs;
};

static struct pair pair_make(void)
{
    int fds[2];

    CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    return (struct pair){ fds[0], fds[1] };
}

static void pair_close(struct pair pair)
{
    close(pair.ours);
    close(pair.theirs);
}

/* Has the other end seen the end within the time? */
static bool ended(struct pair pair, int within_ms)
{
    struct pollfd poll_fd = { .fd = pair.theirs, .events = POLLIN };
    char byte;

    return poll(&poll_fd, 1, within_ms) == 1 && read(pair.theirs, &byte, 1) == 0;
}

static struct sockaddr *address(const char *text)
{
    static union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } made;

    memset(&made, 0, sizeof(made));
    made.any.sa_family = strchr(text, ':') ? AF_INET6 : AF_INET;
    void *to = strchr(text, ':') ? (void *)&made.v6.sin6_addr : (void *)&made.v4.sin_addr;
    CHECK_INT(inet_pton(made.any.sa_family, text, to), 1);
    return &made.any;
}

static void too_many(void)
{
    static const struct {
        const char *from;
        bool counted;
    } froms[] = {
        { "10.0.0.1", true },    { "10.0.0.2", true },        { "127.0.0.1", false },        { "::1", false },
        { "2001:db8::1", true }, { "::ffff:10.0.0.9", true }, { "::ffff:127.0.0.1", false },
    };
    struct reaper reaper;

    CHECK_INT(reaper_start(&reaper, 60000, 60000, 1024, 2), 0);
    for (size_t i = 0; i < sizeof(froms) / sizeof(froms[0]); i++) {
        struct pair pairs[3];
        struct visitor *visitors[3];
        for (int k = 0; k < 3; k++) {
            pairs[k] = pair_make();
            visitors[k] = visitor_enter(&reaper, pairs[k].ours, address(froms[i].from));
        }
        CHECK(!ended(pairs[0], 0) && !ended(pairs[1], 0));
        if (ended(pairs[2], 0) != froms[i].counted)
            CHECK_FAIL("the third from %s was %s", froms[i].from, froms[i].counted ? "kept" : "thrown out");
        for (int k = 0; k < 3; k++) {
            visitor_leave(visitors[k]);
            pair_close(pairs[k]);
        }
    }
    /* One host has a whole /64. */
    struct pair one = pair_make(), two = pair_make(), three = pair_make();
    struct visitor *first = visitor_enter(&reaper, one.ours, address("2001:db8::1"));
    struct visitor *second = visitor_enter(&reaper, two.ours, address("2001:db8::2"));
    struct visitor *third = visitor_enter(&reaper, three.ours, address("2001:db8::3"));
    CHECK(ended(three, 0));
    /* Another rule is for who comes from then on. */
    struct pair more = pair_make();
    visitor_leave(third);
    reaper_rules(&reaper, 3);
    struct visitor *fourth = visitor_enter(&reaper, more.ours, address("2001:db8::4"));
    CHECK(!ended(more, 0));
    visitor_leave(second);
    visitor_leave(fourth);
    visitor_leave(first);
    pair_close(one);
    pair_close(two);
    pair_close(three);
    pair_close(more);
    reaper_stop(&reaper);
}

/* False where this machine let us not go on before somebody's time was over: that shows nothing. */
static bool clocks_try(void)
{
    struct pair header = pair_make(), body = pair_make(), ours = pair_make(), gone = pair_make(), again = pair_make();
    struct reaper reaper;

    CHECK_INT(reaper_start(&reaper, 100, 100, 1024, 10), 0);
    int64_t began_ms = monotonic_ms();
    struct visitor *leaver = visitor_enter(&reaper, gone.ours, NULL);
    struct visitor *waiter = visitor_enter(&reaper, ours.ours, NULL);
    struct visitor *fast = visitor_enter(&reaper, again.ours, NULL);
    visitor_leave(leaver); /* before its time: its number may be anybody's now */
    visitor_sends(waiter);
    visitor_waits(waiter);
    visitor_sends(fast);
    visitor_sent(fast, 1 << 20); /* pays for 1024 s */
    bool in_time = monotonic_ms() - began_ms < 50;
    struct visitor *idler = visitor_enter(&reaper, header.ours, NULL);
    struct visitor *sender = visitor_enter(&reaper, body.ours, NULL);
    visitor_sends(sender);
    CHECK(ended(header, PATIENCE_MS));
    CHECK(ended(body, PATIENCE_MS));
    CHECK(!in_time || (!ended(ours, 0) && !ended(gone, 0) && !ended(again, 0)));
    visitor_served(waiter); /* now it owes the next header */
    CHECK(ended(ours, PATIENCE_MS));
    visitor_leave(waiter);
    visitor_leave(idler);
    visitor_leave(sender);
    visitor_leave(fast);
    reaper_stop(&reaper);
    pair_close(header);
    pair_close(body);
    pair_close(ours);
    pair_close(gone);
    pair_close(again);
    return in_time;
}

static void clocks(void)
{
    while (!clocks_try())
        ;
}

/* All of our threads are busy: what came in time lies in the kernel. */
static void unread(void)
{
    struct pair sent = pair_make(), silent = pair_make();
    struct reaper reaper;
    char bytes[16];

    CHECK_INT(reaper_start(&reaper, 50, 50, 1024, 10), 0);
    CHECK_INT(write(sent.theirs, "GET / ", 6), 6);
    struct visitor *sender = visitor_enter(&reaper, sent.ours, NULL);
    struct visitor *idler = visitor_enter(&reaper, silent.ours, NULL);
    CHECK(ended(silent, PATIENCE_MS));
    CHECK(!ended(sent, 200)); /* four times as long as it has */
    CHECK_INT(read(sent.ours, bytes, sizeof(bytes)), 6);
    CHECK(ended(sent, PATIENCE_MS)); /* the rest of the header is owed again */
    visitor_leave(sender);
    visitor_leave(idler);
    reaper_stop(&reaper);
    pair_close(sent);
    pair_close(silent);
}

static const struct check_case cases[] = {
    { "an address gets so many connections and no more, loopback any number", too_many },
    { "who owes a header or a body for too long is shut down, who waits for us is not", clocks },
    { "who has sent what nobody has read yet is not shut down", unread },
};
CHECK_MAIN(cases)
