/* How do people see what riftd answers in JSON?
 *
 * Accuracies are fractions in data and percent here; MRC keeps four
 * significant digits. What is missing prints as "-", never as 0. */
#include "cli/cli.h"
#include "cli/style.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BAR_WIDTH 24
#define BAR_FROM  38 /* columns that stand before it, behind the name */

const char *text_at(const json_t *object, const char *key, const char *fallback)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : fallback;
}

const char *print_article(const char *noun)
{
    return strncmp(noun, "mrc", 3) == 0 || strchr("aeiou", *noun) ? "an" : "a"; /* "em ar see" */
}

const char *print_plural(size_t count)
{
    return count == 1 ? "" : "s";
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
        snprintf(ret, 16, "%.*f %%", PERCENT_PLACES, 100.0 * json_number_value(fraction));
    else
        strcpy(ret, "-");
}

void print_number(char ret[32], const json_t *number)
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

void print_state(const char *state, int width)
{
    style_print(stdout, style_of_state(state), state, width);
}

void print_jobs(const json_t *jobs)
{
    const json_t *job;
    size_t i;

    printf("%s%-36s  %-11s  %-9s  %-19s  %s%s\n", style_on(STYLE_TITLE), "ID", "KIND", "STATE", "CREATED (UTC)",
           "LABEL", style_off());
    json_array_foreach(jobs, i, job)
    {
        printf("%-36s  %-11s  ", text_at(job, "id", "-"), text_at(job, "kind", "-"));
        print_state(text_at(job, "state", "-"), 9);
        printf("  %-19.19s  %s\n", text_at(job, "created_at", "-"), text_at(job, "label", ""));
    }
}

static void print_steps(const json_t *steps)
{
    const json_t *step;
    size_t i;

    json_array_foreach(steps, i, step)
    {
        printf("%-14s %-11s  ", i ? "" : "steps", text_at(step, "kind", "-"));
        print_state(text_at(step, "state", "-"), 9);
        printf("  %s\n", text_at(step, "id", "-"));
    }
}

/* How each start of a worker ended; how the only one did is the job's own state. */
static void print_attempts(const json_t *job)
{
    const json_t *history = json_object_get(job, "history"), *attempt;
    int kind = job_kind_find(text_at(job, "kind", ""));
    char ran[32];
    size_t i;

    if (kind >= 0 && job_kinds[kind].parent)
        return; /* its steps have them */
    json_int_t starts = json_integer_value(json_object_get(job, "attempts"));
    printf("%-14s %" JSON_INTEGER_FORMAT "\n", "attempts", starts);
    if (starts < 2)
        return;
    json_array_foreach(history, i, attempt)
    {
        const json_t *ran_s = json_object_get(attempt, "ran_s"), *error = json_object_get(attempt, "error");
        print_duration(ran, json_is_number(ran_s) ? json_number_value(ran_s) : -1);
        printf("%-14s %" JSON_INTEGER_FORMAT "  %.19s  %-6s  %8s  %s", "",
               json_integer_value(json_object_get(attempt, "attempt")), text_at(attempt, "started_at", "-"),
               text_at(attempt, "device", "-"), ran, text_at(attempt, "how", "runs"));
        printf("%s%s\n", json_is_object(error) ? ": " : "", text_at(error, "message", ""));
    }
}

/* Of a running job, how far it is. */
static void print_progress(const json_t *job)
{
    const json_t *progress = json_object_get(job, "progress");
    double done = json_number_value(json_object_get(progress, "done"));
    double total = json_number_value(json_object_get(progress, "total"));
    double eta_s = json_number_value(json_object_get(progress, "eta_s"));
    char left[32];

    if (strcmp(text_at(job, "state", ""), "running") != 0 || !json_is_object(progress))
        return;
    printf("%-14s %s", "progress", text_at(progress, "phase", "-"));
    if (total > 0)
        printf("  %.0f %%", 100 * done / total);
    print_duration(left, eta_s);
    if (eta_s > 0)
        printf("  ETA %s", left);
    putchar('\n');
}

enum { COUNTED_MOST = 1000 }; /* the server counts no more jobs than these before one */

