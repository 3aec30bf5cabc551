/* Which devices does this build have, and how is one opened by name?
 *
 * A table of names. "auto" is the first backend of the list; the oracle `ref`
 * is only ever opened by its own name, because nobody wants to train on it.
 * A name that this build can't serve is -ENODEV with words, never a silent
 * fall-back: a job that asked for a GPU must not spend a week on a CPU. */
#include "gpu/backend/backend.h"

#include <errno.h>
#include <string.h>

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

int device_open(const char *name, int threads, struct device **ret, struct fault *why)
{
    for (int i = 0; i < DEVICE_NAME_COUNT; i++) {
        const struct device_name *row = &device_names[i];

        if (!name_matches(row, name))
            continue;
        if (!row->backend)
            return fault_set(why, -ENODEV, "device \"%s\": %s", name, row->absent);
        return row->backend->device_open(name, threads, ret, why);
    }
    return fault_set(why, -ENODEV, "device \"%s\" is unknown; this build has \"cpu\" and \"auto\"", name);
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

json_t *device_list(void)
{
    json_t *list = json_array();

    for (int i = 0; list && i < DEVICE_NAME_COUNT; i++) {
        const struct device_name *row = &device_names[i];
        struct device *dev;

        if (!row->listed || device_open(row->name, 0, &dev, NULL) < 0)
            continue; /* a device that doesn't open is not usable */
        json_t *description = row->backend->describe(dev);
        device_close(dev);
        if (!description || json_object_set_new(description, "id", json_string(row->name)) < 0 ||
            json_array_append_new(list, description) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}
