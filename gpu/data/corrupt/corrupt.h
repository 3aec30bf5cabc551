/* What does a corruption do to an image?
 *
 * The 19 corruptions of Hendrycks and Dietterich, each in five severities and
 * with the parameters that were published for 32-pixel and for 64-pixel images.
 * A corrupted image is a pure function of (seed, corruption, severity, the
 * image's id, its bytes): order, threads and a resume change nothing.
 *
 *   bytes -> [0,1] -> one effect -> clip to [0,1] -> * 255, cut off to a byte
 *
 *   noise.c  blur.c  weather.c  frost.c  spatter.c  digital.c  elastic.c   the effects, by family
 *   table.c                                                     which effect, with which numbers
 *   canvas.c                                                    what several effects need
 *   contact_sheet.c                                             all of them on one picture
 *
 * Surprising: `frost` has no photographs. It lays a texture of our own over the
 * image, so its accuracies don't compare with published ones. */
#ifndef RIFT_GPU_DATA_CORRUPT_CORRUPT_H
#define RIFT_GPU_DATA_CORRUPT_CORRUPT_H

#include "gpu/data/dataset.h"

/* What an image is made into. */
struct corruption {
    int which;    /* place in corruption_infos */
    int severity; /* 1..SEVERITY_COUNT */
    enum corruption_parameters parameters;
    int64_t seed;
};

/* Where images are worked on; one a thread. Images are square. */
struct studio;
enum { CORRUPT_SIDE_LEAST = 16, CORRUPT_SIDE_MOST = 1024 };
int studio_open(int side, struct studio **ret);
void studio_close(struct studio *studio);

/* One image [C,side,side] of 1 or 3 channels. A gray one is repeated over three
 * channels, corrupted, and becomes gray again by its luma. 0 or -ENOMEM. */
int corrupt_image(struct studio *studio, const struct corruption *corruption, uint64_t id, int channels,
                  const uint8_t *from, uint8_t *to);

/* Images first..first+n-1 of `images` (bytes), as [n,side,side,C] and so the way
 * files want them, by so many threads. 0 or -ENOMEM. */
int corrupt_images(const struct examples *images, int first, int n, const struct corruption *corruption, int threads,
                   uint8_t *ret);

/* A picture of the first `count` images in all these corruptions and severities:
 * a row a corruption, a column a severity, the image itself in front. As PNG in
 * memory, malloc'd. 0 or -ENOMEM. */
struct contact_sheet {
    const int *which; /* corruptions */
    const int *severities;
    int which_count, severity_count;
    enum corruption_parameters parameters;
    int64_t seed;
    int images;
};
int contact_sheet_draw(const struct contact_sheet *sheet, const struct examples *images, uint8_t **ret,
                       size_t *ret_size);

/* Threads to use where so many are wanted; 0: as many as there are processors. */
int corrupt_threads(int wanted);

/* The published parameters that go with that side. */
enum corruption_parameters corruption_parameters_of(int side);

#endif
