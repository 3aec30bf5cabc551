/* What is the MD5 of a file?
 *
 * 64 rounds over blocks of 16 little-endian words; the constants are the
 * integer parts of 2^32 |sin(i + 1)|, which is how they are made here. */
#include "cli/md5.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 64, ROUNDS = 64 };

static uint32_t rotate(uint32_t x, int by)
{
    return x << by | x >> (32 - by);
}

static void block_add(uint32_t state[4], const uint32_t constants[ROUNDS], const uint8_t *block)
{
    static const int shifts[4][4] = { { 7, 12, 17, 22 }, { 5, 9, 14, 20 }, { 4, 11, 16, 23 }, { 6, 10, 15, 21 } };
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];

    for (int i = 0; i < ROUNDS; i++) {
        int part = i / 16, place = part == 0 ? i : part == 1 ? 5 * i + 1 : part == 2 ? 3 * i + 5 : 7 * i;
        const uint8_t *at = block + place % 16 * 4;
        uint32_t word = at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
        uint32_t f = part == 0   ? (b & c) | (~b & d)
                     : part == 1 ? (d & b) | (~d & c)
                     : part == 2 ? b ^ c ^ d
                                 : c ^ (b | ~d);
        uint32_t next = b + rotate(a + f + word + constants[i], shifts[part][i % 4]);

        a = d;
        d = c;
        c = b;
        b = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
}

/* The last bytes, a one bit, zeros, and the length in bits. */
static void end_add(uint32_t state[4], const uint32_t constants[ROUNDS], const uint8_t *rest, size_t count,
                    uint64_t length)
{
    uint8_t last[2 * BLOCK] = { 0 };
    size_t size = count < BLOCK - 8 ? BLOCK : 2 * BLOCK;

    memcpy(last, rest, count);
    last[count] = 0x80;
    for (int i = 0; i < 8; i++)
        last[size - 8 + i] = (uint8_t)(length * 8 >> 8 * i);
    for (size_t at = 0; at < size; at += BLOCK)
        block_add(state, constants, last + at);
}

int md5_file(int fd, char ret_hex[33])
{
    uint32_t state[4] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476 };
    uint8_t buffer[256 * BLOCK];
    uint32_t constants[ROUNDS];
    uint64_t length = 0;
    size_t count = 0;

    for (int i = 0; i < ROUNDS; i++)
        constants[i] = (uint32_t)(fabs(sin(i + 1.0)) * 4294967296.0);
    for (;;) {
        ssize_t n = pread(fd, buffer + count, sizeof(buffer) - count, (off_t)length);
        size_t at = 0;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        length += (uint64_t)n;
        for (count += (size_t)n; count - at >= BLOCK; at += BLOCK)
            block_add(state, constants, buffer + at);
        memmove(buffer, buffer + at, count - at);
        count -= at;
    }
    end_add(state, constants, buffer, count, length);
    for (int i = 0; i < 16; i++)
        snprintf(ret_hex + 2 * i, 3, "%02x", state[i / 4] >> i % 4 * 8 & 0xff);
    return 0;
}
