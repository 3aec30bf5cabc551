/* Crafting D_adv, so that it can stop in the middle.
 *
 *   crafting   state {"crafted": n, "stored": false}, tensor x_adv: the first n
 *   complete   state {"crafted": N, "stored": true}, DIR/checkpoint/examples.safetensors
 *
 * The complete set is written once, apart from the state: it is large, never
 * changes again, and a checkpoint comes every minute.
 *
 * One run of the attack is made whatever `restarts` says: Algorithm 1 has one
 * adversarial example for each clean one. */
#include "gpu/rift/fixed_examples.h"

#include "gpu/backend/philox.h"
#include "gpu/rift/attack.h"
#include "gpu/rift/measure.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define EXAMPLES_FILE "examples.safetensors"

static size_t row(const struct fixed_examples *f)
{
    return (size_t)shape_count(f->adversarial.one);
}

int fixed_examples_open(struct run *run, const struct examples *examples, const struct attack_spec *attack,
                        struct fixed_examples *ret)
{
    struct fixed_examples f = { .run = run, .attack = attack };
    int r = images_open(run, examples, &f.clean);

    if (r == 0 && attack) {
        r = images_open_rows(run, examples, &f.adversarial);
        if (r == 0)
            r = run_plan_reserve(run, examples->count, attack_plan(PLAN_EVAL));
    }
    if (r < 0)
        fixed_examples_done(&f);
    else
        *ret = f;
    return r;
}

void fixed_examples_done(struct fixed_examples *f)
{
    images_done(&f->clean);
    images_done(&f->adversarial);
}

/* ---- in and out of checkpoints ---------------------------------------------------- */

static int fixed_examples_save(struct run *run, void *user, struct checkpoint *into)
{
    struct fixed_examples *f = user;
    int r = 0;

    if (!f->adversarial.rows)
        return 0;
    if (!f->stored)
        r = checkpoint_add(run, into, "x_adv", f->adversarial.rows, (int64_t)row(f) * f->crafted);
    if (r < 0)
        return r;
    return checkpoint_add_state(into, "fixed_examples",
                                json_pack("{s:i, s:b}", "crafted", f->crafted, "stored", f->stored));
}

struct saver fixed_examples_saver(struct fixed_examples *fixed)
{
    return (struct saver){ fixed_examples_save, fixed };
}

static int stored_write(struct fixed_examples *f)
{
    struct run *run = f->run;
    const struct images *images = &f->adversarial;
    size_t bytes = row(f) * sizeof(float) * (size_t)images->count;
    float *host = malloc(bytes);
    char *dir = run_path(run, JOBDIR_CHECKPOINT);
    struct safetensor x = { .name = "x",
                            .dtype = DTYPE_F32,
                            .rank = 4,
                            .data = host,
                            .size = bytes,
                            .shape = { images->count, images->one.c, images->one.h, images->one.w } };
    int r = host && dir ? run_device(run, run->ops->read(run->dev, host, images->rows, bytes))
                        : fault_set(&run->why, -ENOMEM, "no memory to store the adversarial examples");

    if (r == 0)
        do
            r = safetensors_write(dir, EXAMPLES_FILE, &x, 1, NULL, NULL, NULL, &run->why);
        while (run_waits(run, &r));
    free(host);
    free(dir);
    f->stored = r == 0;
    return r;
}

static int stored_read(struct fixed_examples *f)
{
    struct run *run = f->run;
    size_t bytes = row(f) * sizeof(float) * (size_t)f->adversarial.count;
    struct safetensors *file = NULL;
    char *path = run_path(run, JOBDIR_CHECKPOINT "/" EXAMPLES_FILE);
    int r = path ? safetensors_open(path, &file, &run->why) : -ENOMEM;
    const struct safetensor *x = r == 0 ? safetensors_find(file, "x") : NULL;

    if (r == 0 && (!x || x->dtype != DTYPE_F32 || x->size != bytes))
        r = fault_set(&run->why, -EINVAL, "%s: these are not the adversarial examples of this job", path);
    if (r == 0)
        r = run_device(run, run->ops->write(run->dev, f->adversarial.rows, x->data, bytes));
    safetensors_close(file);
    free(path);
    return run_blame(run, FAILURE_BAD_DATA, r);
}

static int fixed_examples_resume(struct fixed_examples *f)
{
    struct run *run = f->run;
    const json_t *was = checkpoint_state(run, "fixed_examples");

    if (!was)
        return 0;
    f->crafted = (int)json_integer_value(json_object_get(was, "crafted"));
    f->stored = json_is_true(json_object_get(was, "stored"));
    if (f->crafted < 0 || f->crafted > f->adversarial.count || (f->stored && f->crafted != f->adversarial.count))
        return run_fail(run, FAILURE_BAD_DATA, "%s: the checkpoint's count of examples is damaged", run->dir);
    if (f->stored)
        return stored_read(f);
    int r = checkpoint_take(run, "x_adv", f->adversarial.rows, (int64_t)row(f) * f->crafted);
    return r == -ENOENT ? run_fail(run, FAILURE_BAD_DATA, "%s: the checkpoint lacks \"x_adv\"", run->dir) : r;
}

/* ---- crafting ------------------------------------------------------------------------ */

static int batch_craft(struct fixed_examples *f, struct batch *b, int n)
{
    struct run *run = f->run;
    struct plan_spec spec = attack_plan(PLAN_EVAL);
    struct plan *plan;

    spec.batch = n;
    int r = run_plan(run, spec, &plan);
    if (r == 0)
        r = batch_load(b, &f->clean, NULL, f->crafted, n, NULL);
    if (r == 0)
        r = attack_pgd(b, plan, f->attack, (struct random_key){ (uint64_t)run->spec.seed, RANDOM_EVALUATE, 0 });
    if (r == 0)
        r = run_device(run, run->ops->copy(run->dev, f->adversarial.rows + row(f) * (size_t)f->crafted, b->x_adv,
                                           row(f) * (size_t)n * sizeof(float)));
    return r;
}

int fixed_examples_craft(struct fixed_examples *f, struct batch *b)
{
    struct run *run = f->run;
    int count = f->clean.count, r;

    f->d_adv = &f->clean;
    if (!f->adversarial.rows)
        return 0;
    f->d_adv = &f->adversarial;
    r = fixed_examples_resume(f);
    while (r == 0 && f->crafted < count) {
        int left = count - f->crafted, n = left < b->most ? left : b->most;

        r = batch_craft(f, b, n);
        if (r < 0)
            break;
        f->crafted += n;
        r = run_progress(run, "adversarial examples", f->crafted, count, false);
        if (r == 0)
            r = checkpoint_breathe(run);
    }
    if (r == 0 && !f->stored) {
        r = stored_write(f);
        if (r == 0)
            r = checkpoint_end(run);
    }
    if (r == 0)
        images_done(&f->clean);
    return r;
}
