/* When may the results of rift jobs be averaged, and what comes out?
 *
 *     run --- key (method, module choice, group_by) ---> row --- mean, standard deviation over its runs
 *
 * A mean says something only about like things. Two runs of a row must have the
 * same spec but for what repetitions differ in (`apart`): the seed, where it ran,
 * and where weights come from. Two rows may differ in how training is done, and
 * in what group_by names; a protocol, a data set, an architecture or a way to
 * measure that is in one row and not in the other would make the table a trap. So
 * all else is an error that names the field and the jobs, never an average.
 *
 * Surprising: a value that a stored spec lacks is the field's default: the spec
 * was written before the field was. */
#include "job/spec.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_TOP = 16 };

/* What repetitions of one experiment may differ in. */
static const char *const apart[] = {
    "/kind",   "/seed",         "/label",   "/priority",           "/device",          "/after",
    "/memory", "/time_limit_s", "/threads", "/checkpoint_every_s", "/modules_expected"
};
/* What always tells rows apart. */
static const char *const keys[] = { "/train/method", "/finetune/modules" };
/* What must be the same in the whole table. */
static const char *const common[] = { "/protocol",
                                      "/model",
                                      "/dataset",
                                      "/evaluate/attacks",
                                      "/evaluate/corruptions/set",
                                      "/evaluate/corruptions/names",
                                      "/evaluate/corruptions/severities" };

static const char *const columns[] = { "clean_accuracy", "corruption_accuracy", "robust_accuracy" };
enum { COLUMNS = sizeof(columns) / sizeof(columns[0]) };
static const char *const sides[] = { "before", "after" };

struct tabling {
    const struct table_run *runs;
    int count;
    const struct spec_field *grouped[NAMES_TOP]; /* what group_by names */
    int grouped_count;
    int *row; /* [count]: the first run of the row that a run belongs to */
    struct fault *why;
};

/* ---- fields ------------------------------------------------------------------------ */

static bool listed(const char *const *list, size_t count, const char *pointer)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], pointer) == 0)
            return true;
    return false;
}

static bool below(const char *pointer, const char *above)
{
    size_t length = strlen(above);

    return strncmp(pointer, above, length) == 0 && (pointer[length] == '/' || !pointer[length]);
}

/* By itself, or with the object that it is in. */
static bool is_grouped(const struct tabling *t, const struct spec_field *field)
{
    for (int i = 0; i < t->grouped_count; i++)
        if (below(field->pointer, t->grouped[i]->pointer))
            return true;
    return false;
}

/* The value of a field in the object that stands at `above`, "" being the whole
 * spec, or its default. New reference; NULL when it has neither. */
static json_t *member_value(const json_t *object, const struct spec_field *field, const char *above)
{
    json_t *value = spec_at(object, field->pointer + strlen(above));

    if (value)
        return json_incref(value);
    return field->fallback ? json_loads(field->fallback, JSON_DECODE_ANY, NULL) : NULL;
}

static json_t *field_value(const json_t *spec, const struct spec_field *field)
{
    return member_value(spec, field, "");
}

static bool alike(const json_t *a, const json_t *b, const struct spec_field *field);

static bool same_value(const json_t *left, const json_t *right, const struct spec_field *field)
{
    json_auto_t *a = field_value(left, field), *b = field_value(right, field);

    return a == b || (a && b && alike(a, b, field));
}

static bool alike_lists(const json_t *a, const json_t *b, const struct spec_field *field)
{
    if (json_array_size(a) != json_array_size(b))
        return false;
    for (size_t i = 0; i < json_array_size(a); i++)
        if (!alike(json_array_get(a, i), json_array_get(b, i), field))
            return false;
    return true;
}

/* Objects whose members are rows below `above`. */
static bool alike_members(const json_t *a, const json_t *b, const char *above)
{
    for (int i = 0; i < spec_field_count; i++) {
        const struct spec_field *member = &spec_fields[i];

        if (!(member->kinds & 1u << JOB_RIFT) || strcmp(field_owner(member), above) != 0)
            continue;
        json_auto_t *left = member_value(a, member, above), *right = member_value(b, member, above);
        if (left != right && !(left && right && alike(left, right, member)))
            return false;
    }
    return true;
}

