/* What is the SHA-256 of these bytes? (FIPS 180-4)
 *
 * Every artifact is announced with its hash, and floor 0 has no library that
 * brings one. The message is cut into blocks of 64 bytes; each block stirs the
 * eight words of state. `length` counts all bytes so far, so its low six bits
 * say how full `block` is. */
#include "job/job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 64, PIECE = 1 << 18 };

static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t rotate(uint32_t word, int bits)
{
    return word >> bits | word << (32 - bits);
}

/* Stir one block into the state: 64 rounds over a schedule w of 64 words, of
 * which the first 16 are the block itself (big-endian). */
static void stir(uint32_t state[8], const uint8_t *block)
{
    uint32_t w[64], a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];

    for (int t = 0; t < 16; t++)
        w[t] = (uint32_t)block[4 * t] << 24 | (uint32_t)block[4 * t + 1] << 16 | (uint32_t)block[4 * t + 2] << 8 |
               (uint32_t)block[4 * t + 3];
    for (int t = 16; t < 64; t++) {
        uint32_t s0 = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ w[t - 15] >> 3;
        uint32_t s1 = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
    for (int t = 0; t < 64; t++) {
        uint32_t s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
        uint32_t one = h + s1 + ((e & f) ^ (~e & g)) + round_constants[t] + w[t];
        uint32_t s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
        uint32_t two = s0 + ((a & b) ^ (a & c) ^ (b & c));
        h = g, g = f, f = e, e = d + one;
        d = c, c = b, b = a, a = one + two;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

void sha256_start(struct sha256 *sha)
{
    *sha = (struct sha256){ .state = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c,
                                       0x1f83d9ab, 0x5be0cd19 } };
}

void sha256_add(struct sha256 *sha, const void *data, size_t size)
{
    const uint8_t *from = data;

    while (size > 0) {
        size_t filled = sha->length % BLOCK;
        size_t take = BLOCK - filled < size ? BLOCK - filled : size;

        if (take == BLOCK) { /* whole blocks need no copy */
            stir(sha->state, from);
        } else {
            memcpy(sha->block + filled, from, take);
            if (filled + take == BLOCK)
                stir(sha->state, sha->block);
        }
        sha->length += take;
        from += take;
        size -= take;
    }
}

/* The padding: one bit, zeros up to 8 bytes before a block's end, and the
 * length in bits, big-endian. */
void sha256_finish(struct sha256 *sha, char ret_hex[65])
{
    static const uint8_t padding[BLOCK] = { 0x80 };
    uint64_t bits = sha->length * 8;
    uint8_t tail[8];

    sha256_add(sha, padding, 1 + (BLOCK + 55 - sha->length % BLOCK) % BLOCK);
    for (int i = 0; i < 8; i++)
        tail[i] = (uint8_t)(bits >> (56 - 8 * i));
    sha256_add(sha, tail, sizeof(tail));
    for (int i = 0; i < 64; i++)
        ret_hex[i] = "0123456789abcdef"[sha->state[i / 8] >> (28 - 4 * (i % 8)) & 15];
    ret_hex[64] = 0;
}

void sha256_of(const void *data, size_t size, char ret_hex[65])
{
    struct sha256 sha;

    sha256_start(&sha);
    sha256_add(&sha, data, size);
    sha256_finish(&sha, ret_hex);
}

int sha256_file(const char *path, char ret_hex[65], int64_t *ret_size, struct fault *why)
{
    uint8_t *piece = malloc(PIECE);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct sha256 sha;
    int code = !piece ? -ENOMEM : fd < 0 ? -errno : 0;

    sha256_start(&sha);
    while (code == 0) {
        ssize_t got = read(fd, piece, PIECE);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            code = -errno;
        if (got <= 0)
            break;
        sha256_add(&sha, piece, (size_t)got);
    }
    if (fd >= 0)
        close(fd);
    free(piece);
    if (code < 0)
        return fault_set(why, code, "%s: cannot be read: %s", path, strerror(-code));
    if (ret_size)
        *ret_size = (int64_t)sha.length;
    sha256_finish(&sha, ret_hex);
    return 0;
}
