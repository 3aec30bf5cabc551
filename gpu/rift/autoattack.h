/* How many points stand after one attack after another? */
#ifndef RIFT_GPU_RIFT_AUTOATTACK_H
#define RIFT_GPU_RIFT_AUTOATTACK_H

#include "gpu/rift/images.h"

/* Measure any attack but PGD on all images in order. ret_result: {"loss", "accuracy",
 * "worst_case_accuracy", "stages": [{"name", "attacked", "fell", "accuracy", "loss"}], "warnings": [..]}; the accuracy
 * is that of the last stage, and the loss that of what was found, or of the image where nothing was. */
int autoattack(struct batch *batch, const char *key, const struct images *images, const struct attack_spec *attack,
               json_t **ret_result);
/* Memory and plans for it. */
int autoattack_reserve(struct run *run, int count, const struct attack_spec *attack);
/* How often it goes over the images, as progress counts it. */
int autoattack_passes(const struct attack_spec *attack);
/* Its part of a checkpoint, while one is under way. */
int autoattack_save(const struct run *run, struct checkpoint *into);

#endif
