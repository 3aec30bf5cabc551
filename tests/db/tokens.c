/* Does db/ keep what it is told of tokens and of what was done with them? */
#include "tests/db/fixture.h"

static int add_token(const char *id, const char *role, const char *parent, int64_t created_ms, int64_t expires_ms)
{
    struct db_token token = {
        .session = parent, .name = "n", .owner = "o", .created_ms = created_ms, .expires_ms = expires_ms
    };

    strcpy(token.id, id);
    strcpy(token.role, role);
    strcpy(token.parent, parent ? parent : "");
    strcpy(token.secret_sha256, "hash");
    return db_token_insert(fixture, &token);
}

static void tokens_come_back(void)
{
    struct db_token token, *list;

    fixture_open();
    CHECK_INT(db_token_ever(fixture), 0);
    CHECK_INT(add_token("b", "read", NULL, 1000, 9000), 0);
    CHECK_INT(add_token("a", "admin", NULL, 2000, 0), 0);
    CHECK_INT(add_token("a", "admin", NULL, 2000, 0), -EEXIST);
    CHECK_INT(db_token_get(fixture, "b", &token), 0);
    CHECK_STRING(token.role, "read");
    CHECK_STRING(token.secret_sha256, "hash");
    CHECK_INT(token.expires_ms, 9000);
    CHECK_INT(token.used_ms, 0);
    CHECK_INT(db_token_used(fixture, "b", 3000), 0);
    CHECK_INT(db_token_get(fixture, "b", &token), 0);
    CHECK_INT(token.used_ms, 3000);
    CHECK_INT(db_token_get(fixture, "c", &token), -ENOENT);
    CHECK_INT(db_token_list(fixture, &list), 2);
    CHECK_STRING(list[0].id, "b");
    CHECK_STRING(list[1].id, "a");
    free(list);
    fixture_close();
}

static void sessions_go_with_their_token_and_their_time(void)
{
    struct db_token token, *list;

    fixture_open();
    CHECK_INT(add_token("t", "read", NULL, 1000, 0), 0);
    CHECK_INT(add_token("s1", "read", "t", 1000, 2000), 0);
    CHECK_INT(add_token("s2", "read", "t", 1000, 9000), 0);
    CHECK_INT(add_token("s3", "read", "none", 1000, 9000), -EINVAL); /* of no token */
    CHECK_INT(db_token_list(fixture, &list), 1);
    free(list);
    CHECK_INT(add_token("u", "read", NULL, 2000, 0), 0); /* forgets s1, whose time is over */
    CHECK_INT(db_token_get(fixture, "s1", &token), -ENOENT);
    CHECK_INT(db_token_get(fixture, "s2", &token), 0);
    CHECK(token.session);
    CHECK_STRING(token.parent, "t");
    CHECK_INT(db_token_delete(fixture, "t"), 0);
    CHECK_INT(db_token_get(fixture, "s2", &token), -ENOENT);
    CHECK_INT(db_token_delete(fixture, "t"), -ENOENT);
    fixture_close();
}

static void an_admin_is_one_who_can_still_come_in(void)
{
    fixture_open();
    CHECK_INT(add_token("r", "submit", NULL, 1000, 0), 0);
    CHECK_INT(db_token_admin(fixture, 1000), 0);
    CHECK_INT(add_token("a", "admin", NULL, 1000, 5000), 0);
    CHECK_INT(add_token("s", "admin", "a", 1000, 9000), 0);
    CHECK_INT(db_token_admin(fixture, 4999), 1);
    CHECK_INT(db_token_admin(fixture, 5000), 0);
    CHECK_INT(db_token_delete(fixture, "a"), 0);
    CHECK_INT(db_token_delete(fixture, "r"), 0);
    CHECK_INT(db_token_ever(fixture), 1); /* there are none, but there were */
    fixture_close();
}

static void audit_rows_are_kept_in_order_and_trimmed(void)
{
    struct db_audit rows[3] = { { .time_ms = 1000, .status = 201 },
                                { .time_ms = 2000, .status = 403 },
                                { .time_ms = 3000, .status = 204 } };
    struct db_audit *list;

    fixture_open();
    for (int i = 0; i < 3; i++) {
        strcpy(rows[i].method, "POST");
        strcpy(rows[i].path, "/v1/jobs");
    }
    CHECK_INT(db_audit_add(fixture, rows, 3), 0);
    CHECK_INT(db_audit_list(fixture, 0, 2, &list), 2);
    CHECK_INT(list[0].status, 204);
    CHECK_INT(list[1].status, 403);
    int64_t before = list[1].id;
    free(list);
    CHECK_INT(db_audit_list(fixture, before, 10, &list), 1);
    CHECK_INT(list[0].status, 201);
    CHECK_STRING(list[0].path, "/v1/jobs");
    free(list);
    CHECK_INT(db_audit_trim(fixture, 1000), 0);
    CHECK_INT(db_audit_trim(fixture, 2500), 2);
    CHECK_INT(db_audit_list(fixture, 0, 10, &list), 1);
    CHECK_INT(list[0].time_ms, 3000);
    free(list);
    CHECK_INT(db_audit_trim(fixture, 9000), 1);
    CHECK_INT(db_audit_trim(fixture, 9000), 0);
    fixture_close();
}

static const struct check_case cases[] = {
    { "tokens come back as they were stored", tokens_come_back },
    { "sessions go with their token, and when their time is over", sessions_go_with_their_token_and_their_time },
    { "an admin is one who can still come in", an_admin_is_one_who_can_still_come_in },
    { "audit rows are kept in order and trimmed from the old end", audit_rows_are_kept_in_order_and_trimmed },
};
CHECK_MAIN(cases)
