/* Who runs next?
 *
 *   rank(job)     = submitted_ms - ageing_ms * priority
 *   used(owner)   = device time of its jobs, each moment halved every half-life
 *   share(owner)  = used(owner) / sum of used over all owners who wait or run
 *   score(job)    = rank(job) + fair_share_ms * share(owner of job)
 *
 * The smallest score goes first, and of equal ones the job that came first. A
 * point of priority is worth an hour of waiting (the ageing), so that nobody waits
 * for ever; who has used all of the devices lately stands as if it had come
 * fair_share_ms later than who has used none. Ageing 0 is worth a century a
 * point: priority alone decides, and fair share among equal ones.
 *
 * Within one owner the order is that of ranks, which never change by themselves,
 * so an index keeps it; only the best job of each owner is looked at. That is a
 * handful of index seeks an owner, however many jobs wait.
 *
 * A slot that is short of memory takes the best job or none: if small jobs
 * overtook a big one, it would never find the room. */
#include "db/inside.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>

/* What a point of priority is worth when nothing else is to count. */
#define CENTURY_MS (INT64_C(36525) * 86400000)

static int64_t ageing_of(const struct db_policy *policy)
{
    return policy->ageing_ms ? policy->ageing_ms : CENTURY_MS;
}

int64_t rank_of(const struct db_policy *policy, int64_t created_ms, int priority)
{
    return created_ms - ageing_of(policy) * priority;
}

/* ---- what owners have used ---- */

static double faded(const struct db_policy *policy, double used_ms, int64_t at_ms, int64_t now_ms)
{
    return now_ms > at_ms ? used_ms * exp2(-(double)(now_ms - at_ms) / (double)policy->half_life_ms) : used_ms;
}

/* A device's time as it counts at its end: the integral of 2^-(age / half-life). */
static double used_until_now(const struct db_policy *policy, int64_t ran_ms)
{
    double half_life = (double)policy->half_life_ms;

    return half_life / M_LN2 * (1 - exp2(-(double)ran_ms / half_life));
}

/* What stands in the owner's account, as it counts now. */
static int usage_read(struct connection *on, const struct db_policy *policy, const char *owner, int64_t now_ms,
                      double *ret)
{
    query_auto query = { 0 };
    int r = query_start(on, &query, "SELECT slot_ms, at_ms FROM usage WHERE owner = ?1", VALUES(V(owner)));

    if (r >= 0)
        r = query_next(&query);
    if (r >= 0)
        *ret = r ? faded(policy, query_real(&query, 0), query_int(&query, 1), now_ms) : 0;
    return r < 0 ? r : 0;
}

int usage_add(struct connection *on, const struct db_policy *policy, const char *owner, int64_t ran_ms, int64_t now_ms)
{
    double used = 0;
    int r = usage_read(on, policy, owner, now_ms, &used);

    if (r < 0)
        return r;
    used += used_until_now(policy, ran_ms);
    return query_run(
        on,
        "INSERT INTO usage(owner, slot_ms, at_ms) VALUES(?1, ?2, ?3)"
        " ON CONFLICT(owner) DO UPDATE SET slot_ms = ?2, at_ms = ?3", /* earlier than before: it was set back */
        VALUES(V(owner), V(used), V(now_ms)));
}

/* ---- how long an attempt has run ---- */

struct attempt attempt_read(const struct query *query, int column)
{
    struct attempt attempt = { query_int(query, column), query_int(query, column + 1), query_int(query, column + 2),
                               "" };

    query_copy(query, column + 3, attempt.boot_id, sizeof(attempt.boot_id));
    return attempt;
}

int64_t attempt_ran(struct db *db, const struct attempt *attempt, int64_t now_ms)
{
    const char *boot;
    int64_t steady_ms = steady_read(db, &boot), ran_ms = attempt->seen_ms;

    if (!attempt->began_ms)
        return 0;
    if (!steady_ms || !attempt->steady_ms) /* there is no other clock, or wasn't */
        ran_ms = now_ms - attempt->began_ms;
    else if (strcmp(boot, attempt->boot_id) == 0)
        ran_ms = steady_ms - attempt->steady_ms;
    return ran_ms > 0 ? ran_ms : 0;
}

