/* Does a worker that has been taken over get out?
 *
 * The real sandbox of a real job directory, and one attempt a row: each must
 * fail with the error that the row names. tests/sandbox/test_inside.c holds what
 * must go on working. */
#include "tests/sandbox/world.h"

#include <linux/keyctl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>

/* The errno of a call that returned this. */
static int told(long r)
{
    return r < 0 ? errno : 0;
}

#define ATTEMPT(name, call)                                                                                            \
    static int name(int prepared)                                                                                      \
    {                                                                                                                  \
        (void)prepared;                                                                                                \
        return told(call);                                                                                             \
    }

/* A path in the job's own directory, and one seen from it. */
static const char *own(const char *name)
{
    static char path[600];

    snprintf(path, sizeof(path), "%s/%s", world.mine, name);
    return path;
}

static const char *outside(const char *name)
{
    static char path[600];

    snprintf(path, sizeof(path), "%s/%s", world.other, name);
    return path;
}

/* ---- files ---- */

ATTEMPT(read_job, open(world.secret, O_RDONLY))
ATTEMPT(list_job, open(world.other, O_RDONLY | O_DIRECTORY))
ATTEMPT(read_beside_weights, open(outside("artifacts/other"), O_RDWR | O_CREAT, 0600))
ATTEMPT(write_weights, open(world.weights, O_WRONLY))
ATTEMPT(write_data, open(world.data, O_WRONLY | O_TMPFILE, 0600))
ATTEMPT(read_database, open(world.db, O_RDONLY))
ATTEMPT(write_database, open(world.db, O_WRONLY))
ATTEMPT(read_shadow, open("/etc/shadow", O_RDONLY))
ATTEMPT(read_passwd, open("/etc/passwd", O_RDONLY))
ATTEMPT(read_beside, open(world.beside, O_RDONLY))
ATTEMPT(read_by_symlink, open(own("way-out/secret"), O_RDONLY))
ATTEMPT(read_by_dots, open(own("../other/secret"), O_RDONLY))
ATTEMPT(make_file, open(outside("new"), O_WRONLY | O_CREAT, 0600))
ATTEMPT(make_folder, mkdir(outside("new"), 0700))
ATTEMPT(remove_file, unlink(world.secret))
ATTEMPT(link_in, link(world.secret, own("linked")))
ATTEMPT(link_out, link(own("own"), outside("linked")))
ATTEMPT(move_out, rename(own("own"), outside("moved")))
ATTEMPT(make_symlink, symlink("../other/secret", own("new-way-out")))
ATTEMPT(make_pipe, mkfifo(own("pipe"), 0600))
ATTEMPT(cut_off, truncate(world.db, 0))
ATTEMPT(cut_off_by_open, open(outside("artifacts/last.safetensors"), O_RDONLY | O_TRUNC))
ATTEMPT(cut_off_by_openat, syscall(SYS_openat, AT_FDCWD, world.weights, O_TRUNC | O_ACCMODE, 0))
ATTEMPT(change_mode, chmod(world.secret, 0777))
ATTEMPT(change_owner, chown(world.secret, getuid(), getgid()))
ATTEMPT(write_oom_score, open("/proc/self/oom_score_adj", O_WRONLY))
ATTEMPT(write_thread_name, open("/proc/thread-self/comm", O_WRONLY))
ATTEMPT(watch_folder, inotify_init1(IN_CLOEXEC))
ATTEMPT(open_new_way, syscall(SYS_openat2, AT_FDCWD, world.secret, NULL, 0))

static int handle_prepare(void)
{
    return open(world.other, O_RDONLY | O_DIRECTORY);
}

static int open_by_handle(int fd)
{
    struct {
        struct file_handle handle;
        unsigned char bytes[128];
    } file = { .handle.handle_bytes = 128 };

    return told(open_by_handle_at(fd, &file.handle, O_RDONLY));
}

/* ---- the network ---- */

ATTEMPT(socket_tcp, socket(AF_INET, SOCK_STREAM, 0))
ATTEMPT(socket_udp, socket(AF_INET, SOCK_DGRAM, 0))
ATTEMPT(socket_six, socket(AF_INET6, SOCK_STREAM, 0))
ATTEMPT(socket_netlink, socket(AF_NETLINK, SOCK_RAW, 0))
ATTEMPT(socket_packet, socket(AF_PACKET, SOCK_RAW, 0))
ATTEMPT(socket_vsock, socket(AF_VSOCK, SOCK_STREAM, 0))
ATTEMPT(socket_crypto, socket(AF_ALG, SOCK_SEQPACKET, 0))
ATTEMPT(socket_unix_letters, socket(AF_UNIX, SOCK_DGRAM, 0))

