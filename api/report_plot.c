/* How are lines drawn without a program that draws?
 *
 * A plot is a rectangle in an SVG with nice ticks on both axes; series are paths in
 * it. The walk between the weights is three of them: clean and robust accuracy
 * against alpha, each with a scale of its own, since the tolerance is a tenth of a
 * point; and one against the other, the paper's Figure 1. */
#include "api/report.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { TICKS_TOP = 12, SERIES_TOP = 4, LEFT = 52, BOTTOM = 36, TOP = 28, LEGEND = 20, PANEL_HEIGHT = 236 };

struct range {
    double min, max, step; /* of ticks */
};

struct plot {
    FILE *out;
    double x, y, width, height; /* of the inner rectangle */
    struct range across, up;
    bool percent; /* up holds fractions */
};

static void range_see(struct range *range, double value)
{
    if (!isfinite(value))
        return;
    range->min = fmin(range->min, value);
    range->max = fmax(range->max, value);
}

/* Ticks of 1, 2 or 5 times a power of ten; `widen`: the range ends at ticks. */
static void range_round(struct range *range, int ticks, bool widen)
{
    static const double nice[] = { 1, 2, 5, 10 };

    if (range->min > range->max)
        *range = (struct range){ 0, 1, 1 };
    double span = range->max - range->min;
    if (span < 1e-9 * fmax(1, fabs(range->max))) {
        range->min -= fmax(fabs(range->min) * 0.05, 1e-3);
        range->max += fmax(fabs(range->max) * 0.05, 1e-3);
        span = range->max - range->min;
    }
    double power = pow(10, floor(log10(span / ticks)));
    for (size_t i = 0; i < sizeof(nice) / sizeof(nice[0]); i++) {
        range->step = nice[i] * power;
        if (span / range->step <= ticks)
            break;
    }
    if (widen) {
        range->min = floor(range->min / range->step + 1e-9) * range->step;
        range->max = ceil(range->max / range->step - 1e-9) * range->step;
    }
}

static double across(const struct plot *plot, double value)
{
    return plot->x + plot->width * (value - plot->across.min) / (plot->across.max - plot->across.min);
}

static double up(const struct plot *plot, double value)
{
    return plot->y + plot->height * (plot->up.max - value) / (plot->up.max - plot->up.min);
}

/* As many decimals as the ticks are apart. */
static void tick_write(FILE *out, double value, double step, bool percent)
{
    double scale = percent ? 100 : 1;
    int decimals = (int)fmax(0, -floor(log10(step * scale) + 1e-9));

    fprintf(out, "%.*f", decimals > 6 ? 6 : decimals, fabs(value) < step / 1e6 ? 0 : scale * value);
}

static void ticks_draw(const struct plot *plot, bool x_percent)
{
    const struct range *x = &plot->across, *y = &plot->up;

    for (double v = ceil(y->min / y->step - 1e-9) * y->step; v <= y->max + y->step / 1e6; v += y->step) {
        fprintf(plot->out,
                "<path class=\"grid\" d=\"M%.1f %.1fh%.1f\"/><text class=\"soft end\" x=\"%.1f\" y=\"%.1f\">", plot->x,
                up(plot, v), plot->width, plot->x - 6, up(plot, v) + 4);
        tick_write(plot->out, v, y->step, plot->percent);
        fputs("</text>", plot->out);
    }
    for (double v = ceil(x->min / x->step - 1e-9) * x->step; v <= x->max + x->step / 1e6; v += x->step) {
        fprintf(plot->out,
                "<path class=\"axis\" d=\"M%.1f %.1fv4\"/><text class=\"soft middle\" x=\"%.1f\" y=\"%.1f\">",
                across(plot, v), plot->y + plot->height, across(plot, v), plot->y + plot->height + 16);
        tick_write(plot->out, v, x->step, x_percent);
        fputs("</text>", plot->out);
    }
    fprintf(plot->out, "<path class=\"axis\" d=\"M%.1f %.1fh%.1f\"/>\n", plot->x, plot->y + plot->height, plot->width);
}

static void titles_draw(const struct plot *plot, const char *title, const char *below, double above)
{
    fprintf(plot->out, "<text class=\"head\" x=\"%.1f\" y=\"%.1f\">", plot->x - LEFT + 10, plot->y - 12 - above);
    html_put(plot->out, title);
    fprintf(plot->out, "</text><text class=\"soft middle\" x=\"%.1f\" y=\"%.1f\">", plot->x + plot->width / 2,
            plot->y + plot->height + 32);
    html_put(plot->out, below);
    fputs("</text>\n", plot->out);
}

