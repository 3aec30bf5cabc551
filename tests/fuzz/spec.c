/* Can any bytes be given as a spec? Whatever is accepted must, written down with
 * every default filled in, be accepted again and mean the same; what expands
 * must expand into specs that are accepted in turn. */
#include "tests/fuzz/fuzz.h"

#include "job/job.h"

#include <errno.h>
#include <string.h>

static int ref_see(const struct spec_ref *ref, void *user)
{
    (void)user;
    PROMISE(ref->pointer[0] == '/');
    PROMISE(json_is_object(json_object_get(ref->parent, ref->key)));
    PROMISE(ref->job || ref->model);
    return 0;
}

static void errors_see(const struct spec_errors *errors)
{
    PROMISE(errors->total >= errors->count);
    for (int i = 0; i < errors->count; i++) {
        json_auto_t *words = json_string(errors->list[i].message);
        PROMISE(words && *errors->list[i].message); /* UTF-8: it goes into an answer */
        PROMISE(memchr(errors->list[i].pointer, 0, sizeof(errors->list[i].pointer)));
    }
}

/* The same spec again, from its own normal form. */
static void again(const struct job_spec *spec)
{
    struct spec_errors errors = { 0 };
    spec_auto second = { 0 };
    char *text = spec_text(spec->json, JSON_COMPACT);

    PROMISE(text);
    PROMISE(spec_parse(text, strlen(text), &second, &errors) == 0);
    PROMISE(json_equal(spec->json, second.json));
    free(text);
}

static void steps_see(const struct job_spec *rift)
{
    json_t *steps[RIFT_STEPS] = { 0 };
    int r = rift_expand(rift, steps);

    PROMISE(r == 0);
    for (int i = 0; i < RIFT_STEPS; i++) {
        struct spec_errors errors = { 0 };
        struct job_spec step = { 0 };
        if (!steps[i])
            continue;
        PROMISE(spec_from_json(steps[i], &step, &errors) == 0);
        spec_done(&step);
        json_decref(steps[i]);
    }
}

static void runs_see(const struct job_spec *sweep)
{
    struct sweep_run *runs = NULL;
    int count = 0;

    PROMISE(sweep_expand(sweep, &runs, &count) >= 0);
    PROMISE(count > 0);
    for (int i = 0; i < count && i < 3; i++) {
        struct spec_errors errors = { 0 };
        spec_auto run = { 0 };
        PROMISE(runs[i].shares < i);
        PROMISE(spec_from_json(runs[i].spec, &run, &errors) == 0);
        PROMISE(run.kind == JOB_RIFT);
        steps_see(&run);
    }
    sweep_runs_free(runs, count);
}

void fuzz_one(const uint8_t *data, size_t size)
{
    struct spec_errors errors = { 0 };
    spec_auto spec = { 0 };
    int r = spec_parse((const char *)data, size, &spec, &errors);

    if (r < 0) {
        PROMISE(r == -EINVAL && errors.count > 0 && !spec.json);
        errors_see(&errors);
        return;
    }
    PROMISE(errors.total == 0);
    again(&spec);
    if (spec.kind == JOB_RIFT)
        steps_see(&spec);
    if (spec.kind == JOB_SWEEP)
        runs_see(&spec);
    spec_paths_check(&spec, &errors);
    errors_see(&errors);
    json_auto_t *copy = json_deep_copy(spec.json);
    PROMISE(spec_refs(copy, ref_see, NULL) >= 0);
    PROMISE(spec_paths_rebase(copy, "../../") == 0);
}
