/* How does a report look in Markdown, in LaTeX and to a program?
 *
 * Markdown and LaTeX are for people: percent with two decimals, and nothing of
 * what others wrote is a mark of the format. CSV is for programs: fractions with
 * all their digits. One section (?part=) is a table with its columns; all of them
 * have different columns, so together they are one long table of cells:
 *
 *     table,row,column,value
 *     modules,1,mrc,0.06063
 *
 * Surprising: spreadsheets take a text that begins with = + - @ for a formula, so
 * such a text gets an apostrophe before it. Numbers don't. */
#include "api/report.h"

#include <inttypes.h>
#include <string.h>

/* ---- Markdown ---- */

static void markdown_put(FILE *out, const char *text)
{
    for (; *text; text++)
        if (*text == '\n' || *text == '\r')
            fputc(' ', out);
        else
            fprintf(out, "%s%c", strchr("|\\`*_<>[]#~&", *text) ? "\\" : "", *text);
}

static void markdown_table(FILE *out, const json_t *section)
{
    const json_t *columns = json_object_get(section, "columns"), *column, *row;
    size_t i, c;

    json_array_foreach(columns, c, column)
    {
        fputs("| ", out);
        markdown_put(out, report_word(column, "head"));
        fputc(' ', out);
    }
    fputs("|\n", out);
    json_array_foreach(columns, c, column) fputs(column_is_text(column) ? "|---" : "|---:", out);
    fputs("|\n", out);
    json_array_foreach(json_object_get(section, "rows"), i, row)
    {
        bool marked = row_is_marked(section, i);
        json_array_foreach(columns, c, column)
        {
            fputs(marked && c == 0 ? "| **" : "| ", out);
            row_cell_write(out, section, i, c, markdown_put);
            fputs(marked && c == 0 ? "** " : " ", out);
        }
        fputs("|\n", out);
    }
}

void report_markdown(FILE *out, const json_t *report)
{
    const json_t *section;
    size_t i;

    fputs("# ", out);
    markdown_put(out, report_word(report, "title"));
    fputs(*report_word(report, "label") ? ": " : "", out);
    markdown_put(out, report_word(report, "label"));
    fprintf(out, "\n\nJob %s (%s), written %s by riftd %s.\n", report_word(report, "id"), report_word(report, "state"),
            report_word(report, "made_at"), report_word(report, "version"));
    json_array_foreach(json_object_get(report, "sections"), i, section)
    {
        fprintf(out, "\n## %s\n", report_word(section, "title"));
        if (*report_word(section, "note")) {
            fputc('\n', out);
            markdown_put(out, report_word(section, "note"));
            fputc('\n', out);
        }
        if (!json_array_size(json_object_get(section, "rows")))
            continue;
        fputc('\n', out);
        markdown_table(out, section);
    }
}

/* ---- LaTeX ---- */

static void latex_put(FILE *out, const char *text)
{
    static const struct {
        const char *text, *instead;
    } rows[] = {
        { "\\", "\\textbackslash{}" },
        { "~", "\\textasciitilde{}" },
        { "^", "\\textasciicircum{}" },
        { "<", "\\textless{}" },
        { ">", "\\textgreater{}" },
        { "|", "\\textbar{}" },
        { "[", "{[}" }, /* else the row's end before would take it for its own */
        { "*", "{*}" },
        { "\"", "\\textquotedbl{}" },
        { "ε", "$\\varepsilon$" },
        { "×", "$\\times$" },
        { "±", "$\\pm$" },
        { "–", "--" },
        { "\n", " " },
        { "\r", " " },
    };

    while (*text) {
        size_t i = 0;
        while (i < sizeof(rows) / sizeof(rows[0]) && strncmp(text, rows[i].text, strlen(rows[i].text)) != 0)
            i++;
        if (i < sizeof(rows) / sizeof(rows[0])) {
            fputs(rows[i].instead, out);
            text += strlen(rows[i].text);
            continue;
        }
        fprintf(out, "%s%c", strchr("_&%#${}", *text) ? "\\" : "", *text);
        text++;
    }
}

