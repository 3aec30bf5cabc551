/* What stands in a cell of a report, for people?
 *
 * Cells are what was measured, their column says what that is: fractions become percent
 * with two decimals, seconds become a duration, and what isn't known a dash. */
#include "api/report.h"

#include <math.h>
#include <string.h>

static const char *const as_words[] = {
    [AS_TEXT] = "text",       [AS_MONO] = "mono",   [AS_PERCENT] = "percent", [AS_POINTS] = "points",
    [AS_LOST] = "lost",       [AS_SINCE] = "since", [AS_NUMBER] = "number",   [AS_COUNT] = "count",
    [AS_SECONDS] = "seconds", [AS_BYTES] = "bytes",
};

enum cell_as column_as(const json_t *column)
{
    const char *word = json_string_value(json_object_get(column, "as"));

    for (size_t i = 0; word && i < sizeof(as_words) / sizeof(as_words[0]); i++)
        if (!strcmp(as_words[i], word))
            return (enum cell_as)i;
    return AS_TEXT;
}

bool column_is_text(const json_t *column)
{
    return column_as(column) <= AS_MONO;
}

static void seconds_write(FILE *out, double seconds)
{
    long long whole = llround(seconds);

    if (seconds < 60)
        fprintf(out, "%.1f s", seconds);
    else if (whole < 3600)
        fprintf(out, "%lld:%02lld min", whole / 60, whole % 60);
    else
        fprintf(out, "%lld:%02lld:%02lld h", whole / 3600, whole / 60 % 60, whole % 60);
}

void cell_write(FILE *out, const json_t *column, const json_t *value, text_writer *put)
{
    double number = json_number_value(value);

    if (json_is_string(value)) {
        put(out, json_string_value(value));
        return;
    }
    if (!json_is_number(value)) {
        fputs("–", out);
        return;
    }
    switch (column_as(column)) {
    case AS_PERCENT:
    case AS_LOST:
        fprintf(out, "%.2f", 100 * number);
        break;
    case AS_POINTS:
    case AS_SINCE:
        fprintf(out, "%+.2f", 100 * number);
        break;
    case AS_SECONDS:
        seconds_write(out, number);
        break;
    case AS_COUNT:
    case AS_BYTES:
        fprintf(out, "%.0f", number);
        break;
    default:
        fprintf(out, "%.4g", number);
    }
}

static const json_t *cell_at(const json_t *section, size_t row, size_t c)
{
    return json_array_get(json_array_get(json_object_get(section, "rows"), row), c);
}

/* What stands in a cell is printed as the difference of two others as they are printed (points_gained). */
void row_cell_write(FILE *out, const json_t *section, size_t row, size_t c, text_writer *put)
{
    const json_t *column = json_array_get(json_object_get(section, "columns"), c), *value = cell_at(section, row, c);
    const json_t *before = NULL, *after = NULL;
    enum cell_as as = column_as(column);

    if (as == AS_PERCENT && row_is_change(section, row)) {
        before = cell_at(section, row - 2, c);
        after = cell_at(section, row - 1, c);
    } else if (as == AS_POINTS || as == AS_SINCE) {
        before = as == AS_POINTS ? cell_at(section, row, c - 2) : cell_at(section, 0, c - 1);
        after = cell_at(section, row, c - 1);
    }
    if (json_is_number(value) && json_is_number(before) && json_is_number(after))
        fprintf(out, "%+.2f",
                points_gained(json_number_value(value), json_number_value(before), json_number_value(after), 2));
    else
        cell_write(out, column, value, put);
}

static bool row_is_listed(const json_t *rows, size_t row)
{
    const json_t *listed;
    size_t i;

    json_array_foreach((json_t *)rows, i, listed) if ((size_t)json_integer_value(listed) == row) return true;
    return false;
}

bool row_is_marked(const json_t *section, size_t row)
{
    return row_is_listed(json_object_get(section, "marked"), row);
}

bool row_is_change(const json_t *section, size_t row)
{
    return row_is_listed(json_object_get(section, "changes"), row);
}
