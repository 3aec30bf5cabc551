/* What can only be said about several fields at once?
 *
 * First what is filled from other fields: names of attacks, the attacks of an
 * evaluation, the numbers of a method, the milestones of a schedule. Then one function a rule, in a
 * table. A member that failed its own check isn't there, and a rule that misses
 * one of its members says nothing: one mistake, one message. Last the paths,
 * which are judged only when a spec is sent somewhere. */
#include "job/spec.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MASK(kind) (1u << (kind))

/* ---- filling ------------------------------------------------------------------- */

static bool name_taken(const json_t *attacks, const char *name)
{
    size_t i;
    json_t *attack;

    json_array_foreach((json_t *)attacks, i, attack)
    {
        const char *other = json_string_value(json_object_get(attack, "name"));
        if (other && strcmp(other, name) == 0)
            return true;
    }
    return false;
}

/* null becomes "pgd-10"; where a neighbour has that name, "pgd-10-2" and so on. */
static int fill_name(json_t *attack, const json_t *neighbours)
{
    json_int_t steps = json_integer_value(json_object_get(attack, "steps"));
    char name[60];

    if (!json_is_null(json_object_get(attack, "name")) || steps < 1)
        return 0;
    snprintf(name, sizeof(name), "pgd-%lld", (long long)steps);
    for (int number = 2; name_taken(neighbours, name); number++)
        snprintf(name, sizeof(name), "pgd-%lld-%d", (long long)steps, number);
    return json_object_set_new(attack, "name", json_string(name)) < 0 ? -ENOMEM : 0;
}

static int fill_attacks(json_t *spec)
{
    json_t *attack = json_object_get(spec, "attack"), *attacks = spec_at(spec, "/evaluate/attacks"), *item;
    size_t i;
    int r = fill_name(attack, NULL);

    if (r == 0 && json_is_null(attacks) && attack) {
        json_auto_t *list = json_array();
        if (!list || (json_is_object(attack) && json_array_append_new(list, json_deep_copy(attack)) < 0) ||
            json_object_set(json_object_get(spec, "evaluate"), "attacks", list) < 0)
            return -ENOMEM;
    }
    json_array_foreach(attacks, i, item) if (r == 0) r = fill_name(item, attacks);
    return r;
}

/* The k-th step of a schedule comes after part/whole of the epochs. */
struct milestone {
    int part, whole;
    bool rounded; /* to the nearest epoch; otherwise down */
};
static const struct milestone train_milestones[] = { { 100, 110, true }, { 105, 110, true } };
static const struct milestone finetune_milestones[] = { { 1, 2, false } };

/* Fill the milestones that weren't given. In short jobs two may fall together
 * or before the first epoch: such a one is left out. */
static int fill_schedule(json_t *schedule, json_int_t epochs, const struct milestone *milestones, int count)
{
    const char *type = json_string_value(json_object_get(schedule, "type"));
    json_auto_t *list = json_array();
    json_int_t last = 0;

    if (!json_is_null(json_object_get(schedule, "milestones")) || !type || epochs < 1)
        return 0;
    if (!list)
        return -ENOMEM;
    for (int i = 0; i < count && strcmp(type, "step") == 0; i++) {
        json_int_t half = milestones[i].rounded ? milestones[i].whole / 2 : 0;
        json_int_t at = (epochs * milestones[i].part + half) / milestones[i].whole;
        if (at > last && json_array_append_new(list, json_integer(at)) < 0)
            return -ENOMEM;
        last = at > last ? at : last;
    }
    return json_object_set(schedule, "milestones", list) < 0 ? -ENOMEM : 0;
}

static const struct {
    unsigned kinds;
    const char *schedule, *epochs;
    const struct milestone *milestones;
    int count;
} schedules[] = {
    { MASK(JOB_TRAIN) | MASK(JOB_RIFT), "/optimizer/schedule", "/train/epochs", train_milestones, 2 },
    { MASK(JOB_FINETUNE), "/optimizer/schedule", "/finetune/epochs", finetune_milestones, 1 },
    { MASK(JOB_RIFT), "/finetune/optimizer/schedule", "/finetune/epochs", finetune_milestones, 1 },
};

/* Numbers of a method that depend on what it is built on, as published. */
static const struct {
    const char *pointer, *base, *word;
    double value;
} companions[] = {
    { "/train/awp/gamma", "/train/awp/base", "pgd-at", 0.01 },
    { "/train/awp/gamma", "/train/awp/base", "trades", 0.005 },
    { "/train/score/c", "/train/score/base", "trades", 0.3 },
    { "/train/score/c", "/train/score/base", "pgd-at", 0.4 },
};

