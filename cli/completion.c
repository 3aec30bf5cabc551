/* What could stand here? asks the shell.
 *
 * The shells' scripts (completion_scripts.c) know nothing: at each TAB they hand
 * over the words typed so far, and the table of commands answers, so that no
 * script can be older than the program. Ids and names are asked of the riftd
 * that the words mean, quickly; whatever goes wrong then, nothing is offered and
 * nothing is said. */
#include "cli/completion.h"

#include "cli/commands.h"

#include <stdlib.h>
#include <string.h>

#define HURRY_MS  1500 /* somebody waits at the keyboard */
#define JOBS_MOST "100"

/* ---- one candidate ---- */

/* A line: the word, and in shells that show it what it is. */
static void offer(struct completion *at, const char *word, const char *about)
{
    if (strncmp(word, at->typed, strlen(at->typed)) != 0)
        return;
    printf("%s", at->shell == SHELL_BASH ? "" : at->before);
    for (const char *c = word; *c; c++) /* zsh: "word:about" */
        printf("%s%c", at->shell == SHELL_ZSH && (*c == ':' || *c == '\\') ? "\\" : "", *c);
    if (at->shell != SHELL_BASH && about && *about)
        printf("%c%s", at->shell == SHELL_ZSH ? ':' : '\t', about);
    putchar('\n');
}

static void offer_list(struct completion *at, const char *values)
{
    for (size_t length; *values; values += length, values += *values == '|') {
        char word[64];

        length = strcspn(values, "|");
        snprintf(word, sizeof(word), "%.*s", (int)length, values);
        offer(at, word, NULL);
    }
}

/* ---- what riftd knows ---- */

/* GET without a word; NULL when that didn't work. */
static json_t *ask(struct completion *at, const char *path)
{
    json_t *answer = NULL;

    if (server_open(&at->cli) != CLI_OK)
        return NULL;
    http_hurry(at->cli.http, HURRY_MS);
    return server_try(at->cli.http, path, &answer) == 0 ? answer : NULL;
}

/* Of jobs only those with which the command can do something. */
static bool is_of_use(const struct cli_command *command, const json_t *job)
{
    static const struct {
        const char *command;
        bool ended;
    } rows[] = {
        { "watch", false },    { "cancel", false }, { "hold", false },  { "release", false },
        { "priority", false }, { "retry", true },   { "delete", true },
    };
    bool ended = text_at(job, "ended_at", NULL) != NULL;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (strcmp(rows[i].command, command->name) == 0)
            return rows[i].ended == ended;
    return true;
}

static void offer_jobs(struct completion *at)
{
    json_auto_t *answer = ask(at, "/v1/jobs?parent=&limit=" JOBS_MOST);
    const json_t *job;
    char about[200];
    size_t i;

    json_array_foreach(json_object_get(answer, "jobs"), i, job)
    {
        snprintf(about, sizeof(about), "%s %s %.100s", text_at(job, "kind", ""), text_at(job, "state", ""),
                 text_at(job, "label", ""));
        if (!at->cli.command || is_of_use(at->cli.command, job))
            offer(at, text_at(job, "id", ""), about);
    }
}

/* Member `key` of the rows `list` that riftd answers to `path`. */
static void offer_rows(struct completion *at, const char *path, const char *list, const char *key, const char *about)
{
    json_auto_t *answer = ask(at, path);
    const json_t *row;
    size_t i;

    json_array_foreach(json_object_get(answer, list), i, row)
        offer(at, text_at(row, key, ""), about ? text_at(row, about, "") : NULL);
}

static void offer_models(struct completion *at)
{
    offer_rows(at, "/v1/models?limit=" JOBS_MOST, "models", "name", "id");
}

static void offer_datasets(struct completion *at)
{
    offer_rows(at, "/v1/datasets", "datasets", "name", "format");
    puts(":files");
}

static void offer_tokens(struct completion *at)
{
    offer_rows(at, "/v1/tokens", "tokens", "id", "name");
}

