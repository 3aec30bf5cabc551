/* How is a tree of image files written that appears whole or not at all?
 *
 *   FOLDER/NAME/MANIFEST.sha256
 *   FOLDER/NAME/SEVERITY/CLASS/00000.jpg */
#ifndef RIFT_GPU_DATA_FOLDER_WRITE_H
#define RIFT_GPU_DATA_FOLDER_WRITE_H

#include "job/job.h"

#define FOLDER_MANIFEST "MANIFEST.sha256"

struct folder_writer;
int folder_begin(const char *folder, const char *name, struct folder_writer **ret, struct fault *why);
/* NAME/below/file, and its line in the manifest. */
int folder_add(struct folder_writer *writer, const char *below, const char *file, const void *data, size_t size,
               struct fault *why);
/* Writes the manifest and renames the tree; its hash is the manifest's. Frees the writer, also on failure. */
int folder_end(struct folder_writer *writer, char ret_sha256[65], int64_t *ret_size, struct fault *why);
void folder_abandon(struct folder_writer *writer);

#endif
