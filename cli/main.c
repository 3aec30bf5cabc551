/* What can riftctl do?
 *
 * The table below is the whole answer: the dispatcher, the usage line, --help
 * and the check of arguments all read it. An option may stand anywhere behind
 * the command; global ones before it too. A command's own option wins over a
 * global one of the same name (`list --state running` filters, `--state DIR
 * list` names a state directory). */
#include "cli/chart.h"
#include "cli/commands.h"
#include "cli/style.h"

#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL_HELP "MODEL is an id or a name; of several with that name the newest is meant."
#define ID_HELP    "ID may be any unique beginning of a job's id (steps of rift jobs stand back)."

const struct cli_option global_options[] = {
    { "json", NULL, "print the API's JSON instead of tables" },
    { "server", "URL", "address, or unix:PATH (else $RIFTD_URL, else --state, else http://127.0.0.1:8717)" },
    { "state", "DIR", "read the address from riftd's state directory (else $RIFTD_STATE)" },
    { "token-file", "FILE", "show the token in FILE (else $RIFT_TOKEN, else ~/.config/riftctl/token)" },
    { "cacert", "FILE", "certificates to believe of https (else $RIFT_CACERT, else the system's)" },
    { "color", "WHEN", "auto (a terminal, unless $NO_COLOR is set), always or never", "auto|always|never" },
    { "help", NULL, "say this" },
};
const size_t global_option_count = sizeof(global_options) / sizeof(global_options[0]);

