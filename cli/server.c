/* Where is riftd, and what does its answer mean for a script?
 *
 * Every failure is said here, once, and becomes one of the exit codes: no
 * answer 4, 404 5, a refused spec (400, 413, 415, 422) 6, 401 and 403 7, anything else 1. */
#include "cli/commands.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_URL   "http://127.0.0.1:8717"
#define ADDRESS_FILE  "riftd.address" /* riftd writes it into its state directory */
#define ADDRESS_LIMIT 1024
#define UUID_LENGTH   36
#define PAGE_SIZE     200

#define SERVER_PREFIX_MIN 8  /* so much of an id the server looks for itself */
#define CANDIDATES_MOST   20 /* named when the beginning of an id fits several jobs */

/* The first line of STATE/riftd.address. */
static int read_address(const char *state, char **ret, struct fault *why)
{
    char *path = NULL;
    size_t size;

    if (asprintf(&path, "%s/%s", state, ADDRESS_FILE) < 0)
        return fault_set(why, -ENOMEM, "out of memory");
    int r = file_read(path, ADDRESS_LIMIT, ret, &size, why);
    free(path);
    if (r < 0)
        return r;
    (*ret)[strcspn(*ret, "\r\n")] = '\0';
    return 0;
}

/* Where riftd is: what was typed wins over the environment, an address over a
 * directory. */
static int find_address(const struct cli *cli, char **ret, struct fault *why)
{
    const char *url = cli_value(cli, "server", NULL), *state = cli_value(cli, HIDDEN_STATE, NULL);

    if (!url && !state)
        url = getenv("RIFTD_URL");
    if (!url && !state)
        state = getenv("RIFTD_STATE");
    if (!url && state)
        return read_address(state, ret, why);
    *ret = strdup(url ? url : DEFAULT_URL);
    return *ret ? 0 : fault_set(why, -ENOMEM, "out of memory");
}

int server_open(struct cli *cli)
{
    struct fault why = { 0 };
    char *address = NULL;

    if (cli->http)
        return CLI_OK;
    int r = find_address(cli, &address, &why);
    if (r < 0) {
        cli_error(CLI_UNREACHABLE, "no riftd has left its address: %s", why.message);
        cli_advice("Is it running, with this state directory? $RIFTD_URL or --server URL name another.");
        return CLI_UNREACHABLE;
    }
    r = access_open(cli, address, &cli->http, &why);
    free(address);
    return r < 0 ? cli_error(CLI_FAILED, "%s", why.message) : CLI_OK;
}

void server_look_again(struct cli *cli)
{
    char *address = NULL;
    struct http *http = NULL;

    if (find_address(cli, &address, NULL) < 0)
        return;
    if (access_open(cli, address, &http, NULL) == 0) {
        http_close(cli->http);
        cli->http = http;
    }
    free(address);
}

int server_try(struct http *http, const char *path, json_t **ret)
{
    http_response_auto response = { 0 };
    struct http_request request = { .path = path };
    int r = http_ask(http, &request, &response, NULL);

    if (r < 0)
        return r;
    if (response.status / 100 != 2)
        return response.status;
    json_t *json = json_loadb(response.body ? response.body : "", response.size, 0, NULL);
    if (!json)
        return -EBADMSG;
    *ret = json;
    return 0;
}

int server_away(const struct cli *cli, const char *why)
{
    cli_error(CLI_UNREACHABLE, "%s", why);
    if (http_denied(cli->http))
        cli_advice(
            "Its group may: `sudo adduser NAME rift` where riftd is installed, then log in anew. Or ask over TCP\n"
            "  with a token, without unix: in --server and $RIFTD_URL.");
    else if (cli_given(cli, "server") || cli_given(cli, HIDDEN_STATE) || getenv("RIFTD_URL") || getenv("RIFTD_STATE"))
        cli_advice("Is riftd running there? $RIFTD_URL, $RIFTD_STATE, --server and --state say where it is.");
    else
        cli_advice("Start it (`riftd --state DIR`, or `systemctl start riftd` where it is installed), or say where\n"
                   "  it is: --server URL, --state DIR, $RIFTD_URL or $RIFTD_STATE.");
    return CLI_UNREACHABLE;
}

