/* Who changed what, and who tried to?
 *
 * Every request that would change something leaves a row when it was let in, or
 * refused with 401 or 403; so does every wrong credential until its address is told
 * to wait (429). Rows are queued and
 * written by one thread, all that came within BATCH_MS in one transaction, so
 * that no request waits for its row; a power cut may cost the rows of the last
 * moment. When the database can't be written the rows wait, up to ROOM; what
 * doesn't fit then is counted, and the log says so. */
#include "api/caller.h"
#include "api/gate.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROOM      1024
#define USES_ROOM 32
#define BATCH_MS  200
#define RETRY_MS  2000
#define TRIM_MS   3600000

#define PAGE_MAX 200
#define PAGE     50

struct audit {
    struct audit_options options;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed, written;
    struct db_audit rows[ROOM]; /* a ring */
    int first, count;
    char used[USES_ROOM][DB_ID_SIZE]; /* tokens */
    int use_count;
    int64_t rounds; /* of writing all there is, well or not */
    int64_t lost;
    bool told; /* that the database can't be written: once, until it can again */
    bool hurry, stopping;
    bool other_rules; /* options.keep_ms is another: look at once what goes */
};

static void complain(struct audit *audit, const char *what, int64_t rows)
{
    char message[400];

    snprintf(message, sizeof(message), "audit log, %lld rows: %s", (long long)rows, what);
    if (audit->options.failed)
        audit->options.failed(audit->options.user, "", message);
}

/* Wait for news, at most so long; under the lock. */
static void wait_ms(struct audit *audit, int64_t ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&audit->changed, &audit->lock, &until);
}

/* Write what is queued, up to the ring's end; under the lock, which it leaves
 * meanwhile: only this thread takes rows out. */
static int rows_write(struct audit *audit)
{
    int first = audit->first, count = first + audit->count > ROOM ? ROOM - first : audit->count;

    pthread_mutex_unlock(&audit->lock);
    int r = db_audit_add(audit->options.db, &audit->rows[first], count);
    pthread_mutex_lock(&audit->lock);
    if (r < 0)
        return r;
    audit->first = (first + count) % ROOM;
    audit->count -= count;
    if (audit->lost)
        complain(audit, "lost while the database couldn't be written", audit->lost);
    audit->lost = 0;
    return 0;
}

/* Tell when tokens were last used; a hint for people, so it may fail. */
static void uses_write(struct audit *audit)
{
    int64_t now_ms = audit->options.now_ms(audit->options.user);
    char id[DB_ID_SIZE];

    while (audit->use_count) {
        strcpy(id, audit->used[--audit->use_count]);
        pthread_mutex_unlock(&audit->lock);
        db_token_used(audit->options.db, id, now_ms);
        pthread_mutex_lock(&audit->lock);
    }
}

/* Write all there is; false when the database won't have it. */
static bool queue_write(struct audit *audit)
{
    int r = 0;

    uses_write(audit);
    while (audit->count && r >= 0)
        r = rows_write(audit);
    if (r < 0 && !audit->told)
        complain(audit, db_errmsg(audit->options.db), audit->count);
    audit->told = r < 0;
    audit->hurry = false;
    audit->rounds++;
    pthread_cond_broadcast(&audit->written);
    return r >= 0;
}

static int64_t trim(struct audit *audit)
{
    const struct audit_options *options = &audit->options;

    int64_t keep_ms = options->keep_ms;

    audit->other_rules = false;
    if (keep_ms) {
        pthread_mutex_unlock(&audit->lock);
        db_audit_trim(options->db, options->now_ms(options->user) - keep_ms);
        pthread_mutex_lock(&audit->lock);
    }
    return monotonic_ms() + TRIM_MS;
}

static bool pending(const struct audit *audit)
{
    return audit->count || audit->use_count;
}

static void *run(void *user)
{
    struct audit *audit = user;

    pthread_mutex_lock(&audit->lock);
    int64_t trim_ms = trim(audit);
    while (!audit->stopping) {
        if (!pending(audit) && !audit->other_rules)
            wait_ms(audit, TRIM_MS);
        if (pending(audit) && !audit->hurry && !audit->stopping)
            wait_ms(audit, BATCH_MS); /* another row doesn't end it: see audit_note */
        if (pending(audit) && !queue_write(audit) && !audit->stopping)
            wait_ms(audit, RETRY_MS);
        if (audit->other_rules || monotonic_ms() >= trim_ms)
            trim_ms = trim(audit);
    }
    if (pending(audit))
        queue_write(audit);
    pthread_mutex_unlock(&audit->lock);
    return NULL;
}

int audit_open(const struct audit_options *options, struct audit **ret)
{
    struct audit *audit = calloc(1, sizeof(*audit));
    pthread_condattr_t clock;

    if (!audit)
        return -ENOMEM;
    audit->options = *options;
    pthread_mutex_init(&audit->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&audit->changed, &clock);
    pthread_cond_init(&audit->written, &clock);
    pthread_condattr_destroy(&clock);
    int r = -pthread_create(&audit->thread, NULL, run, audit);
    if (r < 0) {
        free(audit);
        return r;
    }
    *ret = audit;
    return 0;
}

