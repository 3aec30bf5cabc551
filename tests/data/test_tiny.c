/* Is Tiny-ImageNet read with the right class for every image, however val/ was
 * left, and refused where it was left half? */
#include "tests/data/files.h"

static const int COLOUR_64[3] = { 3, 64, 64 };

/* Classes are n..1, n..5, n..9; files were written in the order n..9, n..1, n..5. */
static const int test_labels[] = { 0, 1, 2 }, test_images[] = { 11, 12, 10 };

/* jpeg_write's pixel; quality 100 keeps it within a few steps. */
static void check_image(const struct examples *examples, int at, int image, bool gray)
{
    const uint8_t *pixel = examples->u8 + (size_t)at * 3 * 64 * 64;

    for (int c = 0; c < 3; c++)
        for (int e = 0; e < 64 * 64; e += 517) {
            int want = (uint8_t)(image * 40 + 2 * (e / 64) + 3 * (e % 64) + (gray ? 0 : 20 * c));
            int is = pixel[c * 64 * 64 + e];

            if (want < 16 || want > 240) /* beside the jump from 255 to 0 */
                continue;
            if (abs(is - want) > 8)
                CHECK_FAIL("image %d, channel %d, pixel %d: %d, expected %d", image, c, e, is, want);
        }
}

static void check_test(const struct dataset *data)
{
    CHECK_INT(data->test.count, 3);
    for (int i = 0; i < 3 && data->test.count == 3; i++) {
        CHECK_INT(data->test.label[i], test_labels[i]);
        CHECK_INT(data->test.id[i], i);
        check_image(&data->test, i, test_images[i], test_images[i] == 11);
    }
}

static void the_published_layout(void)
{
    char *dir = check_tmpdir();
    struct dataset_spec spec = spec_of(DATASET_TINY_IMAGENET, dir);
    struct dataset data;

    tiny_write(dir);
    if (opens(&spec, PROTOCOL_PAPER, COLOUR_64, 200, ALL, &data)) {
        static const int images[] = { 2, 3, 4, 5, 0, 1 };

        CHECK_INT(data.num_classes, 3);
        CHECK_STRING(data.class_name[0], "n00000001");
        CHECK_STRING(data.class_name[2], "n00000009");
        CHECK_INT(data.train.count, 6);
        for (int i = 0; i < 6 && data.train.count == 6; i++) {
            CHECK_INT(data.train.label[i], i / 2);
            check_image(&data.train, i, images[i], false);
        }
        check_test(&data);
        dataset_done(&data);
    }
    check_rmdir(dir);
}

static void move(const char *dir, const char *from, const char *to)
{
    must(rename(in(dir, from), in(dir, to)) == 0, from);
}

/* val/images/val_K.JPEG to val/WNID/[images/]. */
static void val_sort(const char *dir, const char *below, int first, int end)
{
    static const char *const wnids[] = { "n00000009", "n00000001", "n00000005" };
    char from[64], to[128];

    for (int k = first; k < end; k++) {
        snprintf(to, sizeof(to), "val/%s", wnids[k]);
        folder_make(in(dir, to));
        snprintf(to, sizeof(to), "val/%s%s", wnids[k], below);
        folder_make(in(dir, to));
        snprintf(from, sizeof(from), "val/images/val_%d.JPEG", k);
        snprintf(to, sizeof(to), "val/%s%s/val_%d.JPEG", wnids[k], below, k);
        move(dir, from, to);
    }
}

static void a_sorted_val_gives_the_same(void)
{
    for (int images = 0; images < 2; images++) {
        char *dir = check_tmpdir();
        struct dataset_spec spec = spec_of(DATASET_TINY_IMAGENET, dir);
        struct dataset data;

        tiny_write(dir);
        val_sort(dir, images ? "/images" : "", 0, 3);
        must(rmdir(in(dir, "val/images")) == 0, "val/images");
        if (opens(&spec, PROTOCOL_PAPER, COLOUR_64, 200, TEST, &data)) {
            check_test(&data);
            dataset_done(&data);
        }
        check_rmdir(dir);
    }
}

