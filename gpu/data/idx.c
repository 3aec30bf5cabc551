/* How are MNIST-style files read?
 *
 * Two files a side, big-endian: images {0x00000803, N, H, W, bytes} and labels
 * {0x00000801, N, bytes}, plain or gzipped. zlib's gzread looks at the first
 * bytes itself and passes plain files through, so the name's ending decides
 * nothing.
 *
 * Surprising: a gzip's unpacked size is not known before it is unpacked. A
 * header is believed only up to what deflate could possibly have packed into
 * the file's size. */
#include "gpu/data/reader.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { MAGIC_LABELS = 0x801, MAGIC_IMAGES = 0x803, DEFLATE_MAX_RATIO = 1032 };

struct idx_file {
    char *path;
    gzFile file;
    uint64_t size_limit; /* bytes it may hold unpacked */
};

static void idx_close(struct idx_file *idx)
{
    if (idx->file)
        gzclose_r(idx->file);
    free(idx->path);
}

/* As published (train-images-idx3-ubyte.gz), unpacked, or with the dot that
 * some tools unpack them with. */
static int file_find(const char *folder, const char *stem, int rank, char **ret_path, struct fault *why)
{
    static const char separators[] = "--..";

    for (int i = 0; i < 4; i++) {
        char name[64];

        snprintf(name, sizeof(name), "%s%cidx%d-ubyte%s", stem, separators[i], rank, i % 2 ? ".gz" : "");
        char *path = path_join(folder, name);

        if (!path)
            return fault_set(why, -ENOMEM, "%s: out of memory", folder);
        if (access(path, F_OK) == 0) {
            *ret_path = path;
            return 0;
        }
        free(path);
    }
    return fault_set(why, -ENOENT, "%s: holds no %s-idx%d-ubyte or %s-idx%d-ubyte.gz", folder, stem, rank, stem, rank);
}

static int bytes_read(struct idx_file *idx, void *to, uint64_t size, struct fault *why)
{
    for (uint64_t done = 0; done < size;) {
        unsigned piece = size - done > (1u << 30) ? 1u << 30 : (unsigned)(size - done);
        int n = gzread(idx->file, (uint8_t *)to + done, piece);
        int error = Z_OK;
        const char *words = gzerror(idx->file, &error);

        if (n < 0 || (n == 0 && error != Z_OK))
            return fault_set(why, -EBADMSG, "%s: damaged or truncated: %s", idx->path, words);
        if (n == 0)
            return fault_set(why, -EBADMSG, "%s: truncated: ends %llu bytes early", idx->path,
                             (unsigned long long)(size - done));
        done += (unsigned)n;
    }
    return 0;
}

/* Nothing may follow. Reading past the end is also what makes zlib compare the
 * gzip's checksum. */
static int end_check(struct idx_file *idx, struct fault *why)
{
    uint8_t extra;
    int n = gzread(idx->file, &extra, 1), error = Z_OK;
    const char *words = gzerror(idx->file, &error);

    if (n > 0)
        return fault_set(why, -EBADMSG, "%s: longer than its header says", idx->path);
    if (n < 0 || error != Z_OK)
        return fault_set(why, -EBADMSG, "%s: damaged or truncated: %s", idx->path, words);
    return 0;
}

/* Open FOLDER/STEM-idxRANK-ubyte and read its header: rank dimensions. */
static int idx_open(const char *folder, const char *stem, uint32_t magic, uint32_t *ret_dimensions,
                    struct idx_file *ret, struct fault *why)
{
    int rank = magic & 0xff;
    uint8_t header[16];
    struct stat st;
    int r = file_find(folder, stem, rank, &ret->path, why);

    if (r < 0)
        return r;
    ret->file = gzopen(ret->path, "rb");
    if (!ret->file || stat(ret->path, &st) < 0)
        return fault_set(why, -(errno ? errno : ENOMEM), "%s: %s", ret->path, strerror(errno ? errno : ENOMEM));
    if (!S_ISREG(st.st_mode))
        return fault_set(why, -EINVAL, "%s: not a file", ret->path);
    gzbuffer(ret->file, 256 << 10);
    r = bytes_read(ret, header, 4 + 4 * (size_t)rank, why);
    if (r < 0)
        return r;
    ret->size_limit = (uint64_t)st.st_size * (gzdirect(ret->file) ? 1 : DEFLATE_MAX_RATIO);
    for (int i = 0; i <= rank; i++) {
        const uint8_t *b = header + 4 * i;
        uint32_t value = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];

