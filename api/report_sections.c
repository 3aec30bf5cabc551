/* What are the sections of a report made of?
 *
 * Columns are said as one line of text, since a table is easier to read where it
 * is filled than where it is declared. */
#include "api/report.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>

/* "key:as:head" and what follows it. */
static const char *column_add(json_t *columns, const char *at)
{
    size_t key = strcspn(at, ":"), as = strcspn(at + key + 1, ":"), head = strcspn(at + key + as + 2, "|");
    const char *end = at + key + as + head + 2;

    json_array_append_new(columns, json_pack("{s:s%, s:s%, s:s%}", "key", at, key, "as", at + key + 1, as, "head",
                                             at + key + as + 2, head));
    return *end ? end + 1 : end;
}

json_t *section_add(struct report *report, const char *id, const char *title, const char *columns)
{
    json_t *list = json_array();

    while (*columns)
        columns = column_add(list, columns);
    json_t *section = json_pack("{s:s, s:s, s:o, s:[], s:[], s:[]}", "id", id, "title", title, "columns", list, "rows",
                                "marked", "changes");
    json_array_append_new(json_object_get(report->json, "sections"), section);
    return section;
}

void section_row(json_t *section, json_t *row, bool marked)
{
    json_t *rows = json_object_get(section, "rows");

    if (marked)
        json_array_append_new(json_object_get(section, "marked"), json_integer((json_int_t)json_array_size(rows)));
    json_array_append_new(rows, row);
}

void section_change(json_t *section, json_t *row)
{
    json_array_append_new(json_object_get(section, "changes"),
                          json_integer((json_int_t)json_array_size(json_object_get(section, "rows"))));
    section_row(section, row, false);
}

void section_note(json_t *section, const char *format, ...)
{
    const char *before = json_string_value(json_object_get(section, "note"));
    va_list arguments;

    va_start(arguments, format);
    json_auto_t *note = json_vsprintf(format, arguments);
    va_end(arguments);
    json_object_set_new(section, "note",
                        before ? json_sprintf("%s %s", before, json_string_value(note)) : json_incref(note));
}

void section_images(json_t *section, const char *words, const json_t *result)
{
    const json_t *images = json_object_get(result, "images");
    const char *split = json_string_value(json_object_get(result, "split"));

    if (json_is_integer(images))
        section_note(section, "%s %lld %s images.", words, (long long)json_integer_value(images), split ? split : "");
}

json_t *report_at(const json_t *json, const char *pointer)
{
    char name[80];

    for (; json && *pointer == '/'; pointer += strcspn(pointer, "/")) {
        size_t length = strcspn(++pointer, "/");
        if (length >= sizeof(name))
            return NULL;
        memcpy(name, pointer, length);
        name[length] = 0;
        json = json_object_get(json, name);
    }
    return (json_t *)json;
}

json_t *report_value(const json_t *value)
{
    return value ? json_incref((json_t *)value) : json_null();
}

const char *report_word(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));

    return text ? text : "";
}

json_t *report_joined(const json_t *list)
{
    json_t *words = json_string(""), *one;
    size_t i;

    json_array_foreach((json_t *)list, i, one)
    {
        if (!words)
            break; /* no memory: whoever takes it for a value finds none */
        const char *before = json_string_value(words), *comma = i ? ", " : "";
        json_t *longer = json_is_string(one)
                             ? json_sprintf("%s%s%s", before, comma, json_string_value(one))
                             : json_sprintf("%s%s%lld", before, comma, (long long)json_integer_value(one));
        json_decref(words);
        words = longer;
    }
    return words;
}

void report_capitals(const char *method, char ret[32])
{
    size_t i = 0;

    for (; method && method[i] && i < 31; i++)
        ret[i] = (char)toupper((unsigned char)method[i]);
    ret[i] = 0;
}

void report_method(const struct report *report, char ret[32])
{
    const char *method = json_string_value(report_at(report->spec, "/train/method"));
    const json_t *given = report_at(report->spec, "/train/weights");

    report_capitals(!method || (given && !json_is_null(given)) ? "AT" : method, ret);
}
