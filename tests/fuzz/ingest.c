/* Can any journal be given to riftd? The daemon's own reader (daemon/journal.c)
 * puts what a worker wrote into a real database; afterwards the job's rows can
 * be read back. Reading the same journal again changes nothing. */
#include "tests/fuzz/fuzz.h"

#include "daemon/daemon.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#define ID "00000000-0000-7000-8000-000000000001"

void api_news(struct api *api)
{
    (void)api;
}

void log_job(enum log_level level, const char *id, const char *format, ...)
{
    (void)id;
    (void)level;
    (void)format;
}

static void job_add(struct db *db)
{
    struct db_new_job job = { .id = ID, .kind = "train", .spec = "{}", .step = -1 };
    db_job_auto claimed = { 0 };
    char first[DB_ID_SIZE];

    PROMISE(db_job_insert(db, &job, 1, NULL, NULL, 1, first) == 0);
    PROMISE(db_job_claim(db, &(struct db_offer){ .device = "cpu" }, 2, &claimed) == 1);
}

static void job_drop(struct db *db)
{
    PROMISE(db_job_move(db, ID, STATE_FAILED, NULL, NULL, 3) == 0);
    PROMISE(db_job_delete(db, ID) == 0);
}

static int events_count(struct db *db)
{
    struct db_event *events;
    int count = db_event_list(db, ID, 0, 1000, &events);

    PROMISE(count >= 0);
    db_events_free(events, count);
    return count;
}

static void rows_see(struct db *db)
{
    static const enum db_row_type types[] = { ROW_MODULE, ROW_ALPHA, ROW_EVALUATION };
    struct db_series *series;
    struct db_artifact *artifacts;

    int count = db_series_list(db, ID, &series);
    PROMISE(count >= 0);
    for (int i = 0; i < count; i++) {
        struct db_point *points;
        int n = db_point_list(db, ID, series[i].name, INT64_MIN, 100, &points);
        PROMISE(n >= 0);
        free(points);
    }
    free(series);
    for (int i = 0; i < 3; i++) {
        char **texts;
        count = db_row_list(db, ID, types[i], &texts);
        PROMISE(count >= 0);
        db_texts_free(texts, count);
    }
    count = db_artifact_list(db, ID, &artifacts);
    PROMISE(count >= 0);
    for (int i = 0; i < count; i++)
        PROMISE(artifact_name_valid(artifacts[i].name));
    free(artifacts);
}

void fuzz_one(const uint8_t *data, size_t size)
{
    static struct daemon daemon;
    char path[512], message[256];
    struct fault why = { 0 };
    int64_t offset = 0;

    scratch_path("riftd.db", path);
    if (!daemon.db)
        PROMISE(db_open(path, &daemon.db, message) == 0);
    job_add(daemon.db);
    scratch_file(JOBDIR_JOURNAL, data, size, path);
    int r = journal_ingest(&daemon, ID, scratch_dir(), &offset, &why);
    PROMISE(r >= 0 || r == -EBADMSG);
    PROMISE(offset >= 0 && offset <= (int64_t)size);
    int events = events_count(daemon.db);
    rows_see(daemon.db);
    PROMISE(db_journal_rewind(daemon.db, ID) == 0);
    offset = 0;
    why = (struct fault){ 0 };
    int again = journal_ingest(&daemon, ID, scratch_dir(), &offset, &why);
    PROMISE((again < 0) == (r < 0) && events_count(daemon.db) == events);
    job_drop(daemon.db);
}
