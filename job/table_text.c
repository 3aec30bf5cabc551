/* How does an averaged table look on paper?
 *
 * Each row of the table is up to three lines: the method, the method with RiFT,
 * and what RiFT has changed; module choices of one method share its first line.
 * A line is made once as cells, and printed with the marks of the format. CSV is
 * for programs: fractions, one column a number; the others are for people:
 * percent, mean and sample standard deviation in one cell. */
#include "job/spec.h"
#include "job/table_cell.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct table_format_info table_formats[TABLE_FORMAT_COUNT] = {
    [TABLE_JSON] = { "json", "table.json", "application/json" },
    [TABLE_CSV] = { "csv", "table.csv", "text/csv; charset=utf-8" },
    [TABLE_MARKDOWN] = { "markdown", "table.md", "text/markdown; charset=utf-8" },
    [TABLE_LATEX] = { "latex", "table.tex", "application/x-latex" },
    [TABLE_TEXT] = { "text", NULL, "text/plain; charset=utf-8" },
};

enum { CELLS_TOP = 32, PLACES = 2 /* of percent */ };

/* ---- words ---------------------------------------------------------------------------- */

static const struct {
    const char *key, *head, *plain;
} columns[] = {
    { "clean_accuracy", "Std", "clean" },
    { "corruption_accuracy", "OOD", "ood" },
    { "robust_accuracy", "Adv", "robust" },
};
/* The lines of a row. */
static const char *const sides[] = { "before", "after", "gain" };
enum { COLUMNS = sizeof(columns) / sizeof(columns[0]) };

static bool has_column(const json_t *table, int column)
{
    const json_t *row = json_array_get(json_object_get(table, "rows"), 0);

    return json_object_get(json_object_get(row, "before"), columns[column].key) != NULL;
}

/* ---- for people ------------------------------------------------------------------------ */

struct paper {
    FILE *out;
    enum table_format format;
    const json_t *table;
    bool choices; /* rows differ in the module choice, or have another than lowest */
    struct cell cells[CELLS_TOP];
    int cell_count;
    bool broken;
    int widths[CELLS_TOP];
};

static struct cell *cell_new(struct paper *paper)
{
    struct cell *cell = &paper->cells[paper->cell_count < CELLS_TOP - 1 ? paper->cell_count++ : CELLS_TOP - 1];

    paper->broken = paper->broken || cell->broken;
    cell_done(cell);
    return cell;
}

static double mean_at(const json_t *row, const char *side, const char *column)
{
    return json_number_value(json_object_get(json_object_get(json_object_get(row, side), column), "mean"));
}

/* "81.46 ± 0.12"; of a gain, with its sign. */
static void put_mean(struct paper *paper, struct cell *cell, const json_t *row, const char *side, const char *column)
{
    const json_t *number = json_object_get(json_object_get(row, side), column);
    const json_t *mean = json_object_get(number, "mean"), *std = json_object_get(number, "std");
    bool latex = paper->format == TABLE_LATEX, gain = strcmp(side, "gain") == 0;

    cell->marked = latex;
    if (!json_is_number(mean)) {
        cell_put(cell, "-");
        return;
    }
    if (gain)
        cell_put(cell, "%s%+.2f", latex ? "$" : "",
                 points_gained(json_number_value(mean), mean_at(row, "before", column), mean_at(row, "after", column),
                               PLACES));
    else
        cell_put(cell, "%s%.*f", latex ? "$" : "", PLACES, 100 * json_number_value(mean));
    if (json_is_number(std))
        cell_put(cell, " %s %.2f", latex ? "\\pm" : "±", 100 * json_number_value(std));
    cell_put(cell, "%s", latex ? "$" : "");
}

/* Characters of UTF-8 text. */
static int width_of(const char *text)
{
    int width = 0;

    for (; *text; text++)
        width += (*text & 0xC0) != 0x80;
    return width;
}

/* Text in which nothing is a mark of the format. */
static void print_plain(const struct paper *paper, const char *text)
{
    static const struct {
        enum table_format format;
        const char *marks;
        const char *instead; /* of the mark; NULL: a backslash before it */
    } rows[] = {
        { TABLE_MARKDOWN, "|\\`*_<", NULL },         { TABLE_LATEX, "_&%#${}", NULL },
        { TABLE_LATEX, "\\", "\\textbackslash{}" },  { TABLE_LATEX, "~", "\\textasciitilde{}" },
        { TABLE_LATEX, "^", "\\textasciicircum{}" },
    };

    for (; *text; text++) {
        size_t i = 0;
        while (i < sizeof(rows) / sizeof(rows[0]) && (rows[i].format != paper->format || !strchr(rows[i].marks, *text)))
            i++;
        if (i == sizeof(rows) / sizeof(rows[0]))
            fputc(*text, paper->out);
        else if (rows[i].instead)
            fputs(rows[i].instead, paper->out);
        else
            fprintf(paper->out, "\\%c", *text);
    }
}

