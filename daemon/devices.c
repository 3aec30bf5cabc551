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
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { DEVICES_TEXT = 1 << 20 };

/* What a child writes to its stdout, until it ends. */
static int child_output(char *const argv[], char **ret, struct fault *why)
{
    posix_spawn_file_actions_t actions;
    char *text = malloc(DEVICES_TEXT);
    size_t length = 0;
    int pipe_fds[2], status = 0;
    ssize_t got;
    pid_t pid;

    if (!text || pipe2(pipe_fds, O_CLOEXEC) < 0) {
        free(text);
        return fault_set(why, text ? -errno : -ENOMEM, "cannot ask for devices: %s", strerror(errno));
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], STDOUT_FILENO);
    int r = -posix_spawn(&pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(pipe_fds[1]);
    if (r < 0)
        fault_set(why, r, "%s: cannot be started: %s", argv[0], strerror(-r));
    while (r == 0 && length < DEVICES_TEXT - 1 &&
           (got = read(pipe_fds[0], text + length, DEVICES_TEXT - 1 - length)) != 0) {
        if (got < 0 && errno != EINTR)
            break;
        length += got > 0 ? (size_t)got : 0;
    }
    close(pipe_fds[0]);
    if (r == 0 && (waitpid(pid, &status, 0) < 0 || status != 0))
        r = fault_set(why, -EIO, "%s %s: ended with status %d", argv[0], argv[1], status);
    text[length] = '\0';
    if (r < 0) {
        free(text);
        return r;
    }
    *ret = text;
    return 0;
}

/* `rift-worker devices` prints an array of objects; their "id" is what a spec calls the device. */
static int infos_read(struct daemon *daemon, struct fault *why)
{
    char *const argv[] = { daemon->worker_path, "devices", NULL };
    char *text = NULL;
    int r = child_output(argv, &text, why);

    if (r < 0)
        return r;
    json_t *said = json_loads(text, 0, NULL);
    free(text);
    if (!json_is_array(said)) {
        json_decref(said);
        return fault_set(why, -EBADMSG, "%s devices: did not print a JSON array", daemon->worker_path);
    }
    daemon->device_infos = said;
    return 0;
}

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
    int r = infos_read(daemon, why);

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
