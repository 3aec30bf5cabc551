/* How does text become a setting's value, and a value text?
 *
 * Parsers take the whole text or nothing: "5 apples" is no number. */
#include "daemon/settings.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* What a number may be followed by, the largest first. */
struct suffix {
    const char *name;
    int64_t factor;
};
/* 1024s, as systemd has it. */
static const struct suffix sizes[] = {
    { "T", 1LL << 40 }, { "G", 1 << 30 },   { "M", 1 << 20 },   { "K", 1 << 10 }, { "TiB", 1LL << 40 },
    { "GiB", 1 << 30 }, { "MiB", 1 << 20 }, { "KiB", 1 << 10 }, { "B", 1 },       { "", 1 },
};
static const struct suffix times[] = {
    { "d", 86400 },    { "h", 3600 },    { "min", 60 }, { "s", 1 },   { "w", 7 * 86400 },
    { "days", 86400 }, { "day", 86400 }, { "m", 60 },   { "sec", 1 }, { "", 1 },
};
enum {
    SIZES = sizeof(sizes) / sizeof(sizes[0]),
    TIMES = sizeof(times) / sizeof(times[0]),
    SIZES_SHOWN = 4, /* those that we write ourselves */
    TIMES_SHOWN = 4,
};

/* Digits alone: strtoll would take blanks and signs. */
static int digits_parse(const char **text, int64_t *ret)
{
    const char *at = *text;
    int64_t number = 0;

    if (*at < '0' || *at > '9')
        return -EINVAL;
    for (; *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(number, 10, &number) || __builtin_add_overflow(number, *at - '0', &number))
            return -ERANGE;
    *text = at;
    *ret = number;
    return 0;
}

int integer_parse(const char *text, int64_t *ret)
{
    bool negative = *text == '-';
    int64_t number;

    text += negative;
    int r = digits_parse(&text, &number);
    if (r < 0 || *text)
        return r < 0 ? r : -EINVAL;
    *ret = negative ? -number : number;
    return 0;
}

/* One "NUMBER SUFFIX", added to *sum. 1 when the number is bare. */
static int part_parse(const char **text, const struct suffix *suffixes, int count, int64_t *sum)
{
    int64_t number;
    int r = digits_parse(text, &number);

    if (r < 0)
        return r;
    *text += strspn(*text, " ");
    size_t length = strcspn(*text, " 0123456789");
    for (int i = 0; i < count; i++)
        if (strlen(suffixes[i].name) == length && strncmp(suffixes[i].name, *text, length) == 0) {
            *text += length;
            if (__builtin_mul_overflow(number, suffixes[i].factor, &number) ||
                __builtin_add_overflow(*sum, number, sum))
                return -ERANGE;
            return length == 0;
        }
    return -EINVAL;
}

int bytes_parse(const char *text, int64_t *ret)
{
    int64_t sum = 0;
    int r = part_parse(&text, sizes, SIZES, &sum);

    if (r < 0 || *text)
        return r < 0 ? r : -EINVAL;
    *ret = sum;
    return 0;
}

/* Also several: "1h 30min". A bare number is seconds, and stands alone. */
int duration_parse(const char *text, int64_t *ret_s)
{
    int64_t sum = 0;
    int parts = 0;

    do {
        int r = part_parse(&text, times, TIMES, &sum);
        if (r < 0)
            return r;
        text += strspn(text, " ");
        if (r == 1 && (parts || *text))
            return -EINVAL;
        parts++;
    } while (*text);
    *ret_s = sum;
    return 0;
}

int boolean_parse(const char *text, bool *ret)
{
    static const char *const words[][2] = { { "no", "yes" }, { "false", "true" }, { "off", "on" }, { "0", "1" } };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        for (int value = 0; value < 2; value++)
            if (strcasecmp(words[i][value], text) == 0) {
                *ret = value;
                return 0;
            }
    return -EINVAL;
}

