/* How far from the adversarially trained weights towards the fine-tuned ones?
 *
 * Step 3 of RiFT: each alpha of the grid, a point of the line between the two
 * (line.h, Eq. 9), is measured, clean and attacked, and the rule of interpolate.h
 * picks one.
 *
 * The idea that saves time: the two ends differ from some operation on (all of
 * them, when batch norm drifted; one module, when it was frozen). What comes
 * before is computed once for all alphas. Attacks need the whole network.
 *
 * Surprising: with attack null the robust measurement is the clean one: the
 * examples of the data set are taken as they are, adversarial or not. */
#include "gpu/rift/interpolate.h"

#include "gpu/rift/kinds.h"
#include "gpu/rift/line.h"
#include "gpu/rift/measure.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Accuracies are k/N; a difference of exactly `tolerance` must not fail by rounding. */
static const double ROUNDING = 1e-9;

int interpolation_choose(const struct point *points, int count, double tolerance)
{
    int chosen = -1;
    double floor = NAN;

    for (int i = 0; i < count; i++)
        if (points[i].alpha == 0)
            floor = points[i].robust_accuracy - tolerance - ROUNDING;
    assert(!isnan(floor));
    for (int i = 0; i < count; i++) {
        const struct point *p = &points[i], *best = chosen < 0 ? NULL : &points[chosen];

        if (!(p->robust_accuracy >= floor))
            continue;
        if (!best || p->clean_accuracy > best->clean_accuracy ||
            (p->clean_accuracy == best->clean_accuracy &&
             (p->robust_accuracy > best->robust_accuracy ||
              (p->robust_accuracy == best->robust_accuracy && p->alpha < best->alpha))))
            chosen = i;
    }
    return chosen;
}

struct interpolating {
    struct run *run;
    struct line line;
    int first; /* op where the frontier is taken, 0: the pixels */
    struct frontier frontier;
    struct images images;
    struct batch batch;
    struct point *points;
    int count;
    enum dataset_split split; /* whose images choose */
};

/* ---- points ---------------------------------------------------------------------------- */

static int point_measure(struct interpolating *in, struct point *p)
{
    struct run *run = in->run;
    const struct attack_spec *attack = attack_given(&run->spec.attack) ? &run->spec.attack : NULL;
    struct measured clean, robust;
    char key[64];
    int r = line_at(&in->line, p->alpha);

    snprintf(key, sizeof(key), "alpha %.17g clean", p->alpha);
    if (r == 0)
        r = measure(&in->batch, key, &in->images, in->first ? &in->frontier : NULL, NULL, &clean);
    if (r < 0)
        return r;
    robust = clean;
    snprintf(key, sizeof(key), "alpha %.17g robust", p->alpha);
    if (attack)
        r = measure(&in->batch, key, &in->images, NULL, attack, &robust);
    if (r < 0)
        return r;
    *p = (struct point){ p->alpha, clean.loss, clean.accuracy, robust.loss, robust.accuracy };
    return 0;
}

static json_t *point_json(const struct point *p)
{
    return json_pack("{s:f, s:o, s:f, s:o, s:f}", "alpha", p->alpha, "clean_loss", json_number(p->clean_loss),
                     "clean_accuracy", p->clean_accuracy, "robust_loss", json_number(p->robust_loss), "robust_accuracy",
                     p->robust_accuracy);
}

static int point_say(struct run *run, const struct point *p)
{
    json_t *event = point_json(p);

    json_object_set_new(
        event, "losses",
        json_pack("{s:o, s:o}", "clean", json_number(p->clean_loss), "robust", json_number(p->robust_loss)));
    return run_event(run, "alpha", event);
}