static int connect_unix(int prepared)
{
    (void)prepared;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    return fd < 0 ? 254 : told(connect(fd, (struct sockaddr *)&world.unix_address, world.unix_size));
}

static int connect_abstract(int prepared)
{
    (void)prepared;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    return fd < 0 ? 254 : told(connect(fd, (struct sockaddr *)&world.abstract_address, world.abstract_size));
}

static int bind_path(int prepared)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    (void)prepared;
    if (fd < 0 || chdir(world.mine) < 0)
        return 254;
    strcpy(address.sun_path, "socket");
    return told(bind(fd, (struct sockaddr *)&address, sizeof(address)));
}

static int tcp_prepare(void)
{
    return socket(AF_INET, SOCK_STREAM, 0);
}

static int connect_tcp(int fd)
{
    return told(connect(fd, (struct sockaddr *)&world.tcp_address, sizeof(world.tcp_address)));
}

ATTEMPT(ring_setup, syscall(SYS_io_uring_setup, 4, own("")))
#ifdef __x86_64__
ATTEMPT(socket_x32, syscall(0x40000000 | SYS_socket, AF_INET, SOCK_STREAM, 0))

static void no_such_door(int number)
{
    (void)number;
    _exit(ENOSYS); /* a kernel without these calls */
}

/* socket() by the calls of 32-bit programs. */
static int socket_i386(int prepared)
{
    long r = 359;

    (void)prepared;
    signal(SIGSEGV, no_such_door);
    __asm__ volatile("int $0x80"
                     : "+a"(r)
                     : "b"((long)AF_INET), "c"((long)SOCK_STREAM), "d"(0L)
                     : "r8", "r9", "r10", "r11", "memory");
    return r < 0 ? (int)-r : 0;
}
#endif

/* ---- other processes ---- */

ATTEMPT(signal_kill, kill(world.victim, SIGCONT))
ATTEMPT(signal_group, kill(0, 0))
ATTEMPT(signal_thread, syscall(SYS_tgkill, world.victim, world.victim, SIGCONT))
ATTEMPT(signal_pidfd, syscall(SYS_pidfd_open, world.victim, 0))
ATTEMPT(signal_queue, sigqueue(world.victim, SIGCONT, (union sigval){ 0 }))
ATTEMPT(signal_by_file, fcntl(0, F_SETOWN, world.victim))
ATTEMPT(trace, ptrace(PTRACE_ATTACH, world.victim, NULL, NULL))
ATTEMPT(limit, prlimit(world.victim, RLIMIT_CPU, &(struct rlimit){ 0, 0 }, NULL))
ATTEMPT(slow_down, setpriority(PRIO_PROCESS, (id_t)world.victim, 19))
ATTEMPT(type_in_terminal, ioctl(0, TIOCSTI, "x"))
ATTEMPT(share_memory, syscall(SYS_shmget, 1, 4096, 0600))

static int read_memory(int prepared)
{
    char here[8];
    struct iovec to = { here, sizeof(here) }, from = { &world, sizeof(here) };

    (void)prepared;
    return told(process_vm_readv(world.victim, &to, 1, &from, 1, 0));
}

static int open_of_victim(const char *name, int flags)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)world.victim, name);
    return told(open(path, flags));
}

ATTEMPT(open_memory, -(errno = open_of_victim("mem", O_RDWR)))
ATTEMPT(open_environment, -(errno = open_of_victim("environ", O_RDONLY)))

/* ---- other programs ---- */

static char *const nothing[] = { "sh", "-c", "exit 0", NULL };

ATTEMPT(run_shell, execve("/bin/sh", nothing, nothing + 3))

static int run_from_memory(int prepared)
{
    char script[] = "#!/bin/sh\nexit 0\n";
    int fd = memfd_create("program", 0);

    (void)prepared;
    if (fd < 0 || write(fd, script, strlen(script)) < 0)
        return 254;
    return told(fexecve(fd, nothing, nothing + 3));
}

#ifndef RIFT_SANITIZED /* whose search for leaks forks (seccomp.c) */
ATTEMPT(run_fork, fork())

static int run_spawn(int prepared)
{
    pid_t pid;

    (void)prepared;
    return posix_spawn(&pid, "/bin/true", NULL, NULL, nothing, nothing + 3);
}
#endif

/* ---- the kernel ---- */