void print_job(const json_t *job)
{
    static const char *const texts[] = { "id",     "kind",       "state",      "label",   "parent",
                                         "device", "created_at", "started_at", "ended_at" };
    const json_t *position = json_object_get(job, "queue_position"), *error = json_object_get(job, "error"),
                 *result = json_object_get(job, "result");

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (text_at(job, texts[i], NULL)) {
            bool state = strcmp(texts[i], "state") == 0;
            printf("%-14s %s%s%s\n", texts[i], state ? style_on(style_of_state(text_at(job, "state", ""))) : "",
                   text_at(job, texts[i], NULL), state ? style_off() : "");
        }
    printf("%-14s %" JSON_INTEGER_FORMAT "\n", "priority", json_integer_value(json_object_get(job, "priority")));
    if (json_integer_value(position) > COUNTED_MOST)
        printf("%-14s behind %d or more\n", "queue_position", COUNTED_MOST);
    else if (json_is_integer(position))
        printf("%-14s %" JSON_INTEGER_FORMAT "\n", "queue_position", json_integer_value(position));
    print_attempts(job);
    if (json_is_true(json_object_get(job, "held")))
        printf("%-14s until it is released\n", "held");
    if (json_is_true(json_object_get(job, "pinned")))
        printf("%-14s kept, whatever the server's rules say\n", "pinned");
    if (text_at(job, "not_before", NULL))
        printf("%-14s until %s: %s\n", "waits", text_at(job, "not_before", ""),
               text_at(json_object_get(job, "last_failure"), "message", "-"));
    print_progress(job);
    print_steps(json_object_get(job, "steps"));
    if (json_is_object(error))
        printf("%-14s %s: %s\n", "error", text_at(error, "code", "-"), text_at(error, "message", "-"));
    if (json_is_object(result)) {
        printf("result\n");
        print_json_short(result);
    }
}

int print_width(const json_t *rows, const char *key, int least)
{
    const json_t *row;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        int length = (int)strlen(text_at(row, key, ""));
        least = length > least ? length : least;
    }
    return least;
}

static double largest_mrc(const json_t *modules)
{
    const json_t *module;
    double most = 0;
    size_t i;

    json_array_foreach(modules, i, module) most = fmax(most, json_number_value(json_object_get(module, "mrc")));
    return most;
}

/* "<- lowest", of modules or, as the search found it, of sets of a size; "" of others. */
static void module_mark(char ret[64], const json_t *module, const char *lowest, const json_t *greedy)
{
    const char *name = text_at(module, "module", "-");
    size_t size = json_array_size(json_object_get(module, "modules")), i;
    const json_t *winner;

    *ret = '\0';
    if (size == 0 && lowest && strcmp(lowest, name) == 0)
        strcpy(ret, "<- lowest");
    json_array_foreach(greedy, i, winner) if (size > 0 && strcmp(text_at(winner, "module", ""), name) == 0)
        snprintf(ret, 64, "<- lowest of %zu (greedy)", size);
}

static void print_module(const json_t *module, int width, double most, const char *mark)
{
    const json_t *mrc = json_object_get(module, "mrc"), *count = json_object_get(module, "parameters");
    char value[32], drop[16], parameters[32] = "-", bar[BAR_WIDTH + 1];
    int columns, rows, room = BAR_WIDTH;

    style_size(&columns, &rows);
    if (isatty(STDOUT_FILENO)) /* no line of a table shall wrap */
        room = columns - width - BAR_FROM;

    print_number(value, mrc);
    print_percent(drop, json_object_get(module, "robust_accuracy_drop"));
    if (json_is_integer(count))
        snprintf(parameters, sizeof(parameters), "%" JSON_INTEGER_FORMAT, json_integer_value(count));
    print_bar(bar, room < 0 ? 0 : room > BAR_WIDTH ? BAR_WIDTH : room, most > 0 ? json_number_value(mrc) / most : 0);
    bar[strspn(bar, "#")] = '\0';
    printf("%-*s %10s  %10s  %10s  %s%s%s%s%s\n", width, text_at(module, "module", "-"), value, drop, parameters, bar,
           *mark && *bar ? " " : "", *mark ? style_on(STYLE_GOOD) : "", mark, *mark ? style_off() : "");
}

void print_modules(const json_t *modules, const char *lowest, const json_t *greedy)
{
    double most = largest_mrc(modules);
    int width = print_width(modules, "module", 24);
    const json_t *module;
    char mark[64];
    size_t i;

    for (int sets = 0; sets < 2; sets++) { /* single ones first */
        bool begun = false;

        json_array_foreach(modules, i, module)
        {
            if (json_is_array(json_object_get(module, "modules")) != sets)
                continue;
            if (!begun)
                printf("%s%-*s %10s  %10s  %10s\n", sets ? "\n" : "", width, sets ? "set of modules" : "module", "MRC",
                       "acc. drop", "parameters");
            begun = true;
            module_mark(mark, module, lowest, greedy);
            print_module(module, width, most, mark);
        }
    }
}

void print_images(const char *words, const json_t *result, const char *end)
{
    const json_t *images = json_object_get(result, "images");

    if (json_is_integer(images))
        printf("%s %" JSON_INTEGER_FORMAT " %s image%s%s", words, json_integer_value(images),
               text_at(result, "split", ""), print_plural((size_t)json_integer_value(images)), end);
}

void print_interpolation(const json_t *answer)
{
    const json_t *points = json_object_get(answer, "points"), *chosen = json_object_get(answer, "chosen_alpha"), *point;
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
        printf("%6.3g  %10s  %10s  %11s  %11s%s%s%s\n", json_number_value(alpha), clean, robust, clean_loss,
               robust_loss, is_chosen ? style_on(STYLE_GOOD) : "", is_chosen ? "  <- chosen" : "",
               is_chosen ? style_off() : "");
    }
    print_images("on", answer, "\n");
}
