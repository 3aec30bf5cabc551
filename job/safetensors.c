/* How do named arrays get into a file and, carefully, out of it again?
 *
 *   8 bytes   length of the header, little-endian
 *   header    JSON: {"__metadata__": {..}, "name": {"dtype", "shape", "data_offsets": [begin, end]}}
 *   data      the arrays, one after the other; offsets count from here
 *
 * Files come from strangers, so reading is one walk of checks: the header fits
 * into the file, every tensor's bytes are what its shape and dtype ask for, and
 * together they cover the data exactly, without holes, overlaps or a rest. What
 * is left after that is a table of pointers into a read-only mapping.
 *
 * Surprising: the mapping shows later changes of the file, and one that is
 * shortened while we read is a SIGBUS. All our own writers replace files
 * whole, so the old one stays as it was for whoever has it open. */
#include "job/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "safetensors are little-endian, and copied as they are");

enum { LENGTH_BYTES = 8, RANK_MAX = 8 };
static const uint64_t header_limit = 100000000; /* the format's own */

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {
    [DTYPE_U8] = { "U8", 1 },   [DTYPE_I32] = { "I32", 4 }, [DTYPE_I64] = { "I64", 8 },
    [DTYPE_F32] = { "F32", 4 }, [DTYPE_F64] = { "F64", 8 },
};
enum { DTYPE_COUNT = sizeof(dtypes) / sizeof(dtypes[0]) };

struct safetensors {
    void *map;
    size_t map_size;
    json_t *header;           /* names and metadata strings live in it */
    struct safetensor *table; /* ascending by place in the file */
    int count;
};

size_t dtype_size(enum dtype dtype)
{
    return dtypes[dtype].size;
}

static int dtype_find(const char *name)
{
    for (int i = 0; i < DTYPE_COUNT; i++)
        if (strcmp(dtypes[i].name, name) == 0)
            return i;
    return -ENOENT;
}

/* Bytes of an array of this shape; -EOVERFLOW when no file can hold it. */
static int64_t bytes_of(enum dtype dtype, int rank, const int64_t *shape)
{
    int64_t bytes = (int64_t)dtypes[dtype].size;

    for (int i = 0; i < rank; i++)
        if (__builtin_mul_overflow(bytes, shape[i], &bytes))
            return -EOVERFLOW;
    return bytes;
}

/* ---- reading --------------------------------------------------------------- */

/* Shape and dtype of one header entry. */
static int entry_shape(const char *path, const char *name, const json_t *entry, struct safetensor *tensor,
                       struct fault *why)
{
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    const json_t *shape = json_object_get(entry, "shape");
    int found = dtype ? dtype_find(dtype) : -ENOENT;

    if (!dtype)
        return fault_set(why, -EINVAL, "%s: tensor \"%s\" has no dtype", path, name);
    if (found < 0)
        return fault_set(why, -EINVAL,
                         "%s: tensor \"%s\" has dtype \"%s\", but only U8, I32, I64, F32 and F64 are known", path, name,
                         dtype);
    if (!json_is_array(shape) || json_array_size(shape) > RANK_MAX)
        return fault_set(why, -EINVAL, "%s: the shape of tensor \"%s\" isn't a list of at most %d dimensions", path,
                         name, RANK_MAX);
    tensor->dtype = (enum dtype)found;
    tensor->rank = (int)json_array_size(shape);
    for (int i = 0; i < tensor->rank; i++) {
        const json_t *extent = json_array_get(shape, (size_t)i);
        if (!json_is_integer(extent) || json_integer_value(extent) < 0)
            return fault_set(why, -EINVAL, "%s: dimension %d of tensor \"%s\" isn't a whole number of 0 or more", path,
                             i, name);
        tensor->shape[i] = json_integer_value(extent);
    }
    return 0;
}

/* One header entry becomes one row; its bytes lie inside `data`. */
static int entry_read(const char *path, const char *name, const json_t *entry, const char *data, int64_t data_size,
                      struct safetensor *ret, struct fault *why)
{
    struct safetensor tensor = { .name = name };
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    int64_t from = json_integer_value(begin), to = json_integer_value(end), bytes;
    int r = json_is_object(entry)
                ? entry_shape(path, name, entry, &tensor, why)
                : fault_set(why, -EINVAL, "%s: the entry of tensor \"%s\" isn't an object", path, name);

    if (r < 0)
        return r;
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return fault_set(why, -EINVAL, "%s: data_offsets of tensor \"%s\" aren't two whole numbers", path, name);
    if (from < 0 || to < from || to > data_size)
        return fault_set(why, -EINVAL, "%s: tensor \"%s\" lies at bytes %lld to %lld of %lld bytes of data", path, name,
                         (long long)from, (long long)to, (long long)data_size);
    bytes = bytes_of(tensor.dtype, tensor.rank, tensor.shape);
    if (bytes < 0)
        return fault_set(why, -EINVAL, "%s: the shape of tensor \"%s\" is too large for any file", path, name);
    if (bytes != to - from)
        return fault_set(why, -EINVAL, "%s: tensor \"%s\" has %lld bytes, but its shape and dtype need %lld", path,
                         name, (long long)(to - from), (long long)bytes);
    tensor.data = data + from;
    tensor.size = (size_t)bytes;
    *ret = tensor;
    return 0;
}

