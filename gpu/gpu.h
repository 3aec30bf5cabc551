/* The training engine, as its callers see it: rift-worker, tests, benchmarks. */
#ifndef RIFT_GPU_GPU_H
#define RIFT_GPU_GPU_H

#include "job/job.h"

#include <signal.h>

/* Run the job in DIR to its end or until *stop becomes non-zero (then a
 * checkpoint is written and the job is `interrupted`). Goes on from DIR's
 * checkpoint when there is one; does nothing when the journal says `finished`.
 * Everything that happens is an event in DIR's journal. `progress` (may be
 * NULL) gets every event too, for a terminal. Returns an enum worker_exit. */
int engine_run(const char *dir, const volatile sig_atomic_t *stop, void (*progress)(const json_t *event, void *user),
               void *user);

/* What the program does to itself once the spec is read, and before the journal,
 * weights or data are: shut itself in. `*ret` (an object) becomes the member
 * "sandbox" of `started` events. Negative: the job fails with these words. */
typedef int engine_confine(const char *dir, const json_t *spec, json_t **ret, struct fault *why, void *user);

/* engine_run, shut in first; `user` goes to both. */
int engine_run_confined(const char *dir, const volatile sig_atomic_t *stop,
                        void (*progress)(const json_t *event, void *user), engine_confine *confine, void *user);

/* Read spec, data and weights of DIR as a run would, plan the memory, run
 * nothing. Prints nothing; the fault says what is wrong. Returns an exit code. */
int engine_check(const char *dir, struct fault *why);

/* Usable devices as JSON, new reference. */
json_t *engine_devices(void);

#endif
