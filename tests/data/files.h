/* How do the tests come by small data sets?
 *
 * Writers of every format that gpu/data reads, independent of the readers: IDX
 * and CIFAR byte by byte, images through libpng and libjpeg. Pixels are a
 * formula of place and image, so that a reader that mixes up rows, channels or
 * images is found out. */
#ifndef RIFT_TESTS_DATA_FILES_H
#define RIFT_TESTS_DATA_FILES_H

#include "gpu/data/dataset.h"
#include "tests/check.h"

#include <errno.h>
#include <sys/stat.h>
#include <zlib.h>
/* jpeglib.h wants FILE and size_t before it */
#include <jpeglib.h>
#include <png.h>

enum { CIFAR_RECORD = 3073, CIFAR100_RECORD = 3074 };

/* Pixel of image i at channel c, row y, column x. */
static inline uint8_t pixel_at(int i, int c, int y, int x)
{
    return (uint8_t)(i * 37 + c * 89 + y * 5 + x * 3 + (x * y) % 7);
}

static inline void must(bool true_for_the_test_to_make_sense, const char *what)
{
    if (!true_for_the_test_to_make_sense) {
        perror(what);
        exit(1);
    }
}

/* DIR/NAME in one of a few static buffers. */
static inline const char *in(const char *dir, const char *name)
{
    static char path[8][4096];
    static int next;

    next = (next + 1) % 8;
    snprintf(path[next], sizeof(path[next]), "%s/%s", dir, name);
    return path[next];
}

static inline void folder_make(const char *path)
{
    must(mkdir(path, 0777) == 0 || errno == EEXIST, path);
}

static inline void file_write(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");

    must(file && fwrite(data, 1, size, file) == size && fclose(file) == 0, path);
}

static inline uint8_t *file_bytes(const char *path, size_t *ret_size)
{
    char *data;

    must(file_read(path, (size_t)1 << 30, &data, ret_size, NULL) == 0, path);
    return (uint8_t *)data;
}

static inline void file_gzip(const char *path, const void *data, size_t size)
{
    gzFile file = gzopen(path, "wb");

    must(file && gzwrite(file, data, (unsigned)size) == (int)size && gzclose(file) == Z_OK, path);
}

static inline uint8_t *big_endian(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
    return at + 4;
}

/* Both IDX files of one side ("train" or "t10k"): labels i % classes. */
static inline void idx_write(const char *dir, const char *side, const char *ending, int count, int h, int w,
                             int classes)
{
    size_t size = 16 + (size_t)count * h * w;
    uint8_t *bytes = malloc(size), *at = bytes;
    char name[64];
    void (*write)(const char *, const void *, size_t) = strstr(ending, ".gz") ? file_gzip : file_write;

    at = big_endian(big_endian(big_endian(big_endian(at, 0x803), (uint32_t)count), (uint32_t)h), (uint32_t)w);
    for (int i = 0; i < count; i++)
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++)
                *at++ = pixel_at(i, 0, y, x);
    snprintf(name, sizeof(name), "%s-images-idx3-ubyte%s", side, ending);
    write(in(dir, name), bytes, size);
    at = big_endian(big_endian(bytes, 0x801), (uint32_t)count);
    for (int i = 0; i < count; i++)
        *at++ = (uint8_t)(i % classes);
    snprintf(name, sizeof(name), "%s-labels-idx1-ubyte%s", side, ending);
    write(in(dir, name), bytes, 8 + (size_t)count);
    free(bytes);
}

/* Records first..first+count-1 of a pretended CIFAR-10: labels i % 10. */
static inline void cifar_write(const char *path, int first, int count)
{
    uint8_t *bytes = malloc((size_t)count * CIFAR_RECORD), *at = bytes;

    for (int i = first; i < first + count; i++) {
        *at++ = (uint8_t)(i % 10);
        for (int c = 0; c < 3; c++)
            for (int y = 0; y < 32; y++)
                for (int x = 0; x < 32; x++)
                    *at++ = pixel_at(i, c, y, x);
    }
    file_write(path, bytes, (size_t)count * CIFAR_RECORD);
    free(bytes);
}