/* Do two values of a field say the same? 1 and 1.0 do, and 8/255 and its decimals. */
static bool alike(const json_t *a, const json_t *b, const struct spec_field *field)
{
    double left, right;

    if (json_is_number(a) && json_is_number(b))
        return json_number_value(a) == json_number_value(b); /* no field has integers that a double hasn't */
    if (field->type == FIELD_PIXEL && value_pixel(a, &left) == 0 && value_pixel(b, &right) == 0)
        return left == right;
    if (json_is_array(a) && json_is_array(b))
        return alike_lists(a, b, field);
    if (json_is_object(a) && json_is_object(b)) {
        if (field->type == FIELD_ATTACK || field->type == FIELD_ATTACK_LIST)
            return alike_members(a, b, "/attack");
        if (field->type == FIELD_OBJECT)
            return alike_members(a, b, field->pointer);
    }
    return json_equal(a, b);
}

/* An object of fields: its members are judged one by one, and it only by whether it is there. */
static bool is_object_field(const struct spec_field *field)
{
    return field->type == FIELD_OBJECT || field->type == FIELD_ATTACK;
}

static bool same_presence(const struct table_run *one, const struct table_run *other, const struct spec_field *field)
{
    json_auto_t *a = field_value(one->spec, field), *b = field_value(other->spec, field);

    return json_is_object(a) == json_is_object(b);
}

/* Must this field be the same in two runs of one row (or, with `rows`, of two)? */
static bool must_agree(const struct tabling *t, const struct spec_field *field, bool rows)
{
    bool in_common = false;

    if (!(field->kinds & 1u << JOB_RIFT) || field->type == FIELD_WEIGHTS ||
        listed(apart, sizeof(apart) / sizeof(apart[0]), field->pointer) ||
        listed(keys, sizeof(keys) / sizeof(keys[0]), field->pointer) || is_grouped(t, field))
        return false;
    for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++)
        in_common = in_common || below(field->pointer, common[i]);
    return !rows || in_common;
}

/* "protocol, model.arch" -> rows of the field table. */
static int group_read(struct tabling *t, const char *group_by)
{
    for (const char *at = group_by ? group_by : ""; *at;) {
        size_t length = strcspn(at, ",");
        char pointer[96] = "/", near[64];

        if (length && length < sizeof(pointer) - 1) {
            memcpy(pointer + 1, at, length);
            pointer[length + 1] = 0;
        }
        for (char *dot = pointer; (dot = strchr(dot, '.'));)
            *dot = '/';
        const struct spec_field *field = field_find(pointer, 1u << JOB_RIFT);
        if (!field) {
            char *last = strrchr(pointer, '/');
            *last = 0; /* the object that the name was looked for in */
            bool meant = field_nearest(pointer, last + 1, 1u << JOB_RIFT, near, sizeof(near));
            return fault_set(t->why, -ENOENT,
                             meant ? "there is no field \"%.*s\" to group by; did you mean \"%s%s%s\"?"
                                   : "there is no field \"%.*s\" to group by",
                             (int)(length < 80 ? length : 80), at, *pointer ? pointer + 1 : "", *pointer ? "." : "",
                             near);
        }
        if (t->grouped_count == NAMES_TOP)
            return fault_set(t->why, -ENOENT, "there are more than %d names to group by", NAMES_TOP);
        if (!is_grouped(t, field) && !listed(keys, sizeof(keys) / sizeof(keys[0]), field->pointer))
            t->grouped[t->grouped_count++] = field;
        at += length + (at[length] == ',');
    }
    return 0;
}

/* ---- which run belongs where --------------------------------------------------------- */

/* The name of a pointer as group_by takes it. */
static const char *dotted(const char *pointer, char ret[96])
{
    snprintf(ret, 96, "%s", pointer + 1);
    for (char *slash = ret; (slash = strchr(slash, '/'));)
        *slash = '.';
    return ret;
}

static int disagree(struct tabling *t, const struct spec_field *field, int one, int other)
{
    char name[96], words[2][60];

    for (int i = 0; i < 2; i++) {
        json_auto_t *value = field_value(t->runs[i ? other : one].spec, field);
        if (value)
            value_show(value, words[i], sizeof(words[i]));
        else
            strcpy(words[i], "not given");
    }
    return fault_set(t->why, -EINVAL,
                     "jobs %s and %s can't stand in one table: %s is %s in the first and %s in the second; grouping by "
                     "it keeps them apart",
                     t->runs[one].id, t->runs[other].id, dotted(field->pointer, name), words[0], words[1]);
}

/* Do all fields agree that must? */
static int agree(struct tabling *t, int one, int other, bool rows)
{
    for (int i = 0; i < spec_field_count; i++)
        if (must_agree(t, &spec_fields[i], rows) &&
            !(is_object_field(&spec_fields[i]) ? same_presence(&t->runs[one], &t->runs[other], &spec_fields[i])
                                               : same_value(t->runs[one].spec, t->runs[other].spec, &spec_fields[i])))
            return disagree(t, &spec_fields[i], one, other);
    return 0;
}

