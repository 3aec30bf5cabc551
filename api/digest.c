/* How is a hash said in a header?
 *
 * RFC 9530: "sha-256=:BASE64:" in Repr-Digest (of what is stored, whatever
 * Range asked for) and in Content-Digest (of the bytes of this message). Going
 * out it is Repr-Digest; coming in with an upload either will do. */
#include "api/exchange.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void base64_write(const char *hex, char ret[BASE64_SIZE])
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    int out = 0;

    for (int i = 0; i < 33; i += 3) { /* 32 bytes and one of padding */
        unsigned bits = 0;
        for (int k = 0; k < 3; k++) {
            unsigned byte = 0;
            if (i + k < 32)
                sscanf(hex + 2 * (i + k), "%2x", &byte);
            bits = bits << 8 | byte;
        }
        for (int k = 18; k >= 0; k -= 6)
            ret[out++] = alphabet[bits >> k & 63];
    }
    ret[43] = '=';
    ret[44] = 0;
}

int answer_digest(struct answer *answer, const char *hex)
{
    char text[BASE64_SIZE];

    base64_write(hex, text);
    return answer_header(answer, "Repr-Digest", "sha-256=:%s:", text);
}

/* Does one header's list have our algorithm, and with which value? 1: yes, the same; 0: it
 * has none; -EBADMSG: another one. */
static int digest_compare(const char *header, const char *base64)
{
    static const char algorithm[] = "sha-256=:";
    const char *at = header ? strstr(header, algorithm) : NULL;

    if (!at)
        return 0;
    at += strlen(algorithm);
    return !strncmp(at, base64, BASE64_SIZE - 1) && at[BASE64_SIZE - 1] == ':' ? 1 : -EBADMSG;
}

int request_digest_check(const struct request *request, const char *hex)
{
    static const char *const headers[] = { "Content-Digest", "Repr-Digest" };
    char base64[BASE64_SIZE];
    int r = 0;

    base64_write(hex, base64);
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]) && r >= 0; i++)
        r = digest_compare(request_header(request, headers[i]), base64);
    return r < 0 ? r : 0;
}
