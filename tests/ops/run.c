/* How is a call prepared, poisoned, read and measured? The same way for every
 * kind, from what its row in kinds.c says about inputs and outputs. */
#include "tests/ops/kinds.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double fill_value(enum fill fill, const struct op_case *c, uint32_t stream, int64_t i)
{
    double v = noise(stream, i);

    switch (fill) {
    case FILL_SIGNED:
        return v;
    case FILL_POSITIVE:
        return 1 + 0.75 * v;
    case FILL_PIXEL:
        return (v + 1) / 2;
    case FILL_RELU:
        return v > 0 ? v : 0;
    case FILL_SPARSE:
        return i % 7 == 3 ? 0 : v;
    case FILL_BYTE:
        return (int)((v + 1) * 128);
    case FILL_CLASS:
        return (int)((v + 1) / 2 * c->out_c);
    case FILL_LOGIT:
        return 4 * v;
    }
    return 0;
}

static size_t io_bytes(struct device *dev, const struct io *io)
{
    size_t count = (size_t)shape_count(io->shape);

    return io->type == IO_ACTIVATION ? dev->ops->activation_bytes(dev, io->shape)
           : io->type == IO_U8       ? count
           : io->type == IO_NUMBER   ? sizeof(double)
                                     : count * 4;
}

static void must(int r)
{
    if (r < 0) {
        fprintf(stderr, "a backend could not do what a test needs: %d\n", r);
        abort();
    }
}

static void *host_alloc(size_t bytes)
{
    void *p = malloc(bytes ? bytes : 1);

    assert(p);
    return p;
}

static void input_write(struct device *dev, const struct op_case *c, const struct io *io, uint32_t stream, void *to)
{
    int64_t count = shape_count(io->shape);
    float *f = host_alloc((size_t)count * 4);
    int32_t *n = (int32_t *)(void *)f; /* same size; one of the two views is used */
    uint8_t *u = (uint8_t *)(void *)f;

    for (int64_t i = 0; i < count; i++) {
        double v = fill_value(io->fill, c, stream, i);

        if (io->type == IO_INT32)
            memcpy(&n[i], &(int32_t){ (int32_t)v }, 4);
        else if (io->type == IO_U8)
            u[i] = (uint8_t)v;
        else
            f[i] = (float)v;
    }
    must(io->type == IO_ACTIVATION ? dev->ops->activation_write(dev, io->shape, to, f)
                                   : dev->ops->write(dev, to, f, io_bytes(dev, io)));
    free(f);
}

/* All bits set is a NaN, and -1 for integers. */
static void poison(struct device *dev, void *memory, size_t bytes)
{
    char *ones = host_alloc(bytes);

    memset(ones, 0xff, bytes);
    must(dev->ops->write(dev, memory, ones, bytes));
    free(ones);
}

static void *poisoned(struct device *dev, size_t bytes)
{
    bytes = bytes ? bytes : 64; /* an operation may need no scratch at all */
    void *memory = dev->ops->alloc(dev, bytes);

    assert(memory);
    poison(dev, memory, bytes);
    return memory;
}

/* bias: the one that conv_forward will be given, or NULL. */
static void conv_prepare(struct run *run, const struct op_case *c, const float *bias)
{
    struct conv_request request = { case_geometry(c), c->image_in, c->bias, c->residual, c->relu, true, true };
    struct fault why;

    int r = run->dev->ops->conv_open(run->dev, &request, &run->conv, &why);
    if (r < 0)
        fprintf(stderr, "%s\n", why.message);
    must(r);
    run->packed = poisoned(run->dev, run->dev->ops->conv_packed_bytes(run->conv));
    run->scratch = poisoned(run->dev, run->dev->ops->conv_scratch_bytes(run->conv));
    must(run->dev->ops->conv_pack(run->conv, run->mem[CONV_WEIGHT], run->mem[CONV_SCALE], bias, run->packed,
                                  run->scratch));
}

static bool is_conv(const struct op_kind *kind)
{
    return strncmp(kind->name, "conv_", 5) == 0;
}