static void print_cell(struct paper *paper, const struct cell *cell, int column)
{
    bool last = true; /* nothing but blanks follows: none at the end of a line */

    if (paper->format != TABLE_TEXT) {
        if (cell->marked)
            fputs(cell_text(cell), paper->out);
        else
            print_plain(paper, cell_text(cell));
        return;
    }
    for (int i = column + 1; i < paper->cell_count; i++)
        last = last && !paper->cells[i].used;
    if (!last || cell->used)
        fprintf(paper->out, "%s%s%*s", column ? "  " : "", cell_text(cell),
                last ? 0 : paper->widths[column] - width_of(cell_text(cell)), "");
}

static void print_line(struct paper *paper)
{
    static const char *const open[] = { [TABLE_MARKDOWN] = "| ", [TABLE_LATEX] = "  ", [TABLE_TEXT] = "" };
    static const char *const between[] = { [TABLE_MARKDOWN] = " | ", [TABLE_LATEX] = " & ", [TABLE_TEXT] = "" };
    static const char *const close[] = { [TABLE_MARKDOWN] = " |\n", [TABLE_LATEX] = " \\\\\n", [TABLE_TEXT] = "\n" };

    fputs(open[paper->format], paper->out);
    for (int i = 0; i < paper->cell_count; i++) {
        fputs(i ? between[paper->format] : "", paper->out);
        print_cell(paper, &paper->cells[i], i);
    }
    fputs(close[paper->format], paper->out);
}

/* Cells of one line; side NULL: the head. */
static void line_make(struct paper *paper, const json_t *row, const char *side)
{
    const json_t *group = json_object_get(row, "group"), *names = json_object_get(paper->table, "group_by");
    bool after = side && strcmp(side, "after") == 0, gain = side && strcmp(side, "gain") == 0;
    json_t *name;
    size_t i;

    paper->cell_count = 0;
    struct cell *cell = cell_new(paper);
    if (!side) {
        cell_put(cell, "Method");
    } else if (gain) {
        cell_put(cell, paper->format == TABLE_TEXT ? "  gain" : "gain");
    } else {
        cell_put_method(cell, row);
        cell_put(cell, "%s", after ? "+RiFT" : "");
        if (after && paper->choices) {
            cell_put(cell, " (");
            cell_put_choice(cell, json_object_get(row, "modules"));
            cell_put(cell, ")");
        }
    }
    json_array_foreach((json_t *)names, i, name)
    {
        cell = cell_new(paper);
        if (!side)
            cell_put(cell, "%s", json_string_value(name));
        else
            cell_put_value(cell, json_object_get(group, json_string_value(name)));
    }
    for (int c = 0; c < COLUMNS; c++) {
        if (!has_column(paper->table, c))
            continue;
        cell = cell_new(paper);
        if (!side)
            cell_put(cell, "%s", columns[c].head);
        else
            put_mean(paper, cell, row, side, columns[c].key);
    }
    cell_put(cell_new(paper), side ? "%lld" : "n", (long long)json_integer_value(json_object_get(row, "n")));
    cell = cell_new(paper);
    if (!side)
        cell_put(cell, "Module");
    else if (after)
        cell_put_chosen(cell, json_object_get(row, "chosen"));
    cell = cell_new(paper);
    if (!side)
        cell_put(cell, "alpha");
    else if (after)
        cell_put_alphas(cell, json_object_get(row, "chosen"), ", ");
}

/* Print the line, or see how wide its cells are. */
static void line_use(struct paper *paper, bool print)
{
    for (int c = 0; !print && c < paper->cell_count; c++)
        if (width_of(cell_text(&paper->cells[c])) > paper->widths[c])
            paper->widths[c] = width_of(cell_text(&paper->cells[c]));
    if (print)
        print_line(paper);
}

