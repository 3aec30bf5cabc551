/* The order of criticality_sets.h.
 *
 *   at   0 .. S-1   S .. S+J-1   then S-1 pairs, then S-2 triples
 *        singles    joint        rounds of the search
 *
 * Greedy, not exhaustive: ResNet18 has 210 pairs and 1330 triples, the search
 * measures 20 and 19. It finds the best set that contains the best smaller one. */
#include "gpu/rift/criticality_sets.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the order of rows ---------------------------------------------------------------- */

static bool overflowed(const json_t *row)
{
    return json_is_true(json_object_get(row, "non_finite")) || isnan(json_double(row, "mrc"));
}

int criticality_compare(const json_t *row, const json_t *other)
{
    double a = json_double(row, "mrc"), b = json_double(other, "mrc");

    if (overflowed(row) != overflowed(other))
        return overflowed(row) - overflowed(other);
    return (a > b) - (a < b);
}

int criticality_choose(const json_t *rows, int sign)
{
    int best = json_array_size(rows) ? 0 : -1;

    for (size_t i = 1; i < json_array_size(rows); i++)
        if (sign * criticality_compare(json_array_get(rows, i), json_array_get(rows, (size_t)best)) < 0)
            best = (int)i;
    return best;
}

/* ---- which sets ------------------------------------------------------------------------- */

static int joint_count(const struct criticality_sets *sets)
{
    return sets->run->spec.mrc.joint_count;
}

/* How many sets the round for sets of `size` measures, and where it begins. */
static int round_count(const struct criticality_sets *sets, int size)
{
    return sets->single_count - size + 1;
}

static int round_first(const struct criticality_sets *sets, int size)
{
    int first = sets->single_count + joint_count(sets);

    for (int before = 2; before < size; before++)
        first += round_count(sets, before);
    return first;
}

int criticality_sets_count(const struct criticality_sets *sets)
{
    return round_first(sets, sets->greedy + 1);
}

static int names_check(struct run *run, const char *field, const char *const *names, int count)
{
    int r = 0;

    for (int i = 0; i < count && r >= 0; i++)
        r = run_module(run, field, names[i]);
    return r < 0 ? r : 0;
}

static bool named(const struct model *model, const struct name_list *list, int m)
{
    for (int i = 0; i < list->count; i++)
        if (strcmp(model->modules[m].name, list->names[i]) == 0)
            return true;
    return false;
}

int criticality_sets_open(struct run *run, struct criticality_sets *ret)
{
    const struct model *model = run->model;
    const struct name_list asked = { run->spec.mrc.modules, run->spec.mrc.module_count };
    struct criticality_sets sets = { .run = run };
    int r = names_check(run, "mrc.modules", asked.names, asked.count);

    for (int i = 0; i < run->spec.mrc.joint_count && r == 0; i++)
        r = names_check(run, "mrc.joint", run->spec.mrc.joint[i].names, run->spec.mrc.joint[i].count);
    if (r < 0)
        return r;
    sets.single = calloc((size_t)model->module_count, sizeof(*sets.single));
    if (!sets.single)
        return run_fail(run, FAILURE_OUT_OF_MEMORY, "no memory");
    for (int m = 0; m < model->module_count; m++)
        if (!asked.names || named(model, &asked, m))
            sets.single[sets.single_count++] = m;
    if (run->spec.mrc.greedy > sets.single_count) {
        r = run_fail(run, FAILURE_BAD_SPEC, "mrc.greedy: %d modules are to be found among the %d that are measured",
                     run->spec.mrc.greedy, sets.single_count);
        criticality_sets_done(&sets);
        return r;
    }
    sets.greedy = run->spec.mrc.greedy < 1 ? 1 : run->spec.mrc.greedy;
    *ret = sets;
    return 0;
}

void criticality_sets_done(struct criticality_sets *sets)
{
    free(sets->single);
    *sets = (struct criticality_sets){ 0 };
}

/* ---- the search ---------------------------------------------------------------------- */

/* Where in `rows` the lowest set of that size lies that the search has measured. */
static int lowest_of(const struct criticality_sets *sets, const json_t *rows, int size)
{
    int first = size == 1 ? 0 : round_first(sets, size), count = round_count(sets, size), best = first;

    for (int i = first + 1; i < first + count; i++)
        if (criticality_compare(json_array_get(rows, (size_t)i), json_array_get(rows, (size_t)best)) < 0)
            best = i;
    return best;
}

