/* Did JSON run out of memory in this thread?
 *
 * A document is put together by dozens of calls, each of which may fail, and a
 * member that is missing makes a valid document that says something else: a
 * spec with a default where there was a value, a list without a row. Instead of
 * asking after each call, jansson's allocator notes a refusal, and whoever is
 * about to store or send what was made asks once. */
#include "job/job.h"

#include <stdlib.h>

static _Thread_local bool starved;

static void *note(void *block)
{
    starved |= !block;
    return block;
}

static void *json_block(size_t size)
{
    return note(malloc(size));
}

void json_starved_watch(void)
{
    json_set_alloc_funcs(json_block, free);
    starved = false;
}

bool json_starved(void)
{
    bool was = starved;

    starved = false;
    return was;
}
