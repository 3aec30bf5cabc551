/* Which files may this process open?
 *
 * Landlock: rights on trees of the file system that a process takes from itself
 * for ever, whoever it runs as. A path is judged where it ends, after symbolic
 * links and "..". Rights that we handle and give nowhere are gone: making
 * symbolic links, pipes, sockets and devices (riftd opens files in this
 * directory: it shall find no link out of it, and no pipe that makes it wait),
 * moving files between folders or giving them second names, running programs.
 *
 *   ABI 1  files                        Linux 5.13
 *   ABI 2  REFER                        5.19; Debian 12 has 6.1
 *   ABI 3  TRUNCATE                     6.2
 *   ABI 4  TCP                          6.7
 *   ABI 5  ioctl of devices             6.10
 *   ABI 6  signals, abstract sockets    6.12
 *
 * What a kernel lacks of this seccomp.c forbids too, as far as it can see it.
 * Kernel headers of Debian 12 end at ABI 2, so the numbers stand here. */
#include "gpu/worker/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ULL << 15)
#endif
#ifndef LANDLOCK_ACCESS_NET_BIND_TCP
#define LANDLOCK_ACCESS_NET_BIND_TCP    (1ULL << 0)
#define LANDLOCK_ACCESS_NET_CONNECT_TCP (1ULL << 1)
#endif
#ifndef LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
#define LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET (1ULL << 0)
#define LANDLOCK_SCOPE_SIGNAL               (1ULL << 1)
#endif

/* struct landlock_ruleset_attr of ABI 6; older kernels take it while what they don't know is 0. */
struct ruleset {
    uint64_t handled_access_fs, handled_access_net, scoped;
};

/* What each ABI has brought. */
static const struct {
    int abi;
    struct ruleset brings;
} stages[] = {
    { 1, { .handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1 } },
    { 2, { .handled_access_fs = LANDLOCK_ACCESS_FS_REFER } },
    { 3, { .handled_access_fs = LANDLOCK_ACCESS_FS_TRUNCATE } },
    { 4, { .handled_access_net = LANDLOCK_ACCESS_NET_BIND_TCP | LANDLOCK_ACCESS_NET_CONNECT_TCP } },
    { 5, { .handled_access_fs = LANDLOCK_ACCESS_FS_IOCTL_DEV } },
    { 6, { .scoped = LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL } },
};

static const uint64_t uses[] = {
    [LANDLOCK_READ] = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
    [LANDLOCK_DEVICE] = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_WRITE_FILE |
                        LANDLOCK_ACCESS_FS_IOCTL_DEV,
    [LANDLOCK_OWN] = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_WRITE_FILE |
                     LANDLOCK_ACCESS_FS_TRUNCATE | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR,
};
/* Rights that a file can have; a rule with others on a file is refused. */
static const uint64_t of_files = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                                 LANDLOCK_ACCESS_FS_TRUNCATE | LANDLOCK_ACCESS_FS_IOCTL_DEV;

static struct ruleset handled(int abi)
{
    struct ruleset all = { 0 };

    for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]) && stages[i].abi <= abi; i++) {
        all.handled_access_fs |= stages[i].brings.handled_access_fs;
        all.handled_access_net |= stages[i].brings.handled_access_net;
        all.scoped |= stages[i].brings.scoped;
    }
    return all;
}

int landlock_open(int newest, struct landlock *ret)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

    *ret = (struct landlock){ .fd = -1 };
    if (abi < 1)
        return -ENOTSUP;
    abi = abi < newest ? abi : newest;
    struct ruleset ruleset = handled((int)abi);
    ret->fd = (int)syscall(SYS_landlock_create_ruleset, &ruleset, sizeof(ruleset), 0);
    if (ret->fd < 0)
        return -errno;
    ret->abi = (int)abi;
    return 0;
}

int landlock_allow(struct landlock *landlock, const char *path, enum landlock_use use)
{
    struct landlock_path_beneath_attr rule = { .parent_fd = open(path, O_PATH | O_CLOEXEC) };
    struct stat st;
    int r = 0;

    if (rule.parent_fd < 0)
        return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? -errno : 0;
    rule.allowed_access = uses[use] & handled(landlock->abi).handled_access_fs;
    if (fstat(rule.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
        rule.allowed_access &= of_files;
    if (syscall(SYS_landlock_add_rule, landlock->fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
        r = -errno;
    close(rule.parent_fd);
    return r;
}

int landlock_hold(struct landlock *landlock)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_landlock_restrict_self, landlock->fd, 0) < 0)
        return -errno;
    return 0;
}

void landlock_close(struct landlock *landlock)
{
    if (landlock->fd >= 0)
        close(landlock->fd);
    landlock->fd = -1;
}
