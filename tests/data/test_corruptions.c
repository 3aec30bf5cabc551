/* Does every corruption do what its formula says? Closed forms, and properties
 * where there is none. */
#include "tests/data/canvas.h"

#include <stdio.h>
/* jpeglib.h wants FILE and size_t before it */
#include <jpeglib.h>

/* ---- blur ----------------------------------------------------------------------------- */

static void gaussian_weights_are_exact(void)
{
    struct canvas *canvas = easel(32);
    double sum = 0;
    struct dice dice = { 0 };

    for (int k = -4; k <= 4; k++)
        sum += exp(-k * k / 2.0);
    *at(canvas, 1, 16, 16) = 1;
    gaussian_blur(canvas, numbers("gaussian_blur", CORRUPTION_CIFAR, 5), &dice);
    for (int dy = -6; dy <= 6; dy++)
        for (int dx = -6; dx <= 6; dx++) {
            bool inside = abs(dy) <= 4 && abs(dx) <= 4;

            CHECK_NEAR(*at(canvas, 1, 16 + dy, 16 + dx), inside ? exp(-(dy * dy + dx * dx) / 2.0) / sum / sum : 0,
                       1e-12);
        }
    CHECK_NEAR(*at(canvas, 0, 16, 16), 0, 0);

    /* Edges are repeated: a row of ones at the edge keeps more than half. */
    canvas = easel(32);
    for (int x = 0; x < 32; x++)
        *at(canvas, 0, 0, x) = 1;
    gaussian_blur(canvas, numbers("gaussian_blur", CORRUPTION_CIFAR, 5), &dice);
    CHECK_NEAR(*at(canvas, 0, 0, 5), (sum / 2 + 0.5) / sum, 1e-12);
}

static void disks_are_disks(void)
{
    double kernel[DISK_SIDE * DISK_SIDE], sum = 0;
    const int middle = DISK_RADIUS * DISK_SIDE + DISK_RADIUS;
    double side = exp(-1 / (2 * 0.4 * 0.4)), whole = 1 + 2 * side;

    /* Smaller than a pixel: only the softening is left. */
    CHECK_INT(disk_kernel(0.3, 0.4, kernel), 1);
    CHECK_NEAR(kernel[middle], 1 / whole / whole, 1e-12);
    CHECK_NEAR(kernel[middle + 1], side / whole / whole, 1e-12);
    CHECK_NEAR(kernel[middle + DISK_SIDE + 1], side * side / whole / whole, 1e-12);
    /* Radius 1: a plus of five; 1.5: nine; 3: 29 pixels. */
    disk_kernel(1, 0.01, kernel);
    CHECK_NEAR(kernel[middle], 0.2, 1e-9);
    CHECK_NEAR(kernel[middle - DISK_SIDE], 0.2, 1e-9);
    CHECK_NEAR(kernel[middle + DISK_SIDE + 1], 0, 1e-9);
    disk_kernel(1.5, 0.01, kernel);
    CHECK_NEAR(kernel[middle + DISK_SIDE + 1], 1 / 9.0, 1e-9);
    disk_kernel(3, 0.1, kernel);
    CHECK_NEAR(kernel[middle + 3], 1 / 29.0, 1e-9);
    for (int i = 0; i < DISK_SIDE * DISK_SIDE; i++)
        sum += kernel[i];
    CHECK_NEAR(sum, 1, 1e-12);

    /* Mirrored at the edge without repeating it: row 1 counts twice for row 0. */
    struct canvas *canvas = easel(32);
    struct dice dice = { 0 };

    for (int x = 0; x < 32; x++)
        *at(canvas, 2, 1, x) = 1;
    defocus_blur(canvas, (double[]){ 0.3, 0.4 }, &dice);
    CHECK_NEAR(*at(canvas, 2, 0, 9), 2 * side / whole, 1e-12);
    CHECK_NEAR(*at(canvas, 2, 1, 9), 1 / whole, 1e-12);
}

