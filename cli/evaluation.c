/* What was measured, and what did it change?
 *
 * One set of weights by itself (accuracies and losses), or two beside each
 * other: AT and AT+RiFT of a rift job, baseline and model of an evaluate job.
 * Then the corruptions in the same way and a line for each point between. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#define NAME_WIDTH  20
#define TITLE_SIZE  128
#define INDENT      "  "
#define FULL_POINTS 100 /* a fraction in percentage points */

/* Two measured sets of weights. */
struct sides {
    const json_t *spec; /* of the job */
    const json_t *before, *after;
    const char *left, *right; /* what they are called */
    int width;                /* of the names */
};

/* ---- names ---- */

/* Is it PGD started several times? Then its accuracy is that of the worst run. */
static bool has_restarts(const json_t *attack)
{
    return strcmp(text_at(attack, "type", "pgd"), "pgd") == 0 &&
           json_integer_value(json_object_get(attack, "restarts")) > 1;
}

static const json_t *attack_spec(const json_t *spec, size_t i)
{
    const json_t *attack = json_array_get(json_object_get(json_object_get(spec, "evaluate"), "attacks"), i);

    return attack || i ? attack : json_object_get(spec, "attack");
}

/* "PGD-10 x3" from the spec, so that the row says what it is. */
static void attack_words(const json_t *attack, const char *fallback, char ret[TITLE_SIZE])
{
    json_int_t steps = json_integer_value(json_object_get(attack, "steps"));

    if (!json_is_object(attack) || strcmp(text_at(attack, "type", "pgd"), "pgd") != 0 || steps < 1) {
        snprintf(ret, TITLE_SIZE, "%.100s", text_at(attack, "name", fallback));
        return;
    }
    snprintf(ret, TITLE_SIZE, "PGD-%" JSON_INTEGER_FORMAT, steps);
    if (has_restarts(attack))
        snprintf(ret + strlen(ret), TITLE_SIZE - strlen(ret), " x%" JSON_INTEGER_FORMAT,
                 json_integer_value(json_object_get(attack, "restarts")));
}

/* The i-th attack's words, or its name where an earlier one has the same words. */
static void attack_title(const json_t *spec, const json_t *attacks, size_t i, char ret[TITLE_SIZE])
{
    const char *name = text_at(json_array_get(attacks, i), "name", "robust");
    char other[TITLE_SIZE];

    attack_words(attack_spec(spec, i), name, ret);
    for (size_t k = 0; k < i; k++) {
        attack_words(attack_spec(spec, k), "", other);
        if (strcmp(other, ret) == 0) {
            snprintf(ret, TITLE_SIZE, "%.100s", name);
            return;
        }
    }
}

static const json_t *row_called(const json_t *rows, const char *name)
{
    const json_t *row;
    size_t i;

    json_array_foreach(rows, i, row) if (strcmp(text_at(row, "name", ""), name) == 0) return row;
    return NULL;
}

/* What an attack's stages left standing; NULL where clean and the attack itself tell all. */
static const json_t *stages_of(const json_t *attack)
{
    const json_t *stages = json_object_get(attack, "stages");

    return json_array_size(stages) > 2 ? stages : NULL;
}

static void print_warnings(const json_t *attack, const char *whose)
{
    const json_t *warning;
    size_t i;

    json_array_foreach(json_object_get(attack, "warnings"), i, warning)
        printf(INDENT "warning%s%s: %s\n", *whose ? " of " : "", whose, json_string_value(warning));
}

/* ---- one by itself ---- */

static void print_measurement(const char *indent, const char *name, const json_t *row)
{
    const json_t *worst = json_object_get(row, "worst_case_accuracy");
    char accuracy[16], loss[32], worst_case[16] = "";

    print_percent(accuracy, json_object_get(row, "accuracy"));
    print_number(loss, json_object_get(row, "loss"));
    if (json_is_number(worst))
        print_percent(worst_case, worst);
    printf("%s%-*s %10s  %11s  %11s\n", indent, 24 - (int)strlen(indent), name, accuracy, worst_case, loss);
}

static void print_attack(const json_t *attack)
{
    const json_t *stage;
    size_t i;

    print_measurement("", text_at(attack, "name", "attack"), attack);
    json_array_foreach(stages_of(attack), i, stage) print_measurement(INDENT, text_at(stage, "name", "-"), stage);
    print_warnings(attack, "");
}

static void print_alone(const json_t *result)
{
    const json_t *attack;
    size_t i;

    printf("%-24s %10s  %11s  %11s\n", "examples", "accuracy", "worst case", "loss");
    print_measurement("", "clean", json_object_get(result, "clean"));
    json_array_foreach(json_object_get(result, "attacks"), i, attack) print_attack(attack);
}

