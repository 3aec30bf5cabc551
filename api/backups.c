/* How does an administrator keep copies of the database?
 *
 * POST makes one beside the database (STATE/backups), while all goes on: first
 * aside, then renamed, so that what has a name is whole and checked. They can
 * be listed, downloaded and deleted. `riftd restore` puts one back (daemon/restore.c).
 *
 * Job directories and models are files that don't change once they are
 * announced: rsync is their backup, after the database's. */
#include "api/exchange.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PREFIX "riftd-"
#define ENDING ".db"

static bool is_backup(const char *name)
{
    size_t length = strlen(name);

    return !strncmp(name, PREFIX, strlen(PREFIX)) && length > strlen(ENDING) &&
           !strcmp(name + length - strlen(ENDING), ENDING) && artifact_name_valid(name) && !strchr(name, '/');
}

static json_t *backup_json(const char *name, const struct stat *st)
{
    char url[300];

    snprintf(url, sizeof(url), "/v1/admin/backups/%.200s", name);
    return json_pack("{s:s, s:I, s:o, s:s}", "name", name, "size", (json_int_t)st->st_size, "created_at",
                     time_json((int64_t)st->st_mtim.tv_sec * 1000), "href", url);
}

/* riftd-20261128T010203.456Z.db */
static void name_make(int64_t now_ms, char ret[64])
{
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm utc;
    char text[32];

    gmtime_r(&seconds, &utc);
    strftime(text, sizeof(text), "%Y%m%dT%H%M%S", &utc);
    snprintf(ret, 64, PREFIX "%s.%03dZ" ENDING, text, (int)(now_ms % 1000));
}

/* Write dir/.name, rename it, sync the directory. */
static int backup_make(struct db *db, const char *dir, const char *name, struct stat *ret)
{
    char *aside = NULL, aside_name[80];
    int top = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct db_stats stats = { 0 };
    int r = top < 0 ? -errno : 0;

    db_stats(db, &stats);
    if (r >= 0 && !room_for(top, (uint64_t)stats.file_bytes))
        r = -ENOSPC;
    snprintf(aside_name, sizeof(aside_name), ".%s", name);
    if (r >= 0 && asprintf(&aside, "%s/%s", dir, aside_name) < 0) {
        aside = NULL; /* whatever it is now */
        r = -ENOMEM;
    }
    if (r >= 0)
        r = db_backup(db, aside);
    if (r >= 0 && (renameat(top, aside_name, top, name) < 0 || fsync(top) < 0 || fstatat(top, name, ret, 0) < 0))
        r = -errno;
    if (r < 0 && top >= 0)
        unlinkat(top, aside_name, 0);
    free(aside);
    if (top >= 0)
        close(top);
    return r;
}

int handle_backup_create(const struct request *request, struct answer *answer)
{
    const struct api_config *config = request->config;
    char name[64];
    struct stat st;

    name_make(config->now_ms(config->user), name);
    slow_begin(request->traffic);
    int r = backup_make(config->db, config->backups_dir, name, &st);
    slow_end(request->traffic);
    if (r == -ENOSPC || r == -EDQUOT)
        return answer_problem(answer, request, PROBLEM_NO_SPACE, "the disk is full");
    if (r >= 0)
        r = answer_header(answer, "Location", "/v1/admin/backups/%s", name);
    return r < 0 ? r : answer_json(answer, 201, backup_json(name, &st));
}

int handle_backup_list(const struct request *request, struct answer *answer)
{
    struct dirent **entries = NULL;
    int count = scandir(request->config->backups_dir, &entries, NULL, alphasort);

    if (count < 0)
        return -errno;
    json_auto_t *list = json_array();
    int dir = open(request->config->backups_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = count - 1; i >= 0; i--) { /* newest first: names are times */
        struct stat st;
        if (is_backup(entries[i]->d_name) && fstatat(dir, entries[i]->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(st.st_mode))
            json_array_append_new(list, backup_json(entries[i]->d_name, &st));
        free(entries[i]);
    }
    free(entries);
    if (dir >= 0)
        close(dir);
    return answer_json(answer, 200, json_pack("{s:O}", "backups", list));
}

static int no_backup(const struct request *request, struct answer *answer)
{
    return answer_problem(answer, request, PROBLEM_NO_FILE, "there is no such backup");
}

int handle_backup_get(const struct request *request, struct answer *answer)
{
    int64_t size, mtime_ns;
    int fd = is_backup(request->name) ? file_open_beneath(request->config->backups_dir, request->name, &size, &mtime_ns)
                                      : -ENOENT;

    if (fd == -ENOENT)
        return no_backup(request, answer);
    if (fd < 0)
        return fd;
    answer_header(answer, "Content-Disposition", "attachment; filename=\"%s\"", request->name);
    return answer_file(answer, request, &(struct file_info){ fd, size, "application/vnd.sqlite3", NULL });
}

int handle_backup_delete(const struct request *request, struct answer *answer)
{
    char *path = NULL;

    if (!is_backup(request->name))
        return no_backup(request, answer);
    if (asprintf(&path, "%s/%s", request->config->backups_dir, request->name) < 0)
        return -ENOMEM;
    int r = unlink(path) < 0 ? -errno : 0;
    free(path);
    if (r == -ENOENT)
        return no_backup(request, answer);
    answer->status = 204;
    return r;
}