static int fill_companions(json_t *spec)
{
    for (size_t i = 0; i < sizeof(companions) / sizeof(companions[0]); i++) {
        const char *word = json_string_value(spec_at(spec, companions[i].base));

        if (!word || strcmp(word, companions[i].word) != 0 || !json_is_null(spec_at(spec, companions[i].pointer)))
            continue;
        if (spec_put(spec, companions[i].pointer, json_real(companions[i].value)) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* ---- rules ----------------------------------------------------------------------- */

static void rule_dataset(const json_t *spec, struct spec_errors *errors)
{
    const json_t *name = spec_at(spec, "/dataset/name"), *format = spec_at(spec, "/dataset/format");
    const json_t *path = spec_at(spec, "/dataset/path");

    if (json_is_null(name) && format && path && (json_is_null(format) || json_is_null(path)))
        spec_wrong(errors, "/dataset", "must have either the name of a registered data set, or format and path; %s",
                   json_is_null(format) && json_is_null(path) ? "has none of them"
                   : json_is_null(format)                     ? "has a path but no format"
                                                              : "has a format but no path");
}

static void rule_normalize(const json_t *spec, struct spec_errors *errors)
{
    static const char *const pointers[] = { "/model/normalize/mean", "/model/normalize/std" };
    json_int_t channels = json_integer_value(json_array_get(spec_at(spec, "/model/input"), 0));

    for (int i = 0; i < 2; i++) {
        const json_t *list = spec_at(spec, pointers[i]);
        if (list && channels && json_array_size(list) != (size_t)channels)
            spec_wrong(errors, pointers[i],
                       "must have one number for each of the %lld channels of /model/input, has %zu",
                       (long long)channels, json_array_size(list));
    }
}

/* Whoever goes by criticality has to say where it was measured. */
static void rule_mrc_job(const json_t *spec, struct spec_errors *errors)
{
    const json_t *modules = spec_at(spec, "/finetune/modules");
    const char *word = json_string_value(modules);
    bool by_criticality = (json_is_object(modules) && !json_object_get(modules, "containing")) ||
                          (word && (strcmp(word, "lowest") == 0 || strcmp(word, "highest") == 0));
    char given[40];

    if (!by_criticality || !json_is_null(spec_at(spec, "/finetune/mrc_job")))
        return;
    value_show(modules, given, sizeof(given));
    spec_wrong(errors, "/finetune/mrc_job",
               "is required when /finetune/modules is %s: the path of an mrc job's directory "
               "or {\"job\": ID}",
               given);
}

static void rule_crafting(const json_t *spec, struct spec_errors *errors)
{
    const char *method = json_string_value(spec_at(spec, "/train/method"));

    if (method && strcmp(method, "standard") != 0 && json_is_null(spec_at(spec, "/attack")))
        spec_wrong(errors, "/attack", "must be an attack object when /train/method is %s, is null", method);
}

/* Where f(x) and f(x') are equal their distance has no slope: no step would ever leave x. */
static void rule_start(const json_t *spec, struct spec_errors *errors)
{
    const char *method = json_string_value(spec_at(spec, "/train/method"));
    bool built = method && (strcmp(method, "awp") == 0 || strcmp(method, "score") == 0);
    const char *base =
        built ? json_string_value(spec_at(spec, strcmp(method, "awp") == 0 ? "/train/awp/base" : "/train/score/base"))
              : method;

    if (base && strcmp(base, "trades") == 0 && json_is_false(spec_at(spec, "/attack/random_start")))
        spec_wrong(errors, "/attack/random_start",
                   "must be true when training goes by the distance of adversarial from clean predictions (%s%s), "
                   "which has no slope at the image itself; is false",
                   method, built ? " on trades" : "");
}

/* Measurements are told apart by name. */
static void rule_attack_names(const json_t *spec, struct spec_errors *errors)
{
    const json_t *attacks = spec_at(spec, "/evaluate/attacks");

    for (size_t i = 1; i < json_array_size(attacks); i++) {
        const char *name = json_string_value(json_object_get(json_array_get(attacks, i), "name"));
        char pointer[64];

        for (size_t j = 0; name && j < i; j++) {
            const char *other = json_string_value(json_object_get(json_array_get(attacks, j), "name"));
            if (!other || strcmp(other, name) != 0)
                continue;
            snprintf(pointer, sizeof(pointer), "/evaluate/attacks/%zu/name", i);
            spec_wrong(errors, pointer, "must be different from the name of attack %zu, is \"%s\"", j, name);
            break;
        }
    }
}

static const struct {
    unsigned kinds;
    void (*check)(const json_t *spec, struct spec_errors *errors);
} rules[] = {
    { ~0u, rule_dataset },
    { ~0u, rule_normalize },
    { MASK(JOB_TRAIN) | MASK(JOB_RIFT), rule_crafting },
    { MASK(JOB_TRAIN) | MASK(JOB_RIFT), rule_start },
    { MASK(JOB_FINETUNE), rule_mrc_job },
    { MASK(JOB_EVALUATE) | MASK(JOB_RIFT), rule_attack_names },
};

int rules_apply(json_t *spec, enum job_kind kind, struct spec_errors *errors)
{
    int r = fill_attacks(spec);

    if (r == 0)
        r = fill_companions(spec);
    for (size_t i = 0; i < sizeof(schedules) / sizeof(schedules[0]) && r == 0; i++)
        if (schedules[i].kinds & MASK(kind))
            r = fill_schedule(spec_at(spec, schedules[i].schedule),
                              json_integer_value(spec_at(spec, schedules[i].epochs)), schedules[i].milestones,
                              schedules[i].count);
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
        if (rules[i].kinds & MASK(kind))
            rules[i].check(spec, errors);
    return r;
}

/* ---- what a spec must keep to when it is sent ------------------------------------- */

/* Weights that are text, and every field called ..path. */
static bool is_path(const struct spec_field *field)
{
    size_t length = strlen(field->pointer);

    return field->type == FIELD_WEIGHTS || (length > 4 && strcmp(field->pointer + length - 4, "path") == 0);
}

void spec_paths_check(const struct job_spec *spec, struct spec_errors *errors)
{
    for (int i = 0; i < spec_field_count; i++) {
        const struct spec_field *field = &spec_fields[i];
        const json_t *value =
            (field->kinds & MASK(spec->kind)) && is_path(field) ? spec_at(spec->json, field->pointer) : NULL;
        const char *path = json_string_value(value);
        char given[40];

        if (!path || *path == '/')
            continue;
        value_show(value, given, sizeof(given));
        spec_wrong(errors, field->pointer,
                   "must be an absolute path: riftd's jobs run in directories of its own; is %s", given);
    }
}
