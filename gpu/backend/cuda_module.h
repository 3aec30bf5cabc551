/* What the shared object with the CUDA backend shows to who loads it.
 *
 * It is a file of its own, opened at run time: programs start and work where it,
 * its libraries or a driver are missing. */
#ifndef RIFT_GPU_BACKEND_CUDA_MODULE_H
#define RIFT_GPU_BACKEND_CUDA_MODULE_H

#include "gpu/backend/backend.h"

#define CUDA_MODULE_FILE   "librift_cuda.so"
#define CUDA_MODULE_SYMBOL "rift_cuda_module"

struct cuda_module {
    size_t backend_bytes; /* sizeof(struct backend): both sides were built from the same header */
    const struct backend *backend;
    /* Cards that can be used: 0, or -ENODEV with words that say why there is none. */
    int (*count)(struct fault *why);
    /* What a card is and how it is doing, without opening it; new reference. */
    json_t *(*about)(int ordinal);
};

/* The module, loaded when first asked for. NULL with words when it isn't there or can't be used. */
const struct cuda_module *cuda_module(struct fault *why);

#endif
