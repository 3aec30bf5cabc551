/* How does one rift job become five or six, and their results one table?
 *
 *   step 0  train        theta_AT
 *   step 1  mrc          of theta_AT: which module is least critical
 *   step 2  finetune     that module of theta_AT: theta_FT
 *   step 3  interpolate  theta_AT to theta_FT: the best point
 *   step 4  evaluate     the best point, and theta_AT beside it
 *   step 5  corrupt      copies of the test images for step 4, where the rift spec wants them made
 *
 * A step's spec is what the rift spec says about fields that both have, and
 * then the few lines of `links`. The result is checked like any other spec.
 * Weights that are trained already (/train/weights) stand in the place of step 0,
 * an mrc job that was run (/finetune/mrc_job) in that of step 1; the others keep
 * their numbers.
 *
 * Surprising: dataset.split is not handed on. What chooses module and alpha is
 * the protocol's business, and a rift spec with "split": "test" (what its last
 * step looks at) must not make the test data choose. */
#include "job/spec.h"

#include <errno.h>
#include <string.h>

static const enum job_kind step_kinds[RIFT_STEPS] = { JOB_TRAIN,       JOB_MRC,      JOB_FINETUNE,
                                                      JOB_INTERPOLATE, JOB_EVALUATE, JOB_CORRUPT };

const int rift_order[RIFT_STEPS] = { 0, 1, 2, 3, 5, 4 };

/* What stands for a step where the rift spec names it. */
static const char *const instead[RIFT_STEPS] = { "/train/weights", "/finetune/mrc_job" };

/* The reference that makes a step unnecessary, or NULL. Borrowed. */
static const json_t *step_given(const json_t *rift, int step)
{
    const json_t *given = instead[step] ? spec_at(rift, instead[step]) : NULL;

    return json_is_null(given) ? NULL : given;
}

/* What a step has from another step, or from another place of the rift spec. */
static const struct {
    int step;
    const char *pointer;
    const char *job;  /* {"job": ...}, or what is given instead of that step; or NULL */
    const char *from; /* pointer in the rift spec */
} links[] = {
    { 1, "/model/weights", "step:0", NULL },
    { 2, "/model/weights", "step:0", NULL },
    { 2, "/finetune/mrc_job", "step:1", NULL },
    { 2, "/optimizer", NULL, "/finetune/optimizer" },
    { 3, "/interpolate/from", "step:0", NULL },
    { 3, "/interpolate/to", "step:2", NULL },
    { 4, "/model/weights", "step:3", NULL },
    { 4, "/evaluate/baseline", "step:0", NULL },
    { 4, "/evaluate/toward", "step:2", NULL },
    { 5, "/corrupt/set", NULL, "/evaluate/corruptions/set" },
    { 5, "/corrupt/names", NULL, "/evaluate/corruptions/names" },
    { 5, "/corrupt/severities", NULL, "/evaluate/corruptions/severities" },
};

/* Does step 5 make what step 4 reads? */
static bool corrupts(const json_t *rift)
{
    return json_is_true(spec_at(rift, "/evaluate/generate_corruptions"));
}

/* Is there such a step? */
static bool step_wanted(const json_t *rift, int step)
{
    return step_kinds[step] == JOB_CORRUPT ? corrupts(rift) : !step_given(rift, step);
}

/* Is the field handed on to a step of these kinds? */
static bool handed_on(const struct spec_field *field, unsigned kinds)
{
    return (field->kinds & kinds) && !*field_owner(field) && strcmp(field->pointer, "/dataset/split") != 0;
}

/* {"job": "step:0"}, or what the rift spec gives instead. New reference. */
static json_t *link_make(const json_t *rift, const char *job)
{
    const json_t *given = step_given(rift, job[strlen("step:")] - '0');

    return given ? json_deep_copy(given) : json_pack("{s:s}", "job", job);
}

static void name_add(json_t *names, json_t *seen, json_t *item)
{
    const char *name = json_string_value(item);

    if (!name || json_object_get(seen, name) || json_array_size(names) >= LIST_TOP)
        return;
    json_array_append(names, item);
    json_object_set_new(seen, name, json_true());
}

void module_names_add(json_t *names, json_t *seen, const json_t *choice)
{
    const char *text = json_string_value(json_object_get(choice, "containing"));
    json_auto_t *pattern = text ? json_sprintf("*%s*", text) : NULL;
    json_t *item;
    size_t i;

    name_add(names, seen, pattern);
    json_array_foreach((json_t *)choice, i, item)
    {
        if (json_is_string(item))
            name_add(names, seen, item);
        else
            module_names_add(names, seen, item);
    }
}

/* The modules that the steps after training name, so that a wrong name is found
 * before it: null when they name none. New reference. */
static json_t *modules_expected(const json_t *rift)
{
    static const char *const places[] = { "/modules_expected", "/mrc/modules", "/mrc/joint", "/finetune/modules" };
    json_auto_t *seen = json_object();
    json_auto_t *names = json_array();

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        module_names_add(names, seen, spec_at(rift, places[i]));
    return json_array_size(names) ? json_incref(names) : json_null();
}

