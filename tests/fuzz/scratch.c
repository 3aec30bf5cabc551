/* Where do the fuzz targets put their files? In /dev/shm when it is there: a
 * target that reads files writes one for every input. */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[256];
static pid_t owner; /* a forked child shares the folder and must not remove it */

static int entry_remove(const char *path, const struct stat *st, int type, struct FTW *place)
{
    (void)st;
    (void)type;
    (void)place;
    return remove(path);
}

static void dir_remove(void)
{
    if (owner == getpid())
        nftw(dir, entry_remove, 16, FTW_DEPTH | FTW_PHYS);
}

const char *scratch_dir(void)
{
    const char *base = getenv("TMPDIR");

    if (*dir)
        return dir;
    if (access("/dev/shm", W_OK) == 0)
        base = "/dev/shm";
    snprintf(dir, sizeof(dir), "%s/rift-fuzz-XXXXXX", base ? base : "/tmp");
    PROMISE(mkdtemp(dir));
    owner = getpid();
    atexit(dir_remove);
    return dir;
}

void scratch_path(const char *name, char ret[512])
{
    PROMISE(snprintf(ret, 512, "%s/%s", scratch_dir(), name) < 512);
}

void scratch_file(const char *name, const void *data, size_t size, char ret_path[512])
{
    scratch_path(name, ret_path);
    int fd = open(ret_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    PROMISE(fd >= 0);
    PROMISE(write(fd, data, size) == (ssize_t)size);
    close(fd);
}

struct halves halves_cut(const uint8_t *data, size_t size)
{
    struct halves halves = { .first = data, .second = data };

    if (size < 2)
        return halves;
    size_t cut = (size_t)(data[0] | data[1] << 8);
    size -= 2;
    if (cut > size)
        cut = size;
    halves.first = data + 2;
    halves.first_size = cut;
    halves.second = data + 2 + cut;
    halves.second_size = size - cut;
    return halves;
}
