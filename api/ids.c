/* What are jobs called?
 *
 * UUIDs in version 7's layout (RFC 9562): 48 bits of milliseconds, then random
 * bits. Debian 12's libuuid has no version 7, so its random bits are borrowed
 * and the time is written over them. */
#include "api/exchange.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <uuid/uuid.h>

void id_new(int64_t now_ms, char ret[DB_ID_SIZE])
{
    uuid_t id;

    uuid_generate_random(id); /* its variant bits are right already */
    for (int i = 0; i < 6; i++)
        id[i] = (unsigned char)(now_ms >> (40 - 8 * i));
    id[6] = (unsigned char)((id[6] & 0x0f) | 0x70);
    uuid_unparse_lower(id, ret);
}

bool id_valid(const char *text)
{
    if (strlen(text) != DB_ID_SIZE - 1)
        return false;
    for (int i = 0; i < DB_ID_SIZE - 1; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
            return false;
    }
    return true;
}

int id_next(const char **list, char ret[DB_ID_SIZE])
{
    const char *at = *list;
    size_t length = strcspn(at, ",");

    if (!*at)
        return 0;
    if (length >= DB_ID_SIZE)
        return -EINVAL;
    for (size_t i = 0; i < length; i++)
        ret[i] = at[i] >= 'A' && at[i] <= 'F' ? (char)(at[i] + 32) : at[i];
    ret[length] = 0;
    *list = at + length + (at[length] == ',');
    return id_valid(ret) ? 1 : -EINVAL;
}
