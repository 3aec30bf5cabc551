/* What can be done with a data set?
 *
 * `dataset corrupt` writes a corrupt job's spec from a few words and hands it
 * in; whatever else such a job can be told goes by `submit`. The copies lie in
 * the job's directory, on the server's disk; the job's result says where. */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "a,b" as a list: of numbers where all are, else of names. A name that isn't one is the server's to refuse. */
static json_t *list_parse(const char *text)
{
    json_t *list = json_array();

    while (*text) {
        size_t length = strcspn(text, ",");
        char *word = strndup(text, length), *end;
        long number = word ? strtol(word, &end, 10) : 0;

        json_array_append_new(list, word && *word && *end == 0 ? json_integer(number) : json_string(word ? word : ""));
        free(word);
        text += length + (text[length] == ',');
    }
    return list;
}

/* A name that riftd knows, or, with --format, a path. */
static int dataset_spec(struct cli *cli, json_t **ret)
{
    const char *given = cli->arguments[0], *format = cli_value(cli, "format", NULL);

    if (!format && strchr(given, '/'))
        return cli_error(CLI_USAGE,
                         "dataset corrupt: how do the data lie at %s? Give --format; `riftctl fields corrupt` "
                         "lists them under /dataset/format",
                         given);
    if (!format) {
        *ret = json_pack("{s:s}", "name", given);
        return CLI_OK;
    }
    char *path = realpath(given, NULL);
    if (!path) /* it may lie on the server's disk only; a relative one is refused there */
        path = strdup(given);
    *ret = json_pack("{s:s, s:s}", "format", format, "path", path ? path : "");
    free(path);
    return CLI_OK;
}

/* What isn't a number goes as it is, for the server to say so. */
static void number_add(const struct cli *cli, const char *option, json_t *into, const char *member)
{
    const char *text = cli_value(cli, option, NULL);
    json_t *number = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;

    if (text)
        json_object_set_new(into, member, number ? number : json_string(text));
}

int command_dataset_corrupt(struct cli *cli)
{
    static const struct {
        const char *option, *field; /* of "corrupt" */
        bool list;
    } rows[] = {
        { "set", "set", false },
        { "names", "names", true },
        { "severities", "severities", true },
        { "as", "format", false },
        { "parameters", "parameters", false },
    };
    json_auto_t *spec = json_object();
    json_t *dataset = NULL, *corrupt = json_object();
    int r = dataset_spec(cli, &dataset);

    if (r != CLI_OK) {
        json_decref(corrupt);
        return r;
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *value = cli_value(cli, rows[i].option, NULL);

        if (value)
            json_object_set_new(corrupt, rows[i].field, rows[i].list ? list_parse(value) : json_string(value));
    }
    json_object_set_new(spec, "kind", json_string(job_kinds[JOB_CORRUPT].name));
    json_object_set_new(spec, "dataset", dataset);
    json_object_set_new(spec, "corrupt", corrupt);
    number_add(cli, "seed", spec, "seed");
    number_add(cli, "limit", dataset, "test_limit");
    return submit_spec(cli, spec);
}

void print_copies(struct cli *cli, const json_t *job)
{
    const json_t *result = json_object_get(job, "result");
    size_t corruptions = json_array_size(json_object_get(result, "corruptions"));
    size_t severities = json_array_size(json_object_get(result, "severities"));
    json_int_t images = json_integer_value(json_object_get(result, "images"));

    (void)cli;
    printf("\n%zu corruption%s in %zu severit%s of %" JSON_INTEGER_FORMAT " image%s (%s) lie in\n  %s\n", corruptions,
           print_plural(corruptions), severities, severities == 1 ? "y" : "ies", images, print_plural((size_t)images),
           text_at(result, "format", "?"), text_at(result, "path", "?"));
    if (json_object_get(result, "frost"))
        printf("frost is %s\n", text_at(result, "frost", ""));
}