static void motion_is_a_one_sided_line(void)
{
    double from[32 * 32] = { 0 }, to[32 * 32], sum = 0;

    for (int i = 0; i < 13; i++)
        sum += exp(-i * i / (2 * 1.5 * 1.5));
    from[16 * 32 + 20] = 1;
    plane_motion(from, 32, 6, 1.5, 0, to);
    for (int i = -3; i < 10; i++)
        CHECK_NEAR(to[16 * 32 + 20 - i], i < 0 ? 0 : rint(exp(-i * i / (2 * 1.5 * 1.5)) / sum * 255) / 255, 1e-12);
    plane_motion(from, 32, 6, 1.5, M_PI / 2, to); /* downwards */
    CHECK_NEAR(to[13 * 32 + 20], rint(exp(-9 / (2 * 1.5 * 1.5)) / sum * 255) / 255, 1e-12);
    CHECK_NEAR(to[17 * 32 + 20], 0, 0);
    plane_motion(from, 32, 6, 1.5, M_PI / 4, to); /* step 2 of the diagonal: ceil(1.41 - 0.5) = 1 */
    CHECK_NEAR(to[15 * 32 + 19], rint((exp(-1 / 4.5) + exp(-4 / 4.5)) / sum * 255) / 255, 1e-12);
}

static void zooms_are_counted_and_linear(void)
{
    static const double ends[] = { 1.06, 1.11, 1.16, 1.21, 1.26 };
    double ramp[32 * 32], to[32 * 32];

    for (int severity = 1; severity <= SEVERITY_COUNT; severity++) {
        double count = ceil((ends[severity - 1] - 1) / 0.01);

        CHECK_INT(numbers("zoom_blur", CORRUPTION_CIFAR, severity)[0], (int)count);
        CHECK_INT(numbers("zoom_blur", CORRUPTION_TINY, severity)[0], (int)count);
    }
    for (int i = 0; i < 32 * 32; i++)
        ramp[i] = i % 32;
    plane_zoom(ramp, 32, 2, to); /* columns 8..23 over 32 */
    for (int x = 0; x < 32; x++)
        CHECK_NEAR(to[7 * 32 + x], 8 + x * 15 / 31.0, 1e-12);
    plane_zoom(ramp, 32, 1, to);
    CHECK(memcmp(ramp, to, sizeof(to)) == 0);
    plane_zoom(ramp, 32, 1.25, to); /* 26 columns from 3 on become round(32.5) = 32, the even one */
    CHECK_NEAR(to[0], 3, 1e-12);
    CHECK_NEAR(to[31], 28, 1e-12);
}

/* A swap would keep every pixel somewhere. */
static void glass_copies(void)
{
    enum { SIDE = 12, PLANE = SIDE * SIDE };
    uint8_t image[CHANNELS * PLANE], before[CHANNELS * PLANE];
    bool kept[256] = { false };
    int lost = 0, still = 0;
    struct dice dice = dice_of(4);

    for (int i = 0; i < CHANNELS * PLANE; i++)
        before[i] = image[i] = (uint8_t)(i % PLANE);
    glass_copy(image, SIDE, 1, 1, &dice);
    for (int i = 0; i < PLANE; i++) {
        int y = i / SIDE, x = i % SIDE, from_y = image[i] / SIDE, from_x = image[i] % SIDE;

        kept[image[i]] = true;
        still += image[i] == i;
        if (y <= 1 || x <= 1)
            CHECK_INT(image[i], before[i]);
        else /* offsets are -1 or 0, and pixels are visited from the last one on */
            CHECK((from_y == y || from_y == y - 1) && (from_x == x || from_x == x - 1));
        CHECK(image[i] == image[PLANE + i] && image[i] == image[2 * PLANE + i]);
    }
    for (int i = 0; i < PLANE; i++)
        lost += !kept[i];
    CHECK(lost > 10);
    CHECK(still > 10 && still < PLANE - 30);
}

/* ---- weather ----------------------------------------------------------------------------- */

static void plasma_reaches_0_and_1(void)
{
    for (int severity = 1; severity <= SEVERITY_COUNT; severity++) {
        struct canvas *canvas = easel(64);
        struct dice dice = dice_of((uint64_t)severity);
        double low = 1, high = 0, c = numbers("fog", CORRUPTION_TINY, severity)[0];
        double *mist = canvas->spare[0];

        CHECK_INT(plasma(canvas, numbers("fog", CORRUPTION_TINY, severity)[1], &dice, mist), 0);
        for (int i = 0; i < 64 * 64; i++) {
            low = fmin(low, mist[i]);
            high = fmax(high, mist[i]);
        }
        CHECK_NEAR(low, 0, 0);
        CHECK_NEAR(high, 1, 0);

        /* White: (1 + c plasma) / (1 + c). Black stays black. */
        struct dice again = dice_of((uint64_t)severity);
        for (int i = 0; i < EASEL_IMAGE; i++)
            canvas->x[i] = 1;
        fog(canvas, numbers("fog", CORRUPTION_TINY, severity), &again);
        for (int i = 0; i < EASEL_IMAGE; i += 97)
            CHECK_NEAR(canvas->x[i], (1 + c * canvas->spare[0][i % (64 * 64)]) / (1 + c), 1e-12);
        canvas = easel(64);
        fog(canvas, numbers("fog", CORRUPTION_TINY, severity), &again);
        CHECK_NEAR(canvas->x[1234], 0, 0);
    }
}

