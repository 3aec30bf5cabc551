/* What has riftd got: data sets, devices, a queue, a version? */
#include "cli/cli.h"
#include "cli/style.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define COLUMNS_MOST 8

struct column {
    const char *key;
    int width;
};

static void print_cell(const json_t *value, enum style look, int width)
{
    char number[32];

    if (json_is_array(value)) { /* of names */
        char names[128] = "";
        for (size_t i = 0; i < json_array_size(value); i++)
            snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s", i ? "," : "",
                     json_string_value(json_array_get(value, i)) ?: "?");
        printf("%-*s  ", width, names);
        return;
    }
    if (json_is_integer(value))
        snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_boolean(value))
        strcpy(number, json_is_true(value) ? "yes" : "no");
    else
        snprintf(number, sizeof(number), "-");
    style_print(stdout, look, json_is_string(value) ? json_string_value(value) : number, width);
    fputs("  ", stdout);
}

/* An array of objects as a table of these columns. */
static void print_rows(const json_t *rows, const struct column columns[COLUMNS_MOST])
{
    const json_t *row;
    size_t i;

    for (int c = 0; c < COLUMNS_MOST && columns[c].key; c++) {
        style_print(stdout, STYLE_TITLE, columns[c].key, columns[c].width);
        fputs("  ", stdout);
    }
    putchar('\n');
    json_array_foreach(rows, i, row)
    {
        for (int c = 0; c < COLUMNS_MOST && columns[c].key; c++)
            print_cell(json_object_get(row, columns[c].key),
                       strcmp(columns[c].key, "state") ? STYLE_PLAIN : style_of_state(text_at(row, "state", "")),
                       columns[c].width);
        putchar('\n');
    }
}

/* GET /v1/WHAT, whose rows are the member `key`. */
static int list(struct cli *cli, const char *what, const char *key, const struct column columns[COLUMNS_MOST])
{
    json_auto_t *answer = NULL;
    int r = server_get(cli, &answer, "/v1/%s", what);

    if (r != CLI_OK)
        return r;
    if (cli->json)
        print_json(answer);
    else
        print_rows(json_object_get(answer, key), columns);
    return CLI_OK;
}

int command_datasets(struct cli *cli)
{
    static const struct column columns[COLUMNS_MOST] = { { "name", 20 }, { "format", 14 }, { "path", 40 } };

    return list(cli, "datasets", "datasets", columns);
}

int command_devices(struct cli *cli)
{
    static const struct column columns[COLUMNS_MOST] = { { "id", 10 },     { "type", 6 },        { "library", 20 },
                                                         { "threads", 7 }, { "precisions", 18 }, { "state", 7 },
                                                         { "job", 36 },    { "why", 20 } };

    return list(cli, "devices", "devices", columns);
}

int command_queue(struct cli *cli)
{
    static const struct column columns[COLUMNS_MOST] = {
        { "id", 36 }, { "kind", 11 }, { "state", 9 }, { "owner", 8 }, { "priority", 8 }, { "reason", 40 },
    };

    return list(cli, "queue", "jobs", columns);
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
    if (r == 0)
        printf("riftd   %s at %s\n", text_at(answer, "version", "?"), http_base(cli->http));
    else
        printf("riftd   not reachable%s%s\n", cli->http ? " at " : "", cli->http ? http_base(cli->http) : "");
    return CLI_OK;
}
