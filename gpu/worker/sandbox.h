/* How does a worker shut itself in (private to gpu/worker)?
 *
 *   sandbox.c    the order, and what a spec makes readable
 *   landlock.c   which files may be opened, and how
 *   seccomp.c    which system calls are refused
 *
 * What a worker can still reach: docs/security.md. */
#ifndef RIFT_GPU_WORKER_SANDBOX_H
#define RIFT_GPU_WORKER_SANDBOX_H

#include "job/job.h"

/* What holds. */
struct sandbox {
    int landlock_abi; /* 0: no Landlock */
    bool seccomp;
    struct fault missing; /* why not all of it, or code 0 */
};

/* Shut this process in for the job in `dir`, whose normalised spec this is; there
 * is no way back. To be called while there is one thread. -ENOTSUP: the mode is
 * SANDBOX_REQUIRE and something is missing, which `why` names. */
int sandbox_enter(enum sandbox_mode mode, const char *dir, const json_t *spec, struct sandbox *ret, struct fault *why);

/* ---- landlock.c ---- */

enum landlock_use {
    LANDLOCK_READ,   /* files and folders below */
    LANDLOCK_DEVICE, /* read, write and ioctl, nothing new */
    LANDLOCK_OWN,    /* read, write, make and remove files and folders; no links, pipes, sockets, devices */
};

/* Rules are collected, then hold all at once. *ret -1 until then. */
struct landlock {
    int abi; /* of this kernel, 0: none */
    int fd;
};
/* Of no later ABI than `newest`. -ENOTSUP: this kernel has none, or it is switched off. */
int landlock_open(int newest, struct landlock *ret);
/* What isn't there, or can't be opened by us anyway, needs no rule: 0. */
int landlock_allow(struct landlock *landlock, const char *path, enum landlock_use use);
/* Takes the way to new privileges (set-uid programs) too, as the kernel wants. */
int landlock_hold(struct landlock *landlock);
void landlock_close(struct landlock *landlock);

/* ---- seccomp.c ---- */

/* For all threads. -ENOTSUP: not on this processor or kernel. */
int seccomp_hold(void);

#endif