int listen_parse(const char *text, char ret_address[64], uint16_t *ret_port)
{
    const char *colon = strrchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : 0;
    struct in6_addr ignored;
    char address[64];
    int64_t port;

    if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
        text++;
        length -= 2;
    }
    if (!colon || !length || length >= sizeof(address) || integer_parse(colon + 1, &port) < 0 || port < 0 ||
        port > 65535)
        return -EINVAL;
    memcpy(address, text, length);
    address[length] = '\0';
    if (inet_pton(AF_INET, address, &ignored) != 1 && inet_pton(AF_INET6, address, &ignored) != 1)
        return -EADDRNOTAVAIL;
    strcpy(ret_address, address);
    *ret_port = (uint16_t)port;
    return 0;
}

int listen_check(const char *text, struct fault *why)
{
    char address[64];
    uint16_t port;
    int r = listen_parse(text, address, &port);

    return r < 0 ? fault_set(why, r, "expected an address such as 127.0.0.1 or [::1], ':' and a port, not \"%s\"", text)
                 : 0;
}

int host_check(const char *text, struct fault *why)
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";

    return *text && !text[strspn(text, good)]
               ? 0
               : fault_set(why, -EINVAL, "expected a host's name without a port, not \"%s\"", text);
}

int proxy_check(const char *text, struct fault *why)
{
    struct in6_addr address;

    if (inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1 ||
        (!strncmp(text, "unix:", 5) && text[5]))
        return 0;
    return fault_set(why, -EINVAL, "expected an address such as 10.0.0.1 or ::1, or unix:USER, not \"%s\"", text);
}

/* Formats are the field table's: a new one there needs nothing here. */
static bool format_known(const char *format)
{
    size_t length = strlen(format);

    for (int i = 0; i < spec_field_count; i++) {
        if (strcmp(spec_fields[i].pointer, "/dataset/format") != 0)
            continue;
        for (const char *at = spec_fields[i].values; at && *at; at += strcspn(at, "|") + (strchr(at, '|') != NULL))
            if (strcspn(at, "|") == length && strncmp(at, format, length) == 0)
                return true;
    }
    return false;
}

int dataset_parse(const char *text, char ret_name[256], char ret_format[64], const char **ret_path, struct fault *why)
{
    const char *equals = strchr(text, '=');
    const char *colon = equals ? strchr(equals, ':') : NULL;

    if (!colon || equals - text >= 256 || colon - equals > 64)
        return fault_set(why, -EINVAL, "expected NAME=FORMAT:PATH, not \"%s\"", text);
    if (equals == text)
        return fault_set(why, -EINVAL, "the name is empty");
    snprintf(ret_name, 256, "%.*s", (int)(equals - text), text);
    snprintf(ret_format, 64, "%.*s", (int)(colon - equals - 1), equals + 1);
    *ret_path = colon + 1;
    return 0;
}

int dataset_check(const char *text, struct fault *why)
{
    char name[256], format[64];
    const char *path;
    int r = dataset_parse(text, name, format, &path, why);

    if (r < 0)
        return r;
    if (!format_known(format))
        return fault_set(why, -EINVAL, "there is no format \"%s\"", format);
    return access(path, F_OK) < 0 ? fault_set(why, -errno, "%s: %s", path, strerror(errno)) : 0;
}

/* ---- rows ---- */

static void number_text(const struct setting *row, int64_t value, char *ret, size_t size)
{
    const struct suffix *shown = row->type == SETTING_BYTES ? sizes : times;
    int count = row->type == SETTING_BYTES ? SIZES_SHOWN : TIMES_SHOWN;

    for (int i = 0; i < count && value > 0 && row->type != SETTING_INTEGER; i++)
        if (value % shown[i].factor == 0) {
            snprintf(ret, size, "%lld%s", (long long)(value / shown[i].factor), shown[i].name);
            return;
        }
    snprintf(ret, size, "%lld%s", (long long)value, row->type == SETTING_DURATION ? "s" : "");
}

