/* Is a corrupted image a function of what it should be one of, and of nothing
 * else? And is a severity more severe than the one before? */
#include "gpu/data/corrupt/corrupt.h"
#include "gpu/data/image_write.h"
#include "tests/data/files.h"

enum { MOST = 64 };

/* Pictures with a sky, a ground, blocks and some texture: smooth parts, edges and colours. */
static struct examples pictures(int count, int channels, int side)
{
    size_t image = (size_t)channels * side * side;
    struct examples ret = { .count = count, .c = channels, .h = side, .w = side };

    ret.u8 = malloc(count * image);
    ret.id = malloc(count * sizeof(*ret.id));
    ret.label = calloc(count, sizeof(*ret.label));
    for (int i = 0; i < count; i++) {
        ret.id[i] = 3 * i + 1;
        for (size_t e = 0; e < image; e++) {
            int c = (int)(e / (side * side)), y = (int)(e / side % side), x = (int)(e % side);
            bool block =
                abs(32 * x / side - 5 - i * 7 % 23) < 3 + i % 4 && abs(32 * y / side - 9 - i * 5 % 11) < 4 + i % 5;
            int sky = 90 + 40 * c + 64 * y / side;
            int ground =
                60 + 50 * (c == 1) + (int)(20 * sin((0.5 + 0.02 * i) * x + i) * cos((0.3 + 0.03 * i) * y - 0.2 * x));

            ret.u8[i * image + e] = (uint8_t)(block                                            ? 215 - 70 * c
                                              : 32 * y < (18 + sin(i + 9.0 * x / side)) * side ? sky
                                                                                               : ground);
        }
    }
    return ret;
}

static struct corruption of(const char *name, int severity, int64_t seed)
{
    return (struct corruption){ corruption_find(name), severity, CORRUPTION_CIFAR, seed };
}

/* Corrupt them all; malloc'd. */
static uint8_t *corrupted(const struct examples *images, const struct corruption *corruption, int threads)
{
    uint8_t *ret = malloc((size_t)images->count * images->c * images->h * images->w);

    CHECK_INT(corrupt_images(images, 0, images->count, corruption, threads, ret), 0);
    return ret;
}

static void threads_and_order_change_nothing(void)
{
    struct examples images = pictures(40, 3, 32);
    size_t image = 3 * 32 * 32;
    uint8_t *alone = malloc(image);

    for (int which = 0; which < CORRUPTION_COUNT; which++) {
        struct corruption corruption = { which, 3, CORRUPTION_CIFAR, 12 };
        uint8_t *one = corrupted(&images, &corruption, 1), *four = corrupted(&images, &corruption, 4);

        if (memcmp(one, four, 40 * image) != 0)
            CHECK_FAIL("%s depends on the number of threads", corruption_infos[which].name);
        CHECK_INT(corrupt_images(&images, 17, 1, &corruption, 1, alone), 0);
        if (memcmp(one + 17 * image, alone, image) != 0)
            CHECK_FAIL("%s depends on the images before", corruption_infos[which].name);
        free(one);
        free(four);
    }
    free(alone);
    examples_done(&images);
}

static bool same(struct examples *images, const struct corruption *a, const struct corruption *b)
{
    uint8_t *left = corrupted(images, a, 1), *right = corrupted(images, b, 1);
    bool ret = memcmp(left, right, (size_t)images->count * images->c * images->h * images->w) == 0;

    free(left);
    free(right);
    return ret;
}

static void every_key_counts(void)
{
    struct examples images = pictures(2, 3, 32);
    static const char *const drawn[] = { "gaussian_noise",    "shot_noise",    "impulse_noise", "glass_blur",
                                         "motion_blur",       "snow",          "frost",         "fog",
                                         "elastic_transform", "speckle_noise", "spatter" };

    for (size_t i = 0; i < sizeof(drawn) / sizeof(drawn[0]); i++) {
        struct corruption first = of(drawn[i], 5, 1), seed = of(drawn[i], 5, 2);

        CHECK(same(&images, &first, &first));
        if (same(&images, &first, &seed))
            CHECK_FAIL("%s doesn't depend on the seed", drawn[i]);
    }
    /* Two images of the same bytes get different noise, unless they are the same image. */
    struct corruption noise = of("gaussian_noise", 5, 1);
    memcpy(images.u8 + 3072, images.u8, 3072);
    uint8_t *bytes = corrupted(&images, &noise, 1);
    CHECK(memcmp(bytes, bytes + 3072, 3072) != 0);
    free(bytes);
    images.id[1] = images.id[0];
    bytes = corrupted(&images, &noise, 1);
    CHECK(memcmp(bytes, bytes + 3072, 3072) == 0);
    free(bytes);
    examples_done(&images);
}