/* The spec of one step before it is checked. New reference or NULL. */
static json_t *step_make(const json_t *rift, int step)
{
    json_auto_t *spec = json_object();
    unsigned mask = 1u << step_kinds[step];

    for (int i = 0; spec && i < spec_field_count; i++) {
        const struct spec_field *field = &spec_fields[i];
        json_t *value = handed_on(field, mask) ? spec_at(rift, field->pointer) : NULL;
        if (value && spec_put(spec, field->pointer, json_deep_copy(value)) < 0)
            return NULL;
    }
    for (size_t i = 0; spec && i < sizeof(links) / sizeof(links[0]); i++) {
        if (links[i].step != step)
            continue;
        json_t *value = links[i].job ? link_make(rift, links[i].job) : json_deep_copy(spec_at(rift, links[i].from));
        if (spec_put(spec, links[i].pointer, value) < 0)
            return NULL;
    }
    if (field_find("/modules_expected", mask) && spec_put(spec, "/modules_expected", modules_expected(rift)) < 0)
        return NULL;
    if (step_kinds[step] == JOB_EVALUATE && corrupts(rift) &&
        spec_put(spec, "/evaluate/corruptions/job", json_string("step:5")) < 0)
        return NULL;
    if (!spec || spec_put(spec, "/kind", json_string(job_kinds[step_kinds[step]].name)) < 0)
        return NULL;
    return json_incref(spec);
}

int rift_expand(const struct job_spec *rift, json_t *ret_steps[RIFT_STEPS])
{
    json_t *steps[RIFT_STEPS] = { NULL };
    int r = rift->kind == JOB_RIFT ? 0 : -EINVAL;

    for (int i = 0; i < RIFT_STEPS && r == 0; i++) {
        if (!step_wanted(rift->json, i))
            continue;
        json_auto_t *made = step_make(rift->json, i);
        struct spec_errors errors;
        spec_auto spec = { 0 };

        r = made ? spec_from_json(made, &spec, &errors) : -ENOMEM;
        if (r == 0)
            steps[i] = json_incref(spec.json);
    }
    if (r < 0) {
        for (int i = 0; i < RIFT_STEPS; i++)
            json_decref(steps[i]);
        return r;
    }
    memcpy(ret_steps, steps, sizeof(steps));
    return 0;
}

/* ---- the table --------------------------------------------------------------------------- */

/* A member for json_pack's "o": a new reference, null when there is none. */
static json_t *or_null(const json_t *value)
{
    return value ? json_deep_copy(value) : json_null();
}

/* One row of the table from {"clean": {...}, "attacks": [...], "corruptions": {...}}: Std, OOD, Adv. */
static json_t *table_row(const json_t *measured)
{
    const json_t *clean = json_object_get(measured, "clean");
    const json_t *attack = json_array_get(json_object_get(measured, "attacks"), 0);

    const json_t *corruptions = json_object_get(measured, "corruptions");
    const json_t *worst = json_object_get(attack, "worst_case_accuracy"),
                 *frost = json_object_get(corruptions, "frost");
    json_t *row = json_pack("{s:o, s:o, s:o}", "clean_accuracy", or_null(json_object_get(clean, "accuracy")),
                            "corruption_accuracy", or_null(json_object_get(corruptions, "corruption_accuracy")),
                            "robust_accuracy", or_null(json_object_get(attack, "accuracy")));

    if (worst)
        json_object_set(row, "worst_case_accuracy", (json_t *)worst);
    if (frost) /* corruption_accuracy counts copies that aren't the published ones */
        json_object_set(row, "frost", (json_t *)frost);
    return row;
}

/* The names as one text, "a, b"; null when there are none. New reference. */
static json_t *names_joined(const json_t *names)
{
    json_t *joined = NULL, *name;
    size_t i;

    json_array_foreach((json_t *)names, i, name)
    {
        json_t *longer =
            joined ? json_sprintf("%s, %s", json_string_value(joined), json_string_value(name)) : or_null(name);
        json_decref(joined);
        joined = longer;
    }
    return joined ? joined : json_null();
}

json_t *rift_table(const json_t *const results[RIFT_STEPS], const char *protocol)
{
    const json_t *modules = json_object_get(results[2], "modules"), *evaluated = results[4];
    const json_t *attack = json_array_get(json_object_get(evaluated, "attacks"), 0);

    return json_pack("{s:o, s:o, s:o, s:s?, s:o, s:o, s:o, s:o, s:o}", "module", names_joined(modules), "modules",
                     or_null(modules), "alpha", or_null(json_object_get(results[3], "chosen_alpha")), "protocol",
                     protocol, "attack", or_null(json_object_get(attack, "name")), "images",
                     or_null(json_object_get(evaluated, "images")), "split",
                     or_null(json_object_get(evaluated, "split")), "before",
                     table_row(json_object_get(evaluated, "baseline")), "after", table_row(evaluated));
}
