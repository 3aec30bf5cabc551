/* How does a JPEG become bytes?
 *
 * libjpeg, from memory, with its defaults (the accurate integer DCT), which is
 * what PIL and torchvision decode to as well.
 *
 * Surprising: libjpeg only warns about a file that ends early or holds broken
 * Huffman codes, and invents the missing pixels. For us a warning is an error:
 * a data set that was copied half must not be trained on. libjpeg reports by
 * calling back and must not be returned to, hence the longjmp. */
#include "gpu/data/reader.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>

struct decoder {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    jmp_buf out;
    char words[JMSG_LENGTH_MAX];
};

static void leave(j_common_ptr jpeg)
{
    struct decoder *decoder = jpeg->client_data;

    jpeg->err->format_message(jpeg, decoder->words);
    longjmp(decoder->out, 1);
}

static void hear(j_common_ptr jpeg, int level)
{
    if (level < 0) /* a warning; the rest is trace */
        leave(jpeg);
}

/* Everything that may longjmp; no resource is held in a local. */
static int decode(struct decoder *decoder, const char *name, const uint8_t *data, size_t size, const int input[3],
                  struct picture *picture, struct fault *why)
{
    struct jpeg_decompress_struct *jpeg = &decoder->jpeg;

    if (setjmp(decoder->out))
        return fault_set(why, -EBADMSG, "%s: damaged or truncated JPEG: %s", name, decoder->words);
    jpeg_create_decompress(jpeg);
    jpeg_mem_src(jpeg, data, size);
    jpeg_read_header(jpeg, TRUE);

    bool gray = jpeg->jpeg_color_space == JCS_GRAYSCALE;

    if (jpeg->num_components != 1 && jpeg->num_components != 3)
        return fault_set(why, -EINVAL, "%s: a JPEG of %d components (CMYK?), expected gray or colour", name,
                         jpeg->num_components);
    int r = fit_check(name, gray ? 1 : 3, jpeg->image_height, jpeg->image_width, input, why);

    if (r < 0)
        return r;
    jpeg->out_color_space = gray ? JCS_GRAYSCALE : JCS_RGB;
    picture->c = gray ? 1 : 3;
    picture->h = (int)jpeg->image_height;
    picture->w = (int)jpeg->image_width;
    if (!picture->pixel)
        return 0;
    jpeg_start_decompress(jpeg);
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW row = picture->pixel + (size_t)jpeg->output_scanline * picture->w * picture->c;

        jpeg_read_scanlines(jpeg, &row, 1);
    }
    jpeg_finish_decompress(jpeg); /* reads on to the end marker: one that is missing is heard of here */
    return 0;
}

int image_jpeg_decode(const char *name, const uint8_t *data, size_t size, const int input[3], struct picture *picture,
                      struct fault *why)
{
    struct decoder decoder = { 0 };

    decoder.jpeg.err = jpeg_std_error(&decoder.errors);
    decoder.jpeg.client_data = &decoder; /* creating may fail already, and keeps it */
    decoder.errors.error_exit = leave;
    decoder.errors.emit_message = hear;
    int r = decode(&decoder, name, data, size, input, picture, why);

    jpeg_destroy_decompress(&decoder.jpeg);
    return r;
}
