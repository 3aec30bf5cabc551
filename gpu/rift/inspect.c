/* What does a data set hold?
 *
 *   artifacts/samples.png      a row a class              artifacts/corruptions.png   a row a corruption
 *   artifacts/adversarial.png  a row an image             artifacts/inspect.json      counts, and what stands where
 *
 * riftd shows data sets, but never reads a byte of them itself: this job does,
 * shut in like every other. It takes seconds and keeps no checkpoint: stopped, it
 * begins anew, with the same pictures.
 *
 * Images are taken as they lie on disk, as corrupt takes them. Only the adversarial
 * ones go through the model's input, and only they need a model. */
#include "gpu/rift/inspect.h"

#include "gpu/rift/kinds.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FOUND_FILE "inspect.json"

enum { CLASSES_MOST = 10000 }; /* as model.num_classes */

const char *const inspect_splits[] = {
    [SPLIT_TRAIN] = "train", [SPLIT_VALIDATION] = "validation", [SPLIT_TEST] = "test"
};

bool inspection_attacks(const struct job_spec *spec)
{
    return weights_given(&spec->model.weights) && spec->inspect.adversarial > 0;
}

const struct examples *inspect_examples(const struct dataset *dataset, enum dataset_split split)
{
    return split == SPLIT_TRAIN ? &dataset->train : split == SPLIT_VALIDATION ? &dataset->validation : &dataset->test;
}

enum dataset_split inspect_judged(const struct run *run)
{
    return run_split(run, SPLIT_TEST);
}

/* What is looked at: the split that is asked for, or all. */
static struct dataset_wants wanted(const struct run *run)
{
    enum dataset_split split = run->spec.dataset.split;

    return split == SPLIT_DEFAULT ? (struct dataset_wants){ true, true, true } : split_wants(split);
}

int inspect_shown(struct run *run, const int shape[3], int classes, int count, struct dataset *ret,
                  struct examples *ret_shown)
{
    enum dataset_split split = inspect_judged(run);
    bool apart = split != SPLIT_TEST && run->spec.protocol == PROTOCOL_VALIDATION;
    double part = !apart ? 1 : split == SPLIT_TRAIN ? 1 - run->spec.dataset.validation : run->spec.dataset.validation;
    int most = (int)ceil(count / part) + apart; /* a limit counts training and held-out images together */
    int r = run_dataset_apart(run, shape, classes, split_wants(split), most, ret);

    if (r < 0)
        return r;
    *ret_shown = *inspect_examples(ret, split);
    if (ret_shown->count > count)
        ret_shown->count = count;
    return ret_shown->count > 0
               ? 0
               : run_fail(run, FAILURE_BAD_DATA, "the data set has no %s images to show", inspect_splits[split]);
}

/* ---- what every picture needs -------------------------------------------------------- */

int inspect_breathe(struct inspecting *inspecting, int cells)
{
    struct run *run = inspecting->run;

    inspecting->done += cells;
    if (run->stop && *run->stop)
        return -EINTR;
    return run_progress(run, "inspect", inspecting->done, inspecting->total, inspecting->done >= inspecting->total);
}

json_t *inspect_image(const struct examples *examples, int at)
{
    return json_pack("{s:i, s:i}", "index", examples->id[at], "label", examples->label[at]);
}

int inspect_picture(struct inspecting *inspecting, const char *name, const struct sheet *sheet, json_t *about)
{
    struct run *run = inspecting->run;
    json_auto_t *members = about;
    char file[64];
    uint8_t *png;
    size_t size;

    snprintf(file, sizeof(file), "%s.png", name);
    int r = sheet_encode(sheet, &png, &size);
    if (r < 0)
        return run_blame(run, FAILURE_INTERNAL, fault_set(&run->why, r, "no memory for %s", file));
    r = run_artifact_write(run, file, png, size);
    free(png);
    if (r < 0)
        return r;
    json_t *picture =
        json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i}", "file", file, "rows", sheet->rows, "columns", sheet->columns,
                  "cell", sheet->cell, "gap", SHEET_GAP, "magnified", sheet->magnified, "shrunk", sheet->shrunk);
    json_object_update(picture, members);
    return json_object_set_new(inspecting->found, name, picture) < 0 ? -ENOMEM : 0;
}

/* ---- numbers -------------------------------------------------------------------------- */

/* How many of each class. */
static json_t *histogram(const struct examples *examples, int classes)
{
    int64_t *count = calloc((size_t)classes, sizeof(*count));
    json_t *list = count ? json_array() : NULL;

    for (int i = 0; count && i < examples->count; i++)
        count[examples->label[i]]++;
    for (int k = 0; list && k < classes; k++)
        json_array_append_new(list, json_integer(count[k]));
    free(count);
    return list;
}

/* Mean and deviation of one channel, pixels in [0,1]; bytes are added as whole numbers. */
static void channel_measure(const struct examples *examples, int channel, double *ret_mean, double *ret_std)
{
    size_t plane = (size_t)examples->h * examples->w, image = plane * examples->c;
    double count = (double)examples->count * (double)plane, sum = 0, squares = 0;
    uint64_t whole = 0, whole_squares = 0;

    for (int i = 0; i < examples->count; i++)
        for (size_t p = 0; p < plane; p++) {
            size_t at = (size_t)i * image + channel * plane + p;

            if (examples->u8) {
                whole += examples->u8[at];
                whole_squares += (uint64_t)examples->u8[at] * examples->u8[at];
            } else {
                sum += examples->f32[at];
                squares += (double)examples->f32[at] * examples->f32[at];
            }
        }
    if (examples->u8) {
        sum = (double)whole / 255;
        squares = (double)whole_squares / (255.0 * 255.0);
    }
    double mean = sum / count, variance = squares / count - mean * mean;

    *ret_mean = mean;
    *ret_std = sqrt(variance > 0 ? variance : 0);
}

