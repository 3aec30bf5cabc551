/* How do settings come in, and how do they change while riftd runs?
 *
 *   SIGHUP -> all sources are read again -> a mistake: it is told, nothing changes
 *                                        -> none: a new struct settings takes the
 *                                           old one's place, in one store
 *
 * What can't change while we run keeps its old value, and the log says that it
 * wants a restart. HTTP threads may still read the settings before: those stay
 * to the end, a few kilobytes for each SIGHUP. */
#include "daemon/daemon.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#define DEFAULT_FILE "/etc/riftd/riftd.conf"

enum { EXIT_USAGE = 2, EXIT_CONFIG = 78 /* sysexits.h: EX_CONFIG */ };

extern char **environ;

/* ---- the environment ---- */

static bool ours(const char *variable)
{
    return strncmp(variable, "RIFTD_", 6) == 0;
}

static bool of_systemd(const char *variable)
{
    return strncmp(variable, "STATE_DIRECTORY=", 16) == 0 || strncmp(variable, "CREDENTIALS_DIRECTORY=", 22) == 0;
}

/* A copy of what settings are read from; what is ours leaves the environment,
 * so that workers, which read files of strangers, don't inherit secrets. */
static const char *const *environment_take(void)
{
    size_t count = 0, taken = 0;

    while (environ[count])
        count++;
    char **copy = calloc(count + 1, sizeof(*copy));
    for (size_t i = 0; copy && i < count; i++)
        if ((ours(environ[i]) || of_systemd(environ[i])) && !(copy[taken++] = strdup(environ[i])))
            return NULL;
    for (size_t i = 0; copy && i < taken; i++) {
        char name[256];
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(copy[i], "="), copy[i]);
        if (ours(copy[i]))
            unsetenv(name);
    }
    return (const char *const *)copy;
}

static void environment_free(const char *const *environment)
{
    for (size_t i = 0; environment && environment[i]; i++)
        free((char *)environment[i]);
    free((void *)environment);
}

/* ---- the start ---- */

static int mistakes_tell(const struct mistakes *mistakes)
{
    for (int i = 0; i < mistakes->count; i++)
        fprintf(stderr, "riftd: %s\n", mistakes->lines[i]);
    return mistakes->beyond_flags ? EXIT_CONFIG : EXIT_USAGE;
}

/* What isn't a mistake in a setting but makes a set that can't run. 0, or how to end. */
static int check(const struct settings *settings, enum command command)
{
    struct fault why = { 0 };
    json_auto_t *datasets = NULL;

    if (datasets_make(settings, &datasets, &why) < 0) {
        fprintf(stderr, "riftd: %s\n", why.message);
        return EXIT_CONFIG;
    }
    if (command == COMMAND_RUN && !settings->state) {
        fprintf(stderr, "riftd: --state DIR is needed: where jobs and their results are kept\n");
        return EXIT_USAGE;
    }
    return 0;
}

static int command_do(const struct settings *settings, const struct invocation *invocation,
                      const struct mistakes *mistakes)
{
    int exit_code = 0;

    switch (invocation->command) {
    case COMMAND_HELP:
        settings_help();
        return 0;
    case COMMAND_VERSION:
        printf("riftd %s\n", RIFT_VERSION);
        return 0;
    case COMMAND_PRINT:
        if (settings_print(settings, invocation->json) < 0)
            return 1;
        return mistakes->count ? mistakes_tell(mistakes) : 0;
    case COMMAND_CHECK:
        exit_code = mistakes->count ? mistakes_tell(mistakes), EXIT_CONFIG : check(settings, invocation->command);
        if (!exit_code)
            printf("%s: no mistakes\n", settings->file ? settings->file : "no file");
        return exit_code;
    case COMMAND_RUN:
        break;
    }
    return mistakes->count ? mistakes_tell(mistakes) : check(settings, invocation->command);
}

int settings_open(struct daemon *daemon, int argc, char **argv, int *ret_exit_code)
{
    struct mistakes mistakes = { 0 };
    struct invocation invocation;
    struct settings *settings = NULL;

    daemon->sources = (struct setting_sources){ argc, argv, environment_take(), DEFAULT_FILE };
    int r = daemon->sources.environment ? settings_read(&daemon->sources, &settings, &invocation, &mistakes) : -ENOMEM;
    if (r < 0) {
        fprintf(stderr, "riftd: out of memory\n");
        *ret_exit_code = 1;
        return r;
    }
    *ret_exit_code = command_do(settings, &invocation, &mistakes);
    mistakes_done(&mistakes);
    daemon->settings = settings;
    if (invocation.command == COMMAND_RUN && !*ret_exit_code) {
        log_level_set((enum log_level)settings->log_level);
        return 1;
    }
    settings_close(daemon);
    return *ret_exit_code ? -EINVAL : 0;
}

