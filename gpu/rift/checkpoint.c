/* The file of checkpoint.h, written and read.
 *
 *   write   savers -> state, tensors -> journal_sync -> aside, fsync, rename -> `checkpoint` event
 *
 * The journal goes first: a checkpoint must never know of an epoch whose curve
 * could still be lost. A file that is damaged or belongs to another spec is
 * refused with words and never ignored: starting over silently would write a
 * second, different curve into the same journal. */
#include "gpu/rift/run.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHECKPOINT_VERSION "1"

void checkpoint_done(struct checkpoint *checkpoint)
{
    json_decref(checkpoint->state);
    for (int i = 0; i < checkpoint->count; i++)
        free(checkpoint->owned[i]);
    safetensors_close(checkpoint->file);
    *checkpoint = (struct checkpoint){ 0 };
}

/* ---- filling ----------------------------------------------------------------- */

/* Room for one more tensor; the caller fills it. */
static void *tensor_add(struct checkpoint *into, const char *name, enum dtype dtype, int64_t count)
{
    size_t size = (size_t)count * dtype_size(dtype);
    void *memory = malloc(size ? size : 1);

    assert(into->count < CHECKPOINT_TENSORS);
    if (!memory)
        return NULL;
    into->tensors[into->count] = (struct safetensor){
        .name = name, .dtype = dtype, .rank = 1, .shape = { count }, .data = memory, .size = size
    };
    into->owned[into->count++] = memory;
    return memory;
}

int checkpoint_add(struct run *run, struct checkpoint *into, const char *name, const float *device, int64_t count)
{
    void *memory = tensor_add(into, name, DTYPE_F32, count);

    if (!memory)
        return fault_set(&run->why, -ENOMEM, "no memory to write a checkpoint");
    return run_device(run, run->ops->read(run->dev, memory, device, (size_t)count * sizeof(float)));
}

int checkpoint_add_host(struct checkpoint *into, const char *name, enum dtype dtype, const void *host, int64_t count)
{
    void *memory = tensor_add(into, name, dtype, count);

    if (!memory)
        return -ENOMEM;
    memcpy(memory, host, (size_t)count * dtype_size(dtype));
    return 0;
}

int checkpoint_add_state(struct checkpoint *into, const char *key, json_t *state)
{
    return json_object_set_new(into->state, key, state) < 0 ? -ENOMEM : 0;
}

void saver_push(struct run *run, struct saver saver)
{
    assert(run->saver_count < (int)(sizeof(run->savers) / sizeof(run->savers[0])));
    run->savers[run->saver_count++] = saver;
}

void saver_pop(struct run *run)
{
    assert(run->saver_count > 0);
    run->saver_count--;
}

/* ---- writing ------------------------------------------------------------------- */

/* __metadata__: strings only, as safetensors wants it. */
static json_t *metadata_make(const struct run *run, const struct checkpoint *checkpoint)
{
    char threads[16];
    char *state = json_dumps(checkpoint->state, JSON_COMPACT | JSON_SORT_KEYS);

    snprintf(threads, sizeof(threads), "%d", run->threads);
    json_t *metadata = json_pack("{s:s, s:s, s:s, s:s, s:s}", "version", CHECKPOINT_VERSION, "spec", run->spec_sha256,
                                 "precision", job_precisions[run->spec.precision], "threads", threads, "state", state);
    free(state);
    return metadata;
}

static int checkpoint_fill(struct run *run, struct checkpoint *checkpoint)
{
    checkpoint->state = json_object();
    for (int i = 0; i < run->saver_count; i++) {
        int r = run->savers[i].save(run, run->savers[i].user, checkpoint);
        if (r < 0)
            return fault_set(&run->why, r, "%s",
                             *run->why.message ? run->why.message : "no memory to write a checkpoint");
    }
    return 0;
}

static int checkpoint_write(struct run *run)
{
    __attribute__((cleanup(checkpoint_done))) struct checkpoint checkpoint = { 0 };
    int64_t size;
    char *dir = run_path(run, JOBDIR_CHECKPOINT);

    assert(run->saver_count > 0); /* an empty checkpoint would replace a good one */
    int r = checkpoint_fill(run, &checkpoint);

    json_auto_t *metadata = r < 0 ? NULL : metadata_make(run, &checkpoint);
    if (r == 0 && (!metadata || !dir))
        r = fault_set(&run->why, -ENOMEM, "no memory to write a checkpoint");
    while (r == 0) {
        r = journal_sync(run->journal);
        if (r == 0)
            r = safetensors_write(dir, CHECKPOINT_FILE, checkpoint.tensors, checkpoint.count, metadata, NULL, &size,
                                  &run->why);
        if (!run_waits(run, &r))
            break;
        r = 0;
    }
    free(dir);
    if (r < 0)
        return r;
    run->checkpoint_ms = run->steady_ms();
    return run_event(run, "checkpoint", json_pack("{s:I}", "size", (json_int_t)size));
}

