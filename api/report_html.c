/* How does a report look as a page that needs nothing but itself?
 *
 * One file: words, tables, figures as inline SVG, one style. No script runs in it,
 * from riftd or from a disk, because its policy lets in this one style by its hash
 * and nothing else; the same policy stands in the page, for those who open the file.
 * Light or dark as the reader's system is; on paper always light. */
#include "api/report.h"

#include <string.h>

void html_put(FILE *out, const char *text)
{
    static const struct {
        char mark;
        const char *instead;
    } rows[] = { { '&', "&amp;" }, { '<', "&lt;" }, { '>', "&gt;" }, { '"', "&quot;" }, { '\'', "&#39;" } };

    for (; *text; text++) {
        size_t i = 0;
        while (i < sizeof(rows) / sizeof(rows[0]) && rows[i].mark != *text)
            i++;
        if (i < sizeof(rows) / sizeof(rows[0]))
            fputs(rows[i].instead, out);
        else
            fputc(*text, out);
    }
}

/* ---- tables ---- */

static void cells_write(FILE *out, const json_t *section, size_t i)
{
    const json_t *columns = json_object_get(section, "columns"), *column;
    const char *mark = row_is_marked(section, i) ? "marked" : row_is_change(section, i) ? "change" : "";
    size_t c;

    fprintf(out, "<tr class=\"%s\">", mark);
    json_array_foreach(columns, c, column)
    {
        const char *kind = column_as(column) == AS_MONO ? "mono" : column_is_text(column) ? "" : "number";
        fprintf(out, c ? "<td class=\"%s\">" : "<th scope=\"row\" class=\"%s\">", kind);
        row_cell_write(out, section, i, c, html_put);
        fputs(c ? "</td>" : "</th>", out);
    }
    fputs("</tr>\n", out);
}

static void table_write(FILE *out, const json_t *section)
{
    const json_t *column, *row;
    bool heads = false;
    size_t i, c;

    json_array_foreach(json_object_get(section, "columns"), c, column) heads = heads || *report_word(column, "head");
    fprintf(out, "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"%s\"><table class=\"%s\">\n",
            report_word(section, "title"), report_word(section, "id"));
    if (heads) {
        fputs("<thead><tr>", out);
        json_array_foreach(json_object_get(section, "columns"), c, column)
        {
            fprintf(out, *report_word(column, "head") ? "<th scope=\"col\" class=\"%s\">" : "<td class=\"%s\">",
                    column_is_text(column) ? "" : "number");
            html_put(out, report_word(column, "head"));
            fputs(*report_word(column, "head") ? "</th>" : "</td>", out);
        }
        fputs("</tr></thead>\n", out);
    }
    fputs("<tbody>\n", out);
    json_array_foreach(json_object_get(section, "rows"), i, row) cells_write(out, section, i);
    fputs("</tbody></table></div>\n", out);
}

/* ---- facts, and the steps as boxes ---- */

static void facts_write(FILE *out, const json_t *section)
{
    const json_t *row;
    size_t i;

    fputs("<dl class=\"facts\">\n", out);
    json_array_foreach(json_object_get(section, "rows"), i, row)
    {
        fputs("<div><dt>", out);
        html_put(out, json_string_value(json_array_get(row, 0)));
        fputs("</dt><dd>", out);
        html_put(out, json_string_value(json_array_get(row, 1)));
        fputs("</dd></div>\n", out);
    }
    fputs("</dl>\n", out);
}

static void steps_write(FILE *out, const json_t *section)
{
    const json_t *columns = json_object_get(section, "columns"), *row;
    size_t i;

    fputs("<ol class=\"pipeline\">\n", out);
    json_array_foreach(json_object_get(section, "rows"), i, row)
    {
        fputs("<li><span class=\"step\">", out);
        html_put(out, json_string_value(json_array_get(row, 1)) ? json_string_value(json_array_get(row, 1)) : "");
        fprintf(out, "</span><span class=\"pill %s\">%s</span><span class=\"time\">",
                json_string_value(json_array_get(row, 2)), json_string_value(json_array_get(row, 2)));
        cell_write(out, json_array_get(columns, 3), json_array_get(row, 3), html_put);
        fputs("</span></li>\n", out);
    }
    fputs("</ol>\n", out);
}

/* ---- the numbers that matter, large ---- */