static bool same_key(const struct tabling *t, int one, int other)
{
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (!same_value(t->runs[one].spec, t->runs[other].spec, field_find(keys[i], 1u << JOB_RIFT)))
            return false;
    for (int i = 0; i < t->grouped_count; i++)
        if (!same_value(t->runs[one].spec, t->runs[other].spec, t->grouped[i]))
            return false;
    return true;
}

/* The same seed and the same weights to begin with: the same run. */
static bool same_run(const struct tabling *t, int one, int other)
{
    static const char *const pointers[] = { "/seed", "/model/weights", "/train/weights" };

    for (size_t i = 0; i < sizeof(pointers) / sizeof(pointers[0]); i++)
        if (!same_value(t->runs[one].spec, t->runs[other].spec, field_find(pointers[i], 1u << JOB_RIFT)))
            return false;
    return true;
}

/* Equality is handed on, so a run is held against the first of its row, and a
 * row's first against the table's. */
static int run_place(struct tabling *t, int run)
{
    int r;

    t->row[run] = run;
    for (int other = 0; other < run; other++) {
        if (strcmp(t->runs[run].id, t->runs[other].id) == 0)
            return fault_set(t->why, -EINVAL, "job %s is named twice", t->runs[run].id);
        if (t->row[run] == run && t->row[other] == other && same_key(t, other, run))
            t->row[run] = other;
    }
    r = t->row[run] == run ? agree(t, 0, run, true) : agree(t, t->row[run], run, false);
    for (int other = 0; other < run && r == 0; other++)
        if (t->row[other] == t->row[run] && same_run(t, other, run))
            r = fault_set(t->why, -EINVAL,
                          "jobs %s and %s are the same run, with the same seed: it would count twice in the average",
                          t->runs[other].id, t->runs[run].id);
    return r;
}

/* ---- numbers -------------------------------------------------------------------------- */

static bool measured(const struct table_run *run)
{
    return json_is_number(json_object_get(json_object_get(run->result, "after"), "clean_accuracy"));
}

/* One number of a run: an accuracy, or, with side 2, what RiFT has changed. NaN: none. */
static double cell_value(const struct table_run *run, int side, const char *column)
{
    double both[2];

    for (int i = 0; i < 2; i++) {
        const json_t *value = json_object_get(json_object_get(run->result, sides[i]), column);
        both[i] = json_is_number(value) ? json_number_value(value) : NAN;
    }
    return side < 2 ? both[side] : both[1] - both[0];
}

/* Parts of a whole differ by more, where they differ: one image of 10^11. */
#define ROUNDING 1e-11

/* {"mean","std","n"} of a column over the runs of a row; std (n - 1 below) needs
 * two. Summed from the first value on, so that equal numbers are their own mean; what
 * only rounding sets apart, as means of means, doesn't deviate. */
static json_t *cell_make(const struct tabling *t, int row, int side, const char *column)
{
    double first = 0, sum = 0, squares = 0, mean;
    int n = 0;

    for (int i = 0; i < t->count; i++) {
        double value = cell_value(&t->runs[i], side, column);
        if (t->row[i] == row && isfinite(value)) {
            first = n++ ? first : value;
            sum += value - first;
        }
    }
    mean = n ? first + sum / n : NAN;
    for (int i = 0; i < t->count; i++) {
        double value = cell_value(&t->runs[i], side, column);
        if (t->row[i] == row && isfinite(value))
            squares += (value - mean) * (value - mean);
    }
    double std = n > 1 ? sqrt(squares / (n - 1)) : 0;
    std = std < ROUNDING ? 0 : std;
    return json_pack("{s:o, s:o, s:i}", "mean", n ? json_real(mean) : json_null(), "std",
                     n > 1 ? json_real(std) : json_null(), "n", n);
}

/* Accuracies on corrupted images exist only where they were measured. */
static bool column_there(const struct tabling *t, const char *column)
{
    if (strcmp(column, "corruption_accuracy") != 0)
        return true;
    for (int i = 0; i < t->count; i++)
        if (isfinite(cell_value(&t->runs[i], 0, column)) || isfinite(cell_value(&t->runs[i], 1, column)))
            return true;
    return false;
}

static json_t *side_make(const struct tabling *t, int row, int side)
{
    json_t *cells = json_object();

    for (int c = 0; c < COLUMNS; c++)
        if (column_there(t, columns[c]))
            json_object_set_new(cells, columns[c], cell_make(t, row, side, columns[c]));
    return cells;
}

/* ---- rows -------------------------------------------------------------------------------- */

