/* Which devices are there, and how is one opened by name?
 *
 * A table of names. "auto" is a graphics card where there is one, else the CPU;
 * the oracle `ref` is only ever opened by its own name, because nobody wants to
 * train on it. A name that can't be served here is -ENODEV with words, never a
 * silent fall-back: a job that asked for a GPU must not spend a week on a CPU. */
#include "gpu/backend/backend.h"
#include "gpu/backend/cuda_module.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#ifdef RIFT_WITHOUT_ONEDNN
const struct backend *const backends[] = { &backend_ref, NULL };

static const struct backend *find_cpu(struct fault *why)
{
    fault_set(why, -ENODEV, "this build has no fast CPU code; use \"ref\" or a graphics card");
    return NULL;
}
#else
const struct backend *const backends[] = { &backend_onednn, &backend_ref, NULL };

static const struct backend *find_cpu(struct fault *why)
{
    (void)why;
    return &backend_onednn;
}
#endif

static const struct backend *find_ref(struct fault *why)
{
    (void)why;
    return &backend_ref;
}

static const struct backend *find_cuda(struct fault *why)
{
    const struct cuda_module *module = cuda_module(why);

    return module && module->count(why) > 0 ? module->backend : NULL;
}

static const struct backend *find_auto(struct fault *why)
{
    const struct backend *card = find_cuda(NULL);

    return card ? card : find_cpu(why);
}

static const struct device_name {
    const char *name;
    const struct backend *(*find)(struct fault *why); /* NULL with words: there is none here */
    bool numbered;                                    /* "name:0" is meant too */
    bool listed;                                      /* in device_list, by opening it */
} device_names[] = {
    { "auto", find_auto },
    { "cpu", find_cpu, .listed = true },
    { "ref", find_ref },
    { "cuda", find_cuda, .numbered = true },
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
        struct fault missing = { 0 };
        const struct backend *backend = row->find(&missing);
        if (!backend)
            return fault_set(why, -ENODEV, "device \"%s\": %s", name, missing.message);
        int r = backend->precision_check(name, precision, why);
        if (r == 0)
            r = backend->device_open(name, precision, threads, ret, why);
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
static json_t *precision_list(const struct backend *backend, const char *name)
{
    json_t *list = json_array();

    for (int i = 0; list && i < PRECISION_COUNT; i++)
        if (backend->precision_check(name, (enum precision)i, NULL) == 0 &&
            json_array_append_new(list, json_string(job_precisions[i])) < 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

/* What a device says of itself, as one of a list: 0, or -ENOMEM. */
static int list_add(json_t *list, const struct backend *backend, const char *id, json_t *about)
{
    json_object_del(about, "precision");
    if (!about || json_object_set_new(about, "precisions", precision_list(backend, id)) < 0 ||
        json_object_set_new(about, "id", json_string(id)) < 0 || json_array_append_new(list, json_incref(about)) < 0) {
        json_decref(about);
        return -ENOMEM;
    }
    json_decref(about);
    return 0;
}

/* Cards aren't opened for it: that takes seconds, and memory that a job has. */
static int list_cards(json_t *list)
{
    const struct cuda_module *module = cuda_module(NULL);
    int count = module ? module->count(NULL) : 0, r = 0;

    for (int i = 0; i < count && r == 0; i++) {
        char id[24];

        snprintf(id, sizeof(id), "cuda:%d", i);
        r = list_add(list, module->backend, id, module->about(i));
    }
    return r;
}

json_t *device_list(void)
{
    json_t *list = json_array();
    int r = list ? 0 : -ENOMEM;

    for (int i = 0; r == 0 && i < DEVICE_NAME_COUNT; i++) {
        const struct device_name *row = &device_names[i];
        struct device *dev;

        if (!row->listed || device_open(row->name, PRECISION_FLOAT32, 0, &dev, NULL) < 0)
            continue; /* a device that doesn't open is not usable */
        r = list_add(list, dev->ops, row->name, dev->ops->describe(dev));
        device_close(dev);
    }
    if (r == 0)
        r = list_cards(list);
    if (r == 0)
        return list;
    json_decref(list);
    return NULL;
}
