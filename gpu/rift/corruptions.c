/* Accuracy under corruption: a loop over copies that others have made.
 *
 *   for each corruption c
 *       for each severity s       load, measure under the key "corruption/c/s"
 *       say c's accuracy, let a checkpoint be written
 *
 * The images of one corruption in one severity are in memory at a time, in room
 * that is taken once, for the largest of them. */
#include "gpu/rift/corruptions.h"

#include "gpu/rift/measure.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- opening ---------------------------------------------------------------------- */

static void request_make(struct corruptions *c)
{
    const struct job_spec *spec = &c->run->spec;

    c->request = (struct corruption_request){
        .path = c->path,
        .severities = spec->evaluate.corruptions.severities,
        .severity_count = spec->evaluate.corruptions.severity_count,
        .test_limit = spec->dataset.test_limit,
        .input = c->run->model->input,
        .num_classes = c->run->model->num_classes,
        .dataset = &c->run->dataset,
    };
    c->request.which_count = corruptions_choose(spec->evaluate.corruptions.set, spec->evaluate.corruptions.names.names,
                                                spec->evaluate.corruptions.names.count, c->request.which);
}

static int data_open(struct corruptions *c)
{
    struct run *run = c->run;
    const char *where;
    int r = run_blame(run, FAILURE_BAD_DATA, corruption_data_open(&c->request, &c->data, &run->why));
    int foreign = r == 0 ? corruption_data_foreign(c->data, &where) : 0;
    const char *frost = r == 0 ? corruption_data_frost(c->data) : NULL;

    if (frost)
        run_log(run, "%s: frost: %s", c->path, frost);

    if (foreign)
        run_log(run, "%s: up to %d classes (%s) are not in the data set; their images don't count", c->path, foreign,
                where);
    return r;
}

int corruptions_open(struct run *run, struct corruptions *ret)
{
    const char *path = run->spec.evaluate.corruptions.path;
    int r = 0;

    *ret = (struct corruptions){ .run = run };
    if (run->spec.evaluate.corruptions.job)
        return run_fail(run, FAILURE_BAD_SPEC,
                        "evaluate.corruptions.job: a worker knows paths only; jobs are named over HTTP");
    if (!path)
        return 0;
    ret->path = run_path(run, path);
    if (!ret->path)
        return run_blame(run, FAILURE_INTERNAL, fault_set(&run->why, -ENOMEM, "no memory for a path"));
    request_make(ret);
    r = data_open(ret);
    if (r == 0)
        r = images_open_room(run, corruptions_most(ret), &ret->images);
    for (int which = 0; which < ret->request.which_count && r == 0; which++)
        for (int s = 0; s < ret->request.severity_count && r == 0; s++)
            r = measure_reserve(run, corruption_data_count(ret->data, which, s), 0, NULL);
    return r;
}

void corruptions_done(struct corruptions *c)
{
    images_done(&c->images);
    corruption_data_close(c->data);
    free(c->path);
    *c = (struct corruptions){ 0 };
}

int corruptions_most(const struct corruptions *c)
{
    int most = 0;

    for (int which = 0; c->data && which < c->request.which_count; which++)
        for (int s = 0; s < c->request.severity_count; s++) {
            int count = corruption_data_count(c->data, which, s);

            most = count > most ? count : most;
        }
    return most;
}

int64_t corruptions_images(const struct corruptions *c)
{
    int64_t images = 0;

    for (int which = 0; c->data && which < c->request.which_count; which++)
        for (int s = 0; s < c->request.severity_count; s++)
            images += corruption_data_count(c->data, which, s);
    return images;
}

/* ---- measuring --------------------------------------------------------------------- */

