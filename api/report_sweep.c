/* What did the runs of a sweep change, on average?
 *
 * job/table.c's table of what they say now, as a section of a report: means and
 * sample standard deviations before, after and of the difference. */
#include "api/report.h"

#include <errno.h>
#include <stdlib.h>

static void mean_cells(json_t *cells, const json_t *numbers)
{
    static const char *const keys[] = { "clean_accuracy", "corruption_accuracy", "robust_accuracy" };

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const json_t *number = json_object_get(numbers, keys[i]);
        json_array_append_new(cells, report_value(json_object_get(number, "mean")));
        json_array_append_new(cells, report_value(json_object_get(number, "std")));
    }
}

/* "lowest", {"top":3} */
static json_t *choice_words(const json_t *choice)
{
    if (json_is_string(choice))
        return json_incref((json_t *)choice);
    char *text = spec_text(choice, JSON_COMPACT | JSON_ENCODE_ANY);
    json_t *words = json_string(text ? text : "?");
    free(text);
    return words;
}

static void sweep_rows(json_t *section, const json_t *table)
{
    static const char *const sides[] = { "before", "after", "gain" };
    const json_t *row;
    char method[32];
    size_t i;

    json_array_foreach(json_object_get(table, "rows"), i, row)
    {
        report_capitals(json_string_value(json_object_get(row, "method")), method);
        json_auto_t *choice = choice_words(json_object_get(row, "modules"));
        for (size_t s = 0; s < sizeof(sides) / sizeof(sides[0]); s++) {
            json_t *cells = json_pack("[s, O, s, O?]", method, choice, sides[s], json_object_get(row, "n"));
            mean_cells(cells, json_object_get(row, sides[s]));
            if (s == 2)
                section_change(section, cells);
            else
                section_row(section, cells, s == 1);
        }
    }
}

/* Module and alpha of every run that has come so far. */
static void chosen_rows(struct report *report, const json_t *table)
{
    const json_t *rows = json_object_get(table, "rows"), *row, *run;
    json_t *section = NULL;
    char method[32];
    size_t i, k;

    json_array_foreach(rows, i, row)
    {
        report_capitals(json_string_value(json_object_get(row, "method")), method);
        json_auto_t *choice = choice_words(json_object_get(row, "modules"));
        json_array_foreach(json_object_get(row, "chosen"), k, run)
        {
            if (!section)
                section = section_add(report, "chosen", "What each run chose",
                                      "method:text:Method|modules:text:Modules|seed:count:Seed|module:text:Module|"
                                      "alpha:number:Alpha|id:mono:Job");
            section_row(section,
                        json_pack("[s, O, O?, o, O?, O?]", method, choice, json_object_get(run, "seed"),
                                  report_joined(json_object_get(run, "modules")), json_object_get(run, "alpha"),
                                  json_object_get(run, "job")),
                        false);
        }
    }
}

/* job/table.c's table of the runs. */
static int runs_table(const struct report *report, json_t **ret, struct fault *why)
{
    struct table_run *runs = calloc((size_t)report->step_count + 1, sizeof(*runs));

    if (!runs)
        return -ENOMEM;
    for (int i = 0; i < report->step_count; i++)
        runs[i] = (struct table_run){ report->steps[i].id, job_state_names[report->steps[i].state],
                                      text_json(report->steps[i].spec), text_json(report->steps[i].result) };
    int r = table_make(runs, report->step_count, NULL, ret, why);
    for (int i = 0; i < report->step_count; i++) {
        json_decref((json_t *)runs[i].spec);
        json_decref((json_t *)runs[i].result);
    }
    free(runs);
    return r;
}

/* What can't be averaged has no table; its runs are listed all the same. */
int report_sweep(struct report *report)
{
    struct fault why = { 0 };
    json_t *made = NULL;

    json_t *section = section_add(report, "accuracy", "Before and after, averaged over seeds",
                                  "method:text:Method|modules:text:Modules|weights:text:Weights|n:count:n|"
                                  "clean:percent:Std|clean_std:percent:±|ood:percent:OOD|ood_std:percent:±|"
                                  "robust:percent:Adv|robust_std:percent:±");
    int r = runs_table(report, &made, &why);
    json_auto_t *table = made;
    if (r == -EINVAL)
        section_note(section, "%s", why.message);
    if (r < 0)
        return r == -EINVAL ? 0 : r;
    sweep_rows(section, table);
    const char *attack = table_attack(table);
    section_note(section, "Accuracy in percent, mean and sample standard deviation over n seeds; protocol %s%s%s.",
                 json_string_value(report_at(report->spec, "/protocol")), *attack ? "; Adv: " : "", attack);
    section_images(section, "Measured on", table);
    size_t missing = json_array_size(json_object_get(table, "missing"));
    if (missing)
        section_note(section, "%zu of %d runs are missing.", missing, report->step_count);
    chosen_rows(report, table);
    return 0;
}
