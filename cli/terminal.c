/* How does a program take a terminal, and always give it back?
 *
 * ECMA-48 by hand: a screen of its own, no cursor, rows written over each other.
 * A library (ncurses) would be the larger part: the same rows are printed where
 * there is no terminal at all (`top --once`), watch draws below what was printed
 * before, and colours are shared with tables.
 *
 * Surprising: the terminal is given back inside the signal handlers, by write and
 * tcsetattr, which may be called there; then the signal has its usual effect. So
 * it is given back whatever ends us (but SIGKILL), a failed assert included. */
#include "cli/terminal.h"

#include "cli/style.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define ENTER     "\033[?1049h\033[?25l\033[H\033[2J"
#define LEAVE     "\033[?25h\033[0m\033[?1049l"
#define ESCAPE_MS 50 /* what follows an escape key's byte comes at once, or never */

static struct termios before; /* to be put back */
static volatile sig_atomic_t taken, changed;

static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL };

static void take(void)
{
    struct termios raw = before;

    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO); /* ^C and ^Z stay what they are */
    raw.c_iflag &= ~(tcflag_t)(IXON);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
    if (write(STDOUT_FILENO, ENTER, sizeof(ENTER) - 1) < 0)
        return; /* then there is nobody to see it */
    taken = 1;
}

static void give_back(void)
{
    if (!taken)
        return;
    taken = 0;
    if (write(STDOUT_FILENO, LEAVE, sizeof(LEAVE) - 1) < 0)
        (void)0; /* gone: nothing to be done */
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
}

/* The usual effect comes with the return: the handler is one for one signal. */
static void on_end(int number)
{
    give_back();
    raise(number);
}

static void on_stop(int number)
{
    int saved = errno;

    (void)number;
    give_back();
    raise(SIGSTOP); /* here we stand, until somebody says fg */
    take();
    changed = 1;
    errno = saved;
}

static void on_change(int number)
{
    (void)number;
    changed = 1;
}

static void handle(int number, void (*handler)(int), int flags)
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = flags };

    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

int terminal_open(void)
{
    const char *name = getenv("TERM");

    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || !name || !*name || strcmp(name, "dumb") == 0)
        return -ENOTTY;
    if (tcgetattr(STDIN_FILENO, &before) < 0)
        return -ENOTTY;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        handle(ends[i], on_end, (int)SA_RESETHAND);
    handle(SIGTSTP, on_stop, SA_RESTART);
    handle(SIGWINCH, on_change, 0); /* no restart: a waiting poll shall end */
    take();
    return 0;
}

void terminal_close(void)
{
    give_back();
}

/* ---- keys ---- */

/* The next byte, or -1 when none comes in time; -2: it never will. */
static int byte_read(int timeout_ms)
{
    struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
    unsigned char byte;
    int r = poll(&input, 1, timeout_ms);

    if (r <= 0)
        return -1;
    return read(STDIN_FILENO, &byte, 1) == 1 ? byte : errno == EINTR ? -1 : -2;
}

/* "[A", "OA", "[5~": what an arrow sends behind the escape. */
static int sequence_read(void)
{
    static const struct {
        const char *bytes;
        int key;
    } rows[] = {
        { "[A", KEY_UP },         { "OA", KEY_UP },   { "[B", KEY_DOWN }, { "OB", KEY_DOWN },  { "[5~", KEY_PAGE_UP },
        { "[6~", KEY_PAGE_DOWN }, { "[H", KEY_HOME }, { "OH", KEY_HOME }, { "[1~", KEY_HOME }, { "[F", KEY_END },
        { "OF", KEY_END },        { "[4~", KEY_END }, { "", KEY_ESCAPE },
    };
    char bytes[16] = "";

    for (size_t size = 0; size + 1 < sizeof(bytes); size++) {
        int byte = byte_read(ESCAPE_MS);
        if (byte < 0)
            break;
        bytes[size] = (char)byte;
        bool ended = (byte >= '@' && byte <= '~' && size > 0) || (size == 0 && byte != '[' && byte != 'O');
        if (ended)
            break;
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (strcmp(rows[i].bytes, bytes) == 0)
            return rows[i].key;
    return KEY_NONE;
}

int terminal_key(int timeout_ms)
{
    int byte = changed ? -1 : byte_read(timeout_ms);

    if (byte == -2)
        return KEY_GONE;
    if (changed) {
        changed = 0;
        return KEY_RESIZE;
    }
    if (byte < 0)
        return KEY_NONE;
    return byte == 033 ? sequence_read() : byte;
}

/* ---- rows ---- */

/* All at once, so that no half of it is seen. */
void terminal_show(const char *const *lines, int count)
{
    fputs("\033[H", stdout);
    for (int i = 0; i < count; i++)
        printf("%s%s\033[K", i ? "\r\n" : "", lines[i]);
    fputs("\033[J", stdout);
    fflush(stdout);
}
