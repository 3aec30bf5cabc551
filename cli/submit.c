/* How does a spec get from a file and a few --set into riftd?
 *
 * What is sent is what was written, not the spec with its defaults filled in:
 * the server's field table is the one that counts. --dry-run checks against
 * our copy of the same table and sends nothing. */
#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SPEC_LIMIT (8u << 20) /* bytes */

/* ---- --set ---- */

/* RFC 6901: ~1 is '/', ~0 is '~'. In place. */
static void pointer_decode(char *name)
{
    char *out = name;

    for (const char *in = name; *in; in++) {
        if (in[0] == '~' && (in[1] == '0' || in[1] == '1'))
            *out++ = *++in == '0' ? '~' : '/';
        else
            *out++ = *in;
    }
    *out = '\0';
}

/* The index a name means inside an array; the one after the last appends. */
static int array_index(const json_t *array, const char *name, size_t *ret)
{
    size_t length = strlen(name);

    if (length == 0 || length > 6 || strspn(name, "0123456789") != length)
        return -EINVAL;
    size_t index = (size_t)strtoul(name, NULL, 10);
    if (index > json_array_size(array))
        return -EINVAL;
    *ret = index;
    return 0;
}

static json_t *child_get(const json_t *parent, const char *name)
{
    size_t index;

    if (json_is_array(parent))
        return array_index(parent, name, &index) < 0 ? NULL : json_array_get(parent, index);
    return json_object_get(parent, name);
}

/* Steals child. */
static int child_set(json_t *parent, const char *name, json_t *child)
{
    size_t index;

    if (json_is_object(parent))
        return json_object_set_new(parent, name, child) < 0 ? -EINVAL : 0;
    if (!json_is_array(parent) || array_index(parent, name, &index) < 0) {
        json_decref(child);
        return -EINVAL;
    }
    int r = index == json_array_size(parent) ? json_array_append_new(parent, child)
                                             : json_array_set_new(parent, index, child);
    return r < 0 ? -EINVAL : 0;
}

/* The container `name` leads to inside parent, made when there is none. */
static json_t *descend(json_t *parent, const char *name)
{
    json_t *child = child_get(parent, name);

    if (child && !json_is_null(child))
        return json_is_object(child) || json_is_array(child) ? child : NULL;
    return child_set(parent, name, json_object()) < 0 ? NULL : child_get(parent, name);
}

/* VALUE as JSON, or, when it isn't JSON, as the string it is. */
static json_t *parse_value(const char *text)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);

    return value ? value : json_string(text);
}

int spec_set(json_t *spec, const char *assignment, struct fault *why)
{
    const char *equals = strchr(assignment, '=');
    char *names = equals ? strndup(assignment, (size_t)(equals - assignment)) : NULL;
    int r = 0;

    if (!equals || !names || !*names) {
        free(names);
        return fault_set(why, -EINVAL, "--set %s: write FIELD=VALUE", assignment);
    }
    bool slashes = strchr(names, '/') != NULL;
    char *rest = names + (*names == '/'), *name = strsep(&rest, slashes ? "/" : ".");
    json_t *at = spec;
    for (; rest && at; name = strsep(&rest, slashes ? "/" : ".")) {
        pointer_decode(name);
        at = descend(at, name);
    }
    pointer_decode(name);
    json_t *value = at ? parse_value(equals + 1) : NULL;
    if (!value || child_set(at, name, value) < 0)
        r = fault_set(why, -EINVAL, "--set %s: \"%s\" leads nowhere, or the value is not UTF-8", assignment, name);
    free(names);
    return r;
}

/* ---- reading ---- */

static int read_stdin(char **ret, size_t *ret_size)
{
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    char block[65536];
    size_t got, total = 0;

    if (!memory)
        return -ENOMEM;
    while ((got = fread(block, 1, sizeof(block), stdin)) > 0 && (total += got) <= SPEC_LIMIT)
        fwrite(block, 1, got, memory);
    int r = ferror(stdin) ? -EIO : total > SPEC_LIMIT ? -EFBIG : 0;
    if (fclose(memory) != 0 && r == 0)
        r = -ENOMEM;
    if (r < 0) {
        free(text);
        return r;
    }
    *ret = text;
    *ret_size = size;
    return 0;
}

static int read_spec(const char *path, json_t **ret)
{
    char *text = NULL;
    size_t size = 0;
    struct fault why = { 0 };
    json_error_t error;
    bool is_stdin = strcmp(path, "-") == 0;
    int r = is_stdin ? read_stdin(&text, &size) : file_read(path, SPEC_LIMIT, &text, &size, &why);

    if (r < 0)
        return cli_error(CLI_FAILED, "%s", is_stdin ? strerror(-r) : why.message);
    json_t *spec = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    free(text);
    if (!spec)
        return cli_error(CLI_REJECTED, "%s isn't JSON: line %d, column %d: %s", is_stdin ? "standard input" : path,
                         error.line, error.column, error.text);
    if (!json_is_object(spec)) {
        json_decref(spec);
        return cli_error(CLI_REJECTED, "%s: a spec is a JSON object", is_stdin ? "standard input" : path);
    }
    *ret = spec;
    return CLI_OK;
}

