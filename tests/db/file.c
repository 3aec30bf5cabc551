/* Is the file opened, migrated, shared and searched as promised? */
#include "tests/db/fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>

static void migration(void)
{
    char message[256] = "";

    fixture_dir = check_tmpdir();
    snprintf(fixture_path, sizeof(fixture_path), "%s/riftd.db", fixture_dir);
    force("PRAGMA user_version = 0"); /* an empty file of version 0 */
    CHECK_INT(db_open(fixture_path, &fixture, message), 0);
    CHECK(number_in_file("PRAGMA user_version") >= 1);
    CHECK_INT(add_job("a", "train", 0, NULL, NULL, -1), 0);
    db_close(fixture);
    CHECK_INT(db_open(fixture_path, &fixture, message), 0); /* again: nothing to do */
    CHECK_STRING(state_of("a"), "queued");
    CHECK_INT(db_ping(fixture, 1000), 0);
    fixture_close();
}

static int mode_of(const char *ending)
{
    char path[5000];
    struct stat found = { 0 };

    snprintf(path, sizeof(path), "%s%s", fixture_path, ending);
    CHECK_INT(stat(path, &found), 0);
    return found.st_mode & 0777;
}

/* It holds the keys that webhooks are signed with, and so does its log. */
static void a_secret_place(void)
{
    mode_t before = umask(022);

    fixture_open();
    CHECK_INT(add_job("a", "train", 0, NULL, NULL, -1), 0);
    CHECK_INT(mode_of(""), 0600);
    CHECK_INT(mode_of("-wal"), 0600);
    CHECK_INT(mode_of("-shm"), 0600);
    fixture_close();
    umask(before);
}

static int copies(void)
{
    char command[5000];

    snprintf(command, sizeof(command), "ls %s | grep -c before-schema", fixture_dir);
    FILE *pipe = popen(command, "r");
    int count = -1;
    CHECK_INT(pipe ? fscanf(pipe, "%d", &count) : 0, 1);
    if (pipe)
        pclose(pipe);
    return count;
}

/* The last step fails, since all it makes is there already. */
static void migration_fails(void)
{
    char message[256] = "", sql[64];

    fixture_open();
    CHECK_INT(add_job("a", "train", 0, NULL, NULL, -1), 0);
    db_close(fixture);
    int64_t version = number_in_file("PRAGMA user_version");
    snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", (int)version - 1);
    force(sql);
    for (int i = 0; i < 3; i++) {
        CHECK(db_open(fixture_path, &fixture, message) < 0);
        CHECK_INT(number_in_file("PRAGMA user_version"), version - 1);
        CHECK_INT(number_in_file("SELECT COUNT(*) FROM job"), 1);
        CHECK_INT(copies(), 1); /* one is enough of one content */
    }
    force("DELETE FROM job");
    CHECK(db_open(fixture_path, &fixture, message) < 0);
    CHECK_INT(copies(), 2); /* and none is written over */

    char database[4096];
    snprintf(database, sizeof(database), "%s", fixture_path);
    snprintf(fixture_path, sizeof(fixture_path), "%.4000s.before-schema-%d", database, (int)version);
    CHECK_INT(number_in_file("PRAGMA user_version"), version - 1);
    CHECK_INT(number_in_file("SELECT COUNT(*) FROM job"), 1);
    CHECK_INT(number_in_file("SELECT COUNT(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"), 1);
    fixture_close();
}

/* Without a copy nothing is changed. */
static void no_room_for_a_copy(void)
{
    char message[256] = "", sql[64], part[4200];

    fixture_open();
    db_close(fixture);
    int64_t version = number_in_file("PRAGMA user_version");
    snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", (int)version - 1);
    force(sql);
    snprintf(part, sizeof(part), "%s.before-schema-%d.part", fixture_path, (int)version);
    CHECK_INT(mkdir(part, 0700), 0); /* in its way */
    CHECK(db_open(fixture_path, &fixture, message) < 0);
    CHECK_HOLDS(message, "no copy can be made before the change to schema");
    CHECK_INT(number_in_file("PRAGMA user_version"), version - 1);
    CHECK_INT(rmdir(part), 0);
    fixture_close();
}

static void newer(void)
{
    char message[256] = "";

    fixture_open();
    db_close(fixture);
    force("PRAGMA user_version = 999");
    CHECK_INT(db_open(fixture_path, &fixture, message), -EPROTO);
    CHECK(!fixture);
    CHECK_HOLDS(message, "newer riftd");
    CHECK_HOLDS(message, "999");
    CHECK_INT(number_in_file("PRAGMA user_version"), 999); /* untouched */
    fixture_close();
}

