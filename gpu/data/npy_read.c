/* How is a .npy file read?
 *
 *   93 'NUMPY' 01 00 | uint16 length | {'descr': '|u1', 'fortran_order': False, 'shape': (5, 2), } ...\n | data
 *   93 'NUMPY' 02 00 | uint32 length | the same
 *
 * The header is the text of a Python dictionary. Only the three members that
 * are written there are understood, in any order, and nothing is evaluated. */
#include "gpu/data/npy_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAGIC_BYTES = 8, HEADER_MOST = 64 << 10 };

/* ---- the dictionary ------------------------------------------------------------- */

struct header {
    char descr[8];
    bool fortran, has_descr, has_order, has_shape;
    int rank;
    int64_t shape[NPY_RANK_MOST];
};

static const char *skip(const char *at)
{
    return at + strspn(at, " \t\n\r");
}

/* A quoted word at `at`: what follows it, or NULL. */
static const char *quoted(const char *at, char *ret, size_t size)
{
    const char *end = *at == '\'' || *at == '"' ? strchr(at + 1, *at) : NULL;

    if (!end || (size_t)(end - at) > size)
        return NULL;
    memcpy(ret, at + 1, (size_t)(end - at - 1));
    ret[end - at - 1] = 0;
    return end + 1;
}

/* (5, 2), (5,) or (): what follows, or NULL. */
static const char *tuple(const char *at, struct header *header)
{
    if (*at != '(')
        return NULL;
    for (at = skip(at + 1); *at != ')'; at = skip(at)) {
        char *end;

        if (*at < '0' || *at > '9' || header->rank == NPY_RANK_MOST)
            return NULL;
        errno = 0;
        header->shape[header->rank++] = strtoll(at, &end, 10);
        at = skip(end);
        if (errno || (*at != ',' && *at != ')'))
            return NULL;
        at += *at == ',';
    }
    return at + 1;
}

/* One KEY: VALUE; what follows, or NULL. A member that comes twice isn't understood. */
static const char *member(const char *at, struct header *header)
{
    char key[32];

    at = quoted(at, key, sizeof(key));
    at = at ? skip(at) : NULL;
    if (!at || *at != ':')
        return NULL;
    at = skip(at + 1);
    if (strcmp(key, "descr") == 0 && !header->has_descr) {
        header->has_descr = true;
        return quoted(at, header->descr, sizeof(header->descr));
    }
    if (strcmp(key, "fortran_order") == 0 && !header->has_order) {
        header->has_order = true;
        header->fortran = strncmp(at, "True", 4) == 0;
        return header->fortran ? at + 4 : strncmp(at, "False", 5) == 0 ? at + 5 : NULL;
    }
    if (strcmp(key, "shape") == 0 && !header->has_shape) {
        header->has_shape = true;
        return tuple(at, header);
    }
    return NULL;
}

static bool header_parse(const char *text, struct header *ret)
{
    const char *at = skip(text);

    if (*at++ != '{')
        return false;
    for (at = skip(at); *at != '}'; at = skip(at)) {
        at = member(at, ret);
        at = at ? skip(at) : NULL;
        if (!at || (*at != ',' && *at != '}'))
            return false;
        at += *at == ',';
    }
    return *skip(at + 1) == 0 && ret->has_descr && ret->has_order && ret->has_shape;
}

/* ---- the file --------------------------------------------------------------------- */

/* Exactly so many bytes from there. */
static int bytes_read(const struct npy *npy, int64_t from, void *to, size_t size, struct fault *why)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(npy->file, (char *)to + done, size - done, (off_t)from + (off_t)done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fault_set(why, -errno, "%s: %s", npy->path, strerror(errno));
        if (n == 0)
            return fault_set(why, -EBADMSG, "%s: truncated: ends %zu bytes early", npy->path, size - done);
        done += (size_t)n;
    }
    return 0;
}

/* Magic and length: where the dictionary begins and how long it is. */
static int prefix_read(const struct npy *npy, int64_t *ret_at, size_t *ret_length, struct fault *why)
{
    uint8_t b[MAGIC_BYTES + 4];
    int r = bytes_read(npy, 0, b, MAGIC_BYTES + 2, why);

    if (r < 0)
        return r;
    if (memcmp(b, "\x93NUMPY", 6) != 0)
        return fault_set(why, -EBADMSG, "%s: doesn't begin as a .npy file", npy->path);
    if ((b[6] != 1 && b[6] != 2) || b[7] != 0)
        return fault_set(why, -EBADMSG, "%s: .npy of version %d.%d, understood are 1.0 and 2.0", npy->path, b[6], b[7]);
    r = b[6] == 2 ? bytes_read(npy, MAGIC_BYTES + 2, b + MAGIC_BYTES + 2, 2, why) : 0;
    if (r < 0)
        return r;
    *ret_length = b[8] | (size_t)b[9] << 8 | (b[6] == 2 ? (size_t)b[10] << 16 | (size_t)b[11] << 24 : 0);
    *ret_at = MAGIC_BYTES + 2 * b[6];
    if (*ret_length > HEADER_MOST)
        return fault_set(why, -EBADMSG, "%s: a header of %zu bytes", npy->path, *ret_length);
    return 0;
}

