/* Does looking at a credential tell its bearer anything but yes or no?
 *
 * No clock here: the program is linked so that every hash, look-up and
 * comparison goes through a counter (ld's --wrap), and the counts must be the
 * same whatever is wrong with a token that is one by its form. */
#include "api/caller.h"
#include "tests/check.h"

#include <errno.h>

static struct counts {
    int hashes, lookups, comparisons;
} counts;

void __real_sha256_of(const void *data, size_t size, char ret_hex[65]);
int __real_db_token_get(struct db *db, const char *id, struct db_token *ret);
bool __real_secret_same(const char one[65], const char other[65]);
void __wrap_sha256_of(const void *data, size_t size, char ret_hex[65]);
int __wrap_db_token_get(struct db *db, const char *id, struct db_token *ret);
bool __wrap_secret_same(const char one[65], const char other[65]);

void __wrap_sha256_of(const void *data, size_t size, char ret_hex[65])
{
    counts.hashes++;
    __real_sha256_of(data, size, ret_hex);
}

int __wrap_db_token_get(struct db *db, const char *id, struct db_token *ret)
{
    counts.lookups++;
    return __real_db_token_get(db, id, ret);
}

bool __wrap_secret_same(const char one[65], const char other[65])
{
    counts.comparisons++;
    return __real_secret_same(one, other);
}

static struct db *database;
static char *folder;

static void setup(void)
{
    char path[4096], message[256];

    folder = check_tmpdir();
    snprintf(path, sizeof(path), "%s/riftd.db", folder);
    CHECK_INT(db_open(path, &database, message), 0);
}

static void teardown(void)
{
    db_close(database);
    check_rmdir(folder);
}

static void same_work_whatever_is_wrong(void)
{
    char good[API_TOKEN_SIZE], old[API_TOKEN_SIZE], text[API_TOKEN_SIZE], id[DB_ID_SIZE];
    const char *secret;
    struct db_token token;

    setup();
    CHECK_INT(api_token_make(database, "good", "me", "admin", 1000, good), 0);
    CHECK_INT(api_token_make(database, "other", "me", "read", 1000, old), 0);
    for (int wrong = 0; wrong < 5; wrong++) {
        char *first = text + strlen(TOKEN_PREFIX) + TOKEN_ID_LENGTH + 1;
        strcpy(text, good);
        if (wrong == 1) /* an id nobody has */
            memcpy(text + strlen(TOKEN_PREFIX), "zzzzzzzzzzzz", TOKEN_ID_LENGTH);
        if (wrong == 2) /* the first character of the secret */
            *first = *first == 'a' ? 'b' : 'a';
        if (wrong == 3) /* the last one */
            text[strlen(text) - 1] = text[strlen(text) - 1] == 'a' ? 'b' : 'a';
        if (wrong == 4) /* somebody else's secret */
            strcpy(text + strlen(TOKEN_PREFIX) + TOKEN_ID_LENGTH, old + strlen(TOKEN_PREFIX) + TOKEN_ID_LENGTH);
        if (!secret_split(text, id, &secret))
            CHECK_FAIL("case %d: %s isn't a token by its form", wrong, text);
        counts = (struct counts){ 0 };
        CHECK_INT(credential_check(database, text, false, 2000, &token), wrong ? -EACCES : 0);
        CHECK_INT(counts.hashes, 1);
        CHECK_INT(counts.lookups, 1);
        CHECK_INT(counts.comparisons, 1);
    }
    counts = (struct counts){ 0 }; /* of the wrong kind: a session's place, a token's secret */
    CHECK_INT(credential_check(database, good, true, 2000, &token), -EACCES);
    CHECK_INT(counts.hashes + counts.lookups + counts.comparisons, 3);
    teardown();
}

static void comparison_sees_every_place(void)
{
    char one[65], other[65];

    memset(one, 'a', 64);
    one[64] = 0;
    strcpy(other, one);
    CHECK(secret_same(one, other));
    for (int i = 0; i < 64; i++) {
        other[i] = 'b';
        if (secret_same(one, other))
            CHECK_FAIL("a difference at %d isn't seen", i);
        other[i] = 'a';
    }
    CHECK(!secret_same(one, (char[65]){ 0 }));
}

static void secrets_use_their_alphabet_evenly(void)
{
    char text[TOKEN_TEXT_SIZE], id[DB_ID_SIZE], sha256[65];
    int seen[128] = { 0 }, kinds = 0;

    for (int i = 0; i < 500; i++) {
        CHECK_INT(secret_make(text, id, sha256), 0);
        for (const char *at = text + strlen(TOKEN_PREFIX) + TOKEN_ID_LENGTH + 2; *at; at++) /* not the first digit */
            seen[(unsigned char)*at]++;
    }
    for (int i = 0; i < 128; i++) {
        kinds += seen[i] > 0;
        if (seen[i] && (seen[i] < 200 || seen[i] > 500)) /* 339 each, deviation 18 */
            CHECK_FAIL("'%c' occurs %d times of %d", i, seen[i], 500 * (SECRET_LENGTH - 1));
    }
    CHECK_INT(kinds, 62);
}

static void expiry_is_to_the_millisecond(void)
{
    char text[TOKEN_TEXT_SIZE];
    struct db_token token = { .name = "n", .owner = "o", .role = "read", .created_ms = 1000, .expires_ms = 5000 }, got;

    setup();
    CHECK_INT(secret_make(text, token.id, token.secret_sha256), 0);
    CHECK_INT(db_token_insert(database, &token), 0);
    CHECK_INT(credential_check(database, text, false, 4999, &got), 0);
    CHECK_STRING(got.owner, "o");
    CHECK_INT(credential_check(database, text, false, 5000, &got), -EACCES);
    teardown();
}

static const struct check_case cases[] = {
    { "a token costs the same work whatever is wrong with it", same_work_whatever_is_wrong },
    { "the comparison sees a difference in every place", comparison_sees_every_place },
    { "secrets use their alphabet evenly", secrets_use_their_alphabet_evenly },
    { "a token is over at its very millisecond", expiry_is_to_the_millisecond },
};
CHECK_MAIN(cases)
