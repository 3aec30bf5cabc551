/* What has riftd got: data sets, devices, a queue, a version? */
#include "cli/cli.h"
#include "cli/style.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define COLUMNS_MOST 8
#define CELL_SIZE    512

/* What a member is to people; "" when there is nothing to say. */
static void cell_text(const json_t *value, char ret[CELL_SIZE])
{
    *ret = '\0';
    if (json_is_array(value)) /* of names */
        for (size_t i = 0; i < json_array_size(value); i++)
            snprintf(ret + strlen(ret), CELL_SIZE - strlen(ret), "%s%s", i ? "," : "",
                     json_string_value(json_array_get(value, i)) ?: "?");
    else if (json_is_integer(value))
        snprintf(ret, CELL_SIZE, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_boolean(value))
        strcpy(ret, json_is_true(value) ? "yes" : "no");
    else if (json_is_string(value))
        snprintf(ret, CELL_SIZE, "%s", json_string_value(value));
}

/* As wide as its widest cell; 0: there is nothing in it. */
static int column_width(const json_t *rows, const char *key)
{
    char text[CELL_SIZE];
    const json_t *row;
    int most = 0;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        cell_text(json_object_get(row, key), text);
        int width = style_width(text);
        most = width > most ? width : most;
    }
    return most && most < (int)strlen(key) ? (int)strlen(key) : most;
}

/* A row of the table, or its head for a NULL row. */
static void row_print(const json_t *row, const char *const columns[COLUMNS_MOST], const int widths[COLUMNS_MOST])
{
    int gap = 0; /* columns that the one before still lacks */
    char text[CELL_SIZE];

    for (int c = 0; c < COLUMNS_MOST && columns[c]; c++) {
        bool state = row && strcmp(columns[c], "state") == 0;
        if (!widths[c])
            continue;
        cell_text(json_object_get(row, columns[c]), text);
        const char *shown = row ? *text ? text : "-" : columns[c];
        printf("%*s", gap, "");
        style_print(stdout, row ? state ? style_of_state(text) : STYLE_PLAIN : STYLE_TITLE, shown, 0);
        gap = widths[c] - style_width(shown) + 2;
    }
    putchar('\n');
}

/* An array of objects as a table of these columns; those with nothing in them are left out. */
static void print_rows(const json_t *rows, const char *const columns[COLUMNS_MOST])
{
    int widths[COLUMNS_MOST] = { 0 };
    const json_t *row;
    size_t i;

    for (int c = 0; c < COLUMNS_MOST && columns[c]; c++)
        widths[c] = column_width(rows, columns[c]);
    row_print(NULL, columns, widths);
    json_array_foreach(rows, i, row) row_print(row, columns, widths);
}

/* GET /v1/WHAT, whose rows are the member `key`. none: what to say on stderr when there is none. */
static int list(struct cli *cli, const char *what, const char *key, const char *const columns[COLUMNS_MOST],
                const char *none)
{
    json_auto_t *answer = NULL;
    int r = server_get(cli, &answer, "/v1/%s", what);

    if (r != CLI_OK)
        return r;
    if (cli->json)
        print_json(answer);
    else if (json_array_size(json_object_get(answer, key)))
        print_rows(json_object_get(answer, key), columns);
    else
        fprintf(stderr, "%s\n", none);
    return CLI_OK;
}

int command_datasets(struct cli *cli)
{
    static const char *const columns[COLUMNS_MOST] = { "name", "format", "path" };

    return list(
        cli, "datasets", "datasets", columns,
        "riftd knows no data set by name: it is told with --dataset NAME=FORMAT:PATH. Specs may also give a path.");
}

int command_devices(struct cli *cli)
{
    static const char *const columns[COLUMNS_MOST] = { "id",         "type",  "library", "threads",
                                                       "precisions", "state", "job",     "why" };

    return list(cli, "devices", "devices", columns, "There is no device: riftd's log says why.");
}

int command_queue(struct cli *cli)
{
    static const char *const columns[COLUMNS_MOST] = { "id", "kind", "state", "owner", "priority", "reason" };

    return list(cli, "queue", "jobs", columns, "Nothing runs and nothing waits.");
}

/* POST /v1/admin/VERB, then one line. */
static int administer(struct cli *cli, const char *path, const char *done)
{
    json_auto_t *answer = NULL;
    int r = server_call(cli, "POST", path, NULL, NULL, &answer);

    if (r != CLI_OK)
        return r;
    if (cli->json)
        print_json(answer);
    else
        printf("%s\n", done);
    return CLI_OK;
}

int command_drain(struct cli *cli)
{
    return administer(cli, "/v1/admin/drain", "nothing starts any more; running jobs go on");
}

int command_resume(struct cli *cli)
{
    return administer(cli, "/v1/admin/resume", "jobs start again");
}

/* Our own version is known, whoever answers. */
int command_version(struct cli *cli)
{
    json_auto_t *answer = NULL;

    server_look_again(cli);
    int r = cli->http ? server_try(cli->http, "/v1/version", &answer) : -ENOENT;
    if (cli->json) {
        json_auto_t *both = json_pack("{s:s, s:O?}", "riftctl", RIFT_VERSION, "riftd", answer);
        print_json(both);
        return CLI_OK;
    }
    printf("riftctl %s\n", RIFT_VERSION);
    const char *commit = text_at(answer, "commit", "");
    if (r == 0)
        printf("riftd   %s%s%.10s at %s\n", text_at(answer, "version", "?"), *commit ? " " : "", commit,
               http_base(cli->http));
    else
        printf("riftd   not reachable%s%s\n", cli->http ? " at " : "", cli->http ? http_base(cli->http) : "");
    return CLI_OK;
}
