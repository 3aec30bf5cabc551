/* What does an administrator do from afar?
 *
 * Copies of the database, and the question whether everything is still as it
 * was written. Tokens are in tokens.c. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHECK_SILENCE_S 600 /* one large file may take that long to hash */

/* ---- backup ---- */

struct copy {
    FILE *file;
};

static int copy_take(const char *data, size_t size, int status, void *user)
{
    struct copy *copy = user;

    (void)status;
    return fwrite(data, 1, size, copy->file) == size ? 0 : -EIO;
}

/* Download into path.part, then give it its name. */
static int backup_fetch(struct cli *cli, const char *href, const char *path)
{
    http_response_auto response = { 0 };
    struct fault why = { 0 };
    struct copy copy = { 0 };
    char *part = NULL;
    int r = CLI_FAILED;

    if (asprintf(&part, "%s.part", path) < 0)
        return cli_error(CLI_FAILED, "out of memory");
    /* It holds the secrets of webhooks: for nobody else to read. */
    int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    copy.file = fd < 0 ? NULL : fdopen(fd, "w");
    if (!copy.file) {
        cli_error(CLI_FAILED, "%s: %m", part);
        free(part);
        return r;
    }
    struct http_request request = { .path = href };
    int got = http_stream(cli->http, &request, 0, copy_take, &copy, &response, &why);
    bool stored = fflush(copy.file) == 0 && fsync(fileno(copy.file)) == 0;
    stored &= fclose(copy.file) == 0;
    if (got < 0)
        r = server_away(cli, *why.message ? why.message : strerror(-got));
    else if (response.status / 100 != 2)
        r = server_problem(cli, &response, cli->command->name);
    else if (!stored || rename(part, path) < 0)
        r = cli_error(CLI_FAILED, "%s: %m", path);
    else
        r = CLI_OK;
    if (r != CLI_OK)
        unlink(part);
    free(part);
    return r;
}

/* riftd-20261128T010203.456Z.db: so riftd calls its copies, and in this order they were made. What
 * else somebody has put beside them is his. */
static bool is_riftds(const char *name)
{
    static const char shape[] = "riftd-ddddddddTdddddd.dddZ.db";

    if (strlen(name) != strlen(shape))
        return false;
    for (size_t i = 0; shape[i]; i++)
        if (i >= 6 && shape[i] == 'd' && i < strlen(shape) - 2 ? name[i] < '0' || name[i] > '9' : name[i] != shape[i])
            return false;
    return true;
}

/* Delete all copies but the `keep` newest, and never `made`, unless none is to be kept: a clock that
 * was put back may have given it an old name. */
static int backups_trim(struct cli *cli, int64_t keep, const char *made)
{
    json_auto_t *answer = NULL;
    const json_t *backup;
    size_t i;
    int64_t seen = 0;
    int r = server_get(cli, &answer, "/v1/admin/backups");

    json_array_foreach(json_object_get(answer, "backups"), i, backup) /* newest first */
    {
        const char *name = text_at(backup, "name", "");
        json_auto_t *nothing = NULL;
        if (!is_riftds(name) || seen++ < keep || (keep && !strcmp(name, made)))
            continue;
        r = server_call(cli, "DELETE", text_at(backup, "href", "/"), NULL, NULL, &nothing);
        if (r != CLI_OK && r != CLI_NOT_FOUND)
            return r;
    }
    return r == CLI_NOT_FOUND ? CLI_OK : r; /* somebody was quicker */
}

/* --keep N, or -1. */
static int keep_read(struct cli *cli, long *ret)
{
    const char *text = cli_value(cli, "keep", NULL);
    char *end;

    *ret = -1;
    if (!text)
        return CLI_OK;
    long keep = strtol(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || keep > 100000)
        return cli_error(CLI_USAGE, "--keep: \"%s\" is no number of copies", text);
    if (!keep && !cli_given(cli, "to"))
        return cli_error(CLI_USAGE, "--keep 0 would leave no copy at all, unless --to says where one goes");
    *ret = keep;
    return CLI_OK;
}

/* --to DIR is DIR/NAME. NULL: no memory. */
static char *place_of(const char *to, const char *name)
{
    struct stat st;
    char *path = NULL;

    if (stat(to, &st) < 0 || !S_ISDIR(st.st_mode))
        return strdup(to);
    return asprintf(&path, "%s%s%s", to, to[strlen(to) - 1] == '/' ? "" : "/", name) < 0 ? NULL : path;
}

