/* Do the backends do what the oracle does?
 *
 * Every operation on every case: outputs are poisoned with NaN first, so what
 * is not overwritten shows; then again with outputs in the memory of inputs,
 * as far as backend.h promises that. A backend is measured against `ref`
 * (the tolerances are in kinds.c), `ref` in place against itself.
 *
 *   test_ops            the tests
 *   test_ops --speed    GFLOP/s or GB/s of each operation on large cases */
#include "tests/check.h"
#include "tests/ops/kinds.h"

#include <errno.h>
#include <time.h>

/* ||a - b|| / ||b||, NaN if any element of a is. */
static double distance(const double *a, const double *b, int64_t count)
{
    double difference = 0, size = 0;

    for (int64_t i = 0; i < count; i++) {
        difference += (a[i] - b[i]) * (a[i] - b[i]);
        size += b[i] * b[i];
    }
    return difference == 0 ? 0 : sqrt(difference) / fmax(sqrt(size), 1e-30);
}

static void run_must(const struct op_kind *kind, struct run *run)
{
    int r = kind->call(run);

    if (r < 0)
        CHECK_FAIL("%s failed: %d, %s", kind->name, r, device_errmsg(run->dev));
}

/* One operation, one case: `dev`, perhaps in place, against the oracle. */
static void compare(const struct op_kind *kind, const struct op_case *c, struct device *dev, struct device *ref,
                    unsigned alias_mask)
{
    double tolerance = dev->ops == ref->ops ? 0 : kind->tolerance;
    struct run is, wanted;
    char name[128];

    case_print(c, name, sizeof(name));
    run_open(&is, dev, kind, c, alias_mask);
    run_open(&wanted, ref, kind, c, 0);
    run_must(kind, &is);
    run_must(kind, &wanted);
    for (int i = 0; i < IO_MAX; i++) {
        int64_t count;
        double *a = run_output(&is, kind, i, &count), *b = run_output(&wanted, kind, i, &count);

        if (a && !(distance(a, b, count) <= tolerance))
            CHECK_FAIL("%s %s: output %d of %s%s is %g away from ref (first %.9g, ref %.9g), allowed %g: %s",
                       kind->name, name, i, dev->ops->name, alias_mask ? " in place" : "", distance(a, b, count), a[0],
                       b[0], tolerance, tolerance > 0 ? kind->reason : "must be the same bits");
        free(a);
        free(b);
    }
    run_close(&is, kind);
    run_close(&wanted, kind);
}

static struct device *open_backend(const struct backend *backend)
{
    struct device *dev;
    struct fault why;

    if (backend->device_open(backend->name, PRECISION_FLOAT32, 0, &dev, &why) < 0) {
        fprintf(stderr, "%s: %s\n", backend->name, why.message);
        exit(1);
    }
    return dev;
}

/* Every kind on every small case of its group, on `backend`; in place too when asked. */
static void compare_all(const struct backend *backend, bool in_place)
{
    struct device *dev = open_backend(backend), *ref = open_backend(&backend_ref);
    int compared = 0;

    for (const struct op_kind *kind = op_kinds; kind->name; kind++) {
        for (const struct op_case *c = op_cases; c->in.n; c++) {
            if (c->group != kind->group || c->speed || (in_place && !kind->alias[0].out))
                continue;
            for (unsigned mask = in_place; mask < (in_place ? 1u << ALIAS_MAX : 1); mask++) {
                compare(kind, c, dev, ref, mask);
                compared++;
            }
        }
    }
    CHECK(compared > 50);
    device_close(dev);
    device_close(ref);
}

static void test_compare(void)
{
    for (int i = 0; backends[i]; i++)
        compare_all(backends[i], false);
}

static void test_in_place(void)
{
    for (int i = 0; backends[i]; i++)
        compare_all(backends[i], true);
}

/* ---- the oracle itself ------------------------------------------------------------ */

