/* How does a report get into a file, or onto the terminal?
 *
 * riftd writes it; the format is what --format says, or what the file's name ends in,
 * else Markdown, which reads well on a terminal, too. The file has its name only when
 * all of it is there. */
#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name, *ending;
} formats[] = {
    { "markdown", ".md" }, { "html", ".html" }, { "html", ".htm" }, { "latex", ".tex" }, { "csv", ".csv" }
};

static const char *format_of(const char *path)
{
    const char *dot = path ? strrchr(path, '.') : NULL;

    for (size_t i = 0; dot && i < sizeof(formats) / sizeof(formats[0]); i++)
        if (!strcmp(formats[i].ending, dot))
            return formats[i].name;
    return formats[0].name;
}

static bool format_known(const char *name)
{
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
        if (!strcmp(formats[i].name, name))
            return true;
    return false;
}

static int report_ask(struct cli *cli, const char *format, struct http_response *ret)
{
    json_auto_t *job = NULL;
    struct fault why = { 0 };
    char *url = NULL;
    int r = server_job(cli, cli->arguments[0], &job);

    if (r != CLI_OK)
        return r;
    if (asprintf(&url, "/v1/jobs/%s/report", text_at(job, "id", "")) < 0)
        url = NULL;
    url_add(&url, "format", format);
    if (url_add(&url, "part", cli_value(cli, "part", NULL)) < 0)
        return cli_error(CLI_FAILED, "out of memory");
    r = http_ask(cli->http, &(struct http_request){ .path = url }, ret, &why);
    free(url);
    if (r < 0)
        return server_away(cli, why.message[0] ? why.message : strerror(-r));
    return ret->status / 100 == 2 ? CLI_OK : server_problem(cli, ret, "report");
}

static int report_keep(const struct http_response *report, const char *path)
{
    char *part = NULL;
    int r = CLI_OK;

    if (asprintf(&part, "%s.part", path) < 0)
        return cli_error(CLI_FAILED, "out of memory");
    FILE *file = fopen(part, "we");
    if (!file) {
        r = cli_error(CLI_FAILED, "%s: %m", path);
    } else {
        bool whole = fwrite(report->body, 1, report->size, file) == report->size;
        whole = fclose(file) == 0 && whole;
        if (!whole || rename(part, path) < 0) {
            r = cli_error(CLI_FAILED, "%s: %m", path);
            unlink(part);
        }
    }
    free(part);
    return r;
}

int command_report(struct cli *cli)
{
    const char *path = cli_value(cli, "to", NULL), *format = cli_value(cli, "format", format_of(path));
    http_response_auto report = { 0 };

    if (!format_known(format))
        return cli_error(CLI_USAGE, "report: --format must be html, markdown, latex or csv, is \"%s\"", format);
    int r = report_ask(cli, format, &report);

    if (r != CLI_OK)
        return r;
    if (!path)
        return fwrite(report.body, 1, report.size, stdout) == report.size && !fflush(stdout)
                   ? CLI_OK
                   : cli_error(CLI_FAILED, "report: %m");
    r = report_keep(&report, path);
    if (r == CLI_OK)
        printf("%s\n", path);
    return r;
}