/* clang-format off */
const struct cli_command commands[] = {
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
    { "fields", "[KIND]", 0, 1, "every field of a spec: type, default, range, unit, meaning", NULL, { { 0 } },
      command_fields },
    { "list", "", 0, 0, "jobs, newest first", NULL,
      { { "state", "STATE", "blocked, queued, running, succeeded, failed or cancelled", "blocked|queued|running|succeeded|failed|cancelled" },
        { "kind", "KIND", "train, mrc, finetune, interpolate, evaluate, rift, corrupt, sweep or inspect" },
        { "label", "LABEL", "jobs of that label" },
        { "owner", "OWNER", "jobs of that owner (`riftctl whoami` says who you are)" },
        { "limit", "N", "at most N (default 20)" },
        { "all", NULL, "every page" },
        { "steps", NULL, "the steps of rift jobs and sweeps too" } },
      command_list },
    { "show", "ID", 1, 1, "everything about a job but its numbers", ID_HELP "\n",
      { { "spec", NULL, "the spec alone, as JSON with every default filled in" } }, command_show },
    { "watch", "ID [ID...]", 1, CLI_ARGUMENTS_MOST, "follow jobs to their ends and print their tables",
      ID_HELP "\n"
              "On a terminal a bar a line, for each step of a rift job and for each job of several;\n"
              "elsewhere a line for each thing that happens. Survives a restart of riftd. ^C ends the\n"
              "watch, not the job. Exit code: 0 succeeded, 1 failed, 3 cancelled; of several jobs 1 if\n"
              "one failed, else 3 if one was cancelled. With --json an event a line, at the end the job.\n",
      { { 0 } }, command_watch },
    { "top", "", 0, 0, "what runs and what waits, all the time, in the whole terminal",
      "Keys: q quits, arrows (or j, k) choose a job, c cancels it after asking once more.\n"
      "Where there is no terminal it prints one picture, if --once asks for it.\n",
      { { "once", NULL, "print it once, all rows, and end" } }, command_top },
    { "queue", "", 0, 0, "what runs and what waits, in order", NULL, { { 0 } }, command_queue },
    { "log", "ID", 1, 1, "what the worker wrote", ID_HELP "\n", { { "follow", NULL, "go on until the job ends" }, { "step", "N", "of a rift job: its step N, from 0 (default: the newest)" } },
      command_log },
    { "cancel", "ID [ID...]", 1, CLI_ARGUMENTS_MOST, "stop jobs (they keep their checkpoints)", ID_HELP "\n", { { 0 } }, command_cancel },
    { "retry", "ID [ID...]", 1, CLI_ARGUMENTS_MOST, "queue failed or cancelled jobs again", ID_HELP "\nThey go on from their checkpoints.\n",
      { { 0 } }, command_retry },
    { "hold", "ID [ID...]", 1, CLI_ARGUMENTS_MOST, "don't start jobs until they are released",
      ID_HELP "\nA running one writes its checkpoint and goes back to the queue.\n", { { 0 } }, command_hold },
    { "release", "ID [ID...]", 1, CLI_ARGUMENTS_MOST, "let held jobs start again", ID_HELP "\n", { { 0 } }, command_release },
    { "priority", "ID NUMBER", 2, 2, "move a job in the queue", ID_HELP "\nFrom -100 to 100; higher ones start first.\n",
      { { 0 } }, command_priority },
    { "label", "ID [LABEL]", 1, 2, "give a job another label, or none", ID_HELP "\n", { { 0 } }, command_label },
    { "pin", "ID [ID...]", 1, CLI_ARGUMENTS_MOST, "keep jobs and their files, whatever the server's rules say", ID_HELP "\n",
      { { "off", NULL, "keep it no longer than the rules say" } }, command_pin },
    { "delete", "ID [ID...]", 1, CLI_ARGUMENTS_MOST, "forget ended jobs and their files", ID_HELP "\n", { { 0 } }, command_delete },
    { "table", "ID [ID...]", 1, CLI_ARGUMENTS_MOST, "before and after RiFT, averaged over seeds",
      ID_HELP "\n"
              "Of one rift or evaluate job: every attack, every corruption and every point of the\n"
              "line that was measured. Of a sweep, or of several rift jobs and sweeps: rows are\n"
              "training methods times module choices, averaged over seeds. Jobs that differ in\n"
              "protocol, data, model or in what is measured are refused unless --group-by keeps\n"
              "them apart.\n",
      { { "format", "FORMAT", "text (default), json, csv, markdown or latex", "text|json|csv|markdown|latex" },
        { "group-by", "FIELD,...", "rows for each value of a field too, such as protocol or model.width" } },
      command_table },
    { "modules", "ID", 1, 1, "the Module Robust Criticality of every module", ID_HELP "\n", { { 0 } }, command_modules },
    { "interpolation", "ID", 1, 1, "the walk between two sets of weights, and the alpha chosen", ID_HELP "\n",
      { { 0 } }, command_interpolation },
    { "metrics", "ID [METRIC]", 1, 2, "the curves of a job, or the points of one",
      ID_HELP "\nAs csv and ndjson the points of all curves come when none is named.\n",
      { { "format", "FORMAT", "text (default), json, csv or ndjson", "text|json|csv|ndjson" },
        { "since", "STEP", "only points after STEP" },
        { "max-points", "N", "at most N points of a curve (extremes are kept)" },
        { "step", "N", "of a rift job: its step N, from 0 (default: 0, training)" } },
      command_metrics },
    { "plot", "ID [ID...]", 1, CURVES_MOST, "curves, criticality and interpolation as charts in the terminal",
      ID_HELP "\n"
              "Without --name what the kind of job is about. Several jobs are drawn over each other.\n"
              "As wide as the terminal, or as $COLUMNS says; braille, or ASCII where the locale has\n"
              "nothing else.\n",
      { { "name", "METRIC", "this curve, or several: A,B" },
        { "log", NULL, "logarithmic" },
        { "rows", "N", "height of a chart, from 5 to 40 (default: 12, or what fits)" },
        { "step", "N", "of a rift job: its step N, from 0 (default: 0, training)" } },
      command_plot },
    { "diff", "JOB JOB", 2, 2, "how two jobs differ: settings, results, criticality",
      "JOB may be any unique beginning of a job's id. What is the same in both is left out.\n", { { 0 } }, command_diff },
    { "report", "ID", 1, 1, "all that a job found out, as a page, for a paper or for a program",
      ID_HELP "\n"
              "html is one file with its figures, for a browser; markdown and latex are tables for\n"
              "people, csv is numbers for programs. Examples:\n"
              "  riftctl report 0192 --to report.html\n"
              "  riftctl report 0192 --format latex --part accuracy\n",
      { { "format", "FORMAT", "html, markdown, latex or csv (default: as FILE ends, else markdown)", "html|markdown|latex|csv" },
        { "part", "PART", "one of its sections alone: accuracy, modules, interpolation, settings, ..." },
        { "to", "FILE", "into this file (default: to standard output)" } },
      command_report },
    { "artifacts", "ID", 1, 1, "the files a job made", ID_HELP "\n", { { 0 } }, command_artifacts },
    { "fetch", "ID [ARTIFACT...]", 1, CLI_ARGUMENTS_MOST, "download artifacts, all or the named ones",
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
      { { "format", "FORMAT", "how the data at PATH lie: cifar10, idx, image-folder, ...", "/dataset/format" },
        { "set", "SET", "standard (15, the default), code (18) or all (19)", "/corrupt/set" },
        { "names", "A,B", "these corruptions instead of a set", "/corrupt/names" },
        { "severities", "1,5", "from 1 to 5 (default: all)" },
        { "seed", "N", "other random numbers (default 0)" },
        { "limit", "N", "only so many images, at random (default: all)" },
        { "parameters", "cifar|tiny", "for 32 or for 64 pixels (default: by the images' side)", "/corrupt/parameters" },
        { "as", "npy|folder", "arrays or image files (default: as the data lie)", "/corrupt/format" },
        { "watch", NULL, "follow it to its end (exit code: the job's)" },
        { "dry-run", NULL, "check, print the full spec, send nothing" },
        { "idempotency-key", "KEY", "submitting again with the same KEY gives the same job" } },
      command_dataset_corrupt },
    { "datasets", "", 0, 0, "data sets riftd knows by name", NULL, { { 0 } }, command_datasets },
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
        { "artifact", "ARTIFACT", "which (default: the weights that the job was for)" } },
      command_model_push },
    { "model pull", "MODEL", 1, 1, "download a model's weights, checked by SHA-256", MODEL_HELP "\n",
      { { "to", "FILE", "where to (default: its name with .safetensors, here)" } }, command_model_pull },
    { "model rm", "MODEL", 1, 1, "forget a model that no unended job reads", MODEL_HELP "\n", { { 0 } },
      command_model_delete },
    { "devices", "", 0, 0, "devices and what runs on them", NULL, { { 0 } }, command_devices },
    { "version", "", 0, 0, "versions of riftctl and, when it answers, riftd", NULL, { { 0 } }, command_version },
    { "whoami", "", 0, 0, "who riftd takes you for, and what you may do", NULL, { { 0 } }, command_whoami },
    { "completion", "SHELL [WORD...]", 1, CLI_ARGUMENTS_MOST, "let bash, zsh or fish complete what you type",
      "Prints a script for the shell; the Debian package has installed it already. For one\n"
      "session, or for good in ~/.bashrc:\n"
      "  source <(riftctl completion bash)\n"
      "With WORDs behind -- prints what could stand in the last one's place; jobs, models and\n"
      "data sets are asked of riftd.\n",
      { { 0 } }, command_completion },
    { "admin drain", "", 0, 0, "start no more jobs; running ones go on", "For administrators.\n", { { 0 } },
      command_drain },
    { "admin resume", "", 0, 0, "start jobs again", "For administrators.\n", { { 0 } }, command_resume },
    { "admin backup", "", 0, 0, "copy riftd's database while it is in use",
      "The copy lies beside the database, under the name that is printed; `riftd restore` puts\n"
      "it back. Job directories and models are files: copy them afterwards, with rsync. With\n"
      "--keep old copies go once the new one is there, none that has another name than riftd\n"
      "gives. Examples:\n"
      "  riftctl admin backup --keep 14\n"
      "  riftctl admin backup --to /backup/ --keep 0\n",
      { { "to", "FILE", "download it, too; into a directory under its own name" },
        { "keep", "N", "of riftd's copies only the N newest (default: all); 0: none, with --to" } }, command_admin_backup },
    { "admin backups", "", 0, 0, "the copies that riftd has, newest first", NULL, { { 0 } }, command_admin_backups },
    { "admin check", "", 0, 0, "hold every file against what was announced",
      "Reads every artifact and model. Prints what is wrong; exit code 1 when something is.\n", { { 0 } },
      command_admin_check },
    { "admin audit", "", 0, 0, "who changed what, and whose credentials were wrong, newest first", NULL,
      { { "limit", "N", "at most N, up to 200 (default 50)" } }, command_admin_audit },
    { "admin token create", "NAME", 1, 1, "make a token for somebody, and print it",
      "The token is printed this once; its holder puts it into ~/.config/riftctl/token (mode\n"
      "600) or into $RIFT_TOKEN. Example:\n"
      "  riftctl admin token create ann --role submit > ann.token\n",
      { { "role", "ROLE", "read, submit (the default) or admin", "read|submit|admin" },
        { "owner", "OWNER", "in whose name its jobs are (default: NAME)" },
        { "expires", "TIME", "12h, 30d, ... (default: never)" } },
      command_token_create },
    { "admin token list", "", 0, 0, "all tokens, without their secrets", NULL, { { 0 } }, command_token_list },
    { "admin token revoke", "ID", 1, 1, "take a token back, at once", NULL, { { 0 } }, command_token_revoke },
};
/* clang-format on */
const size_t command_count = sizeof(commands) / sizeof(commands[0]);

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

