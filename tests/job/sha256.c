/* Is our SHA-256 the one of FIPS 180-4, however the bytes are cut? */
#include "job/job.h"
#include "tests/check.h"

static const struct {
    const char *text;
    int times;
    const char *hex;
} vectors[] = {
    { "", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
    { "abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
    { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
    { "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrst"
      "u",
      1, "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1" },
    { "a", 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0" },
    /* Around a block's end, from an independent implementation. */
    { "a", 55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318" },
    { "a", 56, "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a" },
    { "a", 63, "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34" },
    { "a", 64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb" },
    { "a", 65, "635361c48bb9eab14198e76ea8ab7f1a41685d6ad62aa9146d301d4f17eb0ae0" },
    { "a", 119, "31eba51c313a5c08226adf18d4a359cfdfd8d2e816b13f4af952f7ea6584dcfb" },
    { "a", 128, "6836cf13bac400e9105071cd6af47084dfacad4e5e302c94bfed24e013afb73e" },
};
enum { COUNT = sizeof(vectors) / sizeof(vectors[0]) };

static void published_vectors(void)
{
    for (int i = 0; i < COUNT; i++) {
        struct sha256 sha;
        char hex[65];

        sha256_start(&sha);
        for (int n = 0; n < vectors[i].times; n++)
            sha256_add(&sha, vectors[i].text, strlen(vectors[i].text));
        sha256_finish(&sha, hex);
        CHECK_STRING(hex, vectors[i].hex);
    }
}

/* Every way to cut 200 bytes in two, and every equal piece size. */
static void any_cut(void)
{
    uint8_t bytes[200];
    char whole[65], cut[65];
    struct sha256 sha;

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7 + 3);
    sha256_start(&sha);
    sha256_add(&sha, bytes, sizeof(bytes));
    sha256_finish(&sha, whole);
    for (size_t at = 0; at <= sizeof(bytes); at++) {
        sha256_start(&sha);
        sha256_add(&sha, bytes, at);
        sha256_add(&sha, bytes + at, sizeof(bytes) - at);
        sha256_finish(&sha, cut);
        CHECK_STRING(cut, whole);
    }
    for (size_t piece = 1; piece < 140; piece++) {
        sha256_start(&sha);
        for (size_t at = 0; at < sizeof(bytes); at += piece)
            sha256_add(&sha, bytes + at, at + piece < sizeof(bytes) ? piece : sizeof(bytes) - at);
        sha256_finish(&sha, cut);
        CHECK_STRING(cut, whole);
    }
}

static void a_file(void)
{
    char *dir = check_tmpdir(), path[300], hex[65] = "untouched";
    struct fault why = { 0 };
    int64_t size = -1;
    char *a = malloc(1000000);

    memset(a, 'a', 1000000);
    snprintf(path, sizeof(path), "%s/a", dir);
    CHECK_INT(file_replace(dir, "a", a, 1000000, &why), 0);
    CHECK_INT(sha256_file(path, hex, &size, &why), 0);
    CHECK_STRING(hex, vectors[4].hex);
    CHECK_INT(size, 1000000);
    snprintf(path, sizeof(path), "%s/absent", dir);
    snprintf(hex, sizeof(hex), "untouched");
    CHECK_INT(sha256_file(path, hex, &size, &why), -2);
    CHECK_HOLDS(why.message, "/absent");
    CHECK_STRING(hex, "untouched");
    CHECK(sha256_file(dir, hex, NULL, &why) < 0);
    free(a);
    check_rmdir(dir);
}

static const struct check_case cases[] = {
    { "the published vectors and the block boundaries agree", published_vectors },
    { "the hash doesn't depend on how the bytes are cut", any_cut },
    { "a file is hashed whole, and a missing one is named", a_file },
};
CHECK_MAIN(cases)
