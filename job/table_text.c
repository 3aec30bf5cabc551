/* How does an averaged table look on paper?
 *
 * Each row of the table is up to three lines: the method, the method with RiFT,
 * and what RiFT has changed; module choices of one method share its first line.
 * A line is made once as cells, and printed with the marks of the format. CSV is
 * for programs: fractions, one column a number; the others are for people:
 * percent, mean and sample standard deviation in one cell. */
#include "job/spec.h"

#include <ctype.h>
#include <stdarg.h>
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

enum { CELL_SIZE = 240, CELLS_TOP = 32 };

/* ---- words ---------------------------------------------------------------------------- */

static const struct {
    const char *key, *head, *plain;
} columns[] = {
    { "clean_accuracy", "Std", "clean" },
    { "corruption_accuracy", "OOD", "ood" },
    { "robust_accuracy", "Adv", "robust" },
};
enum { COLUMNS = sizeof(columns) / sizeof(columns[0]) };

static bool has_column(const json_t *table, int column)
{
    const json_t *row = json_array_get(json_object_get(table, "rows"), 0);

    return json_object_get(json_object_get(row, "before"), columns[column].key) != NULL;
}

/* Append to a cell, cutting what doesn't fit. */
static void put(char cell[CELL_SIZE], const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(char cell[CELL_SIZE], const char *format, ...)
{
    size_t used = strlen(cell);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(cell + used, CELL_SIZE - used, format, arguments);
    va_end(arguments);
}

static void put_choice(char cell[CELL_SIZE], const json_t *choice)
{
    char text[CELL_SIZE];

    choice_show(choice, text, sizeof(text));
    put(cell, "%s", text);
}

/* A value of a field as people write it. */
static void put_value(char cell[CELL_SIZE], const json_t *value)
{
    char *text =
        json_is_string(value) ? strdup(json_string_value(value)) : spec_text(value, JSON_COMPACT | JSON_ENCODE_ANY);

    put(cell, "%s", text ? text : "?");
    free(text);
}

/* "PGD-AT" */
static void put_method(char cell[CELL_SIZE], const json_t *row)
{
    const char *method = json_string_value(json_object_get(row, "method"));
    size_t used = strlen(cell);

    put(cell, "%s", method ? method : "?");
    for (char *at = cell + used; *at; at++)
        *at = (char)toupper((unsigned char)*at);
}

static void put_numbers(char cell[CELL_SIZE], const json_t *list, const char *between)
{
    json_t *value;
    size_t i;

    json_array_foreach((json_t *)list, i, value) put(cell, "%s%.10g", i ? between : "", json_number_value(value));
}

/* The modules of a run as one word: "layer2.1.conv2", "conv1+linear", "21 modules". */
static void put_modules(char cell[CELL_SIZE], const json_t *modules)
{
    json_t *name;
    size_t i;

    if (json_array_size(modules) > 3) {
        put(cell, "%zu modules", json_array_size(modules));
        return;
    }
    json_array_foreach((json_t *)modules, i, name) put(cell, "%s%s", i ? "+" : "", json_string_value(name));
}

/* "layer2.1.conv2 (2), conv1" of three seeds. */
static void put_chosen(char cell[CELL_SIZE], const json_t *chosen)
{
    json_t *run, *other;
    size_t i, j;

    json_array_foreach((json_t *)chosen, i, run)
    {
        const json_t *modules = json_object_get(run, "modules");
        int before = 0, times = 0;

        json_array_foreach((json_t *)chosen, j, other) if (json_equal(modules, json_object_get(other, "modules")))
        {
            before += j < i;
            times++;
        }
        if (before)
            continue;
        put(cell, "%s", *cell ? ", " : "");
        put_modules(cell, modules);
        if (times > 1)
            put(cell, " (%d)", times);
    }
}

static void put_alphas(char cell[CELL_SIZE], const json_t *chosen, const char *between)
{
    json_t *run;
    size_t i;

    json_array_foreach((json_t *)chosen, i, run)
    {
        const json_t *alpha = json_object_get(run, "alpha");
        if (json_is_number(alpha))
            put(cell, "%s%.10g", *cell ? between : "", json_number_value(alpha));
        else
            put(cell, "%s-", *cell ? between : "");
    }
}

/* ---- for people ------------------------------------------------------------------------ */

struct paper {
    FILE *out;
    enum table_format format;
    const json_t *table;
    bool choices; /* rows differ in the module choice, or have another than lowest */
    char (*cells)[CELL_SIZE];
    int cell_count;
    int widths[CELLS_TOP];
};

static char *cell_new(struct paper *paper)
{
    char *cell = paper->cells[paper->cell_count < CELLS_TOP - 1 ? paper->cell_count++ : CELLS_TOP - 1];

    *cell = 0;
    return cell;
}

/* "81.46 ± 0.12"; of a gain, with its sign. */
static void put_mean(struct paper *paper, char cell[CELL_SIZE], const json_t *number, bool sign)
{
    const json_t *mean = json_object_get(number, "mean"), *std = json_object_get(number, "std");
    bool latex = paper->format == TABLE_LATEX;

    if (!json_is_number(mean)) {
        put(cell, "-");
        return;
    }
    put(cell, sign ? "%s%+.2f" : "%s%.2f", latex ? "$" : "", 100 * json_number_value(mean));
    if (json_is_number(std))
        put(cell, " %s %.2f", latex ? "\\pm" : "±", 100 * json_number_value(std));
    put(cell, "%s", latex ? "$" : "");
}

/* Characters of UTF-8 text. */
static int width_of(const char *text)
{
    int width = 0;

    for (; *text; text++)
        width += (*text & 0xC0) != 0x80;
    return width;
}

/* A cell with the marks that would mean something else taken care of. */
static void print_cell(struct paper *paper, const char *cell, int column)
{
    if (paper->format == TABLE_TEXT) {
        bool last = true; /* nothing but blanks follows: none at the end of a line */
        for (int i = column + 1; i < paper->cell_count; i++)
            last = last && !*paper->cells[i];
        if (!last || *cell)
            fprintf(paper->out, "%s%s%*s", column ? "  " : "", cell, last ? 0 : paper->widths[column] - width_of(cell),
                    "");
        return;
    }
    for (; *cell; cell++) {
        if (paper->format == TABLE_MARKDOWN && strchr("|\\`*_<", *cell))
            fputc('\\', paper->out);
        if (paper->format == TABLE_LATEX && strchr("_&%#", *cell))
            fputc('\\', paper->out);
        fputc(*cell, paper->out);
    }
}

static void print_line(struct paper *paper)
{
    static const char *const open[] = { [TABLE_MARKDOWN] = "| ", [TABLE_LATEX] = "  ", [TABLE_TEXT] = "" };
    static const char *const between[] = { [TABLE_MARKDOWN] = " | ", [TABLE_LATEX] = " & ", [TABLE_TEXT] = "" };
    static const char *const close[] = { [TABLE_MARKDOWN] = " |\n", [TABLE_LATEX] = " \\\\\n", [TABLE_TEXT] = "\n" };

    fputs(open[paper->format], paper->out);
    for (int i = 0; i < paper->cell_count; i++) {
        fputs(i ? between[paper->format] : "", paper->out);
        print_cell(paper, paper->cells[i], i);
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
    char *cell = cell_new(paper);
    if (!side) {
        put(cell, "Method");
    } else if (gain) {
        put(cell, paper->format == TABLE_TEXT ? "  gain" : "gain");
    } else {
        put_method(cell, row);
        put(cell, "%s", after ? "+RiFT" : "");
        if (after && paper->choices) {
            put(cell, " (");
            put_choice(cell, json_object_get(row, "modules"));
            put(cell, ")");
        }
    }
    json_array_foreach((json_t *)names, i, name)
    {
        cell = cell_new(paper);
        if (!side)
            put(cell, "%s", json_string_value(name));
        else
            put_value(cell, json_object_get(group, json_string_value(name)));
    }
    for (int c = 0; c < COLUMNS; c++) {
        if (!has_column(paper->table, c))
            continue;
        cell = cell_new(paper);
        if (!side)
            put(cell, "%s", columns[c].head);
        else
            put_mean(paper, cell, json_object_get(json_object_get(row, side), columns[c].key), gain);
    }
    put(cell_new(paper), side ? "%lld" : "n", (long long)json_integer_value(json_object_get(row, "n")));
    cell = cell_new(paper);
    if (!side)
        put(cell, "Module");
    else if (after)
        put_chosen(cell, json_object_get(row, "chosen"));
    cell = cell_new(paper);
    if (!side)
        put(cell, "alpha");
    else if (after)
        put_alphas(cell, json_object_get(row, "chosen"), ", ");
}

/* Print the line, or see how wide its cells are. */
static void line_use(struct paper *paper, bool print)
{
    for (int c = 0; !print && c < paper->cell_count; c++)
        if (width_of(paper->cells[c]) > paper->widths[c])
            paper->widths[c] = width_of(paper->cells[c]);
    if (print)
        print_line(paper);
}

/* All lines, to be measured (print false) or printed. */
static void lines_make(struct paper *paper, bool print)
{
    static const char *const sides[] = { "before", "after", "gain" };
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

/* "pgd-10" when all rows were attacked so; "" */
static const char *attack_of_all(const json_t *table)
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

/* What the numbers are, and which runs they lack. */
static void notes_print(struct paper *paper)
{
    static const char *const open[] = { [TABLE_MARKDOWN] = "\n", [TABLE_LATEX] = "% ", [TABLE_TEXT] = "" };
    static const char *const item[] = { [TABLE_MARKDOWN] = "- ", [TABLE_LATEX] = "% ", [TABLE_TEXT] = "" };
    const char *attack = attack_of_all(paper->table),
               *protocol = json_string_value(json_object_get(paper->table, "protocol"));
    json_t *run;
    size_t i;

    fprintf(paper->out, "%sAccuracy in percent, mean ± sample standard deviation over n seeds%s%s; protocol %s.\n",
            open[paper->format], *attack ? "; Adv: " : "", attack, protocol ? protocol : "as in the rows");
    if (paper->format == TABLE_MARKDOWN && json_array_size(json_object_get(paper->table, "missing")))
        fputc('\n', paper->out);
    json_array_foreach(json_object_get(paper->table, "missing"), i, run)
    {
        const char *state = json_string_value(json_object_get(run, "state"));
        char name[CELL_SIZE] = "";

        put_method(name, run);
        put(name, ", seed %lld, ", (long long)json_integer_value(json_object_get(run, "seed")));
        put_choice(name, json_object_get(run, "modules"));
        fprintf(paper->out, "%smissing: %s%s%s (job %s)\n", item[paper->format], name, state ? ": " : "",
                state ? state : "", json_string_value(json_object_get(run, "job")));
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

    paper.cells = calloc(CELLS_TOP, sizeof(*paper.cells));
    if (!paper.cells)
        return false;
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
    free(paper.cells);
    return true;
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

static void csv_line(FILE *out, const json_t *table, const json_t *row, const char *side)
{
    const json_t *group = json_object_get(row, "group");
    const char *method = json_string_value(json_object_get(row, "method"));
    const char *protocol = json_string_value(json_object_get(row, "protocol"));
    const char *attack = json_string_value(json_object_get(row, "attack"));
    char choice[CELL_SIZE] = "", seeds[CELL_SIZE] = "", modules[CELL_SIZE] = "", alphas[CELL_SIZE] = "";
    json_t *name;
    size_t i;

    put_choice(choice, json_object_get(row, "modules"));
    put_numbers(seeds, json_object_get(row, "seeds"), " ");
    put_chosen(modules, json_object_get(row, "chosen"));
    put_alphas(alphas, json_object_get(row, "chosen"), " ");
    csv_cell(out, method ? method : "", true);
    csv_cell(out, choice, false);
    json_array_foreach(json_object_get(table, "group_by"), i, name)
    {
        char value[CELL_SIZE] = "";
        put_value(value, json_object_get(group, json_string_value(name)));
        csv_cell(out, value, false);
    }
    csv_cell(out, protocol ? protocol : "", false);
    csv_cell(out, attack ? attack : "", false);
    csv_cell(out, side, false);
    csv_number(out, json_object_get(row, "n"));
    csv_cell(out, seeds, false);
    for (int c = 0; c < COLUMNS; c++) {
        const json_t *number = json_object_get(json_object_get(row, side), columns[c].key);
        if (!has_column(table, c))
            continue;
        csv_number(out, json_object_get(number, "mean"));
        csv_number(out, json_object_get(number, "std"));
    }
    csv_cell(out, strcmp(side, "before") ? modules : "", false);
    csv_cell(out, strcmp(side, "before") ? alphas : "", false);
    fputs("\r\n", out);
}

static void csv_print(FILE *out, const json_t *table)
{
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
        csv_line(out, table, row, "before");
        csv_line(out, table, row, "after");
        csv_line(out, table, row, "gain");
    }
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
        csv_print(out, table);
    else
        done = paper_print(out, table, format);
    if (fclose(out) == 0 && done)
        return text;
    free(text);
    return NULL;
}
