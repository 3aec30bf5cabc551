/* How do two jobs differ, in what they were told and in what came out?
 *
 * Settings and criticality are riftd's to compare (GET /v1/compare). Results are
 * laid flat here, "before/clean_accuracy", lists by the names of their items, and
 * what is the same in both is left out. */
#include "cli/cli.h"
#include "cli/style.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_LEAST  12
#define VALUE_LEAST 8
#define CHANGE_SIZE 12 /* "  +12.34" */

/* ---- results, laid flat ---- */

/* What an item of a list is called; NULL: it has no name. */
static const char *item_name(const json_t *item, char text[32])
{
    const char *name = text_at(item, "name", text_at(item, "module", NULL));
    static const char *const numbers[] = { "alpha", "severity", "seed" };

    for (size_t i = 0; !name && i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        const json_t *number = json_object_get(item, numbers[i]);
        if (!json_is_number(number))
            continue;
        snprintf(text, 32, "%s %g", numbers[i], json_number_value(number));
        name = text;
    }
    return name;
}

/* Criticality has a table of its own; the rest is how it was come to. */
static bool is_left_out(const char *key)
{
    static const char *const keys[] = { "modules", "points", "runs", "greedy", "name", "path", "rows" };

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (strcmp(keys[i], key) == 0)
            return true;
    return false;
}

/* {"before/clean_accuracy": 0.8, ...} */
static void lay_flat(json_t *flat, const char *path, json_t *value)
{
    char below[300], text[32];
    const char *key, *name;
    json_t *child;
    size_t i;

    if (json_is_object(value)) {
        json_object_foreach(value, key, child)
        {
            if (is_left_out(key))
                continue;
            snprintf(below, sizeof(below), "%.200s%s%.80s", path, *path ? "/" : "", key);
            lay_flat(flat, below, child);
        }
    } else if (json_is_array(value) && item_name(json_array_get(value, 0), text)) {
        json_array_foreach(value, i, child)
        {
            name = item_name(child, text);
            snprintf(below, sizeof(below), "%.200s%s%.80s", path, *path ? "/" : "", name ? name : "?");
            lay_flat(flat, below, child);
        }
    } else {
        json_object_set(flat, path, value);
    }
}

static void row_add(json_t *rows, const char *name, json_t *left, json_t *right)
{
    if (!left || !right || !json_equal(left, right))
        json_array_append_new(rows, json_pack("{s:s, s:[O?, O?]}", "name", name, "values", left, right));
}

/* [{name, values: [a, b]}] of what isn't the same. */
static json_t *results_compare(const json_t *a, const json_t *b)
{
    json_auto_t *left = json_object(), *right = json_object();
    json_t *rows = json_array(), *value;
    const char *name;

    lay_flat(left, "", json_object_get(a, "result"));
    lay_flat(right, "", json_object_get(b, "result"));
    json_object_foreach(left, name, value) if (*name) row_add(rows, name, value, json_object_get(right, name));
    json_object_foreach(right, name, value) if (*name && !json_object_get(left, name)) row_add(rows, name, NULL, value);
    return rows;
}

static json_t *modules_compare(const json_t *modules)
{
    json_t *rows = json_array(), *module;
    size_t i;

    json_array_foreach((json_t *)modules, i, module)
    {
        json_t *mrc = json_object_get(module, "mrc");
        if (!json_equal(json_array_get(mrc, 0), json_array_get(mrc, 1)))
            json_array_append_new(rows, json_pack("{s:s, s:O}", "name", text_at(module, "module", "?"), "values", mrc));
    }
    return rows;
}

static json_t *settings_compare(const json_t *differences)
{
    json_t *rows = json_array(), *row;
    size_t i;

    json_array_foreach((json_t *)differences, i, row) json_array_append_new(
        rows, json_pack("{s:s, s:O}", "name", text_at(row, "pointer", "?"), "values", json_object_get(row, "values")));
    return rows;
}

/* ---- for people ---- */

struct columns {
    int name, value;
    bool changes;
};

static char *value_text(const json_t *value, const char *name)
{
    char text[32];

    if (!value || json_is_null(value))
        return strdup("-");
    if (json_is_string(value))
        return strdup(json_string_value(value));
    if (json_is_number(value) && strstr(name, "accuracy")) {
        print_percent(text, value);
        return strdup(text);
    }
    if (json_is_real(value)) {
        snprintf(text, sizeof(text), "%.6g", json_real_value(value));
        return strdup(text);
    }
    return json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
}

/* How much more, in points where it is a fraction. */
static void change_text(char ret[32], const char *name, const json_t *left, const json_t *right)
{
    double by = json_number_value(right) - json_number_value(left);

    *ret = '\0';
    if (!json_is_number(left) || !json_is_number(right))
        return;
    if (strstr(name, "accuracy"))
        snprintf(ret, 32, "%+.2f", points_between(json_number_value(left), json_number_value(right), PERCENT_PLACES));
    else
        snprintf(ret, 32, "%+.4g", by);
}