int db_attempts_seen(struct db *db)
{
    struct connection *on;
    const char *boot;
    int64_t steady_ms = steady_read(db, &boot);
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    r = query_run(on,
                  "UPDATE job SET attempt_ran_ms = ?1 - attempt_steady_ms WHERE state = 'running' AND " HAS_WORKER
                  " AND attempt_ms > 0 AND attempt_steady_ms > 0 AND boot_id = ?2",
                  VALUES(V(steady_ms), V(boot)));
    return writer_end(db, r < 0 ? r : 0);
}

struct shares {
    struct db_share *list;
    int count, capacity;
};

static int share_find(struct shares *shares, const char *owner, struct db_share **ret)
{
    for (int i = 0; i < shares->count; i++)
        if (strcmp(shares->list[i].owner, owner) == 0) {
            *ret = &shares->list[i];
            return 0;
        }
    int r = array_room((void **)&shares->list, shares->count, &shares->capacity, sizeof(*shares->list));
    if (r < 0)
        return r;
    *ret = &shares->list[shares->count++];
    **ret = (struct db_share){ 0 };
    snprintf((*ret)->owner, sizeof((*ret)->owner), "%s", owner);
    return 0;
}

/* Owners of running jobs, with what these have used so far. */
static int shares_running(struct connection *on, const struct db_policy *policy, int64_t now_ms, struct shares *shares)
{
    query_auto query = { 0 };
    char owner[DB_OWNER_SIZE];
    int r = query_start(
        on, &query, "SELECT owner, " ATTEMPT_COLUMNS " FROM job WHERE state = 'running' AND " HAS_WORKER, NO_VALUES);

    while (r >= 0 && (r = query_next(&query)) > 0) {
        struct db_share *share;
        struct attempt attempt = attempt_read(&query, 1);
        query_copy(&query, 0, owner, sizeof(owner));
        r = share_find(shares, owner, &share);
        if (r >= 0) {
            share->running++;
            share->used_ms += used_until_now(policy, attempt_ran(on->db, &attempt, now_ms));
        }
    }
    return r;
}

/* The next owner who has runnable jobs, in order of names: 1, or 0. */
static int owner_next(struct connection *on, bool first, char owner[DB_OWNER_SIZE])
{
    query_auto query = { 0 };
    int r = query_start(
        on, &query,
        first ? "SELECT owner FROM " BY_RUNNABLE " WHERE " RUNNABLE " AND owner >= ?1 ORDER BY owner LIMIT 1"
              : "SELECT owner FROM " BY_RUNNABLE " WHERE " RUNNABLE " AND owner > ?1 ORDER BY owner LIMIT 1",
        VALUES(V((const char *)owner)));
    char next[DB_OWNER_SIZE];

    if (r >= 0)
        r = query_next(&query);
    if (r <= 0)
        return r;
    query_copy(&query, 0, next, sizeof(next));
    query_done(&query);
    strcpy(owner, next);
    return 1;
}

static int shares_waiting(struct connection *on, struct shares *shares)
{
    char owner[DB_OWNER_SIZE] = "";
    struct db_share *share;
    int r;

    for (bool first = true; (r = owner_next(on, first, owner)) > 0; first = false)
        if ((r = share_find(shares, owner, &share)) < 0)
            break;
    return r;
}

static int shares_read(struct connection *on, const struct db_policy *policy, int64_t now_ms, struct shares *ret)
{
    struct shares shares = { 0 };
    double all = 0, used = 0;
    int r = shares_running(on, policy, now_ms, &shares);

    if (r >= 0)
        r = shares_waiting(on, &shares);
    for (int i = 0; i < shares.count && r >= 0; i++) {
        r = usage_read(on, policy, shares.list[i].owner, now_ms, &used);
        shares.list[i].used_ms += used;
        all += shares.list[i].used_ms;
    }
    if (r < 0) {
        free(shares.list);
        return r;
    }
    for (int i = 0; i < shares.count; i++) {
        struct db_share *share = &shares.list[i];
        share->share = all > 0 ? share->used_ms / all : 0;
        share->penalty_ms = (int64_t)((double)policy->fair_share_ms * share->share);
    }
    *ret = shares;
    return 0;
}

int share_list(struct connection *on, int64_t now_ms, struct db_share **ret)
{
    struct db_policy policy;
    struct shares shares = { 0 };

    policy_get(on->db, &policy);
    int r = shares_read(on, &policy, now_ms, &shares);
    if (r < 0)
        return r;
    *ret = shares.list;
    return shares.count;
}