static const char *const nouns[] = {
    [SETTING_STRING] = "text",
    [SETTING_PATH] = "a path",
    [SETTING_INTEGER] = "a whole number",
    [SETTING_BYTES] = "bytes such as 512M or 2G",
    [SETTING_DURATION] = "a time such as 30s, 5min, 2h or 7d",
    [SETTING_BOOLEAN] = "yes or no",
    [SETTING_ENUM] = "one of ",
    [SETTING_LIST] = "text",
};

void setting_expectation(const struct setting *row, char *ret, size_t size)
{
    char min[32], max[32];
    bool number = row->type == SETTING_INTEGER || row->type == SETTING_BYTES || row->type == SETTING_DURATION;

    snprintf(ret, size, "%s%s", nouns[row->type], row->type == SETTING_ENUM ? row->values : "");
    if (number) {
        number_text(row, row->min, min, sizeof(min));
        number_text(row, row->max, max, sizeof(max));
        size_t length = strlen(ret);
        snprintf(ret + length, size - length, " from %s to %s", min, max);
    }
}

static int enum_parse(const char *values, const char *text, int *ret)
{
    size_t length = strlen(text);
    int place = 0;

    for (const char *at = values; *at; at += strcspn(at, "|"), at += *at == '|', place++)
        if (strcspn(at, "|") == length && strncmp(at, text, length) == 0) {
            *ret = place;
            return 0;
        }
    return -EINVAL;
}

static int number_set(const struct setting *row, int64_t *member, const char *text)
{
    int64_t value = 0;
    int r = row->type == SETTING_BYTES      ? bytes_parse(text, &value)
            : row->type == SETTING_DURATION ? duration_parse(text, &value)
                                            : integer_parse(text, &value);

    if (r >= 0 && (value < row->min || value > row->max))
        r = -ERANGE;
    if (r >= 0)
        *member = value;
    return r;
}

int setting_set(const struct setting *row, struct settings *settings, const char *text, struct fault *why)
{
    void *member = (char *)settings + row->offset;
    char wanted[256], near[64];
    int r = 0;

    switch (row->type) {
    case SETTING_STRING:
    case SETTING_PATH:
    case SETTING_LIST:
        r = *text && row->check ? row->check(text, why) : 0;
        if (r >= 0 && row->type != SETTING_LIST)
            *(const char **)member = *text ? text : NULL;
        return r;
    case SETTING_INTEGER:
    case SETTING_BYTES:
    case SETTING_DURATION:
        r = number_set(row, member, text);
        break;
    case SETTING_BOOLEAN:
        r = boolean_parse(text, member);
        break;
    case SETTING_ENUM:
        r = enum_parse(row->values, text, member);
        break;
    }
    if (r >= 0)
        return 0;
    setting_expectation(row, wanted, sizeof(wanted));
    if (row->flags & SECRET)
        return fault_set(why, r, "expected %s", wanted);
    bool typo = row->type == SETTING_ENUM && word_nearest(row->values, text, near, sizeof(near));
    return fault_set(why, r, "expected %s, not \"%s\"%s%s%s", wanted, text, typo ? "; did you mean " : "",
                     typo ? near : "", typo ? "?" : "");
}

void setting_text(const struct setting *row, const struct settings *settings, char *ret, size_t size)
{
    const void *member = (const char *)settings + row->offset;
    const char *word;

    switch (row->type) {
    case SETTING_STRING:
    case SETTING_PATH:
        word = *(const char *const *)member;
        snprintf(ret, size, "%s", word ? word : "");
        break;
    case SETTING_INTEGER:
    case SETTING_BYTES:
    case SETTING_DURATION:
        *ret = '\0';
        if (*(const int64_t *)member != SETTING_UNSET)
            number_text(row, *(const int64_t *)member, ret, size);
        break;
    case SETTING_BOOLEAN:
        snprintf(ret, size, "%s", *(const bool *)member ? "yes" : "no");
        break;
    case SETTING_ENUM:
        word = row->values;
        for (int i = 0; i < *(const int *)member; i++)
            word += strcspn(word, "|") + 1;
        snprintf(ret, size, "%.*s", (int)strcspn(word, "|"), word);
        break;
    case SETTING_LIST:
        *ret = '\0';
        break;
    }
}