static void latex_cell(FILE *out, const json_t *section, size_t row, size_t c, const json_t *value)
{
    const json_t *column = json_array_get(json_object_get(section, "columns"), c);
    bool minus = column_as(column) != AS_SECONDS && json_is_number(value); /* a minus sign, no hyphen */

    if (!json_is_number(value) && !json_is_string(value)) {
        fputs("--", out);
        return;
    }
    fputs(minus ? "$" : "", out);
    row_cell_write(out, section, row, c, latex_put);
    fputs(minus ? "$" : "", out);
}

static void latex_table(FILE *out, const json_t *section)
{
    const json_t *columns = json_object_get(section, "columns"), *column, *row;
    size_t i, c;

    fputs("\\begin{tabular}{", out);
    json_array_foreach(columns, c, column) fputc(column_is_text(column) ? 'l' : 'r', out);
    fputs("}\n  \\toprule\n  ", out);
    json_array_foreach(columns, c, column)
    {
        fputs(c ? " & " : "", out);
        latex_put(out, report_word(column, "head"));
    }
    fputs(" \\\\\n  \\midrule\n", out);
    json_array_foreach(json_object_get(section, "rows"), i, row)
    {
        fputs("  ", out);
        json_array_foreach(columns, c, column)
        {
            fputs(c ? " & " : "", out);
            latex_cell(out, section, i, c, json_array_get(row, c));
        }
        fputs(" \\\\\n", out);
    }
    fputs("  \\bottomrule\n\\end{tabular}\n", out);
}

/* A comment that no line of somebody else's ends. */
static void latex_comment(FILE *out, const char *text)
{
    for (; *text; text++)
        fputc(*text == '\n' || *text == '\r' ? ' ' : *text, out);
}

void report_latex(FILE *out, const json_t *report)
{
    const json_t *section;
    size_t i;

    fprintf(out, "%% Job %s (%s), written %s by riftd %s. Needs \\usepackage{booktabs}.\n", report_word(report, "id"),
            report_word(report, "state"), report_word(report, "made_at"), report_word(report, "version"));
    json_array_foreach(json_object_get(report, "sections"), i, section)
    {
        if (!json_array_size(json_object_get(section, "rows")))
            continue;
        fprintf(out, "\n%% %s. ", report_word(section, "title"));
        latex_comment(out, report_word(section, "note"));
        fputc('\n', out);
        latex_table(out, section);
    }
}

/* ---- CSV ---- */

static void csv_text(FILE *out, const char *text)
{
    bool formula = *text && strchr("=+-@\t\r", *text), quoted = strpbrk(text, ",\"\r\n") != NULL;

    fputs(quoted ? "\"" : "", out);
    fputs(formula ? "'" : "", out);
    for (; *text; text++)
        fprintf(out, "%s%c", *text == '"' ? "\"" : "", *text);
    fputs(quoted ? "\"" : "", out);
}

static void csv_value(FILE *out, const json_t *value)
{
    if (json_is_string(value))
        csv_text(out, json_string_value(value));
    else if (json_is_integer(value))
        fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        fprintf(out, "%.10g", json_real_value(value));
}

static void csv_wide(FILE *out, const json_t *section)
{
    const json_t *columns = json_object_get(section, "columns"), *column, *row;
    size_t i, c;

    json_array_foreach(columns, c, column) fprintf(out, "%s%s", c ? "," : "", report_word(column, "key"));
    fputs("\r\n", out);
    json_array_foreach(json_object_get(section, "rows"), i, row)
    {
        json_array_foreach(columns, c, column)
        {
            fputs(c ? "," : "", out);
            csv_value(out, json_array_get(row, c));
        }
        fputs("\r\n", out);
    }
}

static void csv_long(FILE *out, const json_t *section)
{
    const json_t *column, *row;
    size_t i, c;

    json_array_foreach(json_object_get(section, "rows"), i, row)
    {
        json_array_foreach(json_object_get(section, "columns"), c, column)
        {
            fprintf(out, "%s,%zu,%s,", report_word(section, "id"), i + 1, report_word(column, "key"));
            csv_value(out, json_array_get(row, c));
            fputs("\r\n", out);
        }
    }
}

void report_csv(FILE *out, const json_t *report)
{
    const json_t *sections = json_object_get(report, "sections"), *section;
    size_t i;

    if (json_object_get(report, "part")) {
        csv_wide(out, json_array_get(sections, 0));
        return;
    }
    fputs("table,row,column,value\r\n", out);
    json_array_foreach(sections, i, section) csv_long(out, section);
}
