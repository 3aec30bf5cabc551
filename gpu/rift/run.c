/* What does every kind of job need before it can begin?
 *
 * Device, model, weights, plans; helpers that turn the spec's words (paths,
 * splits) into things. Opening is in one order, closing in the reverse one. */
#include "gpu/rift/run.h"

#include "gpu/rift/standing.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIBRARY_GROWTH = 32 << 20, NEAR_MODULES = 3 };

/* ---- failing with words ----------------------------------------------------- */

/* Errors that mean one thing wherever they come from. */
static const struct {
    int error;
    enum failure failure;
} errors[] = { { -ENOMEM, FAILURE_OUT_OF_MEMORY },
               { -ENOSPC, FAILURE_NO_SPACE },
               { -ENODEV, FAILURE_DEVICE_LOST },
               { -EDOM, FAILURE_NOT_FINITE } };

int run_blame(struct run *run, enum failure failure, int r)
{
    if (r >= 0 || r == -EINTR || r == -ECANCELED || run->failure != FAILURE_NONE)
        return r;
    run->failure = failure;
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
        if (errors[i].error == r)
            run->failure = errors[i].failure;
    return r;
}

int run_fail(struct run *run, enum failure failure, const char *format, ...)
{
    va_list list;
    char message[sizeof(run->why.message)];

    va_start(list, format);
    vsnprintf(message, sizeof(message), format, list);
    va_end(list);
    run->failure = failure;
    return fault_set(&run->why, -EINVAL, "%s", message);
}

int run_device(struct run *run, int r)
{
    if (r < 0 && !*run->why.message)
        fault_set(&run->why, r, "%s: %s", run->spec.device, device_errmsg(run->dev));
    return run_blame(run, FAILURE_INTERNAL, r);
}

/* ---- opening and closing ------------------------------------------------------- */

static int device_begin(struct run *run)
{
    int threads = run->resumed.threads ? run->resumed.threads : run->spec.threads;
    int r = device_open(run->spec.device, run->spec.precision, threads, &run->dev, &run->why);

    if (r < 0)
        return run_blame(run, r == -ENOTSUP ? FAILURE_BAD_SPEC : FAILURE_DEVICE_LOST, r);
    run->ops = run->dev->ops;
    run->dev->deterministic = run->spec.deterministic;

    json_auto_t *about = run->ops->describe(run->dev);
    run->threads = (int)json_integer_value(json_object_get(about, "threads"));
    run->memory_bytes = (size_t)json_integer_value(json_object_get(about, "memory_bytes"));
    if (run->resumed.threads && run->threads < run->resumed.threads)
        run_log(run, "the checkpoint was made with %d threads; here are %d, so the last bits may differ",
                run->resumed.threads, run->threads);
    if (run->threads < 1)
        run->threads = 1; /* a device that has no threads of its own */
    return 0;
}

int run_open(struct run *run)
{
    int r = device_begin(run);

    if (r == 0)
        r = run_blame(run, FAILURE_BAD_SPEC, model_open(&run->spec.model, &run->model, &run->why));
    if (r == 0)
        r = run_take(run, (size_t)run->model->total_count * sizeof(float), "weights");
    if (r == 0)
        r = run_blame(run, FAILURE_INTERNAL, weights_open(run->dev, run->model, &run->weights, &run->why));
    if (r == 0) {
        r = run_blame(run, FAILURE_INTERNAL, plan_cache_open(run->weights, &run->plans));
    }
    return r;
}

void run_close(struct run *run)
{
    standing_free(run->standing);
    run->standing = NULL;
    plan_cache_close(run->plans);
    weights_close(run->weights);
    model_close(run->model);
    dataset_done(&run->dataset);
    device_close(run->dev);
    checkpoint_done(&run->resumed);
    json_decref(run->measured);
    json_decref(run->sandbox);
    run->sandbox = NULL;
    spec_done(&run->spec);
}

bool run_room_left(struct run *run)
{
    void *probe = run->ops->alloc(run->dev, LIBRARY_GROWTH + 3 * (size_t)run->model->total_count * sizeof(float));

    if (probe)
        run->ops->free(run->dev, probe);
    return probe;
}

/* Of riftd and of what the device works with, from "NAME VERSION, NAME VERSION". */
static json_t *versions(const json_t *device)
{
    const char *at = json_string_value(json_object_get(device, "library")) ?: "";
    json_t *versions = json_pack("{s:s}", "riftd", RIFT_VERSION);

    while (*at) {
        size_t length = strcspn(at, ",");
        char name[64] = "", *version;

        memcpy(name, at, length < sizeof(name) ? length : sizeof(name) - 1);
        version = strrchr(name, ' ');
        if (version) {
            *version++ = '\0';
            json_object_set_new(versions, name, json_string(version));
        }
        at += length;
        at += strspn(at, ", ");
    }
    return versions;
}

