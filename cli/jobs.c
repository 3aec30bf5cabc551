/* Which jobs are there, and what may be done with one? */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_LIMIT "20"
#define PAGE_LIMIT    "200"

static const char *const filters[] = { "state", "kind", "label", "owner" };
enum { FILTERS = sizeof(filters) / sizeof(filters[0]) };

/* The URL of one page of `list`; free() it. NULL: out of memory. */
static char *list_url(const struct cli *cli, const char *cursor)
{
    char *url = strdup("/v1/jobs");

    url_add(&url, "limit", cli_value(cli, "limit", cli_given(cli, "all") ? PAGE_LIMIT : DEFAULT_LIMIT));
    url_add(&url, "parent", cli_given(cli, "steps") ? NULL : ""); /* "": only jobs that are nobody's step */
    for (size_t i = 0; i < FILTERS; i++)
        url_add(&url, filters[i], cli_value(cli, filters[i], NULL));
    url_add(&url, "cursor", cursor);
    return url;
}

static void say_none(const struct cli *cli)
{
    bool filtered = false;

    for (size_t i = 0; i < FILTERS; i++)
        filtered |= cli_given(cli, filters[i]);
    fputs(filtered ? "No job is like that.\n" : "There are no jobs yet: `riftctl submit` hands one in.\n", stderr);
}

int command_list(struct cli *cli)
{
    json_auto_t *all = json_array();
    json_auto_t *page = NULL;
    const char *cursor = NULL, *state = cli_value(cli, "state", "");

    if (strchr(state, '/'))
        return cli_error(CLI_USAGE,
                         "behind list, --state is that of the jobs; riftd's directory goes before it, as in\n"
                         "  `riftctl --state %s list`",
                         state);
    do {
        char *url = list_url(cli, cursor);
        if (!url)
            return cli_error(CLI_FAILED, "out of memory");
        json_t *next = NULL;
        int r = server_call(cli, "GET", url, NULL, NULL, &next);
        free(url);
        if (r != CLI_OK)
            return r;
        json_decref(page);
        page = next;
        json_array_extend(all, json_object_get(page, "jobs"));
        cursor = text_at(page, "next", NULL);
    } while (cursor && cli_given(cli, "all"));

    if (cli->json) {
        json_object_set(page, "jobs", all);
        print_json(page);
        return CLI_OK;
    }
    if (json_array_size(all))
        print_jobs(all);
    else
        say_none(cli);
    if (cursor)
        printf("(there are more: --all, or --limit N)\n");
    return CLI_OK;
}

int command_show(struct cli *cli)
{
    json_auto_t *job = NULL;
    int r = server_job(cli, cli->arguments[0], &job);

    if (r != CLI_OK)
        return r;
    if (cli_given(cli, "spec"))
        print_json(json_object_get(job, "spec"));
    else if (cli->json)
        print_json(job);
    else
        print_job(job);
    return CLI_OK;
}

/* METHOD /v1/jobs/ID[/verb] with a body or none, then one line. */
static int act_on(struct cli *cli, const char *name, const char *method, const char *verb, const json_t *body,
                  const char *done)
{
    json_auto_t *job = NULL, *answer = NULL;
    char path[128];
    int r = server_job(cli, name, &job);

    if (r != CLI_OK)
        return r;
    const char *id = text_at(job, "id", "");
    snprintf(path, sizeof(path), "/v1/jobs/%s%s%s", id, *verb ? "/" : "", verb);
    r = server_call(cli, method, path, body, NULL, &answer);
    if (r != CLI_OK)
        return r;
    if (cli->json && answer)
        print_json(answer);
    else if (!cli->json)
        printf("%s %s%s%s\n", id, done, !body && text_at(answer, "state", NULL) ? ", now " : "",
               body ? "" : text_at(answer, "state", ""));
    return CLI_OK;
}

/* The same to every job that is named; what can't be done to one isn't left undone
 * to the others. The first failure's code. */
static int act(struct cli *cli, const char *method, const char *verb, const json_t *body, const char *done)
{
    int code = CLI_OK;

    for (int i = 0; i < cli->argument_count; i++) {
        int r = act_on(cli, cli->arguments[i], method, verb, body, done);
        code = code == CLI_OK ? r : code;
        if (r == CLI_UNREACHABLE)
            break;
    }
    return code;
}

int command_cancel(struct cli *cli)
{
    return act(cli, "POST", "cancel", NULL, "asked to stop");
}

int command_retry(struct cli *cli)
{
    return act(cli, "POST", "retry", NULL, "handed in again");
}

/* PATCH /v1/jobs/ID with one member (value is stolen). */
static int change(struct cli *cli, const char *member, json_t *value, const char *done)
{
    json_auto_t *patch = json_pack("{s:o}", member, value);

    return patch ? act(cli, "PATCH", "", patch, done) : cli_error(CLI_FAILED, "%s: that is no UTF-8", member);
}

/* The same, of one job whose second argument was the value. */
static int change_one(struct cli *cli, const char *member, json_t *value, const char *done)
{
    cli->argument_count = 1;
    return change(cli, member, value, done);
}

int command_hold(struct cli *cli)
{
    return change(cli, "held", json_true(), "is held");
}

int command_release(struct cli *cli)
{
    return change(cli, "held", json_false(), "is released");
}

int command_pin(struct cli *cli)
{
    bool off = cli_given(cli, "off");

    return change(cli, "pinned", json_boolean(!off), off ? "is pinned no more" : "is pinned");
}

int command_label(struct cli *cli)
{
    const char *label = cli->argument_count > 1 ? cli->arguments[1] : "";

    return change_one(cli, "label", *label ? json_string(label) : json_null(),
                      *label ? "has its label" : "has no label");
}

int command_priority(struct cli *cli)
{
    char *end;
    long priority = strtol(cli->arguments[1], &end, 10);

    if (end == cli->arguments[1] || *end)
        return cli_error(CLI_USAGE, "priority: \"%s\" is no whole number", cli->arguments[1]);
    return change_one(cli, "priority", json_integer(priority), "has its priority");
}

int command_delete(struct cli *cli)
{
    return act(cli, "DELETE", "", NULL, "deleted");
}