/* GET /v1/jobs/ID/WHAT of the job that was named. */
static void offer_of_job(struct completion *at, const char *what, const char *list)
{
    const char *id = cli_value(&at->cli, "job", at->cli.argument_count ? at->cli.arguments[0] : NULL);
    json_auto_t *job = NULL;
    char path[128];

    if (!id || server_open(&at->cli) != CLI_OK)
        return;
    http_hurry(at->cli.http, HURRY_MS);
    if (server_job(&at->cli, id, &job) != CLI_OK)
        return;
    snprintf(path, sizeof(path), "/v1/jobs/%.36s/%s", text_at(job, "id", ""), what);
    offer_rows(at, path, list, "name", NULL);
}

static void offer_metrics(struct completion *at)
{
    offer_of_job(at, "metrics", "series");
}

static void offer_artifacts(struct completion *at)
{
    offer_of_job(at, "artifacts", "artifacts");
}

/* ---- what we know ourselves ---- */

static void offer_kinds(struct completion *at)
{
    for (int i = 0; i < JOB_KIND_COUNT; i++)
        offer(at, job_kinds[i].name, job_kinds[i].title);
}

static void offer_shells(struct completion *at)
{
    for (int i = 0; i < SHELL_COUNT; i++)
        offer(at, shell_names[i], NULL);
}

static void offer_published(struct completion *at)
{
    for (size_t i = 0; dataset_published(i); i++)
        offer(at, dataset_published(i), NULL);
}

static const struct spec_field *field_at(const char *pointer)
{
    for (int i = 0; i < spec_field_count; i++)
        if (strcmp(spec_fields[i].pointer, pointer) == 0)
            return &spec_fields[i];
    return NULL;
}

/* "/train/epochs" -> "train.epochs" */
static void field_name(const char *pointer, char *ret, size_t size)
{
    snprintf(ret, size, "%s", pointer + 1);
    for (char *c = ret; *c; c++)
        *c = *c == '/' ? '.' : *c;
}

/* FIELD= of FIELD=VALUE, or the values that the field takes. */
static void offer_fields(struct completion *at)
{
    const char *equals = strchr(at->typed, '=');
    char name[80], about[100];

    for (int i = 0; i < spec_field_count; i++) {
        const struct spec_field *field = &spec_fields[i];

        field_name(field->pointer, name, sizeof(name) - 1);
        if (!equals) {
            snprintf(about, sizeof(about), "%.*s", (int)strcspn(field->meaning, ".;:"), field->meaning);
            strcat(name, "=");
            offer(at, name, about);
        } else if (strlen(name) == (size_t)(equals - at->typed) && strncmp(at->typed, name, strlen(name)) == 0) {
            completion_cut(at, equals + 1);
            if (strcmp(field->pointer, "/kind") == 0)
                offer_kinds(at);
            else if (strcmp(field->pointer, "/dataset/name") == 0)
                offer_rows(at, "/v1/datasets", "datasets", "name", "format");
            else if (field->type == FIELD_BOOL)
                offer_list(at, "true|false");
            else
                offer_list(at, field->values ? field->values : "");
            return;
        }
    }
    if (!equals)
        puts(":nospace");
}

static void offer_files(struct completion *at)
{
    (void)at;
    puts(":files");
}

static void offer_directories(struct completion *at)
{
    (void)at;
    puts(":directories");
}

/* ---- where in the words ---- */

/* By what an argument is called in the table of commands. */
static const struct {
    const char *command; /* NULL: in every other */
    const char *word;
    void (*offer)(struct completion *at);
} sources[] = {
    { "dataset fetch", "NAME", offer_published },
    { "dataset corrupt", "NAME|PATH", offer_datasets },
    { "admin token revoke", "ID", offer_tokens },
    { NULL, "ID", offer_jobs },
    { NULL, "JOB", offer_jobs },
    { NULL, "MODEL", offer_models },
    { NULL, "KIND", offer_kinds },
    { NULL, "METRIC", offer_metrics },
    { NULL, "ARTIFACT", offer_artifacts },
    { NULL, "FIELD=VALUE", offer_fields },
    { NULL, "SHELL", offer_shells },
    { NULL, "FILE", offer_files },
    { NULL, "FILE|-", offer_files },
    { NULL, "DIR", offer_directories },
};

