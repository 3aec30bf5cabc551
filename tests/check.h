/* How do our C tests speak?
 *
 * A test program is a table of sentences and functions; CHECK_* print both
 * sides and count; a program that must not run here exits 77 through
 * check_skip and says why. No library: the engine's tests also run on machines
 * where nothing can be installed. */
#ifndef RIFT_TESTS_CHECK_H
#define RIFT_TESTS_CHECK_H

#include <ftw.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct check_case {
    const char *sentence; /* "a torn last line is cut off" */
    void (*run)(void);
};

static int check_failures;

#define CHECK_FAIL(...)                                       \
    do {                                                      \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);       \
        fprintf(stderr, __VA_ARGS__);                         \
        fputc('\n', stderr);                                  \
        check_failures++;                                     \
    } while (0)

#define CHECK(condition)                                      \
    do {                                                      \
        if (!(condition))                                     \
            CHECK_FAIL("not true: %s", #condition);           \
    } while (0)

#define CHECK_INT(actual, expected)                                                              \
    do {                                                                                         \
        intmax_t a_ = (intmax_t)(actual), e_ = (intmax_t)(expected);                             \
        if (a_ != e_)                                                                            \
            CHECK_FAIL("%s is %" PRIdMAX ", expected %" PRIdMAX, #actual, a_, e_);               \
    } while (0)

#define CHECK_STRING(actual, expected)                                                           \
    do {                                                                                         \
        const char *a_ = (actual), *e_ = (expected);                                             \
        if (!a_ || !e_ ? a_ != e_ : strcmp(a_, e_) != 0)                                         \
            CHECK_FAIL("%s is \"%s\", expected \"%s\"", #actual, a_ ? a_ : "(null)", e_ ? e_ : "(null)"); \
    } while (0)

/* `actual` holds `part` somewhere. */
#define CHECK_HOLDS(actual, part)                                                                \
    do {                                                                                         \
        const char *a_ = (actual), *e_ = (part);                                                 \
        if (!a_ || !strstr(a_, e_))                                                              \
            CHECK_FAIL("%s is \"%s\", which lacks \"%s\"", #actual, a_ ? a_ : "(null)", e_);     \
    } while (0)

/* |actual - expected| <= tolerance * max(1, |expected|); NaN never passes. */
#define CHECK_NEAR(actual, expected, tolerance)                                                  \
    do {                                                                                         \
        double a_ = (actual), e_ = (expected), t_ = (tolerance);                                 \
        if (!(fabs(a_ - e_) <= t_ * fmax(1.0, fabs(e_))))                                        \
            CHECK_FAIL("%s is %.9g, expected %.9g within %g", #actual, a_, e_, t_);              \
    } while (0)

static inline void check_skip(const char *why)
{
    printf("skipped: %s\n", why);
    exit(77);
}

/* The device that engine tests run on beside the reference: RIFT_TEST_DEVICE, or the CPU. */
static inline const char *check_device(void)
{
    const char *device = getenv("RIFT_TEST_DEVICE");

    return device ? device : "cpu";
}

/* A fresh directory under $TMPDIR or /tmp; check_rmdir removes it whole. */
static inline char *check_tmpdir(void)
{
    const char *base = getenv("TMPDIR");
    char *path = NULL;

    if (asprintf(&path, "%s/rift-test-XXXXXX", base && *base ? base : "/tmp") < 0 || !mkdtemp(path)) {
        perror("mkdtemp");
        exit(1);
    }
    return path;
}

static inline int check_unlink(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void check_rmdir(char *path)
{
    nftw(path, check_unlink, 16, FTW_DEPTH | FTW_PHYS);
    free(path);
}

/* Run the cases (only those whose sentence holds argv[1], when given). */
static inline int check_main(const struct check_case *cases, int count, int argc, char **argv)
{
    int failed = 0, ran = 0;

    for (int i = 0; i < count; i++) {
        if (argc > 1 && !strstr(cases[i].sentence, argv[1]))
            continue;
        int before = check_failures;
        cases[i].run();
        ran++;
        bool ok = check_failures == before;
        failed += !ok;
        printf("%s  %s\n", ok ? "ok    " : "FAILED", cases[i].sentence);
        fflush(stdout);
    }
    printf("%d passed, %d failed\n", ran - failed, failed);
    return failed || !ran;
}

#define CHECK_MAIN(cases)                                                                        \
    int main(int argc, char **argv)                                                              \
    {                                                                                            \
        return check_main(cases, (int)(sizeof(cases) / sizeof((cases)[0])), argc, argv);         \
    }

#endif
