/* Can any bytes be riftd's configuration? One input is a file and, cut off from
 * it, lines that are flags (with a dash) or environment variables. Whatever is
 * wrong is told in words; what is taken lies in its range and, written as text,
 * is taken again as the same. */
#include "daemon/settings.h"

#include "tests/fuzz/fuzz.h"

#include <string.h>

enum { WORDS_MAX = 32 };

struct words {
    char *arguments[WORDS_MAX + 4];
    const char *environment[WORDS_MAX + 1];
    int argument_count, variable_count;
};

static void words_take(char *text, struct words *ret)
{
    while (text && ret->argument_count + ret->variable_count < WORDS_MAX) {
        char *word = strsep(&text, "\n");
        if (*word == '-')
            ret->arguments[ret->argument_count++] = word;
        else if (strchr(word, '=') && strncmp(word, "CREDENTIALS_DIRECTORY", 21) && strncmp(word, "RIFTD_CONFIG", 12))
            ret->environment[ret->variable_count++] = word; /* no other files than ours */
    }
}

/* A number that was taken is one that may be. */
static void row_see(const struct setting *row, const struct settings *settings)
{
    const char *member = (const char *)settings + row->offset;
    char text[8192] = "", again[8192] = "";
    struct settings *copy = calloc(1, sizeof(*copy));
    struct fault why = { 0 };

    PROMISE(copy);
    if (row->type == SETTING_INTEGER || row->type == SETTING_BYTES || row->type == SETTING_DURATION) {
        int64_t value = *(const int64_t *)(const void *)member;
        PROMISE(value == SETTING_UNSET || (value >= row->min && value <= row->max));
    }
    if (row->type != SETTING_LIST) {
        setting_text(row, settings, text, sizeof(text));
        if (*text && strlen(text) < sizeof(text) - 1) {
            PROMISE(setting_set(row, copy, text, &why) == 0);
            setting_text(row, copy, again, sizeof(again));
            PROMISE(!strcmp(text, again));
        }
    }
    setting_show(row, settings, text, sizeof(text));
    PROMISE(setting_same(row, settings, settings));
    free(copy);
}

void fuzz_one(const uint8_t *data, size_t size)
{
    struct halves halves = halves_cut(data, size);
    struct words words = { .arguments = { "riftd" }, .argument_count = 1 };
    char *text = calloc(1, halves.second_size + 1), path[512], address[64];
    struct settings *settings = NULL;
    struct mistakes mistakes = { 0 };
    struct invocation invocation = { 0 };
    uint16_t port;

    PROMISE(text);
    memcpy(text, halves.second, halves.second_size);
    words_take(text, &words);
    scratch_file("riftd.conf", halves.first, halves.first_size, path);
    for (int i = 1; i < words.argument_count; i++)
        if (!strncmp(words.arguments[i], "--config", 8))
            words.arguments[i] = "--json";
    struct setting_sources sources = { words.argument_count, words.arguments, words.environment, path };
    PROMISE(settings_read(&sources, &settings, &invocation, &mistakes) == 0);
    for (int i = 0; i < mistakes.count; i++) {
        json_auto_t *line = json_string(mistakes.lines[i]);
        PROMISE(line && *mistakes.lines[i]);
    }
    for (int i = 0; i < settings_count; i++)
        row_see(&settings_table[i], settings);
    settings_address(settings, address, &port);
    PROMISE(*address);
    mistakes_done(&mistakes);
    settings_free(settings);
    free(text);
}
