/* Do arrays come back as they went, and does no hostile file get through? */
#include "job/job.h"
#include "tests/check.h"

#include <errno.h>

static char *dir, path[300];

static void start(void)
{
    dir = check_tmpdir();
    snprintf(path, sizeof(path), "%s/x.safetensors", dir);
}

/* Plainly written: thousands of files need no fsync. */
static void put(const void *bytes, size_t size)
{
    FILE *file = fopen(path, "w");

    if (!file || fwrite(bytes, 1, size, file) != size || fclose(file) != 0)
        CHECK_FAIL("%s cannot be written", path);
}

/* A file with this header, whose declared length may lie, and `data` zero bytes. */
static void put_header(const char *header, int64_t length, size_t data)
{
    size_t real = strlen(header);
    char *bytes = calloc(1, 8 + real + data + 1);
    int64_t declared = length < 0 ? (int64_t)real : length;

    memcpy(bytes, &declared, 8);
    memcpy(bytes + 8, header, real);
    put(bytes, 8 + real + data);
    free(bytes);
}

static const float floats[6] = { 1, -2, 3.5f, 0, 1e-40f, 6 };
static const int64_t labels[2] = { -1, 1LL << 40 };
static const uint8_t pixels[3] = { 0, 128, 255 };
static const struct safetensor written[] = {
    { .name = "layer1.0.conv1.weight", .dtype = DTYPE_F32, .rank = 2, .shape = { 2, 3 }, .data = floats, .size = 24 },
    { .name = "y", .dtype = DTYPE_I64, .rank = 1, .shape = { 2 }, .data = labels, .size = 16 },
    { .name = "nothing", .dtype = DTYPE_F64, .rank = 2, .shape = { 0, 4 }, .data = NULL, .size = 0 },
    { .name = "x \xE2\x82\xAC", .dtype = DTYPE_U8, .rank = 3, .shape = { 1, 1, 3 }, .data = pixels, .size = 3 },
    { .name = "scalar", .dtype = DTYPE_I32, .rank = 0, .data = labels, .size = 4 },
};
enum { WRITTEN = sizeof(written) / sizeof(written[0]) };

static void write_it(char hex[65], int64_t *size)
{
    json_auto_t *metadata = json_pack("{s:s, s:s}", "model", "{\"arch\":\"resnet18\"}", "format", "pt");
    struct fault why = { 0 };

    if (safetensors_write(dir, "x.safetensors", written, WRITTEN, metadata, hex, size, &why) < 0)
        CHECK_FAIL("%s", why.message);
}

static void round_trip(void)
{
    struct safetensors *file = NULL;
    struct fault why = { 0 };
    char announced[65], hex[65];
    int64_t announced_size, size;

    start();
    write_it(announced, &announced_size);
    CHECK_INT(sha256_file(path, hex, &size, &why), 0);
    CHECK_STRING(announced, hex);
    CHECK_INT(announced_size, size);
    CHECK_INT(safetensors_open(path, &file, &why), 0);
    CHECK_INT(safetensors_count(file), WRITTEN);
    CHECK_STRING(safetensors_metadata(file, "format"), "pt");
    CHECK_STRING(safetensors_metadata(file, "model"), "{\"arch\":\"resnet18\"}");
    CHECK(safetensors_metadata(file, "absent") == NULL);
    CHECK(safetensors_find(file, "absent") == NULL);
    CHECK(safetensors_find(file, "__metadata__") == NULL);
    CHECK(safetensors_at(file, -1) == NULL && safetensors_at(file, WRITTEN) == NULL);
    for (int i = 0; i < WRITTEN; i++) {
        const struct safetensor *read = safetensors_find(file, written[i].name);
        if (!read) {
            CHECK_FAIL("\"%s\" is lost", written[i].name);
            continue;
        }
        CHECK_INT(read->dtype, written[i].dtype);
        CHECK_INT(read->rank, written[i].rank);
        CHECK(memcmp(read->shape, written[i].shape, sizeof(read->shape)) == 0);
        CHECK_INT(read->size, written[i].size);
        CHECK(read->size == 0 || memcmp(read->data, written[i].data, read->size) == 0);
        CHECK(read == safetensors_at(file, i));
    }
    safetensors_close(file);
    safetensors_close(NULL);
    CHECK_INT(dtype_size(DTYPE_U8), 1);
    CHECK_INT(dtype_size(DTYPE_F64), 8);
    check_rmdir(dir);
}