/* Points of two lists as a line of series `s`, with dots where they are few. */
static void line_draw(const struct plot *plot, const json_t *x, const json_t *y, int s)
{
    size_t count = json_array_size(x);

    fprintf(plot->out, "<path class=\"line s%d\" d=\"", s);
    for (size_t i = 0; i < count; i++)
        fprintf(plot->out, "%c%.1f %.1f", i ? 'L' : 'M', across(plot, json_number_value(json_array_get(x, i))),
                up(plot, json_number_value(json_array_get(y, i))));
    fputs("\"/>", plot->out);
    for (size_t i = 0; i < count && count <= 30; i++)
        fprintf(plot->out, "<circle class=\"dot s%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\"/>", s,
                across(plot, json_number_value(json_array_get(x, i))),
                up(plot, json_number_value(json_array_get(y, i))));
    fputc('\n', plot->out);
}

static void ring_draw(const struct plot *plot, double x, double y, int s)
{
    fprintf(plot->out, "<circle class=\"chosen s%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"5.5\"/>\n", s, across(plot, x),
            up(plot, y));
}

static json_t *column_of(const json_t *section, size_t column)
{
    json_t *list = json_array(), *row;
    size_t i;

    json_array_foreach(json_object_get(section, "rows"), i, row)
        json_array_append_new(list, json_real(json_number_value(json_array_get(row, column))));
    return list;
}

static struct range range_of(const json_t *list)
{
    struct range range = { DBL_MAX, -DBL_MAX, 1 };
    const json_t *value;
    size_t i;

    json_array_foreach((json_t *)list, i, value) range_see(&range, json_number_value(value));
    return range;
}

/* ---- the walk ---- */

static void panel_place(struct plot *plot, int place, int of)
{
    double share = 912.0 / of;

    plot->x = place * share + LEFT;
    plot->y = TOP;
    plot->width = share - LEFT - 14;
    plot->height = PANEL_HEIGHT - TOP - BOTTOM;
}

/* What alpha may cost, below the robust accuracy at alpha 0. */
static void band_draw(const struct plot *plot, double start, double tolerance)
{
    double top = up(plot, start), bottom = up(plot, start - tolerance);

    fprintf(plot->out,
            "<rect class=\"band\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>"
            "<path class=\"floor\" d=\"M%.1f %.1fh%.1f\"/>\n",
            plot->x, top, plot->width, fmax(bottom - top, 1), plot->x, bottom, plot->width);
}

struct walk {
    json_t *alphas, *clean, *robust;
    double start, tolerance;
    long long chosen; /* row, or -1 */
};

/* `y` against `x`; across_percent: x is an accuracy too. */
static void walk_panel(struct plot *plot, const struct walk *walk, const json_t *x, const json_t *y, int s, bool band,
                       bool across_percent)
{
    plot->across = range_of(x);
    plot->up = range_of(y);
    plot->percent = true;
    if (band)
        range_see(&plot->up, walk->start - walk->tolerance);
    range_round(&plot->across, 5, across_percent);
    range_round(&plot->up, 6, true);
    ticks_draw(plot, across_percent);
    if (band)
        band_draw(plot, walk->start, walk->tolerance);
    line_draw(plot, x, y, s);
    if (walk->chosen >= 0)
        ring_draw(plot, json_number_value(json_array_get(x, (size_t)walk->chosen)),
                  json_number_value(json_array_get(y, (size_t)walk->chosen)), s);
}

void figure_interpolation(FILE *out, const json_t *section)
{
    const json_t *mark = json_array_get(json_object_get(section, "marked"), 0);
    struct walk walk = { column_of(section, 0),
                         column_of(section, 1),
                         column_of(section, 2),
                         0,
                         json_number_value(json_object_get(section, "tolerance")),
                         json_is_integer(mark) ? json_integer_value(mark) : -1 };
    struct plot plot = { .out = out };

    walk.start = json_number_value(json_array_get(walk.robust, 0));
    fprintf(out,
            "<figure tabindex=\"0\"><svg viewBox=\"0 0 912 %d\" role=\"img\" aria-label=\"Clean and robust accuracy "
            "along the line; the "
            "chosen point has a ring.\">\n",
            PANEL_HEIGHT);
    panel_place(&plot, 0, 3);
    walk_panel(&plot, &walk, walk.alphas, walk.clean, 0, false, false);
    titles_draw(&plot, "Clean accuracy, %", "alpha", 0);
    panel_place(&plot, 1, 3);
    walk_panel(&plot, &walk, walk.alphas, walk.robust, 1, true, false);
    titles_draw(&plot, "Robust accuracy, %; band: tolerance", "alpha", 0);
    panel_place(&plot, 2, 3);
    walk_panel(&plot, &walk, walk.robust, walk.clean, 2, false, true);
    titles_draw(&plot, "Clean against robust, %", "robust accuracy, %", 0);
    fputs("</svg></figure>\n", out);
    json_decref(walk.alphas);
    json_decref(walk.clean);
    json_decref(walk.robust);
}

