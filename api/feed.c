/* What keeps a silent event stream open without burning a processor?
 *
 *            fill has text                     nothing new
 *   reading ----------------> sends    reading -----------> parked (suspended)
 *                                         ^                    |
 *                                         +-- news, heartbeat, stop
 *
 * Suspending and resuming race: the reader must not park when news came after
 * it looked, and nobody may resume a connection that isn't suspended. So
 * looking-then-parking compares a counter of news under the lock, resuming
 * happens only for `parked` feeds under the same lock, and once `stopping` is
 * set nobody parks any more (the HTTP library aborts when it is stopped with
 * a suspended connection).
 *
 * The library doesn't notice a client that leaves while it is suspended: we look
 * twice a heartbeat whether the kernel has given the connection up (of one that is
 * cut off without a word it does so after half a minute: listen.c), and a heartbeat
 * has it ask. */
#include "api/feed.h"
#include "job/job.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STOP_PATIENCE_MS 3000
#define NEWS_GAP_MS      20 /* between two wakings: news in a storm is told together */

struct feed {
    struct feeds *feeds;
    void *connection;
    struct stream *stream;
    char *text; /* not yet sent: text[at..size) */
    size_t size, at;
    int64_t sent_ms;  /* monotonic time of the last piece */
    int64_t until_ms; /* when the last one is due, INT64_MAX never */
    bool parked;      /* suspended by us, not yet resumed */
    bool revoked;     /* who asked may not any more, or is gone; under the lock */
    char token[DB_ID_SIZE], session[DB_ID_SIZE];
    struct feed *next; /* in feeds->list */
};

struct feed *feed_open(struct feeds *feeds, void *connection, const struct caller *caller, struct stream *stream)
{
    struct feed *feed = calloc(1, sizeof(*feed));

    if (!feed)
        return NULL;
    *feed = (struct feed){ .feeds = feeds, .connection = connection, .stream = stream, .sent_ms = monotonic_ms() };
    strcpy(feed->token, caller->token);
    strcpy(feed->session, caller->session);
    feed->until_ms = stream->wait_ms ? feed->sent_ms + stream->wait_ms : INT64_MAX;
    pthread_mutex_lock(&feeds->lock);
    feed->next = feeds->list;
    feeds->list = feed;
    feeds->count++;
    pthread_mutex_unlock(&feeds->lock);
    return feed;
}

void feed_close(struct feed *feed)
{
    struct feeds *feeds = feed->feeds;
    struct feed **at;

    pthread_mutex_lock(&feeds->lock);
    for (at = &feeds->list; *at != feed; at = &(*at)->next)
        ;
    *at = feed->next;
    feeds->count--;
    pthread_cond_broadcast(&feeds->changed);
    pthread_mutex_unlock(&feeds->lock);
    feed->stream->free(feed->stream);
    free(feed->text);
    free(feed);
}

bool feeds_full(struct feeds *feeds)
{
    pthread_mutex_lock(&feeds->lock);
    bool full = feeds->count >= feeds->limit || feeds->stopping;
    pthread_mutex_unlock(&feeds->lock);
    return full;
}

int feeds_count(struct feeds *feeds)
{
    pthread_mutex_lock(&feeds->lock);
    int count = feeds->count;
    pthread_mutex_unlock(&feeds->lock);
    return count;
}

/* Under the lock: let the readers of parked feeds run again. */
static void parked_resume(struct feeds *feeds)
{
    for (struct feed *feed = feeds->list; feed; feed = feed->next)
        if (feed->parked) {
            feed->parked = false;
            connection_resume(feed->connection);
        }
    feeds->told_late = false;
    feeds->resumed_ms = monotonic_ms();
}

void feeds_news(struct feeds *feeds)
{
    pthread_mutex_lock(&feeds->lock);
    feeds->news++;
    if (monotonic_ms() - feeds->resumed_ms >= NEWS_GAP_MS) {
        parked_resume(feeds);
    } else if (!feeds->told_late) { /* the heart will */
        feeds->told_late = true;
        pthread_cond_broadcast(&feeds->changed);
    }
    pthread_mutex_unlock(&feeds->lock);
}

void feeds_revoke(struct feeds *feeds, const char *credential)
{
    pthread_mutex_lock(&feeds->lock);
    for (struct feed *feed = feeds->list; feed; feed = feed->next)
        if (!strcmp(feed->token, credential) || (*credential && !strcmp(feed->session, credential)))
            feed->revoked = true;
    feeds->news++; /* who is about to park looks once more */
    parked_resume(feeds);
    pthread_mutex_unlock(&feeds->lock);
}

/* Nothing to send: suspend, unless news came since `news` was read or all is
 * over. 1: parked, 0: look again. */
