/* Which images are shown, and in which corruptions?
 *
 *   samples       the first of each class among those whose pixels were read
 *   corruptions   0 1 2 3 4 5 | 0 1 2 3 4 5 | ...   an image beside itself, 0 being as it is
 *
 * Corrupted variants are made here as the corrupt job makes them: the same seed
 * and the same image give the same bytes. Or they are read where copies lie that
 * are there already; such copies keep no numbers of their images, so a row whose
 * labels aren't those of the originals is named under `unlike`. */
#include "gpu/rift/inspect.h"

#include "gpu/data/corrupt/corrupt.h"
#include "gpu/data/corruption_data.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(struct run *run)
{
    return run_blame(run, FAILURE_INTERNAL, fault_set(&run->why, -ENOMEM, "no memory for a picture"));
}

int64_t inspect_cells(const struct job_spec *spec)
{
    int which[CORRUPTION_COUNT];
    int count = corruptions_choose(spec->inspect.corruptions.set, spec->inspect.corruptions.names.names,
                                   spec->inspect.corruptions.names.count, which);

    return (int64_t)spec->inspect.classes * spec->inspect.per_class +
           (int64_t)count * (1 + spec->inspect.corruptions.severity_count) * spec->inspect.corruptions.images;
}

/* ---- samples ------------------------------------------------------------------------ */

/* The images of the first classes into their rows. *ret_cells: [{"row", "column", "index", "label"}]. */
static int samples_put(struct inspecting *in, const struct examples *examples, struct sheet *sheet, json_t *cells)
{
    int *filled = calloc((size_t)sheet->rows, sizeof(*filled));
    uint8_t *image = malloc((size_t)examples->c * examples->h * examples->w);
    int r = filled && image ? 0 : no_memory(in->run);

    for (int i = 0; i < examples->count && r == 0; i++) {
        int row = examples->label[i];

        if (row >= sheet->rows || filled[row] == sheet->columns)
            continue;
        examples_bytes(examples, i, image);
        sheet_put(sheet, row, filled[row], image);
        json_t *cell = inspect_image(examples, i);
        json_object_set_new(cell, "row", json_integer(row));
        json_object_set_new(cell, "column", json_integer(filled[row]++));
        if (json_array_append_new(cells, cell) < 0)
            r = no_memory(in->run);
    }
    free(filled);
    free(image);
    return r;
}

int inspect_samples(struct inspecting *in)
{
    const struct job_spec *spec = &in->run->spec;
    enum dataset_split split = run_split(in->run, SPLIT_TRAIN);
    const struct examples *examples = inspect_examples(&in->some, split);
    int rows = spec->inspect.classes < in->labels.num_classes ? spec->inspect.classes : in->labels.num_classes;
    json_auto_t *cells = json_array();
    struct sheet sheet = { 0 };

    if (spec->inspect.per_class == 0)
        return 0;
    int r = sheet_open(rows, spec->inspect.per_class, examples->c, examples->h, &sheet);
    if (r < 0)
        return no_memory(in->run);
    r = samples_put(in, examples, &sheet, cells);
    if (r == 0)
        r = inspect_picture(in, "samples", &sheet,
                            json_pack("{s:s, s:O}", "split", inspect_splits[split], "cells", cells));
    sheet_done(&sheet);
    return r < 0 ? r : inspect_breathe(in, spec->inspect.classes * spec->inspect.per_class);
}

/* ---- corruptions ----------------------------------------------------------------------- */

/* A picture of corruptions while it is drawn. */
struct variants {
    struct inspecting *in;
    int which[CORRUPTION_COUNT], which_count;
    const int *severities;
    int severity_count;
    struct dataset holder; /* of `shown` */
    struct examples shown; /* the originals */
    struct sheet sheet;
    uint8_t *image, *scratch;
    enum corruption_parameters parameters;
    struct studio *studio;        /* NULL: the copies are read */
    struct corruption_data *data; /* the other way round */
    struct corruption_request request;
    char *path;
    json_t *unlike; /* names of corruptions whose labels are others */
};

static int column_of(const struct variants *v, int image, int step)
{
    return image * (1 + v->severity_count) + step;
}

/* Severity s of all images, made. */
static int severity_make(struct variants *v, int row, int s)
{
    const struct corruption corruption = { v->which[row], v->severities[s], v->parameters, v->in->run->spec.seed };
    int r = 0;

    for (int i = 0; i < v->shown.count && r == 0; i++) {
        examples_bytes(&v->shown, i, v->image);
        r = corrupt_image(v->studio, &corruption, (uint64_t)v->shown.id[i], v->shown.c, v->image, v->scratch);
        if (r == 0)
            sheet_put(&v->sheet, row, column_of(v, i, 1 + s), v->scratch);
    }
    return r < 0 ? no_memory(v->in->run) : 0;
}

/* Severity s of all images, read. */
static int severity_read(struct variants *v, int row, int s)
{
    struct run *run = v->in->run;
    struct examples copies = { 0 };
    int r = run_blame(run, FAILURE_BAD_DATA, corruption_data_load(v->data, row, s, &copies, &run->why));
    const char *name = corruption_infos[v->which[row]].name;
    bool like = r == 0 && copies.count >= v->shown.count;

    for (int i = 0; i < v->shown.count && i < copies.count && r == 0; i++) {
        like = like && copies.label[i] == v->shown.label[i];
        examples_bytes(&copies, i, v->image);
        sheet_put(&v->sheet, row, column_of(v, i, 1 + s), v->image);
    }
    if (r == 0 && !like)
        json_object_set_new(v->unlike, name, json_true());
    examples_done(&copies);
    return r;
}

