/* How do a job's files and its log come here?
 *
 * A download goes into NAME.part, is checked against the SHA-256 that the
 * worker announced, and only then gets its name; a NAME.part that is there
 * already is gone on with. Names come from the server and are trusted with
 * nothing: they must be valid artifact names (no "..", nothing absolute). */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ATTEMPTS        4 /* of one download, each going on where the last broke off */
#define FOLLOW_PAUSE_MS 300

/* ---- the list ---- */

static int artifact_list(struct cli *cli, const char *id, json_t **ret)
{
    json_auto_t *answer = NULL;
    int r = server_get(cli, &answer, "/v1/jobs/%s/artifacts", id);

    if (r == CLI_OK)
        *ret = json_incref(json_object_get(answer, "artifacts"));
    return r;
}

int command_artifacts(struct cli *cli)
{
    json_auto_t *job = NULL, *artifacts = NULL, *all = NULL;
    const json_t *artifact;
    size_t i;
    int r = server_job(cli, cli->arguments[0], &job);

    if (r == CLI_OK)
        r = artifact_list(cli, text_at(job, "id", ""), &artifacts);
    if (r != CLI_OK)
        return r;
    if (cli->json) {
        all = json_pack("{s:O}", "artifacts", artifacts);
        print_json(all);
        return CLI_OK;
    }
    if (!json_array_size(artifacts))
        return cli_nothing(cli, job);
    printf("%12s  %-16s  %s\n", "BYTES", "SHA-256", "NAME");
    json_array_foreach(artifacts, i, artifact)
        printf("%12" JSON_INTEGER_FORMAT "  %.16s  %s\n", json_integer_value(json_object_get(artifact, "size")),
               text_at(artifact, "sha256", "-"), text_at(artifact, "name", "-"));
    return CLI_OK;
}

/* ---- one download ---- */

struct sink {
    int fd;
    bool began;
};

static int sink_take(const char *data, size_t size, int status, void *user)
{
    struct sink *sink = user;

    /* 200 instead of 206: the whole file comes, whatever we have of it. */
    if (!sink->began && status == 200 && (ftruncate(sink->fd, 0) < 0 || lseek(sink->fd, 0, SEEK_SET) < 0))
        return -errno;
    sink->began = true;
    while (size > 0) {
        ssize_t n = write(sink->fd, data, size);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            data += n;
            size -= (size_t)n;
        }
    }
    return 0;
}

/* The rest of the file from where fd ends. http_stream's result. */
static int download_rest(struct cli *cli, const char *url, int fd, int64_t size, int *ret_status, struct fault *why)
{
    http_response_auto response = { 0 };
    struct sink sink = { .fd = fd };
    char range[64] = "";
    off_t have = lseek(fd, 0, SEEK_END);

    if (have >= size && size > 0) {
        have = 0;
        if (ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0)
            return fault_set(why, -errno, "%s", strerror(errno));
    }
    if (have > 0)
        snprintf(range, sizeof(range), "Range: bytes=%jd-", (intmax_t)have);
    struct http_request request = { .path = url, .headers = { *range ? range : NULL } };
    int r = http_stream(cli->http, &request, 0, sink_take, &sink, &response, why);
    *ret_status = response.status;
    return r;
}

static int download(struct cli *cli, const char *url, const char *part, int64_t size)
{
    struct fault why = { 0 };
    int fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644), status = 0, r = 0;

    if (fd < 0)
        return cli_error(CLI_FAILED, "%s: %m", part);
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        r = download_rest(cli, url, fd, size, &status, &why);
        if (r != -ECONNRESET)
            break;
    }
    if (r == 0 && fsync(fd) < 0)
        r = fault_set(&why, -errno, "%s: %s", part, strerror(errno));
    close(fd);
    if (r < 0)
        return cli_error(r == -ECONNREFUSED || r == -ECONNRESET ? CLI_UNREACHABLE : CLI_FAILED, "fetch: %s",
                         why.message[0] ? why.message : strerror(-r));
    if (status / 100 != 2) {
        unlink(part);
        return cli_error(status == 404 ? CLI_NOT_FOUND : CLI_FAILED, "fetch: %s: status %d", url, status);
    }
    return CLI_OK;
}

