/* How are the binary files of CIFAR-10 and CIFAR-100 read?
 *
 *   cifar10    data_batch_1.bin .. data_batch_5.bin   test_batch.bin   label, pixels
 *   cifar100   train.bin                              test.bin         coarse label, fine label, pixels
 *
 * Pixels are 1024 red, 1024 green, 1024 blue bytes, row by row; the label that
 * counts is the last byte before them. The published files are of one length
 * each; shorter ones are read as well, and fewer batches, as long as none is
 * missing in between, so that a part of CIFAR can be kept in the same form. */
#include "gpu/data/reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { CHANNELS = 3, SIZE = 32, PIXELS = CHANNELS * SIZE * SIZE };

struct flavour {
    const char *title;
    const char *train; /* NULL: data_batch_1.bin, data_batch_2.bin, ... */
    const char *test;
    int batches, train_most, test_most; /* records a file */
    int labels[2];                      /* classes of each label byte; the last counts */
    int label_bytes;
};

static const struct flavour cifar10 = { "CIFAR-10", NULL, "test_batch.bin", 5, 10000, 10000, { 10 }, 1 };
static const struct flavour cifar100 = { "CIFAR-100", "train.bin", "test.bin", 1, 50000, 10000, { 20, 100 }, 2 };

static size_t record_size(const struct flavour *flavour)
{
    return (size_t)flavour->label_bytes + PIXELS;
}

/* Bytes of a batch file; -ENOENT when there is none. */
static int64_t batch_size(const struct flavour *flavour, const char *path, int most, struct fault *why)
{
    int record = (int)record_size(flavour);
    struct stat st;

    if (stat(path, &st) < 0)
        return fault_set(why, -errno, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return fault_set(why, -EINVAL, "%s: not a file", path);
    if (st.st_size == 0 || st.st_size % record != 0 || st.st_size / record > most)
        return fault_set(why, -EBADMSG, "%s: %lld bytes are not 1 to %d records of %d bytes: truncated, or not %s",
                         path, (long long)st.st_size, most, record, flavour->title);
    return st.st_size;
}

static int labels_check(const struct flavour *flavour, const char *path, const uint8_t *records, int count,
                        struct fault *why)
{
    for (int i = 0; i < count; i++)
        for (int k = 0; k < flavour->label_bytes; k++) {
            int label = records[(size_t)i * record_size(flavour) + k];

            if (label >= flavour->labels[k])
                return fault_set(why, -EBADMSG, "%s: record %d has %slabel %d, but %s has labels 0 to %d", path, i,
                                 flavour->label_bytes == 1 ? ""
                                 : k == 0                  ? "coarse "
                                                           : "fine ",
                                 label, flavour->title, flavour->labels[k] - 1);
        }
    return 0;
}

/* Append a batch to the records in `own`. */
static int batch_read(const struct flavour *flavour, const char *path, int most, struct file_set *set,
                      struct fault *why)
{
    int64_t expected = batch_size(flavour, path, most, why);

    if (expected < 0)
        return (int)expected;
    char *data;
    size_t size, before = (size_t)set->count * record_size(flavour);
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
    set->count += (int)(size / record_size(flavour));
    return labels_check(flavour, path, grown + before, (int)(size / record_size(flavour)), why);
}

static char *batch_path(const struct flavour *flavour, const char *folder, int number)
{
    char name[32];

    if (flavour->train)
        return path_join(folder, flavour->train);
    snprintf(name, sizeof(name), "data_batch_%d.bin", number);
    return path_join(folder, name);
}

/* FOLDER/data_batch_1.bin up to the last one there, or FOLDER/train.bin. */
static int batches_read(const struct flavour *flavour, const char *folder, struct file_set *set, struct fault *why)
{
    int last = 1;
    struct stat st;

    for (int i = 1; i <= flavour->batches; i++) {
        char *path = batch_path(flavour, folder, i);

        if (path && stat(path, &st) == 0)
            last = i;
        free(path);
    }
    for (int i = 1; i <= last; i++) {
        char *path = batch_path(flavour, folder, i);
        int r = path ? batch_read(flavour, path, flavour->train_most, set, why)
                     : fault_set(why, -ENOMEM, "%s: out of memory", folder);

        free(path);
        if (r < 0)
            return r;
    }
    return 0;
}

static int test_read(const struct flavour *flavour, const char *path, struct file_set *set, struct fault *why)
{
    struct stat st;

    if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) /* test_path may name the file itself */
        return batch_read(flavour, path, flavour->test_most, set, why);
    char *file = path_join(path, flavour->test);
    int r = file ? batch_read(flavour, file, flavour->test_most, set, why)
                 : fault_set(why, -ENOMEM, "%s: out of memory", path);

    free(file);
    return r;
}

static int open_cifar(const struct flavour *flavour, const struct data_request *request, struct file_set *set,
                      struct fault *why)
{
    const char *path = request->test && request->test_path ? request->test_path : request->path;
    int r = fit_check(path, CHANNELS, SIZE, SIZE, request->input, why);

    if (r == 0)
        r = request->test ? test_read(flavour, path, set, why) : batches_read(flavour, path, set, why);
    if (r < 0)
        return r;
    const uint8_t *pixels = (const uint8_t *)set->own + flavour->label_bytes;

    set->name = strdup(path);
    set->label = malloc(set->count * sizeof(*set->label));
    if (!set->name || !set->label)
        return fault_set(why, -ENOMEM, "%s: no memory for %d labels", path, set->count);
    set->data = pixels;
    set->stride = record_size(flavour);
    for (int i = 0; i < set->count; i++)
        set->label[i] = pixels[(ptrdiff_t)((size_t)i * set->stride) - 1]; /* the byte before the first pixel */
    set->c = CHANNELS;
    set->h = set->w = SIZE;
    return 0;
}

static int open_cifar10(const struct data_request *request, struct file_set *set, struct fault *why)
{
    return open_cifar(&cifar10, request, set, why);
}

static int open_cifar100(const struct data_request *request, struct file_set *set, struct fault *why)
{
    return open_cifar(&cifar100, request, set, why);
}

static void close_cifar(struct file_set *set)
{
    free(set->own);
}

const struct reader reader_cifar10 = { "cifar10", open_cifar10, NULL, close_cifar };
const struct reader reader_cifar100 = { "cifar100", open_cifar100, NULL, close_cifar };
