/* How is an event stream read?
 *
 * Lines end in LF or CRLF; `id:`, `event:` and `data:` fill an event, an empty
 * line sends it off, a line that begins with ':' is a heartbeat. An event
 * counts as seen (last_id) only after `see` took it, so that one that was cut
 * off comes again after a reconnect. */
#include "cli/sse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int grow(char **text, size_t *size, const char *more, size_t more_size)
{
    if (more_size > SSE_LINE_MOST - *size)
        return -EMSGSIZE;
    char *grown = realloc(*text, *size + more_size + 1);
    if (!grown)
        return -ENOMEM;
    memcpy(grown + *size, more, more_size);
    *text = grown;
    *size += more_size;
    grown[*size] = '\0';
    return 0;
}

static int dispatch(struct sse *sse)
{
    int r = 0;

    if (sse->data_size > 0) {
        sse->data[sse->data_size - 1] = '\0'; /* the last line's LF */
        r = sse->see(*sse->type ? sse->type : "message", sse->data, sse->user);
    }
    if (r >= 0)
        memcpy(sse->last_id, sse->id, sizeof(sse->last_id));
    sse->data_size = 0;
    sse->type[0] = '\0';
    return r < 0 ? r : 0;
}

static int take_line(struct sse *sse, char *line, size_t length)
{
    if (length > 0 && line[length - 1] == '\r')
        line[--length] = '\0';
    if (length == 0)
        return dispatch(sse);
    char *colon = strchr(line, ':'), *value = line + length;
    if (colon == line)
        return 0; /* a comment */
    if (colon) {
        *colon = '\0';
        value = colon + 1 + (colon[1] == ' ');
    }
    if (strcmp(line, "id") == 0)
        snprintf(sse->id, sizeof(sse->id), "%s", value);
    else if (strcmp(line, "event") == 0)
        snprintf(sse->type, sizeof(sse->type), "%s", value);
    if (strcmp(line, "data") != 0)
        return 0;
    int r = grow(&sse->data, &sse->data_size, value, strlen(value));
    return r < 0 ? r : grow(&sse->data, &sse->data_size, "\n", 1);
}

int sse_feed(struct sse *sse, const char *bytes, size_t size)
{
    while (size > 0) {
        const char *end = memchr(bytes, '\n', size);
        size_t part = end ? (size_t)(end - bytes) : size;
        int r = grow(&sse->line, &sse->line_size, bytes, part);
        if (r < 0)
            return r;
        if (!end)
            return 0;
        r = take_line(sse, sse->line, sse->line_size);
        sse->line_size = 0;
        if (r < 0)
            return r;
        bytes += part + 1;
        size -= part + 1;
    }
    return 0;
}

void sse_restart(struct sse *sse)
{
    sse->line_size = 0;
    sse->data_size = 0;
    sse->type[0] = '\0';
    memcpy(sse->id, sse->last_id, sizeof(sse->id));
}

void sse_done(struct sse *sse)
{
    free(sse->line);
    free(sse->data);
    *sse = (struct sse){ 0 };
}
