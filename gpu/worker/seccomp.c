/* Which system calls are refused?
 *
 * A list of what is refused, not of what is allowed: a card's driver comes as
 * binaries that call what they like and something else next year, and a worker
 * that dies of a call nobody listed is worse than one that may ask the time. What
 * is on the list leads out of the process: the network, other processes, other
 * programs, other names for files, the kernel's own settings; and ways around a
 * filter (io_uring, other architectures' calls) or around Landlock (file handles,
 * changes of owner and mode, which it doesn't judge).
 *
 *   a call -> of this architecture? -> each row: this number? -> its argument
 *
 * A filter can't follow pointers. So clone3 and openat2, whose arguments lie in
 * memory, are "not implemented", and libraries use the older call. Arguments
 * that are compared are ints: their low half.
 *
 * Written by hand: it is one loop over a table, and libseccomp isn't where only
 * the engine can be built. */
#include "gpu/worker/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#endif

/* Calls that are newer than the headers of Debian 12; one number on every architecture. */
enum {
    NR_fchmodat2 = 452,
    NR_statmount = 457,
    NR_listmount = 458,
    NR_setxattrat = 463,
    NR_removexattrat = 466,
    NR_open_tree_attr = 467,
    NR_file_setattr = 469,
};
enum { X32_CALLS = 0x40000000 }; /* x86_64: the same calls with short pointers, from here on */
enum { FIOSETOWN_NR = 0x8901, SIOCSPGRP_NR = 0x8902 };
enum { NAMESPACES = 0x7e020000 }; /* CLONE_NEW* */

enum compare { ALWAYS, WHEN_EQUAL, UNLESS_EQUAL };

/* Refuse a call: always, or by (argument & mask). */
struct row {
    int number, error;
    enum compare compare;
    int argument;
    uint32_t mask, value;
};
#define NO(name)                                                                                                       \
    {                                                                                                                  \
        SYS_##name, EPERM                                                                                              \
    }
#define OWN 0xffffffffu /* in the place of the value: our own PID */

static const struct row rows[] = {
    /* The network. Unix stream sockets may be made, because drivers make them, but
     * lead nowhere: "connection refused" is what a driver hears where no service of
     * its own runs. */
    { SYS_socket, EACCES, UNLESS_EQUAL, 0, ~0u, AF_UNIX },
    { SYS_socket, EACCES, WHEN_EQUAL, 1, 2, 2 }, /* SOCK_DGRAM, SOCK_RAW: sendto needs no connect */
    { SYS_connect, ECONNREFUSED },

    /* Other processes. */
    NO(process_vm_readv),
    NO(process_vm_writev),
    NO(process_madvise),
    NO(process_mrelease),
    NO(kcmp),
    NO(pidfd_open),
    NO(pidfd_getfd),
    NO(pidfd_send_signal),
    NO(tkill),
    NO(setpriority),
    NO(ioprio_set),
    NO(sched_setparam),
    NO(sched_setscheduler),
    NO(sched_setattr),
    NO(migrate_pages),
    NO(move_pages),
    { SYS_kill, EPERM, UNLESS_EQUAL, 0, ~0u, OWN },
    { SYS_tgkill, EPERM, UNLESS_EQUAL, 0, ~0u, OWN },
    { SYS_rt_sigqueueinfo, EPERM, UNLESS_EQUAL, 0, ~0u, OWN },
    { SYS_rt_tgsigqueueinfo, EPERM, UNLESS_EQUAL, 0, ~0u, OWN },
    { SYS_prlimit64, EPERM, UNLESS_EQUAL, 0, ~0u, 0 },
    { SYS_fcntl, EPERM, WHEN_EQUAL, 1, ~0u, F_SETOWN }, /* who gets the signals of a file */
    { SYS_fcntl, EPERM, WHEN_EQUAL, 1, ~0u, F_SETOWN_EX },
    { SYS_ioctl, EPERM, WHEN_EQUAL, 1, ~0u, FIOSETOWN_NR },
    { SYS_ioctl, EPERM, WHEN_EQUAL, 1, ~0u, SIOCSPGRP_NR },
    { SYS_ioctl, EPERM, WHEN_EQUAL, 1, ~0u, TIOCSTI }, /* types into the terminal that started us */
    { SYS_ioctl, EPERM, WHEN_EQUAL, 1, ~0u, TIOCLINUX },
    NO(msgget),
    NO(semget),
    NO(shmget),
    NO(mq_open),

    /* Other programs, and threads that are none. */
    NO(execve),
    NO(execveat),
    NO(unshare),
    NO(setns),
    { SYS_clone, EPERM, UNLESS_EQUAL, 0, NAMESPACES, 0 },
    { SYS_clone3, ENOSYS },
#ifndef RIFT_SANITIZED /* whose search for leaks is a process that traces us */
    NO(ptrace),
    { SYS_clone, EPERM, WHEN_EQUAL, 0, CLONE_THREAD, 0 },
#endif

    /* Files: what Landlock doesn't judge, in any version or in old ones. */
    NO(open_by_handle_at),
    NO(name_to_handle_at),
    NO(fchmod),
    NO(fchmodat),
    NO(fchown),
    NO(fchownat),
    NO(setxattr),
    NO(lsetxattr),
    NO(fsetxattr),
    NO(removexattr),
    NO(lremovexattr),
    NO(fremovexattr),
    NO(truncate),
    NO(symlinkat),
    NO(mknodat),
    NO(inotify_init1),
    NO(fanotify_init),
    NO(acct),
    NO(quotactl),
    NO(quotactl_fd),
    { NR_fchmodat2, EPERM },
    { NR_setxattrat, EPERM },
    { NR_removexattrat, EPERM },
    { NR_file_setattr, EPERM },
    { SYS_openat, EPERM, WHEN_EQUAL, 2, O_TRUNC | O_ACCMODE, O_TRUNC | O_RDONLY }, /* cut off without writing */
    { SYS_openat, EPERM, WHEN_EQUAL, 2, O_TRUNC | O_ACCMODE, O_TRUNC | O_ACCMODE },
    { SYS_openat2, ENOSYS },

    /* The file system's tree. */
    NO(mount),
    NO(umount2),
    NO(pivot_root),
    NO(chroot),
    NO(move_mount),
    NO(open_tree),
    NO(fsopen),
    NO(fsconfig),
    NO(fsmount),
    NO(fspick),
    NO(mount_setattr),
    NO(swapon),
    NO(swapoff),
    { NR_open_tree_attr, EPERM },
    { NR_statmount, EPERM },
    { NR_listmount, EPERM },

    /* The kernel: the wide doors through which it was left before, and its settings. */
    { SYS_io_uring_setup, ENOSYS },
    { SYS_io_uring_enter, ENOSYS },
    { SYS_io_uring_register, ENOSYS },
    NO(bpf),
    NO(perf_event_open),
    NO(userfaultfd),
    NO(keyctl),
    NO(add_key),
    NO(request_key),
    NO(init_module),
    NO(finit_module),
    NO(delete_module),
    NO(kexec_load),
    NO(reboot),
    NO(syslog),
    NO(settimeofday),
    NO(clock_settime),
    NO(clock_adjtime),
    NO(adjtimex),
    NO(sethostname),
    NO(setdomainname),
    NO(vhangup),
    NO(personality),
    NO(lookup_dcookie),
#ifdef SYS_kexec_file_load
    NO(kexec_file_load),
#endif
#ifdef __x86_64__ /* the older names of the same */
    NO(fork),
    NO(vfork),
    NO(chmod),
    NO(chown),
    NO(lchown),
    NO(symlink),
    NO(mknod),
    NO(inotify_init),
    NO(iopl),
    NO(ioperm),
    NO(modify_ldt),
    NO(uselib),
    NO(ustat),
    NO(_sysctl),
    { SYS_open, EPERM, WHEN_EQUAL, 1, O_TRUNC | O_ACCMODE, O_TRUNC | O_RDONLY },
    { SYS_open, EPERM, WHEN_EQUAL, 1, O_TRUNC | O_ACCMODE, O_TRUNC | O_ACCMODE },
#endif
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]), LONGEST_ROW = 6, ENDS = 8 };