static int walk(struct interpolating *in)
{
    struct run *run = in->run;
    int runs = attack_given(&run->spec.attack) ? 1 + measure_passes(&run->spec.attack) : 1, r = 0;

    if (in->first) { /* the common part, at either end */
        r = line_at(&in->line, 0);
        if (r == 0)
            r = frontier_open(&in->frontier, &in->images, &in->batch, in->first);
    }
    run->outer = (struct outer){ "interpolate", 0, (int64_t)runs * in->count * in->images.count };
    for (int i = 0; i < in->count && r == 0; i++) {
        r = point_measure(in, &in->points[i]);
        if (r == 0)
            r = point_say(run, &in->points[i]);
        if (r == 0)
            r = checkpoint_end(run);
    }
    run->outer = (struct outer){ 0 };
    return r;
}

/* Points of the spec's alphas; 0 is what the others are compared with, so it is always there. */
static int points_make(struct interpolating *in)
{
    const struct job_spec *spec = &in->run->spec;
    bool zero = false;

    for (int i = 0; i < spec->interpolate.alpha_count; i++)
        zero = zero || spec->interpolate.alphas[i] == 0;
    in->points = calloc((size_t)spec->interpolate.alpha_count + 1, sizeof(*in->points));
    if (!in->points)
        return run_fail(in->run, FAILURE_OUT_OF_MEMORY, "no memory");
    in->count = !zero;
    for (int i = 0; i < spec->interpolate.alpha_count; i++)
        in->points[in->count++].alpha = spec->interpolate.alphas[i];
    return 0;
}

static int choose(struct interpolating *in, json_t **ret_result)
{
    struct run *run = in->run;
    const struct point *best =
        &in->points[interpolation_choose(in->points, in->count, run->spec.interpolate.tolerance)];
    json_t *points = json_array();
    int r = line_at(&in->line, best->alpha);

    if (r == 0)
        r = run_artifact(run, "interpolated.safetensors");
    for (int i = 0; i < in->count; i++)
        json_array_append_new(points, point_json(&in->points[i]));
    json_t *result =
        json_pack("{s:o, s:f, s:o}", "points", points, "chosen_alpha", best->alpha, "chosen", point_json(best));
    run_say_images(result, in->images.count, in->split);
    if (r == 0)
        *ret_result = result;
    else
        json_decref(result);
    return r;
}

static int interpolation_open(struct interpolating *in)
{
    struct run *run = in->run;
    const struct examples *examples;
    int r = points_make(in);

    in->split = run_split(run, run_judge(run));
    if (r == 0)
        r = run_dataset(run, split_wants(in->split));
    if (r == 0)
        r = run_examples(run, in->split, &examples);
    if (r == 0)
        r = images_open(run, examples, &in->images);
    if (r == 0)
        r = batch_open(run, examples->count, attack_given(&run->spec.attack), &in->batch);
    if (r == 0)
        r = line_open(run, &run->spec.interpolate.from, "interpolate.from", &run->spec.interpolate.to, "interpolate.to",
                      &in->line);
    if (r == 0)
        r = measure_reserve(run, examples->count, 0, &run->spec.attack);
    if (r < 0)
        return r;
    in->first = in->line.first;
    frontier_reserve(run, examples->count, in->batch.most, &in->first, 1, &in->frontier);
    if (!in->first)
        return 0;
    plan_cache_clear(run->plans); /* what comes instead packs no more */
    r = frontier_plan(run, examples->count, in->first);
    return r < 0 ? r : measure_reserve(run, examples->count, in->first, &run->spec.attack);
}

int interpolation(struct run *run, json_t **ret_result)
{
    struct interpolating in = { .run = run };
    int r = interpolation_open(&in);

    if (r == 0)
        r = run_ready(run, NULL);
    if (r == 0)
        r = measure_resume(run);
    if (r == 0) {
        saver_push(run, measure_saver);
        r = walk(&in);
        if (r == 0)
            r = choose(&in, ret_result);
        saver_pop(run);
    }
    frontier_done(&in.frontier);
    batch_done(&in.batch);
    images_done(&in.images);
    line_done(&in.line);
    free(in.points);
    return r;
}
