/* Are trees of JPEG and PNG files read as they were written, in an order that
 * depends on nothing but their names? */
#include "tests/data/files.h"

#include <omp.h>

static void tree_make(const char *dir)
{
    static const char *const folders[] = { "train", "train/b", "train/a", "train/C", "test", "test/a", "test/b" };

    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
        folder_make(in(dir, folders[i]));
}

static void a_tree_is_sorted_by_name(void)
{
    char *dir = check_tmpdir();
    struct dataset_spec spec = spec_of(DATASET_IMAGE_FOLDER, dir);
    struct dataset data;

    tree_make(dir);
    png_write(in(dir, "train/b/2.png"), 2, PNG_COLOR_TYPE_RGB, 8, false, 32, 32);
    png_write(in(dir, "train/b/10.PNG"), 1, PNG_COLOR_TYPE_RGB, 8, false, 32, 32);
    png_write(in(dir, "train/a/x.png"), 3, PNG_COLOR_TYPE_RGB, 8, false, 32, 32);
    png_write(in(dir, "train/C/x.jpeg"), 4, PNG_COLOR_TYPE_RGB, 8, false, 32, 32); /* a PNG by its bytes */
    png_write(in(dir, "test/b/x.png"), 5, PNG_COLOR_TYPE_RGB, 8, false, 32, 32);
    png_write(in(dir, "test/a/x.png"), 6, PNG_COLOR_TYPE_RGB, 8, false, 32, 32);
    file_write(in(dir, "train/a/.hidden.png"), "x", 1);
    file_write(in(dir, "train/a/notes.txt"), "x", 1);
    file_write(in(dir, "train/README"), "x", 1);
    folder_make(in(dir, "train/.git"));
    if (opens(&spec, PROTOCOL_PAPER, COLOUR_32, 10, ALL, &data)) {
        static const int image[] = { 4, 3, 1, 2 }, label[] = { 0, 1, 2, 2 }; /* C < a < b, "10" < "2" */

        CHECK_INT(data.num_classes, 3);
        CHECK_INT(data.train.count, 4);
        for (int i = 0; i < 4; i++) {
            CHECK_INT(data.train.label[i], label[i]);
            CHECK_INT(data.train.id[i], i);
            CHECK_INT(data.train.u8[i * 3072 + 1024 + 32 + 5], pixel_at(image[i], 1, 1, 5));
        }
        CHECK_INT(data.test.count, 2);
        CHECK_INT(data.test.label[0], 1); /* a, although C has no test image */
        CHECK_INT(data.test.label[1], 2);
        dataset_done(&data);
    }
    check_rmdir(dir);
}

static void every_png_flavour_arrives(void)
{
    static const struct {
        int type, depth, channels; /* channels: of the result */
    } rows[] = {
        { PNG_COLOR_TYPE_GRAY, 1, 1 },       { PNG_COLOR_TYPE_GRAY, 2, 1 },        { PNG_COLOR_TYPE_GRAY, 4, 1 },
        { PNG_COLOR_TYPE_GRAY, 8, 1 },       { PNG_COLOR_TYPE_GRAY, 16, 1 },       { PNG_COLOR_TYPE_GRAY_ALPHA, 8, 1 },
        { PNG_COLOR_TYPE_RGB, 8, 3 },        { PNG_COLOR_TYPE_RGB, 16, 3 },        { PNG_COLOR_TYPE_RGB_ALPHA, 8, 3 },
        { PNG_COLOR_TYPE_RGB_ALPHA, 16, 3 }, { PNG_COLOR_TYPE_GRAY_ALPHA, 16, 1 }, { PNG_COLOR_TYPE_PALETTE, 8, 3 },
        { PNG_COLOR_TYPE_PALETTE, 4, 3 },    { PNG_COLOR_TYPE_PALETTE, 1, 3 },
    };

    for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
        int type = rows[i / 2].type, depth = rows[i / 2].depth, channels = rows[i / 2].channels, wrong = 0;
        char *dir = check_tmpdir();
        struct dataset_spec spec = spec_of(DATASET_IMAGE_FOLDER, dir);
        struct dataset data;

        folder_make(in(dir, "train"));
        folder_make(in(dir, "train/one"));
        png_write(in(dir, "train/one/x.png"), 3, type, depth, i % 2, 32, 32);
        if (channels == 3)
            CHECK_REFUSED(&spec, GRAY_32, 10, TRAIN, -EINVAL, "x.png: colour (3x32x32), but the model's input is gray");
        if (opens(&spec, PROTOCOL_PAPER, channels == 1 ? GRAY_32 : COLOUR_32, 10, TRAIN, &data)) {
            for (int e = 0; e < channels * 1024; e++) {
                int sample = pixel_at(3, type == PNG_COLOR_TYPE_PALETTE ? 0 : e / 1024, e % 1024 / 32, e % 32);
                int cut = depth < 8 ? sample >> (8 - depth) : sample;
                const int colour[] = { cut, 255 - cut, (uint8_t)(cut * 7) };
                int want = type == PNG_COLOR_TYPE_PALETTE ? colour[e / 1024]
                           : depth < 8                    ? cut * 255 / ((1 << depth) - 1)
                                                          : cut;

                wrong += data.train.u8[e] != want;
            }
            if (wrong)
                CHECK_FAIL("colour type %d, %d bits%s: %d wrong pixels", type, depth, i % 2 ? ", interlaced" : "",
                           wrong);
            dataset_done(&data);
        }
        check_rmdir(dir);
    }
}