#ifdef OUR_ARCH

struct program {
    struct sock_filter code[ENDS + ROWS * LONGEST_ROW];
    unsigned short length;
};

static void emit(struct program *program, uint16_t code, uint32_t k, uint8_t yes, uint8_t no)
{
    program->code[program->length++] = (struct sock_filter){ code, yes, no, k };
}

static void emit_load(struct program *program, size_t offset)
{
    emit(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void emit_refuse(struct program *program, int error)
{
    emit(program, BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error, 0, 0);
}

/* The number is loaded before and after. Jumps count the instructions that they leave out. */
static void emit_row(struct program *program, const struct row *row)
{
    uint32_t value = row->value == OWN ? (uint32_t)getpid() : row->value;
    bool equal = row->compare == WHEN_EQUAL;

    if (row->compare == ALWAYS) {
        emit(program, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)row->number, 0, 1);
        emit_refuse(program, row->error);
        return;
    }
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)row->number, 0, LONGEST_ROW - 1);
    emit_load(program,
              offsetof(struct seccomp_data, args) + 8 * (size_t)row->argument); /* little-endian: the low half */
    emit(program, BPF_ALU | BPF_AND | BPF_K, row->mask, 0, 0);
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, value, equal ? 0 : 1, equal ? 1 : 0);
    emit_refuse(program, row->error);
    emit_load(program, offsetof(struct seccomp_data, nr));
}

int seccomp_hold(void)
{
    struct program program = { .length = 0 };

    emit_load(&program, offsetof(struct seccomp_data, arch));
    emit(&program, BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0);
    emit_refuse(&program, ENOSYS);
    emit_load(&program, offsetof(struct seccomp_data, nr));
    emit(&program, BPF_JMP | BPF_JGE | BPF_K, X32_CALLS, 0, 1);
    emit_refuse(&program, ENOSYS);
    for (int i = 0; i < ROWS; i++)
        emit_row(&program, &rows[i]);
    emit(&program, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);

    struct sock_fprog code = { program.length, program.code };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &code) != 0)
        return errno == EINVAL || errno == ENOSYS ? -ENOTSUP : -errno;
    return 0;
}

#else

int seccomp_hold(void)
{
    return -ENOTSUP;
}

#endif