static enum cli_exit exit_of_status(int status)
{
    static const struct {
        int status;
        enum cli_exit code;
    } rows[] = {
        { 400, CLI_REJECTED }, { 404, CLI_NOT_FOUND }, { 413, CLI_REJECTED },  { 415, CLI_REJECTED },
        { 422, CLI_REJECTED }, { 401, CLI_FORBIDDEN }, { 403, CLI_FORBIDDEN },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].status == status)
            return rows[i].code;
    return CLI_FAILED;
}

/* What one does about such an answer. */
static void advise(int status, bool pointers)
{
    if (status == 401)
        cli_advice("An administrator makes a token: `riftctl admin token create NAME`; root on riftd's machine\n"
                   "  needs none for that, with --server unix:/run/riftd/riftd.sock where it is installed. Put it\n"
                   "  into ~/.config/riftctl/token (mode 600), or into $RIFT_TOKEN.");
    if (status == 403)
        cli_advice("`riftctl whoami` says for whom riftd takes you, and what you may do.");
    if (pointers)
        cli_advice("`riftctl fields` explains every field; `submit --dry-run` checks without sending.");
}

int server_problem(const struct cli *cli, const struct http_response *response, const char *what)
{
    json_auto_t *problem = response->body ? json_loadb(response->body, response->size, 0, NULL) : NULL;
    const char *detail = text_at(problem, "detail", text_at(problem, "title", "no explanation"));
    json_t *error;
    size_t i;

    if (cli->json && json_is_object(problem))
        print_json(problem);
    cli_error(CLI_FAILED, "%s: %s (%d)", what, detail, response->status);
    json_array_foreach(json_object_get(problem, "errors"), i, error)
    {
        const char *pointer = text_at(error, "pointer", "");
        fprintf(stderr, "  %s: %s\n", *pointer ? pointer : "(whole document)", text_at(error, "message", "?"));
    }
    advise(response->status, json_array_size(json_object_get(problem, "errors")) > 0);
    return exit_of_status(response->status);
}

int server_send(struct cli *cli, const struct http_request *request, json_t **ret)
{
    struct fault why = { 0 };
    http_response_auto response = { 0 };
    int r = server_open(cli);

    if (r != CLI_OK)
        return r;
    r = http_ask(cli->http, request, &response, &why);
    if (r < 0)
        return r == -ECONNREFUSED ? server_away(cli, why.message) : cli_error(CLI_FAILED, "%s", why.message);
    if (response.status / 100 != 2)
        return server_problem(cli, &response, cli->command->name);
    json_t *json = response.size ? json_loadb(response.body, response.size, JSON_DECODE_ANY, NULL) : NULL;
    if (response.size && !json)
        return cli_error(CLI_FAILED, "%s%s: the answer is not JSON; is this riftd?", http_base(cli->http),
                         request->path);
    *ret = json;
    return CLI_OK;
}

int server_call(struct cli *cli, const char *method, const char *path, const json_t *body, const char *header,
                json_t **ret)
{
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

    if (body && !text)
        return cli_error(CLI_FAILED, "out of memory");
    struct http_request request = {
        .method = method, .path = path, .body = text, .body_size = text ? strlen(text) : 0, .headers = { header }
    };
    int r = server_send(cli, &request, ret);
    free(text);
    return r;
}

int server_get(struct cli *cli, json_t **ret, const char *format, ...)
{
    va_list arguments;
    char *path = NULL;

    va_start(arguments, format);
    int r = vasprintf(&path, format, arguments);
    va_end(arguments);
    if (r < 0)
        return cli_error(CLI_FAILED, "out of memory");
    r = server_call(cli, "GET", path, NULL, NULL, ret);
    free(path);
    return r;
}

int url_add(char **url, const char *name, const char *value)
{
    char *escaped, *longer = NULL;

    if (!value || !*url)
        return *url ? 0 : -ENOMEM;
    escaped = http_escape(value);
    if (!escaped || asprintf(&longer, "%s%c%s=%s", *url, strchr(*url, '?') ? '&' : '?', name, escaped) < 0)
        longer = NULL;
    free(escaped);
    free(*url);
    *url = longer;
    return longer ? 0 : -ENOMEM;
}

/* ---- jobs by the beginning of their id ---- */

struct search {
    const char *prefix;
    json_t *found; /* array of jobs */
};

