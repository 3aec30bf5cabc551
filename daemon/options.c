/* What can riftd be told on its command line?
 *
 * One table: parsing and --help read it. */
#include "daemon/daemon.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum option_key {
    KEY_STATE = 256,
    KEY_LISTEN,
    KEY_PORT,
    KEY_SOCKET,
    KEY_SLOTS,
    KEY_WORKER,
    KEY_WEB,
    KEY_OPENAPI,
    KEY_DATASET,
    KEY_GRACE,
    KEY_ATTEMPTS,
    KEY_HELP,
    KEY_VERSION,
};

static const struct {
    enum option_key key;
    const char *name, *argument, *meaning;
} rows[] = {
    { KEY_STATE, "state", "DIR", "where everything is kept (default: $STATE_DIRECTORY)" },
    { KEY_LISTEN, "listen", "ADDR:PORT", "where to serve HTTP (default: 127.0.0.1:8717); port 0: any free one" },
    { KEY_PORT, "port", "PORT", "the same, only the port" },
    { KEY_SOCKET, "socket", "PATH", "serve HTTP on this unix socket too" },
    { KEY_SLOTS, "slots", "DEVICE[:COUNT],...",
      "how many jobs run at once on which device, such as cpu:2,cuda:0 (default: one on each GPU, else one on the "
      "CPU)" },
    { KEY_WORKER, "worker", "PATH", "the rift-worker to start (default: the one beside riftd)" },
    { KEY_WEB, "web", "DIR", "files of the dashboard" },
    { KEY_OPENAPI, "openapi", "FILE", "the API's description to serve" },
    { KEY_DATASET, "dataset", "NAME=FORMAT:PATH", "register a data set; may be given often" },
    { KEY_GRACE, "grace-s", "SECONDS", "time a cancelled worker has for its checkpoint (default: 30)" },
    { KEY_ATTEMPTS, "max-attempts", "N", "deaths of a worker without a new checkpoint that fail its job (default: 5)" },
    { KEY_HELP, "help", NULL, "say this" },
    { KEY_VERSION, "version", NULL, "say which riftd this is" },
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static void help(void)
{
    char left[64];

    printf("usage: riftd --state DIR [OPTION...]\nKeeps a queue of RiFT jobs, runs them in rift-worker processes and "
           "serves "
           "them over HTTP.\n\n");
    for (int i = 0; i < ROWS; i++) {
        snprintf(left, sizeof(left), "--%s %s", rows[i].name, rows[i].argument ? rows[i].argument : "");
        printf("  %-28s %s\n", left, rows[i].meaning);
    }
}

static int number_read(const char *text, long min, long max, long *ret)
{
    char *end;

    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno || end == text || *end || number < min || number > max)
        return -EINVAL;
    *ret = number;
    return 0;
}

/* "127.0.0.1:8717", "[::1]:0" */
static int listen_read(const char *text, struct options *options)
{
    const char *colon = strrchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : 0;
    long port;

    if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
        text++;
        length -= 2;
    }
    if (!colon || !length || length >= sizeof(options->address) || number_read(colon + 1, 0, 65535, &port) < 0)
        return -EINVAL;
    memcpy(options->address, text, length);
    options->address[length] = '\0';
    options->port = (uint16_t)port;
    return 0;
}

static int number_option(const char *text, long min, long max, int *ret)
{
    long number;

    if (number_read(text, min, max, &number) < 0)
        return -EINVAL;
    *ret = (int)number;
    return 0;
}

static int take(struct options *options, enum option_key key, const char *text)
{
    int port;

    switch (key) {
    case KEY_STATE:
        options->state_dir = text;
        return 0;
    case KEY_LISTEN:
        return listen_read(text, options);
    case KEY_PORT:
        if (number_option(text, 0, 65535, &port) < 0)
            return -EINVAL;
        options->port = (uint16_t)port;
        return 0;
    case KEY_SOCKET:
        options->socket_path = text;
        return 0;
    case KEY_SLOTS:
        options->slots = text;
        return 0;
    case KEY_WORKER:
        options->worker = text;
        return 0;
    case KEY_WEB:
        options->web_dir = text;
        return 0;
    case KEY_OPENAPI:
        options->openapi = text;
        return 0;
    case KEY_DATASET:
        if (options->dataset_count == DATASETS_MAX)
            return -EINVAL;
        options->datasets[options->dataset_count++] = text;
        return 0;
    case KEY_GRACE:
        return number_option(text, 0, 86400, &options->grace_s);
    case KEY_ATTEMPTS:
        return number_option(text, 1, 1000, &options->max_attempts);
    case KEY_HELP:
        help();
        options->done = true;
        return 0;
    case KEY_VERSION:
        printf("riftd %s\n", RIFT_VERSION);
        options->done = true;
        return 0;
    }
    return -EINVAL;
}

int options_read(int argc, char **argv, struct options *ret)
{
    struct options options = {
        .address = "127.0.0.1", .port = 8717, .grace_s = 30, .max_attempts = 5, .state_dir = getenv("STATE_DIRECTORY")
    };
    struct option long_options[ROWS + 1] = { 0 };
    int key, index = 0;

    for (int i = 0; i < ROWS; i++)
        long_options[i] = (struct option){ .name = rows[i].name,
                                           .val = (int)rows[i].key,
                                           .has_arg = rows[i].argument ? required_argument : no_argument };
    while ((key = getopt_long(argc, argv, "", long_options, &index)) != -1) {
        if (key == '?')
            return -EINVAL; /* getopt has said why */
        if (take(&options, (enum option_key)key, optarg) < 0) {
            fprintf(stderr, "riftd: --%s %s: expected %s\n", rows[index].name, optarg, rows[index].argument);
            return -EINVAL;
        }
        if (options.done)
            break;
    }
    if (!options.done && optind < argc) {
        fprintf(stderr, "riftd: what is \"%s\"? See --help\n", argv[optind]);
        return -EINVAL;
    }
    if (!options.done && (!options.state_dir || !*options.state_dir)) {
        fprintf(stderr, "riftd: --state DIR is needed: where jobs and their results are kept\n");
        return -EINVAL;
    }
    *ret = options;
    return 0;
}
