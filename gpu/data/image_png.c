/* How does a PNG become bytes?
 *
 * libpng unpacks every flavour to 8-bit gray or RGB: palettes and 1, 2, 4 bits
 * are expanded, 16 bits are scaled, an alpha channel is dropped (as PIL's
 * convert("RGB") does), interlaced files are put together.
 *
 * Chunks that have no pixels (profiles, texts, suggested palettes) are passed over: for
 * one of 145 bytes that announces 1.9 GB libpng would get so much memory and clear it.
 *
 * Surprising: libpng's warnings are about colour profiles and odd metadata and
 * are not about pixels; unlike libjpeg's they are ignored. Lost or damaged
 * pixels are errors to it, and those longjmp. */
#include "gpu/data/reader.h"

#include <errno.h>
#include <setjmp.h>
#include <string.h>

#include <png.h>

struct decoder {
    png_structp png;
    png_infop info;
    const uint8_t *data;
    size_t size, at;
    char words[160];
};

static void leave(png_structp png, png_const_charp words)
{
    struct decoder *decoder = png_get_error_ptr(png);

    snprintf(decoder->words, sizeof(decoder->words), "%s", words);
    png_longjmp(png, 1);
}

static void ignore(png_structp png, png_const_charp words)
{
    (void)png;
    (void)words;
}

static void take(png_structp png, png_bytep to, size_t size)
{
    struct decoder *decoder = png_get_io_ptr(png);

    if (size > decoder->size - decoder->at)
        png_error(png, "the file ends early");
    memcpy(to, decoder->data + decoder->at, size);
    decoder->at += size;
}

/* Everything that may longjmp; no resource is held in a local. */
static int decode(struct decoder *decoder, const char *name, const int input[3], struct picture *picture,
                  struct fault *why)
{
    png_structp png = decoder->png;
    png_infop info = decoder->info;

    if (setjmp(png_jmpbuf(png)))
        return fault_set(why, -EBADMSG, "%s: damaged or truncated PNG: %s", name, decoder->words);
    png_set_read_fn(png, decoder, take);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_read_info(png, info);

    bool gray = !(png_get_color_type(png, info) & PNG_COLOR_MASK_COLOR);
    int64_t height = png_get_image_height(png, info), width = png_get_image_width(png, info);
    int r = fit_check(name, gray ? 1 : 3, height, width, input, why);

    if (r < 0)
        return r;
    picture->c = gray ? 1 : 3;
    picture->h = (int)height;
    picture->w = (int)width;
    if (!picture->pixel)
        return 0;
    if (png_get_color_type(png, info) == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(png);
    if (gray && png_get_bit_depth(png, info) < 8)
        png_set_expand_gray_1_2_4_to_8(png);
    png_set_scale_16(png);
    png_set_strip_alpha(png);
    int passes = png_set_interlace_handling(png);

    png_read_update_info(png, info);
    size_t row = (size_t)picture->w * picture->c;

    if (png_get_rowbytes(png, info) != row)
        return fault_set(why, -EBADMSG, "%s: a PNG of an unknown flavour", name);
    for (int pass = 0; pass < passes; pass++)
        for (int y = 0; y < picture->h; y++)
            png_read_row(png, picture->pixel + y * row, NULL);
    png_read_end(png, NULL);
    return 0;
}

int image_png_decode(const char *name, const uint8_t *data, size_t size, const int input[3], struct picture *picture,
                     struct fault *why)
{
    struct decoder decoder = { .data = data, .size = size };
    int r = -ENOMEM;

    decoder.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &decoder, leave, ignore);
    if (decoder.png)
        decoder.info = png_create_info_struct(decoder.png);
    if (decoder.info)
        r = decode(&decoder, name, input, picture, why);
    else
        fault_set(why, r, "%s: out of memory", name);
    png_destroy_read_struct(&decoder.png, &decoder.info, NULL);
    return r;
}