ATTEMPT(mount_something, mount("none", world.mine, "tmpfs", 0, NULL))
ATTEMPT(mount_new_way, syscall(SYS_fsopen, "tmpfs", 0))
ATTEMPT(change_root, chroot(world.mine))
ATTEMPT(new_namespace, unshare(CLONE_NEWUSER))
ATTEMPT(new_namespace_by_clone, syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0))
ATTEMPT(clone_new_way, syscall(SYS_clone3, NULL, 0))
ATTEMPT(join_namespace, setns(0, 0))
ATTEMPT(load_bpf, syscall(SYS_bpf, 0, NULL, 0))
ATTEMPT(count_events, syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0))
ATTEMPT(read_keys, syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0))
ATTEMPT(catch_faults, syscall(SYS_userfaultfd, 0))
ATTEMPT(load_module, syscall(SYS_init_module, NULL, 0, ""))
ATTEMPT(load_kernel, syscall(SYS_kexec_load, 0, 0, NULL, 0))

static const struct row {
    const char *sentence;
    int error;
    int (*attempt)(int prepared);
    int (*prepare)(void);
    enum world_walls walls;
    int abi; /* of Landlock that has it, 0: any */
} rows[] = {
    { "another job's file can't be read", EACCES, read_job },
    { "another job's directory can't be listed", EACCES, list_job },
    { "beside the weights that the spec names nothing can be made", EACCES, read_beside_weights },
    { "the weights that the spec names can't be written", EACCES, write_weights },
    { "the data that the spec names can't be written", EACCES, write_data },
    { "data that the spec doesn't name can't be read", EACCES, read_beside },
    { "riftd's database can't be read", EACCES, read_database },
    { "riftd's database can't be written", EACCES, write_database },
    { "/etc/shadow can't be read", EACCES, read_shadow },
    { "/etc/passwd can't be read", EACCES, read_passwd },
    { "a symbolic link doesn't lead out", EACCES, read_by_symlink },
    { "two dots don't lead out", EACCES, read_by_dots },
    { "no file can be made outside", EACCES, make_file },
    { "no folder can be made outside", EACCES, make_folder },
    { "no file can be removed outside", EACCES, remove_file },
    { "no file outside can get a name inside", EXDEV, link_in },
    { "no file inside can get a name outside", EACCES, link_out },
    { "no file can be moved out", EACCES, move_out },
    { "no symbolic link can be made for riftd to follow", EPERM, make_symlink },
    { "no pipe can be made for riftd to wait at", EPERM, make_pipe },
    { "no file can be cut off by truncate", EPERM, cut_off },
    { "no file can be cut off by opening it to read", EPERM, cut_off_by_open },
    { "no file can be cut off by opening it for nothing", EPERM, cut_off_by_openat },
    { "what the kernel thinks of a worker can't be written", EACCES, write_oom_score },
    { "a worker on a card writes of /proc only what is its threads'", EACCES, write_oom_score, NULL, ON_CARD, 0 },
    { "a worker on the processor can't write its threads' names", EACCES, write_thread_name },
    { "a worker on a card can't read another job's file", EACCES, read_job, NULL, ON_CARD, 0 },
    { "no mode can be changed", EPERM, change_mode },
    { "no owner can be changed", EPERM, change_owner },
    { "no folder can be watched", EPERM, watch_folder },
    { "openat2 isn't there", ENOSYS, open_new_way },
    { "no file can be opened by its handle", EPERM, open_by_handle, handle_prepare },

    { "no TCP socket can be made", EACCES, socket_tcp },
    { "no UDP socket can be made", EACCES, socket_udp },
    { "no IPv6 socket can be made", EACCES, socket_six },
    { "no netlink socket can be made", EACCES, socket_netlink },
    { "no packet socket can be made", EACCES, socket_packet },
    { "no socket to the host of this machine can be made", EACCES, socket_vsock },
    { "no socket to the kernel's ciphers can be made", EACCES, socket_crypto },
    { "no unix socket can be made that sends without connecting", EACCES, socket_unix_letters },
    { "riftd's unix socket can't be reached", ECONNREFUSED, connect_unix },
    { "an abstract unix socket can't be reached", ECONNREFUSED, connect_abstract },
    { "no unix socket can be put into the directory", EACCES, bind_path },
    { "a TCP socket from before can't be connected", ECONNREFUSED, connect_tcp, tcp_prepare },
    { "io_uring isn't there", ENOSYS, ring_setup },
#ifdef __x86_64__
    { "the calls of x32 aren't there", ENOSYS, socket_x32 },
    { "the calls of 32-bit programs aren't there", ENOSYS, socket_i386 },
#endif

    { "another process can't be sent a signal", EPERM, signal_kill },
    { "the process group can't be sent a signal", EPERM, signal_group },
    { "another process's thread can't be sent a signal", EPERM, signal_thread },
    { "another process can't be held", EPERM, signal_pidfd },
    { "another process can't be sent a signal with a value", EPERM, signal_queue },
    { "another process can't be sent signals through a file", EPERM, signal_by_file },
#ifndef RIFT_SANITIZED
    { "another process can't be traced", EPERM, trace },
    { "no process can be forked", EPERM, run_fork },
    { "no program can be spawned", EPERM, run_spawn },
#endif
    { "another process's memory can't be read", EPERM, read_memory },
    { "another process's memory can't be opened", EACCES, open_memory },
    { "another process's environment can't be opened", EACCES, open_environment },
    { "another process can't be limited", EPERM, limit },
    { "another process can't be slowed down", EPERM, slow_down },
    { "nothing can be typed into the terminal", EPERM, type_in_terminal },
    { "no memory can be shared by number", EPERM, share_memory },
    { "no shell can be run", EPERM, run_shell },
    { "no program can be run from memory", EPERM, run_from_memory },

    { "nothing can be mounted", EPERM, mount_something },
    { "nothing can be mounted the new way", EPERM, mount_new_way },
    { "the root can't be changed", EPERM, change_root },
    { "there are no new namespaces", EPERM, new_namespace },
    { "there are no new namespaces by clone", EPERM, new_namespace_by_clone },
    { "clone3 isn't there", ENOSYS, clone_new_way },
    { "no namespace can be joined", EPERM, join_namespace },
    { "no BPF can be loaded", EPERM, load_bpf },
    { "no events can be counted", EPERM, count_events },
    { "no keys can be read", EPERM, read_keys },
    { "no page faults can be caught", EPERM, catch_faults },
    { "no module can be loaded", EPERM, load_module },
    { "no kernel can be loaded", EPERM, load_kernel },

    /* What holds where a way past seccomp is found. */
    { "Landlock alone: TCP can't be connected", EACCES, connect_tcp, tcp_prepare, LANDLOCK_ALONE, 4 },
    { "Landlock alone: an abstract socket can't be reached", EPERM, connect_abstract, NULL, LANDLOCK_ALONE, 6 },
    { "Landlock alone: another process can't be sent a signal", EPERM, signal_kill, NULL, LANDLOCK_ALONE, 6 },
    { "Landlock alone: another process can't be traced", EPERM, trace, NULL, LANDLOCK_ALONE, 0 },
    { "Landlock alone: another process's memory can't be read", EPERM, read_memory, NULL, LANDLOCK_ALONE, 0 },
    { "Landlock alone: no shell can be run", EACCES, run_shell, NULL, LANDLOCK_ALONE, 0 },
    { "Landlock alone: no symbolic link can be made", EACCES, make_symlink, NULL, LANDLOCK_ALONE, 0 },
    { "Landlock alone: no file can be cut off by truncate", EACCES, cut_off, NULL, LANDLOCK_ALONE, 3 },
};

