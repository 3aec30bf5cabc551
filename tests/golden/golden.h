/* Where do the golden values lie, and how close is close?
 *
 * They come from an independent implementation and lie beside the repository in
 * `shared/golden` (or in $RIFT_SHARED/golden). Without them these tests skip.
 *
 * Tolerances, relative to the norm of what is compared unless said otherwise:
 *
 *   logits, losses      1e-4   float32 sums in another order
 *   gradients           1e-3   the same through ~20 layers and back; batch norm subtracts large sums
 *   PGD pixels          99.9 % equal: a gradient near 0 may have the other sign. Normalising in
 *                       float instead of double is enough to lose one of the 16 images of 64 px:
 *                       a ReLU within rounding of 0 opens, and 688 pixels go another way
 *   gradients, AWP      the same, but 3e-3 (GRADIENTS_16) in the case of 16 images: the point theta + v
 *                       is known to the rounding of v only, one ReLU gate falls the other way
 *                       there (on both our devices alike), and it is one of few
 *   AWP's delta         1e-3   a gradient, scaled; 6e-5 is measured
 *   weights after SGD   2e-3   gradients' errors, added up over the steps
 *   MRC of a module     5e-3   ten passes of ascent with lr 1 enlarge differences; and 5e-7
 *                              absolute: the golden MRC is a difference of two float32 losses
 *                              of about 2.3, which are multiples of 2.4e-7
 *   interpolation       1e-3   losses of given weights
 *
 * And when the engine computes in bf16, whose numbers are off by up to 2^-8 (1.6e-3 on the average of squares):
 *
 *   logits              4e-3   one or two such roundings; those of the ~20 layers before average out
 *   losses              1e-3   absolute; means over a batch
 *   statistics          5e-3   means over thousands of numbers, some nearly 0 (measured: up to 2.5e-3)
 *   gradients           0.2    ReLUs within a rounding of 0 open or close, each with its whole gradient: measured
 *                              0.03 to 0.15. The direction is the same: 0.2 is a cosine of 0.98
 *   PGD-10              0.95   of the loss that golden PGD adds, judged in float32: pixels can't be compared,
 *                              the sign of a small gradient is another one */
#ifndef RIFT_TESTS_GOLDEN_GOLDEN_H
#define RIFT_TESTS_GOLDEN_GOLDEN_H

#include "job/job.h"
#include "tests/check.h"

#include <limits.h>
#include <sys/stat.h>

enum { GOLDEN_CASES = 4, GOLDEN_64 = 2, GOLDEN_WIDE = 3 };
static const char *const golden_cases[GOLDEN_CASES] = { "resnet18w8-s1", "resnet18w8-gray-s3", "resnet18w8-64-s4",
                                                        "wrn10w2-s2" };

/* How many of them the reference device goes through: WRN takes it minutes, so only under the label `slow`. */
static inline int golden_reference_cases(void)
{
    return getenv("RIFT_TEST_LONG") ? GOLDEN_CASES : GOLDEN_WIDE;
}

static const double LOGITS = 1e-4, GRADIENTS = 1e-3, PERTURBATION = 1e-3, GRADIENTS_16 = 3e-3, PIXELS = 0.999,
                    WEIGHTS = 2e-3, MRC = 5e-3, MRC_ABSOLUTE = 5e-7, INTERPOLATION = 1e-3;
/* Of ten steps of PGD where oneDNN has no AVX-512: it then adds in another order, a gradient
 * within rounding of zero gets the other sign, and each further step carries that on. One step
 * stays within PIXELS there, too, and logits and gradients within theirs. */
static const double PIXELS_OTHER_ORDER = 0.99;
static const double BF16_LOGITS = 4e-3, BF16_LOSSES = 1e-3, BF16_GRADIENTS = 0.2, BF16_STATISTICS = 5e-3,
                    BF16_ATTACK = 0.95;