int db_share_list(struct db *db, int64_t now_ms, struct db_share **ret)
{
    struct connection *on;
    int r = readers_take(db, &on);

    if (r < 0)
        return r;
    r = share_list(on, now_ms, ret);
    readers_give(db, on);
    return r;
}

/* ---- the choice ---- */

struct choice {
    int64_t number, score, memory_bytes; /* number 0: none */
    int priority;
};

/* How /device may be said by those who would run on the offer's device. */
struct wishes {
    char family[64];
    const char *list[4];
    int count;
};

static void wishes_fill(struct wishes *wishes, const char *device)
{
    snprintf(wishes->family, sizeof(wishes->family), "%.*s", (int)strcspn(device, ":"), device);
    wishes->count = 0;
    wishes->list[wishes->count++] = "auto";
    wishes->list[wishes->count++] = device;
    if (strcmp(wishes->family, device) != 0)
        wishes->list[wishes->count++] = wishes->family;
    if (strcmp(wishes->family, "cpu") == 0)
        wishes->list[wishes->count++] = "ref";
}

#define BEST_OF                                                                                                        \
    "SELECT number, rank, memory, priority FROM " BY_RUNNABLE " WHERE " RUNNABLE                                       \
    " AND owner = ?1 AND wants = ?2 AND not_before_ms <= ?3 AND memory <= ?4 AND priority >= ?5 ORDER BY "
static const char by_rank[] = BEST_OF "rank, number LIMIT 1";
static const char by_priority[] = BEST_OF "priority DESC, rank, number LIMIT 1";

static bool better(const char *order, const struct choice *one, const struct choice *other)
{
    if (!other->number)
        return true;
    if (order == by_priority && one->priority != other->priority)
        return one->priority > other->priority;
    return one->score != other->score ? one->score < other->score : one->number < other->number;
}

/* The owner's best job for the offer, if it is better than *best. */
static int owner_best(struct connection *on, const struct db_offer *offer, const struct db_share *share,
                      const char *order, int least, int64_t now_ms, struct choice *best)
{
    struct wishes wishes;
    int r = 0;

    wishes_fill(&wishes, offer->device);
    for (int i = 0; i < wishes.count && r >= 0; i++) {
        query_auto query = { 0 };
        r = query_start(on, &query, order,
                        VALUES(V(share->owner), V(wishes.list[i]), V(now_ms),
                               V(offer->memory_bytes ? offer->memory_bytes : INT64_MAX), V(least)));
        if (r >= 0)
            r = query_next(&query);
        if (r <= 0)
            continue;
        struct choice choice = { .number = query_int(&query, 0),
                                 .score = query_int(&query, 1) + share->penalty_ms,
                                 .memory_bytes = query_int(&query, 2),
                                 .priority = (int)query_int(&query, 3) };
        if (better(order, &choice, best))
            *best = choice;
    }
    return r < 0 ? r : 0;
}

/* The best job of all owners who may have one more running. */
static int choose(struct connection *on, const struct db_offer *offer, const char *order, int least, int64_t now_ms,
                  struct choice *ret)
{
    struct db_policy policy;
    struct shares shares = { 0 };
    int r;

    policy_get(on->db, &policy);
    r = shares_read(on, &policy, now_ms, &shares);
    for (int i = 0; i < shares.count && r >= 0; i++)
        if (!policy.running_max || shares.list[i].running < policy.running_max)
            r = owner_best(on, offer, &shares.list[i], order, least, now_ms, ret);
    free(shares.list);
    return r;
}

/* Has the owner as many running jobs as may be? 1 or 0. */
static int owner_full(struct connection *on, const char *owner)
{
    struct db_policy policy;
    int64_t running = 0;

    policy_get(on->db, &policy);
    int r = policy.running_max
                ? number_read(on, "SELECT COUNT(*) FROM job WHERE state = 'running' AND " HAS_WORKER " AND owner = ?1",
                              VALUES(V(owner)), &running)
                : 0;
    return r < 0 ? r : policy.running_max && running >= policy.running_max;
}

