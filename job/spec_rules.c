/* What can only be said about several fields at once?
 *
 * First what is filled from other fields: names of attacks, the attacks of an
 * evaluation, the numbers of a method, the milestones of a schedule. Then one function a rule, in a
 * table. A member that failed its own check isn't there, and a rule that misses
 * one of its members says nothing: one mistake, one message. */
#include "job/spec.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Bytes of the specs that a sweep becomes: thousands of usual ones, and what a
 * server can hold several times while it makes them. */
enum { SWEEP_TEXT_MAX = 16 << 20 };

#define MASK(kind) (1u << (kind))
#define MASK_RIFT  (MASK(JOB_RIFT) | MASK(JOB_SWEEP)) /* a sweep is judged like the rift jobs it becomes */

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

/* What is said about a type of attack beside its fields. */
static const struct attack_about {
    const char *type;
    int steps;   /* the default; 0: it has none */
    int classes; /* that its loss looks at */
    bool once;   /* it has no restarts */
} attacks_about[] = {
    { "pgd", 10, 2, false },        { "apgd-ce", 100, 2, false }, { "apgd-dlr", 100, 3, false },
    { "apgd-t", 100, 4, false },    { "fab-t", 100, 2, true },    { "square", 0, 2, false },
    { "autoattack", 100, 4, true },
};

/* NULL when the attack's type failed its own check. */
static const struct attack_about *attack_about(const json_t *attack)
{
    const char *type = json_string_value(json_object_get(attack, "type"));

    for (size_t i = 0; type && i < sizeof(attacks_about) / sizeof(attacks_about[0]); i++)
        if (strcmp(attacks_about[i].type, type) == 0)
            return &attacks_about[i];
    return NULL;
}

static int fill_steps(json_t *attack)
{
    const struct attack_about *about = attack_about(attack);

    if (!about || !about->steps || !json_is_null(json_object_get(attack, "steps")))
        return 0;
    return json_object_set_new(attack, "steps", json_integer(about->steps)) < 0 ? -ENOMEM : 0;
}

/* null becomes "pgd-10", or the type; where a neighbour has that name, "pgd-10-2" and so on. */
static int fill_name(json_t *attack, const json_t *neighbours)
{
    const struct attack_about *about = attack_about(attack);
    json_int_t steps = json_integer_value(json_object_get(attack, "steps"));
    char base[40], name[60];

    if (!about || !json_is_null(json_object_get(attack, "name")) || (about->steps && steps < 1))
        return 0;
    if (strcmp(about->type, "pgd") == 0)
        snprintf(base, sizeof(base), "pgd-%lld", (long long)steps);
    else
        snprintf(base, sizeof(base), "%s", about->type);
    snprintf(name, sizeof(name), "%s", base);
    for (int number = 2; name_taken(neighbours, name); number++)
        snprintf(name, sizeof(name), "%s-%d", base, number);
    return json_object_set_new(attack, "name", json_string(name)) < 0 ? -ENOMEM : 0;
}

static int fill_attack(json_t *attack, const json_t *neighbours)
{
    int r = fill_steps(attack);

    return r < 0 ? r : fill_name(attack, neighbours);
}