/* Every output of the oracle is finite though it was NaN before. */
static void test_ref_overwrites(void)
{
    struct device *ref = open_backend(&backend_ref);

    for (const struct op_kind *kind = op_kinds; kind->name; kind++) {
        for (const struct op_case *c = op_cases; c->in.n; c++) {
            struct run run;

            if (c->group != kind->group || c->speed)
                continue;
            run_open(&run, ref, kind, c, 0);
            run_must(kind, &run);
            for (int i = 0; i < IO_MAX; i++) {
                int64_t count, bad = 0;
                double *out = run_output(&run, kind, i, &count);

                for (int64_t k = 0; out && k < count; k++)
                    bad += !isfinite(out[k]);
                if (bad)
                    CHECK_FAIL("%s: %lld elements of output %d were not written", kind->name, (long long)bad, i);
                free(out);
            }
            run_close(&run, kind);
        }
    }
    device_close(ref);
}

/* y[0,0] of a 3x3 convolution whose numbers can be worked out on paper. */
static void test_ref_conv_by_hand(void)
{
    struct device *ref = open_backend(&backend_ref);
    struct conv_request request = {
        { { 1, 1, 3, 3 }, 1, 3, 1, 1 }, .bias = true, .relu = true, .backward_data = true, .backward_weights = true
    };
    static const float x[9] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 }, w[9] = { 0, 0, 0, 0, 1, 10, 0, 100, 1000 };
    float packed[9], y[9], bias = -20, dx[9], dw[9];
    static const float dy[9] = { 1 }; /* only the first output is looked at */
    struct conv *conv;

    CHECK_INT(ref->ops->conv_open(ref, &request, &conv, NULL), 0);
    CHECK_INT(ref->ops->conv_pack(conv, w, NULL, &bias, packed, NULL), 0);
    CHECK_INT(ref->ops->conv_forward(conv, x, packed, &bias, NULL, y, NULL), 0);
    /* y = x(h,w) + 10 x(h,w+1) + 100 x(h+1,w) + 1000 x(h+1,w+1) - 20, outside is 0 */
    CHECK_NEAR(y[0], 1 + 20 + 400 + 5000 - 20, 0);
    CHECK_NEAR(y[4], 5 + 60 + 800 + 9000 - 20, 0);
    CHECK_NEAR(y[5], 6 + 900 - 20, 0);
    CHECK_NEAR(y[7], 8 + 90 - 20, 0);
    CHECK_NEAR(y[8], 0, 0); /* 9 - 20 is below zero */
    CHECK_INT(ref->ops->conv_backward_data(conv, dy, packed, dx, NULL), 0);
    static const float dx_wanted[9] = { 1, 10, 0, 100, 1000 };
    CHECK(memcmp(dx, dx_wanted, sizeof(dx)) == 0);
    CHECK_INT(ref->ops->conv_backward_weights(conv, x, dy, dw, NULL), 0);
    static const float dw_wanted[9] = { 0, 0, 0, 0, 1, 2, 0, 4, 5 };
    CHECK(memcmp(dw, dw_wanted, sizeof(dw)) == 0);
    ref->ops->conv_close(conv);
    device_close(ref);
}

/* ---- memory and layouts ------------------------------------------------------------- */

static const struct shape shapes[] = { { 1, 1, 4, 4 },  { 2, 3, 5, 7 },   { 5, 10, 4, 4 }, { 3, 16, 8, 8 },
                                       { 2, 24, 9, 5 }, { 1, 100, 6, 4 }, { 4, 64, 1, 1 } };
enum { SHAPE_COUNT = sizeof(shapes) / sizeof(shapes[0]) };

static float *noise_array(uint32_t what, int64_t count)
{
    float *f = malloc((size_t)count * sizeof(float));

    for (int64_t i = 0; i < count; i++)
        f[i] = noise(what, i);
    return f;
}

static void test_write_read(void)
{
    for (int b = 0; backends[b]; b++) {
        struct device *dev = open_backend(backends[b]);

        for (int i = 0; i < SHAPE_COUNT; i++) {
            int64_t count = shape_count(shapes[i]);
            float *in = noise_array(7, count), *out = calloc((size_t)count, sizeof(float));
            void *mem = dev->ops->alloc(dev, dev->ops->activation_bytes(dev, shapes[i]));

            CHECK_INT((uintptr_t)mem % 64, 0);
            CHECK_INT(dev->ops->activation_write(dev, shapes[i], mem, in), 0);
            CHECK_INT(dev->ops->activation_read(dev, shapes[i], out, mem), 0);
            CHECK(memcmp(in, out, (size_t)count * sizeof(float)) == 0);
            dev->ops->free(dev, mem);
            free(in);
            free(out);
        }
        device_close(dev);
    }
}

