/* How is a copy of the file made while it is in use, and which copy may come back?
 *
 * SQLite's backup interface copies all pages within one read transaction of a
 * read-only connection: the writer goes on meanwhile, and what it writes stays
 * in the WAL until the copy is whole. The copy is then one plain file (no WAL),
 * checked page by page and reference by reference before it gets its name.
 *
 * A copy that was put down somewhere is trusted with nothing: before it takes
 * the place of the real one it goes through the same check, and its schema must
 * be one that this riftd knows how to migrate. */
#include "db/inside.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define FINDINGS_MAX 100

/* All texts of a PRAGMA that lists what is wrong, as "column column ..."; "ok" is nothing. */
static int findings_add(sqlite3 *sqlite, const char *pragma, char ***texts, int *count, int *capacity)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(sqlite, pragma, -1, &statement, NULL);
    int r = rc == SQLITE_OK ? 0 : sqlite_fault(sqlite, rc);

    while (r >= 0 && (rc = sqlite3_step(statement)) == SQLITE_ROW && *count < FINDINGS_MAX) {
        const char *first = (const char *)sqlite3_column_text(statement, 0);
        if (first && strcmp(first, "ok") == 0)
            continue;
        const char *third =
            sqlite3_column_count(statement) > 2 ? (const char *)sqlite3_column_text(statement, 2) : NULL;
        r = array_room((void **)texts, *count, capacity, sizeof(**texts));
        if (r >= 0 && asprintf(&(*texts)[*count], third ? "a row of %s refers to one of %s that is not there" : "%s",
                               first ? first : "?", third) < 0)
            r = refuse(-ENOMEM, "out of memory");
        *count += r >= 0;
    }
    if (r >= 0 && rc != SQLITE_ROW && rc != SQLITE_DONE)
        r = sqlite_fault(sqlite, rc);
    sqlite3_finalize(statement);
    return r;
}

/* What is wrong with the file, one text a fault. The count, or negative errno. */
static int file_check(sqlite3 *sqlite, char ***ret_texts)
{
    char **texts = NULL;
    int count = 0, capacity = 0;
    int r = findings_add(sqlite, "PRAGMA integrity_check(100)", &texts, &count, &capacity);

    if (r >= 0)
        r = findings_add(sqlite, "PRAGMA foreign_key_check", &texts, &count, &capacity);
    if (r < 0) {
        db_texts_free(texts, count);
        return r;
    }
    *ret_texts = texts;
    return count;
}

int db_check(struct db *db, char ***ret_texts)
{
    struct connection *on;
    int r = readers_take(db, &on);

    if (r < 0)
        return r;
    r = file_check(on->sqlite, ret_texts);
    readers_give(db, on);
    return r;
}

/* -EIO with the first fault as words, unless there is none. */
static int sound(sqlite3 *sqlite)
{
    char **texts;
    int count = file_check(sqlite, &texts);

    if (count > 0)
        refuse(-EIO, "the copy is damaged: %.200s", texts[0]);
    if (count >= 0)
        db_texts_free(texts, count);
    return count > 0 ? -EIO : count;
}

static int copy(sqlite3 *from, sqlite3 *to)
{
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");

    if (!backup)
        return sqlite_fault(to, sqlite3_errcode(to));
    sqlite3_backup_step(backup, -1); /* its failure is told by the end */
    int rc = sqlite3_backup_finish(backup);
    if (rc == SQLITE_OK) /* the copy says it has a WAL, as its original has */
        rc = sqlite3_exec(to, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
    return rc == SQLITE_OK ? sound(to) : sqlite_fault(to, rc);
}

int db_backup(struct db *db, const char *path)
{
    struct connection *on;
    sqlite3 *to = NULL;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600); /* SQLite would make it readable for more */

    if (fd < 0)
        return refuse(-errno, "%.120s: %s", path, strerror(errno));
    close(fd);
    int r = readers_take(db, &on);
    if (r >= 0) {
        int rc = sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
        r = rc == SQLITE_OK ? copy(on->sqlite, to) : sqlite_fault(to, rc);
        sqlite3_close(to);
        readers_give(db, on);
    }
    if (r >= 0)
        r = path_sync(path, 0);
    if (r < 0)
        unlink(path);
    return r;
}

int db_backup_check(const char *path, char message[256])
{
    sqlite3 *sqlite = NULL;
    sqlite3_stmt *statement = NULL;
    int version = -1, jobs = -1;
    int rc = sqlite3_open_v2(path, &sqlite, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(sqlite,
                                "SELECT user_version, (SELECT COUNT(*) FROM sqlite_schema WHERE name = 'job')"
                                " FROM pragma_user_version",
                                -1, &statement, NULL);
    if (rc == SQLITE_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        version = sqlite3_column_int(statement, 0);
        jobs = sqlite3_column_int(statement, 1);
    }
    int r = rc == SQLITE_ROW ? 0 : sqlite_fault(sqlite, rc);
    sqlite3_finalize(statement);
    if (r >= 0 && (version < 1 || jobs != 1))
        r = refuse(-EBADMSG, "is a database, but not riftd's");
    if (r >= 0 && version > schema_version())
        r = refuse(-EPROTO, "written by a newer riftd (schema %d, this one knows %d)", version, schema_version());
    if (r >= 0)
        r = sound(sqlite);
    sqlite3_close(sqlite);
    if (r < 0)
        snprintf(message, 256, "%s", db_errmsg(NULL));
    return r;
}