static int fill_attacks(json_t *spec)
{
    json_t *attack = json_object_get(spec, "attack"), *attacks = spec_at(spec, "/evaluate/attacks"), *item;
    size_t i;
    int r = fill_attack(attack, NULL);

    if (r == 0 && json_is_null(attacks) && attack) {
        json_auto_t *list = json_array();
        if (!list || (json_is_object(attack) && json_array_append_new(list, json_deep_copy(attack)) < 0) ||
            json_object_set(json_object_get(spec, "evaluate"), "attacks", list) < 0)
            return -ENOMEM;
    }
    json_array_foreach(attacks, i, item) if (r == 0) r = fill_attack(item, attacks);
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
    { MASK(JOB_TRAIN) | MASK_RIFT, "/optimizer/schedule", "/train/epochs", train_milestones, 2 },
    { MASK(JOB_FINETUNE), "/optimizer/schedule", "/finetune/epochs", finetune_milestones, 1 },
    { MASK_RIFT, "/finetune/optimizer/schedule", "/finetune/epochs", finetune_milestones, 1 },
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

/* Copies that are to be made, and nothing said about which: the defaults of /evaluate/corruptions. */
static int fill_corruptions(json_t *spec)
{
    static const char above[] = "/evaluate/corruptions";

    if (!json_is_true(spec_at(spec, "/evaluate/generate_corruptions")) || !json_is_null(spec_at(spec, above)))
        return 0;
    for (int i = 0; i < spec_field_count; i++) {
        const struct spec_field *field = &spec_fields[i];

        if (strcmp(field_owner(field), above) == 0 &&
            spec_put(spec, field->pointer, json_loads(field->fallback, JSON_DECODE_ANY, NULL)) < 0)
            return -ENOMEM;
    }
    return 0;
}

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

/* Does the mrc job of the same spec find what this choice goes by? */
static void choice_fits(const json_t *spec, const json_t *choice, const char *pointer, struct spec_errors *errors)
{
    const json_t *greedy = json_object_get(choice, "greedy"), *top = json_object_get(choice, "top");
    const json_t *searched = spec_at(spec, "/mrc/greedy"), *measured = spec_at(spec, "/mrc/modules");
    long long wanted = json_integer_value(greedy ? greedy : top), there = json_integer_value(searched);
    long long names = (long long)json_array_size(measured);

    if (greedy && searched && there < wanted)
        spec_wrong(errors, pointer, "{\"greedy\": %lld} needs mrc.greedy of at least %lld, is %lld", wanted, wanted,
                   there);
    if (top && json_is_array(measured) && names < wanted)
        spec_wrong(errors, pointer, "{\"top\": %lld} needs mrc.modules of at least %lld names or null, has %lld",
                   wanted, wanted, names);
}

/* Said now, not after the training. An mrc job that was run has its own numbers. */
static void rule_choice(const json_t *spec, struct spec_errors *errors)
{
    static const char pointer[] = "/sweep/modules";
    const json_t *choices = spec_at(spec, pointer);
    int total = errors->total;
    json_t *choice;
    size_t i;

    if (!json_is_null(spec_at(spec, "/finetune/mrc_job")))
        return;
    if (!json_is_array(choices))
        choice_fits(spec, spec_at(spec, "/finetune/modules"), "/finetune/modules", errors);
    json_array_foreach((json_t *)choices, i, choice) if (errors->total == total)
        choice_fits(spec, choice, pointer, errors);
}

static void rule_crafting(const json_t *spec, struct spec_errors *errors)
{
    const char *method = json_string_value(spec_at(spec, "/train/method"));

    if (method && strcmp(method, "standard") != 0 && json_is_null(spec_at(spec, "/attack")))
        spec_wrong(errors, "/attack", "must be an attack object when /train/method is %s, is null", method);
}

/* What was measured of other weights says nothing about these. */
static void rule_given(const json_t *spec, struct spec_errors *errors)
{
    const json_t *weights = spec_at(spec, "/train/weights"), *mrc_job = spec_at(spec, "/finetune/mrc_job");
    const json_t *methods = spec_at(spec, "/sweep/methods");

    if (weights && mrc_job && json_is_null(weights) && !json_is_null(mrc_job))
        spec_wrong(errors, "/finetune/mrc_job", "must be null unless /train/weights says which weights were measured");
    if (weights && !json_is_null(weights) && json_is_array(methods))
        spec_wrong(errors, "/sweep/methods", "must be null when /train/weights are given: nothing is trained");
}

/* Multiplied here, before anything of that size is made. */
static void rule_sweep(const json_t *spec, struct spec_errors *errors)
{
    static const char *const lists[] = { "/sweep/seeds", "/sweep/methods", "/sweep/modules" };
    json_int_t limit = json_integer_value(spec_at(spec, "/sweep/limit")), sizes[3];

    for (int i = 0; i < 3; i++) {
        const json_t *list = spec_at(spec, lists[i]);
        sizes[i] = json_is_array(list) ? (json_int_t)json_array_size(list) : 1;
    }
    json_int_t count = sizes[0] * sizes[1] * sizes[2]; /* lists are bounded: no overflow */
    size_t bytes = json_dumpb(spec, NULL, 0, JSON_COMPACT);
    if (limit && count <= limit && count * (json_int_t)bytes > SWEEP_TEXT_MAX)
        spec_wrong(errors, "/sweep", "would be %lld rift jobs of %zu bytes each, more than %d in all", (long long)count,
                   bytes, SWEEP_TEXT_MAX);
    if (limit && count > limit)
        spec_wrong(errors, "/sweep",
                   "would be %lld rift jobs (%lld seeds, %lld methods, %lld module choices), more than the %lld of "
                   "/sweep/limit",
                   (long long)count, (long long)sizes[0], (long long)sizes[1], (long long)sizes[2], (long long)limit);
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

/* What depends on the training method. A sweep may have several: the first that won't do is told. */
static void rules_method(const json_t *spec, struct spec_errors *errors)
{
    const json_t *methods = spec_at(spec, "/sweep/methods");
    int total = errors->total;
    json_t *method;
    size_t i;

    if (!json_is_array(methods)) {
        rule_crafting(spec, errors);
        rule_start(spec, errors);
        return;
    }
    json_array_foreach((json_t *)methods, i, method)
    {
        json_auto_t *one = errors->total == total ? json_deep_copy(spec) : NULL;

        if (!one || spec_put(one, "/train/method", json_incref(method)) < 0 ||
            spec_put(one, "/sweep/methods", json_null()) < 0)
            return;
        rules_method(one, errors);
    }
}

/* Training, mrc and inspect make examples by PGD; the other attacks only measure. */
static void rule_attack_crafts(const json_t *spec, struct spec_errors *errors)
{
    const char *type = json_string_value(spec_at(spec, "/attack/type"));

    if (type && strcmp(type, "pgd") != 0)
        spec_wrong(errors, "/attack/type",
                   "must be pgd in a%s %s job, which makes examples with it, is \"%s\"; other attacks measure, under "
                   "/evaluate/attacks",
                   strchr("aeiou", *json_string_value(spec_at(spec, "/kind"))) ? "n" : "",
                   json_string_value(spec_at(spec, "/kind")), type);
}

static void attack_fits(const json_t *attack, const char *pointer, json_int_t classes, struct spec_errors *errors)
{
    const struct attack_about *about = attack_about(attack);
    json_int_t restarts = json_integer_value(json_object_get(attack, "restarts"));
    char at[64];

    if (about && classes && classes < about->classes) {
        snprintf(at, sizeof(at), "%s/type", pointer);
        spec_wrong(errors, at, "\"%s\" looks at the %d largest logits, and /model/num_classes is %lld", about->type,
                   about->classes, (long long)classes);
    }
    if (about && about->once && restarts > 1) {
        snprintf(at, sizeof(at), "%s/restarts", pointer);
        spec_wrong(errors, at, "must be 1 for %s, is %lld", about->type, (long long)restarts);
    }
}

static void rule_attacks_fit(const json_t *spec, struct spec_errors *errors)
{
    const json_t *attacks = spec_at(spec, "/evaluate/attacks"), *own = spec_at(spec, "/attack");
    json_int_t classes = json_integer_value(spec_at(spec, "/model/num_classes"));

    if (!attacks || !json_equal(json_array_get(attacks, 0), own)) /* else it is said once */
        attack_fits(own, "/attack", classes, errors);
    for (size_t i = 0; i < json_array_size(attacks); i++) {
        char pointer[64];

        snprintf(pointer, sizeof(pointer), "/evaluate/attacks/%zu", i);
        attack_fits(json_array_get(attacks, i), pointer, classes, errors);
    }
}

/* A line has two ends. */
static void rule_line(const json_t *spec, struct spec_errors *errors)
{
    static const char *const ends[] = { "/evaluate/baseline", "/evaluate/toward" };

    for (int i = 0; i < 2 && json_array_size(spec_at(spec, "/evaluate/alphas")); i++)
        if (json_is_null(spec_at(spec, ends[i])))
            spec_wrong(errors, ends[i], "is required when /evaluate/alphas has points: an end of the line");
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

static void rule_corruptions(const json_t *spec, struct spec_errors *errors)
{
    const json_t *path = spec_at(spec, "/evaluate/corruptions/path"), *job = spec_at(spec, "/evaluate/corruptions/job");
    bool none = json_is_null(path) && json_is_null(job);

    if (json_is_true(spec_at(spec, "/evaluate/generate_corruptions"))) {
        if (path && job && !none)
            spec_wrong(errors, "/evaluate/generate_corruptions",
                       "must be false where /evaluate/corruptions names copies that are there");
        return;
    }
    if (path && job && json_is_null(path) == json_is_null(job))
        spec_wrong(errors, "/evaluate/corruptions",
                   "must have either the path of corrupted copies or the corrupt job that makes them; has %s",
                   json_is_null(path) ? "none of them" : "both");
}

/* Copies that are there lie in one place, and are of the test images. */
static void rule_inspect(const json_t *spec, struct spec_errors *errors)
{
    const json_t *path = spec_at(spec, "/inspect/corruptions/path"), *job = spec_at(spec, "/inspect/corruptions/job");
    const char *split = json_string_value(spec_at(spec, "/dataset/split"));
    bool there = path && job && (!json_is_null(path) || !json_is_null(job));

    if (there && !json_is_null(path) && !json_is_null(job))
        spec_wrong(errors, "/inspect/corruptions",
                   "must have either the path of corrupted copies or the corrupt job that made them; has both");
    if (there && split && strcmp(split, "test") != 0)
        spec_wrong(errors, "/dataset/split",
                   "must be test or null where /inspect/corruptions names copies, which are of the test images; is %s",
                   split);
    if (json_is_null(spec_at(spec, "/attack")) && !json_is_null(spec_at(spec, "/model/weights")) &&
        json_integer_value(spec_at(spec, "/inspect/adversarial")) > 0)
        spec_wrong(errors, "/attack",
                   "must be an attack object where /inspect/adversarial shows images attacked with /model/weights, is "
                   "null");
}

static const struct {
    unsigned kinds;
    void (*check)(const json_t *spec, struct spec_errors *errors);
} rules[] = {
    { ~0u, rule_dataset },
    { ~0u, rule_normalize },
    { ~0u, rule_attacks_fit },
    { MASK(JOB_TRAIN) | MASK_RIFT | MASK(JOB_MRC) | MASK(JOB_INSPECT), rule_attack_crafts },
    { MASK(JOB_TRAIN) | MASK_RIFT, rules_method },
    { MASK(JOB_FINETUNE), rule_mrc_job },
    { MASK(JOB_EVALUATE), rule_line },
    { MASK(JOB_EVALUATE) | MASK_RIFT, rule_attack_names },
    { MASK(JOB_EVALUATE) | MASK_RIFT, rule_corruptions },
    { MASK(JOB_INSPECT), rule_inspect },
    { MASK_RIFT, rule_given },
    { MASK_RIFT, rule_choice },
    { MASK(JOB_SWEEP), rule_sweep },
};

int rules_apply(json_t *spec, enum job_kind kind, struct spec_errors *errors)
{
    int r = fill_attacks(spec);

    if (r == 0)
        r = fill_companions(spec);
    if (r == 0)
        r = fill_corruptions(spec);
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
