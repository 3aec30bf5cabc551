/* How often may somebody ask?
 *
 * A token bucket each, kept as one number: the time at which it will be full
 * again (GCRA). A request moves that time on by 1/rate; more than burst/rate
 * ahead of now is too much.
 *
 * Buckets live in a table of fixed size, a few places for each hash. Where all
 * are taken the one that is full soonest goes: it had least to remember. */
#include "api/gate.h"
#include "job/job.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#define SETS   512
#define PLACES 8

struct limits {
    uint64_t seed;    /* so that nobody can choose whom to share a place with */
    atomic_bool none; /* any number: nothing is counted, and nobody waits for the lock */
    pthread_mutex_t lock;
    double interval_ms, tolerance_ms;
    struct bucket {
        uint64_t who; /* hash, 0 free */
        double full_ms;
    } sets[SETS][PLACES];
};

struct limits *limits_open(double rate, int burst)
{
    struct limits *limits = calloc(1, sizeof(*limits));

    if (!limits)
        return NULL;
    if (getrandom(&limits->seed, sizeof(limits->seed), GRND_NONBLOCK) < 0)
        limits->seed = (uint64_t)monotonic_ms();
    pthread_mutex_init(&limits->lock, NULL);
    limits_set(limits, rate, burst);
    return limits;
}

void limits_set(struct limits *limits, double rate, int burst)
{
    pthread_mutex_lock(&limits->lock);
    limits->interval_ms = rate > 0 ? 1000 / rate : 0;
    limits->tolerance_ms = burst * limits->interval_ms;
    limits->none = rate <= 0;
    for (int i = 0; i < SETS * PLACES; i++) /* what was owed was counted otherwise */
        limits->sets[i / PLACES][i % PLACES] = (struct bucket){ 0 };
    pthread_mutex_unlock(&limits->lock);
}

void limits_close(struct limits *limits)
{
    if (!limits)
        return;
    pthread_mutex_destroy(&limits->lock);
    free(limits);
}

/* FNV-1a, stirred at the end. */
static uint64_t hash_of(uint64_t seed, const char *who)
{
    uint64_t hash = 0xcbf29ce484222325u ^ seed;

    for (; *who; who++)
        hash = (hash ^ (unsigned char)*who) * 0x100000001b3u;
    hash = (hash ^ hash >> 32) * 0xd6e8feb86659fd93u;
    hash ^= hash >> 32;
    return hash ? hash : 1;
}

static struct bucket *bucket_find(struct limits *limits, uint64_t who)
{
    struct bucket *set = limits->sets[who % SETS], *oldest = set;

    for (int i = 0; i < PLACES; i++) {
        if (set[i].who == who)
            return &set[i];
        if (set[i].full_ms < oldest->full_ms)
            oldest = &set[i];
    }
    *oldest = (struct bucket){ .who = who };
    return oldest;
}

int limits_take(struct limits *limits, const char *who, int64_t now_ms)
{
    double now = (double)now_ms;

    if (!limits || limits->none)
        return 0;
    pthread_mutex_lock(&limits->lock);
    struct bucket *bucket = bucket_find(limits, hash_of(limits->seed, who));
    double full = fmax(bucket->full_ms, now) + limits->interval_ms;
    double over = full - now - limits->tolerance_ms;
    if (over <= 1e-6)
        bucket->full_ms = full;
    pthread_mutex_unlock(&limits->lock);
    return over <= 1e-6 ? 0 : (int)ceil(over / 1000);
}