json_t *run_started(const struct run *run, json_t *device)
{
    return json_pack("{s:o, s:s, s:o, s:O*, s:s}", "device", device, "version", RIFT_VERSION, "versions",
                     versions(device), "seed", json_object_get(run->spec.json, "seed"), "spec_sha256",
                     run->spec_sha256);
}

json_t *run_no_device(void)
{
    return json_pack("{s:s, s:s}", "id", "cpu", "type", "cpu");
}

int run_ready(struct run *run, json_t *extra)
{
    size_t bytes = run_bytes(run);
    json_auto_t *members = extra ? extra : json_object();

    if ((run->memory_bytes && bytes > run->memory_bytes) || !run_room_left(run)) {
        run->failure = FAILURE_OUT_OF_MEMORY;
        return fault_set(&run->why, -ENOMEM,
                         "the job needs %zu bytes of memory and some to work in, the device has %zu; try a smaller "
                         "batch_size",
                         bytes, run->memory_bytes);
    }
    if (run->check_only)
        return -ECANCELED;
    json_t *fields = run_started(run, run->ops->describe(run->dev));
    json_object_update_new(fields, json_pack("{s:i, s:b, s:I, s:{s:i, s:i, s:i}}", "threads", run->threads, "resumed",
                                             run->resumed.state != NULL, "memory_bytes", (json_int_t)bytes, "examples",
                                             "train", run->dataset.train.count, "validation",
                                             run->dataset.validation.count, "test", run->dataset.test.count));
    json_object_update(fields, members);
    run->checkpoint_ms = run->steady_ms();
    return run_event(run, "started", fields);
}

/* ---- memory ---------------------------------------------------------------------- */

size_t run_bytes(const struct run *run)
{
    return run->own_bytes + plan_cache_bytes(run->plans);
}

int run_take(struct run *run, size_t bytes, const char *what)
{
    if (run->memory_bytes && run->own_bytes + bytes > run->memory_bytes) {
        run->failure = FAILURE_OUT_OF_MEMORY;
        return fault_set(&run->why, -ENOMEM, "no memory for %zu bytes of %s: the device has %zu, and %zu are taken",
                         bytes, what, run->memory_bytes, run->own_bytes);
    }
    run->own_bytes += bytes;
    return 0;
}

void *run_alloc(struct run *run, size_t bytes, const char *what)
{
    if (run_take(run, bytes, what) < 0)
        return NULL;
    void *memory = run->ops->alloc(run->dev, bytes);
    if (!memory) {
        run->own_bytes -= bytes;
        run->failure = FAILURE_OUT_OF_MEMORY;
        fault_set(&run->why, -ENOMEM, "no memory for %zu bytes of %s", bytes, what);
    }
    return memory;
}

void run_free(struct run *run, void *memory, size_t bytes)
{
    if (!memory)
        return;
    run->ops->free(run->dev, memory);
    run->own_bytes -= bytes;
}

/* ---- the spec's words -------------------------------------------------------------- */

/* A path that climbs, without the climbing where its folder is there; takes it over. For messages. */
static char *path_straight(char *path)
{
    char *base = strrchr(path, '/'), *straight = realpath(path, NULL);

    if (!straight) {
        *base = 0;
        char *folder = realpath(path, NULL);
        *base = '/';
        if (!folder || asprintf(&straight, "%s%s", folder, base) < 0)
            straight = NULL;
        free(folder);
    }
    if (!straight)
        return path;
    free(path);
    return straight;
}

char *run_path(const struct run *run, const char *path)
{
    char *joined;

    if (path[0] == '/')
        return strdup(path);
    if (asprintf(&joined, "%s/%s", run->dir, path) < 0)
        return NULL;
    return strncmp(path, "../", 3) == 0 ? path_straight(joined) : joined;
}

int run_weights(struct run *run, const struct weights_ref *ref, const char *field)
{
    if (ref->job || ref->model)
        return run_fail(run, FAILURE_BAD_SPEC, "%s: a worker knows paths only; jobs and models are named over HTTP",
                        field);
    if (!ref->path)
        return run_device(run, weights_init(run->weights, run->spec.seed));
    char *path = run_path(run, ref->path);
    if (!path)
        return run_blame(run, FAILURE_INTERNAL, fault_set(&run->why, -ENOMEM, "no memory for a path"));
    int r = weights_load(run->weights, path, &run->why);
    free(path);
    return run_blame(run, FAILURE_BAD_DATA, r);
}

