/* Which devices does this build have, and how is one opened by name?
 *
 * A table of names. "auto" is the first backend of the list; the oracle `ref`
 * is only ever opened by its own name, because nobody wants to train on it.
 * A name that this build can't serve is -ENODEV with words, never a silent
 * fall-back: a job that asked for a GPU must not spend a week on a CPU. */
#include "gpu/backend/backend.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

const struct backend *const backends[] = { &backend_onednn, &backend_ref, NULL };

static const struct device_name {
    const char *name;
    const struct backend *backend; /* NULL: known, but not in this build */
    bool numbered;                 /* "name:0" is meant too */
    bool listed;
    const char *absent; /* words when backend is NULL */
} device_names[] = {
    { "auto", &backend_onednn },
    { "cpu", &backend_onednn, .listed = true },
    { "ref", &backend_ref },
    { "cuda", NULL, .numbered = true, .absent = "this build has no CUDA device; use \"cpu\" or \"auto\"" },
};
enum { DEVICE_NAME_COUNT = sizeof(device_names) / sizeof(device_names[0]) };

static bool name_matches(const struct device_name *row, const char *name)
{
    size_t length = strlen(row->name);

    if (strncmp(name, row->name, length) != 0)
        return false;
    if (!name[length])
        return true;
    /* ":" and digits only */
    return row->numbered && name[length] == ':' && name[length + 1] &&
           strspn(name + length + 1, "0123456789") == strlen(name + length + 1);
}

int device_open(const char *name, enum precision precision, int threads, struct device **ret, struct fault *why)
{
    for (int i = 0; i < DEVICE_NAME_COUNT; i++) {
        const struct device_name *row = &device_names[i];

        if (!name_matches(row, name))
            continue;
        if (!row->backend)
            return fault_set(why, -ENODEV, "device \"%s\": %s", name, row->absent);
        int r = row->backend->precision_check(name, precision, why);
        if (r == 0)
            r = row->backend->device_open(name, precision, threads, ret, why);
        if (r == 0)
            (*ret)->deterministic = true;
        return r;
    }
    return fault_set(why, -ENODEV, "device \"%s\" is unknown; this build has \"cpu\" and \"auto\"", name);
}

/* For code that a library generates, and whatever else isn't ours. */
static const size_t LIBRARY_BYTES = 32 << 20;

/* Bytes of data that the process has, as RLIMIT_DATA counts them; 0: unknown. */
static size_t data_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    size_t pages = 0;

    if (file && fscanf(file, "%*u %*u %*u %*u %*u %zu", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

bool device_host_fits(size_t bytes)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_DATA, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return true;
    size_t taken = data_bytes() + LIBRARY_BYTES;
    return taken <= limit.rlim_cur && bytes <= limit.rlim_cur - taken;
}

size_t device_host_bytes(void)
{
    size_t bytes = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    struct rlimit limit;

    return getrlimit(RLIMIT_DATA, &limit) == 0 && limit.rlim_cur < bytes ? (size_t)limit.rlim_cur : bytes;
}

void device_close(struct device *dev)
{
    if (dev)
        dev->ops->device_close(dev);
}

const char *device_errmsg(const struct device *dev)
{
    return dev->message;
}

/* ["float32", ...]: the formats that a backend's device can compute in; new reference. */
static json_t *precision_list(const struct device_name *row)
{
    json_t *list = json_array();

    for (int i = 0; list && i < PRECISION_COUNT; i++)
        if (row->backend->precision_check(row->name, (enum precision)i, NULL) == 0 &&
            json_array_append_new(list, json_string(job_precisions[i])) < 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

json_t *device_list(void)
{
    json_t *list = json_array();

    for (int i = 0; list && i < DEVICE_NAME_COUNT; i++) {
        const struct device_name *row = &device_names[i];
        struct device *dev;

        if (!row->listed || device_open(row->name, PRECISION_FLOAT32, 0, &dev, NULL) < 0)
            continue; /* a device that doesn't open is not usable */
        json_t *description = row->backend->describe(dev);
        device_close(dev);
        if (!description || json_object_del(description, "precision") < 0 ||
            json_object_set_new(description, "precisions", precision_list(row)) < 0 ||
            json_object_set_new(description, "id", json_string(row->name)) < 0 ||
            json_array_append_new(list, description) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}
