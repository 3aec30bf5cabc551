/* In what order does a worker shut itself in, and what stays open for its job?
 *
 *   limits, umask -> Landlock -> seccomp; both take the way to new privileges
 *
 * Open stay: the job's directory, to read and write; what its spec names
 * (spec_paths: the field table knows which fields are places), to read; the
 * system's libraries; what the device needs. The spec is the last thing that is
 * read before: riftd, or the user, wrote it. Weights, data and the journal may be
 * anybody's.
 *
 * Landlock judges threads, each for itself, and children inherit: so there must
 * be one thread when it begins. */
#include "gpu/worker/sandbox.h"

#include "gpu/backend/backend.h"
#include "job/job.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES_MAX = 4096 };

/* Libraries and what they read of the system; what isn't there is left out. */
static const struct {
    const char *path;
    enum landlock_use use;
} system_files[] = {
    { "/usr", LANDLOCK_READ },           { "/lib", LANDLOCK_READ },
    { "/lib64", LANDLOCK_READ },         { "/etc/ld.so.cache", LANDLOCK_READ },
    { "/etc/localtime", LANDLOCK_READ }, { "/proc/self", LANDLOCK_READ },
    { "/dev/null", LANDLOCK_DEVICE },    { "/dev/zero", LANDLOCK_DEVICE },
    { "/dev/urandom", LANDLOCK_READ },
};

struct opening {
    struct landlock *landlock;
    const char *dir;
    char real_dir[PATH_MAX];
};

static int system_open(struct opening *opening)
{
    int r = 0;

    for (size_t i = 0; i < sizeof(system_files) / sizeof(system_files[0]) && r >= 0; i++)
        r = landlock_allow(opening->landlock, system_files[i].path, system_files[i].use);
    return r;
}

/* A place that the spec names, as run_path sees it. */
static int spec_path_open(const char *pointer, const char *path, void *user)
{
    struct opening *opening = user;
    char joined[PATH_MAX];

    (void)pointer;
    if (*path == '/')
        return landlock_allow(opening->landlock, path, LANDLOCK_READ);
    int length = snprintf(joined, sizeof(joined), "%s/%s", opening->dir, path);
    return length < (int)sizeof(joined) ? landlock_allow(opening->landlock, joined, LANDLOCK_READ) : 0;
}

/* A library's folder that jobs lie below stays shut: the library itself is here by now. */
static int device_file_open(const char *path, bool write, void *user)
{
    struct opening *opening = user;

    if (path_lies_below(opening->real_dir, path))
        return 0;
    return landlock_allow(opening->landlock, path, write ? LANDLOCK_DEVICE : LANDLOCK_READ);
}

static int threads_count(void)
{
    DIR *tasks = opendir("/proc/self/task");
    int count = 0;

    while (tasks && readdir(tasks))
        count++;
    if (tasks)
        closedir(tasks);
    return count - 2; /* without "." and ".." */
}

/* Keep these open for ever: rules on them are on inodes that the kernel would make anew once
 * nobody needs them. */
static int inodes_hold(void)
{
    static const char *const paths[] = { "/proc/self", "/proc/self/task" };

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        if (open(paths[i], O_PATH | O_CLOEXEC) < 0)
            return -errno;
    return 0;
}

/* The rules for this job. */
static int rules_collect(struct landlock *landlock, const char *dir, const json_t *spec)
{
    struct opening opening = { .landlock = landlock, .dir = dir };
    const char *device = json_string_value(json_object_get(spec, "device"));

    if (!realpath(dir, opening.real_dir))
        return -errno;
    int r = inodes_hold();
    if (r >= 0)
        r = device_files(device ? device : "auto", device_file_open, &opening);
    if (r >= 0)
        r = system_open(&opening);
    if (r >= 0)
        r = spec_paths(spec, spec_path_open, &opening);
    return r < 0 ? r : landlock_allow(landlock, dir, LANDLOCK_OWN);
}

static int landlock_enter(const char *dir, const json_t *spec, int *ret_abi, struct fault *why)
{
    struct landlock landlock;
    int r = landlock_open(INT_MAX, &landlock);

    if (r < 0)
        return fault_set(
            why, r,
            "this kernel has no Landlock, or it is switched off: /sys/kernel/security/lsm lists what is on, "
            "lsm= on the kernel's command line says what shall be");
    r = rules_collect(&landlock, dir, spec);
    if (r >= 0 && threads_count() != 1)
        r = -EBUSY;
    if (r >= 0)
        r = landlock_hold(&landlock);
    landlock_close(&landlock);
    if (r < 0)
        return fault_set(why, r, "Landlock: %s",
                         r == -EBUSY ? "there are threads already, which it wouldn't bind" : strerror(-r));
    *ret_abi = landlock.abi;
    return 0;
}

/* Lower a limit for good. */
static void limit_lower(int which, rlim_t most)
{
    struct rlimit limit;

    if (getrlimit(which, &limit) < 0)
        return;
    if (limit.rlim_max > most)
        limit.rlim_max = most;
    if (limit.rlim_cur > limit.rlim_max)
        limit.rlim_cur = limit.rlim_max;
    setrlimit(which, &limit);
}

/* Nobody's weights end in a core file. 1 and not 0: that keeps the kernel from
 * handing the core to a program too, which is no file (core(5), core_pattern "|"). */
static void limits_set(void)
{
    limit_lower(RLIMIT_CORE, 1);
    limit_lower(RLIMIT_NOFILE, FILES_MAX);
    umask(077);
}

int sandbox_enter(enum sandbox_mode mode, const char *dir, const json_t *spec, struct sandbox *ret, struct fault *why)
{
    struct sandbox held = { 0 };

    if (mode == SANDBOX_OFF) {
        *ret = held;
        return 0;
    }
    limits_set();
    int r = landlock_enter(dir, spec, &held.landlock_abi, &held.missing);
    int filter = seccomp_hold();
    held.seccomp = filter >= 0;
    if (filter < 0 && r >= 0)
        r = fault_set(&held.missing, filter, "seccomp: %s", strerror(-filter));
    if (r < 0 && mode == SANDBOX_REQUIRE)
        return fault_set(why, -ENOTSUP,
                         "the worker can't be shut in, as `sandbox = require` wants: %s. Where that can't be "
                         "mended, `sandbox = try` runs jobs with what there is",
                         held.missing.message);
    *ret = held;
    return 0;
}
