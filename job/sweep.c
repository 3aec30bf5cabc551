/* How does one spec become a table's worth of rift jobs?
 *
 *   methods x seeds x module choices, the last varying fastest:
 *
 *     0  pgd-at  seed 0  lowest     train  mrc  finetune  interpolate  evaluate
 *     1  pgd-at  seed 0  last       (of 0)      finetune  interpolate  evaluate
 *     2  pgd-at  seed 1  lowest     train  mrc  ...
 *
 * A run is the sweep's own spec with three fields put in. Module choices of the
 * same method and seed begin with the same weights: only the first one trains
 * and measures criticality, the others refer to it (sweep_share), so a choice
 * more costs a fine-tuning and not a training. */
#include "job/spec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void choice_show(const json_t *choice, char *ret, size_t size)
{
    const char *rule;
    json_t *value, *name;
    size_t used = 0, i;

    ret[0] = 0;
    if (json_is_string(choice))
        snprintf(ret, size, "%s", json_string_value(choice));
    json_object_foreach((json_t *)choice, rule, value) /* one member: top, greedy, containing */
    {
        if (json_is_string(value))
            snprintf(ret, size, "%s %s", rule, json_string_value(value));
        else
            snprintf(ret, size, "%s %lld", rule, (long long)json_integer_value(value));
    }
    json_array_foreach((json_t *)choice, i, name)
    {
        if (used < size)
            used += (size_t)snprintf(ret + used, size - used, "%s%s", i ? ", " : "", json_string_value(name));
    }
    text_clean(ret); /* a character cut in half */
}

/* Letters that a directory may have; the rest becomes '-', never two in a row. */
static void name_clean(char *name)
{
    char *out = name;

    for (const char *in = name; *in; in++) {
        bool plain = strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", *in);

        if (plain || (out > name && out[-1] != '-'))
            *out++ = plain ? *in : '-';
    }
    *out = 0;
}

/* The sweep's label and what tells this run from its siblings, as long as labels may be. */
static json_t *label_make(const json_t *sweep, const char *tail)
{
    const char *label = json_string_value(json_object_get(sweep, "label"));
    size_t characters = strlen(tail) + 2;

    for (const char *at = label; at && *at; at++)
        characters += (*at & 0xC0) != 0x80;
    return label && characters <= LABEL_CHARACTERS_MAX ? json_sprintf("%s: %s", label, tail) : json_string(tail);
}

struct place {
    const json_t *method, *seed, *choice; /* method and choice NULL: the spec's */
    int number;
};

/* The modules that choices name: whoever trains for all of them looks before it
 * trains. null when none is named. New reference. */
static json_t *modules_expected(const json_t *sweep)
{
    json_auto_t *seen = json_object();
    json_auto_t *names = json_array();
    json_t *choice;
    size_t i;

    json_array_foreach(spec_at(sweep, "/sweep/modules"), i, choice) if (!json_is_string(choice))
        module_names_add(names, seen, choice);
    return json_array_size(names) ? json_incref(names) : json_null();
}

/* The rift spec of one run before it is checked. New reference or NULL. */
static json_t *run_make(const json_t *sweep, const struct place *place, char name[80])
{
    json_auto_t *spec = json_deep_copy(sweep);
    const char *method = json_string_value(place->method ? place->method : spec_at(sweep, "/train/method"));
    long long seed = json_integer_value(place->seed);
    char choice[40] = "", tail[96];

    if (place->choice)
        choice_show(place->choice, choice, sizeof(choice));
    snprintf(tail, sizeof(tail), "%s, seed %lld%s%s", method, seed, *choice ? ", " : "", choice);
    snprintf(name, 80, "%02d-%s-seed%lld%s%s", place->number, method, seed, *choice ? "-" : "", choice);
    name_clean(name);
    if (!spec || json_object_del(spec, "sweep") < 0 || spec_put(spec, "/kind", json_string("rift")) < 0 ||
        spec_put(spec, "/seed", json_integer(seed)) < 0 || spec_put(spec, "/label", label_make(sweep, tail)) < 0 ||
        spec_put(spec, "/train/method", json_string(method)) < 0 ||
        spec_put(spec, "/modules_expected", modules_expected(sweep)) < 0 ||
        (place->choice && spec_put(spec, "/finetune/modules", json_deep_copy(place->choice)) < 0))
        return NULL;
    return json_incref(spec);
}

static int run_expand(const json_t *sweep, const struct place *place, int first, struct sweep_run *ret)
{
    json_auto_t *made = run_make(sweep, place, ret->name);
    struct spec_errors *errors = malloc(sizeof(*errors));
    spec_auto spec = { 0 };
    int r = made && errors ? spec_from_json(made, &spec, errors) : -ENOMEM;

    ret->shares = first == place->number ? -1 : first;
    ret->spec = json_incref(spec.json);
    free(errors);
    return r;
}

/* How often a list is gone through: once when it is null. */
static int list_size(const json_t *list)
{
    return json_is_array(list) ? (int)json_array_size(list) : 1;
}

int sweep_expand(const struct job_spec *sweep, struct sweep_run **ret, int *ret_count)
{
    const json_t *methods = spec_at(sweep->json, "/sweep/methods"), *seeds = spec_at(sweep->json, "/sweep/seeds");
    const json_t *choices = spec_at(sweep->json, "/sweep/modules");
    int per_seed = list_size(choices), per_method = list_size(seeds) * per_seed,
        count = list_size(methods) * per_method;
    int r = sweep->kind == JOB_SWEEP ? 0 : -EINVAL;
    struct sweep_run *runs = r == 0 ? calloc((size_t)count, sizeof(*runs)) : NULL;

    if (r == 0 && !runs)
        r = -ENOMEM;
    for (int i = 0; i < count && r == 0; i++) {
        struct place place = { json_array_get(methods, (size_t)(i / per_method)),
                               json_array_get(seeds, (size_t)(i % per_method / per_seed)),
                               json_array_get(choices, (size_t)(i % per_seed)), i };

        r = run_expand(sweep->json, &place, i - i % per_seed, &runs[i]);
    }
    if (r < 0) {
        sweep_runs_free(runs, runs ? count : 0);
        return r;
    }
    *ret = runs;
    *ret_count = count;
    return 0;
}

void sweep_runs_free(struct sweep_run *runs, int count)
{
    for (int i = 0; i < count; i++)
        json_decref(runs[i].spec);
    free(runs);
}

int sweep_share(json_t *spec, json_t *weights, json_t *mrc_job)
{
    const struct {
        const char *pointer;
        json_t *value;
    } shared[] = { { "/train/weights", weights }, { "/finetune/mrc_job", mrc_job } };
    int r = 0;

    for (int i = 0; i < 2; i++) {
        if (!json_is_null(spec_at(spec, shared[i].pointer)))
            json_decref(shared[i].value);
        else if (spec_put(spec, shared[i].pointer, shared[i].value) < 0)
            r = -ENOMEM;
    }
    return r;
}
