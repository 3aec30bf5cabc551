/* Who may come in, as far as it is written down?
 *
 * Tokens and the sessions that browsers got for one: ids, roles, and the
 * SHA-256 of the secret, never the secret. A session goes with its token.
 *
 * Surprising: that there ever was a token is remembered apart from the tokens
 * (state 'tokens'), so that taking back the last one locks the door rather than
 * opens it. */
#include "db/inside.h"

#define COLUMNS "id, kind, name, owner, role, secret_sha256, parent, created_ms, expires_ms, used_ms"

static void token_read(const struct query *query, struct db_token *ret)
{
    char kind[16];

    *ret = (struct db_token){ 0 };
    query_copy(query, 0, ret->id, sizeof(ret->id));
    query_copy(query, 1, kind, sizeof(kind));
    ret->session = !strcmp(kind, "session");
    query_copy(query, 2, ret->name, sizeof(ret->name));
    query_copy(query, 3, ret->owner, sizeof(ret->owner));
    query_copy(query, 4, ret->role, sizeof(ret->role));
    query_copy(query, 5, ret->secret_sha256, sizeof(ret->secret_sha256));
    query_copy(query, 6, ret->parent, sizeof(ret->parent));
    ret->created_ms = query_int(query, 7);
    ret->expires_ms = query_int(query, 8);
    ret->used_ms = query_int(query, 9);
}

int db_token_insert(struct db *db, const struct db_token *token)
{
    struct connection *on;
    const char *parent = *token->parent ? token->parent : NULL;
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    r = query_run(on, "DELETE FROM token WHERE kind = 'session' AND expires_ms <= ?1", VALUES(V(token->created_ms)));
    if (r >= 0)
        r = query_run(on, "INSERT INTO token(" COLUMNS ") VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0)",
                      VALUES(V(token->id), V(token->session ? "session" : "token"), V(token->name), V(token->owner),
                             V(token->role), V(token->secret_sha256), V(parent), V(token->created_ms),
                             V(token->expires_ms)));
    if (r >= 0)
        r = query_run(on, "INSERT OR IGNORE INTO state(name, value) VALUES('tokens', 'used')", NO_VALUES);
    return writer_end(db, r < 0 ? r : 0);
}

int db_token_get(struct db *db, const char *id, struct db_token *ret)
{
    struct connection *on;
    int r = readers_take(db, &on);

    if (r < 0)
        return r;
    {
        query_auto query = { 0 };
        r = query_start(on, &query, "SELECT " COLUMNS " FROM token WHERE id = ?1", VALUES(V(id)));
        if (r >= 0)
            r = query_next(&query);
        if (r > 0)
            token_read(&query, ret);
    }
    readers_give(db, on);
    if (r == 0)
        return refuse(-ENOENT, "no token %.36s", id);
    return r < 0 ? r : 0;
}

int db_token_list(struct db *db, struct db_token **ret)
{
    struct db_token *list = NULL;
    struct connection *on;
    int count = 0, capacity = 0;
    int r = readers_take(db, &on);

    if (r < 0)
        return r;
    {
        query_auto query = { 0 };
        r = query_start(on, &query, "SELECT " COLUMNS " FROM token WHERE kind = 'token' ORDER BY created_ms, id",
                        NO_VALUES);
        while (r >= 0 && (r = query_next(&query)) > 0) {
            r = array_room((void **)&list, count, &capacity, sizeof(*list));
            if (r >= 0)
                token_read(&query, &list[count++]);
        }
    }
    readers_give(db, on);
    if (r < 0) {
        free(list);
        return r;
    }
    *ret = list;
    return count;
}

int db_token_delete(struct db *db, const char *id)
{
    struct connection *on;
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    r = query_run(on, "DELETE FROM token WHERE id = ?1", VALUES(V(id)));
    if (r == 0)
        r = refuse(-ENOENT, "no token %.36s", id);
    return writer_end(db, r < 0 ? r : 0);
}

int db_token_used(struct db *db, const char *id, int64_t now_ms)
{
    struct connection *on;
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    r = query_run(on, "UPDATE token SET used_ms = ?2 WHERE id = ?1", VALUES(V(id), V(now_ms)));
    return writer_end(db, r < 0 ? r : 0);
}

int db_token_ever(struct db *db)
{
    int64_t found = 0;
    int r = number_select(db, "SELECT EXISTS(SELECT 1 FROM state WHERE name = 'tokens')", NO_VALUES, &found);

    return r < 0 ? r : (int)found;
}

int db_token_admin(struct db *db, int64_t now_ms)
{
    int64_t found = 0;
    int r = number_select(db,
                          "SELECT EXISTS(SELECT 1 FROM token WHERE kind = 'token' AND role = 'admin'"
                          " AND (expires_ms = 0 OR expires_ms > ?1))",
                          VALUES(V(now_ms)), &found);

    return r < 0 ? r : (int)found;
}