/* The hexcone, as every textbook has it. */
static void to_hsv(const double rgb[3], double hsv[3])
{
    double high = fmax(rgb[0], fmax(rgb[1], rgb[2])), low = fmin(rgb[0], fmin(rgb[1], rgb[2])), range = high - low;

    hsv[2] = high;
    hsv[1] = high > 0 ? range / high : 0;
    hsv[0] = range == 0       ? 0
             : high == rgb[0] ? fmod((rgb[1] - rgb[2]) / range + 6, 6)
             : high == rgb[1] ? (rgb[2] - rgb[0]) / range + 2
                              : (rgb[0] - rgb[1]) / range + 4;
}

static void to_rgb(const double hsv[3], double rgb[3])
{
    static const int from[6][3] = { { 0, 3, 1 }, { 2, 0, 1 }, { 1, 0, 3 }, { 1, 2, 0 }, { 3, 1, 0 }, { 0, 1, 2 } };
    int sector = (int)floor(hsv[0]) % 6;
    double f = hsv[0] - floor(hsv[0]);
    double values[4] = { hsv[2], hsv[2] * (1 - hsv[1]), hsv[2] * (1 - f * hsv[1]), hsv[2] * (1 - (1 - f) * hsv[1]) };

    for (int c = 0; c < 3; c++)
        rgb[c] = values[from[sector][c]];
}

static void value_and_saturation_are_those_of_hsv(void)
{
    struct canvas *canvas = easel(32);
    struct dice dice = dice_of(6);

    for (int saturation = 0; saturation < 2; saturation++)
        for (int severity = 1; severity <= SEVERITY_COUNT; severity++) {
            const double *p = numbers(saturation ? "saturate" : "brightness", CORRUPTION_TINY, severity);
            double before[EASEL_IMAGE];

            for (int i = 0; i < CHANNELS * 1024; i++) /* gray and black ones, too */
                before[i] = canvas->x[i] = i % 1024 < 20 ? (i % 1024) / 20.0 : dice_unit(&dice);
            (saturation ? saturate : brightness)(canvas, p, &dice);
            for (int i = 0; i < 1024; i++) {
                double rgb[3] = { before[i], before[1024 + i], before[2048 + i] }, hsv[3];

                to_hsv(rgb, hsv);
                if (saturation)
                    hsv[1] = clip(hsv[1] * p[0] + p[1]);
                else
                    hsv[2] = clip(hsv[2] + p[0]);
                to_rgb(hsv, rgb);
                for (int c = 0; c < 3; c++)
                    CHECK_NEAR(canvas->x[c * 1024 + i], rgb[c], 1e-9);
            }
        }
}

static void snow_falls_both_ways(void)
{
    struct canvas *canvas = easel(32);
    struct dice dice = dice_of(7);
    const double *p = numbers("snow", CORRUPTION_CIFAR, 3);
    double light = 0;

    snow(canvas, p, &dice); /* on black: (1 - mix) / 2 and the flakes, which are there turned by 180 degrees as well */
    for (int i = 0; i < 1024; i++) {
        CHECK_NEAR(canvas->x[i], canvas->x[1023 - i], 1e-12);
        CHECK(canvas->x[i] >= (1 - p[6]) / 2 - 1e-12);
        light += canvas->x[i] - (1 - p[6]) / 2;
    }
    CHECK(light > 10);
}

