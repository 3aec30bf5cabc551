/* How do people see what riftd answers in JSON?
 *
 * Accuracies are fractions in data and percent here; MRC keeps four
 * significant digits. What is missing prints as "-", never as 0. */
#include "cli/cli.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define BAR_WIDTH 24

const char *text_at(const json_t *object, const char *key, const char *fallback)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : fallback;
}

void print_json(const json_t *json)
{
    json_dumpf(json, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
    putchar('\n');
}

void print_json_short(const json_t *json)
{
    json_dumpf(json, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    putchar('\n');
}

void print_percent(char ret[16], const json_t *fraction)
{
    if (json_is_number(fraction))
        snprintf(ret, 16, "%.2f %%", 100.0 * json_number_value(fraction));
    else
        strcpy(ret, "-");
}

/* Four significant digits, zeros kept. */
static void print_number(char ret[32], const json_t *number)
{
    if (json_is_number(number))
        snprintf(ret, 32, "%#.4g", json_number_value(number));
    else
        strcpy(ret, "-");
}

void print_duration(char ret[32], double seconds)
{
    if (!(seconds >= 0 && seconds < 1e9)) {
        strcpy(ret, "-");
        return;
    }
    long whole = lround(seconds);
    if (whole >= 3600)
        snprintf(ret, 32, "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
    else
        snprintf(ret, 32, "%ld:%02ld", whole / 60, whole % 60);
}

void print_bar(char *ret, int width, double part)
{
    int full = part >= 1 ? width : part > 0 ? (int)(part * width) : 0;

    memset(ret, '#', (size_t)full);
    memset(ret + full, '.', (size_t)(width - full));
    ret[width] = '\0';
}

void print_jobs(const json_t *jobs)
{
    const json_t *job;
    size_t i;

    printf("%-36s  %-11s  %-9s  %-19s  %s\n", "ID", "KIND", "STATE", "CREATED (UTC)", "LABEL");
    json_array_foreach(jobs, i, job)
        printf("%-36s  %-11s  %-9s  %-19.19s  %s\n", text_at(job, "id", "-"), text_at(job, "kind", "-"),
               text_at(job, "state", "-"), text_at(job, "created_at", "-"), text_at(job, "label", ""));
}

static void print_steps(const json_t *steps)
{
    const json_t *step;
    size_t i;

    json_array_foreach(steps, i, step) printf("%-10s %-11s  %-9s  %s\n", i ? "" : "steps", text_at(step, "kind", "-"),
                                              text_at(step, "state", "-"), text_at(step, "id", "-"));
}

void print_job(const json_t *job)
{
    static const char *const texts[] = { "id",     "kind",       "state",      "label",   "parent",
                                         "device", "created_at", "started_at", "ended_at" };
    static const char *const numbers[] = { "priority", "queue_position", "attempts" };
    const json_t *error = json_object_get(job, "error"), *result = json_object_get(job, "result");

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (text_at(job, texts[i], NULL))
            printf("%-14s %s\n", texts[i], text_at(job, texts[i], NULL));
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (json_is_integer(json_object_get(job, numbers[i])))
            printf("%-14s %" JSON_INTEGER_FORMAT "\n", numbers[i],
                   json_integer_value(json_object_get(job, numbers[i])));
    print_steps(json_object_get(job, "steps"));
    if (json_is_object(error))
        printf("%-14s %s: %s\n", "error", text_at(error, "code", "-"), text_at(error, "message", "-"));
    if (json_is_object(result)) {
        printf("result\n");
        print_json_short(result);
    }
}

static double largest_mrc(const json_t *modules)
{
    const json_t *module;
    double most = 0;
    size_t i;

    json_array_foreach(modules, i, module) most = fmax(most, json_number_value(json_object_get(module, "mrc")));
    return most;
}

void print_modules(const json_t *modules, const char *lowest)
{
    double most = largest_mrc(modules);
    const json_t *module;
    size_t i;

    printf("%-24s %10s  %10s  %10s\n", "module", "MRC", "acc. drop", "parameters");
    json_array_foreach(modules, i, module)
    {
        const char *name = text_at(module, "module", "-");
        const json_t *mrc = json_object_get(module, "mrc"), *count = json_object_get(module, "parameters");
        char value[32], drop[16], parameters[32] = "-", bar[BAR_WIDTH + 1];

        print_number(value, mrc);
        print_percent(drop, json_object_get(module, "robust_accuracy_drop"));
        if (json_is_integer(count))
            snprintf(parameters, sizeof(parameters), "%" JSON_INTEGER_FORMAT, json_integer_value(count));
        print_bar(bar, BAR_WIDTH, most > 0 ? json_number_value(mrc) / most : 0);
        bar[strspn(bar, "#")] = '\0';
        bool is_lowest = lowest && strcmp(lowest, name) == 0;
        printf("%-24s %10s  %10s  %10s  %s%s%s\n", name, value, drop, parameters, bar, is_lowest && *bar ? " " : "",
               is_lowest ? "<- lowest" : "");
    }
}

void print_interpolation(const json_t *points, const json_t *chosen)
{
    const json_t *point;
    size_t i;

    printf("%6s  %10s  %10s  %11s  %11s\n", "alpha", "clean", "robust", "clean loss", "robust loss");
    json_array_foreach(points, i, point)
    {
        const json_t *alpha = json_object_get(point, "alpha");
        bool is_chosen = json_is_number(chosen) && fabs(json_number_value(chosen) - json_number_value(alpha)) < 1e-9;
        char clean[16], robust[16], clean_loss[32], robust_loss[32];

        print_percent(clean, json_object_get(point, "clean_accuracy"));
        print_percent(robust, json_object_get(point, "robust_accuracy"));
        print_number(clean_loss, json_object_get(point, "clean_loss"));
        print_number(robust_loss, json_object_get(point, "robust_loss"));
        printf("%6.3g  %10s  %10s  %11s  %11s%s\n", json_number_value(alpha), clean, robust, clean_loss, robust_loss,
               is_chosen ? "  <- chosen" : "");
    }
}

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

/* An attack with stages: what stood after each. */
static void print_attack(const json_t *attack)
{
    const json_t *stage, *warning;
    size_t i;

    print_measurement("", text_at(attack, "name", "attack"), attack);
    json_array_foreach(json_object_get(attack, "stages"), i,
                       stage) if (json_array_size(json_object_get(attack, "stages")) >
                                  2) /* clean and the attack itself are told already */
        print_measurement("  ", text_at(stage, "name", "-"), stage);
    json_array_foreach(json_object_get(attack, "warnings"), i, warning)
        printf("  warning: %s\n", json_string_value(warning));
}

/* Every corruption with its severities, the groups, the mean. */
static void print_corruptions(const json_t *result)
{
    const json_t *row, *severity, *mean;
    const char *group;
    char accuracy[16];
    size_t i, k;

    if (!json_is_object(result))
        return;
    printf("\n%-24s %10s  by severity\n", "corruption", "accuracy");
    json_array_foreach(json_object_get(result, "corruptions"), i, row)
    {
        print_percent(accuracy, json_object_get(row, "accuracy"));
        printf("%-24s %10s ", text_at(row, "name", "-"), accuracy);
        json_array_foreach(json_object_get(row, "severities"), k, severity)
            printf(" %6.2f", 100 * json_number_value(json_object_get(severity, "accuracy")));
        putchar('\n');
    }
    json_object_foreach(json_object_get(result, "groups"), group, mean)
    {
        print_percent(accuracy, mean);
        printf("%-24s %10s\n", group, accuracy);
    }
    print_percent(accuracy, json_object_get(result, "corruption_accuracy"));
    printf("%-24s %10s\n", "mean", accuracy);
}

void print_evaluation(const json_t *result)
{
    const json_t *attack;
    size_t i;

    printf("%-24s %10s  %11s  %11s\n", "examples", "accuracy", "worst case", "loss");
    print_measurement("", "clean", json_object_get(result, "clean"));
    json_array_foreach(json_object_get(result, "attacks"), i, attack) print_attack(attack);
    print_corruptions(json_object_get(result, "corruptions"));
}

/* ---- before and after ---- */

/* "PGD-10" from the spec's first attack, so that the row says what it is. */
static void attack_name(const json_t *job, char ret[64])
{
    const json_t *spec = json_object_get(job, "spec");
    const json_t *attack = json_array_get(json_object_get(json_object_get(spec, "evaluate"), "attacks"), 0);

    if (!json_is_object(attack))
        attack = json_object_get(spec, "attack");
    if (!json_is_object(attack)) {
        strcpy(ret, "robust");
        return;
    }
    if (strcmp(text_at(attack, "type", "pgd"), "pgd") != 0) {
        snprintf(ret, 64, "%.60s", text_at(attack, "name", "robust"));
        return;
    }
    json_int_t restarts = json_integer_value(json_object_get(attack, "restarts"));
    snprintf(ret, 64, "PGD-%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(attack, "steps")));
    if (restarts > 1)
        snprintf(ret + strlen(ret), 64 - strlen(ret), " x%" JSON_INTEGER_FORMAT, restarts);
}

static void print_row(const char *name, const json_t *before, const json_t *after)
{
    char left[16], right[16], change[16] = "-";

    print_percent(left, before);
    print_percent(right, after);
    if (json_is_number(before) && json_is_number(after))
        snprintf(change, sizeof(change), "%+.2f", 100.0 * (json_number_value(after) - json_number_value(before)));
    printf("%-20s %10s  %10s  %8s\n", name, left, right, change);
}

void print_table(const json_t *job)
{
    const json_t *result = json_object_get(job, "result");
    const json_t *before = json_object_get(result, "before"), *after = json_object_get(result, "after");
    const json_t *alpha = json_object_get(result, "alpha");
    char attack[64], row[80], chosen[32] = "-";

    attack_name(job, attack);
    snprintf(row, sizeof(row), "%s accuracy", attack);
    printf("%-20s %10s  %10s  %8s\n", "", "AT", "AT+RiFT", "change");
    print_row("clean accuracy", json_object_get(before, "clean_accuracy"), json_object_get(after, "clean_accuracy"));
    if (json_is_number(json_object_get(after, "corruption_accuracy")))
        print_row("corruption accuracy", json_object_get(before, "corruption_accuracy"),
                  json_object_get(after, "corruption_accuracy"));
    print_row(row, json_object_get(before, "robust_accuracy"), json_object_get(after, "robust_accuracy"));
    if (strstr(attack, " x")) /* of several runs: the number that counts a point only when it is right under all */
        print_row("worst case", json_object_get(before, "worst_case_accuracy"),
                  json_object_get(after, "worst_case_accuracy"));
    if (json_is_number(alpha))
        snprintf(chosen, sizeof(chosen), "%g", json_number_value(alpha));
    printf("module %s, alpha %s, chosen under the %s protocol\n", text_at(result, "module", "-"), chosen,
           text_at(result, "protocol", "-"));
    if (json_is_number(alpha) && json_number_value(alpha) == 0)
        printf("No point of the line kept robustness within the tolerance and had better clean accuracy, so AT's own "
               "weights are kept.\n");
}
