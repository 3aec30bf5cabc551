/* What did a job find out?
 *
 * Asked of a rift job, riftd answers with the step that knows; a finished
 * evaluate job's numbers are in its result. */
#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The job that the first argument names, and GET /v1/jobs/ID/WHAT of it. */
static int ask_about_job(struct cli *cli, const char *what, json_t **ret_job, json_t **ret)
{
    int r = server_job(cli, cli->arguments[0], ret_job);

    return r == CLI_OK ? server_get(cli, ret, "/v1/jobs/%s/%s", text_at(*ret_job, "id", ""), what) : r;
}

int command_modules(struct cli *cli)
{
    json_auto_t *job = NULL, *answer = NULL;
    int r = ask_about_job(cli, "modules", &job, &answer);

    if (r != CLI_OK)
        return r;
    if (cli->json)
        print_json(answer);
    else if (!json_array_size(json_object_get(answer, "modules")))
        return cli_nothing(cli, job);
    else
        show_criticality(cli, answer);
    return CLI_OK;
}

int command_interpolation(struct cli *cli)
{
    json_auto_t *job = NULL, *answer = NULL;
    int r = ask_about_job(cli, "interpolation", &job, &answer);

    if (r != CLI_OK)
        return r;
    if (cli->json)
        print_json(answer);
    else if (!json_array_size(json_object_get(answer, "points")))
        return cli_nothing(cli, job);
    else
        print_interpolation(answer);
    return CLI_OK;
}

static void print_series(const json_t *series)
{
    const json_t *row;
    int width = print_width(series, "name", 32);
    size_t i;

    printf("%-*s %8s  %12s\n", width, "NAME", "POINTS", "LAST");
    json_array_foreach(series, i, row)
        printf("%-*s %8" JSON_INTEGER_FORMAT "  %12.6g\n", width, text_at(row, "name", "-"),
               json_integer_value(json_object_get(row, "count")), json_number_value(json_object_get(row, "last")));
}

static void print_points(const json_t *points)
{
    const json_t *point;
    size_t i;

    printf("%10s  %8s  %14s\n", "STEP", "EPOCH", "VALUE");
    json_array_foreach(points, i, point)
        printf("%10" JSON_INTEGER_FORMAT "  %8g  %14.8g\n", json_integer_value(json_object_get(point, "step")),
               json_number_value(json_object_get(point, "epoch")), json_number_value(json_object_get(point, "value")));
}

/* The URL below a job of one curve, or, with a NULL name, of the list of them;
 * free() it. NULL: out of memory. */
static char *metrics_url(const struct cli *cli, const char *name)
{
    char *url = strdup("metrics");

    url_add(&url, "name", name);
    url_add(&url, "since", name ? cli_value(cli, "since", NULL) : NULL);
    url_add(&url, "max_points", name ? cli_value(cli, "max-points", NULL) : NULL);
    url_add(&url, "step", cli_value(cli, "step", NULL));
    return url;
}

/* ---- points for other programs ---- */

static int text_print(const char *data, size_t size, int status, void *user)
{
    (void)status;
    (void)user;
    return fwrite(data, 1, size, stdout) == size ? 0 : -EPIPE;
}

/* As riftd writes them, however many they are. */
static int metrics_print(struct cli *cli, const char *name, const char *format)
{
    json_auto_t *job = NULL;
    http_response_auto response = { 0 };
    struct fault why = { 0 };
    char *url = NULL;
    int r = server_job(cli, cli->arguments[0], &job);

    if (r != CLI_OK)
        return r;
    if (asprintf(&url, "/v1/jobs/%s/metrics", text_at(job, "id", "")) < 0)
        url = NULL;
    url_add(&url, "name", name);
    url_add(&url, "format", format);
    url_add(&url, "since", cli_value(cli, "since", NULL));
    url_add(&url, "max_points", cli_value(cli, "max-points", NULL));
    if (url_add(&url, "step", cli_value(cli, "step", NULL)) < 0)
        return cli_error(CLI_FAILED, "out of memory");
    struct http_request request = { .path = url };
    r = http_stream(cli->http, &request, 0, text_print, NULL, &response, &why);
    free(url);
    if (r >= 0 && fflush(stdout))
        r = -EPIPE;
    if (r < 0)
        return r == -EPIPE ? cli_error(CLI_FAILED, "metrics: %s", strerror(-r))
                           : server_away(cli, why.message[0] ? why.message : strerror(-r));
    return response.status / 100 == 2 ? CLI_OK : server_problem(cli, &response, "metrics");
}

/* A curve without points: is there one of that name at all? */
static int name_check(struct cli *cli, const char *name)
{
    json_auto_t *job = NULL, *answer = NULL;
    char *what = metrics_url(cli, NULL);
    const json_t *row;
    size_t i;

    if (!what)
        return cli_error(CLI_FAILED, "out of memory");
    int r = ask_about_job(cli, what, &job, &answer);
    free(what);
    if (r != CLI_OK)
        return r;
    const json_t *series = json_object_get(answer, "series");
    if (!json_array_size(series))
        return cli_nothing(cli, job);
    json_array_foreach(series, i, row) if (strcmp(text_at(row, "name", ""), name) == 0) return CLI_OK;
    cli_error(CLI_NOT_FOUND, "metrics: there is none called \"%s\"; there are:", name);
    json_array_foreach(series, i, row) fprintf(stderr, "  %s\n", text_at(row, "name", "-"));
    return CLI_NOT_FOUND;
}