static void aligned_data(void)
{
    struct fault why = { 0 };

    start();
    for (int length = 1; length < 17; length++) {
        char name[32], *bytes = NULL;
        size_t size;
        uint64_t header;
        struct safetensor tensor = {
            .name = name, .dtype = DTYPE_U8, .rank = 1, .shape = { 3 }, .data = pixels, .size = 3
        };

        snprintf(name, sizeof(name), "%.*s", length, "abcdefghijklmnopqrst");
        CHECK_INT(safetensors_write(dir, "x.safetensors", &tensor, 1, NULL, NULL, NULL, &why), 0);
        CHECK_INT(file_read(path, 1000, &bytes, &size, &why), 0);
        memcpy(&header, bytes, 8);
        CHECK_INT(header % 8, 0);
        CHECK_INT(size, 8 + header + 3);
        CHECK(memcmp(bytes + 8 + header, pixels, 3) == 0);
        free(bytes);
    }
    check_rmdir(dir);
}

static void bad_writes(void)
{
    struct safetensor twice[2] = { written[1], written[1] }, wrong = written[1], reserved = written[1];
    json_auto_t *metadata = json_pack("{s:i}", "number", 3);
    struct fault why = { 0 };

    start();
    CHECK_INT(safetensors_write(dir, "x.safetensors", twice, 2, NULL, NULL, NULL, &why), -EINVAL);
    CHECK_HOLDS(why.message, "two tensors \"y\"");
    wrong.size = 15;
    CHECK_INT(safetensors_write(dir, "x.safetensors", &wrong, 1, NULL, NULL, NULL, &why), -EINVAL);
    CHECK_HOLDS(why.message, "the size of tensor \"y\"");
    reserved.name = "__metadata__";
    CHECK_INT(safetensors_write(dir, "x.safetensors", &reserved, 1, NULL, NULL, NULL, &why), -EINVAL);
    CHECK_INT(safetensors_write(dir, "x.safetensors", written, 1, metadata, NULL, NULL, &why), -EINVAL);
    CHECK_HOLDS(why.message, "__metadata__ \"number\" isn't a string");
    CHECK_INT(safetensors_write(dir, "a/b", written, 1, NULL, NULL, NULL, &why), -EINVAL);
    CHECK(access(path, F_OK) < 0);
    check_rmdir(dir);
}

/* Nothing shorter than the whole file is taken for it. */
static void truncated(void)
{
    char hex[65], *bytes = NULL;
    int64_t whole;
    size_t size;
    struct fault why = { 0 };
    int tried = 0;

    start();
    write_it(hex, &whole);
    CHECK_INT(file_read(path, 10000, &bytes, &size, &why), 0);
    for (size_t cut = 0; cut < size; cut += 7, tried++) {
        struct safetensors *file = NULL;
        put(bytes, cut);
        CHECK_INT(safetensors_open(path, &file, &why), -EINVAL);
        CHECK_HOLDS(why.message, "x.safetensors");
        CHECK(file == NULL);
    }
    CHECK(tried > 30);
    free(bytes);
    check_rmdir(dir);
}

/* Any byte of length and header may be anything: an error that names the file,
 * or a file whose every byte can still be touched. */
