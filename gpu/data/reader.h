/* How does one format hand its images over?
 *
 * A reader opens a *file set*, the training or the test files of a data set:
 * how many examples, every label, and where the pixels are. Limits and splits
 * are chosen from the count alone, and only then are the chosen pixels fitted
 * to the model's input. Formats of one block (IDX, CIFAR, tensors) have their
 * pixels in memory when open; image folders decode what was chosen.
 *
 * Private to gpu/data/. */
#ifndef RIFT_GPU_DATA_READER_H
#define RIFT_GPU_DATA_READER_H

#include "gpu/data/dataset.h"

/* Nothing bigger is read, whatever a header claims. */
#define DATA_LIMIT_BYTES ((uint64_t)64 << 30)

/* What a reader is asked for: one side of the data set, for one model. */
struct data_request {
    const char *path;
    const char *test_path; /* NULL: inside path */
    bool test;             /* the test files, not the training files */
    const int *input;      /* [C,H,W] of the model; NULL: only to see what the images are like */
};

struct file_set {
    char *name;     /* what messages call it: the file or directory; owned */
    int count;      /* > 0 */
    int64_t *label; /* [count], not yet compared with the model's classes; owned */
    int classes;    /* class folders, 0 where labels are plain numbers */
    char **class_name; /* [classes], or NULL; owned */

    int c, h, w;         /* memory formats, and wherever no input was given: shape of every image */
    bool real;           /* pixels are float32, else uint8 */
    const uint8_t *data; /* image i: [C,H,W] at data + i*stride, any alignment; NULL: reader->load */
    size_t stride;
    void *own; /* whatever `close` releases besides */
};

struct reader {
    const char *name;
    int (*open)(const struct data_request *request, struct file_set *set, struct fault *why);
    /* Pixels [count,C,H,W] of examples id[0..count-1], fitted to input. NULL: from set->data. */
    int (*load)(const struct file_set *set, const int input[3], const int32_t *id, int count, uint8_t *pixels,
                struct fault *why);
    void (*close)(struct file_set *set); /* releases `own`; also after a failed open */
};

extern const struct reader reader_idx, reader_cifar10, reader_cifar100, reader_image_folder, reader_tiny_imagenet,
    reader_tensors;

/* 0 when c x h x w images can become the model's input, or, when that is NULL, are such as dataset_shape
 * promises; -EINVAL with words about `name` when not. */
int fit_check(const char *name, int64_t c, int64_t h, int64_t w, const int input[3], struct fault *why);

/* One image that passed fit_check, [c,h,w] elements of so many bytes, as [C,H,W]
 * of the input: repeated over channels, zeros around. */
void fit(const uint8_t *from, int c, int h, int w, size_t element, const int input[3], uint8_t *ret);

/* The chosen examples of a file set, with checked labels; without pixels. */
int examples_label(const struct file_set *set, const int input[3], const int32_t *id, int count, struct examples *ret,
                   struct fault *why);
/* The same with pixels, fitted to input. */
int examples_load(const struct reader *reader, const struct file_set *set, const int input[3], const int32_t *id,
                  int count, struct examples *ret, struct fault *why);

/* The examples of a test set of `total` images that a test_limit (0: none) leaves: ascending places, malloc'd. */
int test_choose(int total, int limit, int32_t **ret_id, int *ret_count, struct fault *why);

/* A new string, or NULL when out of memory. */
char *path_join(const char *folder, const char *name);

/* One encoded image: decoded into `pixel`, [H,W,C] bytes of at most 3*H*W of the
 * input, after its header passed fit_check. `name` is for messages. */
struct picture {
    int c, h, w;
    uint8_t *pixel; /* NULL: only the shape is wanted */
};
int image_jpeg_decode(const char *name, const uint8_t *data, size_t size, const int input[3], struct picture *picture,
                      struct fault *why);
int image_png_decode(const char *name, const uint8_t *data, size_t size, const int input[3], struct picture *picture,
                     struct fault *why);

#endif