/* The job that the slot is kept for, if it still can run there. */
static int choose_only(struct connection *on, const struct db_offer *offer, int64_t now_ms, struct choice *ret)
{
    struct wishes wishes;
    query_auto query = { 0 };
    char wants[64], owner[DB_OWNER_SIZE];

    wishes_fill(&wishes, offer->device);
    int r = query_start(on, &query,
                        "SELECT number, memory, wants, owner FROM job WHERE id = ?1 AND " RUNNABLE
                        " AND not_before_ms <= ?2",
                        VALUES(V(offer->only), V(now_ms)));
    if (r >= 0)
        r = query_next(&query);
    if (r <= 0)
        return r;
    query_copy(&query, 2, wants, sizeof(wants));
    query_copy(&query, 3, owner, sizeof(owner));
    r = owner_full(on, owner);
    if (r)
        return r < 0 ? r : 0;
    for (int i = 0; i < wishes.count; i++)
        if (strcmp(wants, wishes.list[i]) == 0)
            *ret = (struct choice){ .number = query_int(&query, 0), .memory_bytes = query_int(&query, 1) };
    return 0;
}

static bool fits(const struct db_offer *offer, int64_t memory_bytes)
{
    return !offer->memory_bytes || (memory_bytes ? memory_bytes : offer->share_bytes) <= offer->free_bytes;
}

static int job_by_number(struct connection *on, const char *sql, const struct value *values, int count,
                         struct db_job *ret)
{
    query_auto query = { 0 };
    int r = query_start(on, &query, sql, values, count);

    if (r >= 0)
        r = query_next(&query);
    if (r > 0)
        r = job_read(&query, true, ret);
    if (r >= 0)
        r = query_next(&query); /* to its end: one row it was */
    return r;
}

static int claim(struct connection *on, const struct db_offer *offer, int64_t now_ms, struct db_job *ret)
{
    struct choice choice = { 0 };
    struct job_key key;
    const char *boot;
    int64_t steady_ms = steady_read(on->db, &boot);
    char sql[1200];
    int r =
        offer->only ? choose_only(on, offer, now_ms, &choice) : choose(on, offer, by_rank, INT_MIN, now_ms, &choice);

    if (r < 0 || !choice.number || !fits(offer, choice.memory_bytes))
        return r < 0 ? r : 0;
    snprintf(
        sql, sizeof(sql),
        "UPDATE job SET state = 'running', device = ?1,"
        " started_ms = CASE WHEN started_ms = 0 THEN ?2 ELSE started_ms END, attempt_ms = ?2, attempt_steady_ms = ?4,"
        " attempt_ran_ms = 0, not_before_ms = 0, pid = 0, pid_start = 0, boot_id = ?5 WHERE number = ?3"
        " RETURNING %s",
        job_columns);
    r = job_by_number(on, sql, VALUES(V(offer->device), V(now_ms), V(choice.number), V(steady_ms), V(boot)), ret);
    if (r >= 0)
        r = job_key_find(on, ret->id, &key);
    if (r >= 0)
        r = job_state_event(on, &key, STATE_RUNNING, offer->device, NULL, now_ms);
    if (r >= 0 && *key.parent)
        r = parent_follow(on, key.parent, now_ms);
    return r < 0 ? r : 1;
}

int db_job_claim(struct db *db, const struct db_offer *offer, int64_t now_ms, struct db_job *ret)
{
    struct connection *on;
    struct db_job job = { 0 };
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    r = writer_end(db, claim(on, offer, now_ms, &job));
    if (r <= 0)
        db_job_done(&job);
    else
        *ret = job;
    return r;
}

int db_job_pressing(struct db *db, const struct db_offer *offer, int least, int64_t now_ms, struct db_job *ret)
{
    struct connection *on;
    struct choice choice = { 0 };
    char sql[1000];
    int r = readers_take(db, &on);

    if (r < 0)
        return r;
    r = choose(on, offer, by_priority, least, now_ms, &choice);
    if (r >= 0 && choice.number && fits(offer, choice.memory_bytes)) {
        snprintf(sql, sizeof(sql), "SELECT %s FROM job WHERE number = ?1", job_columns);
        r = job_by_number(on, sql, VALUES(V(choice.number)), ret);
        r = r < 0 ? r : 1;
    } else if (r >= 0) {
        r = 0;
    }
    readers_give(db, on);
    return r;
}

/* ---- what people ask about it ---- */

int db_next_start(struct db *db, int64_t now_ms, int64_t *ret_ms)
{
    struct connection *on;
    int64_t next_ms = 0;
    int r = readers_take(db, &on);

    if (r < 0)
        return r;
    r = number_read(
        on,
        "SELECT not_before_ms FROM job INDEXED BY job_backing_off WHERE state = 'queued' AND not_before_ms > 0"
        " AND not_before_ms > ?1 ORDER BY not_before_ms LIMIT 1",
        VALUES(V(now_ms)), &next_ms);
    readers_give(db, on);
    if (r >= 0)
        *ret_ms = next_ms;
    return r < 0 ? r : 0;
}

