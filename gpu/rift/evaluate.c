/* How good is a model, on clean images, under attack and on corrupted images?
 *
 * One measurement for clean images, one for each attack of the spec and one for
 * each corruption and severity; where a baseline is given, the same measurements
 * of it, with the same random starts, so that before and after differ in nothing
 * but the weights. So is every point of the line between two sets of weights whose
 * alpha is asked for; nothing is chosen here.
 *
 * The paper's table takes the worst of three PGD-10 runs: restarts 3, and
 * `accuracy` is that; `worst_case_accuracy` is the stricter per-example number.
 * Attacks of autoattack.c know only that stricter one, and tell it after every stage. */
#include "gpu/rift/kinds.h"

#include "gpu/rift/corruptions.h"
#include "gpu/rift/line.h"
#include "gpu/rift/measure.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What is measured: the model, what it is compared with, or a point of the line from that one. */
struct subject {
    const char *prefix;                /* of the names of its events */
    const struct weights_ref *weights; /* NULL: the point at alpha */
    const char *field;
    double alpha;
};

struct evaluating {
    struct run *run;
    struct images images;
    struct corruptions corruptions;
    struct batch batch;
    enum dataset_split split;
    struct line line; /* from the baseline to evaluate.toward, when alphas are asked for */
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
    int r = subject->weights ? run_weights(run, subject->weights, subject->field) : line_begin(&e->line);

    if (r == 0 && !subject->weights)
        r = line_at(&e->line, subject->alpha);
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

/* All weights are read, so that a bad file fails now and not after an hour. */
static int subjects_open(struct evaluating *e)
{
    struct run *run = e->run;
    int r = run_weights(run, &run->spec.model.weights, "model.weights");

    if (r == 0 && weights_given(&run->spec.evaluate.baseline))
        r = run_weights(run, &run->spec.evaluate.baseline, "evaluate.baseline");
    if (r == 0 && run->spec.evaluate.alpha_count)
        r = line_open(run, &run->spec.evaluate.baseline, "evaluate.baseline", &run->spec.evaluate.toward,
                      "evaluate.toward", &e->line);
    return r;
}

static int evaluation_open(struct evaluating *e)
{
    struct run *run = e->run;
    const struct examples *examples;
    bool attacked = false;

    e->split = run_split(run, SPLIT_TEST);
    int r = run_dataset(run, split_wants(e->split));
    for (int i = 0; i < run->spec.evaluate.attack_count; i++)
        attacked = attacked || attack_given(&run->spec.evaluate.attacks[i]);
    if (r == 0)
        r = subjects_open(e);
    if (r == 0)
        r = run_examples(run, e->split, &examples);
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

/* The points of the line, [{"alpha", "clean", ...}]. */
static int line_measure(struct evaluating *e, json_t *into)
{
    const struct job_spec *spec = &e->run->spec;
    int r = 0;

    for (int i = 0; i < spec->evaluate.alpha_count && r == 0; i++) {
        double alpha = spec->evaluate.alphas[i];
        json_t *point = json_pack("{s:f}", "alpha", alpha);
        char prefix[48];

        snprintf(prefix, sizeof(prefix), "alpha-%.17g/", alpha);
        json_array_append_new(into, point);
        r = subject_measure(e, &(struct subject){ .prefix = prefix, .alpha = alpha }, point);
    }
    return r;
}

static int subjects_measure(struct evaluating *e, json_t *into)
{
    const struct job_spec *spec = &e->run->spec;
    const struct subject model = { "", &spec->model.weights, "model.weights", 0 };
    const struct subject baseline = { "baseline/", &spec->evaluate.baseline, "evaluate.baseline", 0 };
    int r = subject_measure(e, &model, into);

    if (r == 0 && weights_given(&spec->evaluate.baseline)) {
        json_t *before = json_object();

        json_object_set_new(into, "baseline", before);
        r = subject_measure(e, &baseline, before);
    }
    if (r == 0 && spec->evaluate.alpha_count) {
        json_t *points = json_array();

        json_object_set_new(into, "alphas", points);
        r = line_measure(e, points);
    }
    return r;
}

static int evaluation_run(struct evaluating *e, json_t **ret_result)
{
    const struct job_spec *spec = &e->run->spec;
    int subjects = 1 + weights_given(&spec->evaluate.baseline) + spec->evaluate.alpha_count;
    int64_t runs = 1;
    json_t *result = json_object();

    for (int i = 0; i < spec->evaluate.attack_count; i++)
        runs += measure_passes(&spec->evaluate.attacks[i]);
    int64_t images = runs * e->images.count + corruptions_images(&e->corruptions);
    e->run->outer = (struct outer){ "evaluate", 0, images * subjects };
    run_say_images(result, e->images.count, e->split);
    int r = subjects_measure(e, result);
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
        r = evaluation_run(&e, ret_result);
        saver_pop(run);
    }
    batch_done(&e.batch);
    corruptions_done(&e.corruptions);
    images_done(&e.images);
    line_done(&e.line);
    return r;
}
