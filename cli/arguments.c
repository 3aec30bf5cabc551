/* What was typed?
 *
 * The command is one word or two; its arguments and options may stand anywhere
 * behind it. What is mistyped is answered with the word that was perhaps meant. */
#include "cli/commands.h"

#include <stdlib.h>
#include <string.h>

#define NEAR_SIZE 64

/* ---- the tables ---- */

const struct cli_command *command_find(const char *name, bool *ret_begins)
{
    size_t length = strlen(name);

    *ret_begins = false;
    for (size_t i = 0; i < command_count; i++)
        *ret_begins |= strncmp(commands[i].name, name, length) == 0 && commands[i].name[length] == ' ';
    for (size_t i = 0; i < command_count; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static const struct cli_option *row_find(const struct cli_option *options, size_t count, const char *name,
                                         size_t length)
{
    for (size_t i = 0; i < count && options[i].name; i++)
        if (strlen(options[i].name) == length && strncmp(options[i].name, name, length) == 0)
            return &options[i];
    return NULL;
}

const struct cli_option *option_find(const struct cli_command *command, const char *name, size_t length,
                                     const char **ret_as)
{
    const struct cli_option *own = command ? row_find(command->options, CLI_OPTIONS_MOST, name, length) : NULL;
    const struct cli_option *option = own ? own : row_find(global_options, global_option_count, name, length);

    if (option)
        *ret_as = !own && strcmp(option->name, "state") == 0 ? HIDDEN_STATE : option->name;
    return option;
}

/* ---- the word that was meant ---- */

/* "a|b|c", owned; NULL: out of memory. */
static char *names_join(const char *(*name_at)(const void *table, size_t i), const void *table)
{
    char *names = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&names, &size);

    if (!out)
        return NULL;
    for (size_t i = 0; name_at(table, i); i++)
        fprintf(out, "%s%s", i ? "|" : "", name_at(table, i));
    if (fclose(out) != 0) {
        free(names);
        return NULL;
    }
    return names;
}

static const char *command_name_at(const void *table, size_t i)
{
    (void)table;
    return i < command_count ? commands[i].name : NULL;
}

/* The command's options, then the global ones. */
static const char *option_name_at(const void *table, size_t i)
{
    const struct cli_command *command = table;
    size_t own = 0;

    while (command && own < CLI_OPTIONS_MOST && command->options[own].name)
        own++;
    if (i < own)
        return command->options[i].name;
    return i - own < global_option_count ? global_options[i - own].name : NULL;
}

static bool meant_find(const char *(*name_at)(const void *table, size_t i), const void *table, const char *word,
                       char ret[NEAR_SIZE])
{
    char *names = names_join(name_at, table);
    bool found = names && word_nearest(names, word, ret, NEAR_SIZE);

    free(names);
    return found;
}

/* Words that people know from other programs. */
static const char *command_elsewhere(const char *word)
{
    static const struct {
        const char *word, *ours;
    } rows[] = {
        { "ls", "list" },
        { "jobs", "list" },
        { "ps", "list" },
        { "status", "show" },
        { "get", "show" },
        { "describe", "show" },
        { "run", "submit" },
        { "create", "submit" },
        { "stop", "cancel" },
        { "kill", "cancel" },
        { "rm", "delete" },
        { "remove", "delete" },
        { "logs", "log" },
        { "tail", "log" },
        { "follow", "watch" },
        { "download", "fetch" },
        { "restart", "retry" },
        { "compare", "diff" },
        { "curves", "plot" },
        { "graph", "plot" },
        { "models", "model ls" },
        { "mrc", "modules" },
        { "token", "admin token create" },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (strcmp(rows[i].word, word) == 0)
            return rows[i].ours;
    return NULL;
}

static int command_unknown(const char *name)
{
    char near[NEAR_SIZE];
    const char *ours = command_elsewhere(name);

    if (!ours && meant_find(command_name_at, NULL, name, near))
        ours = near;
    return ours ? cli_error(CLI_USAGE, "there is no command \"%s\"; did you mean \"%s\"? `riftctl --help` lists all",
                            name, ours)
                : cli_error(CLI_USAGE, "there is no command \"%s\"; `riftctl --help` lists them", name);
}

static int option_unknown(const struct cli_command *command, const char *name, size_t length)
{
    char near[NEAR_SIZE], *word = strndup(name, length);
    bool meant = word && meant_find(option_name_at, command, word, near);

    cli_error(CLI_USAGE, "there is no option --%.*s%s%s%s%s%s; `riftctl %s%s--help` lists them", (int)length, name,
              command ? " for " : "", command ? command->name : "", meant ? "; did you mean --" : "", meant ? near : "",
              meant ? "?" : "", command ? command->name : "", command ? " " : "");
    free(word);
    return CLI_USAGE;
}

/* ---- taking ---- */

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
    const char *name = argv[*at] + 2, *equals = strchr(name, '='), *value = "", *as;
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    const struct cli_option *option = option_find(cli->command, name, length, &as);

    if (!option)
        return option_unknown(cli->command, name, length);
    if (!option->argument && equals)
        return cli_error(CLI_USAGE, "--%s takes no value", option->name);
    if (option->argument) {
        value = equals ? equals + 1 : argv[++*at];
        if (!equals && *at >= argc)
            return cli_error(CLI_USAGE, "--%s wants a value: %s", option->name, option->argument);
    }
    return give(cli, as, value);
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
    bool begins;

    if (!*cli->group && strcmp(word, "help") == 0) /* "help watch" */
        return give(cli, "help", "");
    snprintf(name, sizeof(name), "%.40s%s%.20s", cli->group, *cli->group ? " " : "", word);
    cli->command = command_find(name, &begins);
    if (!cli->command && begins)
        strcpy(cli->group, name);
    return cli->command || begins ? CLI_OK : command_unknown(name);
}

int arguments_take(struct cli *cli, int argc, char **argv)
{
    bool options_end = false;

    for (int i = 1; i < argc; i++) {
        int r = CLI_OK;
        if (!options_end && strcmp(argv[i], "--") == 0)
            options_end = true;
        else if (!options_end && strcmp(argv[i], "-h") == 0)
            r = give(cli, "help", "");
        else if (!cli->command && strcmp(argv[i], "--version") == 0)
            r = take_word(cli, "version");
        else if (!options_end && strncmp(argv[i], "--", 2) == 0)
            r = take_option(cli, argc, argv, &i);
        else
            r = take_word(cli, argv[i]);
        if (r != CLI_OK)
            return r;
    }
    return CLI_OK;
}
