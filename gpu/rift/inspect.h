/* What is a look at a data set made of?
 *
 *     labels of all -> counts           pixels of some -> mean, deviation
 *     pixels of some -> samples.png     the test images -> corruptions.png, adversarial.png
 *
 * `found` is what becomes inspect.json: it says of each picture which image
 * stands where. */
#ifndef RIFT_GPU_RIFT_INSPECT_H
#define RIFT_GPU_RIFT_INSPECT_H

#include "gpu/data/sheet.h"
#include "gpu/rift/images.h"

struct inspecting {
    struct run *run;
    int shape[3];          /* [C,H,W] as on disk */
    struct dataset labels; /* every example, without pixels */
    struct dataset some;   /* with pixels: no more than the spec's inspect.images */
    json_t *found;
    int64_t done, total; /* cells of the pictures */
};

extern const char *const inspect_splits[]; /* "train", ..., by enum dataset_split */
const struct examples *inspect_examples(const struct dataset *dataset, enum dataset_split split);
/* Of which split corruptions and attacks are shown: the spec's, or test. */
enum dataset_split inspect_judged(const struct run *run);
/* So many images of the judged split, evenly at random and the same ones for pictures of equally many, of that shape
 * and with labels below `classes`; ret: the data set that holds them, ret_shown: a view of it. */
int inspect_shown(struct run *run, const int shape[3], int classes, int count, struct dataset *ret,
                  struct examples *ret_shown);

/* Say that so many cells more are drawn; -EINTR: the job is to stop. */
int inspect_breathe(struct inspecting *inspecting, int cells);
/* Save the picture and put {"file", "rows", "columns", "cell", "gap", "magnified", "shrunk"} and `about` (stolen) into
 * found[name]. */
int inspect_picture(struct inspecting *inspecting, const char *name, const struct sheet *sheet, json_t *about);
/* Where an image stands and what it is: {"index", "label"}. */
json_t *inspect_image(const struct examples *examples, int at);

/* ---- inspect_sheets.c ---- */

int inspect_samples(struct inspecting *inspecting);
int inspect_corruptions(struct inspecting *inspecting);
/* How many cells they will have. */
int64_t inspect_cells(const struct job_spec *spec);

/* ---- inspect_attack.c ---- */

struct adversary {
    struct run *run;
    struct examples shown; /* of run->dataset */
    struct images images;
    struct batch batch;
};
/* Images, weights and plans, before anything is said; and the picture. */
int adversary_open(struct run *run, struct adversary *ret);
void adversary_done(struct adversary *adversary);
int inspect_adversarial(struct inspecting *inspecting, struct adversary *adversary);

#endif