/* Row n of a batch is contiguous and has the size of a batch of one: gathered
 * rows are the examples themselves. */
static void test_rows(void)
{
    enum { N = 5, WANTED = 3 };
    static const int32_t index[WANTED] = { 4, 0, 2 };
    struct shape all = { N, 10, 3, 5 }, some = { WANTED, 10, 3, 5 }, one = { 1, 10, 3, 5 };
    int64_t row = shape_count(one);

    for (int b = 0; backends[b]; b++) {
        struct device *dev = open_backend(backends[b]);
        size_t row_bytes = dev->ops->activation_bytes(dev, one);
        void *from = dev->ops->alloc(dev, dev->ops->activation_bytes(dev, all));
        void *to = dev->ops->alloc(dev, dev->ops->activation_bytes(dev, some));
        float *in = noise_array(8, N * row), *out = calloc((size_t)(N * row), sizeof(float));

        CHECK_INT(dev->ops->activation_bytes(dev, all), N * row_bytes);
        CHECK_INT(dev->ops->activation_write(dev, all, from, in), 0);
        CHECK_INT(dev->ops->gather_rows(dev, to, from, row_bytes, index, WANTED), 0);
        CHECK_INT(dev->ops->activation_read(dev, some, out, to), 0);
        for (int i = 0; i < WANTED; i++)
            CHECK(memcmp(out + i * row, in + index[i] * row, (size_t)row * sizeof(float)) == 0);
        dev->ops->free(dev, from);
        dev->ops->free(dev, to);
        free(in);
        free(out);
        device_close(dev);
    }
}

/* A NaN that batch norm and its ReLU swallow would let a diverged training look well. */
static void test_nan(void)
{
    enum { C = 3 };
    struct shape s = { 2, C, 4, 4 };
    const float gamma[C] = { 1, 1, 1 };

    for (int b = 0; backends[b]; b++) {
        struct device *dev = open_backend(backends[b]);
        size_t bytes = dev->ops->activation_bytes(dev, s);
        void *y = dev->ops->alloc(dev, bytes), *z = dev->ops->alloc(dev, bytes);
        float *plain = dev->ops->alloc(dev, 6 * C * sizeof(float));
        float *in = noise_array(4, shape_count(s)), *out = calloc((size_t)shape_count(s), sizeof(float));

        in[5] = NAN; /* example 0, channel 0 */
        dev->ops->write(dev, plain, gamma, sizeof(gamma));
        dev->ops->activation_write(dev, s, y, in);
        CHECK_INT(dev->ops->bn_forward(dev, s, y, plain, plain + C, NULL, true, z, plain + 2 * C, plain + 3 * C,
                                       plain + 4 * C, plain + 5 * C, 0.1f, 1e-5f),
                  0);
        dev->ops->activation_read(dev, s, out, z);
        CHECK(isnan(out[0]) && isnan(out[5]));
        CHECK(!isnan(out[16]) && !isnan(out[32]));
        dev->ops->free(dev, y);
        dev->ops->free(dev, z);
        dev->ops->free(dev, plain);
        free(in);
        free(out);
        device_close(dev);
    }
}

static void test_memory(void)
{
    for (int b = 0; backends[b]; b++) {
        struct device *dev = open_backend(backends[b]);
        float *mem = dev->ops->alloc(dev, 100 * sizeof(float)), *other = dev->ops->alloc(dev, 100 * sizeof(float));
        float *in = noise_array(9, 100), out[100];

        CHECK_INT(dev->ops->read(dev, out, mem, sizeof(out)), 0);
        for (int i = 0; i < 100; i++)
            CHECK_NEAR(out[i], 0, 0);
        CHECK_INT(dev->ops->write(dev, mem, in, sizeof(out)), 0);
        CHECK_INT(dev->ops->copy(dev, other, mem, sizeof(out)), 0);
        CHECK_INT(dev->ops->read(dev, out, other, sizeof(out)), 0);
        CHECK(memcmp(in, out, sizeof(out)) == 0);
#ifndef RIFT_SANITIZED /* the sanitizer ends the program over such a size */
        CHECK(dev->ops->alloc(dev, (size_t)1 << 60) == NULL);
#endif
        json_t *description = dev->ops->describe(dev);
        CHECK(json_is_string(json_object_get(description, "name")));
        CHECK(json_integer_value(json_object_get(description, "memory_bytes")) > 0);
        json_decref(description);
        dev->ops->free(dev, mem);
        dev->ops->free(dev, other);
        free(in);
        device_close(dev);
    }
}

