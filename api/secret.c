/* What is a token made of?
 *
 * rift_<id>_<secret>. The prefix lets scanners of source code find one that was
 * committed by mistake; the id finds the row; the secret, 32 bytes from the
 * kernel, proves it. Only its SHA-256 is stored: a secret of 256 random bits
 * needs no slow hash, for nobody can guess through them. */
#include "api/caller.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define SECRET_BYTES 32

static const char base62[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
static const char base36[] = "0123456789abcdefghijklmnopqrstuvwxyz";

int random_fill(unsigned char *bytes, size_t size)
{
    /* Up to 256 bytes come at once or, interrupted before the pool is ready, not at all. */
    while (getrandom(bytes, size, 0) != (ssize_t)size)
        if (errno != EINTR)
            return -EIO;
    return 0;
}

/* The bytes as one number in base 62; 62^43 is just above 2^256, so it always fits. */
static void bytes_write(unsigned char bytes[SECRET_BYTES], char ret[SECRET_LENGTH + 1])
{
    for (int digit = SECRET_LENGTH - 1; digit >= 0; digit--) {
        unsigned rest = 0;
        for (int i = 0; i < SECRET_BYTES; i++) {
            unsigned value = rest << 8 | bytes[i];
            bytes[i] = (unsigned char)(value / 62);
            rest = value % 62;
        }
        ret[digit] = base62[rest];
    }
    ret[SECRET_LENGTH] = 0;
}

int secret_make(char ret_text[TOKEN_TEXT_SIZE], char ret_id[DB_ID_SIZE], char ret_sha256[65])
{
    unsigned char bytes[SECRET_BYTES], ids[TOKEN_ID_LENGTH];
    char *secret = ret_text + strlen(TOKEN_PREFIX) + TOKEN_ID_LENGTH + 1;

    if (random_fill(bytes, sizeof(bytes)) < 0 || random_fill(ids, sizeof(ids)) < 0)
        return -EIO;
    for (int i = 0; i < TOKEN_ID_LENGTH; i++) /* not quite even, which an id may be */
        ret_id[i] = base36[ids[i] % 36];
    ret_id[TOKEN_ID_LENGTH] = 0;
    strcpy(ret_text, TOKEN_PREFIX);
    strcat(ret_text, ret_id);
    strcat(ret_text, "_");
    bytes_write(bytes, secret);
    sha256_of(secret, SECRET_LENGTH, ret_sha256);
    explicit_bzero(bytes, sizeof(bytes));
    return 0;
}

bool token_id_valid(const char *text)
{
    return strlen(text) == TOKEN_ID_LENGTH && strspn(text, base36) == TOKEN_ID_LENGTH;
}

bool secret_split(const char *text, char ret_id[DB_ID_SIZE], const char **ret_secret)
{
    size_t prefix = strlen(TOKEN_PREFIX);
    char id[TOKEN_ID_LENGTH + 1] = "";

    if (strlen(text) != TOKEN_TEXT_SIZE - 1 || strncmp(text, TOKEN_PREFIX, prefix))
        return false;
    memcpy(id, text + prefix, TOKEN_ID_LENGTH);
    const char *secret = text + prefix + TOKEN_ID_LENGTH;
    if (!token_id_valid(id) || *secret++ != '_' || strspn(secret, base62) != SECRET_LENGTH)
        return false;
    strcpy(ret_id, id);
    *ret_secret = secret;
    return true;
}

bool secret_same(const char one[65], const char other[65])
{
    volatile unsigned char different = 0; /* volatile: no early way out for the compiler either */

    for (int i = 0; i < 64; i++)
        different |= (unsigned char)(one[i] ^ other[i]);
    return !different;
}