static void row_try(const struct row *row, enum world_walls walls, const char *where)
{
    int error = world_try(walls, row->prepare, row->attempt);

    if (error != row->error)
        CHECK_FAIL("%s%s: %s, expected %s", row->sentence, where,
                   error == 0    ? "it went through"
                   : error == -1 ? "the process died"
                   : error == -2 ? "the attempt could not be made"
                                 : strerror(error),
                   strerror(row->error));
}

/* What the sandbox forbids it forbids on the kernel of Debian 12 too, whose Landlock knows less. */
static void row_run(const struct row *row)
{
    int before = check_failures;

    if (world.abi < row->abi) {
        printf("skipped  %s: Landlock here is ABI %d, that came with %d\n", row->sentence, world.abi, row->abi);
        return;
    }
    row_try(row, row->walls, "");
    if (row->walls == BOTH && world.abi >= ABI_OF_DEBIAN_12)
        row_try(row, AS_DEBIAN_12, " (as on Debian 12)");
    printf("%s  %s\n", check_failures == before ? "ok    " : "FAILED", row->sentence);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct landlock landlock;

    if (landlock_open(INT_MAX, &landlock) < 0)
        check_skip("NOTHING OF THE SANDBOX WAS TRIED: this kernel has no Landlock, or it is switched off (lsm=)");
    world.abi = landlock.abi;
    landlock_close(&landlock);
    world_open();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (argc < 2 || strstr(rows[i].sentence, argv[1]))
            row_run(&rows[i]);
    world_close();
    printf("%d failed\n", check_failures);
    return check_failures != 0;
}