/* All lines, to be measured (print false) or printed. */
static void lines_make(struct paper *paper, bool print)
{
    const json_t *last = NULL;
    json_t *row;
    size_t i;

    line_make(paper, NULL, NULL);
    line_use(paper, print);
    if (print && paper->format == TABLE_MARKDOWN) {
        for (int c = 0; c < paper->cell_count; c++)
            fputs(c ? "---|" : "|---|", paper->out);
        fputc('\n', paper->out);
    }
    if (print && paper->format == TABLE_LATEX)
        fputs("  \\hline\n", paper->out);
    json_array_foreach(json_object_get(paper->table, "rows"), i, row)
    {
        bool again = last && json_equal(json_object_get(last, "method"), json_object_get(row, "method")) &&
                     json_equal(json_object_get(last, "group"), json_object_get(row, "group")) &&
                     json_equal(json_object_get(last, "before"), json_object_get(row, "before"));

        for (int s = again ? 1 : 0; s < 3; s++) {
            line_make(paper, row, sides[s]);
            line_use(paper, print);
        }
        last = row;
    }
}

const char *table_attack(const json_t *table)
{
    const char *attack = NULL;
    json_t *row;
    size_t i;

    json_array_foreach(json_object_get(table, "rows"), i, row)
    {
        const char *name = json_string_value(json_object_get(row, "attack"));
        if (name && attack && strcmp(name, attack) != 0)
            return "";
        attack = name ? name : attack;
    }
    return attack ? attack : "";
}

/* Is a number of it a mean of several? */
static bool is_averaged(const json_t *table)
{
    json_t *row;
    size_t i;

    json_array_foreach(json_object_get(table, "rows"), i,
                       row) if (json_integer_value(json_object_get(row, "n")) > 1) return true;
    return false;
}

/* What the numbers are, and which runs they lack. */
static void notes_print(struct paper *paper)
{
    static const char *const open[] = { [TABLE_MARKDOWN] = "\n", [TABLE_LATEX] = "% ", [TABLE_TEXT] = "" };
    static const char *const item[] = { [TABLE_MARKDOWN] = "- ", [TABLE_LATEX] = "% ", [TABLE_TEXT] = "" };
    const char *attack = table_attack(paper->table),
               *protocol = json_string_value(json_object_get(paper->table, "protocol")),
               *split = json_string_value(json_object_get(paper->table, "split"));
    const json_t *images = json_object_get(paper->table, "images");
    json_t *run;
    size_t i;

    fprintf(paper->out, "%sAccuracy in percent", open[paper->format]);
    if (json_is_integer(images))
        fprintf(paper->out, " on %lld %s images", (long long)json_integer_value(images), split ? split : "");
    fputs(is_averaged(paper->table) ? ", mean ± sample standard deviation over n seeds" : "", paper->out);
    fputs(*attack ? "; Adv: " : "", paper->out);
    print_plain(paper, attack);
    fprintf(paper->out, "; protocol %s.\n", protocol ? protocol : "as in the rows");
    if (paper->format == TABLE_MARKDOWN && json_array_size(json_object_get(paper->table, "missing")))
        fputc('\n', paper->out);
    json_array_foreach(json_object_get(paper->table, "missing"), i, run)
    {
        const char *state = json_string_value(json_object_get(run, "state"));
        cell_auto name = { 0 };

        cell_put_method(&name, run);
        cell_put(&name, ", seed %lld, ", (long long)json_integer_value(json_object_get(run, "seed")));
        cell_put_choice(&name, json_object_get(run, "modules"));
        fprintf(paper->out, "%smissing: ", item[paper->format]);
        print_plain(paper, cell_text(&name));
        fprintf(paper->out, "%s%s (job %s)\n", state ? ": " : "", state ? state : "",
                json_string_value(json_object_get(run, "job")));
        paper->broken = paper->broken || name.broken;
    }
}

static bool choices_differ(const json_t *table)
{
    const json_t *rows = json_object_get(table, "rows");
    json_t *row;
    size_t i;

    json_array_foreach((json_t *)rows, i, row)
    {
        const char *choice = json_string_value(json_object_get(row, "modules"));
        if (!choice || strcmp(choice, "lowest") != 0)
            return true;
    }
    return false;
}

static bool paper_print(FILE *out, const json_t *table, enum table_format format)
{
    struct paper paper = { .out = out, .format = format, .table = table, .choices = choices_differ(table) };

    lines_make(&paper, false);
    if (format == TABLE_LATEX) {
        fputs("\\begin{tabular}{", out);
        for (int c = 0; c < paper.cell_count; c++)
            fputc(c && c < paper.cell_count - 2 ? 'c' : 'l', out);
        fputs("}\n  \\hline\n", out);
    }
    lines_make(&paper, true);
    if (format == TABLE_LATEX)
        fputs("  \\hline\n\\end{tabular}\n", out);
    notes_print(&paper);
    for (int i = 0; i < CELLS_TOP; i++) {
        paper.broken = paper.broken || paper.cells[i].broken;
        cell_done(&paper.cells[i]);
    }
    return !paper.broken;
}

