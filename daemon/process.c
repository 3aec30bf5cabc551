/* Is that process still the one we started?
 *
 * A PID alone is not an identity: numbers come back. PID, start time (clock
 * ticks since boot) and the boot's id together are one.
 *
 * A worker that nobody wrote down is known by three things together, since
 * anybody may put any words on a command line: the program it runs, the job
 * directory it was given, and that directory's journal among its open files. */
#include "daemon/daemon.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A small file of /proc, at most size-1 bytes. Returns the length. */
static ssize_t proc_read(const char *path, char *ret, size_t size)
{
    FILE *file = fopen(path, "re");
    size_t length;

    if (!file)
        return -errno;
    length = fread(ret, 1, size - 1, file);
    fclose(file);
    ret[length] = '\0';
    return (ssize_t)length;
}

int boot_id_read(char ret[DB_ID_SIZE])
{
    char text[64];
    ssize_t length = proc_read("/proc/sys/kernel/random/boot_id", text, sizeof(text));

    if (length < 0)
        return (int)length;
    text[strcspn(text, "\n")] = '\0';
    snprintf(ret, DB_ID_SIZE, "%.36s", text);
    return 0;
}

int process_start_time(pid_t pid, int64_t *ret)
{
    char path[64], text[1024];

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    ssize_t length = proc_read(path, text, sizeof(text));
    if (length < 0)
        return length == -ENOENT ? -ESRCH : (int)length;
    /* The name (field 2) may hold anything, parentheses too: count from its end. */
    char *at = strrchr(text, ')');
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (!at)
        return -EIO;
    *ret = strtoll(at, NULL, 10);
    return 0;
}

/* True when the command line (NUL-separated) is PROGRAM run ... DIR. */
static bool runs(const char *cmdline, size_t length, const char *dir)
{
    size_t tail = strlen(dir) + 1, program = strnlen(cmdline, length) + 1;

    if (length < program + sizeof("run") + tail || memcmp(cmdline + program, "run", sizeof("run")) != 0)
        return false;
    const char *last = cmdline + length - tail;
    return last[-1] == '\0' && memcmp(last, dir, tail) == 0;
}

static bool same_file(const char *path, const struct stat *other)
{
    struct stat st;

    return stat(path, &st) == 0 && st.st_dev == other->st_dev && st.st_ino == other->st_ino;
}

bool process_runs(pid_t pid, const char *program)
{
    static const char deleted[] = " (deleted)";
    char path[300], link[PATH_MAX + sizeof(deleted)];
    struct stat st;

    snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
    if (stat(program, &st) == 0 && same_file(path, &st))
        return true;
    ssize_t length = readlink(path, link, sizeof(link) - 1);
    if (length < 0)
        return false;
    link[length] = '\0';
    size_t end = strlen(program);
    return strncmp(link, program, end) == 0 && (!link[end] || strcmp(link + end, deleted) == 0);
}

/* True when the file is among those that the process has open. */
static bool has_open(const char *pid, const char *file)
{
    struct dirent *entry;
    struct stat st;
    char path[600];
    bool found = false;

    snprintf(path, sizeof(path), "/proc/%s/fd", pid);
    DIR *fds = stat(file, &st) == 0 ? opendir(path) : NULL;
    while (fds && !found && (entry = readdir(fds))) {
        snprintf(path, sizeof(path), "/proc/%s/fd/%s", pid, entry->d_name);
        found = same_file(path, &st);
    }
    if (fds)
        closedir(fds);
    return found;
}

pid_t process_find(const char *worker, const char *dir)
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    pid_t found = 0;
    char path[300], journal[PATH_MAX + 32], text[2 * PATH_MAX];

    snprintf(journal, sizeof(journal), "%s/" JOBDIR_JOURNAL, dir);
    while (proc && !found && (entry = readdir(proc))) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        snprintf(path, sizeof(path), "/proc/%s/cmdline", entry->d_name);
        ssize_t length = proc_read(path, text, sizeof(text)); /* of a zombie: 0 */
        if (length > 0 && runs(text, (size_t)length, dir) && process_runs((pid_t)atoi(entry->d_name), worker) &&
            has_open(entry->d_name, journal))
            found = (pid_t)atoi(entry->d_name);
    }
    if (proc)
        closedir(proc);
    return found;
}
