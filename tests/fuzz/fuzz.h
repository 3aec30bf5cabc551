/* What do the fuzz targets share?
 *
 * A target is one file with one function, fuzz_one. libFuzzer calls it with
 * inputs of its own (-DRIFT_FUZZ=ON, clang); replay.c calls it with the files
 * of tests/fuzz/corpus, in every test run and with any compiler. A target
 * aborts on what must never be, so that both see it as a crash. */
#ifndef RIFT_TESTS_FUZZ_H
#define RIFT_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Look at one input. Must leave nothing behind that the next call sees. */
void fuzz_one(const uint8_t *data, size_t size);

/* A promise: broken, it is a finding. */
#define PROMISE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__, __LINE__, #condition);                            \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* A directory for this process, in memory where the machine has such a place;
 * made at the first call, removed at exit. */
const char *scratch_dir(void);
/* "DIR/NAME" of it in a buffer of the caller's. */
void scratch_path(const char *name, char ret[512]);
/* Let the file `name` hold exactly these bytes, and give its path. */
void scratch_file(const char *name, const void *data, size_t size, char ret_path[512]);
/* The first two bytes, little-endian, say where the input is cut in two: files
 * that belong together come out of one input. */
struct halves {
    const uint8_t *first, *second;
    size_t first_size, second_size;
};
struct halves halves_cut(const uint8_t *data, size_t size);

#endif
