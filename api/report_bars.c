/* How do bars and heat look in a report?
 *
 * Bars: one row a module in network order, its criticality and what robust accuracy
 * loses there side by side (the paper's Figure 3), each on a linear scale with its
 * number at the end, since the least ones are too short to see. Heat: corruptions by
 * severity, before, after and their difference; the number stands in its cell. */
#include "api/report.h"

#include <math.h>
#include <string.h>

enum { ROW = 20, NAMES = 150, WIDTH = 912, HEAD = 44, CELL_MOST = 64, CELL_HIGH = 22, GAP = 18 };

static const char *text_of(const json_t *row, size_t column)
{
    const char *text = json_string_value(json_array_get(row, column));

    return text ? text : "";
}

/* The greatest of a column, at least a little. */
static double most_of(const json_t *rows, size_t column)
{
    double most = 1e-12;
    const json_t *row;
    size_t i;

    json_array_foreach((json_t *)rows, i, row) most = fmax(most, json_number_value(json_array_get(row, column)));
    return most;
}

/* ---- bars ---- */

static void bar_draw(FILE *out, double x, double y, double room, double value, double most, bool marked, bool percent)
{
    double width = room * fmax(value, 0) / most;

    fprintf(out, "<rect class=\"bar%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" rx=\"2\"/>",
            marked ? " marked" : "", x, y + 3, fmax(width, 1), ROW - 6);
    fprintf(out,
            percent ? "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\">%.2f</text>"
                    : "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\">%.4g</text>",
            marked ? "marked" : "", x + fmax(width, 1) + 6, y + ROW - 6, percent ? 100 * value : value);
}

void figure_modules(FILE *out, const json_t *section)
{
    const json_t *rows = json_object_get(section, "rows"), *row;
    double most = most_of(rows, 1), most_drop = most_of(rows, 2), half = (WIDTH - NAMES) / 2.0, room = half - 70;
    size_t i;

    fprintf(out,
            "<figure tabindex=\"0\"><svg viewBox=\"0 0 %d %zu\" role=\"img\" aria-label=\"Module Robust Criticality "
            "and the drop of "
            "robust "
            "accuracy, by module in network order\">\n"
            "<text class=\"head\" x=\"%d\" y=\"18\">MRC</text><text class=\"head\" x=\"%.1f\" y=\"18\">Robust-accuracy "
            "drop, "
            "points</text>\n",
            WIDTH, HEAD - 14 + ROW * json_array_size(rows), NAMES, NAMES + half);
    json_array_foreach(rows, i, row)
    {
        double y = HEAD - 18 + ROW * (double)i;
        bool marked = row_is_marked(section, i);
        const json_t *mrc = json_array_get(row, 1), *drop = json_array_get(row, 2);

        fprintf(out, "<text class=\"name end%s\" x=\"%d\" y=\"%.1f\">", marked ? " marked" : "", NAMES - 8,
                y + ROW - 6);
        html_put(out, text_of(row, 0));
        fputs("</text>", out);
        if (json_is_number(mrc))
            bar_draw(out, NAMES, y, room, json_number_value(mrc), most, marked, false);
        if (json_is_number(drop))
            bar_draw(out, NAMES + half, y, room, json_number_value(drop), most_drop, marked, true);
        fputc('\n', out);
    }
    fputs("</svg></figure>\n", out);
}

/* ---- heat ---- */

/* One map: column 3 before, 4 after, 5 change. */
static const struct map {
    size_t column;
    const char *title;
} maps[] = { { 3, "Before" }, { 4, "After" }, { 5, "Change" } };
enum { MAPS = sizeof(maps) / sizeof(maps[0]) };

struct heat {
    FILE *out;
    double x;    /* of the map */
    double cell; /* width */
    bool change;
    double most; /* of the changes */
};