        if (i == 0 && value != magic)
            return fault_set(why, -EBADMSG, "%s: starts with %08x, expected %08x: not IDX %s", ret->path, value, magic,
                             magic == MAGIC_IMAGES ? "images" : "labels");
        if (i > 0)
            ret_dimensions[i - 1] = value;
    }
    return 0;
}

/* The bytes after the header, `size` of them and no more. */
static int body_read(struct idx_file *idx, uint64_t size, uint8_t **ret, struct fault *why)
{
    if (size > DATA_LIMIT_BYTES || size > idx->size_limit)
        return fault_set(why, -EBADMSG, "%s: truncated: its header promises %llu bytes, more than the file can hold",
                         idx->path, (unsigned long long)size);
    uint8_t *body = malloc(size);

    if (!body)
        return fault_set(why, -ENOMEM, "%s: no memory for %llu bytes", idx->path, (unsigned long long)size);
    int r = bytes_read(idx, body, size, why);

    if (r == 0)
        r = end_check(idx, why);
    if (r < 0) {
        free(body);
        return r;
    }
    *ret = body;
    return 0;
}

static int images_read(const char *folder, const char *stem, const int input[3], struct file_set *set,
                       struct fault *why)
{
    struct idx_file idx = { 0 };
    uint32_t size[3] = { 0 }; /* N, H, W */
    int r = idx_open(folder, stem, MAGIC_IMAGES, size, &idx, why);

    if (r == 0 && (size[0] == 0 || size[0] > INT_MAX))
        r = fault_set(why, -EBADMSG, "%s: holds %u images", idx.path, size[0]);
    if (r == 0)
        r = fit_check(idx.path, 1, size[1], size[2], input, why);
    if (r == 0) {
        uint8_t *pixels;

        set->stride = (size_t)size[1] * size[2]; /* small: it fits the model's input */
        r = body_read(&idx, set->stride * size[0], &pixels, why);
        if (r == 0) {
            set->own = pixels;
            set->data = pixels;
        }
    }
    if (r == 0) {
        set->count = (int)size[0];
        set->c = 1;
        set->h = (int)size[1];
        set->w = (int)size[2];
    }
    if (r == 0 && !(set->name = strdup(idx.path)))
        r = fault_set(why, -ENOMEM, "%s: out of memory", folder);
    idx_close(&idx);
    return r;
}

static int labels_read(const char *folder, const char *stem, struct file_set *set, struct fault *why)
{
    struct idx_file idx = { 0 };
    uint32_t count = 0;
    uint8_t *body = NULL;
    int r = idx_open(folder, stem, MAGIC_LABELS, &count, &idx, why);

    if (r == 0 && count != (uint32_t)set->count)
        r = fault_set(why, -EBADMSG, "%s: %u labels for the %d images of %s", idx.path, count, set->count, set->name);
    if (r == 0)
        r = body_read(&idx, count, &body, why);
    if (r == 0) {
        set->label = malloc(count * sizeof(*set->label));
        if (!set->label)
            r = fault_set(why, -ENOMEM, "%s: no memory for %u labels", idx.path, count);
        for (uint32_t i = 0; r == 0 && i < count; i++)
            set->label[i] = body[i];
        /* From here on messages are about labels: name their file. */
        char *name = strdup(idx.path);

        free(set->name);
        set->name = name;
    }
    free(body);
    idx_close(&idx);
    return r;
}

static int open_idx(const struct data_request *request, struct file_set *set, struct fault *why)
{
    const char *folder = request->test && request->test_path ? request->test_path : request->path;
    int r = images_read(folder, request->test ? "t10k-images" : "train-images", request->input, set, why);

    if (r == 0)
        r = labels_read(folder, request->test ? "t10k-labels" : "train-labels", set, why);
    if (r == 0 && !set->name)
        r = fault_set(why, -ENOMEM, "%s: out of memory", folder);
    return r;
}

static void close_idx(struct file_set *set)
{
    free(set->own);
}

const struct reader reader_idx = { "idx", open_idx, NULL, close_idx };
