/* What can riftctl do?
 *
 * The table below is the whole answer: the dispatcher, the usage line, --help
 * and the check of arguments all read it. An option may stand anywhere behind
 * the command; global ones before it too. A command's own option wins over a
 * global one of the same name (`list --state running` filters, `--state DIR
 * list` names a state directory). */
#include "cli/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL_HELP "MODEL is an id or a name; of several with that name the newest is meant."
#define ID_HELP    "ID may be any unique beginning of a job's id (steps of rift jobs stand back)."

static const struct cli_option global_options[] = {
    { "json", NULL, "print the API's JSON instead of tables" },
    { "server", "URL", "address, or unix:PATH (else $RIFTD_URL, else --state, else http://127.0.0.1:8717)" },
    { "state", "DIR", "read the address from riftd's state directory (else $RIFTD_STATE)" },
    { "token-file", "FILE", "show the token in FILE (else $RIFT_TOKEN, else ~/.config/riftctl/token)" },
    { "cacert", "FILE", "certificates to believe of https (else $RIFT_CACERT, else the system's)" },
    { "help", NULL, "say this" },
};
#define GLOBAL_COUNT (sizeof(global_options) / sizeof(global_options[0]))

/* clang-format off */
static const struct cli_command commands[] = {
    { "submit", "[FILE|-]", 0, 1, "hand in a job",
      "Reads a spec (JSON) from FILE or, with -, from standard input; --set changes or\n"
      "adds fields and is enough by itself. Prints the job's id. `riftctl fields` lists\n"
      "all fields. Example:\n"
      "  riftctl submit rift.json --set train.epochs=5 --set dataset.path=/data/cifar --watch\n",
      { { "set", "FIELD=VALUE", "dots or slashes between names; VALUE is JSON, else a string" },
        { "watch", NULL, "follow it to its end (exit code: the job's)" },
        { "dry-run", NULL, "check against the field table, print the full spec, send nothing" },
        { "idempotency-key", "KEY", "submitting again with the same KEY gives the same job" } },
      command_submit },
    { "list", "", 0, 0, "jobs, newest first", NULL,
      { { "state", "STATE", "blocked, queued, running, succeeded, failed or cancelled" },
        { "kind", "KIND", "train, mrc, finetune, interpolate, evaluate, rift, corrupt or sweep" },
        { "label", "LABEL", "jobs of that label" },
        { "limit", "N", "at most N (default 20)" },
        { "all", NULL, "every page" },
        { "steps", NULL, "the steps of rift jobs and sweeps too" } },
      command_list },
    { "show", "ID", 1, 1, "everything about a job but its numbers", ID_HELP "\n",
      { { "spec", NULL, "the spec alone, as JSON with every default filled in" } }, command_show },
    { "watch", "ID", 1, 1, "follow a job to its end and print its tables",
      ID_HELP "\nSurvives a restart of riftd. Exit code: 0 succeeded, 1 failed, 3 cancelled.\n", { { 0 } }, command_watch },
    { "cancel", "ID", 1, 1, "stop a job (it keeps its checkpoint)", ID_HELP "\n", { { 0 } }, command_cancel },
    { "retry", "ID", 1, 1, "queue a failed or cancelled job again", ID_HELP "\nIt goes on from its checkpoint.\n",
      { { 0 } }, command_retry },
    { "hold", "ID", 1, 1, "don't start a job until it is released",
      ID_HELP "\nA running one writes its checkpoint and goes back to the queue.\n", { { 0 } }, command_hold },
    { "release", "ID", 1, 1, "let a held job start again", ID_HELP "\n", { { 0 } }, command_release },
    { "priority", "ID NUMBER", 2, 2, "move a job in the queue", ID_HELP "\nFrom -100 to 100; higher ones start first.\n",
      { { 0 } }, command_priority },
    { "label", "ID [LABEL]", 1, 2, "give a job another label, or none", ID_HELP "\n", { { 0 } }, command_label },
    { "pin", "ID", 1, 1, "keep a job and its files, whatever the server's rules say", ID_HELP "\n",
      { { "off", NULL, "keep it no longer than the rules say" } }, command_pin },
    { "delete", "ID", 1, 1, "forget an ended job and its files", ID_HELP "\n", { { 0 } }, command_delete },
    { "modules", "ID", 1, 1, "the Module Robust Criticality of every module", ID_HELP "\n", { { 0 } }, command_modules },
    { "interpolation", "ID", 1, 1, "the walk between two sets of weights, and the alpha chosen", ID_HELP "\n",
      { { 0 } }, command_interpolation },
    { "metrics", "ID [NAME]", 1, 2, "the curves of a job, or the points of one",
      ID_HELP "\nAs csv and ndjson the points of all curves come when none is named.\n",
      { { "format", "FORMAT", "text (default), json, csv or ndjson" },
        { "since", "STEP", "only points after STEP" },
        { "max-points", "N", "at most N points of a curve (extremes are kept)" },
        { "step", "N", "of a rift job: its step N, from 0 (default: 0, training)" } },
      command_metrics },
    { "table", "ID [ID...]", 1, CLI_ARGUMENTS_MOST, "before and after RiFT, averaged over seeds",
      ID_HELP "\n"
              "Of one rift or evaluate job: every attack, every corruption and every point of the\n"
              "line that was measured. Of a sweep, or of several rift jobs and sweeps: rows are\n"
              "training methods times module choices, averaged over seeds. Jobs that differ in\n"
              "protocol, data, model or in what is measured are refused unless --group-by keeps\n"
              "them apart.\n",
      { { "format", "FORMAT", "text (default), json, csv, markdown or latex" },
        { "group-by", "FIELD,...", "rows for each value of a field too, such as protocol or model.width" } },
      command_table },
    { "log", "ID", 1, 1, "what the worker wrote", ID_HELP "\n", { { "follow", NULL, "go on until the job ends" }, { "step", "N", "of a rift job: its step N, from 0 (default: the newest)" } },
      command_log },
    { "artifacts", "ID", 1, 1, "the files a job made", ID_HELP "\n", { { 0 } }, command_artifacts },
    { "fetch", "ID [NAME...]", 1, CLI_ARGUMENTS_MOST, "download artifacts, all or the named ones",
      ID_HELP "\n"
              "Goes on where a broken download ended; a file appears under its name only when\n"
              "its SHA-256 is right. A rift job has the files of all its steps, under names such\n"
              "as train/best.safetensors.\n",
      { { "dir", "DIR", "where to put them (default: a new directory called like the job)" } }, command_fetch },
    { "dataset ls", "", 0, 0, "data sets riftd knows by name", NULL, { { 0 } }, command_datasets },
    { "dataset fetch", "NAME", 1, 1, "download a published data set, check it, unpack it",
      "NAME: cifar10, cifar100, cifar10-c, cifar100-c or tiny-imagenet. Asks no riftd. Goes on\n"
      "where a broken download ended; what isn't the published file (size, MD5) isn't unpacked.\n"
      "Prints where the data lie and how riftd or a spec is told.\n",
      { { "to", "DIR", "where to (default: here); made if it isn't there" },
        { "url", "URL", "another place that has the same file" },
        { "sha256", "HEX", "compare with this instead of the published MD5 and size" },
        { "md5", "HEX", "likewise" } },
      command_dataset_fetch },
    { "dataset corrupt", "NAME|PATH", 1, 1, "write corrupted copies of a data set's test images",
      "Submits a job of kind corrupt. NAME is one that `riftctl dataset ls` lists; a PATH, on\n"
      "the server's disk, needs --format. The copies lie in the job's directory; with --watch\n"
      "the end says where. Example:\n"
      "  riftctl dataset corrupt fashion-mnist --set all --severities 1,5 --watch\n",
      { { "format", "FORMAT", "how the data at PATH lie: cifar10, idx, image-folder, ..." },
        { "set", "SET", "standard (15, the default), code (18) or all (19)" },
        { "names", "A,B", "these corruptions instead of a set" },
        { "severities", "1,5", "from 1 to 5 (default: all)" },
        { "seed", "N", "other random numbers (default 0)" },
        { "limit", "N", "only so many images, at random (default: all)" },
        { "parameters", "cifar|tiny", "for 32 or for 64 pixels (default: by the images' side)" },
        { "as", "npy|folder", "arrays or image files (default: as the data lie)" },
        { "watch", NULL, "follow it to its end (exit code: the job's)" },
        { "dry-run", NULL, "check, print the full spec, send nothing" },
        { "idempotency-key", "KEY", "submitting again with the same KEY gives the same job" } },
      command_dataset_corrupt },
    { "model ls", "", 0, 0, "registered models, newest first", NULL,
      { { "name", "NAME", "models of that name" }, { "job", "ID", "models that this job made" },
        { "limit", "N", "at most N (default 20)" } },
      command_models },
    { "model show", "MODEL", 1, 1, "where a model comes from, and which jobs read it", MODEL_HELP "\n", { { 0 } },
      command_model_show },
    { "model push", "[FILE]", 0, 1, "register weights: a safetensors file, or what a job made",
      "Prints the model's id; a spec names it as {\"model\": ID}. Pushing the same bytes under\n"
      "the same name again gives the same model. Examples:\n"
      "  riftctl model push resnet18.safetensors --name resnet18-at\n"
      "  riftctl model push --job 0192 --artifact best.safetensors --name resnet18-at\n",
      { { "name", "NAME", "what people call it (default: the file's name without its ending)" },
        { "job", "ID", "an artifact of this job instead of a file" },
        { "artifact", "NAME", "which (default: the weights that the job was for)" } },
      command_model_push },
    { "model pull", "MODEL", 1, 1, "download a model's weights, checked by SHA-256", MODEL_HELP "\n",
      { { "to", "FILE", "where to (default: its name with .safetensors, here)" } }, command_model_pull },
    { "model rm", "MODEL", 1, 1, "forget a model that no unended job reads", MODEL_HELP "\n", { { 0 } },
      command_model_delete },
    { "datasets", "", 0, 0, "data sets riftd knows by name", NULL, { { 0 } }, command_datasets },
    { "devices", "", 0, 0, "devices and what runs on them", NULL, { { 0 } }, command_devices },
    { "queue", "", 0, 0, "what runs and what waits, in order", NULL, { { 0 } }, command_queue },
    { "admin drain", "", 0, 0, "start no more jobs; running ones go on", "For administrators.\n", { { 0 } },
      command_drain },
    { "admin resume", "", 0, 0, "start jobs again", "For administrators.\n", { { 0 } }, command_resume },
    { "fields", "[KIND]", 0, 1, "every field of a spec: type, default, range, unit, meaning", NULL, { { 0 } },
      command_fields },
    { "whoami", "", 0, 0, "who riftd takes you for, and what you may do", NULL, { { 0 } }, command_whoami },
    { "admin backup", "", 0, 0, "copy riftd's database while it is in use",
      "The copy lies beside the database, under the name that is printed; `riftd restore` puts\n"
      "it back. Job directories and models are files: copy them afterwards, with rsync.\n",
      { { "to", "FILE", "download it, too" } }, command_admin_backup },
    { "admin backups", "", 0, 0, "the copies that riftd has, newest first", NULL, { { 0 } }, command_admin_backups },
    { "admin check", "", 0, 0, "hold every file against what was announced",
      "Reads every artifact and model. Prints what is wrong; exit code 1 when something is.\n", { { 0 } },
      command_admin_check },
    { "admin token create", "NAME", 1, 1, "make a token for somebody, and print it",
      "The token is printed this once; its holder puts it into ~/.config/riftctl/token (mode\n"
      "600) or into $RIFT_TOKEN. Example:\n"
      "  riftctl admin token create ann --role submit > ann.token\n",
      { { "role", "ROLE", "read, submit (the default) or admin" },
        { "owner", "OWNER", "in whose name its jobs are (default: NAME)" },
        { "expires", "TIME", "12h, 30d, ... (default: never)" } },
      command_token_create },
    { "admin token list", "", 0, 0, "all tokens, without their secrets", NULL, { { 0 } }, command_token_list },
    { "admin token revoke", "ID", 1, 1, "take a token back, at once", NULL, { { 0 } }, command_token_revoke },
    { "version", "", 0, 0, "versions of riftctl and, when it answers, riftd", NULL, { { 0 } }, command_version },
};
/* clang-format on */
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

