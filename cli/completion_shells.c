/* How do bash, zsh and fish ask, and how are their words read? */
#include "cli/commands.h"
#include "cli/completion.h"

#include <stdlib.h>
#include <string.h>

const char *const shell_names[SHELL_COUNT] = { "bash", "zsh", "fish" };

static const char bash_script[] =
    "# bash completion for riftctl, made by `riftctl completion bash`. At each TAB it\n"
    "# asks riftctl itself, so it fits every version.\n"
    "_riftctl()\n"
    "{\n"
    "    local line\n"
    "    COMPREPLY=()\n"
    "    while IFS= read -r line; do\n"
    "        case $line in\n"
    "        :files) compopt -o default ;;\n"
    "        :directories) compopt -o dirnames ;;\n"
    "        :nospace) compopt -o nospace ;;\n"
    "        *) COMPREPLY+=(\"$line\") ;;\n"
    "        esac\n"
    "    done < <(\"$1\" completion bash -- \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\n"
    "}\n"
    "complete -F _riftctl riftctl\n";

static const char zsh_script[] =
    "#compdef riftctl\n"
    "# zsh completion for riftctl, made by `riftctl completion zsh`. At each TAB it\n"
    "# asks riftctl itself, so it fits every version.\n"
    "_riftctl()\n"
    "{\n"
    "    local line more=''\n"
    "    local -a offered space\n"
    "    for line in \"${(@f)$(\"$words[1]\" completion zsh -- \"${(@)words[2,CURRENT]}\" 2>/dev/null)}\"; do\n"
    "        case $line in\n"
    "        :files) more=_files ;;\n"
    "        :directories) more='_files -/' ;;\n"
    "        :nospace) space=(-S '') ;;\n"
    "        ?*) offered+=(\"$line\") ;;\n"
    "        esac\n"
    "    done\n"
    "    (( $#offered )) && _describe -V riftctl offered \"${(@)space}\"\n"
    "    [[ -n $more ]] && ${=more}\n"
    "    return 0\n"
    "}\n"
    "if [[ $funcstack[1] == _riftctl ]]; then\n"
    "    _riftctl \"$@\"\n"
    "else\n"
    "    compdef _riftctl riftctl\n"
    "fi\n";

static const char fish_script[] = "# fish completion for riftctl, made by `riftctl completion fish`. At each TAB it\n"
                                  "# asks riftctl itself, so it fits every version.\n"
                                  "function __riftctl_complete\n"
                                  "    set -l words (commandline -opc) (commandline -ct)\n"
                                  "    for line in ($words[1] completion fish -- $words[2..-1] 2>/dev/null)\n"
                                  "        switch $line\n"
                                  "            case :files\n"
                                  "                __fish_complete_path (commandline -ct)\n"
                                  "            case :directories\n"
                                  "                __fish_complete_directories (commandline -ct)\n"
                                  "            case ':*'\n"
                                  "            case '*'\n"
                                  "                echo $line\n"
                                  "        end\n"
                                  "    end\n"
                                  "end\n"
                                  "complete -c riftctl -f -a '(__riftctl_complete)'\n";

static const char *const scripts[SHELL_COUNT] = { bash_script, zsh_script, fish_script };

void completion_cut(struct completion *at, const char *typed)
{
    size_t used = strlen(at->before);

    snprintf(at->before + used, sizeof(at->before) - used, "%.*s", (int)(typed - at->typed), at->typed);
    at->typed = typed;
}

/* bash breaks words at = and :, and hands those over as words of their own: put
 * together again what was one, in `joined`. Returns how many there are now. */
static int words_join(const char *const *words, int count, char *joined, size_t size, const char **ret)
{
    bool glue = false;
    int made = 0;

    for (int i = 0; i < count; i++) {
        bool mark = *words[i] && !words[i][strspn(words[i], "=:")];
        size_t length = strlen(words[i]);

        if (length + 1 >= size)
            break;
        if (made && (mark || glue))
            joined--, size++; /* over the end of the word before */
        else
            ret[made++] = joined;
        memcpy(joined, words[i], length + 1);
        joined += length + 1;
        size -= length + 1;
        glue = mark;
    }
    return made;
}

/* A word before the last one that is no option and no option's value. */
static void word_read(struct cli *cli, const char *word)
{
    char name[64];
    bool begins;

    if (cli->command) {
        if (cli->argument_count < CLI_ARGUMENTS_MOST)
            cli->arguments[cli->argument_count++] = word;
        return;
    }
    snprintf(name, sizeof(name), "%.40s%s%.20s", cli->group, *cli->group ? " " : "", word);
    cli->command = command_find(name, &begins);
    if (!cli->command && begins)
        strcpy(cli->group, name);
}

/* Everything but the last word, which is to be completed. Returns the option
 * whose value that is, or NULL. */
static const struct cli_option *words_read(struct cli *cli, const char *const *words, int count, bool *ret_options_end)
{
    const struct cli_option *awaited = NULL;
    const char *as = NULL;

    *ret_options_end = false;
    for (int i = 0; i < count; i++) {
        const char *word = words[i], *equals = strchr(word, '=');
        bool dashes = !*ret_options_end && strncmp(word, "--", 2) == 0;
        const char *value = awaited ? word : NULL;

        if (!awaited && dashes && !word[2]) {
            *ret_options_end = true;
        } else if (!awaited && dashes) {
            awaited = option_find(cli->command, word + 2, equals ? (size_t)(equals - word - 2) : strlen(word + 2), &as);
            if (awaited && (equals || !awaited->argument))
                value = equals ? equals + 1 : "";
        } else if (!awaited) {
            word_read(cli, word);
        }
        if (awaited && value && cli->given_count < CLI_ARGUMENTS_MOST) {
            cli->given[cli->given_count].name = as;
            cli->given[cli->given_count++].value = value;
        }
        awaited = value ? NULL : awaited;
    }
    return awaited;
}

static void complete(enum shell shell, const char *const *words, int count)
{
    static char joined[16384];
    const char *whole[CLI_ARGUMENTS_MOST];
    struct completion at = { .shell = shell, .typed = "" };
    bool options_end;

    if (shell == SHELL_BASH) {
        count = words_join(words, count, joined, sizeof(joined), whole);
        words = whole;
    }
    const struct cli_option *awaited = words_read(&at.cli, words, count - 1, &options_end);
    at.typed = words[count - 1];
    completion_offer(&at, awaited, options_end);
    http_close(at.cli.http);
}

int command_completion(struct cli *cli)
{
    for (int shell = 0; shell < SHELL_COUNT; shell++) {
        if (strcmp(cli->arguments[0], shell_names[shell]) != 0)
            continue;
        if (cli->argument_count == 1) {
            fputs(scripts[shell], stdout);
        } else if (freopen("/dev/null", "w", stderr)) { /* nobody wants to hear of it at the prompt */
            complete((enum shell)shell, cli->arguments + 1, cli->argument_count - 1);
        }
        return CLI_OK;
    }
    return cli_error(CLI_USAGE, "completion: there is no \"%s\" here; there are bash, zsh and fish", cli->arguments[0]);
}
