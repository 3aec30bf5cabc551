/* Completion, between what a shell sends (completion_shells.c) and what is
 * offered (completion.c). */
#ifndef RIFT_CLI_COMPLETION_H
#define RIFT_CLI_COMPLETION_H

#include "cli/cli.h"

enum shell { SHELL_BASH, SHELL_ZSH, SHELL_FISH, SHELL_COUNT };
extern const char *const shell_names[SHELL_COUNT];

struct completion {
    enum shell shell;
    struct cli cli;    /* as the words before say */
    char before[1024]; /* what the word has before the part to be completed: "--state=" */
    const char *typed; /* that part, as far as it goes */
};

/* The part to be completed begins here. */
void completion_cut(struct completion *at, const char *typed);
/* Print what could stand here, one a line; then ":files", ":directories" or
 * ":nospace" for the shell to act on. awaited: the option whose value it is. */
void completion_offer(struct completion *at, const struct cli_option *awaited, bool options_end);

#endif