/* What is like `name` and not like those before it: modules and, beside them, `words`. */
static bool module_near(const struct model *model, const char *words, const char *name, char near[][64], int before)
{
    char *names = NULL;
    size_t size;
    FILE *list = open_memstream(&names, &size);
    bool found;

    for (int i = 0; list && i < model->module_count; i++) {
        bool taken = false;

        for (int b = 0; b < before; b++)
            taken = taken || strcmp(near[b], model->modules[i].name) == 0;
        if (!taken)
            fprintf(list, "%s|", model->modules[i].name);
    }
    if (!list)
        return false;
    fputs(before ? "" : words, list);
    found = fclose(list) == 0 && word_nearest(names, name, near[before], sizeof(near[before]));
    free(names);
    return found;
}

int run_module(struct run *run, const char *field, const char *name)
{
    const struct model *model = run->model;
    const char *words = strncmp(field, "mrc", 3) == 0 ? "" : MODULE_WORDS;
    char near[NEAR_MODULES][64], hint[NEAR_MODULES * 70 + 40] = "";
    int m = model_module(model, name), found = 0;
    size_t used = 0;

    if (m >= 0)
        return m;
    while (found < NEAR_MODULES && module_near(model, words, name, near, found)) {
        used += (size_t)snprintf(hint + used, sizeof(hint) - used,
                                 found == 0   ? "; did you mean \"%s\"?"
                                 : found == 1 ? " Near is also \"%s\""
                                              : ", \"%s\"",
                                 near[found]);
        found++;
    }
    if (found)
        return run_fail(run, FAILURE_BAD_SPEC, "%s: %s has no module \"%.63s\"%s", field, model->arch, name, hint);
    return run_fail(run, FAILURE_BAD_SPEC, "%s: %s has no module \"%.63s\"; it has %d, from \"%s\" to \"%s\"", field,
                    model->arch, name, model->module_count, model->modules[0].name,
                    model->modules[model->module_count - 1].name);
}

int run_parameter(struct run *run, const char *field, const char *text)
{
    const struct model *model = run->model;

    for (int t = 0; t < model->tensor_count; t++)
        if (model->tensors[t].parameter && strstr(model->tensors[t].name, text))
            return 0;
    return run_fail(run, FAILURE_BAD_SPEC, "%s: no parameter of %s has \"%s\" in its name", field, model->arch, text);
}

/* The spec of the data with paths as seen from here; release both. */
static int dataset_find(struct run *run, struct dataset_spec *ret, char **ret_path, char **ret_test_path)
{
    const struct dataset_spec *spec = &run->spec.dataset;

    if (!spec->path)
        return run_fail(run, FAILURE_BAD_SPEC,
                        "dataset.name: names of data sets, such as \"%.100s\", are known to riftd only; give a worker "
                        "dataset.format and dataset.path",
                        spec->name ? spec->name : "");
    *ret = *spec;
    ret->path = *ret_path = run_path(run, spec->path);
    ret->test_path = *ret_test_path = spec->test_path ? run_path(run, spec->test_path) : NULL;
    if (!ret->path || (spec->test_path && !ret->test_path))
        return run_blame(run, FAILURE_INTERNAL, fault_set(&run->why, -ENOMEM, "no memory for a path"));
    return 0;
}

static int at_most(int limit, int most)
{
    return most > 0 && (limit == 0 || limit > most) ? most : limit;
}

int run_dataset_apart(struct run *run, const int shape[3], int classes, struct dataset_wants wants, int most,
                      struct dataset *ret)
{
    struct dataset_spec spec;
    char *path = NULL, *test_path = NULL;
    int r = dataset_find(run, &spec, &path, &test_path);

    if (r == 0) {
        spec.train_limit = at_most(spec.train_limit, most);
        spec.test_limit = at_most(spec.test_limit, most);
        r = dataset_open(&spec, run->spec.protocol, shape, classes, wants, ret, &run->why);
    }
    free(path);
    free(test_path);
    return run_blame(run, FAILURE_BAD_DATA, r);
}

int run_dataset(struct run *run, struct dataset_wants wants)
{
    return run_dataset_apart(run, run->model->input, run->model->num_classes, wants, 0, &run->dataset);
}

int run_dataset_shape(struct run *run, enum dataset_split split, int *ret_count, int ret_shape[3])
{
    struct dataset_spec spec;
    char *path = NULL, *test_path = NULL;
    int r = dataset_find(run, &spec, &path, &test_path);

    if (r == 0)
        r = dataset_shape(&spec, split == SPLIT_TEST, ret_count, ret_shape, &run->why);
    free(path);
    free(test_path);
    return run_blame(run, FAILURE_BAD_DATA, r);
}

