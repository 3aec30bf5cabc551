/* How do weights get into riftd's registry and out again?
 *
 * A model is named by its id, or by its name; of several with one name the
 * newest is meant, as everywhere where things are registered again. */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DEFAULT_LIMIT "20"
#define ID_LENGTH     36

/* GET /v1/models with these filters. */
static int models_get(struct cli *cli, const char *name, const char *job, const char *limit, json_t **ret)
{
    char *url = strdup("/v1/models");

    url_add(&url, "name", name);
    url_add(&url, "job", job);
    url_add(&url, "limit", limit);
    if (!url)
        return cli_error(CLI_FAILED, "out of memory");
    int r = server_call(cli, "GET", url, NULL, NULL, ret);
    free(url);
    return r;
}

/* The whole model that MODEL names. */
static int model_find(struct cli *cli, const char *model, json_t **ret)
{
    json_auto_t *answer = NULL;

    if (strlen(model) == ID_LENGTH && !model[strspn(model, "0123456789abcdefABCDEF-")])
        return server_get(cli, ret, "/v1/models/%s", model);
    int r = models_get(cli, model, NULL, "1", &answer);
    if (r != CLI_OK)
        return r;
    const json_t *first = json_array_get(json_object_get(answer, "models"), 0);
    if (!first) {
        cli_error(CLI_NOT_FOUND, "%s: no model has this id or name", model);
        cli_advice("`riftctl model ls` shows those there are.");
        return CLI_NOT_FOUND;
    }
    return server_get(cli, ret, "/v1/models/%s", text_at(first, "id", ""));
}

static void print_models(const json_t *models)
{
    const json_t *model;
    size_t i;
    int width = print_width(models, "name", 4);

    printf("%-*s  %-*s  %12s  %-10s  %s\n", ID_LENGTH, "ID", width, "NAME", "BYTES", "REGISTERED", "MADE BY JOB");
    json_array_foreach(models, i, model)
        printf("%-*s  %-*s  %12" JSON_INTEGER_FORMAT "  %-10.10s  %s\n", ID_LENGTH, text_at(model, "id", "-"), width,
               text_at(model, "name", "-"), json_integer_value(json_object_get(model, "size")),
               text_at(model, "created_at", "-"), text_at(model, "job", "-"));
}

int command_models(struct cli *cli)
{
    json_auto_t *answer = NULL, *job = NULL;
    const char *id = cli_value(cli, "job", NULL);
    int r = id ? server_job(cli, id, &job) : CLI_OK;

    if (r == CLI_OK)
        r = models_get(cli, cli_value(cli, "name", NULL), text_at(job, "id", NULL),
                       cli_value(cli, "limit", DEFAULT_LIMIT), &answer);
    if (r != CLI_OK)
        return r;
    if (cli->json)
        print_json(answer);
    else if (json_array_size(json_object_get(answer, "models")))
        print_models(json_object_get(answer, "models"));
    else
        fputs("No such model. `riftctl model push` registers weights.\n", stderr);
    return CLI_OK;
}

int command_model_show(struct cli *cli)
{
    json_auto_t *model = NULL;
    int r = model_find(cli, cli->arguments[0], &model);

    if (r != CLI_OK)
        return r;
    if (cli->json)
        print_json(model);
    else
        print_json_short(model);
    return CLI_OK;
}

/* "dir/resnet18.safetensors" -> "resnet18"; free() it. */
static char *name_of(const char *path)
{
    static const char ending[] = ".safetensors";
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t length = strlen(base), cut = strlen(ending);

    return strndup(base, length > cut && !strcasecmp(base + length - cut, ending) ? length - cut : length);
}

/* The file's bytes, with the hash that riftd must come to. */
static int push_file(struct cli *cli, const char *file, json_t **ret)
{
    struct fault why = { 0 };
    char hex[65];
    int64_t size;

    if (sha256_file(file, hex, &size, &why) < 0)
        return cli_error(CLI_FAILED, "%s", why.message);
    char *url = strdup("/v1/models"), *name = name_of(file);
    url_add(&url, "name", cli_value(cli, "name", name));
    url_add(&url, "sha256", hex);
    free(name);
    if (!url)
        return cli_error(CLI_FAILED, "out of memory");
    struct http_request request = { .method = "POST", .path = url, .file = file };
    int r = server_send(cli, &request, ret);
    free(url);
    return r;
}

static int push_artifact(struct cli *cli, const char *id, json_t **ret)
{
    const char *name = cli_value(cli, "name", NULL);
    json_auto_t *job = NULL;

    if (!name)
        return cli_error(CLI_USAGE, "model push --job: --name says what people will call it");
    int r = server_job(cli, id, &job);
    if (r != CLI_OK)
        return r;
    json_auto_t *body = json_pack("{s:s, s:s, s:s*}", "name", name, "job", text_at(job, "id", ""), "artifact",
                                  cli_value(cli, "artifact", NULL));
    return body ? server_call(cli, "POST", "/v1/models", body, NULL, ret)
                : cli_error(CLI_FAILED, "model push: the names must be UTF-8");
}

int command_model_push(struct cli *cli)
{
    const char *job = cli_value(cli, "job", NULL);
    json_auto_t *model = NULL;

    if ((cli->argument_count == 1) == (job != NULL))
        return cli_error(CLI_USAGE, "model push: a FILE, or --job ID");
    int r = job ? push_artifact(cli, job, &model) : push_file(cli, cli->arguments[0], &model);
    if (r != CLI_OK)
        return r;
    if (cli->json)
        print_json(model);
    else
        printf("%s\n", text_at(model, "id", "-"));
    return CLI_OK;
}

/* Where the bytes go when nobody said: the name, with what no file name should have replaced. free() it. */
static char *file_of(const json_t *model)
{
    char *path = NULL;

    if (asprintf(&path, "%s.safetensors", text_at(model, "name", "model")) < 0)
        return NULL;
    for (char *at = path; *at; at++)
        if (*at == '/' || (at == path && *at == '.'))
            *at = '_';
    return path;
}

int command_model_pull(struct cli *cli)
{
    json_auto_t *model = NULL;
    int r = model_find(cli, cli->arguments[0], &model);

    if (r != CLI_OK)
        return r;
    const char *to = cli_value(cli, "to", NULL);
    char *path = to ? strdup(to) : file_of(model);
    if (!path)
        return cli_error(CLI_FAILED, "out of memory");
    r = fetch_file(cli, text_at(json_object_get(model, "links"), "weights", "/"), text_at(model, "sha256", ""),
                   json_integer_value(json_object_get(model, "size")), path);
    free(path);
    return r;
}

int command_model_delete(struct cli *cli)
{
    json_auto_t *model = NULL, *nothing = NULL;
    char url[80];
    int r = model_find(cli, cli->arguments[0], &model);

    if (r != CLI_OK)
        return r;
    snprintf(url, sizeof(url), "/v1/models/%.36s", text_at(model, "id", ""));
    return server_call(cli, "DELETE", url, NULL, NULL, &nothing);
}