int db_waits_shift(struct db *db, int64_t step_ms, int64_t job_latest_ms, int64_t delivery_latest_ms)
{
    struct connection *on;
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    r = query_run(on,
                  "UPDATE job SET not_before_ms = MAX(MIN(not_before_ms + ?1, ?2), 1)"
                  " WHERE state = 'queued' AND not_before_ms > 0 AND (?1 <> 0 OR not_before_ms > ?2)",
                  VALUES(V(step_ms), V(job_latest_ms)));
    if (r >= 0)
        r = query_run(on,
                      "UPDATE delivery SET next_ms = MAX(MIN(next_ms + ?1, ?2), 1)"
                      " WHERE done_ms = 0 AND (?1 <> 0 OR next_ms > ?2)",
                      VALUES(V(step_ms), V(delivery_latest_ms)));
    return writer_end(db, r < 0 ? r : 0);
}

/* The jobs of each owner whose score is smaller. Every submit asks: it must not cost more the more jobs wait. */
static int position_count(struct connection *on, const struct shares *shares, int64_t score, int64_t number,
                          int64_t *ret)
{
    int64_t position = 0, part = 0;
    int r = 0;

    for (int i = 0; i < shares->count && r >= 0 && position < DB_POSITION_MOST; i++) {
        r = number_read(on,
                        "SELECT COUNT(*) FROM (SELECT 1 FROM " BY_RUNNABLE " WHERE " RUNNABLE
                        " AND owner = ?1 AND (rank, number) < (?2, ?3) LIMIT ?4)",
                        VALUES(V(shares->list[i].owner), V(score - shares->list[i].penalty_ms), V(number),
                               V(DB_POSITION_MOST - position)),
                        &part);
        position += part;
    }
    *ret = position;
    return r;
}

static int position_find(struct connection *on, const char *id, int64_t now_ms, int64_t *ret)
{
    struct db_policy policy;
    struct shares shares = { 0 };
    struct db_share *own;
    query_auto query = { 0 };
    char owner[DB_OWNER_SIZE];
    int r = query_start(on, &query, "SELECT number, rank, owner FROM job WHERE id = ?1 AND " RUNNABLE, VALUES(V(id)));

    if (r >= 0)
        r = query_next(&query);
    if (r == 0)
        return refuse(-ENOENT, "job %.36s is not waiting for a slot", id);
    if (r < 0)
        return r;
    int64_t number = query_int(&query, 0), rank = query_int(&query, 1);
    query_copy(&query, 2, owner, sizeof(owner));
    policy_get(on->db, &policy);
    r = shares_read(on, &policy, now_ms, &shares);
    if (r >= 0)
        r = share_find(&shares, owner, &own);
    if (r >= 0)
        r = position_count(on, &shares, rank + own->penalty_ms, number, ret);
    free(shares.list);
    return r;
}

int db_job_position(struct db *db, const char *id, int64_t now_ms)
{
    struct connection *on;
    int64_t position = 0;
    int r = readers_take(db, &on);

    if (r < 0)
        return r;
    r = position_find(on, id, now_ms, &position);
    readers_give(db, on);
    return r < 0 ? r : (int)position;
}

/* ---- the policy ---- */

int db_policy_set(struct db *db, const struct db_policy *policy)
{
    struct connection *on;
    char ranked_by[24] = "", wanted[24];
    int r = writer_begin(db, &on);

    assert(policy->half_life_ms > 0);
    if (r < 0)
        return r;
    snprintf(wanted, sizeof(wanted), "%lld", (long long)ageing_of(policy));
    r = state_get(on, "ageing_ms", ranked_by, sizeof(ranked_by));
    if (r >= 0 && strcmp(ranked_by, wanted) != 0) {
        r = query_run(on,
                      "UPDATE job SET rank = created_ms - priority * ?1 WHERE state IN ('blocked','queued','running')",
                      VALUES(V(ageing_of(policy))));
        if (r >= 0)
            r = state_put(on, "ageing_ms", wanted);
    }
    if (r >= 0)
        policy_put(db, policy);
    return writer_end(db, r < 0 ? r : 0);
}