/* The k-th single that isn't in the set yet joins it. */
static void join(const struct criticality_sets *sets, int k, bool *set)
{
    for (int i = 0; i < sets->single_count; i++)
        if (!set[sets->single[i]] && k-- == 0) {
            set[sets->single[i]] = true;
            return;
        }
}

void criticality_sets_at(const struct criticality_sets *sets, int at, const json_t *rows, bool *ret)
{
    const struct model *model = sets->run->model;
    int size = 2;

    memset(ret, 0, (size_t)model->module_count * sizeof(*ret));
    if (at < sets->single_count) {
        ret[sets->single[at]] = true;
        return;
    }
    if (at < sets->single_count + joint_count(sets)) {
        for (int m = 0; m < model->module_count; m++)
            ret[m] = named(model, &sets->run->spec.mrc.joint[at - sets->single_count], m);
        return;
    }
    while (at >= round_first(sets, size + 1))
        size++;
    criticality_sets_at(sets, lowest_of(sets, rows, size - 1), rows, ret);
    join(sets, at - round_first(sets, size), ret);
}

json_t *criticality_set_names(const struct model *model, const bool *set)
{
    json_t *row = json_object(), *modules = json_array(), *joined = NULL;

    for (int m = 0; m < model->module_count; m++) {
        if (!set[m])
            continue;
        const char *name = model->modules[m].name;
        json_t *longer = joined ? json_sprintf("%s+%s", json_string_value(joined), name) : json_string(name);
        json_decref(joined);
        joined = longer;
        json_array_append_new(modules, json_string(name));
    }
    json_object_set_new(row, "module", joined);
    if (json_array_size(modules) > 1)
        json_object_set(row, "modules", modules);
    json_decref(modules);
    return row;
}

json_t *criticality_set_find(const struct model *model, const json_t *rows, const bool *set)
{
    json_auto_t *names = criticality_set_names(model, set);
    json_t *row;
    size_t i;

    json_array_foreach((json_t *)rows, i, row)
    {
        if (json_equal(json_object_get(row, "module"), json_object_get(names, "module")))
            return row;
    }
    return NULL;
}

bool criticality_sets_move(const struct criticality_sets *sets, int m)
{
    for (int i = 0; i < sets->single_count; i++)
        if (sets->single[i] == m)
            return true;
    for (int i = 0; i < joint_count(sets); i++)
        if (named(sets->run->model, &sets->run->spec.mrc.joint[i], m))
            return true;
    return false;
}

/* ---- sizes and results ------------------------------------------------------------------ */

static int64_t weight_count(const struct model *model, int m)
{
    return model->tensors[model->modules[m].weight].count;
}

int64_t criticality_sets_largest(const struct criticality_sets *sets)
{
    const struct model *model = sets->run->model;
    int64_t largest = 0, most;

    for (int i = 0; i < sets->single_count; i++)
        largest = weight_count(model, sets->single[i]) > largest ? weight_count(model, sets->single[i]) : largest;
    most = sets->greedy * largest; /* at most */
    for (int i = 0; i < joint_count(sets); i++) {
        int64_t sum = 0;

        for (int m = 0; m < model->module_count; m++)
            sum += named(model, &sets->run->spec.mrc.joint[i], m) ? weight_count(model, m) : 0;
        most = sum > most ? sum : most;
    }
    return most;
}

static json_t *slice(const json_t *rows, int first, int count)
{
    json_t *part = json_array();

    for (int i = first; i < first + count; i++)
        json_array_append(part, json_array_get(rows, (size_t)i));
    return part;
}

json_t *criticality_sets_result(const struct criticality_sets *sets, const json_t *rows)
{
    int singles = sets->single_count;
    json_t *greedy = json_array();

    for (int size = 2; size <= sets->greedy; size++)
        json_array_append(greedy, json_array_get(rows, (size_t)lowest_of(sets, rows, size)));
    return json_pack("{s:o, s:o, s:o}", "modules", slice(rows, 0, singles), "joint",
                     slice(rows, singles, criticality_sets_count(sets) - singles), "greedy", greedy);
}
