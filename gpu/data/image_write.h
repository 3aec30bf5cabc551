/* How do bytes become an image file? In memory; who writes it is the caller's business. */
#ifndef RIFT_GPU_DATA_IMAGE_WRITE_H
#define RIFT_GPU_DATA_IMAGE_WRITE_H

#include <stddef.h>
#include <stdint.h>

/* pixel is [H,W,C] of 1 or 3 channels. *ret is malloc'd. The same bytes every
 * time. 0 or -ENOMEM. */

/* As PIL does it: quality 1..100, colour at half size (4:2:0). */
int jpeg_encode(const uint8_t *pixel, int channels, int h, int w, int quality, uint8_t **ret, size_t *ret_size);
int png_encode(const uint8_t *pixel, int channels, int h, int w, uint8_t **ret, size_t *ret_size);

#endif
