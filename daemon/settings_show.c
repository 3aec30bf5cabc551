/* What are the settings, and who says so?
 *
 * For --help, --print-settings and the log. What is secret shows only that it
 * is there. */
#include "daemon/settings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { HELP_LEFT = 28, HELP_WIDTH = 100 };

/* Text in lines of at most HELP_WIDTH, the first after `left`, the others below it. */
static void paragraph(const char *left, const char *text)
{
    int column = printf("%-*s", HELP_LEFT + 2, left);

    if (column > HELP_LEFT + 2)
        column = printf("\n%*s", HELP_LEFT + 2, "") - 1;
    while (*text) {
        int length = (int)strcspn(text, " ");
        if (column + 1 + length > HELP_WIDTH)
            column = printf("\n%*s", HELP_LEFT + 2, "") - 1;
        column += printf(" %.*s", length, text);
        text += length;
        text += strspn(text, " ");
    }
    putchar('\n');
}

static void row_help(const struct setting *row)
{
    char left[96], text[1024], range[256];

    snprintf(left, sizeof(left), "%c --%s %s", row->flags & RELOADABLE ? '*' : ' ', row->key, row->argument);
    setting_expectation(row, range, sizeof(range));
    bool number = row->type == SETTING_INTEGER || row->type == SETTING_BYTES || row->type == SETTING_DURATION;
    const char *fallback = row->variable ? row->variable : row->fallback;
    snprintf(text, sizeof(text), "%s%s%s%s%s%s%s", row->meaning, number ? " (" : "", number ? range : "",
             number ? ")" : "", fallback ? " Default: " : "", row->variable ? "$" : "", fallback ? fallback : "");
    paragraph(left, text);
}

void settings_help(void)
{
    printf("usage: riftd --state DIR [OPTION...]\n"
           "Keeps a queue of RiFT jobs, runs them in rift-worker processes and serves them over HTTP.\n\n");
    paragraph("  --config FILE", "Read settings from this file. Default: /etc/riftd/riftd.conf, where it exists.");
    paragraph("  --check-config", "Read all settings, say every mistake, and end: 0 without one, else 78.");
    paragraph("  --print-settings [--json]", "Print every setting, its value and who says so.");
    paragraph("  --help", "Say this.");
    paragraph("  --version", "Say which riftd this is.");
    printf(
        "\nSettings. Each can also stand in the file (KEY = VALUE) or in the environment (RIFTD_KEY, with _ for -);\n"
        "a flag counts before the environment, that before the file. Those with * are read again on SIGHUP.\n\n");
    for (int i = 0; i < settings_count; i++)
        row_help(&settings_table[i]);
}

void origin_text(const struct origin *origin, char *ret, size_t size)
{
    static const char *const words[] = {
        [SOURCE_DEFAULT] = "default",         [SOURCE_FILE] = "file", [SOURCE_CREDENTIAL] = "credential",
        [SOURCE_ENVIRONMENT] = "environment", [SOURCE_FLAG] = "flag",
    };
    const char *word = words[origin->source == SOURCE_DEFAULT && origin->name ? SOURCE_ENVIRONMENT : origin->source];

    if (origin->line)
        snprintf(ret, size, "%s %s:%d", word, origin->name, origin->line);
    else
        snprintf(ret, size, "%s%s%s", word, origin->name ? " " : "", origin->name ? origin->name : "");
}

static const struct setting_list *list_of(const struct setting *row, const struct settings *settings)
{
    return (const void *)((const char *)settings + row->offset);
}

static const char *string_of(const struct setting *row, const struct settings *settings)
{
    const char *text = *(const char *const *)(const void *)((const char *)settings + row->offset);

    return text ? text : "";
}

static bool is_string(const struct setting *row)
{
    return row->type == SETTING_STRING || row->type == SETTING_PATH;
}

bool setting_same(const struct setting *row, const struct settings *one, const struct settings *other)
{
    char left[64], right[64];

    if (is_string(row))
        return strcmp(string_of(row, one), string_of(row, other)) == 0;
    if (row->type == SETTING_LIST) {
        const struct setting_list *a = list_of(row, one), *b = list_of(row, other);
        bool same = a->count == b->count;
        for (int i = 0; same && i < a->count; i++)
            same = strcmp(a->items[i].text, b->items[i].text) == 0;
        return same;
    }
    setting_text(row, one, left, sizeof(left));
    setting_text(row, other, right, sizeof(right));
    return strcmp(left, right) == 0;
}