static void flipped_bytes(void)
{
    static const uint8_t flips[] = { 0x01, 0x02, 0x10, 0x80, 0xFF };
    char hex[65], *bytes = NULL;
    int64_t whole;
    size_t size;
    struct fault why = { 0 };
    int refused = 0, accepted = 0;
    volatile unsigned sum = 0;

    start();
    write_it(hex, &whole);
    CHECK_INT(file_read(path, 10000, &bytes, &size, &why), 0);
    for (size_t at = 0; at < size - 47; at++) {
        for (size_t f = 0; f < sizeof(flips); f++) {
            struct safetensors *file = NULL;
            bytes[at] ^= (char)flips[f];
            put(bytes, size);
            bytes[at] ^= (char)flips[f];
            if (safetensors_open(path, &file, &why) < 0) {
                refused++;
                CHECK_HOLDS(why.message, "x.safetensors");
                continue;
            }
            accepted++;
            for (int i = 0; i < safetensors_count(file); i++)
                for (size_t b = 0; b < safetensors_at(file, i)->size; b++)
                    sum += ((const uint8_t *)safetensors_at(file, i)->data)[b];
            safetensors_close(file);
        }
    }
    CHECK(refused > 500);
    CHECK(accepted > 0); /* a changed letter of a name */
    free(bytes);
    check_rmdir(dir);
}

#define F32_4 "\"dtype\":\"F32\",\"shape\":[4]"
static const struct {
    const char *header;
    int64_t length; /* declared; -1: the truth */
    size_t data;
    const char *message;
} hostile[] = {
    { "{}", INT64_MAX, 0, "not a safetensors file" },
    { "{}", 100000001, 0, "not a safetensors file" },
    { "{}", 100000000, 0, "cut off inside its header" },
    { "{}", 3, 0, "cut off inside its header" },
    { "{}", 0, 0, "isn't a JSON object" },
    { "{}", 1, 0, "isn't a JSON object" },
    { "[]", -1, 0, "isn't a JSON object" },
    { " {}", -1, 0, "isn't a JSON object" },
    { "{\"a\"", -1, 0, "isn't JSON" },
    { "{\"a\":1e999}", -1, 0, "isn't JSON" },
    { "{\"\xFF\":1}", -1, 0, "isn't JSON" },
    { "{\"a\\u0000b\":1}", -1, 0, "isn't JSON" },
    { "{\"a\":{" F32_4 ",\"data_offsets\":[0,16]},\"a\":{" F32_4 ",\"data_offsets\":[0,16]}}", -1, 16, "isn't JSON" },
    { "{\"a\":5}", -1, 0, "the entry of tensor \"a\" isn't an object" },
    { "{\"a\":{\"shape\":[4],\"data_offsets\":[0,16]}}", -1, 16, "tensor \"a\" has no dtype" },
    { "{\"a\":{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[0,8]}}", -1, 8, "tensor \"a\" has dtype \"BF16\"" },
    { "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,16]}}", -1, 16, "the shape of tensor \"a\"" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":4,\"data_offsets\":[0,16]}}", -1, 16, "the shape of tensor \"a\"" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,4],\"data_offsets\":[0,16]}}", -1, 16,
      "at most 8 dimensions" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[-4],\"data_offsets\":[0,16]}}", -1, 16, "dimension 0 of tensor \"a\"" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[2,2.0],\"data_offsets\":[0,16]}}", -1, 16, "dimension 1 of tensor \"a\"" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,16]}}", -1, 16,
      "too large for any file" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", -1, 0,
      "too large for any file" },
    { "{\"a\":{" F32_4 "}}", -1, 16, "data_offsets of tensor \"a\"" },
    { "{\"a\":{" F32_4 ",\"data_offsets\":[0]}}", -1, 16, "data_offsets of tensor \"a\"" },
    { "{\"a\":{" F32_4 ",\"data_offsets\":[0,16,32]}}", -1, 16, "data_offsets of tensor \"a\"" },
    { "{\"a\":{" F32_4 ",\"data_offsets\":[0,\"16\"]}}", -1, 16, "data_offsets of tensor \"a\"" },
    { "{\"a\":{" F32_4 ",\"data_offsets\":[0,17]}}", -1, 16, "tensor \"a\" lies at bytes 0 to 17 of 16" },
    { "{\"a\":{" F32_4 ",\"data_offsets\":[-16,0]}}", -1, 16, "tensor \"a\" lies at bytes -16 to 0" },
    { "{\"a\":{" F32_4 ",\"data_offsets\":[16,0]}}", -1, 16, "tensor \"a\" lies at bytes 16 to 0" },
    { "{\"a\":{" F32_4 ",\"data_offsets\":[0,12]}}", -1, 16,
      "tensor \"a\" has 12 bytes, but its shape and dtype need 16" },
    { "{\"a\":{" F32_4 ",\"data_offsets\":[4,20]}}", -1, 20, "tensor \"a\" starts at byte 4 of the data" },
    { "{\"a\":{" F32_4 ",\"data_offsets\":[0,16]},\"b\":{" F32_4 ",\"data_offsets\":[12,28]}}", -1, 28,
      "tensor \"b\" starts at byte 12" },
    { "{\"a\":{" F32_4 ",\"data_offsets\":[0,16]},\"b\":{" F32_4 ",\"data_offsets\":[0,16]}}", -1, 16,
      "tensor \"b\" starts at byte 0" },
    { "{\"a\":{" F32_4 ",\"data_offsets\":[0,16]},\"b\":{" F32_4 ",\"data_offsets\":[20,36]}}", -1, 36,
      "tensor \"b\" starts at byte 20" },
    { "{\"a\":{" F32_4 ",\"data_offsets\":[0,16]}}", -1, 17, "1 bytes of data belong to no tensor" },
    { "{}", -1, 4, "4 bytes of data belong to no tensor" },
    { "{\"__metadata__\":5}", -1, 0, "__metadata__ isn't an object" },
    { "{\"__metadata__\":{\"a\":5}}", -1, 0, "__metadata__ \"a\" isn't a string" },
};