int make_parents(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int r = mkdir(path, 0755);
        *slash = '/';
        if (r < 0 && errno != EEXIST)
            return -errno;
    }
    return 0;
}

static bool is_right(const char *path, const char *sha256)
{
    char hex[65];
    int64_t size;

    return sha256_file(path, hex, &size, NULL) >= 0 && strcmp(hex, sha256) == 0;
}

/* With --json an object a line. */
static void file_say(const struct cli *cli, const char *path, const char *sha256, bool was_there)
{
    if (!cli->json) {
        printf("%s%s\n", path, was_there ? " (was there)" : "");
        return;
    }
    json_auto_t *json = json_pack("{s:s, s:s, s:b}", "path", path, "sha256", sha256, "was_there", was_there);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    printf("%s\n", text ? text : "{}");
    free(text);
}

static int fetch_aside(struct cli *cli, const char *url, const char *sha256, int64_t size, char *path, const char *part)
{
    int r = make_parents(path);

    if (r < 0)
        return cli_error(CLI_FAILED, "%s: %s", path, strerror(-r));
    if (is_right(path, sha256)) {
        file_say(cli, path, sha256, true);
        return CLI_OK;
    }
    if (!is_right(part, sha256)) {
        r = download(cli, url, part, size);
        if (r != CLI_OK)
            return r;
    }
    if (!is_right(part, sha256)) {
        unlink(part);
        return cli_error(CLI_FAILED, "fetch: %s: the SHA-256 is not the one announced; nothing was kept", path);
    }
    if (rename(part, path) < 0)
        return cli_error(CLI_FAILED, "%s: %m", path);
    file_say(cli, path, sha256, false);
    return CLI_OK;
}

int fetch_file(struct cli *cli, const char *url, const char *sha256, int64_t size, const char *path)
{
    char *copy = strdup(path), *part = NULL;
    int r = CLI_FAILED;

    if (copy && asprintf(&part, "%s.part", path) >= 0)
        r = fetch_aside(cli, url, sha256, size, copy, part);
    else
        cli_error(CLI_FAILED, "out of memory");
    free(copy);
    free(part);
    return r;
}

static int fetch_one(struct cli *cli, const char *id, const char *dir, const json_t *artifact)
{
    const char *name = text_at(artifact, "name", "");
    char *path = NULL, *url = NULL;
    int r = CLI_FAILED;

    if (!artifact_name_valid(name))
        return cli_error(CLI_FAILED, "fetch: the server names a file \"%s\", which is no artifact's name", name);
    if (asprintf(&path, "%s/%s", dir, name) < 0)
        path = NULL;
    if (path && asprintf(&url, "/v1/jobs/%s/artifacts/%s", id, name) < 0)
        url = NULL;
    if (url)
        r = fetch_file(cli, url, text_at(artifact, "sha256", ""), json_integer_value(json_object_get(artifact, "size")),
                       path);
    else
        cli_error(CLI_FAILED, "out of memory");
    free(path);
    free(url);
    return r;
}

/* ---- all that is wanted ---- */

/* Was this artifact asked for? Marks the name as found. */
static bool is_wanted(const struct cli *cli, const char *name, bool found[CLI_ARGUMENTS_MOST])
{
    bool wanted = cli->argument_count == 1;

    for (int i = 1; i < cli->argument_count; i++)
        if (strcmp(cli->arguments[i], name) == 0)
            wanted = found[i] = true;
    return wanted;
}