static void jpegs_arrive(void)
{
    char *dir = check_tmpdir();
    struct dataset_spec spec = spec_of(DATASET_IMAGE_FOLDER, dir);
    struct dataset data;

    folder_make(in(dir, "train"));
    folder_make(in(dir, "train/one"));
    jpeg_write(in(dir, "train/one/colour.jpg"), 1, 3, 32, 32);
    jpeg_write(in(dir, "train/one/gray.JPEG"), 2, 1, 32, 32);
    jpeg_write(in(dir, "train/one/small.jpg"), 0, 1, 28, 28);
    if (opens(&spec, PROTOCOL_PAPER, COLOUR_32, 10, TRAIN, &data)) {
        int far = 0, outside = 0;

        CHECK_INT(data.train.count, 3);
        for (int e = 0; e < 3072; e++) {
            int c = e / 1024, y = e % 1024 / 32, x = e % 32;
            bool inside = y >= 2 && y < 30 && x >= 2 && x < 30;

            far += abs(data.train.u8[e] - (40 + 2 * y + 3 * x + 20 * c)) > 4; /* lossy, even at 100 */
            far += abs(data.train.u8[3072 + e] - (80 + 2 * y + 3 * x)) > 4;   /* repeated over channels */
            outside += !inside && data.train.u8[6144 + e] != 0;
            far += inside && abs(data.train.u8[6144 + e] - (2 * (y - 2) + 3 * (x - 2))) > 4;
        }
        CHECK_INT(far, 0);
        CHECK_INT(outside, 0);
        dataset_done(&data);
    }
    CHECK_REFUSED(&spec, GRAY_32, 10, TRAIN, -EINVAL, "colour.jpg: colour");
    jpeg_write(in(dir, "train/one/a.jpg"), 1, 3, 40, 32);
    CHECK_REFUSED(&spec, COLOUR_32, 10, TRAIN, -EINVAL, "a.jpg: 3x40x32 does not fit the model's input 3x32x32");
    jpeg_write(in(dir, "train/one/a.jpg"), 1, 4, 32, 32);
    CHECK_REFUSED(&spec, COLOUR_32, 10, TRAIN, -EINVAL, "a.jpg: a JPEG of 4 components (CMYK?)");
    check_rmdir(dir);
}

static void the_first_bad_file_is_reported(void)
{
    char *dir = check_tmpdir();
    struct dataset_spec spec = spec_of(DATASET_IMAGE_FOLDER, dir);
    int threads = omp_get_max_threads();

    folder_make(in(dir, "train"));
    folder_make(in(dir, "train/one"));
    for (int i = 0; i < 300; i++) {
        char name[64];

        snprintf(name, sizeof(name), "train/one/%03d.png", i);
        if (i >= 37 && i % 3 == 1)
            file_write(in(dir, name), "not an image", 12);
        else
            png_write(in(dir, name), i, PNG_COLOR_TYPE_RGB, 8, false, 32, 32);
    }
    omp_set_num_threads(4);
    for (int round = 0; round < 20; round++)
        CHECK_REFUSED(&spec, COLOUR_32, 10, TRAIN, -EBADMSG, "037.png: neither a JPEG nor a PNG (12 bytes)");
    omp_set_num_threads(threads);
    check_rmdir(dir);
}

static void threads_change_nothing(void)
{
    char *dir = check_tmpdir();
    struct dataset_spec spec = spec_of(DATASET_IMAGE_FOLDER, dir);
    int threads = omp_get_max_threads();
    struct dataset data[2];

    tree_make(dir);
    for (int i = 0; i < 150; i++) {
        char name[64];

        snprintf(name, sizeof(name), "train/%c/%d.jpg", "Cab"[i % 3], i);
        jpeg_write(in(dir, name), i, 3, 32, 32);
    }
    spec.train_limit = 120;
    for (int k = 0; k < 2; k++) {
        omp_set_num_threads(k ? 5 : 1);
        must(opens(&spec, PROTOCOL_VALIDATION, COLOUR_32, 10, (struct dataset_wants){ true, true, false }, &data[k]),
             dir);
    }
    omp_set_num_threads(threads);
    CHECK_INT(data[0].train.count, 108);
    CHECK_INT(memcmp(data[0].train.u8, data[1].train.u8, 108 * 3072), 0);
    CHECK_INT(memcmp(data[0].train.id, data[1].train.id, 108 * sizeof(int32_t)), 0);
    CHECK_INT(memcmp(data[0].validation.u8, data[1].validation.u8, 12 * 3072), 0);
    dataset_done(&data[0]);
    dataset_done(&data[1]);
    check_rmdir(dir);
}