static int feed_park(struct feed *feed, uint64_t news)
{
    struct feeds *feeds = feed->feeds;
    int r = 0;

    pthread_mutex_lock(&feeds->lock);
    if (!feeds->stopping && feeds->news == news) {
        feed->parked = true;
        connection_suspend(feed->connection);
        if (feed->until_ms < INT64_MAX) /* the heart may want to beat earlier */
            pthread_cond_broadcast(&feeds->changed);
        r = 1;
    }
    pthread_mutex_unlock(&feeds->lock);
    return r;
}

/* Get the next piece. 1: there is one, 0: look again, 2: parked. */
static int feed_fill(struct feed *feed)
{
    struct feeds *feeds = feed->feeds;

    free(feed->text);
    feed->text = NULL;
    feed->at = feed->size = 0;
    pthread_mutex_lock(&feeds->lock);
    uint64_t news = feeds->news;
    feed->stream->last = feeds->stopping || monotonic_ms() >= feed->until_ms;
    bool revoked = feed->revoked;
    pthread_mutex_unlock(&feeds->lock);
    if (revoked)
        return -ENODATA;
    bool known = feed->stream->drained && feed->stream->news == news && !feed->stream->last;
    feed->stream->news = news;
    int r = known ? 0 : feed->stream->fill(feed->stream, &feed->text, &feed->size);
    if (r || feed->stream->last)
        return r ? r : -ENODATA;
    if (monotonic_ms() - feed->sent_ms >= feeds->heartbeat_ms) {
        feed->text = strdup(feed->stream->heartbeat ? feed->stream->heartbeat : ": still here\n\n");
        feed->size = feed->text ? strlen(feed->text) : 0;
        return feed->text ? 1 : -ENOMEM;
    }
    r = feed_park(feed, news);
    return r == 1 ? 2 : r;
}

ssize_t feed_read(struct feed *feed, char *buffer, size_t max)
{
    while (feed->at == feed->size) {
        int r = feed_fill(feed);
        if (r < 0)
            return r;
        if (r == 2)
            return 0; /* and don't touch the feed: it may run elsewhere already */
    }
    size_t n = feed->size - feed->at < max ? feed->size - feed->at : max;
    memcpy(buffer, feed->text + feed->at, n);
    feed->at += n;
    feed->sent_ms = monotonic_ms();
    return (ssize_t)n;
}

/* Wakes silent streams for their heartbeat or their last word, for their end where nobody listens any more,
 * and for news that came too soon after other news. */
static void *heart_run(void *user)
{
    struct feeds *feeds = user;

    pthread_mutex_lock(&feeds->lock);
    while (!feeds->stopping) {
        int64_t now = monotonic_ms(), due = now + feeds->heartbeat_ms / 2 + 1;
        if (feeds->told_late && now - feeds->resumed_ms >= NEWS_GAP_MS)
            parked_resume(feeds);
        if (feeds->told_late && feeds->resumed_ms + NEWS_GAP_MS < due)
            due = feeds->resumed_ms + NEWS_GAP_MS;
        for (struct feed *feed = feeds->list; feed; feed = feed->next) {
            /* Who isn't parked is at work, and its time its own. */
            int64_t at = !feed->parked ? due : feed->sent_ms + feeds->heartbeat_ms;
            if (feed->parked && feed->until_ms < at)
                at = feed->until_ms;
            if (feed->parked && connection_broken(feed->connection)) {
                feed->revoked = true;
                at = now;
            }
            if (at <= now) {
                feed->parked = false;
                connection_resume(feed->connection);
            } else if (at < due) {
                due = at;
            }
        }
        struct timespec until = { due / 1000, due % 1000 * 1000000 };
        pthread_cond_timedwait(&feeds->changed, &feeds->lock, &until);
    }
    pthread_mutex_unlock(&feeds->lock);
    return NULL;
}

int feeds_start(struct feeds *feeds, int limit, int heartbeat_ms)
{
    pthread_condattr_t clock;

    feeds->limit = limit;
    feeds->heartbeat_ms = heartbeat_ms;
    pthread_mutex_init(&feeds->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&feeds->changed, &clock);
    pthread_condattr_destroy(&clock);
    int r = -pthread_create(&feeds->heart, NULL, heart_run, feeds);
    feeds->heart_runs = !r;
    return r;
}

void feeds_stop(struct feeds *feeds)
{
    int64_t until_ms = monotonic_ms() + STOP_PATIENCE_MS;
    struct timespec until = { until_ms / 1000, until_ms % 1000 * 1000000 };

    pthread_mutex_lock(&feeds->lock);
    feeds->stopping = true;
    pthread_cond_broadcast(&feeds->changed);
    parked_resume(feeds);
    /* One whose client doesn't read isn't suspended; stopping cuts it off. */
    while (feeds->count && !pthread_cond_timedwait(&feeds->changed, &feeds->lock, &until))
        ;
    pthread_mutex_unlock(&feeds->lock);
    if (feeds->heart_runs)
        pthread_join(feeds->heart, NULL);
    feeds->heart_runs = false;
}

void feeds_done(struct feeds *feeds)
{
    pthread_cond_destroy(&feeds->changed);
    pthread_mutex_destroy(&feeds->lock);
}