/* A pretended CIFAR-100: coarse labels i % 20, fine ones 99 - i % 100. */
static inline void cifar100_write(const char *path, int first, int count)
{
    uint8_t *bytes = malloc((size_t)count * CIFAR100_RECORD), *at = bytes;

    for (int i = first; i < first + count; i++) {
        *at++ = (uint8_t)(i % 20);
        *at++ = (uint8_t)(99 - i % 100);
        for (int c = 0; c < 3; c++)
            for (int y = 0; y < 32; y++)
                for (int x = 0; x < 32; x++)
                    *at++ = pixel_at(i, c, y, x);
    }
    file_write(path, bytes, (size_t)count * CIFAR100_RECORD);
    free(bytes);
}

/* A JPEG of quality 100 without chroma subsampling: 1 or 3 components. */
static inline void jpeg_write(const char *path, int i, int components, int h, int w)
{
    struct jpeg_compress_struct jpeg = { 0 };
    struct jpeg_error_mgr errors;
    FILE *file = fopen(path, "wb");
    uint8_t row[1024];

    must(file && w * components <= (int)sizeof(row), path);
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_stdio_dest(&jpeg, file);
    jpeg.image_width = (JDIMENSION)w;
    jpeg.image_height = (JDIMENSION)h;
    jpeg.input_components = components;
    jpeg.in_color_space = components == 1 ? JCS_GRAYSCALE : components == 3 ? JCS_RGB : JCS_CMYK;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 100, TRUE);
    jpeg.comp_info[0].h_samp_factor = jpeg.comp_info[0].v_samp_factor = 1;
    jpeg_start_compress(&jpeg, TRUE);
    for (int y = 0; y < h; y++) {
        JSAMPROW rows = row;

        for (int x = 0; x < w; x++) /* smooth, so that little is lost */
            for (int c = 0; c < components; c++)
                row[x * components + c] = (uint8_t)(i * 40 + 2 * y + 3 * x + 20 * c);
        jpeg_write_scanlines(&jpeg, &rows, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    fclose(file);
}

/* A PNG of any colour type, depth and interlacing; samples are what pixel_at
 * says, cut to the depth (16 bits: the byte twice, so that scaling gives it back). */
static inline void png_write(const char *path, int i, int colour_type, int depth, bool interlaced, int h, int w)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    FILE *file = fopen(path, "wb");
    png_color palette[256];
    uint8_t rows[64][64 * 8], *row_at[64];

    must(png && info && file && h <= 64 && w <= 64 && setjmp(png_jmpbuf(png)) == 0, path);
    png_init_io(png, file);
    png_set_IHDR(png, info, (png_uint_32)w, (png_uint_32)h, depth, colour_type,
                 interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    for (int k = 0; k < 256; k++)
        palette[k] = (png_color){ (uint8_t)k, (uint8_t)(255 - k), (uint8_t)(k * 7) };
    if (colour_type == PNG_COLOR_TYPE_PALETTE)
        png_set_PLTE(png, info, palette, 1 << depth);
    int channels = png_get_channels(png, info);

    memset(rows, 0, sizeof(rows));
    for (int y = 0; y < h; y++) {
        row_at[y] = rows[y];
        for (int x = 0; x < w; x++)
            for (int c = 0; c < channels; c++) {
                uint8_t value = pixel_at(i, c, y, x);
                int bit = (x * channels + c) * depth;

                if (depth == 16)
                    rows[y][bit / 8] = rows[y][bit / 8 + 1] = value;
                else
                    rows[y][bit / 8] |= (uint8_t)((value >> (8 - depth)) << (8 - depth - bit % 8));
            }
    }
    png_write_info(png, info);
    png_write_image(png, row_at);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    fclose(file);
}

/* A `tensors` file DIR/NAME: x from pixel_at (F32: /255), y = i % classes. */
static inline void tensors_write(const char *dir, const char *name, enum dtype dtype, int n, int c, int h, int w,
                                 int classes)
{
    size_t count = (size_t)n * c * h * w;
    uint8_t *u8 = malloc(count);
    float *f32 = malloc(count * sizeof(*f32));
    int64_t *label = malloc((size_t)n * sizeof(*label));

    for (size_t e = 0; e < count; e++) {
        int x = (int)(e % w), y = (int)(e / w % h), channel = (int)(e / w / h % c), i = (int)(e / w / h / c);

        u8[e] = pixel_at(i, channel, y, x);
        f32[e] = (float)u8[e] / 255.0f;
    }
    for (int i = 0; i < n; i++)
        label[i] = i % classes;
    struct safetensor tensors[] = {
        { "x", dtype, 4, { n, c, h, w }, dtype == DTYPE_U8 ? (void *)u8 : f32, count * dtype_size(dtype) },
        { "y", DTYPE_I64, 1, { n }, label, (size_t)n * sizeof(*label) },
    };
    struct fault why = { 0 };

    if (safetensors_write(dir, name, tensors, 2, NULL, NULL, NULL, &why) < 0) {
        fprintf(stderr, "%s\n", why.message);
        exit(1);
    }
    free(u8);
    free(f32);
    free(label);
}

/* A Tiny-ImageNet of 3 classes as it is published: 2 training images of 64x64 and
 * 1 in val/images a class, one of them gray; wnids.txt in an order of its own. */
static inline void tiny_write(const char *dir)
{
    static const char *const wnids[] = { "n00000009", "n00000001", "n00000005" };
    static const char boxes[] = "\t0\t0\t63\t63\n";
    char path[256], annotations[256] = "", list[64] = "";

    folder_make(in(dir, "train"));
    folder_make(in(dir, "val"));
    folder_make(in(dir, "val/images"));
    for (int k = 0; k < 3; k++) {
        snprintf(path, sizeof(path), "train/%s", wnids[k]);
        folder_make(in(dir, path));
        snprintf(path, sizeof(path), "train/%s/%s_boxes.txt", wnids[k], wnids[k]);
        file_write(in(dir, path), boxes, sizeof(boxes) - 1);
        snprintf(path, sizeof(path), "train/%s/images", wnids[k]);
        folder_make(in(dir, path));
        for (int i = 0; i < 2; i++) {
            snprintf(path, sizeof(path), "train/%s/images/%s_%d.JPEG", wnids[k], wnids[k], i);
            jpeg_write(in(dir, path), 2 * k + i, 3, 64, 64);
        }
        snprintf(path, sizeof(path), "val/images/val_%d.JPEG", k);
        jpeg_write(in(dir, path), 10 + k, k == 1 ? 1 : 3, 64, 64);
        snprintf(path, sizeof(path), "val_%d.JPEG\t%s%s", k, wnids[k], boxes);
        strcat(annotations, path);
        strcat(strcat(list, wnids[k]), "\n");
    }
    file_write(in(dir, "val/val_annotations.txt"), annotations, strlen(annotations));
    file_write(in(dir, "wnids.txt"), list, strlen(list));
}

/* ---- opening ------------------------------------------------------------------- */

static const int COLOUR_32[3] = { 3, 32, 32 }, GRAY_32[3] = { 1, 32, 32 }, GRAY_28[3] = { 1, 28, 28 };
static const struct dataset_wants ALL = { true, true, true }, TRAIN = { .train = true }, TEST = { .test = true };

static inline struct dataset_spec spec_of(enum dataset_format format, const char *path)
{
    return (struct dataset_spec){ .format = format, .path = path, .validation = 0.1 };
}

/* Open, and expect it to go well. */
static inline bool opens(const struct dataset_spec *spec, enum protocol protocol, const int input[3], int classes,
                         struct dataset_wants wants, struct dataset *ret)
{
    struct fault why = { 0 };
    int r = dataset_open(spec, protocol, input, classes, wants, ret, &why);

    if (r < 0)
        CHECK_FAIL("dataset_open: %d: %s", r, why.message);
    return r == 0;
}

/* Open, and expect these words; the result must be untouched. */
#define CHECK_REFUSED(spec_, input_, classes_, wants_, code_, words_)                                                  \
    CHECK_REFUSED_UNDER(PROTOCOL_PAPER, spec_, input_, classes_, wants_, code_, words_)
#define CHECK_REFUSED_UNDER(protocol_, spec_, input_, classes_, wants_, code_, words_)                                 \
    do {                                                                                                               \
        struct dataset got_ = { .num_classes = -7 };                                                                   \
        struct fault why_ = { 0 };                                                                                     \
        int r_ = dataset_open((spec_), (protocol_), (input_), (classes_), (wants_), &got_, &why_);                     \
        CHECK_INT(r_, (code_));                                                                                        \
        CHECK_HOLDS(why_.message, (words_));                                                                           \
        CHECK_INT(why_.code, (code_));                                                                                 \
        CHECK_INT(got_.num_classes, -7);                                                                               \
        if (r_ == 0)                                                                                                   \
            dataset_done(&got_);                                                                                       \
    } while (0)

#endif