/* ---- two beside each other ---- */

static void print_head(const struct sides *sides, const char *what, const char *more)
{
    if (sides->before)
        printf("%-*s %10s  %10s  %8s%s\n", sides->width, what, sides->left, sides->right, "change", more);
    else
        printf("%-*s %10s%s\n", sides->width, what, sides->right, more);
}

/* Without an end of line. */
static void print_pair(const struct sides *sides, const char *name, const json_t *before, const json_t *after)
{
    char left[16], right[16], change[16] = "-";

    print_percent(left, before);
    print_percent(right, after);
    if (json_is_number(before) && json_is_number(after))
        snprintf(change, sizeof(change), "%+.2f",
                 points_between(json_number_value(before), json_number_value(after), PERCENT_PLACES));
    if (sides->before)
        printf("%-*s %10s  %10s  %8s", sides->width, name, left, right, change);
    else
        printf("%-*s %10s", sides->width, name, right);
}

static void print_pair_line(const struct sides *sides, const char *name, const char *member, const json_t *before,
                            const json_t *after)
{
    print_pair(sides, name, json_object_get(before, member), json_object_get(after, member));
    putchar('\n');
}

static void print_attack_pair(const struct sides *sides, size_t i)
{
    const json_t *attacks = json_object_get(sides->after, "attacks"), *after = json_array_get(attacks, i), *stage;
    const json_t *before = json_array_get(json_object_get(sides->before, "attacks"), i);
    char title[TITLE_SIZE], row[TITLE_SIZE + 16];
    size_t k;

    attack_title(sides->spec, attacks, i, title);
    snprintf(row, sizeof(row), "%s accuracy", title);
    print_pair_line(sides, row, "accuracy", before, after);
    if (has_restarts(attack_spec(sides->spec, i))) /* counts a point only when it is right under all */
        print_pair_line(sides, INDENT "worst case", "worst_case_accuracy", before, after);
    json_array_foreach(stages_of(after), k, stage)
    {
        snprintf(row, sizeof(row), INDENT "%.100s", text_at(stage, "name", "-"));
        print_pair_line(sides, row, "accuracy", row_called(stages_of(before), text_at(stage, "name", "")), stage);
    }
    print_warnings(before, sides->left);
    print_warnings(after, sides->right);
}

static void print_both(struct sides *sides)
{
    const json_t *attacks = json_object_get(sides->after, "attacks");
    const json_t *corrupted = json_object_get(sides->after, "corruptions");
    char title[TITLE_SIZE];

    for (size_t i = 0; i < json_array_size(attacks); i++) {
        attack_title(sides->spec, attacks, i, title);
        int length = (int)(strlen(title) + strlen(" accuracy"));
        sides->width = length > sides->width ? length : sides->width;
    }
    print_head(sides, "", "");
    print_pair_line(sides, "clean accuracy", "accuracy", json_object_get(sides->before, "clean"),
                    json_object_get(sides->after, "clean"));
    if (json_is_number(json_object_get(corrupted, "corruption_accuracy")))
        print_pair_line(sides, "corruption accuracy", "corruption_accuracy",
                        json_object_get(sides->before, "corruptions"), corrupted);
    for (size_t i = 0; i < json_array_size(attacks); i++)
        print_attack_pair(sides, i);
}

/* Every corruption with its severities, the groups, the mean. */
static void print_corruptions(struct sides sides)
{
    const json_t *after = json_object_get(sides.after, "corruptions"), *row, *severity, *mean;
    const json_t *before = json_object_get(sides.before, "corruptions"), *rows = json_object_get(after, "corruptions");
    const char *group;
    char more[64];
    size_t i, k;

    if (!json_array_size(rows))
        return;
    sides.width = print_width(rows, "name", sides.before ? NAME_WIDTH : 24);
    snprintf(more, sizeof(more), sides.before ? "  %s by severity" : "  by severity", sides.right);
    if (!sides.before)
        sides.right = "accuracy";
    putchar('\n');
    print_head(&sides, "corruption", more);
    json_array_foreach(rows, i, row)
    {
        const json_t *old = row_called(json_object_get(before, "corruptions"), text_at(row, "name", ""));

        print_pair(&sides, text_at(row, "name", "-"), json_object_get(old, "accuracy"),
                   json_object_get(row, "accuracy"));
        putchar(' ');
        json_array_foreach(json_object_get(row, "severities"), k, severity)
            printf(" %6.2f", FULL_POINTS * json_number_value(json_object_get(severity, "accuracy")));
        putchar('\n');
    }
    json_object_foreach(json_object_get(after, "groups"), group, mean)
        print_pair_line(&sides, group, group, json_object_get(before, "groups"), json_object_get(after, "groups"));
    print_pair_line(&sides, "mean", "corruption_accuracy", before, after);
    if (json_object_get(after, "frost"))
        printf("frost is %s\n", text_at(after, "frost", ""));
}