/* ---- for programs ------------------------------------------------------------------------ */

/* RFC 4180: quoted where it must be. */
static void csv_cell(FILE *out, const char *cell, bool first)
{
    bool quoted = strpbrk(cell, ",\"\r\n") != NULL;

    fputs(first ? "" : ",", out);
    fputs(quoted ? "\"" : "", out);
    for (; *cell; cell++) {
        if (*cell == '"')
            fputc('"', out);
        fputc(*cell, out);
    }
    fputs(quoted ? "\"" : "", out);
}

static void csv_number(FILE *out, const json_t *number)
{
    char cell[40] = "";

    if (json_is_number(number))
        snprintf(cell, sizeof(cell), "%.10g", json_number_value(number));
    csv_cell(out, cell, false);
}

static bool csv_line(FILE *out, const json_t *table, const json_t *row, const char *side)
{
    const json_t *group = json_object_get(row, "group");
    const char *method = json_string_value(json_object_get(row, "method"));
    const char *protocol = json_string_value(json_object_get(row, "protocol"));
    const char *attack = json_string_value(json_object_get(row, "attack"));
    cell_auto choice = { 0 }, seeds = { 0 }, modules = { 0 }, alphas = { 0 };
    bool whole = true;
    json_t *name;
    size_t i;

    cell_put_choice(&choice, json_object_get(row, "modules"));
    cell_put_seeds(&seeds, json_object_get(row, "seeds"));
    cell_put_chosen(&modules, json_object_get(row, "chosen"));
    cell_put_alphas(&alphas, json_object_get(row, "chosen"), " ");
    csv_cell(out, method ? method : "", true);
    csv_cell(out, cell_text(&choice), false);
    json_array_foreach(json_object_get(table, "group_by"), i, name)
    {
        cell_auto value = { 0 };
        cell_put_value(&value, json_object_get(group, json_string_value(name)));
        csv_cell(out, cell_text(&value), false);
        whole = whole && !value.broken;
    }
    csv_cell(out, protocol ? protocol : "", false);
    csv_cell(out, attack ? attack : "", false);
    csv_cell(out, side, false);
    csv_number(out, json_object_get(row, "n"));
    csv_cell(out, cell_text(&seeds), false);
    for (int c = 0; c < COLUMNS; c++) {
        const json_t *number = json_object_get(json_object_get(row, side), columns[c].key);
        if (!has_column(table, c))
            continue;
        csv_number(out, json_object_get(number, "mean"));
        csv_number(out, json_object_get(number, "std"));
    }
    csv_cell(out, strcmp(side, "before") ? cell_text(&modules) : "", false);
    csv_cell(out, strcmp(side, "before") ? cell_text(&alphas) : "", false);
    fputs("\r\n", out);
    return whole && !choice.broken && !seeds.broken && !modules.broken && !alphas.broken;
}

static bool csv_print(FILE *out, const json_t *table)
{
    bool whole = true;
    json_t *row, *name;
    size_t i;

    fputs("method,modules", out);
    json_array_foreach(json_object_get(table, "group_by"), i, name) csv_cell(out, json_string_value(name), false);
    fputs(",protocol,attack,weights,n,seeds", out);
    for (int c = 0; c < COLUMNS; c++)
        if (has_column(table, c))
            fprintf(out, ",%s_mean,%s_std", columns[c].plain, columns[c].plain);
    fputs(",chosen_modules,alphas\r\n", out);
    json_array_foreach(json_object_get(table, "rows"), i, row)
    {
        for (size_t s = 0; s < sizeof(sides) / sizeof(sides[0]); s++)
            whole = csv_line(out, table, row, sides[s]) && whole;
    }
    return whole;
}

char *table_text(const json_t *table, enum table_format format)
{
    char *text = NULL;
    size_t size = 0;
    bool done = true;

    if (format == TABLE_JSON)
        return json_dumps(table, JSON_INDENT(2));
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    if (format == TABLE_CSV)
        done = csv_print(out, table);
    else
        done = paper_print(out, table, format);
    if (fclose(out) == 0 && done) /* a table that lacks words would be believed */
        return text;
    free(text);
    return NULL;
}