int command_metrics(struct cli *cli)
{
    const char *name = cli->argument_count > 1 ? cli->arguments[1] : NULL;
    const char *format = cli_value(cli, "format", cli->json ? "json" : "text");
    json_auto_t *job = NULL, *answer = NULL;

    if (!strcmp(format, "csv") || !strcmp(format, "ndjson"))
        return metrics_print(cli, name, format);
    cli->json = !strcmp(format, "json");
    if (!cli->json && strcmp(format, "text"))
        return cli_error(CLI_USAGE, "metrics: --format must be text, json, csv or ndjson, is \"%s\"", format);
    char *what = metrics_url(cli, name);
    if (!what)
        return cli_error(CLI_FAILED, "out of memory");
    int r = ask_about_job(cli, what, &job, &answer);
    free(what);
    if (r == CLI_OK && name && !json_array_size(json_object_get(answer, "points")))
        r = name_check(cli, name);
    if (r != CLI_OK)
        return r;
    if (cli->json)
        print_json(answer);
    else if (name)
        print_points(json_object_get(answer, "points"));
    else if (!json_array_size(json_object_get(answer, "series")))
        return cli_nothing(cli, job);
    else
        print_series(json_object_get(answer, "series"));
    return CLI_OK;
}

/* The format that --format names; -1 with words. */
static int format_read(const struct cli *cli)
{
    const char *name = cli_value(cli, "format", cli->json ? "json" : "text");

    for (int i = 0; i < TABLE_FORMAT_COUNT; i++)
        if (strcmp(table_formats[i].name, name) == 0)
            return i;
    cli_error(CLI_USAGE, "table: --format must be text, json, csv, markdown or latex, is \"%s\"", name);
    return -1;
}

/* Why there is less than a whole table. */
static void say_unfinished(const char *kind, const json_t *job)
{
    const char *state = text_at(job, "state", "?"), *why = text_at(json_object_get(job, "error"), "message", NULL);

    if (outcome_exit(job) == CLI_CANCELLED)
        cli_error(CLI_OK, "table: the %s job was cancelled; \"-\" wasn't measured", kind);
    else if (strcmp(state, "failed") == 0)
        cli_error(CLI_OK, "table: the %s job failed%s%s; \"-\" wasn't measured", kind, why ? ": " : "", why ? why : "");
    else if (strcmp(state, "succeeded") != 0)
        cli_error(CLI_OK, "table: the %s job isn't finished (%s); \"-\" isn't measured yet", kind, state);
}

/* One rift job, as before and after, or what an evaluate job measured. */
static int table_of_one(struct cli *cli, const json_t *job)
{
    if (cli->json)
        print_json(json_object_get(job, "result"));
    else
        show_measured(cli, job);
    bool failed = outcome_exit(job) == CLI_CANCELLED || strcmp(text_at(job, "state", ""), "failed") == 0;
    if (!failed && !json_is_object(json_object_get(job, "result")))
        return cli_nothing(cli, job);
    if (!cli->json)
        say_unfinished(text_at(job, "kind", "?"), job);
    return CLI_OK;
}

/* The averaged table of the first job and those of `with` (ids and commas). */
static int table_of_several(struct cli *cli, const char *id, const char *with, enum table_format format)
{
    json_auto_t *table = NULL;
    char *url = NULL;
    int r = asprintf(&url, "/v1/jobs/%s/table", id);

    if (r >= 0)
        r = url_add(&url, "with", *with ? with : NULL);
    if (r >= 0)
        r = url_add(&url, "group_by", cli_value(cli, "group-by", NULL));
    if (r < 0)
        return cli_error(CLI_FAILED, "out of memory");
    r = server_get(cli, &table, "%s", url);
    free(url);
    if (r != CLI_OK)
        return r;
    char *text = table_text(table, format);
    if (!text)
        return cli_error(CLI_FAILED, "out of memory");
    fputs(text, stdout);
    if (*text && text[strlen(text) - 1] != '\n')
        putchar('\n');
    free(text);
    return CLI_OK;
}

int command_table(struct cli *cli)
{
    char with[CLI_ARGUMENTS_MOST * 40] = "", first[40] = "";
    bool plain = cli->argument_count == 1 && !cli_given(cli, "format") && !cli_given(cli, "group-by");
    int format = format_read(cli);

    if (format < 0)
        return CLI_USAGE;
    for (int i = 0; i < cli->argument_count; i++) {
        json_auto_t *job = NULL;
        int r = server_job(cli, cli->arguments[i], &job);
        int kind = r == CLI_OK ? job_kind_find(text_at(job, "kind", "")) : -1;

        if (r != CLI_OK)
            return r;
        if (kind != JOB_RIFT && kind != JOB_SWEEP && !(plain && kind == JOB_EVALUATE))
            return cli_error(CLI_USAGE, "only rift and sweep jobs have %s table; %s is %s %s job",
                             plain ? "a before/after" : "an averaged", text_at(job, "id", "?"),
                             print_article(text_at(job, "kind", "?")), text_at(job, "kind", "?"));
        if (plain && kind != JOB_SWEEP)
            return table_of_one(cli, job);
        if (i == 0)
            snprintf(first, sizeof(first), "%s", text_at(job, "id", ""));
        else
            snprintf(with + strlen(with), sizeof(with) - strlen(with), "%s%.36s", *with ? "," : "",
                     text_at(job, "id", ""));
    }
    return table_of_several(cli, first, with, (enum table_format)format);
}
