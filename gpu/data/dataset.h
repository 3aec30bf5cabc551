/* Where do images come from?
 *
 * Every format ends as the same thing: examples in host memory, fitted to the
 * model's input, with labels. Reading trusts nothing: sizes are checked
 * against the file before memory is asked for, and every message names the
 * file.
 *
 *   idx           the four MNIST-style files in a directory, gzipped or not
 *   cifar10       data_batch_{1..5}.bin, test_batch.bin
 *   cifar100      train.bin, test.bin; the fine labels
 *   tiny-imagenet PATH/train/WNID/images/x, PATH/val/images/x with val_annotations.txt
 *   image-folder  PATH/train/CLASS/x, PATH/test|val/CLASS/x (JPEG, PNG); classes sorted
 *   tensors       a safetensors file with x (U8 0..255 or F32 0..1, NCHW) and y (I64)
 *
 * 28x28 images are zero-padded to 32x32; gray images are repeated for a
 * model with three channels. */
#ifndef RIFT_GPU_DATA_DATASET_H
#define RIFT_GPU_DATA_DATASET_H

#include "gpu/backend/backend.h"
#include "job/job.h"

struct examples {
    int count, c, h, w;
    uint8_t *u8;    /* [count,C,H,W], or NULL */
    float *f32;     /* [count,C,H,W] in [0,1], or NULL; exactly one of the two */
    int32_t *label; /* [count] */
    int32_t *id;    /* [count]: place in the file or directory order; random numbers of an
                       example depend on it, so limits and splits don't change them */
};

struct dataset {
    struct examples train, validation, test; /* count 0: not there or not asked for */
    int num_classes;                         /* largest label seen + 1, or folders */
    char **class_name;                       /* [num_classes] names of the folders; NULL: labels are numbers */
};

/* Load the splits that are wanted. Limits take an evenly random subset that
 * depends only on the number of examples, in stored order. Under
 * PROTOCOL_VALIDATION `spec->validation` of all training examples are set apart,
 * the same ones for every job, seed and limit, so that no job trains on what
 * another one judges by; train_limit is then of both together: `validation` is
 * that part of it, taken from what is set apart, `train` the rest of it, taken
 * from the rest. input is [C,H,W] of the model; num_classes bounds the labels. */
struct dataset_wants {
    bool train, validation, test;
    bool labels_only; /* of all of them: no pixels are read, so that examples have neither u8 nor f32 */
};
int dataset_open(const struct dataset_spec *spec, enum protocol protocol, const int input[3], int num_classes,
                 struct dataset_wants wants, struct dataset *ret, struct fault *why);
void dataset_done(struct dataset *dataset);

/* How many training or test images there are and their [C,H,W] as they lie on disk, whatever limits say and a model
 * wants: square ones of 1 or 3 channels. A folder's images are taken as colour,
 * and all as large as its first. */
enum { NATURAL_SIDE_LEAST = 16, NATURAL_SIDE_MOST = 1024 };
int dataset_shape(const struct dataset_spec *spec, bool test, int *ret_count, int ret_shape[3], struct fault *why);
void examples_done(struct examples *examples);

/* Float pixels [n,C,H,W] in [0,1] of examples first..first+n-1. */
void examples_read(const struct examples *examples, int first, int n, float *ret);
/* Example `at` as bytes [C,H,W]; float pixels are rounded. */
void examples_bytes(const struct examples *examples, int at, uint8_t *ret);

/* The order in which an epoch visits `count` examples: a Fisher-Yates shuffle
 * by (seed, purpose, epoch), or 0..count-1. */
void epoch_order(int64_t seed, uint32_t purpose, uint32_t epoch, bool shuffle, int count, int32_t *ret_order);

/* How example `id` is cut out in `epoch`: pad-and-crop and flip, or as it is. A
 * pure function. pad: 4 at 32 px, 8 at 64 px. */
struct crop augment_crop(enum augment augment, int64_t seed, uint32_t epoch, int32_t id, int32_t index, int pad);

/* x[i] = window of images[crop[i].index], as a backend's load_batch cuts bytes: images [M,C,H,W] and x [n,C,H,W] on the
 * host. */
void augment_cut(int n, int c, int h, int w, const float *images, const struct crop *crops, enum padding padding,
                 float *ret_x);

#endif
