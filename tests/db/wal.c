/* Does the write-ahead log stay as small as it can be? */
#include "tests/db/fixture.h"

#include <sys/stat.h>

static off_t wal_bytes(void)
{
    char path[5000];
    struct stat st = { 0 };

    snprintf(path, sizeof(path), "%s-wal", fixture_path);
    CHECK_INT(stat(path, &st), 0);
    return st.st_size;
}

static void wal_stays_small(void)
{
    enum { BATCHES = 200, EVENTS = 200 };
    static struct db_ingest_event batch[EVENTS];
    struct db_event *events;

    fixture_open();
    add_job("a", "train", 0, NULL, NULL, -1);
    for (int b = 0; b < BATCHES; b++) {
        for (int i = 0; i < EVENTS; i++)
            batch[i] = (struct db_ingest_event){ .seq = b * EVENTS + i + 1,
                                                 .type = "note",
                                                 .fields = "{\"text\":\"0123456789\"}" };
        CHECK_INT(db_ingest(fixture, "a", b, b + 1, batch, EVENTS), 0);
    }
    CHECK(wal_bytes() < 8 << 20); /* 1000 pages of 4 KiB, and the batch that went over */
    int count = db_event_list(fixture, "a", 0, 0, &events);
    CHECK_INT(count, BATCHES * EVENTS + 1);
    db_events_free(events, count);
    fixture_close();
}

static void wal_shrinks_again(void)
{
    enum { EVENTS = 24, TEXT = 1 << 20 };
    char *fields = malloc(TEXT + 1);
    sqlite3 *reader;

    memset(fields, ' ', TEXT);
    memcpy(fields, "{}", 2);
    fields[TEXT] = '\0';
    fixture_open();
    add_job("a", "train", 0, NULL, NULL, -1);
    CHECK_INT(sqlite3_open(fixture_path, &reader), SQLITE_OK);
    CHECK_INT(sqlite3_exec(reader, "PRAGMA wal_autocheckpoint = 0; BEGIN; SELECT COUNT(*) FROM job", NULL, NULL, NULL),
              SQLITE_OK);
    for (int i = 0; i < EVENTS; i++) {
        struct db_ingest_event event = { .seq = i + 1, .type = "note", .fields = fields };
        CHECK_INT(db_ingest(fixture, "a", i, i + 1, &event, 1), 0);
    }
    CHECK(wal_bytes() > EVENTS * TEXT); /* it can't be emptied: somebody reads */
    CHECK_INT(sqlite3_exec(reader, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    for (int i = 0; i < 2; i++) /* the first empties it, the second begins anew */
        CHECK_INT(db_job_insert(fixture,
                                &(struct db_new_job){ .id = i ? "b" : "c", .kind = "train", .spec = "{}", .step = -1 },
                                1, NULL, NULL, 1000, (char[DB_ID_SIZE]){ 0 }),
                  0);
    CHECK(wal_bytes() <= 16 << 20);
    sqlite3_close(reader);
    fixture_close();
    free(fields);
}

static const struct check_case cases[] = {
    { "the writer checkpoints, so that the WAL stays small", wal_stays_small },
    { "a WAL that grew while somebody read gives its room back", wal_shrinks_again },
};
CHECK_MAIN(cases)