static void tiles_write(FILE *out, const json_t *section)
{
    const json_t *rows = json_object_get(section, "rows"), *columns = json_object_get(section, "columns"), *column;
    size_t c;

    if (json_array_size(json_object_get(section, "changes")) != 1) /* one before, one after */
        return;
    fputs("<dl class=\"tiles\">\n", out);
    json_array_foreach(columns, c, column)
    {
        const json_t *before = json_array_get(json_array_get(rows, 0), c);
        const json_t *after = json_array_get(json_array_get(rows, 1), c);
        if (!json_is_number(before) || !json_is_number(after))
            continue;
        double gained = json_number_value(after) - json_number_value(before);
        fputs("<div><dt>", out);
        html_put(out, report_word(column, "head"));
        fprintf(out, "</dt><dd>%.2f<small> %%</small></dd><dd class=\"gain %s\">%+.2f from %.2f</dd></div>\n",
                100 * json_number_value(after), gained < 0 ? "down" : "up",
                points_between(json_number_value(before), json_number_value(after), 2),
                100 * json_number_value(before));
    }
    fputs("</dl>\n", out);
}

/* ---- sections ---- */

/* What stands before a section's table, and what becomes of the table. */
static const struct figure {
    const char *id;
    void (*write)(FILE *out, const json_t *section);
    enum { TABLE_OPEN, TABLE_FOLDED, TABLE_NONE } table;
} figures[] = {
    { "run", facts_write, TABLE_NONE },          { "steps", steps_write, TABLE_FOLDED },
    { "accuracy", tiles_write, TABLE_OPEN },     { "corruptions", figure_corruptions, TABLE_FOLDED },
    { "modules", figure_modules, TABLE_FOLDED }, { "interpolation", figure_interpolation, TABLE_FOLDED },
    { "curves", figure_curves, TABLE_FOLDED },
};

static void section_write(FILE *out, const json_t *section)
{
    const struct figure *figure = NULL;
    bool rows = json_array_size(json_object_get(section, "rows")) > 0;

    for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++)
        if (!strcmp(figures[i].id, report_word(section, "id")))
            figure = &figures[i];
    int table = figure ? (int)figure->table : TABLE_OPEN;
    fprintf(out, "<section id=\"%s\"><h2>%s</h2>\n", report_word(section, "id"), report_word(section, "title"));
    if (figure && rows)
        figure->write(out, section);
    if (*report_word(section, "note")) {
        fputs("<p class=\"note\">", out);
        html_put(out, report_word(section, "note"));
        fputs("</p>\n", out);
    }
    if (rows && table == TABLE_FOLDED)
        fputs("<details><summary>As a table</summary>\n", out);
    if (rows && table != TABLE_NONE)
        table_write(out, section);
    if (rows && table == TABLE_FOLDED)
        fputs("</details>\n", out);
    fputs("</section>\n", out);
}

static void head_write(FILE *out, const json_t *report)
{
    const json_t *badge;
    size_t i;

    fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
          "<meta name=\"color-scheme\" content=\"light dark\">\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"",
          out);
    html_put(out, report_policy_meta());
    fputs("\">\n<title>", out);
    html_put(out, report_word(report, "title"));
    fputs(*report_word(report, "label") ? ": " : " ", out);
    html_put(out, *report_word(report, "label") ? report_word(report, "label") : report_word(report, "id"));
    fprintf(out, "</title>\n<style>%s</style></head>\n<body><main>\n<header><p class=\"kicker\">%s report</p><h1>",
            report_style, report_word(report, "title"));
    html_put(out, *report_word(report, "label") ? report_word(report, "label") : report_word(report, "id"));
    fputs("</h1><p class=\"badges\">", out);
    json_array_foreach(json_object_get(report, "badges"), i, badge)
    {
        fprintf(out, "<span class=\"pill %s\">", i ? "plain" : json_string_value(badge));
        html_put(out, json_string_value(badge));
        fputs("</span> ", out);
    }
    fputs("</p></header>\n", out);
}

void report_html(FILE *out, const json_t *report)
{
    const json_t *section;
    size_t i;

    head_write(out, report);
    json_array_foreach(json_object_get(report, "sections"), i, section) section_write(out, section);
    fprintf(out,
            "<footer>Job <span class=\"mono\">%s</span>, written %s by riftd %s.</footer>\n</main></body></html>\n",
            report_word(report, "id"), report_word(report, "made_at"), report_word(report, "version"));
}
