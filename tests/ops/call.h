/* One call of an operation on one backend: host arrays in, host arrays out. */
#ifndef RIFT_TESTS_OPS_CALL_H
#define RIFT_TESTS_OPS_CALL_H

#include "gpu/backend/backend.h"
#include "tests/check.h"

enum { IN_MOST = 6 };

/* Device copies of some arrays; the last one is what the operation writes or changes. */
struct call {
    struct device *dev;
    void *mem[IN_MOST];
    size_t bytes[IN_MOST];
    int count;
};

static inline void *in(struct call *call, const void *host, size_t bytes)
{
    void *mem = call->dev->ops->alloc(call->dev, bytes);

    CHECK_INT(call->dev->ops->write(call->dev, mem, host, bytes), 0);
    call->bytes[call->count] = bytes;
    return call->mem[call->count++] = mem;
}

static inline void done(struct call *call, void *host, int which)
{
    if (host)
        CHECK_INT(call->dev->ops->read(call->dev, host, call->mem[which], call->bytes[which]), 0);
    for (int i = 0; i < call->count; i++)
        call->dev->ops->free(call->dev, call->mem[i]);
}

#endif