int cli_error(enum cli_exit code, const char *format, ...)
{
    va_list arguments;

    fputs("riftctl: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return code;
}

int cli_nothing(const struct cli *cli, const json_t *job)
{
    if (cli->json)
        return CLI_OK;
    return cli_error(CLI_OK, "%s: nothing there; the %s job is %s", cli->command->name, text_at(job, "kind", "?"),
                     text_at(job, "state", "?"));
}

const char *cli_value(const struct cli *cli, const char *name, const char *fallback)
{
    const char *value = fallback;

    for (int i = 0; i < cli->given_count; i++)
        if (strcmp(cli->given[i].name, name) == 0)
            value = cli->given[i].value;
    return value;
}

bool cli_given(const struct cli *cli, const char *name)
{
    return cli_value(cli, name, NULL) != NULL;
}

static void print_options(FILE *out, const struct cli_option *options, size_t count)
{
    for (size_t i = 0; i < count && options[i].name; i++) {
        char left[64];
        snprintf(left, sizeof(left), "--%s%s%s", options[i].name, options[i].argument ? " " : "",
                 options[i].argument ? options[i].argument : "");
        fprintf(out, "  %-24s %s\n", left, options[i].help);
    }
}

/* All commands, or those whose first word is `group`. */
static void print_overview(FILE *out, const char *group)
{
    size_t length = group ? strlen(group) : 0;

    fputs("usage: riftctl COMMAND [ARGUMENTS] [OPTIONS]     riftctl COMMAND --help\n\n", out);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        char left[64];

        if (group && (strncmp(commands[i].name, group, length) != 0 || commands[i].name[length] != ' '))
            continue;
        snprintf(left, sizeof(left), "%s %s", commands[i].name, commands[i].arguments);
        fprintf(out, "  %-30s %s\n", left, commands[i].summary);
    }
    fputs("\nEverywhere:\n", out);
    print_options(out, global_options, GLOBAL_COUNT);
    fputs("\nExit codes: 0 done or job succeeded, 1 job failed, 2 usage, 3 job cancelled,\n"
          "4 server unreachable, 5 not found, 6 spec rejected, 7 not allowed (a token is needed).\n",
          out);
}

