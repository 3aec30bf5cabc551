/* The whole terminal, for as long as a program that redraws it runs. */
#ifndef RIFT_CLI_TERMINAL_H
#define RIFT_CLI_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>

enum key {
    KEY_NONE,   /* the time is over */
    KEY_RESIZE, /* another size, or back from a stop: draw anew */
    KEY_UP = 256,
    KEY_DOWN,
    KEY_PAGE_UP,
    KEY_PAGE_DOWN,
    KEY_HOME,
    KEY_END,
    KEY_ESCAPE,
    KEY_GONE, /* nobody types any more */
};

/* Take it: a screen of its own, no cursor, keys as they come. It is given back by
 * terminal_close, and before any signal that ends or stops us. -ENOTTY: there is none. */
int terminal_open(void);
void terminal_close(void);
/* A key (a letter is itself), or one of the above, at the latest after so many milliseconds. */
int terminal_key(int timeout_ms);
/* Show these rows of the screen, [rows][...], each at most as wide as it. */
void terminal_show(const char *const *lines, int count);

#endif
