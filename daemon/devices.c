/* Where can jobs run?
 *
 * On slots: --slots says how many on which device, or `rift-worker devices`
 * tells what there is and each GPU gets one (the CPU, when there is none). riftd
 * itself links no device library, so that a broken driver can't take it down.
 *
 * Slots bound how many jobs a device has; their memory is a second bound: jobs share
 * what the device has, less a reserve, and one that doesn't say how much it needs
 * counts as an equal share.
 *
 * Which devices and slots there are never changes after the start. How they are
 * does: a slot rests after a start that failed, a device after it was lost, longer
 * each time. The api's threads read that under a lock; what runs on slots they read
 * in the database. */
#include "daemon/daemon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOT_REST_FIRST_MS = 500, SLOT_REST_MOST_MS = 60000, REST_MOST_MS = 3600000 };

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

/* The device of that name, which is added if it isn't there yet. */
static struct device *device_at(struct daemon *daemon, const char *name)
{
    for (int i = 0; i < daemon->device_count; i++)
        if (strcmp(daemon->devices[i].name, name) == 0)
            return &daemon->devices[i];
    struct device *device = &daemon->devices[daemon->device_count++];
    *device =
        (struct device){ .memory_bytes = json_integer_value(json_object_get(info_find(daemon, name), "memory_bytes")) };
    strcpy(device->name, name);
    return device;
}

static int slots_add(struct daemon *daemon, const char *device, long count, struct fault *why)
{
    if (strlen(device) >= sizeof(daemon->devices[0].name) || count < 1 || count > SLOTS_MAX - daemon->slot_count)
        return fault_set(why, -EINVAL, "--slots: expected DEVICE[:COUNT],..., with at most %d slots", (int)SLOTS_MAX);
    for (long i = 0; i < count; i++) {
        struct slot *slot = &daemon->slots[daemon->slot_count++];
        *slot = (struct slot){ .on = device_at(daemon, device) };
        slot->on->slot_count++;
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

/* ---- memory ---- */

int64_t device_memory(const struct daemon *daemon, const struct device *device)
{
    int64_t left = device->memory_bytes - daemon->settings->device_memory_reserve;

    return left > 0 ? left : 0;
}

int64_t device_share(const struct daemon *daemon, const struct device *device)
{
    return device_memory(daemon, device) / device->slot_count;
}

/* ---- how they are ---- */

static int64_t rest_longer(int64_t first_ms, int times)
{
    int64_t most_ms = first_ms > REST_MOST_MS ? first_ms : REST_MOST_MS;

    for (int i = 1; i < times && first_ms < most_ms; i++)
        first_ms *= 2;
    return first_ms < most_ms ? first_ms : most_ms;
}

int slot_rest(struct daemon *daemon, struct slot *slot, const char *why)
{
    pthread_mutex_lock(&daemon->devices_lock);
    slot->rest_ms = slot->rest_ms ? slot->rest_ms * 2 : SLOT_REST_FIRST_MS;
    if (slot->rest_ms > SLOT_REST_MOST_MS)
        slot->rest_ms = SLOT_REST_MOST_MS;
    slot->rest_until_ms = monotonic_ms() + slot->rest_ms;
    snprintf(slot->why, sizeof(slot->why), "%s", why);
    pthread_mutex_unlock(&daemon->devices_lock);
    return slot->rest_ms;
}

void slot_works(struct daemon *daemon, struct slot *slot)
{
    pthread_mutex_lock(&daemon->devices_lock);
    slot->rest_ms = 0;
    slot->rest_until_ms = 0;
    pthread_mutex_unlock(&daemon->devices_lock);
}

void device_lost(struct daemon *daemon, struct device *device, const char *why)
{
    pthread_mutex_lock(&daemon->devices_lock);
    int64_t rest_ms = rest_longer(daemon->settings->device_rest_s * 1000, ++device->losses);
    device->rest_until_ms = monotonic_ms() + rest_ms;
    snprintf(device->why, sizeof(device->why), "%s", why);
    pthread_mutex_unlock(&daemon->devices_lock);
    log_error("device %s: %s; it gets no jobs for %lld s", device->name, why, (long long)rest_ms / 1000);
}

void device_works(struct daemon *daemon, struct device *device)
{
    pthread_mutex_lock(&daemon->devices_lock);
    device->losses = 0;
    pthread_mutex_unlock(&daemon->devices_lock);
}

int64_t slot_rests_until(struct daemon *daemon, const struct slot *slot)
{
    pthread_mutex_lock(&daemon->devices_lock);
    int64_t until_ms = slot->rest_until_ms > slot->on->rest_until_ms ? slot->rest_until_ms : slot->on->rest_until_ms;
    pthread_mutex_unlock(&daemon->devices_lock);
    return until_ms > monotonic_ms() ? until_ms : 0;
}

/* "state" (ok, resting, drained) and "why" of a slot. */
static void condition_put(struct daemon *daemon, const struct slot *slot, json_t *one)
{
    int64_t now_ms = monotonic_ms();
    const char *state = "ok", *why = NULL;

    pthread_mutex_lock(&daemon->devices_lock);
    if (daemon->drained)
        state = "drained", why = "riftd is drained: nothing starts until POST /v1/admin/resume";
    else if (slot->on->rest_until_ms > now_ms)
        state = "drained", why = slot->on->why;
    else if (slot->rest_until_ms > now_ms)
        state = "resting", why = slot->why;
    json_object_set_new(one, "state", json_string(state));
    json_object_set_new(one, "why", json_pack("s?", why));
    pthread_mutex_unlock(&daemon->devices_lock);
}

/* ---- as the api tells them ---- */

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

/* What running jobs have of a device's memory. */
static int64_t memory_taken(const struct daemon *daemon, const struct device *device, const struct db_job *jobs,
                            int count)
{
    int64_t taken = 0;

    for (int i = 0; i < count; i++)
        if (strcmp(jobs[i].device, device->name) == 0)
            taken += jobs[i].memory_bytes ? jobs[i].memory_bytes : device_share(daemon, device);
    return taken;
}

/* Both null when the device doesn't say how much memory it has. */
static void memory_put(const struct daemon *daemon, const struct device *device, int64_t taken, json_t *one)
{
    int64_t memory = device_memory(daemon, device);

    json_object_set_new(one, "memory_for_jobs_bytes", memory ? json_integer(memory) : json_null());
    json_object_set_new(one, "memory_taken_bytes", memory ? json_integer(taken) : json_null());
}

/* [{"id","slot","name",...,"state","why","job"}]: one object a slot. Any thread. */
json_t *devices_json(struct daemon *daemon)
{
    struct db_job *jobs = NULL;
    int count = db_job_running(daemon->db, &jobs);
    json_t *list = json_array();
    int64_t taken[SLOTS_MAX];

    for (int i = 0; i < daemon->device_count; i++)
        taken[i] = memory_taken(daemon, &daemon->devices[i], jobs, count);
    for (int i = 0; i < daemon->slot_count; i++) {
        const struct device *device = daemon->slots[i].on;
        json_t *info = info_find(daemon, device->name);
        json_t *one = info ? json_copy(info) : json_pack("{s:s}", "name", device->name);
        json_object_set_new(one, "id", json_string(device->name));
        json_object_set_new(one, "slot", json_integer(i));
        json_object_set_new(one, "job", json_pack("s?", job_take(jobs, count, device->name)));
        condition_put(daemon, &daemon->slots[i], one);
        memory_put(daemon, device, taken[device - daemon->devices], one);
        json_array_append_new(list, one);
    }
    if (count >= 0)
        db_jobs_free(jobs, count);
    return list;
}
