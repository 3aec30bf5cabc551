/* Which kinds of job are there?
 *
 * The names are the contract with everybody outside; the weights column says
 * which artifact is meant when another job names this one as {"job": ID}. A
 * parent has no worker of its own: over HTTP it becomes other jobs, and its files
 * are theirs. */
#include "job/job.h"

#include <errno.h>
#include <string.h>

const struct job_kind_info job_kinds[JOB_KIND_COUNT] = {
    [JOB_TRAIN] = { "train", "train a model, adversarially or not, from scratch or from given weights",
                    "best.safetensors" },
    [JOB_MRC] = { "mrc", "measure the robust criticality of every module, or of named ones", NULL },
    [JOB_FINETUNE] = { "finetune", "train only the chosen modules on clean data", "best.safetensors" },
    [JOB_INTERPOLATE] = { "interpolate", "walk between two sets of weights and pick the best point",
                          "interpolated.safetensors" },
    [JOB_EVALUATE] = { "evaluate", "measure accuracy on clean, attacked and corrupted examples", NULL },
    [JOB_RIFT] = { "rift", "the whole method: train, mrc, finetune, interpolate and evaluate, one after the other",
                   NULL, true },
    [JOB_CORRUPT] = { "corrupt", "write corrupted copies of a data set", NULL },
    [JOB_SWEEP] = { "sweep", "rift jobs for several seeds, training methods and module choices, and their averaged table",
                    NULL, true },
    [JOB_INSPECT] = { "inspect", "look at a data set: counts, sample images, corrupted and adversarial ones", NULL },
};

int job_kind_find(const char *name)
{
    for (int kind = 0; kind < JOB_KIND_COUNT; kind++)
        if (strcmp(job_kinds[kind].name, name) == 0)
            return kind;
    return -ENOENT;
}