static json_t *copy_of(const json_t *value)
{
    return value ? json_deep_copy(value) : json_null();
}

static json_t *key_value(const struct tabling *t, int run, const char *pointer)
{
    json_t *value = field_value(t->runs[run].spec, field_find(pointer, 1u << JOB_RIFT));

    return value ? value : json_null();
}

static json_t *group_make(const struct tabling *t, int run)
{
    json_t *group = json_object();
    char name[96];

    for (int i = 0; i < t->grouped_count; i++)
        json_object_set_new(group, dotted(t->grouped[i]->pointer, name), key_value(t, run, t->grouped[i]->pointer));
    return group;
}

static json_t *row_make(const struct tabling *t, int row)
{
    json_t *seeds = json_array(), *chosen = json_array(), *attack = NULL;
    int n = 0;

    for (int i = 0; i < t->count; i++) {
        const struct table_run *run = &t->runs[i];
        if (t->row[i] != row || !measured(run))
            continue;
        n++;
        attack = attack ? attack : json_object_get(run->result, "attack");
        json_array_append_new(seeds, key_value(t, i, "/seed"));
        json_array_append_new(chosen,
                              json_pack("{s:s, s:o, s:o, s:o}", "job", run->id, "seed", key_value(t, i, "/seed"),
                                        "modules", copy_of(json_object_get(run->result, "modules")), "alpha",
                                        copy_of(json_object_get(run->result, "alpha"))));
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:i, s:o, s:o, s:o, s:o, s:o}", "method",
                     key_value(t, row, "/train/method"), "modules", key_value(t, row, "/finetune/modules"), "group",
                     group_make(t, row), "protocol", key_value(t, row, "/protocol"), "attack", copy_of(attack), "n", n,
                     "seeds", seeds, "before", side_make(t, row, 0), "after", side_make(t, row, 1), "gain",
                     side_make(t, row, 2), "chosen", chosen);
}

static json_t *missing_make(const struct tabling *t)
{
    json_t *list = json_array();

    for (int i = 0; i < t->count; i++)
        if (!measured(&t->runs[i]))
            json_array_append_new(list, json_pack("{s:s, s:o, s:o, s:o, s:s*}", "job", t->runs[i].id, "method",
                                                  key_value(t, i, "/train/method"), "modules",
                                                  key_value(t, i, "/finetune/modules"), "seed",
                                                  key_value(t, i, "/seed"), "state", t->runs[i].state));
    return list;
}

/* The protocol of all rows; null when group_by keeps several apart. */
static json_t *protocol_make(const struct tabling *t)
{
    json_t *protocol = t->count ? key_value(t, 0, "/protocol") : json_null();

    for (int i = 1; i < t->count; i++)
        if (!same_value(t->runs[0].spec, t->runs[i].spec, field_find("/protocol", 1u << JOB_RIFT))) {
            json_decref(protocol);
            return json_null();
        }
    return protocol;
}

/* A member of all results that there are, if they agree; else null. */
static json_t *result_make(const struct tabling *t, const char *name)
{
    const json_t *found = NULL;

    for (int i = 0; i < t->count; i++) {
        const json_t *value = json_object_get(t->runs[i].result, name);
        if (measured(&t->runs[i]) && (!value || (found && !json_equal(found, value))))
            return json_null();
        found = measured(&t->runs[i]) ? value : found;
    }
    return copy_of(found);
}

int table_make(const struct table_run *runs, int count, const char *group_by, json_t **ret, struct fault *why)
{
    struct tabling t = { .runs = runs, .count = count, .why = why };
    int r = group_read(&t, group_by);

    t.row = calloc((size_t)count + 1, sizeof(*t.row));
    if (!t.row)
        r = fault_set(why, -ENOMEM, "out of memory");
    for (int i = 0; i < count && r == 0; i++)
        r = run_place(&t, i);
    if (r == 0) {
        json_t *rows = json_array(), *names = json_array();
        char name[96];

        for (int i = 0; i < t.grouped_count; i++)
            json_array_append_new(names, json_string(dotted(t.grouped[i]->pointer, name)));
        for (int i = 0; i < count; i++)
            if (t.row[i] == i)
                json_array_append_new(rows, row_make(&t, i));
        json_t *table = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "protocol", protocol_make(&t), "images",
                                  result_make(&t, "images"), "split", result_make(&t, "split"), "group_by", names,
                                  "rows", rows, "missing", missing_make(&t));
        if (table)
            *ret = table;
        else
            r = fault_set(why, -ENOMEM, "out of memory");
    }
    free(t.row);
    return r;
}