static bool is_found(const struct search *search, const char *id)
{
    const json_t *job;
    size_t i;

    json_array_foreach(search->found, i, job) if (strcmp(text_at(job, "id", ""), id) == 0) return true;
    return false;
}

static void search_list(struct search *search, const json_t *jobs)
{
    json_t *job;
    size_t i;

    json_array_foreach(jobs, i, job)
    {
        const char *id = text_at(job, "id", "");
        if (strncasecmp(id, search->prefix, strlen(search->prefix)) == 0 && !is_found(search, id))
            json_array_append(search->found, job);
    }
}

/* The one that is meant: the only one, or the only one that is nobody's step
 * (a rift job's steps are made with it, and their ids begin like its own).
 * NULL: nobody can tell. */
static const json_t *search_meant(const struct search *search)
{
    const json_t *job, *meant = NULL;
    size_t i;

    if (json_array_size(search->found) == 1)
        return json_array_get(search->found, 0);
    json_array_foreach(search->found, i, job)
    {
        if (text_at(job, "parent", NULL))
            continue;
        if (meant)
            return NULL;
        meant = job;
    }
    return meant;
}

static int say_candidates(const struct search *search)
{
    size_t count = json_array_size(search->found), i;
    const json_t *job;

    cli_error(CLI_USAGE, "more than one job's id begins with %s:", search->prefix);
    json_array_foreach(search->found, i, job)
    {
        if (i == CANDIDATES_MOST) {
            fprintf(stderr, "  and %zu more\n", count - i);
            break;
        }
        fprintf(stderr, "  %s  %-11s  %s\n", text_at(job, "id", "-"), text_at(job, "kind", "-"),
                text_at(job, "label", ""));
    }
    return CLI_USAGE;
}

/* Every page of jobs; steps are among them. Of enough of an id the server knows those that are meant. */
static int search_all(struct cli *cli, struct search *search)
{
    bool enough = strlen(search->prefix) >= SERVER_PREFIX_MIN;
    char cursor[128] = "";

    do {
        json_auto_t *page = NULL;
        int r = server_get(cli, &page, "/v1/jobs?limit=%d%s%s%s%s", PAGE_SIZE, enough ? "&id=" : "",
                           enough ? search->prefix : "", *cursor ? "&cursor=" : "", cursor);
        if (r != CLI_OK)
            return r;
        search_list(search, json_object_get(page, "jobs"));
        snprintf(cursor, sizeof(cursor), "%s", text_at(page, "next", ""));
    } while (*cursor);
    return CLI_OK;
}

static int advise_list(int code)
{
    if (code == CLI_NOT_FOUND)
        cli_advice("`riftctl list` shows the jobs, `riftctl list --steps` their steps too.");
    return code;
}

/* The whole id of the job that a beginning means. */
static int search_id(struct cli *cli, const char *prefix, char ret[UUID_LENGTH + 1])
{
    json_auto_t *found = json_array();
    char small[UUID_LENGTH + 1] = "";
    for (size_t i = 0; prefix[i] && i < UUID_LENGTH; i++)
        small[i] = (char)tolower((unsigned char)prefix[i]);
    struct search search = { small, found };
    int r = search_all(cli, &search);

    if (r != CLI_OK)
        return r;
    if (json_array_size(found) == 0)
        return advise_list(cli_error(CLI_NOT_FOUND, "no job's id begins with %s", prefix));
    const json_t *job = search_meant(&search);
    if (!job)
        return say_candidates(&search);
    snprintf(ret, UUID_LENGTH + 1, "%s", text_at(job, "id", ""));
    return CLI_OK;
}

int server_job(struct cli *cli, const char *id, json_t **ret)
{
    char whole[UUID_LENGTH + 1];
    size_t length = strlen(id);

    if (length == 0 || length > UUID_LENGTH || strspn(id, "0123456789abcdefABCDEF-") != length)
        return advise_list(cli_error(CLI_NOT_FOUND, "\"%s\" is not the beginning of a job's id", id));
    if (length < UUID_LENGTH) {
        int r = search_id(cli, id, whole);
        if (r != CLI_OK)
            return r;
        id = whole;
    }
    return advise_list(server_get(cli, ret, "/v1/jobs/%s", id));
}
