/* Who is told when a job changes its state?
 *
 *   state event --same transaction--> delivery (due now) --2xx--> done
 *                                        ^      |
 *                                        '------' no answer: due again later, given up in the end
 *
 * What is told is fixed here, when it happens: a job that goes on, or is
 * deleted, changes nothing of it. daemon/webhooks.c carries it out. */
#include "db/inside.h"

#include <stdio.h>

/* Of each webhook so many are kept that are done with. */
#define DONE_KEPT 100

/* ---- webhooks ---- */

#define WEBHOOK_COLUMNS "id, url, secret, states, owner, everybody, created_ms "

static void webhook_read(const struct query *query, struct db_webhook *ret)
{
    query_copy(query, 0, ret->id, sizeof(ret->id));
    query_copy(query, 1, ret->url, sizeof(ret->url));
    query_copy(query, 2, ret->secret, sizeof(ret->secret));
    query_copy(query, 3, ret->states, sizeof(ret->states));
    query_copy(query, 4, ret->owner, sizeof(ret->owner));
    ret->everybody = query_int(query, 5) != 0;
    ret->created_ms = query_int(query, 6);
}

int db_webhook_insert(struct db *db, const struct db_webhook *webhook)
{
    struct connection *on;
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    r = query_run(on,
                  "INSERT INTO webhook(id, url, secret, states, owner, everybody, created_ms)"
                  " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                  VALUES(V(webhook->id), V(webhook->url), V(webhook->secret), V(webhook->states), V(webhook->owner),
                         V((int)webhook->everybody), V(webhook->created_ms)));
    return writer_end(db, r < 0 ? r : 0);
}

static int webhooks_select(struct db *db, const char *sql, const struct value *values, int count,
                           struct db_webhook **ret)
{
    struct db_webhook *webhooks = NULL;
    struct connection *on;
    int found = 0, capacity = 0;
    int r = readers_take(db, &on);

    if (r < 0)
        return r;
    query_auto query = { 0 };
    r = query_start(on, &query, sql, values, count);
    while (r >= 0 && (r = query_next(&query)) > 0) {
        r = array_room((void **)&webhooks, found, &capacity, sizeof(*webhooks));
        if (r >= 0)
            webhook_read(&query, &webhooks[found++]);
    }
    query_done(&query);
    readers_give(db, on);
    if (r < 0) {
        free(webhooks);
        return r;
    }
    *ret = webhooks;
    return found;
}

int db_webhook_get(struct db *db, const char *id, struct db_webhook *ret)
{
    struct db_webhook *found;
    int r = webhooks_select(db, "SELECT " WEBHOOK_COLUMNS "FROM webhook WHERE id = ?1", VALUES(V(id)), &found);

    if (r < 0)
        return r;
    if (r > 0)
        *ret = found[0];
    free(found);
    return r ? 0 : refuse(-ENOENT, "no webhook %.36s", id);
}

int db_webhook_list(struct db *db, struct db_webhook **ret)
{
    return webhooks_select(db, "SELECT " WEBHOOK_COLUMNS "FROM webhook WHERE id >= ?1 ORDER BY id", VALUES(V("")), ret);
}

int db_webhook_delete(struct db *db, const char *id)
{
    struct connection *on;
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    r = query_run(on, "DELETE FROM webhook WHERE id = ?1", VALUES(V(id)));
    if (r == 0)
        r = refuse(-ENOENT, "no webhook %.36s", id);
    return writer_end(db, r < 0 ? r : 0);
}

/* ---- deliveries ---- */

int deliveries_store(struct connection *on, int64_t job, const char *state, const char *error, int64_t now_ms)
{
    int64_t event = sqlite3_last_insert_rowid(on->sqlite);
    int r =
        query_run(on,
                  "INSERT INTO delivery(webhook, event, body, next_ms)"
                  " SELECT webhook.id, ?5, json_object('type', 'job.state', 'event', ?5,"
                  "  'time_ms', ?4, 'state', ?2, 'error', json(?3), 'job', json_object('id', job.id, 'kind', job.kind,"
                  "  'label', job.label, 'owner', NULLIF(job.owner, ''), 'parent', job.parent)), ?4"
                  " FROM job JOIN webhook ON (webhook.owner = job.owner OR webhook.everybody = 1)"
                  " WHERE job.number = ?1 AND instr(',' || webhook.states || ',', ',' || ?2 || ',') > 0",
                  VALUES(V(job), V(state), V(error), V(now_ms), V(event)));

    return r < 0 ? r : 0;
}

#define DELIVERY_COLUMNS "id, webhook, event, body, attempts, next_ms, done_ms, status, error "

void db_deliveries_free(struct db_delivery *deliveries, int count)
{
    for (int i = 0; i < count; i++)
        free(deliveries[i].body);
    free(deliveries);
}

