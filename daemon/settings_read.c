/* Who says what, and which of them counts?
 *
 *   file -> credentials -> environment -> flags
 *
 * in this order, each taking the place of what came before; a list is taken
 * whole from the strongest source that names it. Nothing stops at the first
 * mistake: all are collected, each with the place where it stands.
 *
 * A credential is a file $CREDENTIALS_DIRECTORY/riftd.KEY (LoadCredential= in a
 * unit): for a path its own path is the value, for anything else what it holds. */
#include "daemon/settings.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_LIMIT = 1 << 20, CREDENTIAL_LIMIT = 1 << 16, KEY_SIZE = 64 };

/* Strings that live as long as their settings. */
struct settings_memory {
    struct settings_memory *next;
    char text[];
};

struct reader {
    const struct setting_sources *sources;
    struct settings *settings;
    struct mistakes *mistakes;
    struct invocation invocation;
    const char *file; /* --config */
    bool no_memory;
};

/* ---- small things ---- */

static char *keep(struct reader *reader, const char *text, size_t length)
{
    struct settings_memory *memory = malloc(sizeof(*memory) + length + 1);

    if (!memory) {
        reader->no_memory = true;
        return NULL;
    }
    memcpy(memory->text, text, length);
    memory->text[length] = '\0';
    memory->next = reader->settings->memory;
    reader->settings->memory = memory;
    return memory->text;
}

__attribute__((format(printf, 3, 4))) static void mistake(struct reader *reader, const struct origin *origin,
                                                          const char *format, ...)
{
    struct mistakes *mistakes = reader->mistakes;
    struct fault what;
    char where[512] = "", *line = NULL;
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(what.message, sizeof(what.message), format, arguments);
    va_end(arguments);
    if (origin->source == SOURCE_FILE && origin->line)
        snprintf(where, sizeof(where), "%s:%d: ", origin->name, origin->line);
    else if (origin->name)
        snprintf(where, sizeof(where), "%s: ", origin->name);
    struct fault clean;
    fault_set(&clean, 0, "%s%s", where, what.message); /* no byte that would steer a terminal */
    char **grown = realloc(mistakes->lines, (size_t)(mistakes->count + 1) * sizeof(*grown));
    if (grown)
        mistakes->lines = grown;
    if (length < 0 || !grown || !(line = strdup(clean.message))) {
        reader->no_memory = true;
        return;
    }
    mistakes->lines[mistakes->count++] = line;
    mistakes->beyond_flags |= origin->source != SOURCE_FLAG;
}

void mistakes_done(struct mistakes *mistakes)
{
    for (int i = 0; i < mistakes->count; i++)
        free(mistakes->lines[i]);
    free(mistakes->lines);
    *mistakes = (struct mistakes){ 0 };
}

static const char *variable_find(const struct reader *reader, const char *name)
{
    size_t length = strlen(name);

    for (const char *const *at = reader->sources->environment; at && *at; at++)
        if (strncmp(*at, name, length) == 0 && (*at)[length] == '=')
            return *at + length + 1;
    return NULL;
}

/* "grace-s" -> "RIFTD_GRACE_S" */
static void variable_name(const char *key, char ret[KEY_SIZE + 8])
{
    snprintf(ret, KEY_SIZE + 8, "RIFTD_%s", key);
    for (char *at = ret; *at; at++)
        *at = *at == '-' ? '_' : (char)toupper((unsigned char)*at);
}

/* "; did you mean grace-s?", or "". */
static void key_advice(const char *key, const char *more, char *ret, size_t size)
{
    char keys[SETTINGS_MAX * KEY_SIZE], near[KEY_SIZE];
    size_t length = (size_t)snprintf(keys, sizeof(keys), "%s", more);

    for (int i = 0; i < settings_count; i++)
        length +=
            (size_t)snprintf(keys + length, sizeof(keys) - length, "%s%s", length ? "|" : "", settings_table[i].key);
    *ret = '\0';
    if (word_nearest(keys, key, near, sizeof(near)))
        snprintf(ret, size, "; did you mean %s?", near);
}

