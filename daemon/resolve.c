/* What does a worker need to know that a spec over HTTP says otherwise?
 *
 *   {"job": ID [, "artifact": NAME]}  -> "../ID/artifacts/NAME"
 *   /finetune/mrc_job {"job": ID}     -> "../ID", the job's directory
 *   /evaluate/corruptions/job ID      -> path "../ID/artifacts", where its copies lie; /inspect/corruptions/job too
 *   dataset {"name": NAME}            -> format and path of the registered set
 *   device "auto", "cuda"             -> the slot's
 *
 * Paths that the spec names itself are judged again first (job/places.c).
 * Paths here are relative to the job directory, so that a state directory can be
 * moved, and `rift-worker run DIR` works on it with no daemon. */
#include "daemon/daemon.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct resolver {
    struct daemon *daemon;
    struct fault *why;
};

int data_place_check(const struct daemon *daemon, const char *path, struct fault *why)
{
    const struct setting_list *list = &daemon->settings->data_root;
    const char **roots = calloc((size_t)list->count + 1, sizeof(*roots));
    char state[PATH_MAX];

    if (!roots)
        return fault_set(why, -ENOMEM, "out of memory");
    for (int i = 0; i < list->count; i++)
        roots[i] = list->items[i].text;
    snprintf(state, sizeof(state), "%s", daemon->jobs_dir);
    struct data_places places = { roots, list->count, dirname(state) };
    int r = place_check(&places, path, why);
    free(roots);
    return r;
}

/* Links may have been turned since the spec came. */
static int place_see(const char *pointer, const char *path, void *user)
{
    struct resolver *resolver = user;
    struct fault why = { 0 };
    int r = data_place_check(resolver->daemon, path, &why);

    return r < 0 ? fault_set(resolver->why, r == -EACCES ? -EINVAL : r, "%s: %s", pointer, why.message) : 0;
}

/* The artifact that a reference to this job's weights means. */
static int artifact_choose(struct resolver *resolver, const struct spec_ref *ref, char *ret, size_t size)
{
    db_job_auto job = { 0 };
    const char *name = ref->artifact;

    int r = db_job_get(resolver->daemon->db, ref->job, &job);
    if (r == -ENOENT)
        return fault_set(resolver->why, r, "%s: there is no job %.36s any more", ref->pointer, ref->job);
    if (r < 0)
        return fault_set(resolver->why, r, "%s: %s", ref->pointer, db_errmsg(resolver->daemon->db));
    int kind = job_kind_find(job.kind);
    if (!name && kind >= 0)
        name = job_kinds[kind].weights;
    if (!name)
        return fault_set(resolver->why, -EINVAL, "%s: a %s job makes no weights", ref->pointer, job.kind);
    if (job.purged & PART_ARTIFACTS)
        return fault_set(resolver->why, -ENOENT, "%s: %.100s of job %.36s is not kept any more (retain-artifacts)",
                         ref->pointer, name, job.id);
    if (!artifact_name_valid(name))
        return fault_set(resolver->why, -EINVAL, "%s: \"%.80s\" is no name of an artifact", ref->pointer, name);
    snprintf(ret, size, "../%s/" JOBDIR_ARTIFACTS "/%s", job.id, name);
    return 0;
}

/* A registered model's bytes lie under their hash. */
static int model_choose(struct resolver *resolver, const struct spec_ref *ref, char *ret, size_t size)
{
    struct db_model model;
    char name[MODEL_FILE_SIZE];
    int r = db_model_get(resolver->daemon->db, ref->model, &model);

    if (r == -ENOENT)
        return fault_set(resolver->why, r, "%s: there is no model %.36s any more", ref->pointer, ref->model);
    if (r < 0)
        return fault_set(resolver->why, r, "%s: %s", ref->pointer, db_errmsg(resolver->daemon->db));
    model_file(model.sha256, name);
    snprintf(ret, size, "../../models/%s", name);
    return 0;
}

static int ref_resolve(const struct spec_ref *ref, void *user)
{
    struct resolver *resolver = user;
    char path[DB_ID_SIZE + 600];
    int r = 0;

    if (ref->model)
        r = model_choose(resolver, ref, path, sizeof(path));
    else if (ref->wants >= 0)
        snprintf(path, sizeof(path), ref->wants == JOB_CORRUPT ? "../%.36s/" JOBDIR_ARTIFACTS : "../%.36s", ref->job);
    else
        r = artifact_choose(resolver, ref, path, sizeof(path));
    if (r >= 0 && spec_ref_put(ref, path) < 0)
        r = fault_set(resolver->why, -ENOMEM, "out of memory");
    return r;
}

static int dataset_resolve(struct resolver *resolver, json_t *spec)
{
    json_t *dataset = json_object_get(spec, "dataset");
    const char *name = json_string_value(json_object_get(dataset, "name"));

    if (!name)
        return 0;
    const json_t *set = datasets_find(resolver->daemon, name);
    if (!set)
        return fault_set(resolver->why, -ENOENT, "/dataset/name: no data set is registered as \"%.80s\"", name);
    if (json_object_set(dataset, "format", json_object_get(set, "format")) < 0 ||
        json_object_set(dataset, "path", json_object_get(set, "path")) < 0 ||
        json_object_set_new(dataset, "name", json_null()) < 0)
        return fault_set(resolver->why, -ENOMEM, "out of memory");
    return 0;
}

/* auto, or a family such as cuda: the slot's device; ref stays ref. */
static int device_resolve(struct resolver *resolver, json_t *spec, const char *device)
{
    const char *wanted = json_string_value(json_object_get(spec, "device"));

    if (wanted && !job_device_serves(device, wanted))
        return fault_set(resolver->why, -ENODEV, "/device: a slot on %s is no \"%.40s\"", device, wanted);
    if (wanted && strcmp(wanted, "ref") == 0)
        return 0;
    return json_object_set_new(spec, "device", json_string(device)) < 0
               ? fault_set(resolver->why, -ENOMEM, "out of memory")
               : 0;
}

int spec_resolve(struct daemon *daemon, const struct db_job *job, const char *device, json_t **ret, struct fault *why)
{
    struct resolver resolver = { daemon, why };
    json_t *spec = text_read(job->spec);
    int r;

    if (!spec)
        return fault_set(why, -EBADMSG, "its stored spec is damaged");
    r = spec_paths(spec, place_see, &resolver);
    if (r >= 0)
        r = spec_refs(spec, ref_resolve, &resolver);
    if (r >= 0)
        r = dataset_resolve(&resolver, spec);
    if (r >= 0)
        r = device_resolve(&resolver, spec, device);
    if (r < 0) {
        if (!why->code)
            fault_set(why, r, "its stored spec is damaged: %s", strerror(-r));
        json_decref(spec);
        return r;
    }
    *ret = spec;
    return 0;
}