static void unwanted_files_are_not_decoded(void)
{
    char *dir = check_tmpdir();
    struct dataset_spec spec = spec_of(DATASET_IMAGE_FOLDER, dir);
    struct dataset data;
    char name[64];

    folder_make(in(dir, "train"));
    folder_make(in(dir, "train/one"));
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof(name), "train/one/%d.png", i);
        png_write(in(dir, name), i, PNG_COLOR_TYPE_RGB, 8, false, 32, 32);
    }
    spec.train_limit = 4;
    must(opens(&spec, PROTOCOL_PAPER, COLOUR_32, 10, TRAIN, &data), dir);
    bool chosen[10] = { false };

    for (int i = 0; i < 4; i++)
        chosen[data.train.id[i]] = true;
    dataset_done(&data);
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof(name), "train/one/%d.png", i);
        if (!chosen[i])
            file_write(in(dir, name), "broken", 6);
    }
    if (opens(&spec, PROTOCOL_PAPER, COLOUR_32, 10, TRAIN, &data))
        dataset_done(&data);
    spec.train_limit = 0;
    CHECK_REFUSED(&spec, COLOUR_32, 10, TRAIN, -EBADMSG, "neither a JPEG nor a PNG");
    check_rmdir(dir);
}

static void bad_trees_are_refused(void)
{
    char *dir = check_tmpdir();
    struct dataset_spec spec = spec_of(DATASET_IMAGE_FOLDER, dir);
    struct dataset data;

    CHECK_REFUSED(&spec, COLOUR_32, 10, TRAIN, -ENOENT, "/train: No such file");
    file_write(in(dir, "train"), "x", 1);
    CHECK_REFUSED(&spec, COLOUR_32, 10, TRAIN, -ENOTDIR, "/train: Not a directory");
    unlink(in(dir, "train"));
    folder_make(in(dir, "train"));
    CHECK_REFUSED(&spec, COLOUR_32, 10, TRAIN, -EINVAL, "/train: holds no class folders");
    folder_make(in(dir, "train/a"));
    folder_make(in(dir, "train/b"));
    png_write(in(dir, "train/a/x.png"), 0, PNG_COLOR_TYPE_RGB, 8, false, 32, 32);
    CHECK_REFUSED(&spec, COLOUR_32, 10, TRAIN, -EINVAL, "/train/b: holds no images");
    png_write(in(dir, "train/b/x.png"), 0, PNG_COLOR_TYPE_RGB, 8, false, 32, 32);
    CHECK_REFUSED(&spec, COLOUR_32, 1, TRAIN, -EINVAL, "2 classes, but the model has 1 (model.num_classes)");
    CHECK_REFUSED(&spec, COLOUR_32, 10, TEST, -ENOENT, "/test: No such file");
    folder_make(in(dir, "val"));
    folder_make(in(dir, "val/b"));
    png_write(in(dir, "val/b/x.png"), 7, PNG_COLOR_TYPE_RGB, 8, false, 32, 32);
    if (opens(&spec, PROTOCOL_PAPER, COLOUR_32, 10, TEST, &data)) { /* val serves when there is no test */
        CHECK_INT(data.test.label[0], 1);
        CHECK_INT(data.num_classes, 2);
        dataset_done(&data);
    }
    folder_make(in(dir, "val/stranger"));
    CHECK_REFUSED(&spec, COLOUR_32, 10, TEST, -EINVAL, "class `stranger` is not among the 2 classes");
    spec.test_path = in(dir, "train/a/x.png");
    CHECK_REFUSED(&spec, COLOUR_32, 10, TEST, -ENOTDIR, "x.png: Not a directory");
    spec.test_path = in(dir, "train");
    if (opens(&spec, PROTOCOL_PAPER, COLOUR_32, 10, TEST, &data)) {
        CHECK_INT(data.test.count, 2);
        dataset_done(&data);
    }
    spec.test_path = NULL;
    file_write(in(dir, "train/a/empty.jpg"), "", 0);
    CHECK_REFUSED(&spec, COLOUR_32, 10, TRAIN, -EBADMSG, "empty.jpg: neither a JPEG nor a PNG (0 bytes)");
    unlink(in(dir, "train/a/empty.jpg"));
    folder_make(in(dir, "train/a/y.jpg"));
    CHECK_REFUSED(&spec, COLOUR_32, 10, TRAIN, -EISDIR, "y.jpg");
    check_rmdir(dir);
}

static const struct check_case cases[] = {
    { "a tree is read in the order of its names, whatever is lying about", a_tree_is_sorted_by_name },
    { "every PNG flavour becomes 8-bit gray or colour", every_png_flavour_arrives },
    { "JPEGs arrive, gray ones repeated, small ones padded", jpegs_arrive },
    { "the first bad file in order is the one reported", the_first_bad_file_is_reported },
    { "the number of threads changes nothing", threads_change_nothing },
    { "files that a limit leaves out are not decoded", unwanted_files_are_not_decoded },
    { "trees without classes, images or known names are refused", bad_trees_are_refused },
};

CHECK_MAIN(cases)