/* ---- one value ---- */

static void list_add(struct reader *reader, struct setting_list *list, const struct origin *origin, const char *text)
{
    struct setting_item *grown = realloc(list->items, (size_t)(list->count + 1) * sizeof(*grown));

    if (!grown) {
        reader->no_memory = true;
        return;
    }
    list->items = grown;
    list->items[list->count++] = (struct setting_item){ text, *origin };
}

/* `said` is how the source says the key: "grace-s", "--grace-s 5"; "" when the origin's name says it. */
static void put(struct reader *reader, const struct setting *row, const struct origin *origin, const char *said,
                const char *text)
{
    struct origin *known = &reader->settings->origins[row - settings_table];
    struct fault why = { 0 };

    if (row->type == SETTING_LIST) {
        struct setting_list *list = (void *)((char *)reader->settings + row->offset);
        if (known->source != origin->source)
            list->count = 0; /* a stronger source; what the weaker ones say doesn't count */
        *known = *origin;
        if (!*text)
            return;
        list_add(reader, list, origin, text);
    } else if (known->source == SOURCE_FILE && origin->source == SOURCE_FILE) {
        mistake(reader, origin, "%s: was given in line %d already", said, known->line);
        return;
    }
    if (row->type == SETTING_PATH && origin->source == SOURCE_FILE && *text && *text != '/')
        fault_set(&why, -EINVAL, "expected a path from / on, not \"%s\"", text);
    else
        setting_set(row, reader->settings, text, &why);
    if (why.code)
        mistake(reader, origin, "%s%s%s", said, *said ? ": " : "", why.message);
    else
        *known = *origin;
}

/* The items of a list in one text: separated by line ends or ';'. */
static void put_all(struct reader *reader, const struct setting *row, const struct origin *origin, char *text)
{
    int items = 0;

    if (row->type != SETTING_LIST) {
        put(reader, row, origin, "", text);
        return;
    }
    for (char *next, *at = text; at; at = next) {
        next = strpbrk(at, "\n;");
        if (next)
            *next++ = '\0';
        at += strspn(at, " \t\r");
        if (*at) {
            put(reader, row, origin, "", at);
            items++;
        }
    }
    if (!items)
        put(reader, row, origin, "", "");
}

/* ---- the file ---- */

/* Cut off blanks at both ends, in place. */
static char *trim(char *text)
{
    size_t length = strlen(text);

    while (length && strchr(" \t\r", text[length - 1]))
        text[--length] = '\0';
    return text + strspn(text, " \t");
}

static void line_read(struct reader *reader, const struct origin *origin, char *line)
{
    char *key = trim(line), advice[KEY_SIZE + 32];

    if (!*key || *key == '#')
        return;
    char *equals = strchr(key, '=');
    if (!equals) {
        mistake(reader, origin, "expected KEY = VALUE, not \"%s\"%s", key,
                *key == '[' ? "; there are no sections here" : "");
        return;
    }
    *equals = '\0';
    key = trim(key);
    const struct setting *row = setting_find(key);
    if (row) {
        put(reader, row, origin, key, trim(equals + 1));
        return;
    }
    key_advice(key, "", advice, sizeof(advice));
    mistake(reader, origin, "%s: there is no such setting%s", key, advice);
}

static void file_take(struct reader *reader, const char *path)
{
    struct origin origin = { SOURCE_FILE, keep(reader, path, strlen(path)), 0 };
    struct fault why = { 0 };
    char *data = NULL;
    size_t size = 0;

    if (!origin.name)
        return;
    if (file_read(path, FILE_LIMIT, &data, &size, &why) < 0) {
        mistake(reader, &(struct origin){ SOURCE_FILE, NULL, 0 }, "%s", why.message);
        return;
    }
    reader->settings->file = origin.name;
    char *kept = keep(reader, data, size);
    free(data);
    if (kept && strlen(kept) < size)
        mistake(reader, &origin, "holds a zero byte; what comes after it isn't read");
    for (char *next, *line = kept; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        origin.line++;
        line_read(reader, &origin, line);
    }
}

