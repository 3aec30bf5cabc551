/* How long is what kept?
 *
 * A rule a row: a setting, and what of ended jobs goes when they are older. The
 * database decides in one transaction whether a job's part may go (it is not
 * pinned, nothing that hasn't ended needs it), says so in an event, and notes the
 * directory, which the janitor removes. */
#include "daemon/daemon.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAGE = 50, PASS_LEAST_MS = 1000, PASS_MOST_MS = 3600000 };

static const struct rule {
    size_t keep_s; /* place in struct settings */
    int part;      /* enum db_part, 0: the whole job */
    const char *words;
} rules[] = {
    { offsetof(struct settings, retain_checkpoints_s), PART_CHECKPOINT, "its checkpoint was removed" },
    { offsetof(struct settings, retain_artifacts_s), PART_ARTIFACTS, "its artifacts were removed" },
    { offsetof(struct settings, retain_events_s), PART_EVENTS, "its events were removed" },
    { offsetof(struct settings, retain_journals_s), PART_JOURNAL, "its journal and log were removed" },
    { offsetof(struct settings, retain_jobs_s), 0, "was removed with all that belongs to it" },
};
enum { RULES = sizeof(rules) / sizeof(rules[0]) };

static int64_t rule_keeps_s(const struct rule *rule, const struct settings *settings)
{
    return *(const int64_t *)(const void *)((const char *)settings + rule->keep_s);
}

/* Has the job files of that part? Of events, which are no files, it has none. */
static bool files_there(const struct daemon *daemon, const char *id, int part)
{
    char path[PATH_MAX + 80];
    const struct dirent *entry;
    bool found = false;

    if (part == PART_JOURNAL) {
        snprintf(path, sizeof(path), "%s/%s/" JOBDIR_JOURNAL, daemon->jobs_dir, id);
        return access(path, F_OK) == 0 || errno != ENOENT;
    }
    snprintf(path, sizeof(path), "%s/%s/%s", daemon->jobs_dir, id,
             part == PART_CHECKPOINT ? JOBDIR_CHECKPOINT : JOBDIR_ARTIFACTS);
    DIR *dir = part == PART_EVENTS ? NULL : opendir(path);
    if (!dir)
        return part != PART_EVENTS && errno != ENOENT;
    while (!found && (entry = readdir(dir)))
        found = strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(dir);
    return found;
}

/* One job, step by step. */
static void job_purge(struct daemon *daemon, const struct rule *rule, const char *id)
{
    bool files = files_there(daemon, id, rule->part);
    int r;

    do
        r = rule->part ? db_job_purge(daemon->db, id, (enum db_part)rule->part, files, clock_ms())
                       : db_job_expire(daemon->db, id);
    while (r == 1 && janitor_may_go_on(daemon));
    if (r == 0 && (files || rule->part == PART_EVENTS || !rule->part)) {
        log_job(LEVEL_INFO, id, "%s: it ended long enough ago", rule->words);
        api_news(daemon->api);
    } else if (r < 0 && r != -ESTALE && r != -ENOENT) { /* wanted still, or gone */
        log_job(LEVEL_ERROR, id, "cannot be cleared: %s", db_errmsg(daemon->db));
    }
}

static void rule_apply(struct daemon *daemon, const struct rule *rule, int64_t keep_s)
{
    struct db_aged at = { 0 }, *aged = NULL;
    int count;

    do {
        count = db_aged_list(daemon->db, rule->part, clock_ms() - keep_s * 1000, at.ended_ms, at.number, PAGE, &aged);
        for (int i = 0; i < count && janitor_may_go_on(daemon); i++) {
            job_purge(daemon, rule, aged[i].id);
            at = aged[i];
        }
        if (count >= 0)
            free(aged);
        if (count > 0)
            janitor_sweep(daemon);
    } while (count == PAGE && janitor_may_go_on(daemon));
}

int64_t retention_apply(struct daemon *daemon)
{
    const struct settings *settings = daemon->settings;
    int64_t again_ms = PASS_MOST_MS;

    for (int i = 0; i < RULES; i++) {
        int64_t keep_s = rule_keeps_s(&rules[i], settings);
        if (!keep_s)
            continue;
        rule_apply(daemon, &rules[i], keep_s);
        if (keep_s * 250 < again_ms) /* a quarter of the time */
            again_ms = keep_s * 250;
    }
    return again_ms < PASS_LEAST_MS ? PASS_LEAST_MS : again_ms;
}