int checkpoint_end(struct run *run)
{
    int r = checkpoint_write(run);

    if (r < 0)
        return r;
    return run->stop && *run->stop ? -EINTR : 0;
}

int checkpoint_breathe(struct run *run)
{
    bool stop = run->stop && *run->stop;
    double since_s = (double)(run->steady_ms() - run->checkpoint_ms) / 1000;

    bool due = run->spec.checkpoint_every_s > 0 && since_s >= run->spec.checkpoint_every_s;

    return stop || due ? checkpoint_end(run) : 0;
}

/* ---- reading back ---------------------------------------------------------------- */

static int metadata_read(struct checkpoint *checkpoint, const char *path, const char *spec_sha256,
                         enum precision precision, struct fault *why)
{
    const char *version = safetensors_metadata(checkpoint->file, "version");
    const char *spec = safetensors_metadata(checkpoint->file, "spec");
    const char *made_in = safetensors_metadata(checkpoint->file, "precision");
    const char *threads = safetensors_metadata(checkpoint->file, "threads");
    const char *state = safetensors_metadata(checkpoint->file, "state");

    if (!version || !spec || !threads || !state)
        return fault_set(why, -EINVAL, "%s: not a checkpoint (version, spec, threads or state is missing)", path);
    if (strcmp(version, CHECKPOINT_VERSION) != 0)
        return fault_set(why, -EINVAL, "%s: checkpoint version %.20s; this program reads version %s", path, version,
                         CHECKPOINT_VERSION);
    if (made_in && strcmp(made_in, job_precisions[precision]) != 0)
        return fault_set(
            why, -EINVAL,
            "%s: this checkpoint was made in %.20s and the spec says %s; what is half one and half the other "
            "is neither: set it back, or remove %s to start over",
            path, made_in, job_precisions[precision], JOBDIR_CHECKPOINT);
    if (strcmp(spec, spec_sha256) != 0)
        return fault_set(why, -EINVAL, "%s: this checkpoint belongs to another spec; remove %s to start over", path,
                         JOBDIR_CHECKPOINT);
    checkpoint->state = json_loads(state, JSON_REJECT_DUPLICATES, NULL);
    checkpoint->threads = atoi(threads);
    if (!json_is_object(checkpoint->state) || checkpoint->threads < 1)
        return fault_set(why, -EINVAL, "%s: the state in this checkpoint is damaged", path);
    return 1;
}

int checkpoint_open(const char *dir, const char *spec_sha256, enum precision precision, struct checkpoint *ret,
                    struct fault *why)
{
    struct checkpoint checkpoint = { 0 };
    struct stat st;
    char *path;

    if (asprintf(&path, "%s/%s/%s", dir, JOBDIR_CHECKPOINT, CHECKPOINT_FILE) < 0)
        return fault_set(why, -ENOMEM, "no memory to look for a checkpoint");
    if (stat(path, &st) < 0 && errno == ENOENT) {
        free(path);
        return 0;
    }
    int r = safetensors_open(path, &checkpoint.file, why);
    if (r == 0)
        r = metadata_read(&checkpoint, path, spec_sha256, precision, why);
    free(path);
    if (r < 0)
        checkpoint_done(&checkpoint);
    else
        *ret = checkpoint;
    return r;
}

void checkpoint_remove(const char *dir)
{
    static const char *const names[] = { CHECKPOINT_FILE, "examples.safetensors" };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char *path;

        if (asprintf(&path, "%s/%s/%s", dir, JOBDIR_CHECKPOINT, names[i]) < 0)
            continue;
        unlink(path);
        free(path);
    }
}

/* The tensor of that name and size in the checkpoint. */
static int tensor_find(struct run *run, const char *name, enum dtype dtype, int64_t count,
                       const struct safetensor **ret)
{
    const struct safetensor *tensor = run->resumed.file ? safetensors_find(run->resumed.file, name) : NULL;

    if (!tensor)
        return -ENOENT;
    if (tensor->dtype != dtype || tensor->size != (size_t)count * dtype_size(dtype))
        return run_fail(run, FAILURE_BAD_DATA, "%s/%s/%s: tensor \"%s\" doesn't fit this job", run->dir,
                        JOBDIR_CHECKPOINT, CHECKPOINT_FILE, name);
    *ret = tensor;
    return 0;
}

int checkpoint_take(struct run *run, const char *name, float *device, int64_t count)
{
    const struct safetensor *tensor = NULL;
    int r = tensor_find(run, name, DTYPE_F32, count, &tensor);

    return r < 0 ? r : run_device(run, run->ops->write(run->dev, device, tensor->data, tensor->size));
}

int checkpoint_take_host(struct run *run, const char *name, enum dtype dtype, void *host, int64_t count)
{
    const struct safetensor *tensor = NULL;
    int r = tensor_find(run, name, dtype, count, &tensor);

    if (r == 0)
        memcpy(host, tensor->data, tensor->size);
    return r;
}

const json_t *checkpoint_state(struct run *run, const char *key)
{
    return json_object_get(run->resumed.state, key);
}
