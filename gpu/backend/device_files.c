/* Which files does a device need while it works?
 *
 * Asked once before a process shuts itself in: what a device's library opens
 * later must be allowed now. Beside the processor's few files that is, for a
 * card, its nodes in /dev, what the driver says of itself in /proc and /sys, and
 * the folders of the libraries that the module has brought along: they open more
 * of their kind when they are first used, so the module is loaded here. Of
 * cuDNN from a Python wheel that kind lies in other wheels' folders.
 *
 * Surprising: the folder that our own program and module lie in is left out. Job
 * directories may lie below it, and one job shall not read another's. */
#include "gpu/backend/backend.h"
#include "gpu/backend/cuda_module.h"

#include <errno.h>
#include <glob.h>
#include <libgen.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct asking {
    device_file_see *see;
    void *user;
    int r;
};

static const char *const processor_files[] = {
    "/sys/devices/system/cpu", "/sys/devices/system/node", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat",
};

/* Patterns; what isn't there is left out. The driver (570 and newer) names its threads by writing
 * to /proc/self/task/N/comm; where it can't it gives up (error 304). */
static const struct {
    const char *pattern;
    bool write;
} card_files[] = {
    { "/dev/nvidia*", true },   { "/proc/self/task", true }, { "/proc/driver", false },
    { "/proc/devices", false }, { "/proc/modules", false },  { "/proc/sys/vm", false },
    { "/sys/devices", false },  { "/sys/bus/pci", false },   { "/sys/module/nvidia*", false },
    { "/etc/nvidia*", false },
};

/* Seen from the folder of cuDNN in a wheel: NVRTC and cuBLAS, which some of its engines load. */
static const char *const wheel_folders[] = { "../../cu13/lib", "../../cuda_nvrtc/lib", "../../cublas/lib" };

static void say(struct asking *asking, const char *path, bool write)
{
    if (asking->r >= 0)
        asking->r = asking->see(path, write, asking->user);
}

static void say_pattern(struct asking *asking, const char *pattern, bool write)
{
    glob_t found = { 0 };

    if (glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++)
            say(asking, found.gl_pathv[i], write);
    globfree(&found);
}

/* Is `folder` where the program itself lies? */
static bool is_own_folder(const char *folder)
{
    char program[PATH_MAX] = "";

    if (readlink("/proc/self/exe", program, sizeof(program) - 1) < 0)
        return false;
    return strcmp(dirname(program), folder) == 0;
}

static void wheels_see(struct asking *asking, const char *folder)
{
    char joined[PATH_MAX + 32], path[PATH_MAX];

    for (size_t i = 0; i < sizeof(wheel_folders) / sizeof(wheel_folders[0]); i++) {
        snprintf(joined, sizeof(joined), "%s/%s", folder, wheel_folders[i]);
        if (realpath(joined, path))
            say(asking, path, false);
    }
}

/* The folder of one loaded library; of those beside the program, the file alone. */
static int library_see(struct dl_phdr_info *info, size_t size, void *user)
{
    char path[PATH_MAX], folder[PATH_MAX];

    (void)size;
    if (!realpath(info->dlpi_name, path))
        return 0; /* the program, the kernel's page */
    strcpy(folder, path);
    char *name = dirname(folder);
    say(user, is_own_folder(name) || strstr(path, CUDA_MODULE_FILE) ? path : name, false);
    if (strstr(path, "/libcudnn"))
        wheels_see(user, name);
    return 0;
}

bool device_may_be_card(const char *device)
{
    return strcmp(device, "cpu") != 0 && strcmp(device, "ref") != 0 && cuda_module(NULL);
}

int device_files(const char *device, device_file_see *see, void *user)
{
    struct asking asking = { see, user, 0 };
    bool card = device_may_be_card(device); /* has loaded the module where it is */
    const char *plans = getenv("RIFT_CUDA_PLANS");

    for (size_t i = 0; i < sizeof(processor_files) / sizeof(processor_files[0]); i++)
        say(&asking, processor_files[i], false);
    dl_iterate_phdr(library_see, &asking);
    for (size_t i = 0; card && i < sizeof(card_files) / sizeof(card_files[0]); i++)
        say_pattern(&asking, card_files[i].pattern, card_files[i].write);
    if (card && plans)
        say(&asking, plans, true);
    return asking.r;
}
