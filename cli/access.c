/* With which token does riftctl ask?
 *
 * --token-file, else $RIFT_TOKEN, else the file ~/.config/riftctl/token. Never a
 * token on the command line: everybody on the machine can read that. Files must
 * be their owner's alone, as ssh wants its keys.
 *
 * A line of a file is a token, or a token and the address of the one riftd that
 * it is for; the first line that fits the server is taken, so that no server is
 * shown another's token. Over a unix socket the kernel already says who asks:
 * there the usual file isn't read. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_LIMIT (64 * 1024)

/* ~/.config/riftctl/token; NULL when nobody says where that is. */
static char *usual_path(void)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    char *path = NULL;
    int r = -1;

    if (config && *config)
        r = asprintf(&path, "%s/riftctl/token", config);
    else if (home && *home)
        r = asprintf(&path, "%s/.config/riftctl/token", home);
    return r < 0 ? NULL : path;
}

static int privacy_check(const char *path, struct fault *why)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return fault_set(why, -errno, "%s: %s", path, strerror(errno));
    if (S_ISREG(st.st_mode) && st.st_mode & 077)
        return fault_set(why, -EPERM, "%s: others may read or change this token; chmod 600 it", path);
    return 0;
}

/* "TOKEN" or "TOKEN ADDRESS" -> the token when it is for this server. */
static char *line_token(char *line, const char *address)
{
    char *rest = line, *token = strsep(&rest, " \t");

    if (!*token || *token == '#')
        return NULL;
    while (rest && (*rest == ' ' || *rest == '\t'))
        rest++;
    size_t length = rest ? strcspn(rest, " \t\r") : 0;
    while (length && rest[length - 1] == '/')
        length--;
    if (!length)
        return token;
    return !strncmp(address, rest, length) && !address[length + strspn(address + length, "/")] ? token : NULL;
}

static int file_token(const char *path, const char *address, char **ret, struct fault *why)
{
    char *text = NULL;
    size_t size;
    int r = privacy_check(path, why);

    if (r >= 0)
        r = file_read(path, FILE_LIMIT, &text, &size, why);
    if (r < 0)
        return r;
    char *token = NULL, *rest = text;
    while (rest && !token) {
        char *line = strsep(&rest, "\n");
        line[strcspn(line, "\r")] = '\0';
        token = line_token(line, address);
    }
    if (token && !(*ret = strdup(token)))
        r = fault_set(why, -ENOMEM, "out of memory");
    explicit_bzero(text, size);
    free(text);
    return r;
}

/* The token for this server; *ret stays NULL when there is none. */
static int token_find(const struct cli *cli, const char *address, char **ret, struct fault *why)
{
    const char *file = cli_value(cli, "token-file", NULL), *variable = getenv("RIFT_TOKEN");

    if (file)
        return file_token(file, address, ret, why);
    if (variable && *variable) {
        *ret = strdup(variable);
        return *ret ? 0 : fault_set(why, -ENOMEM, "out of memory");
    }
    char *path = strncmp(address, "unix:", 5) ? usual_path() : NULL;
    int r = path && access(path, F_OK) == 0 ? file_token(path, address, ret, why) : 0;
    free(path);
    return r;
}

int access_open(struct cli *cli, const char *address, struct http **ret, struct fault *why)
{
    const char *cacert = cli_value(cli, "cacert", getenv("RIFT_CACERT"));
    char *token = NULL;
    int r = token_find(cli, address, &token, why);

    if (r >= 0 && token && token[strspn(token, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")])
        r = fault_set(why, -EINVAL, "what should be a token has characters that none has");
    if (r >= 0)
        r = http_open(address, &(struct http_access){ token, cacert && *cacert ? cacert : NULL }, ret, why);
    if (r >= 0 && token && http_overheard(*ret) && !cli->warned) {
        cli->warned = true;
        cli_error(CLI_OK, "the token goes to %s in the clear; https, or a tunnel, would hide it", address);
    }
    if (token)
        explicit_bzero(token, strlen(token));
    free(token);
    return r;
}