/* {"images", "histogram", "measured", "mean": [a channel], "std"} */
static json_t *split_describe(const struct examples *all, const struct examples *some, int classes)
{
    json_t *mean = json_array(), *std = json_array();

    for (int c = 0; c < some->c && some->count > 0; c++) {
        double m, s;

        channel_measure(some, c, &m, &s);
        json_array_append_new(mean, json_real(m));
        json_array_append_new(std, json_real(s));
    }
    return json_pack("{s:i, s:o, s:i, s:o, s:o}", "images", all->count, "histogram", histogram(all, classes),
                     "measured", some->count, "mean", mean, "std", std);
}

static json_t *names_json(const struct dataset *dataset)
{
    json_t *names = dataset->class_name ? json_array() : json_null();

    for (int k = 0; dataset->class_name && k < dataset->num_classes; k++)
        if (json_array_append_new(names, json_string(dataset->class_name[k])) < 0) /* a folder's name may be no UTF-8 */
            json_array_append_new(names, json_sprintf("class %d", k));
    return names;
}

static int describe(struct inspecting *in)
{
    json_t *splits = json_object();
    int classes = in->labels.num_classes;

    for (int split = SPLIT_TRAIN; split <= SPLIT_TEST; split++) {
        const struct examples *all = inspect_examples(&in->labels, (enum dataset_split)split);

        if (all->count > 0)
            json_object_set_new(splits, inspect_splits[split],
                                split_describe(all, inspect_examples(&in->some, (enum dataset_split)split), classes));
    }
    in->found = json_pack("{s:[i,i,i], s:i, s:o, s:o, s:I}", "shape", in->shape[0], in->shape[1], in->shape[2],
                          "classes", classes, "class_names", names_json(&in->labels), "splits", splits, "seed",
                          (json_int_t)in->run->spec.seed);
    return in->found ? 0 : run_fail(in->run, FAILURE_OUT_OF_MEMORY, "no memory for " FOUND_FILE);
}

/* ---- the whole ------------------------------------------------------------------------- */

static int inspecting_open(struct inspecting *in)
{
    struct run *run = in->run;
    struct dataset_wants wants = wanted(run);
    int count, r = run_dataset_shape(run, run_split(run, SPLIT_TRAIN), &count, in->shape);

    wants.labels_only = true;
    if (r == 0)
        r = run_dataset_apart(run, in->shape, CLASSES_MOST, wants, 0, &in->labels);
    in->total = inspect_cells(&run->spec) + (inspection_attacks(&run->spec) ? 3 * run->spec.inspect.adversarial : 0);
    return r;
}

/* Without a model there is no device and nothing to plan. */
static int say_started(struct inspecting *in)
{
    struct run *run = in->run;
    const struct dataset *all = &in->labels;
    json_t *examples = json_pack("{s:i, s:i, s:i}", "train", all->train.count, "validation", all->validation.count,
                                 "test", all->test.count);

    if (inspection_attacks(&run->spec))
        return run_ready(run, json_pack("{s:o}", "examples", examples));
    if (run->check_only) {
        json_decref(examples);
        return -ECANCELED;
    }
    json_t *started = run_started(run, run_no_device());

    json_object_set_new(started, "examples", examples);
    return run_event(run, "started", started);
}

/* What the file says, less what only whoever shows the pictures needs to know. */
static json_t *result_of(const json_t *found)
{
    json_t *result = json_deep_copy(found);

    json_object_del(json_object_get(result, "samples"), "cells");
    json_object_del(json_object_get(result, "corruptions"), "images");
    json_object_del(json_object_get(result, "adversarial"), "images");
    json_object_set_new(result, "file", json_string(FOUND_FILE));
    return result;
}

static int found_write(struct inspecting *in, json_t **ret_result)
{
    char *text = spec_text(in->found, JSON_INDENT(1));
    int r = text ? run_artifact_write(in->run, FOUND_FILE, text, strlen(text))
                 : run_fail(in->run, FAILURE_OUT_OF_MEMORY, "no memory for " FOUND_FILE);

    free(text);
    if (r == 0)
        *ret_result = result_of(in->found);
    return r;
}

static int look(struct inspecting *in, struct adversary *adversary, json_t **ret_result)
{
    struct run *run = in->run;
    int r = run_dataset_apart(run, in->shape, CLASSES_MOST, wanted(run), run->spec.inspect.images, &in->some);

    if (r == 0)
        r = describe(in);
    if (r == 0)
        r = inspect_samples(in);
    if (r == 0)
        r = inspect_corruptions(in);
    if (r == 0 && inspection_attacks(&run->spec))
        r = inspect_adversarial(in, adversary);
    return r == 0 ? found_write(in, ret_result) : r;
}

int inspection(struct run *run, json_t **ret_result)
{
    struct inspecting in = { .run = run };
    struct adversary adversary = { 0 };
    int r = inspecting_open(&in);

    if (r == 0 && inspection_attacks(&run->spec))
        r = adversary_open(run, &adversary);
    if (r == 0)
        r = say_started(&in);
    if (r == 0)
        r = look(&in, &adversary, ret_result);
    adversary_done(&adversary);
    dataset_done(&in.labels);
    dataset_done(&in.some);
    json_decref(in.found);
    return r;
}