void run_open(struct run *run, struct device *dev, const struct op_kind *kind, const struct op_case *c,
              unsigned alias_mask)
{
    struct io io[IO_MAX] = { 0 };

    *run = (struct run){ .dev = dev, .c = c };
    kind->ios(c, io);
    for (int i = 0; i < IO_MAX; i++) {
        if (io[i].type == IO_NONE)
            continue;
        if (io[i].type == IO_NUMBER)
            run->mem[i] = host_alloc(sizeof(double));
        else
            run->mem[i] = poisoned(dev, io_bytes(dev, &io[i]));
        if (io[i].way != WAY_OUT)
            input_write(dev, c, &io[i], 100 + (uint32_t)i, run->mem[i]);
    }
    for (int a = 0; a < ALIAS_MAX; a++) {
        int out = kind->alias[a].out, in = kind->alias[a].in;

        if (!(alias_mask >> a & 1) || !out || !run->mem[out] || !run->mem[in])
            continue;
        dev->ops->free(dev, run->mem[out]);
        run->mem[out] = run->mem[in];
    }
    run->crops = host_alloc((size_t)c->in.n * sizeof(*run->crops));
    run->ids = host_alloc((size_t)c->in.n * sizeof(*run->ids));
    for (int i = 0; i < c->in.n; i++) {
        run->crops[i] = (struct crop){ i * 3 % 7, (int8_t)(i % 9 - 4), (int8_t)(i * 5 % 9 - 4), i % 2 };
        run->ids[i] = 1000 - 3 * (int64_t)i + (i == 1 ? (int64_t)1 << 33 : 0);
    }
    if (is_conv(kind))
        conv_prepare(run, c, strcmp(kind->name, "conv_forward") == 0 ? run->mem[1] : NULL);
}

void run_close(struct run *run, const struct op_kind *kind)
{
    struct io io[IO_MAX] = { 0 };

    kind->ios(run->c, io);
    for (int i = 0; i < IO_MAX; i++) {
        bool again = false;

        for (int k = 0; k < i; k++)
            again = again || run->mem[k] == run->mem[i];
        if (run->mem[i] && !again && io[i].type == IO_NUMBER)
            free(run->mem[i]);
        else if (run->mem[i] && !again)
            run->dev->ops->free(run->dev, run->mem[i]);
    }
    if (run->conv) {
        run->dev->ops->conv_close(run->conv);
        run->dev->ops->free(run->dev, run->packed);
        run->dev->ops->free(run->dev, run->scratch);
    }
    free(run->crops);
    free(run->ids);
}

double *run_output(struct run *run, const struct op_kind *kind, int i, int64_t *ret_count)
{
    struct io io[IO_MAX] = { 0 };
    struct device *dev = run->dev;

    kind->ios(run->c, io);
    if (io[i].type == IO_NONE || io[i].way == WAY_IN)
        return NULL;
    int64_t count = shape_count(io[i].shape);
    double *out = host_alloc((size_t)count * sizeof(double));
    float *host = host_alloc((size_t)count * 8);

    if (io[i].type == IO_NUMBER)
        memcpy(out, run->mem[i], sizeof(double));
    else
        must(io[i].type == IO_ACTIVATION ? dev->ops->activation_read(dev, io[i].shape, host, run->mem[i])
                                         : dev->ops->read(dev, host, run->mem[i], io_bytes(dev, &io[i])));
    for (int64_t k = 0; k < count && io[i].type != IO_NUMBER; k++) {
        int32_t whole;

        memcpy(&whole, &host[k], 4);
        out[k] = io[i].type == IO_INT32 ? whole : host[k];
    }
    free(host);
    *ret_count = count;
    return out;
}

void run_share(struct run *from, struct run *to, const struct op_kind *kind)
{
    struct io io[IO_MAX] = { 0 };

    kind->ios(from->c, io);
    for (int i = 0; i < IO_MAX; i++) {
        if (io[i].type != IO_ACTIVATION || io[i].way == WAY_OUT)
            continue;
        float *host = host_alloc((size_t)shape_count(io[i].shape) * sizeof(float));
        must(from->dev->ops->activation_read(from->dev, io[i].shape, host, from->mem[i]));
        must(to->dev->ops->activation_write(to->dev, io[i].shape, to->mem[i], host));
        free(host);
    }
}

double run_work(const struct op_kind *kind, const struct op_case *c)
{
    struct io io[IO_MAX] = { 0 };
    double bytes = 0;

    if (kind->in_flops && c->group == GROUP_CONV) {
        struct conv_geometry g = case_geometry(c);

        return 2.0 * (double)shape_count(conv_out(&g)) * c->in.c * c->kernel * c->kernel;
    }
    if (kind->in_flops)
        return 2.0 * c->in.n * c->in.c * c->out_c;
    kind->ios(c, io);
    for (int i = 0; i < IO_MAX; i++)
        if (io[i].type != IO_NONE)
            bytes += (double)shape_count(io[i].shape) * (io[i].type == IO_U8 ? 1 : 4) * (io[i].way == WAY_BOTH ? 2 : 1);
    return bytes;
}