static int header_read(struct npy *npy, struct header *ret, struct fault *why)
{
    size_t length = 0;
    int64_t at = 0;
    int r = prefix_read(npy, &at, &length, why);

    if (r < 0)
        return r;
    char *text = calloc(1, length + 1);

    r = text ? bytes_read(npy, at, text, length, why) : fault_set(why, -ENOMEM, "%s: out of memory", npy->path);
    if (r == 0 && (strlen(text) != length || !header_parse(text, ret)))
        r = fault_set(why, -EBADMSG, "%s: its header isn't one of a plain array of up to %d dimensions", npy->path,
                      NPY_RANK_MOST);
    free(text);
    npy->data = at + (int64_t)length;
    return r;
}

static int dtype_find(const char *descr, enum dtype *ret)
{
    static const struct {
        const char *descr;
        enum dtype dtype;
    } rows[] = { { "|u1", DTYPE_U8 }, { "<i4", DTYPE_I32 }, { "<i8", DTYPE_I64 } };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (strcmp(rows[i].descr, descr) == 0) {
            *ret = rows[i].dtype;
            return 0;
        }
    return -EINVAL;
}

/* Does the file hold just what the header promises? */
static int size_check(const struct npy *npy, struct fault *why)
{
    struct stat st;
    int64_t elements = 1, left = 0;

    if (fstat(npy->file, &st) < 0)
        return fault_set(why, -errno, "%s: %s", npy->path, strerror(errno));
    for (int i = 0; i < npy->rank; i++)
        if (npy->shape[i] < 1 || __builtin_mul_overflow(elements, npy->shape[i], &elements))
            return fault_set(why, -EBADMSG, "%s: an array without elements, or with more than can be", npy->path);
    if (__builtin_mul_overflow(elements, (int64_t)dtype_size(npy->dtype), &elements) ||
        __builtin_sub_overflow((int64_t)st.st_size, npy->data, &left) || left != elements)
        return fault_set(why, -EBADMSG, "%s: %s: holds %lld bytes of data, its header promises %lld", npy->path,
                         left < elements ? "truncated" : "longer than its header says", (long long)left,
                         (long long)elements);
    return 0;
}

int npy_open(const char *path, struct npy *ret, struct fault *why)
{
    struct npy npy = { .file = open(path, O_RDONLY | O_CLOEXEC), .path = strdup(path) };
    struct header header = { .rank = 0 };
    int r = npy.file < 0 ? fault_set(why, -errno, "%s: %s", path, strerror(errno))
            : npy.path   ? header_read(&npy, &header, why)
                         : fault_set(why, -ENOMEM, "%s: out of memory", path);

    if (r == 0 && header.fortran)
        r = fault_set(why, -EINVAL, "%s: in Fortran's order; save it with numpy.ascontiguousarray", path);
    if (r == 0 && header.rank == 0)
        r = fault_set(why, -EINVAL, "%s: a single number, not an array", path);
    if (r == 0 && dtype_find(header.descr, &npy.dtype) < 0)
        r = fault_set(why, -EINVAL, "%s: elements of type %s; understood are |u1, <i4 and <i8", path, header.descr);
    npy.rank = header.rank;
    memcpy(npy.shape, header.shape, sizeof(npy.shape));
    if (r == 0)
        r = size_check(&npy, why);
    if (r < 0)
        npy_close(&npy);
    else
        *ret = npy;
    return r;
}

void npy_close(struct npy *npy)
{
    if (npy->path && npy->file >= 0)
        close(npy->file);
    free(npy->path);
    *npy = (struct npy){ 0 };
}

int64_t npy_row_bytes(const struct npy *npy)
{
    int64_t bytes = (int64_t)dtype_size(npy->dtype);

    for (int i = 1; i < npy->rank; i++)
        bytes *= npy->shape[i];
    return bytes;
}

int npy_rows_read(const struct npy *npy, int64_t first, int64_t count, void *ret, struct fault *why)
{
    int64_t row = npy_row_bytes(npy);

    return bytes_read(npy, npy->data + first * row, ret, (size_t)(count * row), why);
}