/* ---- a small network: what one operation leaves behind must suit the next ------------- */

/* Lanes of a blocked layout beyond the last channel are nobody's output, yet
 * convolutions and reductions read them. All memory starts as NaN, so a lane
 * that somebody forgot poisons the result. */
struct chain {
    struct device *dev;
    void *owned[32];
    int count;
};

static void *chain_memory(struct chain *chain, size_t bytes)
{
    void *mem = chain->dev->ops->alloc(chain->dev, bytes);
    char *ones = malloc(bytes);

    memset(ones, 0xff, bytes);
    CHECK_INT(chain->dev->ops->write(chain->dev, mem, ones, bytes), 0);
    free(ones);
    chain->owned[chain->count++] = mem;
    return mem;
}

static void *chain_plain(struct chain *chain, uint32_t what, int64_t count)
{
    void *mem = chain_memory(chain, (size_t)count * sizeof(float));
    float *f = noise_array(what, count);

    CHECK_INT(chain->dev->ops->write(chain->dev, mem, f, (size_t)count * sizeof(float)), 0);
    free(f);
    return mem;
}

static void *chain_activation(struct chain *chain, struct shape s)
{
    return chain_memory(chain, chain->dev->ops->activation_bytes(chain->dev, s));
}

struct chain_conv {
    struct conv *conv;
    void *packed, *scratch;
    struct shape out;
};

static struct chain_conv chain_conv(struct chain *chain, struct shape in, int out_c, int stride, bool image_in,
                                    uint32_t what)
{
    struct conv_request request = {
        { in, out_c, 3, stride, 1 }, .image_in = image_in, .backward_data = true, .backward_weights = true
    };
    const struct backend *ops = chain->dev->ops;
    struct chain_conv c = { .out = conv_out(&request.geometry) };

    CHECK_INT(ops->conv_open(chain->dev, &request, &c.conv, NULL), 0);
    c.packed = chain_memory(chain, ops->conv_packed_bytes(c.conv));
    c.scratch = chain_memory(chain, ops->conv_scratch_bytes(c.conv) + 64);
    void *w = chain_plain(chain, what, (int64_t)out_c * in.c * 9);
    CHECK_INT(ops->conv_pack(c.conv, w, NULL, NULL, c.packed, c.scratch), 0);
    return c;
}

enum { CHAIN_FEATURES = 2 * 24, CHAIN_WEIGHTS = 24 * 10 * 9, CHAIN_PIXELS = 2 * 3 * 8 * 8 };
struct chain_result {
    float features[CHAIN_FEATURES], dw[CHAIN_WEIGHTS], dx[CHAIN_PIXELS];
};

