/* Do the backends do what the oracle does?
 *
 * Every operation on every case: outputs are poisoned with NaN first, so what
 * is not overwritten shows; then again with outputs in the memory of inputs,
 * as far as backend.h promises that. A backend is measured against `ref`
 * (the tolerances are in kinds.c), `ref` in place against itself.
 *
 *   test_ops            the tests
 *   test_ops --speed [float32|bf16 [FILTER]]   GFLOP/s or GB/s of each operation on large cases */
#include "tests/check.h"
#include "tests/ops/kinds.h"
#include "tests/ops/subjects.h"

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

/* Of convolutions whose factors keep 10 bits of mantissa: two roundings of at most 2^-11. */
static const double TF32 = 1e-3;

/* One operation, one case: `dev`, perhaps in place, against the oracle. */
static void compare(const struct op_kind *kind, const struct op_case *c, struct device *dev, struct device *ref,
                    unsigned alias_mask)
{
    bool half = dev->precision == PRECISION_BF16 && kind->bf16 > 0;
    bool tensor = dev->precision == PRECISION_TF32 && kind->group == GROUP_CONV && kind->in_flops;
    double tolerance = dev->ops == ref->ops ? 0 : half ? kind->bf16 : tensor ? TF32 : kind->tolerance;
    struct run is, wanted;
    char name[128];

    case_print(c, name, sizeof(name));
    run_open(&is, dev, kind, c, alias_mask);
    run_open(&wanted, ref, kind, c, 0);
    run_share(&is, &wanted, kind);
    run_must(kind, &is);
    run_must(kind, &wanted);
    for (int i = 0; i < IO_MAX; i++) {
        int64_t count;
        double *a = run_output(&is, kind, i, &count), *b = run_output(&wanted, kind, i, &count);

        if (a && !(distance(a, b, count) <= tolerance))
            CHECK_FAIL("%s %s: output %d of %s in %s%s is %g away from ref (first %.9g, ref %.9g), allowed %g: %s",
                       kind->name, name, i, dev->ops->name, job_precisions[dev->precision],
                       alias_mask ? " in place" : "", distance(a, b, count), a[0], b[0], tolerance,
                       half            ? "roundings to bf16, counted in kinds.c"
                       : tensor        ? "both factors keep 10 bits: 2^-11 each, by norm"
                       : tolerance > 0 ? kind->reason
                                       : "must be the same bits");
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

/* Every kind on every small case of its group, on `dev`; in place too when asked. */
static void compare_all(struct device *dev, bool in_place)
{
    struct device *ref = open_backend(&backend_ref);
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
    device_close(ref);
}

static void compare_apart(struct device *dev)
{
    compare_all(dev, false);
}
static void compare_in_place(struct device *dev)
{
    compare_all(dev, true);
}
static void test_compare(void)
{
    on_each(compare_apart);
}
static void test_in_place(void)
{
    on_each(compare_in_place);
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

static void write_read_on(struct device *dev)
{

    for (int i = 0; i < SHAPE_COUNT; i++) {
        int64_t count = shape_count(shapes[i]);
        float *in = noise_array(7, count), *out = calloc((size_t)count, sizeof(float));
        void *mem = dev->ops->alloc(dev, dev->ops->activation_bytes(dev, shapes[i]));

        CHECK_INT((uintptr_t)mem % 64, 0);
        CHECK_INT(dev->ops->activation_write(dev, shapes[i], mem, in), 0);
        CHECK_INT(dev->ops->activation_read(dev, shapes[i], out, mem), 0);
        for (int64_t k = 0; k < count; k++)
            CHECK(fabs((double)out[k] - in[k]) <= rounding(dev) * fabs((double)in[k]));
        /* what is rounded once stays */
        CHECK_INT(dev->ops->activation_write(dev, shapes[i], mem, out), 0);
        CHECK_INT(dev->ops->activation_read(dev, shapes[i], in, mem), 0);
        CHECK(memcmp(in, out, (size_t)count * sizeof(float)) == 0);
        dev->ops->free(dev, mem);
        free(in);
        free(out);
    }
}

static void test_write_read(void)
{
    on_each(write_read_on);
}

/* Row n of a batch is contiguous and has the size of a batch of one: gathered
 * rows are the examples themselves. */
static void rows_on(struct device *dev)
{
    enum { N = 5, WANTED = 3 };
    static const int32_t index[WANTED] = { 4, 0, 2 };
    struct shape all = { N, 10, 3, 5 }, some = { WANTED, 10, 3, 5 }, one = { 1, 10, 3, 5 };
    int64_t row = shape_count(one);

    size_t row_bytes = dev->ops->activation_bytes(dev, one);
    void *from = dev->ops->alloc(dev, dev->ops->activation_bytes(dev, all));
    void *to = dev->ops->alloc(dev, dev->ops->activation_bytes(dev, some));
    float *in = noise_array(8, N * row), *out = calloc((size_t)(N * row), sizeof(float));

    CHECK_INT(dev->ops->activation_bytes(dev, all), N * row_bytes);
    CHECK_INT(dev->ops->activation_write(dev, all, from, in), 0);
    CHECK_INT(dev->ops->activation_read(dev, all, in, from), 0); /* rounded to what the device keeps */
    CHECK_INT(dev->ops->gather_rows(dev, to, from, row_bytes, index, WANTED), 0);
    CHECK_INT(dev->ops->activation_read(dev, some, out, to), 0);
    for (int i = 0; i < WANTED; i++)
        CHECK(memcmp(out + i * row, in + index[i] * row, (size_t)row * sizeof(float)) == 0);
    dev->ops->free(dev, from);
    dev->ops->free(dev, to);
    free(in);
    free(out);
}

static void test_rows(void)
{
    on_each(rows_on);
}

/* A NaN that batch norm and its ReLU swallow would let a diverged training look well. */
static void nan_on(struct device *dev)
{
    enum { C = 3 };
    struct shape s = { 2, C, 4, 4 };
    const float gamma[C] = { 1, 1, 1 };

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
}

static void test_nan(void)
{
    on_each(nan_on);
}

static void memory_on(struct device *dev)
{
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
}

static void test_memory(void)
{
    on_each(memory_on);
}

/* ---- speed ----------------------------------------------------------------------------- */

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Operations may run asynchronously; reading waits. */
static void wait(struct run *run)
{
    float word;

    CHECK_INT(run->dev->ops->read(run->dev, &word, run->mem[0], sizeof(word)), 0);
}

static void speed_one(struct device *dev, const struct op_kind *kind, const struct op_case *c)
{
    struct run run;
    char name[128];
    double best = INFINITY, end;

    case_print(c, name, sizeof(name));
    run_open(&run, dev, kind, c, 0);
    run_must(kind, &run); /* the first call warms up */
    wait(&run);
    end = seconds() + 0.3;
    for (int i = 0; i < 3 || seconds() < end; i++) {
        double start = seconds();

        run_must(kind, &run);
        wait(&run);
        best = fmin(best, seconds() - start);
    }
    printf("%-8s %-24s %-44s %9.3f ms  %8.1f %s\n", dev->ops->name, kind->name, name, best * 1e3,
           run_work(kind, c) / best / 1e9, kind->in_flops ? "GFLOP/s" : "GB/s");
    fflush(stdout);
    run_close(&run, kind);
}

/* Only operations whose name holds `filter`, when it is given. */
static int speed(enum precision precision, const char *filter)
{
    struct device *dev;
    struct fault why = { 0 };

    if (device_open(getenv("RIFT_TEST_DEVICE") ? getenv("RIFT_TEST_DEVICE") : "auto", precision, 0, &dev, &why) < 0) {
        fprintf(stderr, "%s\n", why.message);
        return 1;
    }

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
};

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--speed") == 0)
        return speed(argc > 2 && strcmp(argv[2], "bf16") == 0 ? PRECISION_BF16 : PRECISION_FLOAT32,
                     argc > 3 ? argv[3] : NULL);
    return check_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
