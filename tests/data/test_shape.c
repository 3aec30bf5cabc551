/* Is it known what images are like before a model says what they should be? */
#include "tests/data/files.h"

static void check_shape(struct dataset_spec spec, int count, int c, int side)
{
    int shape[3] = { 0 }, found = 0;
    struct fault why = { 0 };
    int r = dataset_shape(&spec, true, &found, shape, &why);

    if (r < 0)
        CHECK_FAIL("dataset_shape: %d: %s", r, why.message);
    CHECK_INT(found, count);
    CHECK_INT(shape[0], c);
    CHECK_INT(shape[1], side);
    CHECK_INT(shape[2], side);
}

static void every_format_has_a_shape(void)
{
    char *dir = check_tmpdir();

    idx_write(dir, "t10k", "", 3, 28, 28, 3);
    check_shape(spec_of(DATASET_IDX, dir), 3, 1, 28);
    cifar_write(in(dir, "test_batch.bin"), 0, 2);
    check_shape(spec_of(DATASET_CIFAR10, dir), 2, 3, 32);
    tensors_write(dir, "x.safetensors", DTYPE_U8, 2, 3, 20, 20, 3);
    check_shape(spec_of(DATASET_TENSORS, in(dir, "x.safetensors")), 2, 3, 20);
    check_rmdir(dir);
}

static void a_folder_is_as_large_as_its_first_image(void)
{
    char *dir = check_tmpdir();
    struct dataset data;
    struct dataset_spec spec = spec_of(DATASET_IMAGE_FOLDER, dir);
    const int shape[3] = { 3, 64, 64 };

    for (int side = 0; side < 2; side++)
        for (int class = 0; class < 2; class ++) {
            char path[4096], file[4200];

            snprintf(path, sizeof(path), "%s/%s", dir, side ? "test" : "train");
            folder_make(path);
            snprintf(path + strlen(path), sizeof(path) - strlen(path), "/%s", class ? "zebra" : "ant");
            folder_make(path);
            snprintf(file, sizeof(file), "%s/a.jpg", path);
            jpeg_write(file, class, class ? 3 : 1, 64, 64);
            snprintf(file, sizeof(file), "%s/b.png", path);
            png_write(file, class, PNG_COLOR_TYPE_RGB, 8, false, 64, 64);
        }
    check_shape(spec, 4, 3, 64); /* though the first one is gray */
    if (opens(&spec, PROTOCOL_PAPER, shape, 2, ALL, &data)) {
        CHECK_INT(data.test.count, 4);
        CHECK_STRING(data.class_name[0], "ant");
        CHECK_STRING(data.class_name[1], "zebra");
        dataset_done(&data);
    }
    check_rmdir(dir);
}

static void odd_shapes_are_refused(void)
{
    char *dir = check_tmpdir();
    static const int odd[][2] = { { 32, 31 }, { 8, 8 }, { 2000, 2000 } };

    for (int i = 0; i < 3; i++) {
        struct dataset_spec spec = spec_of(DATASET_TENSORS, in(dir, "x.safetensors"));
        struct fault why = { 0 };
        int shape[3] = { -1 }, count;

        tensors_write(dir, "x.safetensors", DTYPE_U8, 1, 3, odd[i][0], odd[i][1], 1);
        CHECK_INT(dataset_shape(&spec, true, &count, shape, &why), -EINVAL);
        CHECK_HOLDS(why.message, "square");
        CHECK_INT(shape[0], -1);
    }
    check_rmdir(dir);
}

static const struct check_case cases[] = {
    { "images in memory formats are as they lie on disk", every_format_has_a_shape },
    { "a folder of images is as large as its first image, and its classes have names",
      a_folder_is_as_large_as_its_first_image },
    { "images that are not square, or too small or large, are refused", odd_shapes_are_refused },
};

CHECK_MAIN(cases)