void audit_keep(struct audit *audit, int64_t keep_ms)
{
    pthread_mutex_lock(&audit->lock);
    audit->other_rules |= audit->options.keep_ms != keep_ms;
    audit->options.keep_ms = keep_ms;
    if (audit->other_rules)
        pthread_cond_signal(&audit->changed);
    pthread_mutex_unlock(&audit->lock);
}

void audit_note(struct audit *audit, const struct db_audit *row)
{
    if (!audit)
        return;
    pthread_mutex_lock(&audit->lock);
    if (audit->count < ROOM) {
        audit->rows[(audit->first + audit->count++) % ROOM] = *row;
    } else {
        audit->lost++;
    }
    /* The first row starts the wait for others; a ring half full ends it. */
    audit->hurry |= audit->count >= ROOM / 2;
    if (audit->count == 1 || audit->count == ROOM / 2)
        pthread_cond_signal(&audit->changed);
    pthread_mutex_unlock(&audit->lock);
}

void audit_use(struct audit *audit, const char *token)
{
    bool known = false;

    if (!audit)
        return;
    pthread_mutex_lock(&audit->lock);
    for (int i = 0; i < audit->use_count; i++)
        known |= !strcmp(audit->used[i], token);
    if (!known && audit->use_count < USES_ROOM)
        strcpy(audit->used[audit->use_count++], token);
    if (audit->use_count == 1 && !audit->count)
        pthread_cond_signal(&audit->changed);
    pthread_mutex_unlock(&audit->lock);
}

void audit_flush(struct audit *audit)
{
    if (!audit)
        return;
    pthread_mutex_lock(&audit->lock);
    int64_t rounds = audit->rounds;
    audit->hurry = pending(audit);
    pthread_cond_signal(&audit->changed);
    while (pending(audit) && audit->rounds == rounds && !audit->stopping)
        pthread_cond_wait(&audit->written, &audit->lock);
    pthread_mutex_unlock(&audit->lock);
}

void audit_close(struct audit *audit)
{
    if (!audit)
        return;
    pthread_mutex_lock(&audit->lock);
    audit->stopping = true;
    pthread_cond_signal(&audit->changed);
    pthread_cond_broadcast(&audit->written);
    pthread_mutex_unlock(&audit->lock);
    pthread_join(audit->thread, NULL);
    pthread_cond_destroy(&audit->changed);
    pthread_cond_destroy(&audit->written);
    pthread_mutex_destroy(&audit->lock);
    free(audit);
}

/* ---- what is noted ---- */

/* Text of a request, without what JSON or a terminal couldn't take. */
static void text_tame(char *ret, size_t size, const char *text)
{
    size_t length = 0;

    for (; *text && length + 1 < size; text++)
        ret[length++] = *text > 0x20 && *text < 0x7f ? *text : '?';
    ret[length] = 0;
}

void audit_see(const struct request *request, const struct answer *answer, const char *method)
{
    const struct caller *caller = answer->proved.role > ROLE_NONE ? &answer->proved : &request->caller;
    int status = answer->status;
    bool changes = strcmp(method, "GET") && strcmp(method, "HEAD");
    struct db_audit row = { .status = status };

    if (!request->gate ||
        !(changes ? request->let_in || status == 401 || status == 403 : request->wrong && status == 401))
        return;
    row.time_ms = request->config->now_ms(request->config->user);
    strcpy(row.owner, caller->owner);
    strcpy(row.role, role_names[caller->role]);
    strcpy(row.token, caller->token);
    strcpy(row.address, request->peer.address);
    strcpy(row.request_id, request->request_id);
    text_tame(row.method, sizeof(row.method), method);
    text_tame(row.path, sizeof(row.path), request->path);
    audit_note(request->gate->audit, &row);
}

/* ---- GET /v1/audit ---- */

static json_t *row_json(const struct db_audit *row)
{
    return json_pack("{s:I, s:o, s:s, s:s, s:o, s:s, s:s, s:s, s:i, s:s}", "id", (json_int_t)row->id, "time",
                     time_json(row->time_ms), "owner", row->owner, "role", row->role, "token",
                     *row->token ? json_string(row->token) : json_null(), "address", row->address, "method",
                     row->method, "path", row->path, "status", row->status, "request_id", row->request_id);
}

int handle_audit(const struct request *request, struct answer *answer)
{
    const char *cursor = request_query(request, "cursor");
    char next[CURSOR_SIZE];
    int64_t limit, before = 0;
    struct db_audit *rows;
    int r = 0;

    if (request_int(request, answer, "limit", 1, PAGE_MAX, PAGE, &limit) < 0)
        return 0;
    if (cursor && cursor_read(cursor, &before) < 0)
        return answer_problem(answer, request, PROBLEM_BAD_QUERY, "cursor must be the `next` of another page");
    audit_flush(request->gate->audit);
    int count = db_audit_list(request->config->db, before, (int)limit + 1, &rows);
    if (count < 0)
        return count;
    bool more = count > limit;
    json_auto_t *list = json_array();
    for (int i = 0; i < (more ? (int)limit : count) && r >= 0; i++)
        r = json_array_append_new(list, row_json(&rows[i])) < 0 ? -ENOMEM : 0;
    if (more && r >= 0) {
        cursor_make(rows[limit - 1].id, next);
        r = answer_next(request, answer, next);
    }
    free(rows);
    if (r < 0)
        return r;
    return answer_json(answer, 200,
                       json_pack("{s:O, s:o}", "audit", list, "next", more ? json_string(next) : json_null()));
}
