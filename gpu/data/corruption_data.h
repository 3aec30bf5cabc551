/* Where do corrupted copies of the test images come from?
 *
 *   PATH/NAME.npy, PATH/labels.npy      arrays [severities*N,H,W,C], severity-major, as CIFAR-10-C
 *   PATH/NAME/SEVERITY/CLASS/x.jpg      folders, as Tiny-ImageNet-C
 *
 * Everything that is asked for is looked at when the copies are opened, so that
 * what is missing is missed before the first hour of work. Pixels are read one
 * corruption in one severity at a time: all of CIFAR-10-C is 3 GB.
 *
 * Arrays have the severities 1 to 5, unless corruptions.json, which our own
 * corrupt jobs write beside them, says which. */
#ifndef RIFT_GPU_DATA_CORRUPTION_DATA_H
#define RIFT_GPU_DATA_CORRUPTION_DATA_H

#include "gpu/data/dataset.h"

/* Beside the arrays. */
#define CORRUPTION_LABELS  "labels.npy"
#define CORRUPTION_CONTENT "corruptions.json"

struct corruption_request {
    const char *path;
    int which[CORRUPTION_COUNT], which_count; /* corruptions */
    const int *severities;
    int severity_count;
    int test_limit;                /* of each severity; 0: all */
    const int *input;              /* [C,H,W] of the model */
    int num_classes;               /* of the model */
    const struct dataset *dataset; /* names of the classes, where folders have them */
};

struct corruption_data;
/* `request` and what it points to must live as long. */
int corruption_data_open(const struct corruption_request *request, struct corruption_data **ret, struct fault *why);
void corruption_data_close(struct corruption_data *data);

/* Images of corruption request->which[which] in request->severities[severity], after the limit. */
int corruption_data_count(const struct corruption_data *data, int which, int severity);
/* The most classes of any severity's folder that the data set doesn't have; their images are left out. */
int corruption_data_foreign(const struct corruption_data *data, const char **ret_corruption);
/* What corruptions.json says of its frost, which isn't the published one; NULL where it says nothing or no frost is
 * asked for. Borrowed. */
const char *corruption_data_frost(const struct corruption_data *data);
int corruption_data_load(const struct corruption_data *data, int which, int severity, struct examples *ret,
                         struct fault *why);

#endif