/* image -> conv 3..10 -> bn relu -> conv 10..24 /2 -> pool, and all the way back. */
static void chain_run(struct device *dev, struct chain_result *ret)
{
    struct chain chain = { dev };
    const struct backend *ops = dev->ops;
    struct shape in = { 2, 3, 8, 8 };
    void *x = chain_plain(&chain, 20, CHAIN_PIXELS);
    struct chain_conv first = chain_conv(&chain, in, 10, 1, true, 21);
    struct chain_conv second = chain_conv(&chain, first.out, 24, 2, false, 22);
    void *y = chain_activation(&chain, first.out), *z = chain_activation(&chain, first.out);
    void *u = chain_activation(&chain, second.out), *du = chain_activation(&chain, second.out);
    void *dz = chain_activation(&chain, first.out);
    float *gamma = chain_plain(&chain, 23, 10), *beta = chain_plain(&chain, 24, 10);
    float *mean = chain_plain(&chain, 25, 10), *invstd = chain_plain(&chain, 26, 10);
    float *dgamma = chain_plain(&chain, 27, 10), *dbeta = chain_plain(&chain, 28, 10);
    float *f = chain_plain(&chain, 29, CHAIN_FEATURES), *df = chain_plain(&chain, 30, CHAIN_FEATURES);
    float *dw = chain_memory(&chain, sizeof(ret->dw)), *dx = chain_memory(&chain, sizeof(ret->dx));
    int r = 0;

    r |= ops->conv_forward(first.conv, x, first.packed, NULL, NULL, y, first.scratch);
    r |= ops->bn_forward(dev, first.out, y, gamma, beta, NULL, true, z, mean, invstd, NULL, NULL, 0, 1e-5f);
    r |= ops->conv_forward(second.conv, z, second.packed, NULL, NULL, u, second.scratch);
    r |= ops->pool_forward(dev, second.out, 4, u, f);
    r |= ops->pool_backward(dev, second.out, 4, df, du);
    r |= ops->conv_backward_weights(second.conv, z, du, dw, second.scratch);
    r |= ops->conv_backward_data(second.conv, du, second.packed, dz, second.scratch);
    r |= ops->bn_backward(dev, first.out, dz, NULL, z, y, gamma, mean, invstd, dz, NULL, dgamma, dbeta);
    r |= ops->conv_backward_data(first.conv, dz, first.packed, dx, first.scratch);
    r |= ops->read(dev, ret->features, f, sizeof(ret->features));
    r |= ops->read(dev, ret->dw, dw, sizeof(ret->dw));
    r |= ops->read(dev, ret->dx, dx, sizeof(ret->dx));
    CHECK_INT(r, 0);
    ops->conv_close(first.conv);
    ops->conv_close(second.conv);
    for (int i = 0; i < chain.count; i++)
        ops->free(dev, chain.owned[i]);
}

static double float_distance(const float *a, const float *b, int count)
{
    double difference = 0, size = 0;

    for (int i = 0; i < count; i++) {
        difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        size += (double)b[i] * b[i];
    }
    return sqrt(difference / size);
}

static void test_chain(void)
{
    static struct chain_result wanted, is;
    struct device *ref = open_backend(&backend_ref);

    chain_run(ref, &wanted);
    device_close(ref);
    for (int b = 0; backends[b]; b++) {
        struct device *dev = open_backend(backends[b]);

        chain_run(dev, &is);
        CHECK_NEAR(float_distance(is.features, wanted.features, CHAIN_FEATURES), 0, 1e-5);
        CHECK_NEAR(float_distance(is.dw, wanted.dw, CHAIN_WEIGHTS), 0, 1e-5);
        CHECK_NEAR(float_distance(is.dx, wanted.dx, CHAIN_PIXELS), 0, 1e-4); /* two more reductions in between */
        device_close(dev);
    }
}

/* y = 1, 2, 3, 4: mean 2.5, biased variance 5/4 to normalise with, unbiased 5/3 to remember. */
static void test_bn_by_hand(void)
{
    struct shape s = { 1, 1, 2, 2 };
    static const float y[4] = { 1, 2, 3, 4 }, start[6] = { 2, 0.5f, 0, 0, 10, 20 }; /* gamma, beta, -, -, running */

    for (int b = 0; backends[b]; b++) {
        struct device *dev = open_backend(backends[b]);
        struct chain chain = { dev };
        void *in = chain_activation(&chain, s), *out = chain_activation(&chain, s);
        float z[4], is[6], *p[6];

        for (int i = 0; i < 6; i++) {
            p[i] = chain_memory(&chain, sizeof(float));
            CHECK_INT(dev->ops->write(dev, p[i], &start[i], sizeof(float)), 0);
        }
        CHECK_INT(dev->ops->activation_write(dev, s, in, y), 0);
        CHECK_INT(dev->ops->bn_forward(dev, s, in, p[0], p[1], NULL, false, out, p[2], p[3], p[4], p[5], 0.1f, 0), 0);
        CHECK_INT(dev->ops->activation_read(dev, s, z, out), 0);
        for (int i = 0; i < 6; i++)
            CHECK_INT(dev->ops->read(dev, &is[i], p[i], sizeof(float)), 0);
        CHECK_NEAR(z[0], 0.5 + 2 * (1 - 2.5) / sqrt(1.25), 1e-6);
        CHECK_NEAR(z[3], 0.5 + 2 * (4 - 2.5) / sqrt(1.25), 1e-6);
        CHECK_NEAR(is[2], 2.5, 1e-6);
        CHECK_NEAR(is[3], 1 / sqrt(1.25), 1e-6);
        CHECK_NEAR(is[4], 0.9 * 10 + 0.1 * 2.5, 1e-6);
        CHECK_NEAR(is[5], 0.9 * 20 + 0.1 * 5 / 3, 1e-6);
        for (int i = 0; i < chain.count; i++)
            dev->ops->free(dev, chain.owned[i]);
        device_close(dev);
    }
}

