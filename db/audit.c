/* Who changed what, when, and from where?
 *
 * Rows are only added, and go when they are too old. Their ids rise with time,
 * so the oldest stand together. */
#include "db/inside.h"

int db_audit_add(struct db *db, const struct db_audit *rows, int count)
{
    struct connection *on;
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    for (int i = 0; i < count && r >= 0; i++)
        r = query_run(on,
                      "INSERT INTO audit(time_ms, owner, role, token, address, method, path, status, request_id)"
                      " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                      VALUES(V(rows[i].time_ms), V(rows[i].owner), V(rows[i].role), V(rows[i].token),
                             V(rows[i].address), V(rows[i].method), V(rows[i].path), V((int64_t)rows[i].status),
                             V(rows[i].request_id)));
    return writer_end(db, r < 0 ? r : 0);
}

static void row_read(const struct query *query, struct db_audit *ret)
{
    *ret = (struct db_audit){ .id = query_int(query, 0), .time_ms = query_int(query, 1) };
    query_copy(query, 2, ret->owner, sizeof(ret->owner));
    query_copy(query, 3, ret->role, sizeof(ret->role));
    query_copy(query, 4, ret->token, sizeof(ret->token));
    query_copy(query, 5, ret->address, sizeof(ret->address));
    query_copy(query, 6, ret->method, sizeof(ret->method));
    query_copy(query, 7, ret->path, sizeof(ret->path));
    ret->status = (int)query_int(query, 8);
    query_copy(query, 9, ret->request_id, sizeof(ret->request_id));
}

int db_audit_list(struct db *db, int64_t before, int limit, struct db_audit **ret)
{
    struct db_audit *list = NULL;
    struct connection *on;
    int count = 0, capacity = 0;
    int r = readers_take(db, &on);

    if (r < 0)
        return r;
    {
        query_auto query = { 0 };
        r = query_start(on, &query,
                        "SELECT id, time_ms, owner, role, token, address, method, path, status, request_id FROM audit"
                        " WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
                        VALUES(V(before > 0 ? before : INT64_MAX), V(limit)));
        while (r >= 0 && (r = query_next(&query)) > 0) {
            r = array_room((void **)&list, count, &capacity, sizeof(*list));
            if (r >= 0)
                row_read(&query, &list[count++]);
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

int db_audit_trim(struct db *db, int64_t before_ms)
{
    struct connection *on;
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    /* The first row that is young enough ends the search, so what is kept isn't read. */
    r = query_run(on,
                  "DELETE FROM audit WHERE id < coalesce("
                  "(SELECT id FROM audit WHERE time_ms >= ?1 ORDER BY id LIMIT 1), (SELECT max(id) + 1 FROM audit))",
                  VALUES(V(before_ms)));
    int stored = writer_end(db, r < 0 ? r : 0);
    return stored < 0 ? stored : r;
}
