/* What does riftd remember of itself?
 *
 * Named texts: that it is drained, by which ageing ranks were made. */
#include "db/inside.h"

int state_get(struct connection *on, const char *name, char *ret, size_t size)
{
    query_auto query = { 0 };
    int r = query_start(on, &query, "SELECT value FROM state WHERE name = ?1", VALUES(V(name)));

    if (r >= 0)
        r = query_next(&query);
    if (r < 0)
        return r;
    if (r > 0)
        query_copy(&query, 0, ret, size);
    else
        *ret = '\0';
    return 0;
}

int state_put(struct connection *on, const char *name, const char *value)
{
    int r = value ? query_run(on,
                              "INSERT INTO state(name, value) VALUES(?1, ?2)"
                              " ON CONFLICT(name) DO UPDATE SET value = ?2",
                              VALUES(V(name), V(value)))
                  : query_run(on, "DELETE FROM state WHERE name = ?1", VALUES(V(name)));

    return r < 0 ? r : 0;
}

int db_state_get(struct db *db, const char *name, char *ret, size_t size)
{
    struct connection *on;
    int r = readers_take(db, &on);

    if (r < 0)
        return r;
    r = state_get(on, name, ret, size);
    readers_give(db, on);
    return r;
}

int db_state_put(struct db *db, const char *name, const char *value)
{
    struct connection *on;
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    return writer_end(db, state_put(on, name, value));
}