/* momentum 0 leaves the running statistics alone. */
static void test_momentum_zero(void)
{
    struct shape s = { 2, 10, 4, 4 };

    for (int b = 0; backends[b]; b++) {
        struct device *dev = open_backend(backends[b]);
        struct chain chain = { dev };
        void *y = chain_activation(&chain, s), *z = chain_activation(&chain, s);
        float *host = noise_array(40, shape_count(s)), before[10], after[10];
        float *p[6];

        for (int i = 0; i < 6; i++)
            p[i] = chain_plain(&chain, 41 + (uint32_t)i, 10);
        CHECK_INT(dev->ops->activation_write(dev, s, y, host), 0);
        for (int i = 4; i < 6; i++) {
            CHECK_INT(dev->ops->read(dev, before, p[i], sizeof(before)), 0);
            CHECK_INT(dev->ops->bn_forward(dev, s, y, p[0], p[1], NULL, false, z, p[2], p[3], p[4], p[5], 0, 1e-5f), 0);
            CHECK_INT(dev->ops->read(dev, after, p[i], sizeof(after)), 0);
            CHECK(memcmp(before, after, sizeof(before)) == 0);
        }
        for (int i = 0; i < chain.count; i++)
            dev->ops->free(dev, chain.owned[i]);
        free(host);
        device_close(dev);
    }
}

/* ---- speed ----------------------------------------------------------------------------- */

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void speed_one(struct device *dev, const struct op_kind *kind, const struct op_case *c)
{
    struct run run;
    char name[128];
    double best = INFINITY, end;

    case_print(c, name, sizeof(name));
    run_open(&run, dev, kind, c, 0);
    run_must(kind, &run); /* the first call warms up */
    end = seconds() + 0.3;
    for (int i = 0; i < 3 || seconds() < end; i++) {
        double start = seconds();

        run_must(kind, &run);
        best = fmin(best, seconds() - start);
    }
    printf("%-8s %-24s %-44s %9.3f ms  %8.1f %s\n", dev->ops->name, kind->name, name, best * 1e3,
           run_work(kind, c) / best / 1e9, kind->in_flops ? "GFLOP/s" : "GB/s");
    fflush(stdout);
    run_close(&run, kind);
}

/* Only operations whose name holds `filter`, when it is given. */
static int speed(const char *filter)
{
    struct device *dev = open_backend(backends[0]);

    for (const struct op_kind *kind = op_kinds; kind->name; kind++)
        for (const struct op_case *c = op_cases; c->in.n; c++)
            if (c->group == kind->group && c->speed && (!filter || strstr(kind->name, filter)))
                speed_one(dev, kind, c);
    device_close(dev);
    return check_failures != 0;
}

static const struct check_case cases[] = {
    { "the oracle's convolution gives what a hand computes", test_ref_conv_by_hand },
    { "the oracle overwrites every element of its outputs", test_ref_overwrites },
    { "every backend agrees with the oracle on every case", test_compare },
    { "outputs may live in the memory of inputs where that is promised", test_in_place },
    { "an activation is read as it was written", test_write_read },
    { "gathered rows are examples and scattering puts them back", test_rows },
    { "a NaN passes through batch norm and its ReLU", test_nan },
    { "memory starts as zeros and can be written, copied and read", test_memory },
    { "lanes beyond the last channel never poison the next operation", test_chain },
    { "batch norm remembers the unbiased variance and uses the biased one", test_bn_by_hand },
    { "momentum 0 leaves the running statistics alone", test_momentum_zero },
};

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--speed") == 0)
        return speed(argc > 2 ? argv[2] : NULL);
    return check_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