void settings_close(struct daemon *daemon)
{
    settings_free((struct settings *)daemon->settings);
    daemon->settings = NULL;
    environment_free(daemon->sources.environment);
    daemon->sources.environment = NULL;
}

/* ---- SIGHUP ---- */

/* The new settings say of this row what the old ones did. No list is such a row. */
static void row_keep(const struct setting *row, const struct settings *old, struct settings *new)
{
    static const size_t sizes[] = {
        [SETTING_STRING] = sizeof(const char *),
        [SETTING_PATH] = sizeof(const char *),
        [SETTING_INTEGER] = sizeof(int64_t),
        [SETTING_BYTES] = sizeof(int64_t),
        [SETTING_DURATION] = sizeof(int64_t),
        [SETTING_BOOLEAN] = sizeof(bool),
        [SETTING_ENUM] = sizeof(int),
    };

    assert(row->type != SETTING_LIST);
    memcpy((char *)new + row->offset, (const char *)old + row->offset, sizes[row->type]);
    new->origins[row - settings_table] = old->origins[row - settings_table];
}

/* Say what is new; what wants a restart gets its old value back. */
static void differences_tell(const struct settings *old, struct settings *new)
{
    char before[512], after[512], from[512];

    for (int i = 0; i < settings_count; i++) {
        const struct setting *row = &settings_table[i];
        if (setting_same(row, old, new))
            continue;
        setting_show(row, old, before, sizeof(before));
        setting_show(row, new, after, sizeof(after));
        origin_text(&new->origins[i], from, sizeof(from));
        if (row->flags & RELOADABLE) {
            log_info("%s: %s, was %s (%s)", row->key, after, before, from);
            continue;
        }
        log_warning("%s: %s (%s) wants a restart; until then it is %s", row->key, after, from, before);
        row_keep(row, old, new);
    }
}

/* What api/ follows. It may refuse: then nothing changes. */
static int rules_apply(struct daemon *daemon, const struct settings *new, struct fault *why)
{
    struct rules *rules = rules_make(new, daemon->rules);
    char message[256];

    if (!rules)
        return fault_set(why, -ENOMEM, "out of memory");
    int r = api_rules_set(daemon->api, rules_lend(rules), message);
    if (r < 0) {
        free(rules); /* never lent */
        return fault_set(why, r, "%s", message);
    }
    daemon->rules = rules;
    return 0;
}

/* What was computed from settings follows them. */
static int apply(struct daemon *daemon, struct settings *new, struct fault *why)
{
    json_auto_t *datasets = NULL;
    int r = datasets_make(new, &datasets, why);

    if (r >= 0)
        r = rules_apply(daemon, new, why);
    if (r < 0)
        return r;
    differences_tell(daemon->settings, new);
    datasets_set(daemon, json_incref(datasets));
    log_level_set((enum log_level) new->log_level);
    new->older = (struct settings *)daemon->settings;
    daemon->settings = new;
    janitor_ring(daemon);
    if (policy_apply(daemon, new) < 0)
        log_error("the queue keeps its old order: %s", db_errmsg(daemon->db));
    return 0;
}

/* The files may have been renewed, though the settings name the same. */
static void certificate_reload(struct daemon *daemon)
{
    char message[256];

    if (!daemon->settings->tls_cert)
        return;
    if (api_reload(daemon->api, message) < 0)
        log_error("the certificate stays as it was: %s", message);
    else
        log_info("certificate read again from %s", daemon->settings->tls_cert);
}

static void reload(struct daemon *daemon)
{
    struct mistakes mistakes = { 0 };
    struct invocation ignored;
    struct settings *new = NULL;
    struct fault why = { 0 };
    int r = settings_read(&daemon->sources, &new, &ignored, &mistakes);

    if (r < 0)
        fault_set(&why, r, "out of memory");
    for (int i = 0; i < mistakes.count; i++)
        log_error("%s", mistakes.lines[i]);
    if (r >= 0 && mistakes.count)
        r = fault_set(&why, -EINVAL, "%d mistake%s", mistakes.count, mistakes.count == 1 ? "" : "s");
    mistakes_done(&mistakes);
    if (r >= 0)
        r = apply(daemon, new, &why);
    if (r >= 0) {
        certificate_reload(daemon);
        log_info("settings read again from %s", new->file ? new->file : "no file");
        return;
    }
    log_error("settings stay as they were: %s", why.message);
    settings_free(new);
}

void settings_reload(struct daemon *daemon)
{
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)monotonic_us());
    reload(daemon);
    sd_notify(0, "READY=1");
}