static void hostile_headers(void)
{
    start();
    for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
        struct safetensors *file = NULL;
        struct fault why = { 0 };

        put_header(hostile[i].header, hostile[i].length, hostile[i].data);
        CHECK_INT(safetensors_open(path, &file, &why), -EINVAL);
        CHECK_HOLDS(why.message, "x.safetensors: ");
        CHECK_HOLDS(why.message, hostile[i].message);
        CHECK(file == NULL);
        safetensors_close(file);
    }
    check_rmdir(dir);
}

/* Deeper nesting than any parser's stack wants. */
static void deep_header(void)
{
    const int depth = 1000000;
    struct safetensors *file = NULL;
    struct fault why = { 0 };
    char *header = malloc((size_t)depth + 1);

    memset(header, '[', (size_t)depth);
    memcpy(header, "{\"a\":", 5);
    header[depth] = 0;
    start();
    put_header(header, -1, 0);
    CHECK_INT(safetensors_open(path, &file, &why), -EINVAL);
    CHECK_HOLDS(why.message, "isn't JSON");
    free(header);
    check_rmdir(dir);
}

static void good_headers(void)
{
    struct safetensors *file = NULL;
    struct fault why = { 0 };

    start();
    put_header("{}      ", -1, 0);
    CHECK_INT(safetensors_open(path, &file, &why), 0);
    CHECK_INT(safetensors_count(file), 0);
    safetensors_close(file);
    put_header("{\"b\":{" F32_4 ",\"data_offsets\":[16,32]},\"a\":{" F32_4 ",\"data_offsets\":[0,16]}}", -1, 32);
    CHECK_INT(safetensors_open(path, &file, &why), 0);
    CHECK_STRING(safetensors_at(file, 0)->name, "a"); /* by place, whatever the header's order */
    safetensors_close(file);
    CHECK_INT(safetensors_open(dir, &file, &why), -EINVAL);
    CHECK_HOLDS(why.message, "isn't a file");
    snprintf(path, sizeof(path), "%s/absent", dir);
    CHECK_INT(safetensors_open(path, &file, &why), -ENOENT);
    CHECK_HOLDS(why.message, "/absent: cannot be opened");
    check_rmdir(dir);
}

static const struct check_case cases[] = {
    { "arrays, shapes, names and metadata come back as they went", round_trip },
    { "data start at a multiple of eight", aligned_data },
    { "what can't be read back isn't written", bad_writes },
    { "a truncated file is refused and named", truncated },
    { "flipped bytes are refused or harmless", flipped_bytes },
    { "hostile headers are refused by file and tensor", hostile_headers },
    { "a deeply nested header is refused", deep_header },
    { "an empty file, any header order and a missing file are told apart", good_headers },
};
CHECK_MAIN(cases)