static void not_a_database(void)
{
    char message[256] = "";

    fixture_dir = check_tmpdir();
    snprintf(fixture_path, sizeof(fixture_path), "%s/riftd.db", fixture_dir);
    FILE *file = fopen(fixture_path, "w");
    for (int i = 0; i < 1000; i++)
        fputs("this is no database\n", file);
    fclose(file);
    CHECK_INT(db_open(fixture_path, &fixture, message), -EIO);
    CHECK_HOLDS(message, "not a database");
    snprintf(fixture_path, sizeof(fixture_path), "%s/no/such/riftd.db", fixture_dir);
    CHECK_INT(db_open(fixture_path, &fixture, message), -EIO); /* -ENOENT is kept for rows */
    CHECK_HOLDS(message, "unable to open");
    fixture_close();
}

static void settings(void)
{
    fixture_open();
    add_job("a", "train", 0, NULL, NULL, -1);
    CHECK_INT(number_in_file("SELECT journal_mode = 'wal' FROM pragma_journal_mode"), 1);
    CHECK_INT(number_in_file("SELECT COUNT(*) FROM pragma_table_list WHERE schema = 'main' AND strict = 0"
                             " AND name NOT LIKE 'sqlite%'"),
              0);
    CHECK_INT(number_in_file("SELECT COUNT(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"), 1);
    fixture_close();
}

/* As on a full disk: nothing may be written any more, whatever is asked. */
static void ping_writes(void)
{
    struct rlimit none = { .rlim_cur = 0, .rlim_max = RLIM_INFINITY }, all = { RLIM_INFINITY, RLIM_INFINITY };

    fixture_open();
    signal(SIGXFSZ, SIG_IGN);
    CHECK_INT(db_ping(fixture, 10000), 0);
    CHECK_INT(number_in_file("SELECT time_ms FROM ping"), 10000);
    CHECK_INT(db_ping(fixture, 10999), 0); /* in the same second: nothing to write */
    CHECK_INT(number_in_file("SELECT time_ms FROM ping"), 10000);
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &none), 0);
    CHECK(db_ping(fixture, 11000) < 0);
    CHECK(db_ping(fixture, 11001) < 0); /* still so */
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &all), 0);
    CHECK_INT(db_ping(fixture, 11002), 0);
    CHECK_INT(db_ping(fixture, 5000), 0); /* the clock was set back */
    CHECK_INT(number_in_file("SELECT time_ms FROM ping"), 5000);
    fixture_close();
}

/* Readers look on while a writer ingests; each must see whole batches only. */
enum { READERS = 3, BATCH = 10, BATCHES = 100 };
static atomic_bool readers_stop;
static atomic_int torn, reads;

static void *read_on(void *user)
{
    struct db_event *events;
    struct db_point *points;

    (void)user;
    while (!atomic_load(&readers_stop)) {
        int count = db_event_list(fixture, "a", 0, 0, &events);
        if (count < 0 || (count - 1) % BATCH != 0)
            atomic_fetch_add(&torn, 1);
        if (count >= 0)
            db_events_free(events, count);
        count = db_point_list(fixture, "a", "loss", -1, 50, &points);
        if (count >= 0)
            free(points);
        else if (count != -ENOENT)
            atomic_fetch_add(&torn, 1);
        atomic_fetch_add(&reads, 1);
    }
    return NULL;
}

static void concurrent_readers(void)
{
    pthread_t threads[READERS];
    struct db_ingest_event batch[BATCH];

    fixture_open();
    add_job("a", "train", 0, NULL, NULL, -1);
    for (int i = 0; i < READERS; i++)
        pthread_create(&threads[i], NULL, read_on, NULL);
    for (int b = 0; b < BATCHES; b++) {
        for (int i = 0; i < BATCH; i++) {
            int64_t seq = b * BATCH + i + 1;
            batch[i] =
                (struct db_ingest_event){ .seq = seq,
                                          .type = "metric",
                                          .fields = "{}",
                                          .row = { .type = ROW_METRIC, .name = "loss", .step = seq, .value = 1 } };
        }
        CHECK_INT(db_ingest(fixture, "a", b, b + 1, batch, BATCH), 0);
    }
    atomic_store(&readers_stop, true);
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(atomic_load(&torn), 0);
    CHECK(atomic_load(&reads) > 0);
    fixture_close();
}

