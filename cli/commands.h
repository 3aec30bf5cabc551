/* The table of commands (main.c), for those who read it: the dispatcher
 * (arguments.c), --help (help.c) and the shells' completion (completion.c). */
#ifndef RIFT_CLI_COMMANDS_H
#define RIFT_CLI_COMMANDS_H

#include "cli/cli.h"

#include <stdio.h>

extern const struct cli_command commands[];
extern const size_t command_count;
extern const struct cli_option global_options[];
extern const size_t global_option_count;

/* A global option of the same name as one of the command's, given before the
 * command, is remembered under another name. */
#define HIDDEN_STATE "global state"

/* The command of that name, one word or two; NULL when there is none.
 * *ret_begins: there are some that begin with it. */
const struct cli_command *command_find(const char *name, bool *ret_begins);
/* The option of that name (its first `length` bytes): the command's own (command
 * may be NULL) before a global one. *ret_as: what it is remembered as. */
const struct cli_option *option_find(const struct cli_command *command, const char *name, size_t length,
                                     const char **ret_as);

/* Sort argv into the command, its arguments and options. */
int arguments_take(struct cli *cli, int argc, char **argv);

/* All commands, or those whose first word is `group`. */
void help_overview(FILE *out, const char *group);
void help_command(const struct cli_command *command);

#endif