static void frost_lies_over_the_image(void)
{
    double black[1024], spread = 0;

    for (int severity = 1; severity <= SEVERITY_COUNT; severity++) {
        const double *p = numbers("frost", CORRUPTION_CIFAR, severity);
        struct canvas *canvas = easel(32);
        struct dice dice = dice_of(8), again = dice_of(8);
        double low = 1, high = 0;

        frost(canvas, p, &dice);
        for (int i = 0; i < 1024; i++) {
            black[i] = canvas->x[2 * 1024 + i];
            low = fmin(low, black[i]);
            high = fmax(high, black[i]);
            CHECK(canvas->x[i] <= black[i]); /* ice is bluish */
        }
        CHECK(low >= 0 && high <= p[1]);
        spread = high - low;
        CHECK(spread > 0.2 * p[1]);
        for (int i = 0; i < CHANNELS * 1024; i++)
            canvas->x[i] = 0.5;
        frost(canvas, p, &again);
        for (int i = 0; i < 1024; i++)
            CHECK_NEAR(canvas->x[2 * 1024 + i], p[0] * 0.5 + black[i], 1e-12);
    }
}

static void edges_distances_and_equalisation(void)
{
    enum { SIDE = 16 };
    uint8_t plane[SIDE * SIDE], edges[SIDE * SIDE] = { 0 }, few[] = { 10, 10, 20, 30 };
    double work[2 * SIDE * SIDE], far[SIDE * SIDE];

    /* A step between columns 7 and 8: both have the same strength, the first is the edge. */
    for (int i = 0; i < SIDE * SIDE; i++)
        plane[i] = i % SIDE < 8 ? 0 : 200;
    edges_find(plane, SIDE, work, edges);
    for (int i = 0; i < SIDE * SIDE; i++)
        CHECK_INT(edges[i], i % SIDE == 7 ? 255 : 0);
    /* Strength 4 * 30 = 120 is an edge only where it touches a strong one. */
    for (int i = 0; i < SIDE * SIDE; i++)
        plane[i] = i % SIDE < 8 ? 0 : 30;
    edges_find(plane, SIDE, work, edges);
    for (int i = 0; i < SIDE * SIDE; i++)
        CHECK_INT(edges[i], 0);
    for (int y = 0; y < 4; y++)
        for (int x = 8; x < SIDE; x++)
            plane[y * SIDE + x] = 200;
    edges_find(plane, SIDE, work, edges);
    CHECK_INT(edges[14 * SIDE + 7], 255);

    memset(edges, 0, sizeof(edges));
    edges[8 * SIDE + 8] = 255;
    distances(edges, SIDE, far);
    CHECK_NEAR(far[8 * SIDE + 8], 0, 0);
    CHECK_NEAR(far[8 * SIDE + 3], 5, 1e-12);
    CHECK_NEAR(far[5 * SIDE + 5], 3 * 1.4, 1e-12);
    CHECK_NEAR(far[10 * SIDE + 9], 2.1969, 1e-12);
    CHECK_NEAR(far[11 * SIDE + 10], 2.1969 + 1.4, 1e-12);

    equalise(few, 4); /* of the two that aren't the lowest, one is at 20 */
    CHECK_INT(few[0], 0);
    CHECK_INT(few[2], 128);
    CHECK_INT(few[3], 255);
}

static void water_lightens_and_mud_covers(void)
{
    static const double mud_colour[3] = { 63 / 255.0, 42 / 255.0, 20 / 255.0 };

    for (int severity = 1; severity <= SEVERITY_COUNT; severity++) {
        struct canvas *canvas = easel(64);
        const double *p = numbers("spatter", CORRUPTION_TINY, severity);
        struct dice dice = dice_of((uint64_t)(20 + severity));
        double changed = 0, most = 0;

        for (int i = 0; i < EASEL_IMAGE; i++)
            canvas->x[i] = 0.5;
        spatter(canvas, p, &dice);
        for (int i = 0; i < EASEL_IMAGE; i++) {
            double change = canvas->x[i] - 0.5;

            changed += change != 0;
            if (p[5] == 0)
                CHECK(change >= 0 && change <= p[4] * 238 / 255 + 1e-12);
            else /* towards the mud's colour and not beyond it */
                CHECK(change <= 0 && canvas->x[i] >= mud_colour[i / (64 * 64)] - 1e-12);
            most = fmax(most, fabs(change));
        }
        CHECK(changed > 0 && changed < 0.9 * EASEL_IMAGE && most > 0.1);
    }
}

/* ---- digital -------------------------------------------------------------------------------- */