static void offer_word(struct completion *at, const char *word)
{
    const char *command = at->cli.command ? at->cli.command->name : "";

    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++)
        if (strcmp(sources[i].word, word) == 0 && (!sources[i].command || strcmp(sources[i].command, command) == 0)) {
            sources[i].offer(at);
            return;
        }
}

/* The values of a field whose pointer the table of commands names. */
static void offer_value(struct completion *at, const struct cli_option *option)
{
    const struct spec_field *field = option->values && *option->values == '/' ? field_at(option->values) : NULL;

    if (field)
        offer_list(at, field->values ? field->values : "");
    else if (option->values)
        offer_list(at, option->values);
    else
        offer_word(at, option->argument);
}

static void offer_options(struct completion *at, const struct cli_option *options, size_t count)
{
    char word[64];
    const char *as;

    for (size_t i = 0; i < count && options[i].name; i++) {
        snprintf(word, sizeof(word), "--%s", options[i].name);
        if (option_find(at->cli.command, options[i].name, strlen(options[i].name), &as) == &options[i])
            offer(at, word, options[i].help);
    }
}

/* The next word of the commands that begin with those typed. */
static void offer_commands(struct completion *at)
{
    size_t begun = strlen(at->cli.group);
    char said[64][32]; /* groups have several commands */
    size_t count = 0, k;

    for (size_t i = 0; i < command_count; i++) {
        const char *name = commands[i].name, *next = name + begun + (begun > 0);
        char word[32];

        if (begun && (strncmp(name, at->cli.group, begun) != 0 || name[begun] != ' '))
            continue;
        snprintf(word, sizeof(word), "%.*s", (int)strcspn(next, " "), next);
        for (k = 0; k < count && strcmp(said[k], word) != 0; k++)
            ;
        if (k < count || count == sizeof(said) / sizeof(said[0]))
            continue;
        strcpy(said[count++], word);
        offer(at, word, strchr(next, ' ') ? "" : commands[i].summary);
    }
}

/* "ID [NAME...]": what the i-th argument is called; the last may stand for all that follow. */
static void argument_word(const char *arguments, int i, char ret[32])
{
    const char *word = arguments;

    for (*ret = '\0'; *word; i--) {
        size_t length = strcspn(word, " ");

        if (i == 0 || (!word[length] && strstr(word, "...")))
            snprintf(ret, 32, "%.*s", (int)strcspn(word + (*word == '['), ".] "), word + (*word == '['));
        if (i == 0)
            return;
        word += length + (word[length] == ' ');
    }
}

void completion_offer(struct completion *at, const struct cli_option *awaited, bool options_end)
{
    const char *equals = strchr(at->typed, '='), *as;
    char word[32];

    if (awaited) {
        offer_value(at, awaited);
    } else if (!options_end && *at->typed == '-' && equals && strncmp(at->typed, "--", 2) == 0) {
        const struct cli_option *option =
            option_find(at->cli.command, at->typed + 2, (size_t)(equals - at->typed - 2), &as);
        completion_cut(at, equals + 1);
        if (option && option->argument)
            offer_value(at, option);
    } else if (!options_end && *at->typed == '-') {
        if (at->cli.command)
            offer_options(at, at->cli.command->options, CLI_OPTIONS_MOST);
        offer_options(at, global_options, global_option_count);
    } else if (!at->cli.command) {
        offer_commands(at);
    } else {
        argument_word(at->cli.command->arguments, at->cli.argument_count, word);
        offer_word(at, word);
    }
}