enum { SUBMITTERS = 8, SUBMISSIONS = 40 };

/* One client: every submission is done again with its key, and between them come requests that fail. */
static void *submit_on(void *user)
{
    char id[DB_ID_SIZE], key[32], first[DB_ID_SIZE];
    int client = (int)(intptr_t)user;
    intptr_t wrong = 0;

    for (int i = 0; i < SUBMISSIONS; i++) {
        snprintf(id, sizeof(id), "%08d-0000-0000-0000-%012d", client, i);
        snprintf(key, sizeof(key), "%d-%d", client, i);
        struct db_new_job job = { .id = id, .kind = "train", .spec = "{}", .step = -1 };
        wrong += db_job_insert(fixture, &job, 1, key, "hash", 1000, first) != 0;
        wrong += db_job_insert(fixture, &job, 1, key, "hash", 1000, first) != 1 || strcmp(first, id) != 0;
        wrong += db_job_insert(fixture, &job, 1, NULL, NULL, 1000, first) != -EEXIST;
        wrong += db_job_cancel(fixture, "00000000-none", 1000) != -ENOENT;
    }
    return (void *)wrong;
}

/* Transactions of several threads share a COMMIT; each is all there or not at all. */
static void shared_commits(void)
{
    pthread_t threads[SUBMITTERS];
    struct db_job_filter filter = { .state = -1 };
    struct db_job *jobs;
    struct db_event *events;
    void *wrong;

    fixture_open();
    for (int i = 0; i < SUBMITTERS; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, submit_on, (void *)(intptr_t)i), 0);
    for (int i = 0; i < SUBMITTERS; i++) {
        pthread_join(threads[i], &wrong);
        CHECK_INT((int)(intptr_t)wrong, 0);
    }
    int count = db_job_list(fixture, &filter, &jobs);
    CHECK_INT(count, SUBMITTERS * SUBMISSIONS);
    db_jobs_free(jobs, count);
    count = db_event_list(fixture, NULL, 0, 0, &events);
    CHECK_INT(count, SUBMITTERS * SUBMISSIONS);
    db_events_free(events, count);
    fixture_close();
}

static void statistics_say_what_was(void)
{
    struct db_stats before, after;

    fixture_open();
    db_stats(fixture, &before);
    CHECK_INT(db_doomed_done(fixture, "nothing"), 0); /* changes nothing */
    db_stats(fixture, &after);
    CHECK_INT(after.commits - before.commits, 0);
    for (int i = 0; i < 400 && after.wal_pages <= 1000; i++) {
        char id[16];
        snprintf(id, sizeof(id), "j%d", i);
        add_job(id, "train", 0, NULL, NULL, -1);
        db_stats(fixture, &after);
    }
    CHECK(after.wal_pages > 1000); /* also when they are in the file */
    CHECK(after.commits > before.commits);
    fixture_close();
}

static void constraints_are_told_apart(void)
{
    fixture_open();
    CHECK_INT(add_job("a", "train", 0, NULL, NULL, -1), 0);
    CHECK_INT(add_job("a", "train", 0, NULL, NULL, -1), -EEXIST);
    CHECK_INT(add_job("b", "train", 0, NULL, "nobody", 0), -EINVAL); /* a step of nobody */
    fixture_close();
}

static const struct check_case cases[] = {
    { "a file of version 0 is migrated, and opening again changes nothing", migration },
    { "a new file and its log are for their owner alone, whatever the umask", a_secret_place },
    { "a migration that fails leaves the old version and one copy of it, and writes over none", migration_fails },
    { "without a copy nothing is migrated", no_room_for_a_copy },
    { "a file of a newer riftd is refused and left alone", newer },
    { "a file that is no database, or can't be made, is refused with its name", not_a_database },
    { "the file is in WAL mode, every table is STRICT, integrity holds", settings },
    { "a ping writes once a second and fails as long as nothing can be written", ping_writes },
    { "readers beside a writer see whole batches only", concurrent_readers },
    { "of transactions that share a commit each is stored or taken back alone", shared_commits },
    { "empty commits aren't counted, and pages in the log are told after a checkpoint too", statistics_say_what_was },
    { "a row that is there already is another failure than one that can't be", constraints_are_told_apart },
};
CHECK_MAIN(cases)
