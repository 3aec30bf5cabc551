/* What does a job look like on disk?
 *
 *   DIR/spec.json        what to do
 *   DIR/journal.ndjson   what happened (journal.c)
 *   DIR/checkpoint/      where to go on
 *   DIR/artifacts/       what came out
 *   DIR/exit             how a worker ended that wasn't done
 *
 * Creating it twice is harmless, so whoever was interrupted between the
 * creation and its own bookkeeping does both again. spec.json comes last and in
 * one piece: a directory that has one is complete. */
#include "job/job.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *const sandbox_modes[SANDBOX_MODE_COUNT] = {
    [SANDBOX_TRY] = "try", [SANDBOX_REQUIRE] = "require", [SANDBOX_OFF] = "off"
};

enum { ARTIFACT_SEGMENT = 100, ARTIFACT_DEPTH = 8, ARTIFACT_LENGTH = 512 };

/* The entry belongs to the directory above, so that is what gets fsynced. One
 * that was there already may lie where we may not look (systemd's private
 * directories); then whoever made it has seen to that. */
int directory_make(const char *path, mode_t mode, struct fault *why)
{
    bool made = mkdir(path, mode) == 0;
    int code = made || errno == EEXIST ? 0 : -errno, dir, above = -1;

    if (code < 0)
        return fault_set(why, code, "%s: the directory cannot be created: %s", path, strerror(-code));
    dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir >= 0)
        above = openat(dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool hidden = dir >= 0 && above < 0 && errno == EACCES && !made;
    if (!hidden && (above < 0 || fsync(above) < 0))
        code = fault_set(why, -errno, "%s: cannot be used as a directory: %s", path, strerror(errno));
    if (above >= 0)
        close(above);
    if (dir >= 0)
        close(dir);
    return code;
}

int jobdir_create(const char *dir, const json_t *spec, struct fault *why)
{
    static const char *const below[] = { "", "/" JOBDIR_CHECKPOINT, "/" JOBDIR_ARTIFACTS };
    char path[PATH_MAX], *text;
    int r = 0;

    for (size_t i = 0; i < sizeof(below) / sizeof(below[0]); i++) {
        if (snprintf(path, sizeof(path), "%s%s", dir, below[i]) >= (int)sizeof(path))
            return fault_set(why, -ENAMETOOLONG, "%s: the path is too long", dir);
        r = directory_make(path, 0755, why);
        if (r < 0)
            return r;
    }
    text = spec_text(spec, JSON_INDENT(2));
    if (!text)
        return fault_set(why, -ENOMEM, "%s: no memory for the spec", dir);
    r = file_replace(dir, JOBDIR_SPEC, text, strlen(text), why);
    free(text);
    return r;
}

int jobdir_exit_write(const char *dir, int code)
{
    char text[64];
    int length = snprintf(text, sizeof(text), "%d %d\n", (int)getpid(), code);

    return file_replace(dir, JOBDIR_EXIT, text, (size_t)length, NULL);
}

int jobdir_exit_read(const char *dir, pid_t pid, int *ret_code)
{
    char path[PATH_MAX], *text;
    size_t size;
    int who = 0, code = 0;

    if (snprintf(path, sizeof(path), "%s/" JOBDIR_EXIT, dir) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    int r = file_read(path, 64, &text, &size, NULL);
    if (r < 0)
        return r;
    int fields = sscanf(text, "%d %d", &who, &code);
    free(text);
    if (fields != 2 || who != (int)pid || code < 0 || code > 255)
        return -ENOENT;
    *ret_code = code;
    return 0;
}

static bool artifact_character(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
}

bool artifact_name_valid(const char *name)
{
    int length = 0, segment = 0, depth = 1;

    for (; name[length]; length++) {
        char c = name[length];
        if (length >= ARTIFACT_LENGTH)
            return false;
        if (c == '/') {
            if (segment == 0 || ++depth > ARTIFACT_DEPTH)
                return false;
            segment = 0;
            continue;
        }
        if (!artifact_character(c) || (segment == 0 && c == '.') || ++segment > ARTIFACT_SEGMENT)
            return false;
    }
    return segment > 0;
}

void model_file(const char *sha256, char ret[MODEL_FILE_SIZE])
{
    snprintf(ret, MODEL_FILE_SIZE, "%.64s.safetensors", sha256);
}
