/* Where is the CUDA backend, if there is one?
 *
 * In RIFT_CUDA_MODULE, else beside the program, else in ../lib/riftd of it.
 * Loaded once and kept: unloading a library that has threads and a driver of
 * its own is asking for trouble. RTLD_LOCAL, so that none of its symbols can
 * stand in for one of ours. */
#include "gpu/backend/cuda_module.h"

#include <dlfcn.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Path of the module; false: no such file. */
static bool module_path(char *ret, size_t size)
{
    static const char *const places[] = { "", "../lib/riftd/" };
    const char *given = getenv("RIFT_CUDA_MODULE");
    char program[PATH_MAX] = "";

    if (given) {
        snprintf(ret, size, "%s", given);
        return access(ret, R_OK) == 0;
    }
    if (readlink("/proc/self/exe", program, sizeof(program) - 1) < 0)
        return false;
    const char *folder = dirname(program);
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        int length = snprintf(ret, size, "%s/%s" CUDA_MODULE_FILE, folder, places[i]);
        if (length > 0 && (size_t)length < size && access(ret, R_OK) == 0)
            return true;
    }
    return false;
}

static int module_load(const struct cuda_module **ret, struct fault *why)
{
    char path[PATH_MAX + 64];

    if (!module_path(path, sizeof(path)))
        return fault_set(why, -ENODEV, "no CUDA device: there is no " CUDA_MODULE_FILE " here");
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return fault_set(why, -ENODEV, "no CUDA device: %s", dlerror());
    const struct cuda_module *module = dlsym(library, CUDA_MODULE_SYMBOL);
    if (!module || module->backend_bytes != sizeof(struct backend))
        return fault_set(why, -ENODEV, "no CUDA device: %s is of another version", path);
    *ret = module;
    return 0;
}

const struct cuda_module *cuda_module(struct fault *why)
{
    static const struct cuda_module *module;
    static struct fault reason;
    static bool asked;

    if (!asked)
        module_load(&module, &reason);
    asked = true;
    if (!module)
        fault_set(why, -ENODEV, "%s", reason.message);
    return module;
}