int command_fetch(struct cli *cli)
{
    json_auto_t *job = NULL, *artifacts = NULL;
    bool found[CLI_ARGUMENTS_MOST] = { true };
    const json_t *artifact;
    size_t i;
    int r = server_job(cli, cli->arguments[0], &job);

    if (r == CLI_OK)
        r = artifact_list(cli, text_at(job, "id", ""), &artifacts);
    if (r != CLI_OK)
        return r;
    const char *dir = cli_value(cli, "dir", text_at(job, "id", ""));
    json_array_foreach(artifacts, i, artifact)
    {
        if (!is_wanted(cli, text_at(artifact, "name", ""), found))
            continue;
        r = fetch_one(cli, text_at(job, "id", ""), dir, artifact);
        if (r != CLI_OK)
            return r;
    }
    for (int n = 1; n < cli->argument_count; n++)
        if (!found[n])
            return cli_error(CLI_NOT_FOUND, "fetch: the job has no artifact \"%s\"; `riftctl artifacts` lists them",
                             cli->arguments[n]);
    return json_array_size(artifacts) ? CLI_OK : cli_nothing(cli, job);
}

/* ---- the log ---- */

struct tail {
    int64_t offset; /* bytes printed */
};

static int tail_take(const char *data, size_t size, int status, void *user)
{
    struct tail *tail = user;

    (void)status;
    if (fwrite(data, 1, size, stdout) != size)
        return -EPIPE;
    tail->offset += (int64_t)size;
    return 0;
}

/* Of a rift job, the step that was started last. NULL: it has no steps. */
static json_t *newest_step(const json_t *job)
{
    json_t *step, *newest = NULL;
    size_t i;

    json_array_foreach(json_object_get(job, "steps"), i,
                       step) if (!newest || json_is_string(json_object_get(step, "started_at"))) newest = step;
    return newest;
}

/* What was added since. 416 (nothing) and 404 (no log yet) are no errors here. */
static int tail_more(struct cli *cli, const char *id, struct tail *tail)
{
    http_response_auto response = { 0 };
    struct fault why = { 0 };
    const char *step = cli_value(cli, "step", NULL);
    char *url = NULL, range[64];

    if (asprintf(&url, "/v1/jobs/%s/log", id) < 0)
        url = NULL;
    if (url_add(&url, "step", step) < 0)
        return cli_error(CLI_FAILED, "out of memory");
    snprintf(range, sizeof(range), "Range: bytes=%jd-", (intmax_t)tail->offset);
    struct http_request request = { .path = url, .headers = { tail->offset ? range : NULL } };
    int r = http_stream(cli->http, &request, 0, tail_take, tail, &response, &why);
    free(url);
    fflush(stdout);
    if (r < 0)
        return cli_error(CLI_UNREACHABLE, "log: %s", why.message[0] ? why.message : strerror(-r));
    if (response.status / 100 == 2 || response.status == 416 || response.status == 404)
        return CLI_OK;
    return server_problem(cli, &response, "log");
}

int command_log(struct cli *cli)
{
    struct tail tail = { 0 };
    json_auto_t *job = NULL;
    int r = server_job(cli, cli->arguments[0], &job);

    if (r != CLI_OK)
        return r;
    json_t *step = cli_given(cli, "step") ? NULL : newest_step(job);
    if (step) { /* from here on it is the step that we ask about */
        json_incref(step);
        json_decref(job);
        job = step;
    }
    char *id = strdup(text_at(job, "id", ""));
    if (!id)
        return cli_error(CLI_FAILED, "out of memory");
    /* The state is asked for before the text, so that the last words of a job
     * that ended in between are still read. */
    for (bool more = true; more && r == CLI_OK;) {
        more = cli_given(cli, "follow") && !json_is_string(json_object_get(job, "ended_at"));
        r = tail_more(cli, id, &tail);
        if (!more || r != CLI_OK)
            break;
        poll(NULL, 0, FOLLOW_PAUSE_MS);
        json_decref(job);
        job = NULL;
        r = server_get(cli, &job, "/v1/jobs/%s", id);
    }
    free(id);
    return r == CLI_OK && tail.offset == 0 ? cli_nothing(cli, job) : r;
}