static int build_spec(struct cli *cli, json_t **ret)
{
    json_auto_t *spec = NULL;

    if (cli->argument_count) {
        int r = read_spec(cli->arguments[0], &spec);
        if (r != CLI_OK)
            return r;
    } else {
        if (!cli_given(cli, "set"))
            return cli_error(CLI_USAGE, "submit what? Give a FILE, - for standard input, or --set FIELD=VALUE");
        spec = json_object();
    }
    for (int i = 0; i < cli->given_count; i++) {
        struct fault why = { 0 };
        if (strcmp(cli->given[i].name, "set") == 0 && spec_set(spec, cli->given[i].value, &why) < 0)
            return cli_error(CLI_USAGE, "%s", why.message);
    }
    *ret = json_incref(spec);
    return CLI_OK;
}

static int dry_run(const json_t *spec)
{
    spec_auto parsed = { 0 };
    struct spec_errors errors = { 0 };
    int r = spec_from_json(spec, &parsed, &errors);

    if (r == 0)
        spec_paths_check(&parsed, &errors);
    if (r == 0 && !errors.total) {
        print_json_short(parsed.json);
        return CLI_OK;
    }
    if (r != 0 && r != -EINVAL)
        return cli_error(CLI_FAILED, "%s", strerror(-r));
    cli_error(CLI_REJECTED, "submit: the spec has %d error%s", errors.total, errors.total == 1 ? "" : "s");
    for (int i = 0; i < errors.count; i++)
        fprintf(stderr, "  %s: %s\n", *errors.list[i].pointer ? errors.list[i].pointer : "(whole document)",
                errors.list[i].message);
    if (errors.total > errors.count)
        fprintf(stderr, "  and %d more\n", errors.total - errors.count);
    cli_advice("`riftctl fields` explains every field.");
    return CLI_REJECTED;
}

/* A refused list or object that came as text has most likely lost its quotation marks to the shell. */
static void quotes_advise(const struct cli *cli)
{
    for (int i = 0; i < cli->given_count; i++) {
        const char *equals = strcmp(cli->given[i].name, "set") == 0 ? strchr(cli->given[i].value, '=') : NULL;
        json_auto_t *value = equals && strchr("[{", equals[1]) && equals[1] ? parse_value(equals + 1) : NULL;
        if (json_is_string(value)) {
            cli_advice(
                "--set %s: its value isn't JSON and went as text. Shells take quotation marks away unless the whole\n"
                "  stands between '...', as in --set 'sweep.methods=[\"pgd-at\",\"trades\"]'.",
                cli->given[i].value);
            return;
        }
    }
}

/* Is what an assignment names part of the spec as it counts, every default filled in? */
static bool set_counts(const char *assignment, const json_t *whole)
{
    char *names = strndup(assignment, strcspn(assignment, "=")), *rest = names, *name;
    const json_t *at = whole;

    if (!names)
        return true;
    const char *divider = strchr(names, '/') ? "/" : ".";
    rest += *names == '/';
    while (json_is_object(at) && (name = strsep(&rest, divider))) {
        pointer_decode(name);
        at = json_object_get(at, name);
    }
    free(names);
    return at != NULL;
}

/* A file may serve several kinds of job and have fields of all of them. An assignment is
 * made for this job: one of a field that the job's kind lacks is most likely a mistake. */
static void idle_sets_tell(const struct cli *cli, const json_t *spec)
{
    spec_auto parsed = { 0 };
    struct spec_errors errors = { 0 };

    if (spec_from_json(spec, &parsed, &errors) != 0)
        return; /* the server knows fields that this riftctl doesn't */
    for (int i = 0; i < cli->given_count; i++) {
        const char *assignment = cli->given[i].value;
        if (strcmp(cli->given[i].name, "set") == 0 && !set_counts(assignment, parsed.json))
            cli_advice("--set %s has no effect: a job of kind %s has no such field.", assignment,
                       job_kinds[parsed.kind].name);
    }
}

int submit_spec(struct cli *cli, const json_t *spec)
{
    json_auto_t *job = NULL;
    const char *key = cli_value(cli, "idempotency-key", NULL);
    char header[300] = "";

    if (cli_given(cli, "dry-run")) {
        int r = dry_run(spec);
        if (r == CLI_REJECTED)
            quotes_advise(cli);
        else if (r == CLI_OK)
            idle_sets_tell(cli, spec);
        return r;
    }
    if (key && snprintf(header, sizeof(header), "Idempotency-Key: %s", key) >= (int)sizeof(header))
        return cli_error(CLI_USAGE, "the idempotency key is too long");
    if (strpbrk(header, "\r\n"))
        return cli_error(CLI_USAGE, "an idempotency key is one line");
    int r = server_call(cli, "POST", "/v1/jobs", spec, key ? header : NULL, &job);
    if (r == CLI_REJECTED)
        quotes_advise(cli);
    if (r != CLI_OK)
        return r;
    const char *id = text_at(job, "id", NULL);
    if (!id)
        return cli_error(CLI_FAILED, "%s answered without a job's id; is this riftd?", http_base(cli->http));
    if (cli->json)
        print_json(job);
    else
        printf("%s\n", id);
    fflush(stdout); /* a script reads the id while we watch */
    idle_sets_tell(cli, spec);
    if (!cli->json && !cli_given(cli, "watch") && isatty(STDOUT_FILENO) && isatty(STDERR_FILENO))
        cli_advice("`riftctl watch %.18s` follows it.", id);
    return cli_given(cli, "watch") ? watch_job(cli, id) : CLI_OK;
}

int command_submit(struct cli *cli)
{
    json_auto_t *spec = NULL;
    int r = build_spec(cli, &spec);

    return r == CLI_OK ? submit_spec(cli, spec) : r;
}
