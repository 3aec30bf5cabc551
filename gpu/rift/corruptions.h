/* How right is a model on corrupted copies of the test images?
 *
 * One measurement for each corruption and severity. The accuracy of a
 * corruption is the mean of its severities, that of a group the mean of its
 * corruptions, and the mean of all corruptions is `corruption_accuracy`, what
 * the paper calls OOD. */
#ifndef RIFT_GPU_RIFT_CORRUPTIONS_H
#define RIFT_GPU_RIFT_CORRUPTIONS_H

#include "gpu/data/corruption_data.h"
#include "gpu/rift/images.h"

struct corruptions {
    struct run *run;
    struct corruption_request request;
    struct corruption_data *data; /* NULL: the spec asks for none */
    char *path;
    struct images images; /* of the corruption and severity that is being measured */
};

/* Look at all the copies that the spec wants and take the memory that measuring them needs. */
int corruptions_open(struct run *run, struct corruptions *ret);
void corruptions_done(struct corruptions *corruptions);
/* The most images of one measurement, and the images of all measurements of one set of weights. */
int corruptions_most(const struct corruptions *corruptions);
int64_t corruptions_images(const struct corruptions *corruptions);

/* Measure the weights that are loaded; prefix: of the names of the events. New
 * reference: {"corruption_accuracy", "groups": {"noise": accuracy, ...},
 * "corruptions": [{"name","group","loss","accuracy","severities":
 * [{"severity","images","loss","accuracy"}]}], "foreign_classes"} */
int corruptions_measure(struct corruptions *corruptions, struct batch *batch, const char *prefix, json_t **ret);

#endif