/* ---- credentials and the environment ---- */

static void credential_take(struct reader *reader, const struct setting *row, const char *directory)
{
    struct fault why = { 0 };
    char path[4096], *data = NULL;
    size_t size = 0;

    if (snprintf(path, sizeof(path), "%s/riftd.%s", directory, row->key) >= (int)sizeof(path) || access(path, F_OK) < 0)
        return;
    struct origin origin = { SOURCE_CREDENTIAL, keep(reader, path, strlen(path)), 0 };
    if (!origin.name)
        return;
    if (row->type == SETTING_PATH) {
        put(reader, row, &origin, "", origin.name);
        return;
    }
    if (file_read(path, CREDENTIAL_LIMIT, &data, &size, &why) < 0) {
        mistake(reader, &(struct origin){ SOURCE_CREDENTIAL, NULL, 0 }, "%s", why.message);
        return;
    }
    size -= size && data[size - 1] == '\n';
    char *text = keep(reader, data, size);
    free(data);
    if (text)
        put_all(reader, row, &origin, text);
}

static void variable_take(struct reader *reader, const struct setting *row, const char *name,
                          enum setting_source source)
{
    const char *value = variable_find(reader, name);
    struct origin origin = { source, NULL, 0 };

    if (!value)
        return;
    char *text = keep(reader, value, strlen(value));
    origin.name = keep(reader, name, strlen(name));
    if (text && origin.name)
        put_all(reader, row, &origin, text);
}

/* systemd says the default of some: STATE_DIRECTORY is "/var/lib/riftd", or several with ':' between them. */
static void default_take(struct reader *reader, const struct setting *row)
{
    struct origin *origin = &reader->settings->origins[row - settings_table];
    const char *value = row->variable ? variable_find(reader, row->variable) : NULL;
    const char *text = value && *value ? keep(reader, value, strcspn(value, ":")) : row->fallback;
    struct fault why = { 0 };

    if (row->type == SETTING_INTEGER || row->type == SETTING_BYTES || row->type == SETTING_DURATION)
        *(int64_t *)(void *)((char *)reader->settings + row->offset) = SETTING_UNSET;
    if (text && setting_set(row, reader->settings, text, &why) < 0)
        mistake(reader, origin, "%s: %s", row->key, why.message);
    if (value && *value)
        origin->name = row->variable;
}

/* ---- flags ---- */

/* What isn't a setting. */
static const struct {
    const char *name;
    enum command command;
} commands[] = {
    { "help", COMMAND_HELP },
    { "version", COMMAND_VERSION },
    { "print-settings", COMMAND_PRINT },
    { "check-config", COMMAND_CHECK },
};

/* The first command counts; --json goes with any. */
static bool command_take(struct invocation *invocation, const char *name)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(commands[i].name, name) == 0) {
            if (invocation->command == COMMAND_RUN)
                invocation->command = commands[i].command;
            return true;
        }
    if (strcmp(name, "json") != 0)
        return false;
    invocation->json = true;
    return true;
}

/* What a flag means to one of the two walks; value NULL: there is none. */
typedef void flag_taker(struct reader *reader, const char *name, const char *value);

/* The first walk: which file to read. */
static void flag_config(struct reader *reader, const char *name, const char *value)
{
    if (value && strcmp(name, "config") == 0)
        reader->file = value;
}

/* The second: settings. */
static void flag_setting(struct reader *reader, const char *name, const char *value)
{
    const struct setting *row = setting_find(name);
    struct origin origin = { SOURCE_FLAG, NULL, 0 };
    char said[512];

    if (!row)
        return;
    if (!value) {
        mistake(reader, &origin, "--%s: expected %s after it", name, row->argument);
        return;
    }
    snprintf(said, sizeof(said), row->flags & SECRET ? "--%s" : "--%s %s", name, value);
    put(reader, row, &origin, said, value);
}

