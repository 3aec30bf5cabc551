/* How is a .npy file written?
 *
 *   93 'NUMPY' 01 00 | uint16 length | {'descr': '|u1', 'fortran_order': False, 'shape': (5, 2), }  ...\n | data
 *
 * The header ends at a multiple of 64 bytes. It names the shape, so that the
 * number of images is to be known before the first one. The hash is taken while
 * writing. A file that is being written has a dot in front and .part behind; a
 * killed job's rest is written over by the next try. */
#include "gpu/data/npy_write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEADER_ALIGN = 64, HEADER_MOST = 512, PREFIX = 10 /* before the dictionary */ };

struct npy_writer {
    char *folder, *part, *path;
    FILE *file;
    struct sha256 sha;
    int64_t size;
};

static int failed(const struct npy_writer *writer, int error, struct fault *why)
{
    return fault_set(why, -error, "%s: %s", writer->part, strerror(error));
}

void npy_abandon(struct npy_writer *writer)
{
    if (!writer)
        return;
    if (writer->file) {
        fclose(writer->file);
        unlink(writer->part);
    }
    free(writer->folder);
    free(writer->part);
    free(writer->path);
    free(writer);
}

int npy_add(struct npy_writer *writer, const void *data, size_t size, struct fault *why)
{
    errno = EIO;
    if (fwrite(data, 1, size, writer->file) != size)
        return failed(writer, errno, why);
    sha256_add(&writer->sha, data, size);
    writer->size += (int64_t)size;
    return 0;
}

static int header_add(struct npy_writer *writer, const char *descr, const int64_t *shape, int rank, struct fault *why)
{
    char text[HEADER_MOST];
    int used =
        snprintf(text + PREFIX, sizeof(text) - PREFIX, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);

    used += PREFIX;
    for (int i = 0; i < rank; i++)
        used += snprintf(text + used, sizeof(text) - (size_t)used, "%lld%s", (long long)shape[i],
                         i + 1 < rank ? ", "
                         : rank == 1  ? ","
                                      : "");
    used += snprintf(text + used, sizeof(text) - (size_t)used, "), }");
    while ((used + 1) % HEADER_ALIGN)
        text[used++] = ' ';
    text[used++] = '\n';
    memcpy(text, "\x93NUMPY\x01\x00", 8);
    text[8] = (char)((used - PREFIX) & 0xff);
    text[9] = (char)((used - PREFIX) >> 8);
    return npy_add(writer, text, (size_t)used, why);
}

int npy_begin(const char *folder, const char *name, const char *descr, const int64_t *shape, int rank,
              struct npy_writer **ret, struct fault *why)
{
    struct npy_writer *writer = calloc(1, sizeof(*writer));
    int r = 0;

    if (!writer || !(writer->folder = strdup(folder)) || asprintf(&writer->part, "%s/.%s.part", folder, name) < 0 ||
        asprintf(&writer->path, "%s/%s", folder, name) < 0) {
        npy_abandon(writer);
        return fault_set(why, -ENOMEM, "%s/%s: out of memory", folder, name);
    }
    sha256_start(&writer->sha);
    writer->file = fopen(writer->part, "wbe");
    if (!writer->file)
        r = failed(writer, errno, why);
    if (r == 0)
        r = header_add(writer, descr, shape, rank, why);
    if (r < 0) {
        npy_abandon(writer);
        return r;
    }
    *ret = writer;
    return 0;
}

int npy_end(struct npy_writer *writer, char ret_sha256[65], int64_t *ret_size, struct fault *why)
{
    int r = fflush(writer->file) != 0 || fsync(fileno(writer->file)) < 0 || rename(writer->part, writer->path) < 0
                ? failed(writer, errno, why)
                : 0;
    int folder = r == 0 ? open(writer->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    if (r == 0) {
        if (folder < 0 || fsync(folder) < 0)
            r = failed(writer, errno, why);
        sha256_finish(&writer->sha, ret_sha256);
        *ret_size = writer->size;
        fclose(writer->file);
        writer->file = NULL;
    }
    if (folder >= 0)
        close(folder);
    npy_abandon(writer);
    return r;
}