/* Mean absolute change of a pixel. */
static double change(const struct examples *images, const struct corruption *corruption)
{
    size_t plane = (size_t)images->h * images->w, image = images->c * plane;
    uint8_t *bytes = corrupted(images, corruption, 2);
    double sum = 0;

    for (size_t i = 0; i < images->count * image; i++) {
        size_t e = i % image;
        int before = images->u8[i - e + e % images->c * plane + e / images->c];

        sum += abs(bytes[i] - before);
    }
    free(bytes);
    return sum / (double)(images->count * image);
}

/* By the published numbers themselves some don't grow from each severity to the
 * next: glass is shaken twice from 4 on but blurred less, saturate first takes and
 * then adds, snow and spatter change their kind in between, an elastic transform
 * trades reach for fineness, and frost dims the image while it lightens it. Of the
 * others single steps may fall a little: motion_blur's angle is drawn, and boxes
 * of pixelate fit a picture better or worse. */
static void changes_grow(void)
{
    static const char *const uneven[] = { "glass_blur", "saturate", "snow", "spatter", "elastic_transform", "frost" };

    for (int tiny = 0; tiny < 2; tiny++) {
        struct examples images = pictures(24, 3, tiny ? 64 : 32);
        int falls = 0;

        for (int which = 0; which < CORRUPTION_COUNT; which++) {
            double changes[SEVERITY_COUNT];
            bool even = true;

            for (size_t i = 0; i < sizeof(uneven) / sizeof(uneven[0]); i++)
                even = even && strcmp(uneven[i], corruption_infos[which].name) != 0;
            for (int s = 0; s < SEVERITY_COUNT; s++) {
                struct corruption corruption = { which, s + 1, tiny ? CORRUPTION_TINY : CORRUPTION_CIFAR, 3 };

                changes[s] = change(&images, &corruption);
                falls += s && even && changes[s] <= changes[s - 1];
                if (s && even && changes[s] < 0.8 * changes[s - 1])
                    CHECK_FAIL("%s (%s): severity %d changes a pixel by %.2f, the one before by %.2f",
                               corruption_infos[which].name, tiny ? "tiny" : "cifar", s + 1, changes[s],
                               changes[s - 1]);
            }
            if (!(changes[0] > 0 && changes[4] > (even ? 1.25 * changes[0] : 0)))
                CHECK_FAIL("%s: from %.2f to %.2f", corruption_infos[which].name, changes[0], changes[4]);
            if (changes[4] > 110)
                CHECK_FAIL("%s: nothing can be left at a change of %.2f", corruption_infos[which].name, changes[4]);
        }
        if (falls > 5)
            CHECK_FAIL("%d of 52 steps to the next severity change less than the one before", falls);
        examples_done(&images);
    }
}

/* Gray is what colour of three equal channels becomes, by its luma. */
static void gray_goes_by_luma(void)
{
    struct examples gray = pictures(1, 1, 28), colour = { .count = 1, .c = 3, .h = 28, .w = 28 };
    const size_t plane = 28 * 28;

    colour.u8 = malloc(3 * plane);
    colour.id = gray.id;
    for (int c = 0; c < 3; c++)
        memcpy(colour.u8 + c * plane, gray.u8, plane);
    for (int which = 0; which < CORRUPTION_COUNT; which++) {
        struct corruption corruption = { which, 4, CORRUPTION_CIFAR, 8 };
        uint8_t *one = corrupted(&gray, &corruption, 1), *three = corrupted(&colour, &corruption, 1);
        int wrong = 0;

        for (size_t i = 0; i < plane; i++)
            wrong += one[i] != (int)(0.299 * three[3 * i] + 0.587 * three[3 * i + 1] + 0.114 * three[3 * i + 2] + 0.5);
        if (wrong)
            CHECK_FAIL("%s: %d of %zu pixels differ", corruption_infos[which].name, wrong, plane);
        free(one);
        free(three);
    }
    free(colour.u8);
    examples_done(&gray);
}

