/* How did the method come to its choice?
 *
 * The criticality of each module (the paper's Figure 3), the walk between the two
 * sets of weights (Figure 1), and the curves of whatever was trained. Rows come
 * from what was ingested so far, so a running job shows what it has. */
#include "api/report.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CURVE_POINTS 200

static bool has_part(const struct report *report, int kind)
{
    return *report->parts[kind].id;
}

/* A rift job always has these sections; others only when they are of that kind. */
static bool is_wanted(const struct report *report, int kind)
{
    return report->kind == kind || report->kind == JOB_RIFT;
}

static bool holds(const json_t *list, const json_t *value)
{
    const json_t *item;
    size_t i;

    json_array_foreach((json_t *)list, i, item) if (json_equal(item, value)) return true;
    return false;
}

/* ---- criticality ---- */

static void module_rows(const struct report *report, json_t *section, const json_t *rows)
{
    const json_t *chosen = json_object_get(report->results[JOB_FINETUNE], "modules"), *row;
    const json_t *lowest = json_object_get(report->results[JOB_MRC], "lowest");
    size_t i;

    json_array_foreach((json_t *)rows, i, row)
    {
        const json_t *name = json_object_get(row, "module");
        bool marked = json_array_size(chosen) ? holds(chosen, name) : lowest && json_equal(lowest, name);
        const char *word = !marked ? "" : json_array_size(chosen) ? "fine-tuned" : "lowest";

        if (json_object_get(row, "modules")) /* a set; its members have their own rows */
            continue;
        if (json_is_true(json_object_get(row, "non_finite")))
            word = *word ? "not finite, chosen" : "not finite";
        section_row(section,
                    json_pack("[O?, O?, O?, O?, s]", name, json_object_get(row, "mrc"),
                              json_object_get(row, "robust_accuracy_drop"), json_object_get(row, "parameters"), word),
                    marked);
    }
}

static int modules_add(struct report *report)
{
    const json_t *epsilon = report_at(report->spec, "/mrc/epsilon");
    json_t *found = NULL;
    int r;

    if (!is_wanted(report, JOB_MRC))
        return 0;
    json_t *section = section_add(report, "modules", "Module Robust Criticality",
                                  "module:mono:Module|mrc:number:MRC|drop:lost:Robust acc. drop|"
                                  "parameters:count:Parameters|note:text:");
    if (!has_part(report, JOB_MRC)) {
        section_note(section, "No criticality was measured for this job.");
        return 0;
    }
    r = rows_read(report->request->config->db, report->parts[JOB_MRC].id, ROW_MODULE, &found);
    if (r < 0)
        return r;
    json_auto_t *rows = found;
    module_rows(report, section, rows);
    if (!json_array_size(rows))
        section_note(section, "Nothing was measured yet.");
    else
        section_note(section,
                     "In network order. MRC: how much the robust loss rises when the module's weights move by up "
                     "to %g of their norm; the drop is what robust accuracy loses there, in percentage points.",
                     json_is_number(epsilon) ? json_number_value(epsilon) : NAN);
    return 0;
}

/* ---- interpolation ---- */

