/* How is a statement run?
 *
 * Prepared once per connection and found again by its text, bound from typed
 * values, stepped, given back by a cleanup attribute. A statement that is in
 * use already (recursion) gets a second, uncached one. */
#include "db/inside.h"

static sqlite3_stmt *cache_take(struct connection *on, const char *sql)
{
    for (int i = 0; i < on->cached; i++) {
        struct cached *cached = &on->cache[i];
        if (!cached->taken && strcmp(sqlite3_sql(cached->statement), sql) == 0) {
            cached->taken = true;
            return cached->statement;
        }
    }
    return NULL;
}

static void cache_put(struct connection *on, sqlite3_stmt *statement)
{
    if (on->cached < STATEMENT_CACHE)
        on->cache[on->cached++] = (struct cached){ .statement = statement, .taken = true };
}

void query_done(struct query *query)
{
    if (!query->statement)
        return;
    sqlite3_reset(query->statement);
    sqlite3_clear_bindings(query->statement);
    for (int i = 0; i < query->on->cached; i++)
        if (query->on->cache[i].statement == query->statement) {
            query->on->cache[i].taken = false;
            query->statement = NULL;
        }
    sqlite3_finalize(query->statement); /* of NULL: nothing */
    query->statement = NULL;
}

static int bind(sqlite3_stmt *statement, int index, const struct value *value)
{
    switch (value->type) {
    case VALUE_INT:
        return sqlite3_bind_int64(statement, index, value->integer);
    case VALUE_REAL:
        return sqlite3_bind_double(statement, index, value->real);
    case VALUE_TEXT:
        return sqlite3_bind_text(statement, index, value->text, -1, SQLITE_STATIC);
    }
    return SQLITE_MISUSE;
}

int query_start(struct connection *on, struct query *ret, const char *sql, const struct value *values, int count)
{
    sqlite3_stmt *statement = cache_take(on, sql);
    int rc = SQLITE_OK;

    if (!statement) {
        rc = sqlite3_prepare_v3(on->sqlite, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL);
        if (rc != SQLITE_OK)
            return sqlite_fault(on->sqlite, rc);
        cache_put(on, statement);
    }
    query_done(ret);
    *ret = (struct query){ .on = on, .statement = statement };
    assert(sqlite3_bind_parameter_count(statement) == count);
    for (int i = 0; i < count && rc == SQLITE_OK; i++)
        rc = bind(statement, i + 1, &values[i]);
    return rc == SQLITE_OK ? 0 : sqlite_fault(on->sqlite, rc);
}

int query_next(struct query *query)
{
    int rc = sqlite3_step(query->statement);

    if (rc == SQLITE_ROW)
        return 1;
    return rc == SQLITE_DONE ? 0 : sqlite_fault(query->on->sqlite, rc);
}

int query_run(struct connection *on, const char *sql, const struct value *values, int count)
{
    query_auto query = { 0 };
    int r = query_start(on, &query, sql, values, count);

    while (r >= 0 && (r = query_next(&query)) > 0)
        ;
    return r < 0 ? r : sqlite3_changes(on->sqlite);
}

int number_read(struct connection *on, const char *sql, const struct value *values, int count, int64_t *ret)
{
    query_auto query = { 0 };
    int r = query_start(on, &query, sql, values, count);

    if (r >= 0)
        r = query_next(&query);
    if (r > 0)
        *ret = query_int(&query, 0);
    return r;
}

int64_t query_int(const struct query *query, int column)
{
    return sqlite3_column_int64(query->statement, column);
}

double query_real(const struct query *query, int column)
{
    if (sqlite3_column_type(query->statement, column) == SQLITE_NULL)
        return __builtin_nan("");
    return sqlite3_column_double(query->statement, column);
}

void query_copy(const struct query *query, int column, char *ret, size_t size)
{
    const char *text = (const char *)sqlite3_column_text(query->statement, column);
    size_t length = text ? strnlen(text, size - 1) : 0;

    while (length && ((unsigned char)text[length] & 0xC0) == 0x80) /* never half a character */
        length--;
    if (length)
        memcpy(ret, text, length);
    ret[length] = '\0';
}

int query_dup(const struct query *query, int column, char **ret)
{
    if (sqlite3_column_type(query->statement, column) == SQLITE_NULL) {
        *ret = NULL;
        return 0;
    }
    const char *text = (const char *)sqlite3_column_text(query->statement, column);
    char *copy = text ? strdup(text) : NULL;
    if (!copy)
        return refuse(-ENOMEM, "out of memory");
    *ret = copy;
    return 0;
}

int array_room(void **items, int count, int *capacity, size_t size)
{
    if (count < *capacity)
        return 0;
    int grown = *capacity ? 2 * *capacity : 16;
    void *moved = reallocarray(*items, (size_t)grown, size);
    if (!moved)
        return refuse(-ENOMEM, "out of memory");
    *items = moved;
    *capacity = grown;
    return 0;
}

int number_select(struct db *db, const char *sql, const struct value *values, int count, int64_t *ret)
{
    struct connection *on;
    int r = readers_take(db, &on);

    if (r < 0)
        return r;
    query_auto query = { 0 };
    r = query_start(on, &query, sql, values, count);
    if (r >= 0)
        r = query_next(&query);
    if (r > 0)
        *ret = query_int(&query, 0);
    query_done(&query);
    readers_give(db, on);
    return r < 0 ? r : 0;
}