/* ---- curves ---- */

static const struct panel {
    const char *kind, *title, *series[SERIES_TOP];
    bool percent;
} panels[] = {
    { "train", "Training: loss", { "train_loss", "clean_loss", "robust_loss" }, false },
    { "train", "Training: accuracy, %", { "clean_accuracy", "robust_accuracy" }, true },
    { "finetune", "Fine-tuning: loss", { "train_loss", "clean_loss", "robust_loss" }, false },
    { "finetune", "Fine-tuning: accuracy, %", { "clean_accuracy", "robust_accuracy" }, true },
};

static const json_t *curve_find(const json_t *section, const char *kind, const char *name)
{
    const json_t *curve;
    size_t i;

    json_array_foreach(json_object_get(section, "curves"), i, curve)
    {
        const char *its = json_string_value(json_object_get(curve, "name"));
        const char *of = json_string_value(json_object_get(curve, "kind"));
        if (its && of && name && !strcmp(its, name) && !strcmp(of, kind) &&
            json_array_size(json_object_get(curve, "x")))
            return curve;
    }
    return NULL;
}

/* Its place in the row between title and plot. */
static void legend_draw(const struct plot *plot, int place, int s, const char *name)
{
    double x = plot->x - LEFT + 10 + 132 * place, y = plot->y - 14;

    fprintf(plot->out, "<path class=\"line s%d\" d=\"M%.1f %.1fh22\"/><text class=\"soft\" x=\"%.1f\" y=\"%.1f\">", s,
            x, y, x + 28, y + 4);
    html_put(plot->out, name);
    fputs("</text>\n", plot->out);
}

/* False when none of its curves is there. */
static bool panel_draw(struct plot *plot, const struct panel *panel, const json_t *section)
{
    plot->across = plot->up = (struct range){ DBL_MAX, -DBL_MAX, 1 };
    plot->percent = panel->percent;
    for (int s = 0; s < SERIES_TOP; s++) {
        const json_t *curve = curve_find(section, panel->kind, panel->series[s]);
        struct range x = range_of(json_object_get(curve, "x")), y = range_of(json_object_get(curve, "y"));
        if (curve) {
            range_see(&plot->across, x.min), range_see(&plot->across, x.max);
            range_see(&plot->up, y.min), range_see(&plot->up, y.max);
        }
    }
    if (plot->up.min > plot->up.max)
        return false;
    range_round(&plot->across, 8, false);
    plot->across.step = fmax(1, plot->across.step); /* epochs are whole */
    range_round(&plot->up, 6, true);
    ticks_draw(plot, false);
    for (int s = 0, place = 0; s < SERIES_TOP; s++) {
        const json_t *curve = curve_find(section, panel->kind, panel->series[s]);
        if (!curve)
            continue;
        line_draw(plot, json_object_get(curve, "x"), json_object_get(curve, "y"), s);
        legend_draw(plot, place++, s, panel->series[s]);
    }
    titles_draw(plot, panel->title, "epoch", LEGEND);
    return true;
}

void figure_curves(FILE *out, const json_t *section)
{
    int drawn = 0;

    for (size_t i = 0; i < sizeof(panels) / sizeof(panels[0]); i++) {
        struct plot plot = { .out = out };
        bool there = false;
        for (int s = 0; s < SERIES_TOP && !there; s++)
            there = curve_find(section, panels[i].kind, panels[i].series[s]) != NULL;
        if (!there)
            continue;
        if (drawn % 2 == 0)
            fprintf(out,
                    "<figure tabindex=\"0\"><svg viewBox=\"0 0 912 %d\" role=\"img\" aria-label=\"Curves of the "
                    "training.\">\n",
                    PANEL_HEIGHT + LEGEND + 8);
        panel_place(&plot, drawn % 2, 2);
        plot.y += LEGEND;
        panel_draw(&plot, &panels[i], section);
        if (drawn++ % 2)
            fputs("</svg></figure>\n", out);
    }
    if (drawn % 2)
        fputs("</svg></figure>\n", out);
}