static void print_help(const struct cli_command *command)
{
    printf("usage: riftctl %s %s%s[OPTIONS]\n\n%s\n", command->name, command->arguments, *command->arguments ? " " : "",
           command->summary);
    if (command->help)
        printf("\n%s", command->help);
    if (command->options[0].name)
        putchar('\n');
    print_options(stdout, command->options, CLI_OPTIONS_MOST);
    fputs("\nEverywhere:\n", stdout);
    print_options(stdout, global_options, GLOBAL_COUNT);
}

static const struct cli_option *option_find(const struct cli_option *options, size_t count, const char *name,
                                            size_t length)
{
    for (size_t i = 0; i < count && options[i].name; i++)
        if (strlen(options[i].name) == length && strncmp(options[i].name, name, length) == 0)
            return &options[i];
    return NULL;
}

/* A global option of the same name as one of the command's, given before the
 * command, is remembered under another name. */
static const char *const hidden_state = "global state";

static int give(struct cli *cli, const char *name, const char *value)
{
    if (cli->given_count == CLI_ARGUMENTS_MOST)
        return cli_error(CLI_USAGE, "more than %d options", CLI_ARGUMENTS_MOST);
    cli->given[cli->given_count].name = name;
    cli->given[cli->given_count++].value = value;
    return CLI_OK;
}