/* `percent` is what is written of it. */
static void heat_cell(const struct heat *heat, double x, double y, double value, double percent)
{
    double strength = heat->change ? fabs(value) / heat->most : value;

    fprintf(heat->out,
            "<rect class=\"heat%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" fill-opacity=\"%.3f\"/>",
            !heat->change ? ""
            : value < 0   ? " loss"
                          : " gain",
            x, y, heat->cell - 2, CELL_HIGH - 2, 0.04 + 0.46 * fmin(fmax(strength, 0), 1));
    fprintf(heat->out,
            heat->change ? "<text class=\"middle\" x=\"%.1f\" y=\"%.1f\">%+.1f</text>"
                         : "<text class=\"middle\" x=\"%.1f\" y=\"%.1f\">%.1f</text>",
            x + heat->cell / 2 - 1, y + 15, percent);
}

/* Rows of one corruption come one after another, the first one as many as the others. */
static size_t severities_count(const json_t *rows)
{
    size_t count = 1;

    while (count < json_array_size(rows) &&
           !strcmp(text_of(json_array_get(rows, count), 0), text_of(json_array_get(rows, 0), 0)))
        count++;
    return count;
}

/* With one decimal; a change is what the maps beside it differ by. */
static double percent_of(const json_t *row, size_t column)
{
    double value = json_number_value(json_array_get(row, column));
    const json_t *before = json_array_get(row, 3), *after = json_array_get(row, 4);

    if (column != 5 || !json_is_number(before) || !json_is_number(after))
        return 100 * value;
    return points_gained(value, json_number_value(before), json_number_value(after), 1);
}

static void map_draw(struct heat *heat, const json_t *rows, size_t severities, const struct map *map)
{
    const json_t *row;
    size_t i;

    fprintf(heat->out, "<text class=\"head\" x=\"%.1f\" y=\"14\">%s%s</text>\n", heat->x, map->title,
            heat->change ? " by severity, points" : " by severity, %");
    for (i = 0; i < severities; i++) {
        const json_t *severity = json_array_get(json_array_get(rows, i), 2);
        fprintf(heat->out, "<text class=\"soft middle\" x=\"%.1f\" y=\"34\">",
                heat->x + heat->cell * ((double)i + 0.5) - 1);
        if (json_is_integer(severity))
            fprintf(heat->out, "%" JSON_INTEGER_FORMAT, json_integer_value(severity));
        else
            fputs("mean", heat->out);
        fputs("</text>", heat->out);
    }
    json_array_foreach((json_t *)rows, i, row)
    {
        const json_t *value = json_array_get(row, map->column);
        double x = heat->x + heat->cell * (double)(i % severities), y = HEAD - 2 + CELL_HIGH * (double)(i / severities);
        if (json_is_number(value))
            heat_cell(heat, x, y, json_number_value(value), percent_of(row, map->column));
    }
    fputc('\n', heat->out);
}

void figure_corruptions(FILE *out, const json_t *section)
{
    const json_t *rows = json_object_get(section, "rows");
    size_t severities = severities_count(rows), count = json_array_size(rows) / severities;
    bool pair = json_is_number(json_array_get(json_array_get(rows, 0), 3)); /* is there a before? */
    double room = (double)(WIDTH - NAMES) / (pair ? MAPS : 1) - GAP;
    struct heat heat = { .out = out, .x = NAMES, .cell = fmin(room / (double)severities, CELL_MOST), .most = 1e-12 };

    fprintf(out,
            "<figure tabindex=\"0\"><svg viewBox=\"0 0 %d %zu\" role=\"img\" aria-label=\"Accuracy on "
            "corrupted images by kind and severity\">\n",
            WIDTH, HEAD + CELL_HIGH * count);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "<text class=\"end\" x=\"%d\" y=\"%zu\">", NAMES - 10, HEAD - 2 + CELL_HIGH * i + 15);
        html_put(out, text_of(json_array_get(rows, i * severities), 0));
        fputs("</text>", out);
    }
    for (size_t i = 0; i < json_array_size(rows); i++)
        heat.most = fmax(heat.most, fabs(json_number_value(json_array_get(json_array_get(rows, i), 5))));
    for (size_t m = 0; m < MAPS; m++) {
        heat.change = maps[m].column == 5;
        if (!pair && maps[m].column != 4)
            continue;
        map_draw(&heat, rows, severities, &maps[m]);
        heat.x += heat.cell * (double)severities + GAP;
    }
    fputs("</svg></figure>\n", out);
}
