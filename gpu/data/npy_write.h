/* How is a .npy file written? (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html) */
#ifndef RIFT_GPU_DATA_NPY_WRITE_H
#define RIFT_GPU_DATA_NPY_WRITE_H

#include "job/job.h"

/* FOLDER/NAME under another name until it is whole. `descr`: "|u1", "<i8". */
struct npy_writer;
int npy_begin(const char *folder, const char *name, const char *descr, const int64_t *shape, int rank,
              struct npy_writer **ret, struct fault *why);
int npy_add(struct npy_writer *writer, const void *data, size_t size, struct fault *why);
/* On the disk, and renamed. Frees the writer, also on failure. */
int npy_end(struct npy_writer *writer, char ret_sha256[65], int64_t *ret_size, struct fault *why);
/* Frees the writer and removes what there is; NULL is fine. */
void npy_abandon(struct npy_writer *writer);

#endif