static int delivery_read(const struct query *query, struct db_delivery *ret)
{
    *ret = (struct db_delivery){ .id = query_int(query, 0),
                                 .event = query_int(query, 2),
                                 .attempts = (int)query_int(query, 4),
                                 .next_ms = query_int(query, 5),
                                 .done_ms = query_int(query, 6),
                                 .status = (int)query_int(query, 7) };
    query_copy(query, 1, ret->webhook, sizeof(ret->webhook));
    query_copy(query, 8, ret->error, sizeof(ret->error));
    return query_dup(query, 3, &ret->body);
}

static int deliveries_select(struct db *db, const char *sql, const struct value *values, int count,
                             struct db_delivery **ret)
{
    struct db_delivery *deliveries = NULL;
    struct connection *on;
    int found = 0, capacity = 0;
    int r = readers_take(db, &on);

    if (r < 0)
        return r;
    query_auto query = { 0 };
    r = query_start(on, &query, sql, values, count);
    while (r >= 0 && (r = query_next(&query)) > 0) {
        r = array_room((void **)&deliveries, found, &capacity, sizeof(*deliveries));
        if (r >= 0)
            r = delivery_read(&query, &deliveries[found]);
        found += r >= 0;
    }
    query_done(&query);
    readers_give(db, on);
    if (r < 0) {
        db_deliveries_free(deliveries, found);
        return r;
    }
    *ret = deliveries;
    return found;
}

int db_delivery_due(struct db *db, int64_t now_ms, int limit, struct db_delivery **ret)
{
    return deliveries_select(db,
                             "SELECT " DELIVERY_COLUMNS "FROM delivery WHERE done_ms = 0 AND next_ms <= ?1"
                             " ORDER BY next_ms LIMIT ?2",
                             VALUES(V(now_ms), V(limit)), ret);
}

int db_delivery_list(struct db *db, const char *webhook, int limit, struct db_delivery **ret)
{
    return deliveries_select(db,
                             "SELECT " DELIVERY_COLUMNS "FROM delivery WHERE webhook = ?1 ORDER BY id DESC LIMIT ?2",
                             VALUES(V(webhook), V(limit)), ret);
}

int db_delivery_next(struct db *db, int64_t *ret_ms)
{
    struct connection *on;
    int r = readers_take(db, &on);

    if (r < 0)
        return r;
    query_auto query = { 0 };
    r = query_start(on, &query, "SELECT next_ms FROM delivery WHERE done_ms = 0 ORDER BY next_ms LIMIT 1", NO_VALUES);
    if (r >= 0)
        r = query_next(&query);
    if (r > 0)
        *ret_ms = query_int(&query, 0);
    query_done(&query);
    readers_give(db, on);
    return r > 0 ? 0 : r == 0 ? refuse(-ENOENT, "no delivery is waiting") : r;
}

int db_delivery_waiting(struct db *db, int64_t *ret)
{
    return number_select(db, "SELECT COUNT(*) FROM delivery WHERE done_ms = 0 AND next_ms > ?1", VALUES(V(0)), ret);
}

/* Old ones that are done with go, so that a webhook's history has an end. */
static int history_cut(struct connection *on, int64_t id)
{
    return query_run(on,
                     "DELETE FROM delivery WHERE done_ms > 0 AND webhook = (SELECT webhook FROM delivery WHERE id = ?1)"
                     " AND id <= (SELECT id FROM delivery WHERE webhook = (SELECT webhook FROM delivery WHERE id = ?1)"
                     "  ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                     VALUES(V(id), V(DONE_KEPT)));
}

int db_delivery_tried(struct db *db, int64_t id, int status, const char *error, int64_t now_ms, int64_t next_ms)
{
    struct connection *on;
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    r = query_run(on,
                  "UPDATE delivery SET attempts = attempts + 1, status = ?2, error = ?3,"
                  " done_ms = CASE WHEN ?5 = 0 THEN ?4 ELSE 0 END, next_ms = ?5 WHERE id = ?1",
                  VALUES(V(id), V(status), V(error), V(now_ms), V(next_ms)));
    if (r == 0)
        r = refuse(-ENOENT, "the delivery is gone with its webhook");
    if (r >= 0 && next_ms)
        r = query_run(on,
                      "UPDATE delivery SET next_ms = ?2 WHERE webhook = (SELECT webhook FROM delivery WHERE id = ?1)"
                      " AND done_ms = 0 AND next_ms < ?2",
                      VALUES(V(id), V(next_ms)));
    if (r >= 0 && !next_ms)
        r = history_cut(on, id);
    return writer_end(db, r < 0 ? r : 0);
}

int db_delivery_insert(struct db *db, const char *webhook, const char *body, int64_t now_ms)
{
    struct connection *on;
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    r = query_run(on,
                  "INSERT INTO delivery(webhook, event, body, next_ms) SELECT id, 0, ?2, ?3 FROM webhook WHERE id = ?1",
                  VALUES(V(webhook), V(body), V(now_ms)));
    if (r == 0)
        r = refuse(-ENOENT, "no webhook %.36s", webhook);
    return writer_end(db, r < 0 ? r : 0);
}
