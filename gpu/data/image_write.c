/* How do bytes become an image file?
 *
 * Through libjpeg with its defaults, which are PIL's as well, and through
 * libpng. Both report by calling back and must not be returned to, hence the
 * longjmp. What comes in is ours, so that only memory can fail. */
#include "gpu/data/image_write.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <png.h>

struct jpeg_writer {
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    jmp_buf out;
};

static void leave(j_common_ptr jpeg)
{
    longjmp(((struct jpeg_writer *)jpeg->client_data)->out, 1);
}

int jpeg_encode(const uint8_t *pixel, int channels, int h, int w, int quality, uint8_t **ret, size_t *ret_size)
{
    struct jpeg_writer writer = { .jpeg.client_data = &writer };
    struct jpeg_compress_struct *jpeg = &writer.jpeg;
    unsigned char *volatile data = NULL;
    volatile unsigned long size = 0;

    jpeg->err = jpeg_std_error(&writer.errors);
    writer.errors.error_exit = leave;
    if (setjmp(writer.out)) {
        jpeg_destroy_compress(jpeg);
        free(data);
        return -ENOMEM;
    }
    jpeg_create_compress(jpeg);
    jpeg_mem_dest(jpeg, (unsigned char **)&data, (unsigned long *)&size);
    jpeg->image_width = (JDIMENSION)w;
    jpeg->image_height = (JDIMENSION)h;
    jpeg->input_components = channels;
    jpeg->in_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(jpeg);
    jpeg_set_quality(jpeg, quality, TRUE);
    jpeg_start_compress(jpeg, TRUE);
    while (jpeg->next_scanline < jpeg->image_height) {
        JSAMPROW row = (JSAMPROW)pixel + (size_t)jpeg->next_scanline * w * channels;

        jpeg_write_scanlines(jpeg, &row, 1);
    }
    jpeg_finish_compress(jpeg);
    jpeg_destroy_compress(jpeg);
    *ret = data;
    *ret_size = size;
    return 0;
}

int png_encode(const uint8_t *pixel, int channels, int h, int w, uint8_t **ret, size_t *ret_size)
{
    png_image image = { .version = PNG_IMAGE_VERSION,
                        .width = (png_uint_32)w,
                        .height = (png_uint_32)h,
                        .format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB };
    png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
    uint8_t *data = malloc(size);

    if (!data || !png_image_write_to_memory(&image, data, &size, 0, pixel, 0, NULL)) {
        free(data);
        return -ENOMEM;
    }
    uint8_t *fitted = realloc(data, size);

    *ret = fitted ? fitted : data;
    *ret_size = size;
    return 0;
}