/* Neither a setting nor a command. */
static void flag_unknown(struct reader *reader, const char *word, const char *name)
{
    struct origin origin = { SOURCE_FLAG, NULL, 0 };
    char advice[KEY_SIZE + 32];

    key_advice(name, "config|help|version|print-settings|check-config|json", advice, sizeof(advice));
    mistake(reader, &origin, "what is \"%s\"?%s%s", word, advice, *advice ? "" : " See --help");
}

/* --KEY VALUE or --KEY=VALUE */
static void flags_walk(struct reader *reader, flag_taker *take)
{
    char *const *argv = reader->sources->argv;

    for (int i = 1; i < reader->sources->argc; i++) {
        const char *word = argv[i], *value = strchr(word, '=');
        bool flag = strncmp(word, "--", 2) == 0;
        char name[KEY_SIZE] = "";
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(word + 2 * flag, "="), word + 2 * flag);
        if (flag && !value && command_take(&reader->invocation, name))
            continue;
        bool known = flag && (setting_find(name) || strcmp(name, "config") == 0);
        if (value)
            value++;
        else if (known || (flag && argv[i + 1] && *argv[i + 1] != '-'))
            value = argv[++i]; /* what follows an unknown flag was meant for it */
        char *kept = value ? keep(reader, value, strlen(value)) : NULL;
        if (known && (kept || !value))
            take(reader, name, kept);
        else if (!known && take == flag_setting)
            flag_unknown(reader, word, name);
    }
}

/* ---- all of it ---- */

static void file_choose(struct reader *reader)
{
    const char *variable = variable_find(reader, "RIFTD_CONFIG");
    const char *fallback = reader->sources->default_file;

    if (!reader->file && variable && *variable)
        reader->file = variable;
    if (reader->file)
        file_take(reader, reader->file);
    else if (fallback && access(fallback, F_OK) == 0)
        file_take(reader, fallback);
}

static void sources_read(struct reader *reader)
{
    const char *credentials = variable_find(reader, "CREDENTIALS_DIRECTORY");
    char variable[KEY_SIZE + 8];

    for (int i = 0; i < settings_count; i++)
        default_take(reader, &settings_table[i]);
    flags_walk(reader, flag_config);
    file_choose(reader);
    for (int i = 0; credentials && i < settings_count; i++)
        credential_take(reader, &settings_table[i], credentials);
    for (int i = 0; i < settings_count; i++) {
        variable_name(settings_table[i].key, variable);
        variable_take(reader, &settings_table[i], variable, SOURCE_ENVIRONMENT);
    }
    flags_walk(reader, flag_setting);
}

int settings_read(const struct setting_sources *sources, struct settings **ret, struct invocation *ret_invocation,
                  struct mistakes *mistakes)
{
    struct reader reader = { .sources = sources, .settings = calloc(1, sizeof(struct settings)), .mistakes = mistakes };

    if (!reader.settings)
        return -ENOMEM;
    sources_read(&reader);
    if (reader.no_memory) {
        settings_free(reader.settings);
        return -ENOMEM;
    }
    *ret = reader.settings;
    *ret_invocation = reader.invocation;
    return 0;
}

void settings_free(struct settings *settings)
{
    while (settings) {
        struct settings *older = settings->older;
        for (struct settings_memory *next, *memory = settings->memory; memory; memory = next) {
            next = memory->next;
            free(memory);
        }
        for (int i = 0; i < settings_count; i++)
            if (settings_table[i].type == SETTING_LIST)
                free(((struct setting_list *)(void *)((char *)settings + settings_table[i].offset))->items);
        free(settings);
        settings = older;
    }
}

void settings_address(const struct settings *settings, char ret_address[64], uint16_t *ret_port)
{
    const struct origin *listen = &settings->origins[setting_find("listen") - settings_table];
    const struct origin *port = &settings->origins[setting_find("port") - settings_table];

    strcpy(ret_address, "127.0.0.1");
    *ret_port = 0;
    listen_parse(settings->listen ? settings->listen : "127.0.0.1:0", ret_address, ret_port);
    if (settings->port != SETTING_UNSET && port->source >= listen->source)
        *ret_port = (uint16_t)settings->port;
}
