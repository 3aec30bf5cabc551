/* How is an array of NumPy's format 1.0 or 2.0 read? In C order, of |u1, <i4 or
 * <i8, which is what corrupted copies of data sets and their labels come in.
 * Rows are read where they lie; nothing else of a big file is. */
#ifndef RIFT_GPU_DATA_NPY_READ_H
#define RIFT_GPU_DATA_NPY_READ_H

#include "job/job.h"

enum { NPY_RANK_MOST = 4 };

struct npy {
    int file;
    char *path;
    enum dtype dtype; /* DTYPE_U8, DTYPE_I32, DTYPE_I64 */
    int rank;
    int64_t shape[NPY_RANK_MOST];
    int64_t data; /* where it begins */
};

/* The file must be as long as its header says. Valid as {0} for npy_close. */
int npy_open(const char *path, struct npy *ret, struct fault *why);
void npy_close(struct npy *npy);
/* Bytes of one row shape[1] * shape[2] * ... */
int64_t npy_row_bytes(const struct npy *npy);
int npy_rows_read(const struct npy *npy, int64_t first, int64_t count, void *ret, struct fault *why);

#endif