/* Ascending by place; an empty tensor stands before the one that starts there. */
static int compare_place(const void *left, const void *right)
{
    const struct safetensor *a = left, *b = right;

    if (a->data != b->data)
        return (const char *)a->data < (const char *)b->data ? -1 : 1;
    if ((a->size == 0) != (b->size == 0))
        return a->size == 0 ? -1 : 1;
    return strcmp(a->name, b->name);
}

/* Every byte of data belongs to exactly one tensor. */
static int check_cover(const char *path, const struct safetensors *file, const char *data, int64_t data_size,
                       struct fault *why)
{
    int64_t covered = 0;

    for (int i = 0; i < file->count; i++) {
        const struct safetensor *tensor = &file->table[i];
        int64_t from = (const char *)tensor->data - data;

        if (from != covered)
            return fault_set(why, -EINVAL,
                             "%s: tensor \"%s\" starts at byte %lld of the data, but the one before ends at %lld", path,
                             tensor->name, (long long)from, (long long)covered);
        covered += (int64_t)tensor->size;
    }
    if (covered != data_size)
        return fault_set(why, -EINVAL, "%s: %lld bytes of data belong to no tensor", path,
                         (long long)(data_size - covered));
    return 0;
}

static int check_metadata(const char *path, const json_t *metadata, struct fault *why)
{
    const char *key;
    json_t *value;

    if (metadata && !json_is_object(metadata))
        return fault_set(why, -EINVAL, "%s: __metadata__ isn't an object", path);
    json_object_foreach((json_t *)metadata, key, value) if (!json_is_string(value)) return fault_set(
        why, -EINVAL, "%s: __metadata__ \"%s\" isn't a string", path, key);
    return 0;
}

static int read_table(const char *path, struct safetensors *file, const char *data, int64_t data_size,
                      struct fault *why)
{
    json_t *metadata = json_object_get(file->header, "__metadata__"), *entry;
    const char *name;
    int r = check_metadata(path, metadata, why);

    if (r < 0)
        return r;
    file->table = calloc(json_object_size(file->header) + 1, sizeof(*file->table));
    if (!file->table)
        return fault_set(why, -ENOMEM, "%s: no memory for its %zu tensors", path, json_object_size(file->header));
    json_object_foreach(file->header, name, entry)
    {
        if (entry == metadata)
            continue;
        r = entry_read(path, name, entry, data, data_size, &file->table[file->count], why);
        if (r < 0)
            return r;
        file->count++;
    }
    qsort(file->table, (size_t)file->count, sizeof(*file->table), compare_place);
    return check_cover(path, file, data, data_size, why);
}

/* The header of the mapped file, and the rows that it promises. */
static int parse(const char *path, struct safetensors *file, struct fault *why)
{
    const char *bytes = file->map;
    json_error_t error;
    uint64_t length;

    memcpy(&length, bytes, LENGTH_BYTES);
    if (length > header_limit)
        return fault_set(why, -EINVAL, "%s: not a safetensors file (its header would be %llu bytes long)", path,
                         (unsigned long long)length);
    if (length > file->map_size - LENGTH_BYTES)
        return fault_set(why, -EINVAL, "%s: the file is cut off inside its header", path);
    if (length < 2 || bytes[LENGTH_BYTES] != '{')
        return fault_set(why, -EINVAL, "%s: not a safetensors file (its header isn't a JSON object)", path);
    file->header = json_loadb(bytes + LENGTH_BYTES, (size_t)length, JSON_REJECT_DUPLICATES, &error);
    if (!file->header)
        return fault_set(why, -EINVAL, "%s: its header isn't JSON: %s at byte %d", path, error.text, error.position);
    return read_table(path, file, bytes + LENGTH_BYTES + length, (int64_t)(file->map_size - LENGTH_BYTES - length),
                      why);
}

static int map_file(const char *path, struct safetensors *file, struct fault *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), code = 0;
    struct stat st;

    if (fd < 0)
        return fault_set(why, -errno, "%s: cannot be opened: %s", path, strerror(errno));
    if (fstat(fd, &st) < 0) {
        code = fault_set(why, -errno, "%s: cannot be read: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        code = fault_set(why, -EINVAL, "%s: isn't a file", path);
    } else if (st.st_size < LENGTH_BYTES + 2) {
        code =
            fault_set(why, -EINVAL, "%s: %lld bytes are too short for a safetensors file", path, (long long)st.st_size);
    } else {
        file->map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        file->map_size = (size_t)st.st_size;
        if (file->map == MAP_FAILED) {
            file->map = NULL;
            code = fault_set(why, -errno, "%s: cannot be mapped: %s", path, strerror(errno));
        }
    }
    close(fd);
    return code;
}