static void row_print(const struct columns *columns, const char *name, const char *left, const char *right,
                      const char *change, bool title)
{
    int all, rows;
    struct line line;

    style_size(&all, &rows);
    line_start(&line, all);
    line_add(&line, title ? STYLE_TITLE : STYLE_PLAIN, "%.*s", columns->name, name);
    line_pad(&line, columns->name + 2);
    line.most = columns->name + 2 + columns->value;
    line_add(&line, title ? STYLE_TITLE : STYLE_FIRST, "%s", left);
    line.most = all;
    line_pad(&line, columns->name + 2 + columns->value + 2);
    line.most = columns->name + 2 + 2 * columns->value + 2;
    line_add(&line, title ? STYLE_TITLE : STYLE_SECOND, "%s", right);
    line.most = all;
    if (*change)
        line_pad(&line, columns->name + 2 + 2 * columns->value + 4);
    line_add(&line, title ? STYLE_TITLE : STYLE_PLAIN, "%s", change);
    puts(line_end(&line));
}

static void rows_print(const char *title, const json_t *rows, bool changes)
{
    struct columns columns = { print_width(rows, "name", NAME_LEAST), VALUE_LEAST, changes };
    int all, lines;
    const json_t *row;
    char change[32];
    size_t i;

    if (!json_array_size(rows))
        return;
    style_size(&all, &lines);
    if (columns.name > all * 2 / 5)
        columns.name = all * 2 / 5;
    for (int side = 0; side < 2; side++)
        json_array_foreach(rows, i, row)
        {
            char *text =
                value_text(json_array_get(json_object_get(row, "values"), (size_t)side), text_at(row, "name", ""));
            int width = text ? style_width(text) : 0;
            columns.value = width > columns.value ? width : columns.value;
            free(text);
        }
    int room = (all - columns.name - 4 - (changes ? CHANGE_SIZE : 0)) / 2;
    if (columns.value > room)
        columns.value = room > VALUE_LEAST ? room : VALUE_LEAST;
    putchar('\n');
    row_print(&columns, title, "first", "second", changes ? "change" : "", true);
    json_array_foreach(rows, i, row)
    {
        const json_t *values = json_object_get(row, "values");
        const char *name = text_at(row, "name", "-");
        char *left = value_text(json_array_get(values, 0), name), *right = value_text(json_array_get(values, 1), name);

        *change = '\0';
        if (changes)
            change_text(change, name, json_array_get(values, 0), json_array_get(values, 1));
        row_print(&columns, name, left ? left : "", right ? right : "", change, false);
        free(left);
        free(right);
    }
}

static void head_print(const char *what, const json_t *job, enum style style)
{
    printf("%s%-6s%s  %s  %-11s  ", style_on(style), what, style_off(), text_at(job, "id", "-"),
           text_at(job, "kind", "-"));
    print_state(text_at(job, "state", "-"), 9);
    printf("  %s\n", text_at(job, "label", ""));
}

static json_t *head_json(const json_t *job)
{
    return json_pack("{s:O?, s:O?, s:O?, s:O?}", "id", json_object_get(job, "id"), "kind", json_object_get(job, "kind"),
                     "state", json_object_get(job, "state"), "label", json_object_get(job, "label"));
}

int command_diff(struct cli *cli)
{
    json_auto_t *a = NULL, *b = NULL, *comparison = NULL;
    int r = server_job(cli, cli->arguments[0], &a);

    if (r == CLI_OK)
        r = server_job(cli, cli->arguments[1], &b);
    if (r == CLI_OK)
        r = server_get(cli, &comparison, "/v1/compare?jobs=%s,%s", text_at(a, "id", ""), text_at(b, "id", ""));
    if (r != CLI_OK)
        return r;
    json_auto_t *settings = settings_compare(json_object_get(comparison, "differences"));
    json_auto_t *results = results_compare(a, b), *modules = modules_compare(json_object_get(comparison, "modules"));
    if (cli->json) {
        json_auto_t *all = json_pack("{s:[o, o], s:O, s:O, s:O}", "jobs", head_json(a), head_json(b), "settings",
                                     settings, "results", results, "criticality", modules);
        print_json(all);
        return CLI_OK;
    }
    head_print("first", a, STYLE_FIRST);
    head_print("second", b, STYLE_SECOND);
    rows_print("setting", settings, false);
    rows_print("result", results, true);
    rows_print("criticality", modules, true);
    if (!json_array_size(settings) && !json_array_size(results) && !json_array_size(modules))
        printf("\nThey were told the same, and the same came out.\n");
    return CLI_OK;
}