void cli_advice(const char *format, ...)
{
    va_list arguments;

    fputs("  ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

int cli_nothing(const struct cli *cli, const json_t *job)
{
    if (cli->json)
        return CLI_OK;
    const char *state = text_at(job, "state", "?");
    bool past = !strcmp(state, "succeeded") || !strcmp(state, "failed");
    cli_error(CLI_OK, "%s: nothing there; the %s job %s %s", cli->command->name, text_at(job, "kind", "?"),
              past ? "has" : "is", state);
    if (strcmp(text_at(job, "kind", ""), "sweep") == 0)
        cli_advice("Its rift jobs have it: `riftctl show %.18s` names them.", text_at(job, "id", ""));
    return CLI_OK;
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

static int run(struct cli *cli, int argc, char **argv)
{
    int r = arguments_take(cli, argc, argv);

    if (r != CLI_OK)
        return r;
    const char *when = cli_value(cli, "color", "auto");
    if (style_choose(when) < 0)
        return cli_error(CLI_USAGE, "--color %s: expected auto, always or never", when);
    if (cli_given(cli, "help")) {
        if (cli->command)
            help_command(cli->command);
        else
            help_overview(stdout, *cli->group ? cli->group : NULL);
        return CLI_OK;
    }
    if (!cli->command) {
        help_overview(stderr, *cli->group ? cli->group : NULL);
        return CLI_USAGE;
    }
    if (cli->argument_count < cli->command->least || cli->argument_count > cli->command->most)
        return cli_error(CLI_USAGE, "usage: riftctl %s %s   (more: riftctl %s --help)", cli->command->name,
                         cli->command->arguments, cli->command->name);
    cli->json = cli_given(cli, "json");
    return cli->command->run(cli);
}

int main(int argc, char **argv)
{
    struct cli cli = { 0 };

    setlocale(LC_CTYPE, ""); /* letters only: numbers are written as everywhere */
    int code = run(&cli, argc, argv);
    http_close(cli.http);
    if (fflush(stdout) != 0 || ferror(stdout))
        return cli_error(CLI_FAILED, "standard output: %m");
    return code;
}