static void contrast_keeps_the_mean(void)
{
    for (int severity = 1; severity <= SEVERITY_COUNT; severity++) {
        struct canvas *canvas = easel(32);
        const double *p = numbers("contrast", CORRUPTION_CIFAR, severity);
        struct dice dice = { 0 };

        for (int c = 0; c < CHANNELS; c++)
            for (int i = 0; i < 1024; i++)
                canvas->x[c * 1024 + i] = i < 256 ? 0.1 * c : 0.8;
        contrast(canvas, p, &dice);
        for (int c = 0; c < CHANNELS; c++) {
            double mean = 0.25 * 0.1 * c + 0.75 * 0.8;

            CHECK_NEAR(canvas->x[c * 1024], mean + p[0] * (0.1 * c - mean), 1e-12);
            CHECK_NEAR(canvas->x[c * 1024 + 999], mean + p[0] * (0.8 - mean), 1e-12);
        }
    }
}

static void pixels_become_boxes(void)
{
    static const int sizes[2][SEVERITY_COUNT] = { { 30, 28, 27, 24, 20 }, { 57, 51, 44, 38, 32 } };
    struct dice dice = { 0 };

    for (int tiny = 0; tiny < 2; tiny++)
        for (int severity = 1; severity <= SEVERITY_COUNT; severity++) {
            int side = tiny ? 64 : 32, different = 1;
            struct canvas *canvas = easel(side);

            for (int i = 0; i < CHANNELS * side * side; i++)
                canvas->x[i] = (double)(i % side * (256 / side)) / 255;
            pixelate(canvas, numbers("pixelate", tiny ? CORRUPTION_TINY : CORRUPTION_CIFAR, severity), &dice);
            for (int x = 1; x < side; x++)
                different += *at(canvas, 1, 5, x) != *at(canvas, 1, 5, x - 1);
            CHECK_INT(different, sizes[tiny][severity - 1]);
        }
    /* Half the size: the mean of two, rounded up from the middle, in each direction in turn. */
    struct canvas *canvas = easel(64);

    *at(canvas, 0, 10, 20) = 101 / 255.0; /* 50.5 -> 51, then 25.5 -> 26 */
    pixelate(canvas, numbers("pixelate", CORRUPTION_TINY, 5), &dice);
    CHECK_NEAR(*at(canvas, 0, 11, 21), 26 / 255.0, 1e-12);
    CHECK_NEAR(*at(canvas, 0, 12, 21), 0, 0);
}

/* libjpeg itself, without a line of ours in between. */
static void jpeg_itself(uint8_t *rgb, int side, int quality, int *ret_first)
{
    struct jpeg_error_mgr errors;
    struct jpeg_compress_struct out = { .err = jpeg_std_error(&errors) };
    struct jpeg_decompress_struct in = { .err = &errors };
    unsigned char *data = NULL;
    unsigned long size = 0;

    jpeg_create_compress(&out);
    jpeg_mem_dest(&out, &data, &size);
    out.image_width = out.image_height = (JDIMENSION)side;
    out.input_components = 3;
    out.in_color_space = JCS_RGB;
    jpeg_set_defaults(&out);
    jpeg_set_quality(&out, quality, TRUE);
    CHECK_INT(out.comp_info[0].h_samp_factor * 10 + out.comp_info[1].h_samp_factor, 21);
    jpeg_start_compress(&out, TRUE);
    for (int y = 0; y < side; y++)
        jpeg_write_scanlines(&out, &(JSAMPROW){ rgb + y * side * 3 }, 1);
    jpeg_finish_compress(&out);
    jpeg_destroy_compress(&out);
    jpeg_create_decompress(&in);
    jpeg_mem_src(&in, data, size);
    jpeg_read_header(&in, TRUE);
    *ret_first = in.quant_tbl_ptrs[0]->quantval[0];
    jpeg_start_decompress(&in);
    for (int y = 0; y < side; y++)
        jpeg_read_scanlines(&in, &(JSAMPROW){ rgb + y * side * 3 }, 1);
    jpeg_finish_decompress(&in);
    jpeg_destroy_decompress(&in);
    free(data);
}

