/* What did it change?
 *
 * Accuracies before and after side by side, and how both stand it when images are
 * corrupted. An evaluate job has the numbers; a rift job that hasn't come so far
 * has none yet, and the report says so. (Of many runs: report_sweep.c.) */
#include "api/report.h"

#include <string.h>

enum { ATTACKS_TOP = 8 };

static json_t *difference(const json_t *before, const json_t *after)
{
    if (!json_is_number(before) || !json_is_number(after))
        return json_null();
    return json_real(json_number_value(after) - json_number_value(before));
}

/* ---- before and after ---- */

/* "clean", "ood", then one cell an attack, of a set of weights that was measured. */
static json_t *measured_cells(const json_t *measured)
{
    const json_t *attacks = json_object_get(measured, "attacks"), *attack;
    json_t *cells = json_array();
    size_t i;

    json_array_append_new(cells, report_value(report_at(measured, "/clean/accuracy")));
    json_array_append_new(cells, report_value(report_at(measured, "/corruptions/corruption_accuracy")));
    json_array_foreach((json_t *)attacks, i, attack) if (i < ATTACKS_TOP)
        json_array_append_new(cells, report_value(json_object_get(attack, "accuracy")));
    return cells;
}

/* A row that begins with `name`. Steals cells. */
static void measured_row(json_t *section, const char *name, json_t *cells, bool marked)
{
    json_array_insert_new(cells, 0, json_string(name));
    section_row(section, cells, marked);
}

static void change_row(json_t *section, const json_t *before, const json_t *after)
{
    json_t *cells = json_array();

    for (size_t i = 0; i < json_array_size(after); i++)
        json_array_append_new(cells, difference(json_array_get(before, i), json_array_get(after, i)));
    json_array_insert_new(cells, 0, json_string("change"));
    section_change(section, cells);
}

static void attack_columns(const json_t *section, const json_t *attacks)
{
    const json_t *attack;
    size_t i;

    json_array_foreach((json_t *)attacks, i, attack)
    {
        const char *name = json_string_value(json_object_get(attack, "name"));
        if (i < ATTACKS_TOP)
            json_array_append_new(json_object_get(section, "columns"),
                                  json_pack("{s:o, s:s, s:o}", "key", json_sprintf("robust_%zu", i + 1), "as",
                                            "percent", "head",
                                            json_sprintf(i ? "%s" : "Adv (%s)", name ? name : "attack")));
    }
}

/* The points of the line that were measured as well. */
static void points_add(json_t *section, const json_t *points)
{
    const json_t *point;
    size_t i;

    json_array_foreach((json_t *)points, i, point)
    {
        json_auto_t *name = json_sprintf("alpha %.10g", json_number_value(json_object_get(point, "alpha")));
        measured_row(section, json_string_value(name), measured_cells(point), false);
    }
}

static void evaluation_add(struct report *report)
{
    const json_t *result = report->results[JOB_EVALUATE], *baseline = json_object_get(result, "baseline");
    const char *protocol = json_string_value(report_at(report->spec, "/protocol"));
    bool rift = report->kind == JOB_RIFT;
    char method[32];

    json_t *section = section_add(report, "accuracy", rift || baseline ? "Before and after" : "Accuracy",
                                  "weights:text:Weights|clean:percent:Std|ood:percent:OOD");
    if (!result) {
        section_note(section, "The evaluation hasn't ended yet: there are no numbers to compare.");
        return;
    }
    attack_columns(section, json_object_get(result, "attacks"));
    report_method(report, method);
    json_auto_t *after_name = rift ? json_sprintf("%s+RiFT", method) : json_string("model");
    json_auto_t *before = baseline ? measured_cells(baseline) : NULL, *after = measured_cells(result);
    if (before)
        measured_row(section, rift ? method : "baseline", json_copy(before), false);
    measured_row(section, json_string_value(after_name), json_copy(after), before != NULL);
    if (before)
        change_row(section, before, after);
    points_add(section, json_object_get(result, "alphas"));
    section_note(section,
                 "Accuracy in percent, change in percentage points; Std: clean test images, OOD: corrupted ones, "
                 "Adv: attacked ones.");
    section_images(section, "Measured on", result);
    if (rift)
        section_note(section, "One run, seed %lld; module and alpha were chosen under the %s protocol.",
                     (long long)json_integer_value(json_object_get(report->spec, "seed")), protocol ? protocol : "?");
}

