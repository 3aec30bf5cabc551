/* How does a failure get words that are safe to pass on?
 *
 * Messages quote file names, tensor names and other bytes that somebody else
 * chose. They end up in JSON, where broken UTF-8 would make jansson refuse the
 * whole event, and on terminals, where control bytes are commands. So every
 * message is cleaned in the one place through which all of them go. */
#include "job/job.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Bytes of the character that starts with `lead`, 0 when none starts so. */
static int character_length(unsigned char lead)
{
    if (lead < 0x80)
        return 1;
    if (lead >= 0xC2 && lead <= 0xDF)
        return 2;
    if ((lead & 0xF0) == 0xE0)
        return 3;
    return lead >= 0xF0 && lead <= 0xF4 ? 4 : 0;
}

/* Is this a whole, shortest-form character that JSON may hold? The second byte
 * is where overlong forms, surrogates and values above U+10FFFF show. */
static bool character_valid(const unsigned char *at, int length)
{
    for (int i = 1; i < length; i++)
        if ((at[i] & 0xC0) != 0x80)
            return false;
    if (length == 3 && ((at[0] == 0xE0 && at[1] < 0xA0) || (at[0] == 0xED && at[1] > 0x9F)))
        return false;
    if (length == 4 && ((at[0] == 0xF0 && at[1] < 0x90) || (at[0] == 0xF4 && at[1] > 0x8F)))
        return false;
    if (length == 2 && at[0] == 0xC2 && at[1] < 0xA0) /* C1 controls */
        return false;
    return length > 1 || (at[0] >= 0x20 && at[0] != 0x7F);
}

void text_clean(char *text)
{
    unsigned char *at = (unsigned char *)text;

    while (*at) {
        int length = character_length(*at);
        int there = (int)strnlen((char *)at, (size_t)(length > 0 ? length : 1));

        if (length > there) {
            *at = 0; /* cut in half by the end of the buffer */
            return;
        }
        if (length == 0 || !character_valid(at, length)) {
            *at++ = '?';
            continue;
        }
        at += length;
    }
}

bool text_valid(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;

    while (*at) {
        int length = character_length(*at);
        if (length == 0 || (int)strnlen((const char *)at, (size_t)length) < length || !character_valid(at, length))
            return false;
        at += length;
    }
    return true;
}

int text_characters(const char *text)
{
    int count = 0;

    for (; *text; text++)
        count += (*text & 0xC0) != 0x80; /* what continues a character isn't one */
    return count;
}

int fault_set(struct fault *why, int code, const char *format, ...)
{
    va_list arguments;

    if (!why)
        return code;
    why->code = code;
    va_start(arguments, format);
    vsnprintf(why->message, sizeof(why->message), format, arguments);
    va_end(arguments);
    text_clean(why->message);
    return code;
}
