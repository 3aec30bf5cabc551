/* Did JSON run out of memory in this thread?
 *
 * A document is put together by dozens of calls, each of which may fail, and a
 * member that is missing makes a valid document that says something else: a
 * spec with a default where there was a value, a list without a row. Instead of
 * asking after each call, jansson's allocator notes a refusal, and whoever is
 * about to store or send what was made asks once.
 *
 * Surprising: while a text is read, the refused call gets its memory all the same,
 * from a store for that day. jansson 2.14 doesn't look whether a string that it
 * reads found room: one whose closing quote was lost is copied on past its end. What
 * is written (json_dumps) goes to callers who free() it, and must not come from there. */
#include "job/job.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { STORE_BYTES = 1 << 20 }; /* touched only on that day */

static _Thread_local bool starved, reading;

static pthread_mutex_t store_lock = PTHREAD_MUTEX_INITIALIZER;
static alignas(max_align_t) char store[STORE_BYTES];
static size_t store_used;
static int store_blocks; /* that are in use; when none is, all of it is free again */

static void *store_take(size_t size)
{
    size_t whole = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    void *block = NULL;

    pthread_mutex_lock(&store_lock);
    if (whole >= size && whole <= STORE_BYTES - store_used) {
        block = store + store_used;
        store_used += whole;
        store_blocks++;
    }
    pthread_mutex_unlock(&store_lock);
    return block;
}

static void *json_block(size_t size)
{
    void *block = malloc(size);

    if (block)
        return block;
    starved = true;
    return reading ? store_take(size) : NULL;
}

static void json_block_free(void *block)
{
    if ((uintptr_t)block - (uintptr_t)store >= STORE_BYTES) {
        free(block);
        return;
    }
    pthread_mutex_lock(&store_lock);
    if (!--store_blocks)
        store_used = 0;
    pthread_mutex_unlock(&store_lock);
}

void json_starved_watch(void)
{
    json_set_alloc_funcs(json_block, json_block_free);
    starved = false;
}

bool json_starved(void)
{
    bool was = starved;

    starved = false;
    return was;
}

json_t *json_read(const char *text, size_t size, size_t flags, json_error_t *error)
{
    reading = true;
    json_t *json = json_loadb(text, size, flags, error);
    reading = false;
    return json;
}

json_t *text_read(const char *text)
{
    return text ? json_read(text, strlen(text), JSON_DECODE_ANY, NULL) : NULL;
}