/* ---- corruptions ---- */

static const json_t *row_called(const json_t *rows, const char *name)
{
    const json_t *row;
    size_t i;

    json_array_foreach((json_t *)rows, i, row)
    {
        const char *its = json_string_value(json_object_get(row, "name"));
        if (its && name && !strcmp(its, name))
            return row;
    }
    return NULL;
}

static void corruption_row(json_t *section, const json_t *row, json_t *severity, const json_t *before,
                           const json_t *after)
{
    section_row(section,
                json_pack("[O?, O?, o, O?, O?, o]", json_object_get(row, "name"), json_object_get(row, "group"),
                          severity, before, after, difference(before, after)),
                false);
}

/* One row a severity, and the mean where there are several. */
static void corruption_add(json_t *section, const json_t *row, const json_t *old)
{
    const json_t *severities = json_object_get(row, "severities"), *olds = json_object_get(old, "severities"),
                 *severity;
    size_t i;

    json_array_foreach((json_t *)severities, i, severity)
        corruption_row(section, row, report_value(json_object_get(severity, "severity")),
                       json_object_get(json_array_get(olds, i), "accuracy"), json_object_get(severity, "accuracy"));
    if (json_array_size(severities) != 1)
        corruption_row(section, row, json_string("mean"), json_object_get(old, "accuracy"),
                       json_object_get(row, "accuracy"));
}

static void corruptions_add(struct report *report)
{
    const json_t *after = json_object_get(report->results[JOB_EVALUATE], "corruptions");
    const json_t *before = report_at(report->results[JOB_EVALUATE], "/baseline/corruptions"), *row;
    const char *frost = json_string_value(json_object_get(after, "frost"));
    size_t i;

    if (!json_array_size(json_object_get(after, "corruptions")))
        return;
    json_t *section = section_add(report, "corruptions", "Accuracy on corrupted images",
                                  "corruption:text:Corruption|group:text:Group|severity:text:Severity|"
                                  "before:percent:Before|after:percent:After|change:points:Change");
    json_array_foreach(json_object_get(after, "corruptions"), i, row) corruption_add(
        section, row,
        row_called(json_object_get(before, "corruptions"), json_string_value(json_object_get(row, "name"))));
    section_note(section, "Accuracy in percent by kind and severity; each kind counts the same in the mean.");
    if (frost)
        section_note(section, "frost is %s.", frost);
}

/* ---- training alone ---- */

static void training_add(struct report *report, int kind)
{
    const json_t *result = report->results[kind];
    json_t *section = section_add(report, "accuracy", "Outcome",
                                  "epochs:count:Epochs|best:count:Best epoch|clean:percent:Std|robust:percent:Adv");

    if (result)
        section_row(section,
                    json_pack("[O?, O?, O?, O?]", json_object_get(result, "epochs"),
                              json_object_get(result, "best_epoch"), json_object_get(result, "clean_accuracy"),
                              json_object_get(result, "robust_accuracy")),
                    true);
    section_note(section, result ? "Accuracy in percent, at the best epoch, on what chooses it: see the protocol."
                                 : "It hasn't ended yet.");
}

int report_accuracy(struct report *report)
{
    if (report->kind == JOB_SWEEP)
        return report_sweep(report);
    if (report->kind == JOB_TRAIN || report->kind == JOB_FINETUNE)
        training_add(report, report->kind);
    if (report->kind == JOB_RIFT || report->kind == JOB_EVALUATE) {
        evaluation_add(report);
        corruptions_add(report);
    }
    return 0;
}