static int row_draw(struct variants *v, int row)
{
    int r = 0;

    for (int i = 0; i < v->shown.count; i++) {
        examples_bytes(&v->shown, i, v->image);
        sheet_put(&v->sheet, row, column_of(v, i, 0), v->image);
    }
    for (int s = 0; s < v->severity_count && r == 0; s++)
        r = v->data ? severity_read(v, row, s) : severity_make(v, row, s);
    return r < 0 ? r : inspect_breathe(v->in, v->in->run->spec.inspect.corruptions.images * (1 + v->severity_count));
}

/* Copies that are there. */
static int copies_open(struct variants *v)
{
    struct run *run = v->in->run;
    const struct job_spec *spec = &run->spec;

    v->path = run_path(run, spec->inspect.corruptions.path);
    if (!v->path)
        return no_memory(run);
    v->request = (struct corruption_request){ .path = v->path,
                                              .which_count = v->which_count,
                                              .severities = v->severities,
                                              .severity_count = v->severity_count,
                                              .test_limit = spec->inspect.corruptions.images,
                                              .input = v->in->shape,
                                              .num_classes = v->in->labels.num_classes,
                                              .dataset = &v->in->labels };
    memcpy(v->request.which, v->which, sizeof(v->which));
    return run_blame(run, FAILURE_BAD_DATA, corruption_data_open(&v->request, &v->data, &run->why));
}

static int variants_open(struct inspecting *in, struct variants *v)
{
    struct run *run = in->run;
    const struct job_spec *spec = &run->spec;
    size_t image = (size_t)3 * in->shape[1] * in->shape[2];

    if (spec->inspect.corruptions.job)
        return run_fail(run, FAILURE_BAD_SPEC,
                        "inspect.corruptions.job: a worker knows paths only; jobs are named over HTTP");
    *v = (struct variants){ .in = in,
                            .severities = spec->inspect.corruptions.severities,
                            .severity_count = spec->inspect.corruptions.severity_count,
                            .parameters = corruption_parameters_of(in->shape[1]),
                            .image = malloc(image),
                            .scratch = malloc(image),
                            .unlike = json_object() };
    v->which_count = corruptions_choose(spec->inspect.corruptions.set, spec->inspect.corruptions.names.names,
                                        spec->inspect.corruptions.names.count, v->which);
    int r = v->image && v->scratch ? 0 : no_memory(run);
    if (r == 0)
        r = inspect_shown(run, in->shape, INT_MAX, spec->inspect.corruptions.images, &v->holder, &v->shown);
    if (r == 0 &&
        sheet_open(v->which_count, v->shown.count * (1 + v->severity_count), in->shape[0], in->shape[1], &v->sheet) < 0)
        r = no_memory(run);
    if (r == 0 && spec->inspect.corruptions.path)
        r = copies_open(v);
    else if (r == 0 && studio_open(in->shape[1], &v->studio) < 0)
        r = no_memory(run);
    return r;
}

static void variants_done(struct variants *v)
{
    studio_close(v->studio);
    corruption_data_close(v->data);
    free(v->path);
    sheet_done(&v->sheet);
    dataset_done(&v->holder);
    json_decref(v->unlike);
    free(v->image);
    free(v->scratch);
}

static json_t *variants_json(const struct variants *v)
{
    json_t *names = json_array(), *severities = json_array(), *images = json_array(), *unlike = json_array(), *value;
    const char *frost = v->data ? corruption_data_frost(v->data) : NULL, *key;

    for (int i = 0; i < v->which_count; i++)
        json_array_append_new(names, json_string(corruption_infos[v->which[i]].name));
    for (int s = 0; s < v->severity_count; s++)
        json_array_append_new(severities, json_integer(v->severities[s]));
    for (int i = 0; i < v->shown.count; i++)
        json_array_append_new(images, inspect_image(&v->shown, i));
    json_object_foreach(v->unlike, key, value) json_array_append_new(unlike, json_string(key));
    json_t *about =
        json_pack("{s:s, s:o, s:o, s:o, s:s, s:o}", "split", inspect_splits[inspect_judged(v->in->run)], "names", names,
                  "severities", severities, "images", images, "source", v->data ? "read" : "made", "unlike", unlike);
    if (!v->data)
        json_object_set_new(about, "parameters", json_string(v->parameters == CORRUPTION_TINY ? "tiny" : "cifar"));
    if (frost)
        json_object_set_new(about, "frost", json_string(frost));
    return about;
}

int inspect_corruptions(struct inspecting *in)
{
    struct variants v = { 0 };

    if (in->run->spec.inspect.corruptions.severity_count == 0)
        return 0;
    int r = variants_open(in, &v);
    for (int row = 0; row < v.which_count && r == 0; row++)
        r = row_draw(&v, row);
    if (r == 0)
        r = inspect_picture(in, "corruptions", &v.sheet, variants_json(&v));
    variants_done(&v);
    return r;
}