/* ---- the points between ---- */

/* An accuracy, as wide as its title; or the title. */
static void print_cell(const char *title, bool heading, const json_t *accuracy)
{
    char text[16];
    int width = (int)strlen(title);

    print_percent(text, accuracy);
    printf("  %*s", width > 10 ? width : 10, heading ? title : text);
}

/* A line of the table, as `first` has its columns; the titles for a NULL point. */
static void print_point(const json_t *spec, const json_t *first, const json_t *point)
{
    const json_t *attacks = json_object_get(first, "attacks");
    char title[TITLE_SIZE];

    if (point)
        printf("%6.3g", json_number_value(json_object_get(point, "alpha")));
    else
        printf("%6s", "alpha");
    print_cell("clean", !point, json_object_get(json_object_get(point, "clean"), "accuracy"));
    if (json_object_get(first, "corruptions"))
        print_cell("corruption", !point, json_object_get(json_object_get(point, "corruptions"), "corruption_accuracy"));
    for (size_t i = 0; i < json_array_size(attacks); i++) {
        attack_title(spec, attacks, i, title);
        print_cell(title, !point, json_object_get(json_array_get(json_object_get(point, "attacks"), i), "accuracy"));
    }
    putchar('\n');
}

static void print_alphas(const json_t *spec, const json_t *points)
{
    const json_t *first = json_array_get(points, 0), *point;
    size_t i;

    if (!first)
        return;
    printf("\nPoints of the line, measured as well\n\n");
    print_point(spec, first, NULL);
    json_array_foreach(points, i, point) print_point(spec, first, point);
}

/* ---- a job ---- */

void print_evaluation(const json_t *job)
{
    const json_t *result = json_object_get(job, "result"), *spec = json_object_get(job, "spec");
    struct sides sides = { spec, json_object_get(result, "baseline"), result, "baseline", "model", NAME_WIDTH };

    if (sides.before)
        print_both(&sides);
    else
        print_alone(result);
    print_corruptions(sides);
    print_alphas(spec, json_object_get(result, "alphas"));
}

/* One side as an evaluate job would say it, as far as a rift job's own result goes. */
static json_t *side_make(const json_t *row)
{
    return json_pack(
        "{s:{s:O?}, s:{s:O?}, s:[{s:O?, s:O?}]}", "clean", "accuracy", json_object_get(row, "clean_accuracy"),
        "corruptions", "corruption_accuracy", json_object_get(row, "corruption_accuracy"), "attacks", "accuracy",
        json_object_get(row, "robust_accuracy"), "worst_case_accuracy", json_object_get(row, "worst_case_accuracy"));
}

/* Alpha 0 is AT itself. */
static void say_kept(const json_t *job)
{
    const json_t *spec = json_object_get(job, "spec");
    const json_t *tolerance = json_object_get(json_object_get(spec, "interpolate"), "tolerance");
    char points[64] = "";

    if (json_is_number(tolerance))
        snprintf(points, sizeof(points), " of %g points of robust accuracy",
                 FULL_POINTS * json_number_value(tolerance));
    printf("No point of the line is better on clean data within the tolerance%s, so AT's own weights are kept.\n",
           points);
}

void print_table(const json_t *job, const json_t *evaluation)
{
    const json_t *result = json_object_get(job, "result"), *alpha = json_object_get(result, "alpha");
    json_auto_t *before = side_make(json_object_get(result, "before")),
                *after = side_make(json_object_get(result, "after"));
    struct sides sides = { json_object_get(job, "spec"), before, after, "AT", "AT+RiFT", NAME_WIDTH };
    char chosen[32] = "-";

    if (json_is_object(json_object_get(evaluation, "baseline"))) {
        sides.before = json_object_get(evaluation, "baseline");
        sides.after = evaluation;
    }
    print_both(&sides);
    if (json_is_number(alpha))
        snprintf(chosen, sizeof(chosen), "%g", json_number_value(alpha));
    printf("module %s, alpha %s, chosen under the %s protocol", text_at(result, "module", "-"), chosen,
           text_at(result, "protocol", "-"));
    print_images("; measured on", result, "");
    putchar('\n');
    if (json_is_number(alpha) && json_number_value(alpha) == 0)
        say_kept(job);
    print_corruptions(sides);
    print_alphas(sides.spec, json_object_get(evaluation, "alphas"));
}