int run_dataset_as_is(struct run *run, enum dataset_split split, const int shape[3])
{
    return run_dataset_apart(run, shape, INT_MAX, split_wants(split), 0, &run->dataset);
}

enum dataset_split run_judge(const struct run *run)
{
    return run->spec.protocol == PROTOCOL_PAPER ? SPLIT_TEST : SPLIT_VALIDATION;
}

enum dataset_split run_split(const struct run *run, enum dataset_split fallback)
{
    return run->spec.dataset.split == SPLIT_DEFAULT ? fallback : run->spec.dataset.split;
}

struct dataset_wants split_wants(enum dataset_split split)
{
    return (struct dataset_wants){ split == SPLIT_TRAIN, split == SPLIT_VALIDATION, split == SPLIT_TEST };
}

int run_examples(struct run *run, enum dataset_split split, const struct examples **ret)
{
    static const char *const names[] = {
        [SPLIT_TRAIN] = "training", [SPLIT_VALIDATION] = "validation", [SPLIT_TEST] = "test"
    };
    const struct examples *examples = split == SPLIT_TRAIN        ? &run->dataset.train
                                      : split == SPLIT_VALIDATION ? &run->dataset.validation
                                                                  : &run->dataset.test;

    if (examples->count < 1)
        return run_fail(run, FAILURE_BAD_DATA, "the data set has no %s examples%s", names[split],
                        split == SPLIT_VALIDATION && run->spec.protocol == PROTOCOL_PAPER
                            ? " (protocol \"paper\" holds nothing out)"
                            : "");
    *ret = examples;
    return 0;
}

void run_say_images(json_t *result, int count, enum dataset_split split)
{
    static const char *const names[] = {
        [SPLIT_TRAIN] = "train", [SPLIT_VALIDATION] = "validation", [SPLIT_TEST] = "test"
    };

    json_object_set_new(result, "images", json_integer(count));
    json_object_set_new(result, "split", json_string(names[split]));
}

/* ---- plans and artifacts ------------------------------------------------------------- */

int run_plan(struct run *run, struct plan_spec spec, struct plan **ret)
{
    return run_blame(run, FAILURE_INTERNAL, plan_cache_get(run->plans, &spec, ret, &run->why));
}

int run_plan_reserve(struct run *run, int count, struct plan_spec spec)
{
    int whole = count < run->spec.batch_size ? count : run->spec.batch_size;
    int batches[2] = { whole, count % whole };

    for (int i = 0; i < 2; i++) {
        struct plan *plan;

        spec.batch = batches[i];
        if (!spec.batch)
            continue;
        int r = run_plan(run, spec, &plan);
        if (r < 0)
            return r;
    }
    return 0;
}

/* The model's spec without the place its weights came from: that isn't part of
 * what the file holds, and the same weights shall have the same hash wherever
 * they were made. */
static char *model_text(const struct run *run)
{
    json_auto_t *model = json_copy(json_object_get(run->spec.json, "model"));

    json_object_del(model, "weights");
    return model ? spec_text(model, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
}

int run_artifact(struct run *run, const char *name)
{
    char sha256[65];
    int64_t size;
    char *dir = run_path(run, JOBDIR_ARTIFACTS), *model = model_text(run);
    int r;

    do
        r = dir && model ? weights_save(run->weights, dir, name, model, sha256, &size, &run->why)
                         : fault_set(&run->why, -ENOMEM, "no memory to save %s", name);
    while (run_waits(run, &r));
    free(dir);
    free(model);
    if (r < 0)
        return run_blame(run, FAILURE_INTERNAL, r);
    return run_artifact_say(run, name, sha256, size);
}

int run_artifact_write(struct run *run, const char *name, const void *data, size_t size)
{
    char *dir = run_path(run, JOBDIR_ARTIFACTS), sha256[65];
    int r;

    do
        r = dir ? file_replace(dir, name, data, size, &run->why)
                : fault_set(&run->why, -ENOMEM, "no memory to save %s", name);
    while (run_waits(run, &r));
    free(dir);
    if (r < 0)
        return run_blame(run, FAILURE_INTERNAL, r);
    sha256_of(data, size, sha256);
    return run_artifact_say(run, name, sha256, (int64_t)size);
}

int run_artifact_say(struct run *run, const char *name, const char *sha256, int64_t size)
{
    return run_event(run, "artifact",
                     json_pack("{s:s, s:s, s:I}", "name", name, "sha256", sha256, "size", (json_int_t)size));
}
