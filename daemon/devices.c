/* Where can jobs run?
 *
 * On slots: --slots says how many on which device, or `rift-worker devices`
 * tells what there is and each GPU gets one (the CPU, when there is none). riftd
 * itself links no device library, so that a broken driver can't take it down.
 *
 * Slots never change after the start. The api's threads read them; what runs on
 * them they read in the database. */
#include "daemon/daemon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The name a device goes by in specs. */
static const char *info_device(const json_t *info)
{
    const char *device = json_string_value(json_object_get(info, "id"));

    return device ? device : "";
}

static bool is_gpu(const char *device)
{
    return *device && strcmp(device, "cpu") != 0 && strcmp(device, "ref") != 0;
}

/* What the worker said about a device; borrowed, or NULL. */
static json_t *info_find(const struct daemon *daemon, const char *device)
{
    json_t *info;
    size_t i;

    json_array_foreach(daemon->device_infos, i, info) if (strcmp(info_device(info), device) == 0) return info;
    return NULL;
}

static int slots_add(struct daemon *daemon, const char *device, long count, struct fault *why)
{
    if (strlen(device) >= sizeof(daemon->slots[0].device) || count < 1 || count > SLOTS_MAX - daemon->slot_count)
        return fault_set(why, -EINVAL, "--slots: expected DEVICE[:COUNT],..., with at most %d slots", (int)SLOTS_MAX);
    for (long i = 0; i < count; i++) {
        struct slot *slot = &daemon->slots[daemon->slot_count++];
        *slot = (struct slot){ 0 };
        strcpy(slot->device, device);
    }
    return 0;
}

/* One that the worker knows; "ref", the plain CPU code that others are held
 * against, it doesn't advertise. */
static bool device_exists(const struct daemon *daemon, const char *device)
{
    return strcmp(device, "ref") == 0 || info_find(daemon, device);
}

/* One item of --slots: a device, or a device, ':' and how many. A device's own
 * name may hold a colon: "cuda:1" is one slot, "cuda:1:2" two on the same. */
static int slots_item(struct daemon *daemon, const char *item, size_t length, struct fault *why)
{
    char device[80], *end;

    snprintf(device, sizeof(device), "%.*s", (int)length, item);
    if (device_exists(daemon, device))
        return slots_add(daemon, device, 1, why);
    char *colon = strrchr(device, ':');
    if (colon)
        *colon = '\0';
    if (!device_exists(daemon, device))
        return fault_set(why, -EINVAL, "--slots: \"%.*s\" is no device here; `rift-worker devices` names them",
                         (int)length, item);
    errno = 0;
    long count = strtol(colon + 1, &end, 10);
    if (errno || end == colon + 1 || *end)
        count = 0;
    return slots_add(daemon, device, count, why);
}

static int slots_default(struct daemon *daemon, struct fault *why)
{
    const json_t *info;
    size_t i;
    int r = 0;

    json_array_foreach(daemon->device_infos, i, info) if (r >= 0 && is_gpu(info_device(info))) r =
        slots_add(daemon, info_device(info), 1, why);
    return r < 0 || daemon->slot_count ? r : slots_add(daemon, "cpu", 1, why);
}

int slots_open(struct daemon *daemon, struct fault *why)
{
    const char *at = daemon->settings->slots;
    int r = executor_devices(daemon, &daemon->device_infos, why);

    if (r >= 0 && !at)
        r = slots_default(daemon, why);
    while (r >= 0 && at) {
        r = slots_item(daemon, at, strcspn(at, ","), why);
        at = strchr(at, ',');
        at = at ? at + 1 : NULL;
    }
    return r;
}

/* The first running job on that device that no slot before has shown. */
static const char *job_take(struct db_job *jobs, int count, const char *device)
{
    for (int i = 0; i < count; i++)
        if (strcmp(jobs[i].device, device) == 0) {
            jobs[i].device[0] = '\0';
            return jobs[i].id;
        }
    return NULL;
}

/* [{"id","slot","name",...,"job"}]: one object a slot. Any thread. */
json_t *devices_json(struct daemon *daemon)
{
    struct db_job *jobs = NULL;
    int count = db_job_running(daemon->db, &jobs);
    json_t *list = json_array();

    for (int i = 0; i < daemon->slot_count; i++) {
        const char *device = daemon->slots[i].device;
        json_t *info = info_find(daemon, device);
        json_t *one = info ? json_copy(info) : json_pack("{s:s}", "name", device);
        json_object_set_new(one, "id", json_string(device));
        json_object_set_new(one, "slot", json_integer(i));
        json_object_set_new(one, "job", json_pack("s?", job_take(jobs, count, device)));
        json_array_append_new(list, one);
    }
    if (count >= 0)
        db_jobs_free(jobs, count);
    return list;
}