/* Take argv[*at] (and its value) as an option. */
static int take_option(struct cli *cli, int argc, char **argv, int *at)
{
    const char *name = argv[*at] + 2, *equals = strchr(name, '='), *value = "";
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    const struct cli_option *option = NULL;

    if (cli->command)
        option = option_find(cli->command->options, CLI_OPTIONS_MOST, name, length);
    bool own = option != NULL;
    if (!own)
        option = option_find(global_options, GLOBAL_COUNT, name, length);
    if (!option)
        return cli_error(CLI_USAGE, "there is no option %s%s%s", argv[*at], cli->command ? " for " : "",
                         cli->command ? cli->command->name : "");
    if (!option->argument && equals)
        return cli_error(CLI_USAGE, "--%s takes no value", option->name);
    if (option->argument) {
        value = equals ? equals + 1 : argv[++*at];
        if (!equals && *at >= argc)
            return cli_error(CLI_USAGE, "--%s wants a value: %s", option->name, option->argument);
    }
    bool hide = !own && strcmp(option->name, "state") == 0;
    return give(cli, hide ? hidden_state : option->name, value);
}

static int take_word(struct cli *cli, const char *word)
{
    if (cli->command) {
        if (cli->argument_count == CLI_ARGUMENTS_MOST)
            return cli_error(CLI_USAGE, "more than %d arguments", CLI_ARGUMENTS_MOST);
        cli->arguments[cli->argument_count++] = word;
        return CLI_OK;
    }
    char name[64];
    bool begins = false;

    snprintf(name, sizeof(name), "%.40s%s%.20s", cli->group, *cli->group ? " " : "", word);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i].name, name) == 0)
            cli->command = &commands[i];
        begins =
            begins || (strncmp(commands[i].name, name, strlen(name)) == 0 && commands[i].name[strlen(name)] == ' ');
    }
    if (!cli->command && begins)
        strcpy(cli->group, name);
    return cli->command || begins
               ? CLI_OK
               : cli_error(CLI_USAGE, "there is no command \"%s\"; `riftctl --help` lists them", name);
}