static void a_half_sorted_val_is_refused(void)
{
    char *dir = check_tmpdir();
    struct dataset_spec spec = spec_of(DATASET_TINY_IMAGENET, dir);

    tiny_write(dir);
    val_sort(dir, "", 0, 2);
    CHECK_REFUSED(&spec, COLOUR_64, 200, TEST, -EINVAL, "val: holds both images/ and class folders (n00000001)");
    must(remove(in(dir, "val/images/val_2.JPEG")) == 0 && rmdir(in(dir, "val/images")) == 0, "val/images");
    CHECK_REFUSED(
        &spec, COLOUR_64, 200, TEST, -EINVAL,
        "val: holds neither images/ with val_annotations.txt nor a folder for each of the 3 classes of train/ "
        "(2 are there)");
    check_rmdir(dir);
}

static void the_list_and_the_files_must_agree(void)
{
    static const struct {
        const char *list, *words;
        int code;
    } rows[] = {
        { "val_0.JPEG\tn00000009\nval_1.JPEG\tn00000001\n", "val_2.JPEG: has no line in ", -EINVAL },
        { "val_0.JPEG\tn00000009\nval_7.JPEG\tn00000001\n", "images/val_7.JPEG: is not there, but val_annotations.txt",
          -EINVAL },
        { "val_0.JPEG\tn00000009\nval_0.JPEG\tn00000001\n", "names `val_0.JPEG` twice", -EBADMSG },
        { "val_0.JPEG\tn00000002\n", "line 1: class `n00000002` is not among the 3 classes", -EINVAL },
        { "val_0.JPEG n00000009\n", "line 1 is not a file name, a tab and a class", -EBADMSG },
        { "\n\n../train/x.JPEG\tn00000009\n", "line 3 is not a file name", -EBADMSG },
        { "\tn00000009\n", "line 1 is not a file name", -EBADMSG },
        { "\n", "names no image", -EBADMSG },
        { "", "names no image", -EBADMSG },
    };
    char *dir = check_tmpdir();
    struct dataset_spec spec = spec_of(DATASET_TINY_IMAGENET, dir);
    struct dataset data;
    static const char dos[] = "val_0.JPEG\tn00000009\t1\r\nval_1.JPEG\tn00000001\r\n\r\nval_2.JPEG\tn00000005";

    tiny_write(dir);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        file_write(in(dir, "val/val_annotations.txt"), rows[i].list, strlen(rows[i].list));
        CHECK_REFUSED(&spec, COLOUR_64, 200, TEST, rows[i].code, rows[i].words);
    }
    file_write(in(dir, "val/val_annotations.txt"), dos, sizeof(dos) - 1);
    if (opens(&spec, PROTOCOL_PAPER, COLOUR_64, 200, TEST, &data)) {
        check_test(&data);
        dataset_done(&data);
    }
    must(remove(in(dir, "val/val_annotations.txt")) == 0, "val_annotations.txt");
    CHECK_REFUSED(&spec, COLOUR_64, 200, TEST, -ENOENT, "val/val_annotations.txt: cannot be read: No such file");
    check_rmdir(dir);
}

static void other_trees_are_refused(void)
{
    char *dir = check_tmpdir();
    struct dataset_spec spec = spec_of(DATASET_TINY_IMAGENET, dir);

    CHECK_REFUSED(&spec, COLOUR_64, 200, TRAIN, -ENOENT, "train: No such file");
    folder_make(in(dir, "train"));
    CHECK_REFUSED(&spec, COLOUR_64, 200, TRAIN, -EINVAL, "train: holds no class folders");
    tiny_write(dir);
    CHECK_REFUSED(&spec, COLOUR_64, 2, TRAIN, -EINVAL, "3 classes, but the model has 2");
    CHECK_REFUSED(&spec, COLOUR_32, 200, TRAIN, -EINVAL, "JPEG: 3x64x64 does not fit the model's input 3x32x32");
    folder_make(in(dir, "train/n00000002"));
    folder_make(in(dir, "train/n00000002/images"));
    CHECK_REFUSED(&spec, COLOUR_64, 200, TRAIN, -EINVAL, "n00000002/images: holds no images");
    check_rmdir(dir);
}

static const struct check_case cases[] = {
    { "the published layout: classes by sorted folder, labels by val_annotations.txt, gray as colour",
      the_published_layout },
    { "a val/ that was sorted into classes gives the same examples in the same order", a_sorted_val_gives_the_same },
    { "a val/ that was sorted half is refused", a_half_sorted_val_is_refused },
    { "val_annotations.txt and val/images must agree", the_list_and_the_files_must_agree },
    { "trees that are not Tiny-ImageNet are refused", other_trees_are_refused },
};

CHECK_MAIN(cases)
