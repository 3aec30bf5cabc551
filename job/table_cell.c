/* What stands in one cell of a table?
 *
 * Words made of what the table's JSON says; the marks of Markdown, LaTeX and CSV
 * are put around them in table_text.c. Nothing is cut, however long. */
#include "job/table_cell.h"

#include "job/spec.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cell_done(struct cell *cell)
{
    free(cell->text);
    *cell = (struct cell){ 0 };
}

const char *cell_text(const struct cell *cell)
{
    return cell->text ? cell->text : "";
}

void cell_put(struct cell *cell, const char *format, ...)
{
    char *more = NULL, *longer = NULL;
    va_list arguments;

    va_start(arguments, format);
    int length = vasprintf(&more, format, arguments);
    va_end(arguments);
    if (length >= 0)
        longer = realloc(cell->text, cell->used + (size_t)length + 1);
    if (longer) {
        memcpy(longer + cell->used, more, (size_t)length + 1);
        cell->text = longer;
        cell->used += (size_t)length;
    } else {
        cell->broken = true;
    }
    if (length >= 0)
        free(more);
}

/* choice_show cuts lists; here every name counts. */
void cell_put_choice(struct cell *cell, const json_t *choice)
{
    char text[300];
    json_t *name;
    size_t i;

    json_array_foreach((json_t *)choice, i, name) cell_put(cell, "%s%s", i ? ", " : "", json_string_value(name));
    if (json_is_array(choice))
        return;
    choice_show(choice, text, sizeof(text));
    cell_put(cell, "%s", text);
}

void cell_put_value(struct cell *cell, const json_t *value)
{
    char *text =
        json_is_string(value) ? strdup(json_string_value(value)) : spec_text(value, JSON_COMPACT | JSON_ENCODE_ANY);

    if (text || !value)
        cell_put(cell, "%s", text ? text : "?");
    else
        cell->broken = true;
    free(text);
}

void cell_put_method(struct cell *cell, const json_t *row)
{
    const char *method = json_string_value(json_object_get(row, "method"));
    size_t used = cell->used;

    cell_put(cell, "%s", method ? method : "?");
    for (; used < cell->used; used++)
        cell->text[used] = (char)toupper((unsigned char)cell->text[used]);
}

void cell_put_seeds(struct cell *cell, const json_t *seeds)
{
    json_t *seed;
    size_t i;

    json_array_foreach((json_t *)seeds, i, seed)
        cell_put(cell, "%s%" JSON_INTEGER_FORMAT, i ? " " : "", json_integer_value(seed));
}

/* The modules of a run as one word: "layer2.1.conv2", "conv1+linear", "21 modules". */
static void cell_put_modules(struct cell *cell, const json_t *modules)
{
    json_t *name;
    size_t i;

    if (json_array_size(modules) > 3) {
        cell_put(cell, "%zu modules", json_array_size(modules));
        return;
    }
    json_array_foreach((json_t *)modules, i, name) cell_put(cell, "%s%s", i ? "+" : "", json_string_value(name));
}

void cell_put_chosen(struct cell *cell, const json_t *chosen)
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
        cell_put(cell, "%s", cell->used ? ", " : "");
        cell_put_modules(cell, modules);
        if (times > 1)
            cell_put(cell, " (%d)", times);
    }
}

void cell_put_alphas(struct cell *cell, const json_t *chosen, const char *between)
{
    json_t *run;
    size_t i;

    json_array_foreach((json_t *)chosen, i, run)
    {
        const json_t *alpha = json_object_get(run, "alpha");
        if (json_is_number(alpha))
            cell_put(cell, "%s%.10g", cell->used ? between : "", json_number_value(alpha));
        else
            cell_put(cell, "%s-", cell->used ? between : "");
    }
}