static int take_arguments(struct cli *cli, int argc, char **argv)
{
    bool options_end = false;

    for (int i = 1; i < argc; i++) {
        int r = CLI_OK;
        if (!options_end && strcmp(argv[i], "--") == 0)
            options_end = true;
        else if (!options_end && strcmp(argv[i], "-h") == 0)
            r = give(cli, "help", "");
        else if (!options_end && strncmp(argv[i], "--", 2) == 0)
            r = take_option(cli, argc, argv, &i);
        else
            r = take_word(cli, argv[i]);
        if (r != CLI_OK)
            return r;
    }
    return CLI_OK;
}

static int run(struct cli *cli, int argc, char **argv)
{
    int r = take_arguments(cli, argc, argv);

    if (r != CLI_OK)
        return r;
    if (cli_given(cli, "help")) {
        if (cli->command)
            print_help(cli->command);
        else
            print_overview(stdout, *cli->group ? cli->group : NULL);
        return CLI_OK;
    }
    if (!cli->command) {
        print_overview(stderr, *cli->group ? cli->group : NULL);
        return CLI_USAGE;
    }
    if (cli->argument_count < cli->command->least || cli->argument_count > cli->command->most)
        return cli_error(CLI_USAGE, "usage: riftctl %s %s", cli->command->name, cli->command->arguments);
    cli->json = cli_given(cli, "json");
    return cli->command->run(cli);
}

int main(int argc, char **argv)
{
    struct cli cli = { 0 };

    int code = run(&cli, argc, argv);
    http_close(cli.http);
    if (fflush(stdout) != 0 || ferror(stdout))
        return cli_error(CLI_FAILED, "standard output: %m");
    return code;
}
