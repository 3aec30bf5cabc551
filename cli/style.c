/* How wide is a letter, and may it have a colour?
 *
 * Colours by ECMA-48, where the terminal and its user want them; widths by wcwidth, so that
 * columns stand under each other in every script; and lines that end before they would wrap. */
#include "cli/style.h"

#include <errno.h>
#include <langinfo.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#define COLUMNS_USUAL 80
#define ROWS_USUAL    24
#define COLUMNS_LEAST 20 /* less than this is a terminal that doesn't know */
#define COLUMNS_MOST  500
#define OFF_SIZE      8 /* bytes that turn everything off */

static bool coloured; /* style_choose's */

static const char *const looks[STYLE_COUNT] = {
    [STYLE_PLAIN] = "",          [STYLE_TITLE] = "\033[1m",  [STYLE_QUIET] = "\033[2m", [STYLE_GOOD] = "\033[32m",
    [STYLE_BAD] = "\033[31m",    [STYLE_BUSY] = "\033[34m",  [STYLE_WARN] = "\033[33m", [STYLE_FIRST] = "\033[36m",
    [STYLE_SECOND] = "\033[35m", [STYLE_MARKED] = "\033[7m",
};

int style_choose(const char *when)
{
    const char *no = getenv("NO_COLOR"), *terminal = getenv("TERM");
    bool dumb = !terminal || !*terminal || strcmp(terminal, "dumb") == 0;

    if (strcmp(when, "always") == 0)
        coloured = true;
    else if (strcmp(when, "never") == 0)
        coloured = false;
    else if (strcmp(when, "auto") == 0)
        coloured = isatty(STDOUT_FILENO) && !dumb && !(no && *no);
    else
        return -EINVAL;
    return 0;
}

bool style_unicode(void)
{
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

const char *style_on(enum style style)
{
    return coloured ? looks[style] : "";
}

const char *style_off(void)
{
    return coloured ? "\033[0m" : "";
}

enum style style_of_state(const char *state)
{
    static const struct {
        const char *state;
        enum style style;
    } rows[] = {
        { "running", STYLE_BUSY },   { "succeeded", STYLE_GOOD }, { "failed", STYLE_BAD },
        { "cancelled", STYLE_WARN }, { "blocked", STYLE_QUIET },  { "queued", STYLE_PLAIN },
        { "ok", STYLE_GOOD },        { "resting", STYLE_WARN },   { "drained", STYLE_WARN },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (strcmp(rows[i].state, state) == 0)
            return rows[i].style;
    return STYLE_PLAIN;
}

void style_print(FILE *out, enum style style, const char *text, int width)
{
    int columns = style_width(text);
    bool plain = style == STYLE_PLAIN;

    fprintf(out, "%s%s%s%*s", plain ? "" : style_on(style), text, plain ? "" : style_off(),
            width > columns ? width - columns : 0, "");
}

/* ---- sizes ---- */

static int number_of(const char *variable, int least, int most)
{
    const char *text = getenv(variable);
    long number = text ? strtol(text, NULL, 10) : 0;

    return number >= least && number <= most ? (int)number : 0;
}

void style_size(int *ret_columns, int *ret_rows)
{
    struct winsize size = { 0 };
    int columns = 0, rows = 0;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) {
        columns = size.ws_col >= COLUMNS_LEAST ? size.ws_col : 0;
        rows = size.ws_row > 1 ? size.ws_row : 0;
    }
    if (!columns)
        columns = number_of("COLUMNS", COLUMNS_LEAST, COLUMNS_MOST);
    if (!rows)
        rows = number_of("LINES", 2, COLUMNS_MOST);
    *ret_columns = !columns ? COLUMNS_USUAL : columns > COLUMNS_MOST ? COLUMNS_MOST : columns;
    *ret_rows = rows ? rows : ROWS_USUAL;
}

/* The first letter of UTF-8 text; its bytes are counted. What isn't UTF-8 is a
 * letter a byte, and control characters are none: '?'. */
static wchar_t letter_read(const char *text, int *ret_bytes)
{
    const unsigned char *at = (const unsigned char *)text;
    int more = *at >= 0xf0 ? 3 : *at >= 0xe0 ? 2 : *at >= 0xc0 ? 1 : 0;
    uint32_t letter = more ? *at & (0x3fu >> more) : *at;

    *ret_bytes = 1;
    for (int i = 1; i <= more; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return L'?';
        letter = letter << 6 | (at[i] & 0x3f);
    }
    *ret_bytes = 1 + more;
    return letter < 0x20 || (letter >= 0x7f && letter < 0xa0) ? L'?' : (wchar_t)letter;
}

static int letter_width(wchar_t letter)
{
    int width = letter < 0x7f ? 1 : style_unicode() ? wcwidth(letter) : 1;

    return width < 0 ? 1 : width;
}

int style_width(const char *text)
{
    int columns = 0, bytes;

    for (; *text; text += bytes)
        columns += letter_width(letter_read(text, &bytes));
    return columns;
}

/* ---- lines ---- */

void line_start(struct line *line, int most)
{
    line->bytes[0] = '\0';
    line->size = 0;
    line->style = STYLE_PLAIN;
    line->columns = 0;
    line->most = most;
}

/* The last bytes are kept for turning the colour off. */
static bool bytes_add(struct line *line, const char *bytes, size_t size, size_t kept)
{
    if (line->size + size + kept >= sizeof(line->bytes))
        return false;
    memcpy(line->bytes + line->size, bytes, size);
    line->size += size;
    line->bytes[line->size] = '\0';
    return true;
}

static void style_turn(struct line *line, enum style style)
{
    const char *on = style == STYLE_PLAIN ? "" : style_on(style), *off = style_off();

    if (style == line->style)
        return;
    if (line->style != STYLE_PLAIN)
        bytes_add(line, off, strlen(off), 0);
    line->style = bytes_add(line, on, strlen(on), OFF_SIZE) ? style : STYLE_PLAIN;
}

void line_add(struct line *line, enum style style, const char *format, ...)
{
    char text[LINE_BYTES];
    va_list arguments;
    int bytes;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    style_turn(line, style);
    for (const char *at = text; *at; at += bytes) {
        wchar_t letter = letter_read(at, &bytes);
        int width = letter_width(letter);
        bool shown = letter < 0x7f ? letter != L'?' || *at == '?' : style_unicode();

        if (line->columns + width > line->most ||
            !bytes_add(line, shown ? at : "?", shown ? (size_t)bytes : 1, OFF_SIZE))
            break;
        line->columns += width;
    }
}

const char *line_end(struct line *line)
{
    style_turn(line, STYLE_PLAIN);
    return line->bytes;
}

void line_pad(struct line *line, int column)
{
    if (column > line->columns)
        line_add(line, STYLE_PLAIN, "%*s", column - line->columns, "");
}