void setting_show(const struct setting *row, const struct settings *settings, char *ret, size_t size)
{
    const struct setting_list *list = row->type == SETTING_LIST ? list_of(row, settings) : NULL;
    size_t length = 0;

    setting_text(row, settings, ret, size);
    for (int i = 0; list && i < list->count && length < size; i++)
        length += (size_t)snprintf(ret + length, size - length, "%s%s", i ? "; " : "", list->items[i].text);
    if (!*ret)
        snprintf(ret, size, "none");
    else if (row->flags & SECRET)
        snprintf(ret, size, "(hidden)");
}

/* Of the widest key, so that values stand below each other. */
static int key_width(void)
{
    size_t width = 0;

    for (int i = 0; i < settings_count; i++)
        if (strlen(settings_table[i].key) > width)
            width = strlen(settings_table[i].key);
    return (int)width;
}

static void line_print(const char *key, const char *value, const struct origin *origin)
{
    char from[512];

    origin_text(origin, from, sizeof(from));
    printf("%-*s %-32s %s\n", key_width(), key, value, from);
}

static void row_print(const struct setting *row, const struct settings *settings)
{
    const struct setting_list *list = row->type == SETTING_LIST ? list_of(row, settings) : NULL;
    char value[4096];

    for (int i = 0; list && i < list->count; i++)
        line_print(row->key, row->flags & SECRET ? "(hidden)" : list->items[i].text, &list->items[i].origin);
    if (list && list->count)
        return;
    setting_show(row, settings, value, sizeof(value));
    line_print(row->key, value, &settings->origins[row - settings_table]);
}

/* ---- JSON ---- */

static json_t *value_json(const struct setting *row, const struct settings *settings)
{
    const void *member = (const char *)settings + row->offset;
    char text[64];

    switch (row->type) {
    case SETTING_STRING:
    case SETTING_PATH:
        return *string_of(row, settings) ? json_string(row->flags & SECRET ? "(hidden)" : string_of(row, settings))
                                         : json_null();
    case SETTING_INTEGER:
    case SETTING_BYTES:
    case SETTING_DURATION:
        return *(const int64_t *)member == SETTING_UNSET ? json_null() : json_integer(*(const int64_t *)member);
    case SETTING_BOOLEAN:
        return json_boolean(*(const bool *)member);
    case SETTING_ENUM:
        setting_text(row, settings, text, sizeof(text));
        return json_string(text);
    case SETTING_LIST:
        break;
    }
    const struct setting_list *list = list_of(row, settings);
    json_t *items = json_array();
    for (int i = 0; i < list->count; i++)
        json_array_append_new(items, json_string(row->flags & SECRET ? "(hidden)" : list->items[i].text));
    return items;
}

static json_t *row_json(const struct setting *row, const struct settings *settings)
{
    static const char *const types[] = {
        [SETTING_STRING] = "string", [SETTING_PATH] = "path",         [SETTING_INTEGER] = "integer",
        [SETTING_BYTES] = "bytes",   [SETTING_DURATION] = "duration", [SETTING_BOOLEAN] = "boolean",
        [SETTING_ENUM] = "enum",     [SETTING_LIST] = "list",
    };
    char from[512];
    bool number = row->type == SETTING_INTEGER || row->type == SETTING_BYTES || row->type == SETTING_DURATION;

    origin_text(&settings->origins[row - settings_table], from, sizeof(from));
    return json_pack("{s:s, s:o, s:s, s:s, s:s?, s:o, s:o, s:s?, s:s?, s:s, s:b, s:b, s:s}", "key", row->key, "value",
                     value_json(row, settings), "origin", from, "type", types[row->type], "default", row->fallback,
                     "min", number ? json_integer(row->min) : json_null(), "max",
                     number ? json_integer(row->max) : json_null(), "unit", row->unit, "values", row->values,
                     "argument", row->argument, "reloadable", (row->flags & RELOADABLE) != 0, "secret",
                     (row->flags & SECRET) != 0, "meaning", row->meaning);
}

static int json_print(const struct settings *settings)
{
    json_t *rows = json_array();

    for (int i = 0; i < settings_count; i++)
        json_array_append_new(rows, row_json(&settings_table[i], settings));
    json_auto_t *all = json_pack("{s:s?, s:o}", "file", settings->file, "settings", rows);
    if (!all || json_array_size(rows) != (size_t)settings_count || json_dumpf(all, stdout, JSON_INDENT(2)) < 0)
        return -ENOMEM;
    putchar('\n');
    return 0;
}

int settings_print(const struct settings *settings, bool json)
{
    if (json)
        return json_print(settings);
    for (int i = 0; i < settings_count; i++)
        row_print(&settings_table[i], settings);
    return 0;
}