/* Whatever is in an image, and of any side. */
static void every_side_and_every_image(void)
{
    static const int sides[] = { 16, 28, 33, 48, 64 };
    static const uint8_t flat[] = { 0, 255, 128 };

    for (size_t s = 0; s < sizeof(sides) / sizeof(sides[0]); s++) {
        struct examples images = pictures(3, 3, sides[s]);

        for (int i = 0; i < 3; i++)
            memset(images.u8 + (size_t)i * 3 * sides[s] * sides[s], flat[i], (size_t)3 * sides[s] * sides[s]);
        for (int which = 0; which < CORRUPTION_COUNT; which++)
            for (int severity = 1; severity <= SEVERITY_COUNT; severity++) {
                struct corruption corruption = { which, severity, corruption_parameters_of(sides[s]), 1 };

                free(corrupted(&images, &corruption, 1));
            }
        CHECK_INT(corruption_parameters_of(sides[s]), sides[s] < 48 ? CORRUPTION_CIFAR : CORRUPTION_TINY);
        examples_done(&images);
    }
}

static void a_sheet_shows_them_all(void)
{
    struct examples images = pictures(2, 3, 32);
    const int which[] = { corruption_find("contrast"), corruption_find("fog"), corruption_find("pixelate") };
    const int severities[] = { 1, 5 };
    struct contact_sheet sheet = { which, severities, 3, 2, CORRUPTION_CIFAR, 4, 2 };
    uint8_t *png, *again;
    size_t size, size_again;
    png_image image = { .version = PNG_IMAGE_VERSION };
    int ink = 0, wrong = 0;

    CHECK_INT(contact_sheet_draw(&sheet, &images, &png, &size), 0);
    CHECK_INT(contact_sheet_draw(&sheet, &images, &again, &size_again), 0);
    CHECK(size == size_again && memcmp(png, again, size) == 0);
    must(png_image_begin_read_from_memory(&image, png, size), "png");
    image.format = PNG_FORMAT_RGB;
    uint8_t *pixel = malloc(PNG_IMAGE_SIZE(image));
    must(png_image_finish_read(&image, NULL, pixel, 0, NULL), "png");
    /* The last row's last cell is the second image, pixelated at 5, twice as large; then a margin of 6. */
    struct corruption last = { which[2], 5, CORRUPTION_CIFAR, 4 };
    uint8_t *bytes = corrupted(&images, &last, 1);
    for (int y = 0; y < 64; y++)
        for (int x = 0; x < 64; x++)
            for (int c = 0; c < 3; c++)
                wrong +=
                    pixel[((image.height - 6 - 3 - 64 + y) * image.width + image.width - 6 - 3 - 64 + x) * 3 + c] !=
                    bytes[3072 + (y / 2 * 32 + x / 2) * 3 + c];
    CHECK_INT(wrong, 0);
    for (unsigned y = 0; y < image.height; y++) /* names are written at the left */
        for (unsigned x = 0; x < 200; x++)
            ink += pixel[(y * image.width + x) * 3] < 100;
    CHECK(ink > 500);
    free(bytes);
    free(pixel);
    free(png);
    free(again);
    examples_done(&images);
}

static const struct check_case cases[] = {
    { "threads and the order of images change no byte", threads_and_order_change_nothing },
    { "seed and image decide every random number", every_key_counts },
    { "the mean change grows with the severity", changes_grow },
    { "a gray image is corrupted as a colour one and goes by its luma", gray_goes_by_luma },
    { "every side from 16 on and every flat image can be corrupted", every_side_and_every_image },
    { "a contact sheet shows names and every cell, the same each time", a_sheet_shows_them_all },
};

CHECK_MAIN(cases)
