/* What can a job be? One function a kind; engine.c has the table.
 *
 * Each reads its inputs, plans its memory, calls run_ready (which ends a mere
 * check), goes on from the checkpoint when there is one, and returns the
 * `result` of the finished event. */
#ifndef RIFT_GPU_RIFT_KINDS_H
#define RIFT_GPU_RIFT_KINDS_H

#include "gpu/rift/run.h"

int adversarial_training(struct run *run, json_t **ret_result);
int module_robust_criticality(struct run *run, json_t **ret_result);
int finetune(struct run *run, json_t **ret_result);
int interpolation(struct run *run, json_t **ret_result);
int evaluation(struct run *run, json_t **ret_result);
int corruption(struct run *run, json_t **ret_result);
int pipeline(struct run *run, json_t **ret_result);
int sweep(struct run *run, json_t **ret_result);
int inspection(struct run *run, json_t **ret_result);
/* Does it need a model? */
bool inspection_attacks(const struct job_spec *spec);

/* The last words of a job's journal; NULL: it hasn't said it. (pipeline.c) */
struct ending {
    json_t *result, *failed;
};
int ending_read(struct run *run, const char *dir, struct ending *ret);
void ending_done(struct ending *ending);

/* engine_run of a job inside this one: watched and shut in as it is. (engine.c) */
int run_inner(const struct run *outer, const char *dir);
/* engine_check of a spec that lies nowhere, with paths seen from DIR. (engine.c) */
int spec_check(const char *dir, const json_t *spec, struct fault *why);

#endif