/* One corruption in one severity. *ret: {"severity","images","loss","accuracy"}. */
static int severity_measure(struct corruptions *c, struct batch *batch, const char *key, int which, int s, json_t **ret)
{
    struct run *run = c->run;
    struct examples examples = { 0 };
    struct measured measured;
    int r = 0;

    c->images.count = corruption_data_count(c->data, which, s);
    if (!measure_known(run, key)) {
        r = run_blame(run, FAILURE_BAD_DATA, corruption_data_load(c->data, which, s, &examples, &run->why));
        if (r == 0)
            r = images_fill(&c->images, &examples);
    }
    if (r == 0)
        r = measure(batch, key, &c->images, NULL, NULL, &measured);
    if (r == 0)
        *ret = json_pack("{s:i, s:i, s:o, s:f}", "severity", c->request.severities[s], "images", c->images.count,
                         "loss", json_number(measured.loss), "accuracy", measured.accuracy);
    examples_done(&examples);
    c->images.id = NULL;
    return r;
}

/* The mean of a member over rows of a list; NaN when there are none. */
static double mean_of(const json_t *rows, const char *member, const char *group)
{
    double sum = 0;
    int count = 0;
    size_t i;
    json_t *row;

    json_array_foreach((json_t *)rows, i, row)
    {
        const char *of = json_string_value(json_object_get(row, "group"));

        if (group && (!of || strcmp(of, group) != 0))
            continue;
        sum += json_double(row, member);
        count++;
    }
    return sum / count;
}

/* One corruption in all severities, told as an event. *ret is its row. */
static int corruption_measure(struct corruptions *c, struct batch *batch, const char *prefix, int which, json_t **ret)
{
    struct run *run = c->run;
    const struct corruption_info *info = &corruption_infos[c->request.which[which]];
    json_auto_t *severities = json_array();
    char name[96], key[112];
    int r = 0;

    snprintf(name, sizeof(name), "%scorruption/%s", prefix, info->name);
    for (int s = 0; s < c->request.severity_count && r == 0; s++) {
        json_t *row;

        snprintf(key, sizeof(key), "%s/%d", name, c->request.severities[s]);
        r = severity_measure(c, batch, key, which, s, &row);
        if (r == 0)
            json_array_append_new(severities, row);
    }
    if (r < 0)
        return r;
    double loss = mean_of(severities, "loss", NULL), accuracy = mean_of(severities, "accuracy", NULL);

    r = run_event(run, "evaluation",
                  json_pack("{s:s, s:o, s:f, s:O}", "name", name, "loss", json_number(loss), "accuracy", accuracy,
                            "severities", severities));
    if (r == 0)
        r = checkpoint_end(run);
    if (r == 0)
        *ret = json_pack("{s:s, s:s, s:o, s:f, s:O}", "name", info->name, "group", info->group, "loss",
                         json_number(loss), "accuracy", accuracy, "severities", severities);
    return r;
}

/* {"noise": accuracy, ...} of the groups that have a row. */
static json_t *groups_mean(const json_t *rows)
{
    json_t *groups = json_object();

    for (int which = 0; which < CORRUPTION_COUNT; which++) {
        const char *group = corruption_infos[which].group;
        double mean = mean_of(rows, "accuracy", group);

        if (mean == mean && !json_object_get(groups, group))
            json_object_set_new(groups, group, json_real(mean));
    }
    return groups;
}

int corruptions_measure(struct corruptions *c, struct batch *batch, const char *prefix, json_t **ret)
{
    const char *where;
    json_auto_t *rows = json_array();
    int r = 0;

    for (int which = 0; which < c->request.which_count && r == 0; which++) {
        json_t *row;

        r = corruption_measure(c, batch, prefix, which, &row);
        if (r == 0)
            json_array_append_new(rows, row);
    }
    if (r < 0)
        return r;
    *ret =
        json_pack("{s:f, s:o, s:O, s:i}", "corruption_accuracy", mean_of(rows, "accuracy", NULL), "groups",
                  groups_mean(rows), "corruptions", rows, "foreign_classes", corruption_data_foreign(c->data, &where));
    if (corruption_data_frost(c->data))
        json_object_set_new(*ret, "frost", json_string(corruption_data_frost(c->data)));
    return 0;
}