static inline bool is_directory(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* The folder with the cases; skips the whole program when there is none. */
static inline const char *golden_home(void)
{
    static char path[PATH_MAX];
    const char *shared = getenv("RIFT_SHARED");
    char root[PATH_MAX] = RIFT_ROOT;

    if (shared)
        snprintf(path, sizeof(path), "%.4000s/golden", shared);
    if (*path && is_directory(path))
        return path;
    while (!shared && *root) {
        *strrchr(root, '/') = 0;
        snprintf(path, sizeof(path), "%.4000s/shared/golden", root);
        if (is_directory(path))
            return path;
    }
    check_skip("the golden values (shared/golden) are not here");
    return NULL;
}

struct golden {
    char dir[PATH_MAX];
    json_t *expected;           /* expected.json */
    struct safetensors *values; /* expected.safetensors */
};

static inline struct safetensors *golden_file(const char *dir, const char *name)
{
    char path[PATH_MAX + 64];
    struct safetensors *file = NULL;
    struct fault why = { 0 };

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    if (safetensors_open(path, &file, &why) < 0) {
        fprintf(stderr, "%s\n", why.message);
        exit(1);
    }
    return file;
}

static inline struct golden golden_open(int number)
{
    struct golden g = { 0 };
    char path[PATH_MAX + 64];

    snprintf(g.dir, sizeof(g.dir), "%.4000s/%s", golden_home(), golden_cases[number]);
    snprintf(path, sizeof(path), "%s/expected.json", g.dir);
    g.expected = json_load_file(path, 0, NULL);
    if (!g.expected) {
        fprintf(stderr, "%s: can't be read\n", path);
        exit(1);
    }
    g.values = golden_file(g.dir, "expected.safetensors");
    return g;
}

static inline void golden_close(struct golden *g)
{
    json_decref(g->expected);
    safetensors_close(g->values);
}

/* A tensor's floats, malloc'd (a mapping needn't be aligned). */
static inline float *golden_floats(struct safetensors *file, const char *name, int64_t count)
{
    const struct safetensor *tensor = safetensors_find(file, name);

    if (!tensor || tensor->size != (size_t)count * sizeof(float)) {
        CHECK_FAIL("%s: not there, or of another size", name);
        return calloc((size_t)count, sizeof(float));
    }
    float *copy = malloc(tensor->size);
    memcpy(copy, tensor->data, tensor->size);
    return copy;
}

/* |is - want| / |want| in the 2-norm. */
static inline double norm_error(const float *is, const float *want, int64_t count)
{
    double difference = 0, norm = 0;

    for (int64_t i = 0; i < count; i++) {
        difference += ((double)is[i] - want[i]) * ((double)is[i] - want[i]);
        norm += (double)want[i] * want[i];
    }
    return sqrt(difference / (norm > 0 ? norm : 1));
}

static inline void check_close(const char *what, const char *name, const float *is, const float *want, int64_t count,
                               double tolerance)
{
    double error = norm_error(is, want, count);

    if (!(error <= tolerance))
        CHECK_FAIL("%s: %s differs by %.3g of its norm, allowed %.3g", what, name, error, tolerance);
}

/* Every float tensor of `want_file` beside the same of `is_file`. */
static inline void check_weights(const char *what, struct safetensors *is_file, struct safetensors *want_file,
                                 double tolerance)
{
    for (int i = 0; i < safetensors_count(want_file); i++) {
        const struct safetensor *tensor = safetensors_at(want_file, i);
        int64_t count = (int64_t)(tensor->size / sizeof(float));

        if (tensor->dtype != DTYPE_F32)
            continue;
        float *want = golden_floats(want_file, tensor->name, count), *is = golden_floats(is_file, tensor->name, count);
        check_close(what, tensor->name, is, want, count, tolerance);
        free(want);
        free(is);
    }
}

static inline double golden_number(const json_t *object, const char *first, const char *second)
{
    const json_t *value = json_object_get(object, first);

    if (second)
        value = json_object_get(value, second);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

#endif
