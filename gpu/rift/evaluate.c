/* How good is a model, on clean images, under attack and on corrupted images?
 *
 * One measurement for clean images, one for each attack of the spec and one for
 * each corruption and severity; where a baseline is given, the same measurements
 * of it, with the same random starts, so that before and after differ in nothing
 * but the weights.
 *
 * The paper's table takes the worst of three PGD-10 runs: restarts 3, and
 * `accuracy` is that; `worst_case_accuracy` is the stricter per-example number.
 * Attacks of autoattack.c know only that stricter one, and tell it after every stage. */
#include "gpu/rift/kinds.h"

#include "gpu/rift/corruptions.h"
#include "gpu/rift/measure.h"

#include <errno.h>
#include <string.h>

/* What is measured: the model, or what it is compared with. */
struct subject {
    const char *prefix; /* of the names of its events */
    const struct weights_ref *weights;
    const char *field;
};

struct evaluating {
    struct run *run;
    struct images images;
    struct corruptions corruptions;
    struct batch batch;
};

/* Measure, say it, return {"name", ...}. */
static int row_measure(struct evaluating *e, const struct subject *subject, const char *name,
                       const struct attack_spec *attack, json_t **ret_row)
{
    struct measured measured;
    char key[128];
    int r;

    snprintf(key, sizeof(key), "%s%s", subject->prefix, name);
    r = measure(&e->batch, key, &e->images, NULL, attack, &measured);
    if (r < 0)
        return r;
    json_t *event = json_deep_copy(measured.json);
    json_object_set_new(event, "name", json_string(key));
    r = run_event(e->run, "evaluation", event);
    if (r == 0)
        r = checkpoint_end(e->run);
    if (r == 0) {
        *ret_row = json_deep_copy(measured.json);
        json_object_set_new(*ret_row, "name", json_string(name));
    }
    return r;
}

/* {"clean": {...}, "attacks": [{...}], "corruptions": {...}} of one set of weights. */
static int subject_measure(struct evaluating *e, const struct subject *subject, json_t *into)
{
    struct run *run = e->run;
    json_t *row, *attacks = json_array();
    int r = run_weights(run, subject->weights, subject->field);

    json_object_set_new(into, "attacks", attacks);
    if (r == 0)
        r = row_measure(e, subject, "clean", NULL, &row);
    if (r == 0)
        json_object_set_new(into, "clean", row);
    for (int i = 0; i < run->spec.evaluate.attack_count && r == 0; i++) {
        const struct attack_spec *attack = &run->spec.evaluate.attacks[i];

        r = row_measure(e, subject, attack->name, attack, &row);
        if (r == 0)
            json_array_append_new(attacks, row);
    }
    if (r == 0 && e->corruptions.data)
        r = corruptions_measure(&e->corruptions, &e->batch, subject->prefix, &row);
    if (r == 0 && e->corruptions.data)
        json_object_set_new(into, "corruptions", row);
    return r;
}

static int evaluation_open(struct evaluating *e)
{
    struct run *run = e->run;
    enum dataset_split split = run_split(run, SPLIT_TEST);
    const struct examples *examples;
    bool attacked = false;
    int r = run_dataset(run, split_wants(split));

    for (int i = 0; i < run->spec.evaluate.attack_count; i++)
        attacked = attacked || attack_given(&run->spec.evaluate.attacks[i]);
    if (r == 0)
        r = run_weights(run, &run->spec.model.weights, "model.weights"); /* a bad file fails now, not after an hour */
    if (r == 0 && run->spec.evaluate.baseline.path)
        r = run_weights(run, &run->spec.evaluate.baseline, "evaluate.baseline");
    if (r == 0)
        r = run_examples(run, split, &examples);
    if (r == 0)
        r = images_open(run, examples, &e->images);
    if (r == 0)
        r = corruptions_open(run, &e->corruptions);
    if (r == 0) {
        int most = corruptions_most(&e->corruptions);

        r = batch_open(run, most > examples->count ? most : examples->count, attacked, &e->batch);
    }
    if (r == 0)
        r = measure_reserve(run, examples->count, 0, NULL);
    for (int i = 0; i < run->spec.evaluate.attack_count && r == 0; i++)
        r = measure_reserve(run, examples->count, 0, &run->spec.evaluate.attacks[i]);
    return r;
}

static int subjects_measure(struct evaluating *e, json_t **ret_result)
{
    const struct job_spec *spec = &e->run->spec;
    const struct subject model = { "", &spec->model.weights, "model.weights" };
    const struct subject baseline = { "baseline/", &spec->evaluate.baseline, "evaluate.baseline" };
    int64_t runs = 1;
    json_t *result = json_object();

    for (int i = 0; i < spec->evaluate.attack_count; i++)
        runs += measure_passes(&spec->evaluate.attacks[i]);
    int64_t images = runs * e->images.count + corruptions_images(&e->corruptions);
    e->run->outer = (struct outer){ "evaluate", 0, images * (spec->evaluate.baseline.path ? 2 : 1) };
    int r = subject_measure(e, &model, result);
    if (r == 0 && (spec->evaluate.baseline.path || spec->evaluate.baseline.job || spec->evaluate.baseline.model)) {
        json_t *before = json_object();

        json_object_set_new(result, "baseline", before);
        r = subject_measure(e, &baseline, before);
    }
    e->run->outer = (struct outer){ 0 };
    if (r == 0)
        *ret_result = result;
    else
        json_decref(result);
    return r;
}

int evaluation(struct run *run, json_t **ret_result)
{
    struct evaluating e = { .run = run };
    int r = evaluation_open(&e);

    if (r == 0)
        r = run_ready(run, NULL);
    if (r == 0)
        r = measure_resume(run);
    if (r == 0) {
        saver_push(run, measure_saver);
        r = subjects_measure(&e, ret_result);
        saver_pop(run);
    }
    batch_done(&e.batch);
    corruptions_done(&e.corruptions);
    images_done(&e.images);
    return r;
}