int command_admin_backup(struct cli *cli)
{
    const char *to = cli_value(cli, "to", NULL);
    json_auto_t *backup = NULL;
    char *path = NULL;
    long keep;
    int r = keep_read(cli, &keep);

    if (r == CLI_OK)
        r = server_call(cli, "POST", "/v1/admin/backups", NULL, NULL, &backup);
    const char *name = text_at(backup, "name", "-");
    if (r == CLI_OK && to && !(path = place_of(to, name)))
        r = cli_error(CLI_FAILED, "out of memory");
    if (r == CLI_OK && to)
        r = backup_fetch(cli, text_at(backup, "href", "/"), path);
    if (r == CLI_OK && cli->json)
        print_json(backup);
    else if (r == CLI_OK)
        printf("%s\n", to ? path : name);
    free(path);
    return r == CLI_OK && keep >= 0 ? backups_trim(cli, keep, name) : r; /* only now: there is the new one */
}

int command_admin_backups(struct cli *cli)
{
    json_auto_t *answer = NULL;
    const json_t *backup;
    size_t i;
    int r = server_get(cli, &answer, "/v1/admin/backups");

    if (r != CLI_OK)
        return r;
    if (cli->json) {
        print_json(answer);
        return CLI_OK;
    }
    printf("%12s  %-24s  %s\n", "BYTES", "MADE", "NAME");
    json_array_foreach(json_object_get(answer, "backups"), i, backup)
        printf("%12" JSON_INTEGER_FORMAT "  %-24s  %s\n", json_integer_value(json_object_get(backup, "size")),
               text_at(backup, "created_at", "-"), text_at(backup, "name", "-"));
    return CLI_OK;
}

/* ---- check ---- */

struct check {
    struct cli *cli;
    char *line; /* not yet whole */
    size_t size;
    json_t *sum;     /* the last line, owned */
    bool incomplete; /* riftd gave up */
};

static void line_show(struct check *check, const char *text, size_t size)
{
    json_auto_t *line = json_loadb(text, size, 0, NULL);
    const char *what = text_at(line, "what", "?");

    if (check->cli->json && strcmp(what, "progress") != 0)
        printf("%.*s\n", (int)size, text);
    if (!strcmp(what, "sum")) {
        json_decref(check->sum);
        check->sum = json_incref(line);
    } else if (!strcmp(what, "failed")) {
        check->incomplete = true;
        cli_error(CLI_FAILED, "admin check: %s", text_at(line, "problem", "?"));
    } else if (strcmp(what, "progress") != 0 && !check->cli->json) {
        const char *name = text_at(line, "name", NULL);
        printf("%s %s%s%s: %s\n", what, text_at(line, "id", "?"), name ? " " : "", name ? name : "",
               text_at(line, "problem", "?"));
    }
}

static int lines_take(const char *data, size_t size, int status, void *user)
{
    struct check *check = user;

    (void)status;
    while (size) {
        const char *end = memchr(data, '\n', size);
        size_t piece = end ? (size_t)(end - data) : size;
        char *grown = realloc(check->line, check->size + piece + 1);
        if (!grown)
            return -ENOMEM;
        memcpy(grown + check->size, data, piece);
        check->line = grown;
        check->size += piece;
        if (end) {
            line_show(check, check->line, check->size);
            check->size = 0;
            piece++;
        }
        data += piece;
        size -= piece;
    }
    return 0;
}

static int verdict(const struct check *check)
{
    json_int_t findings = json_integer_value(json_object_get(check->sum, "findings"));

    if (!check->sum || check->incomplete)
        return cli_error(CLI_FAILED, "admin check: it did not come to its end");
    if (!check->cli->json)
        printf("%" JSON_INTEGER_FORMAT " jobs, %" JSON_INTEGER_FORMAT " models, %" JSON_INTEGER_FORMAT
               " files: %" JSON_INTEGER_FORMAT " finding%s\n",
               json_integer_value(json_object_get(check->sum, "jobs")),
               json_integer_value(json_object_get(check->sum, "models")),
               json_integer_value(json_object_get(check->sum, "files")), findings, print_plural((size_t)findings));
    return findings ? CLI_FAILED : CLI_OK;
}

int command_admin_check(struct cli *cli)
{
    http_response_auto response = { 0 };
    struct fault why = { 0 };
    struct check check = { .cli = cli };
    struct http_request request = { .path = "/v1/admin/check" };
    int r = server_open(cli);

    if (r != CLI_OK)
        return r;
    int got = http_stream(cli->http, &request, CHECK_SILENCE_S, lines_take, &check, &response, &why);
    if (got < 0)
        r = server_away(cli, *why.message ? why.message : strerror(-got));
    else if (response.status / 100 != 2)
        r = server_problem(cli, &response, cli->command->name);
    else
        r = verdict(&check);
    free(check.line);
    json_decref(check.sum);
    return r;
}
