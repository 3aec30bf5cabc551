/* What does --help say? The table of commands, for people. */
#include "cli/commands.h"

#include <string.h>

/* Above the first command of each part of the overview. */
static const struct {
    const char *command, *title;
} parts[] = {
    { "submit", "Jobs" },
    { "table", "What they found out" },
    { "dataset ls", "Data sets and models" },
    { "devices", "The server, and yourself" },
    { "admin drain", "For administrators" },
};

static void print_title(FILE *out, const char *command)
{
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (strcmp(parts[i].command, command) == 0)
            fprintf(out, "%s%s:\n", i ? "\n" : "", parts[i].title);
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
void help_overview(FILE *out, const char *group)
{
    size_t length = group ? strlen(group) : 0;

    fputs("usage: riftctl COMMAND [ARGUMENTS] [OPTIONS]     riftctl COMMAND --help\n\n", out);
    for (size_t i = 0; i < command_count; i++) {
        char left[64];

        if (group && (strncmp(commands[i].name, group, length) != 0 || commands[i].name[length] != ' '))
            continue;
        if (!group)
            print_title(out, commands[i].name);
        snprintf(left, sizeof(left), "%s %s", commands[i].name, commands[i].arguments);
        fprintf(out, "  %-30s %s\n", left, commands[i].summary);
    }
    fputs("\nEverywhere:\n", out);
    print_options(out, global_options, global_option_count);
    fputs("\nExit codes: 0 done or job succeeded, 1 job failed, 2 usage, 3 job cancelled,\n"
          "4 server unreachable, 5 not found, 6 spec rejected, 7 not allowed (a token is needed).\n",
          out);
}

void help_command(const struct cli_command *command)
{
    printf("usage: riftctl %s %s%s[OPTIONS]\n\n%s\n", command->name, command->arguments, *command->arguments ? " " : "",
           command->summary);
    if (command->help)
        printf("\n%s", command->help);
    if (command->options[0].name)
        putchar('\n');
    print_options(stdout, command->options, CLI_OPTIONS_MOST);
    fputs("\nEverywhere:\n", stdout);
    print_options(stdout, global_options, global_option_count);
}