static int interpolation_add(struct report *report)
{
    const json_t *tolerance = report_at(report->spec, "/interpolate/tolerance");
    const json_t *chosen = json_object_get(report->results[JOB_INTERPOLATE], "chosen_alpha"), *point;
    json_t *found = NULL;
    size_t i;

    if (!is_wanted(report, JOB_INTERPOLATE))
        return 0;
    json_t *section = section_add(report, "interpolation", "Interpolation",
                                  "alpha:number:alpha|clean:percent:Std|robust:percent:Adv|change:since:Adv change|"
                                  "note:text:");
    if (!has_part(report, JOB_INTERPOLATE)) {
        section_note(section, "Nothing was interpolated.");
        return 0;
    }
    int r = rows_read(report->request->config->db, report->parts[JOB_INTERPOLATE].id, ROW_ALPHA, &found);
    if (r < 0)
        return r;
    json_auto_t *points = found;
    double allowed = json_is_number(tolerance) ? json_number_value(tolerance) : 0;
    const json_t *start = json_object_get(json_array_get(points, 0), "robust_accuracy");
    json_object_set_new(section, "tolerance", json_real(allowed));
    json_array_foreach(points, i, point)
    {
        const json_t *alpha = json_object_get(point, "alpha"), *robust = json_object_get(point, "robust_accuracy");
        double change = json_number_value(robust) - json_number_value(start);
        bool marked = json_is_number(chosen) && json_number_value(alpha) == json_number_value(chosen);

        section_row(section,
                    json_pack("[O?, O?, O?, o, s]", alpha, json_object_get(point, "clean_accuracy"), robust,
                              json_real(change),
                              marked                      ? "chosen"
                              : change < -allowed - 1e-12 ? "not allowed"
                                                          : ""),
                    marked);
    }
    if (!json_array_size(points))
        section_note(section, "Nothing was measured yet.");
    else
        section_note(section,
                     "From the trained weights (alpha 0) to the fine-tuned ones (alpha 1), on what chooses alpha: "
                     "the best clean accuracy among points that lose at most %.4g percentage points of robust "
                     "accuracy.",
                     100 * allowed);
    section_images(section, "Measured on", report->results[JOB_INTERPOLATE]);
    return 0;
}

/* ---- curves ---- */

static json_t *series_json(const char *name, const struct db_point *points, int count)
{
    json_t *x = json_array(), *y = json_array();

    for (int i = 0; i < count; i++) {
        if (!isfinite(points[i].value))
            continue;
        json_array_append_new(x, json_real(isfinite(points[i].epoch) ? points[i].epoch : (double)points[i].step));
        json_array_append_new(y, json_real(points[i].value));
    }
    return json_pack("{s:s, s:o, s:o}", "name", name, "x", x, "y", y);
}

static int curve_add(struct report *report, json_t *section, const char *kind, const char *job,
                     const struct db_series *series)
{
    struct db_point *points = NULL;
    int count = db_point_list(report->request->config->db, job, series->name, -1, CURVE_POINTS, &points);

    if (count < 0 && count != -ENOENT)
        return count;
    json_t *curve = series_json(series->name, points, count > 0 ? count : 0);
    free(points);
    json_object_set_new(curve, "kind", json_string(kind));
    json_array_append_new(json_object_get(section, "curves"), curve);
    section_row(section,
                json_pack("[s, s, I, o, o, o]", kind, series->name, (json_int_t)series->count, number_json(series->min),
                          number_json(series->max), number_json(series->last)),
                false);
    return 0;
}

static int curves_of(struct report *report, json_t *section, int kind)
{
    struct db_series *series = NULL;
    const struct db_job *job = &report->parts[kind];
    int count = has_part(report, kind) ? db_series_list(report->request->config->db, job->id, &series) : 0, r = 0;

    for (int i = 0; i < count && r >= 0; i++)
        r = curve_add(report, section, job->kind, job->id, &series[i]);
    free(series);
    return count < 0 ? count : r;
}

static int curves_add(struct report *report)
{
    if (!is_wanted(report, JOB_TRAIN) && !is_wanted(report, JOB_FINETUNE))
        return 0;
    json_t *section = section_add(report, "curves", "Training",
                                  "step:text:Step|curve:mono:Curve|points:count:Points|min:number:Least|"
                                  "max:number:Most|last:number:Last");
    json_object_set_new(section, "curves", json_array());
    int r = curves_of(report, section, JOB_TRAIN);
    if (r >= 0)
        r = curves_of(report, section, JOB_FINETUNE);
    if (!json_array_size(json_object_get(section, "rows")))
        section_note(section, "Nothing was measured yet.");
    return r;
}

int report_method_parts(struct report *report)
{
    int r = modules_add(report);

    if (r >= 0)
        r = interpolation_add(report);
    return r < 0 ? r : curves_add(report);
}
