/* How are CIFAR-10's binary files read?
 *
 * data_batch_1.bin, data_batch_2.bin, ... and test_batch.bin: records of one
 * label byte and 1024 red, 1024 green, 1024 blue, row by row. The published
 * files have 10,000 records each and there are five of them; shorter files and
 * fewer of them are read as well, as long as none is missing in between, so
 * that a part of CIFAR can be kept in the same form. */
#include "gpu/data/reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { CLASSES = 10, CHANNELS = 3, SIZE = 32, RECORD = 1 + CHANNELS * SIZE * SIZE, RECORDS_MAX = 10000, BATCHES = 5 };

/* Bytes of a batch file; -ENOENT when there is none. */
static int64_t batch_size(const char *path, struct fault *why)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return fault_set(why, -errno, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return fault_set(why, -EINVAL, "%s: not a file", path);
    if (st.st_size == 0 || st.st_size % RECORD != 0 || st.st_size / RECORD > RECORDS_MAX)
        return fault_set(why, -EBADMSG,
                         "%s: %lld bytes are not 1 to %d records of %d bytes: truncated, or not CIFAR-10", path,
                         (long long)st.st_size, RECORDS_MAX, RECORD);
    return st.st_size;
}

/* Append a batch to the records in `own`. */
static int batch_read(const char *path, struct file_set *set, struct fault *why)
{
    int64_t expected = batch_size(path, why);

    if (expected < 0)
        return (int)expected;
    char *data;
    size_t size, before = (size_t)set->count * RECORD;
    int r = file_read(path, (size_t)expected, &data, &size, why);

    if (r < 0)
        return r;
    uint8_t *grown = size == (size_t)expected ? realloc(set->own, before + size) : NULL;

    if (!grown) {
        free(data);
        return fault_set(why, -EIO, "%s: changed while it was read, or out of memory", path);
    }
    memcpy(grown + before, data, size);
    free(data);
    set->own = grown;
    set->count += (int)(size / RECORD);
    for (size_t i = before / RECORD; i < (size_t)set->count; i++)
        if (grown[i * RECORD] >= CLASSES)
            return fault_set(why, -EBADMSG, "%s: record %zu has label %d, but CIFAR-10 has labels 0 to %d", path,
                             i - before / RECORD, grown[i * RECORD], CLASSES - 1);
    return 0;
}

/* FOLDER/data_batch_1.bin up to the last one there. */
static int batches_read(const char *folder, struct file_set *set, struct fault *why)
{
    int last = 1;
    char name[32];
    struct stat st;

    for (int i = 1; i <= BATCHES; i++) {
        snprintf(name, sizeof(name), "data_batch_%d.bin", i);
        char *path = path_join(folder, name);

        if (path && stat(path, &st) == 0)
            last = i;
        free(path);
    }
    for (int i = 1; i <= last; i++) {
        snprintf(name, sizeof(name), "data_batch_%d.bin", i);
        char *path = path_join(folder, name);
        int r = path ? batch_read(path, set, why) : fault_set(why, -ENOMEM, "%s: out of memory", folder);

        free(path);
        if (r < 0)
            return r;
    }
    return 0;
}

static int test_read(const char *path, struct file_set *set, struct fault *why)
{
    struct stat st;

    if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) /* test_path may name the file itself */
        return batch_read(path, set, why);
    char *file = path_join(path, "test_batch.bin");
    int r = file ? batch_read(file, set, why) : fault_set(why, -ENOMEM, "%s: out of memory", path);

    free(file);
    return r;
}

static int open_cifar10(const struct data_request *request, struct file_set *set, struct fault *why)
{
    const char *path = request->test && request->test_path ? request->test_path : request->path;
    int r = fit_check(path, CHANNELS, SIZE, SIZE, request->input, why);

    if (r == 0)
        r = request->test ? test_read(path, set, why) : batches_read(path, set, why);
    if (r < 0)
        return r;
    const uint8_t *records = set->own;

    set->name = strdup(path);
    set->label = malloc(set->count * sizeof(*set->label));
    if (!set->name || !set->label)
        return fault_set(why, -ENOMEM, "%s: no memory for %d labels", path, set->count);
    for (int i = 0; i < set->count; i++)
        set->label[i] = records[(size_t)i * RECORD];
    set->data = records + 1;
    set->stride = RECORD;
    set->c = CHANNELS;
    set->h = set->w = SIZE;
    return 0;
}

static void close_cifar10(struct file_set *set)
{
    free(set->own);
}

const struct reader reader_cifar10 = { "cifar10", open_cifar10, NULL, close_cifar10 };
