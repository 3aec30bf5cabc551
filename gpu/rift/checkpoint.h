/* What does a job need to go on as if nothing had happened?
 *
 *   DIR/checkpoint/state.safetensors    tensors, and a JSON state in __metadata__
 *
 * Random numbers, orders and learning rates are pure functions, so the state is
 * small: where we are, sums so far (doubles, printed so that they read back
 * exactly), the weights and the momentum. Parts of a job that know something
 * register a saver; a checkpoint asks them all.
 *
 * Surprising: the number of threads is part of it. Sums over a batch are split
 * among threads, so their number is heard in the last bit. */
#ifndef RIFT_GPU_RIFT_CHECKPOINT_H
#define RIFT_GPU_RIFT_CHECKPOINT_H

#include "job/job.h"

#define CHECKPOINT_FILE "state.safetensors"
enum { CHECKPOINT_TENSORS = 8 };

struct run;

/* Being filled, or read back. Valid as {0}. */
struct checkpoint {
    json_t *state;                                 /* {"epoch": 3, ...}: one member a saver */
    struct safetensor tensors[CHECKPOINT_TENSORS]; /* to be written */
    void *owned[CHECKPOINT_TENSORS];
    int count;
    struct safetensors *file; /* read back */
    int threads;
};
void checkpoint_done(struct checkpoint *checkpoint);

/* Add count floats of the device / of the host (both copied). */
int checkpoint_add(struct run *run, struct checkpoint *into, const char *name, const float *device, int64_t count);
int checkpoint_add_host(struct checkpoint *into, const char *name, enum dtype dtype, const void *host, int64_t count);
/* Add a saver's JSON (stolen). */
int checkpoint_add_state(struct checkpoint *into, const char *key, json_t *state);

/* Back from the checkpoint the run was started from: -ENOENT when there is no
 * such tensor or checkpoint, -EINVAL with words when it has another size. */
int checkpoint_take(struct run *run, const char *name, float *device, int64_t count);
int checkpoint_take_host(struct run *run, const char *name, enum dtype dtype, void *host, int64_t count);
/* A saver's JSON, borrowed, or NULL: start from the beginning. */
const json_t *checkpoint_state(struct run *run, const char *key);

/* Whoever has state to keep. Called when a checkpoint is written. */
struct saver {
    int (*save)(struct run *run, void *user, struct checkpoint *into);
    void *user;
};
void saver_push(struct run *run, struct saver saver);
void saver_pop(struct run *run);

/* At a natural end (epoch, module, restart): write one. Between batches: write
 * one when it is time. Both: -EINTR after a stop was asked for and a checkpoint
 * was written; the caller unwinds. */
int checkpoint_end(struct run *run);
int checkpoint_breathe(struct run *run);

/* Read DIR/checkpoint. 1 and filled; 0 there is none; -EINVAL with words: it is
 * damaged, of another spec or made in another number format. */
int checkpoint_open(const char *dir, const char *spec_sha256, enum precision precision, struct checkpoint *ret,
                    struct fault *why);
/* The job has ended: the checkpoint has done its work. */
void checkpoint_remove(const char *dir);

#endif
