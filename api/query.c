/* What did the client ask for behind the question mark?
 *
 * Values are decoded in http.c; names that a route doesn't list were refused
 * there. A cursor is opaque on purpose: what it holds may change. */
#include "api/exchange.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *request_query(const struct request *request, const char *name)
{
    for (int i = 0; i < request->query_count; i++)
        if (!strcmp(request->query[i].name, name))
            return request->query[i].value;
    return NULL;
}

bool request_accepts(const struct request *request, const char *type)
{
    const char *accept = request_header(request, "Accept");

    return accept && strstr(accept, type);
}

bool list_holds(const char *list, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = list; *at; at += strspn(at, ",")) {
        size_t part = strcspn(at, ",");
        if (part == length && !strncmp(at, word, length))
            return true;
        at += part;
    }
    return false;
}

static int int_parse(const char *text, int64_t *ret)
{
    char *end;

    if (!isdigit((unsigned char)text[*text == '-']))
        return -EINVAL; /* strtoll would take spaces, '+' and nothing at all */
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (*end || errno)
        return -EINVAL;
    *ret = value;
    return 0;
}

int request_int(const struct request *request, struct answer *answer, const char *name, int64_t min, int64_t max,
                int64_t fallback, int64_t *ret)
{
    const char *text = request_query(request, name);
    int64_t value;

    if (!text) {
        *ret = fallback;
        return 0;
    }
    if (int_parse(text, &value) < 0 || value < min || value > max) {
        answer_problem(answer, request, PROBLEM_BAD_QUERY, "%s must be a whole number from %" PRId64 " to %" PRId64,
                       name, min, max);
        return -EINVAL;
    }
    *ret = value;
    return 0;
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* "j" and the number in decimal, as base64url without padding. */
void cursor_make(int64_t number, char ret[CURSOR_SIZE])
{
    char text[CURSOR_SIZE];
    int length = snprintf(text, sizeof(text), "j%" PRId64, number);
    unsigned bits = 0;
    int held = 0, out = 0;

    for (int i = 0; i < length; i++) {
        bits = bits << 8 | (unsigned char)text[i];
        for (held += 8; held >= 6; held -= 6)
            ret[out++] = alphabet[bits >> (held - 6) & 63];
    }
    if (held)
        ret[out++] = alphabet[bits << (6 - held) & 63];
    ret[out] = 0;
}

int cursor_read(const char *text, int64_t *ret_number)
{
    char plain[CURSOR_SIZE], again[CURSOR_SIZE];
    const char *given = text;
    unsigned bits = 0;
    int held = 0, out = 0;
    int64_t number;

    if (!*text || strlen(text) >= CURSOR_SIZE)
        return -EINVAL;
    for (; *text; text++) {
        const char *digit = strchr(alphabet, *text);
        if (!digit)
            return -EINVAL;
        bits = bits << 6 | (unsigned)(digit - alphabet);
        held += 6;
        if (held >= 8)
            plain[out++] = (char)(bits >> (held -= 8));
    }
    plain[out] = 0;
    if (plain[0] != 'j' || int_parse(plain + 1, &number) < 0 || number < 1)
        return -EINVAL;
    cursor_make(number, again); /* one spelling a cursor, so stray bits are refused */
    if (strcmp(again, given))
        return -EINVAL;
    *ret_number = number;
    return 0;
}

/* ---- pages ---- */

/* Percent-encode what a query value may not have; `ret` takes 3 bytes a byte. */
static void query_encode(const char *text, char *ret)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~";

    for (; *text; text++)
        ret += strchr(plain, *text) ? sprintf(ret, "%c", *text) : sprintf(ret, "%%%02X", (unsigned char)*text);
    *ret = 0;
}

int answer_next(const struct request *request, struct answer *answer, const char *cursor)
{
    char *url, value[3 * 1024];
    int r = asprintf(&url, "%s?cursor=%s", request->route->path, cursor);

    for (int i = 0; i < request->query_count && r >= 0; i++) {
        const struct query *query = &request->query[i];
        if (!strcmp(query->name, "cursor") || strlen(query->value) >= sizeof(value) / 3)
            continue;
        query_encode(query->value, value);
        char *longer;
        r = asprintf(&longer, "%s&%s=%s", url, query->name, value);
        free(url);
        url = longer;
    }
    if (r < 0)
        return -ENOMEM;
    r = answer_header(answer, "Link", "<%s>; rel=\"next\"", url);
    free(url);
    return r;
}
