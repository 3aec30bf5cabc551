/* Who is let in? Tokens: given out, listed, taken back. And what did they do with them? */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "90s", "15min", "12h", "30d" -> seconds; 0 when it is none. */
static long long span_read(const char *text)
{
    static const struct {
        const char *unit;
        long long seconds;
    } units[] = { { "s", 1 }, { "min", 60 }, { "h", 3600 }, { "d", 86400 } };
    char *end;
    long long number = strtoll(text, &end, 10);

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (*text >= '1' && *text <= '9' && number < 1000000000 && !strcmp(end, units[i].unit))
            return number * units[i].seconds;
    return 0;
}

int command_token_create(struct cli *cli)
{
    const char *expires = cli_value(cli, "expires", NULL);
    long long span = expires ? span_read(expires) : 0;
    json_auto_t *made = NULL;

    if (expires && !span)
        return cli_error(CLI_USAGE, "--expires %s: expected a time such as 12h or 30d", expires);
    json_auto_t *body = json_pack("{s:s, s:s, s:s*}", "name", cli->arguments[0], "role",
                                  cli_value(cli, "role", "submit"), "owner", cli_value(cli, "owner", NULL));
    if (!body || (span && json_object_set_new(body, "expires_in_s", json_integer(span)) < 0))
        return cli_error(CLI_FAILED, "the name or owner is not UTF-8");
    int r = server_call(cli, "POST", "/v1/tokens", body, NULL, &made);
    if (r != CLI_OK)
        return r;
    if (cli->json) {
        print_json(made);
        return CLI_OK;
    }
    puts(text_at(made, "token", "?")); /* alone on stdout, for `> file` */
    fprintf(stderr, "Token %s of %s may %s. It is shown this once.\n", text_at(made, "id", "?"),
            text_at(made, "owner", "?"),
            !strcmp(text_at(made, "role", ""), "admin") ? "do everything" : text_at(made, "role", "?"));
    return CLI_OK;
}

int command_token_list(struct cli *cli)
{
    json_auto_t *answer = NULL;
    int r = server_get(cli, &answer, "/v1/tokens");
    const json_t *tokens = json_object_get(answer, "tokens"), *token;
    size_t i;

    if (r != CLI_OK)
        return r;
    if (cli->json) {
        print_json(answer);
        return CLI_OK;
    }
    int name = print_width(tokens, "name", 4), owner = print_width(tokens, "owner", 5);
    printf("%-12s  %-6s  %-*s  %-*s  %-24s  %s\n", "id", "role", name, "name", owner, "owner", "last use", "expires");
    json_array_foreach(tokens, i, token)
        printf("%-12s  %-6s  %-*s  %-*s  %-24s  %s\n", text_at(token, "id", "?"), text_at(token, "role", "?"), name,
               text_at(token, "name", "?"), owner, text_at(token, "owner", "?"), text_at(token, "used_at", "never"),
               text_at(token, "expires_at", "never"));
    return CLI_OK;
}

int command_token_revoke(struct cli *cli)
{
    char *id = http_escape(cli->arguments[0]), *path = NULL;
    json_auto_t *nothing = NULL;

    if (!id || asprintf(&path, "/v1/tokens/%s", id) < 0)
        path = NULL;
    free(id);
    if (!path)
        return cli_error(CLI_FAILED, "out of memory");
    int r = server_call(cli, "DELETE", path, NULL, NULL, &nothing);
    if (r == CLI_NOT_FOUND)
        cli_advice("`riftctl admin token list` shows those there are.");
    free(path);
    return r;
}

int command_admin_audit(struct cli *cli)
{
    char *path = strdup("/v1/audit");
    json_auto_t *answer = NULL;
    const json_t *row;
    size_t i;

    int r = path && url_add(&path, "limit", cli_value(cli, "limit", NULL)) >= 0
                ? server_get(cli, &answer, "%s", path)
                : cli_error(CLI_FAILED, "out of memory");
    free(path);
    if (r != CLI_OK)
        return r;
    if (cli->json) {
        print_json(answer);
        return CLI_OK;
    }
    const json_t *rows = json_object_get(answer, "audit");
    int owner = print_width(rows, "owner", 5), address = print_width(rows, "address", 7);
    printf("%-24s  %-*s  %-12s  %-*s  %6s  %s\n", "time", owner, "owner", "token", address, "address", "status",
           "what");
    json_array_foreach(rows, i, row) printf(
        "%-24s  %-*s  %-12s  %-*s  %6" JSON_INTEGER_FORMAT "  %s %s\n", text_at(row, "time", "?"), owner,
        text_at(row, "owner", ""), text_at(row, "token", "-"), address, text_at(row, "address", "?"),
        json_integer_value(json_object_get(row, "status")), text_at(row, "method", "?"), text_at(row, "path", "?"));
    return CLI_OK;
}

/* Who does riftd take us for? */
int command_whoami(struct cli *cli)
{
    json_auto_t *who = NULL;
    int r = server_get(cli, &who, "/v1/session");

    if (r != CLI_OK)
        return r;
    if (cli->json) {
        print_json(who);
        return CLI_OK;
    }
    const char *owner = text_at(who, "owner", ""), *token = text_at(who, "token", NULL);
    printf("%s, %s%s%s\n", *owner ? owner : "nobody in particular", text_at(who, "role", "?"),
           token ? ", by token " : "", token ? token : "");
    return CLI_OK;
}