static void jpeg_is_libjpegs(void)
{
    for (int severity = 1; severity <= SEVERITY_COUNT; severity++) {
        struct canvas *canvas = easel(32);
        const double *p = numbers("jpeg_compression", CORRUPTION_CIFAR, severity);
        uint8_t rgb[CHANNELS * 1024], before[CHANNELS * 1024];
        struct dice dice = dice_of(9);
        int wrong = 0, changed = 0, first, q = (int)p[0], scale = q >= 50 ? 200 - 2 * q : 5000 / q;

        for (int i = 0; i < CHANNELS * 1024; i++) {
            rgb[i % 1024 * 3 + i / 1024] = (uint8_t)dice_int(&dice, 0, 255);
            canvas->x[i] = rgb[i % 1024 * 3 + i / 1024] / 255.0;
        }
        memcpy(before, rgb, sizeof(rgb));
        jpeg_itself(rgb, 32, q, &first);
        CHECK_INT(first, (16 * scale + 50) / 100); /* 16 is the first of the standard's table */
        CHECK_INT(jpeg_compression(canvas, p, &dice), 0);
        for (int i = 0; i < CHANNELS * 1024; i++) {
            wrong += to_byte(canvas->x[i]) != rgb[i % 1024 * 3 + i / 1024];
            changed += rgb[i] != before[i];
        }
        CHECK_INT(wrong, 0);
        CHECK(changed > 100);
    }
}

/* Severity 1 moves three points and nothing else: a slope stays a plane. */
static void elastic_begins_affine(void)
{
    for (int severity = 1; severity <= 2; severity++) {
        struct canvas *canvas = easel(64);
        struct dice dice = dice_of(10);
        double bend = 0, moved = 0;

        for (int i = 0; i < EASEL_IMAGE; i++)
            canvas->x[i] = (i % 64 + 0.5 * (i / 64 % 64)) / 128;
        elastic_transform(canvas, numbers("elastic_transform", CORRUPTION_TINY, severity), &dice);
        for (int y = 24; y < 40; y++)
            for (int x = 24; x < 40; x++) {
                bend = fmax(bend, fabs(*at(canvas, 0, y, x - 1) - 2 * *at(canvas, 0, y, x) + *at(canvas, 0, y, x + 1)));
                bend = fmax(bend, fabs(*at(canvas, 0, y - 1, x) - 2 * *at(canvas, 0, y, x) + *at(canvas, 0, y + 1, x)));
                moved = fmax(moved, fabs(*at(canvas, 0, y, x) - (x + 0.5 * y) / 128));
            }
        CHECK(moved > 1e-3);
        CHECK(severity == 1 ? bend < 1e-12 : bend > 1e-6);
    }
}

static void borders_go_on_as_drawn(void)
{
    static const int expected[3][9] = { { 0, 0, 0, 0, 1, 2, 3, 3, 3 },
                                        { 2, 1, 0, 0, 1, 2, 3, 3, 2 },
                                        { 3, 2, 1, 0, 1, 2, 3, 2, 1 } };

    for (int border = BORDER_NEAREST; border <= BORDER_REFLECT_101; border++)
        for (int i = 0; i < 9; i++)
            CHECK_INT(border_at((enum border)border, i - 3, 4), expected[border][i]);
    CHECK_INT(border_at(BORDER_REFLECT, 32 * 7 + 3, 32), 28);
    CHECK_INT(border_at(BORDER_REFLECT_101, -32 * 9, 32), 22);
}

static const struct check_case cases[] = {
    { "a Gaussian blur has the weights of the formula and repeats the edge", gaussian_weights_are_exact },
    { "a defocus kernel is a disk with a soft edge", disks_are_disks },
    { "motion is blurred along one side of a line", motion_is_a_one_sided_line },
    { "zooms are as many as the published ranges have, and linear", zooms_are_counted_and_linear },
    { "glass copies pixels from near by and swaps none", glass_copies },
    { "fog is a fractal from 0 to 1 in the formula's mixture", plasma_reaches_0_and_1 },
    { "brightness and saturation change V and S of HSV", value_and_saturation_are_those_of_hsv },
    { "snow falls in both directions and lightens what is below", snow_falls_both_ways },
    { "frost is a bluish texture over a dimmed image", frost_lies_over_the_image },
    { "edges, distances and equalised histograms are those of small examples", edges_distances_and_equalisation },
    { "water lightens, and mud covers in its colour", water_lightens_and_mud_covers },
    { "contrast shrinks every channel towards its mean", contrast_keeps_the_mean },
    { "pixels become as many boxes as published, by PIL's rounding", pixels_become_boxes },
    { "JPEG is libjpeg's at the published qualities", jpeg_is_libjpegs },
    { "an elastic transform of severity 1 is affine", elastic_begins_affine },
    { "borders repeat, mirror, and mirror without the edge", borders_go_on_as_drawn },
};

CHECK_MAIN(cases)