int safetensors_open(const char *path, struct safetensors **ret, struct fault *why)
{
    struct safetensors *file = calloc(1, sizeof(*file));
    int r;

    if (!file)
        return fault_set(why, -ENOMEM, "%s: no memory", path);
    r = map_file(path, file, why);
    if (r == 0)
        r = parse(path, file, why);
    if (r < 0) {
        safetensors_close(file);
        return r;
    }
    *ret = file;
    return 0;
}

void safetensors_close(struct safetensors *file)
{
    if (!file)
        return;
    free(file->table);
    json_decref(file->header);
    if (file->map)
        munmap(file->map, file->map_size);
    free(file);
}

int safetensors_count(const struct safetensors *file)
{
    return file->count;
}

const struct safetensor *safetensors_at(const struct safetensors *file, int index)
{
    return index >= 0 && index < file->count ? &file->table[index] : NULL;
}

const struct safetensor *safetensors_find(const struct safetensors *file, const char *name)
{
    for (int i = 0; i < file->count; i++)
        if (strcmp(file->table[i].name, name) == 0)
            return &file->table[i];
    return NULL;
}

const char *safetensors_metadata(const struct safetensors *file, const char *key)
{
    return json_string_value(json_object_get(json_object_get(file->header, "__metadata__"), key));
}

/* ---- writing --------------------------------------------------------------- */

static int header_add(json_t *header, const struct safetensor *tensor, int64_t from)
{
    json_t *shape = json_array();
    int bad = shape == NULL;

    for (int i = 0; i < tensor->rank && !bad; i++)
        bad = json_array_append_new(shape, json_integer(tensor->shape[i])) < 0;
    json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtypes[tensor->dtype].name, "shape", shape,
                              "data_offsets", (json_int_t)from, (json_int_t)(from + (int64_t)tensor->size));
    return bad || json_object_set_new(header, tensor->name, entry) < 0 ? -ENOMEM : 0;
}

/* The header's JSON, padded with blanks so that the data starts at a multiple
 * of 8. free() it. */
static int header_text(const char *name, const struct safetensor *tensors, int count, const json_t *metadata,
                       char **ret_text, size_t *ret_length, struct fault *why)
{
    json_auto_t *header = json_object();
    int64_t from = 0;
    int r = metadata ? check_metadata(name, metadata, why) : 0;

    if (r < 0)
        return r;
    if (!header || (metadata && json_object_set_new(header, "__metadata__", json_deep_copy(metadata)) < 0))
        return fault_set(why, -ENOMEM, "%s: no memory for its header", name);
    for (int i = 0; i < count; i++) {
        const struct safetensor *tensor = &tensors[i];

        if (tensor->rank < 0 || tensor->rank > RANK_MAX ||
            bytes_of(tensor->dtype, tensor->rank, tensor->shape) != (int64_t)tensor->size)
            return fault_set(why, -EINVAL, "%s: the size of tensor \"%s\" doesn't match its shape", name, tensor->name);
        if (json_object_get(header, tensor->name) || strcmp(tensor->name, "__metadata__") == 0)
            return fault_set(why, -EINVAL, "%s: there are two tensors \"%s\"", name, tensor->name);
        r = header_add(header, tensor, from);
        if (r < 0)
            return fault_set(why, r, "%s: tensor \"%s\" cannot be described", name, tensor->name);
        from += (int64_t)tensor->size;
    }

    size_t bare = json_dumpb(header, NULL, 0, JSON_COMPACT), length = (bare + 7) / 8 * 8;
    char *text = bare ? malloc(length) : NULL;
    if (!text)
        return fault_set(why, -ENOMEM, "%s: no memory for its header", name);
    json_dumpb(header, text, bare, JSON_COMPACT);
    memset(text + bare, ' ', length - bare);
    *ret_text = text;
    *ret_length = length;
    return 0;
}

int safetensors_write(const char *dir, const char *name, const struct safetensor *tensors, int count,
                      const json_t *metadata, char ret_sha256[65], int64_t *ret_size, struct fault *why)
{
    struct aside aside;
    char *header = NULL;
    size_t length = 0;
    int r = header_text(name, tensors, count, metadata, &header, &length, why);

    if (r < 0)
        return r;
    r = aside_open(dir, name, &aside, why);
    if (r < 0) {
        free(header);
        return r;
    }
    uint64_t stored = length;
    r = aside_write(&aside, &stored, LENGTH_BYTES, why);
    if (r == 0)
        r = aside_write(&aside, header, length, why);
    free(header);
    for (int i = 0; i < count && r == 0; i++)
        r = aside_write(&aside, tensors[i].data, tensors[i].size, why);
    if (r < 0) {
        aside_discard(&aside);
        return r;
    }
    r = aside_commit(&aside, why);
    if (r < 0)
        return r;
    if (ret_sha256)
        sha256_finish(&aside.sha, ret_sha256);
    if (ret_size)
        *ret_size = aside.size;
    return 0;
}
