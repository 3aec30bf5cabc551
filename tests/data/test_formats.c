/* Do IDX, CIFAR-10 and tensors files arrive as they were written, and is every
 * wrong one refused in words that name it? */
#include "tests/data/files.h"

/* Image i of examples is image `id` of the files, by the pixel formula. */
static void check_pixels(const struct examples *examples, int h, int w, int channels_in_file)
{
    int top = (examples->h - h) / 2, left = (examples->w - w) / 2, wrong = 0;

    for (int i = 0; i < examples->count; i++)
        for (int c = 0; c < examples->c; c++)
            for (int y = 0; y < examples->h; y++)
                for (int x = 0; x < examples->w; x++) {
                    bool inside = y >= top && y < top + h && x >= left && x < left + w;
                    int source = channels_in_file == 1 ? 0 : c;
                    int want = inside ? pixel_at(examples->id[i], source, y - top, x - left) : 0;
                    size_t at = (((size_t)i * examples->c + c) * examples->h + y) * examples->w + x;

                    wrong += examples->u8 ? examples->u8[at] != want : examples->f32[at] != (float)want / 255.0f;
                }
    CHECK_INT(wrong, 0);
}

static void idx_is_padded(void)
{
    static const char *const endings[] = { "", ".gz" };

    for (int e = 0; e < 2; e++) {
        char *dir = check_tmpdir();
        struct dataset_spec spec = spec_of(DATASET_IDX, dir);
        struct dataset data;

        idx_write(dir, "train", endings[e], 40, 28, 28, 5);
        idx_write(dir, "t10k", endings[e], 7, 28, 28, 5);
        if (opens(&spec, PROTOCOL_PAPER, GRAY_32, 10, ALL, &data)) {
            CHECK_INT(data.train.count, 40);
            CHECK_INT(data.validation.count, 0);
            CHECK_INT(data.test.count, 7);
            CHECK_INT(data.num_classes, 5);
            CHECK_INT(data.train.label[13], 3);
            CHECK(data.train.u8 && !data.train.f32);
            check_pixels(&data.train, 28, 28, 1);
            check_pixels(&data.test, 28, 28, 1);
            dataset_done(&data);
            CHECK(!data.train.u8);
        }
        check_rmdir(dir);
    }
}

static void idx_fits_other_models(void)
{
    char *dir = check_tmpdir();
    struct dataset_spec spec = spec_of(DATASET_IDX, dir);
    struct dataset data;

    idx_write(dir, "train", ".gz", 6, 28, 28, 5);
    if (opens(&spec, PROTOCOL_PAPER, COLOUR_32, 10, TRAIN, &data)) {
        CHECK_INT(data.train.c, 3);
        check_pixels(&data.train, 28, 28, 1);
        dataset_done(&data);
    }
    if (opens(&spec, PROTOCOL_PAPER, GRAY_28, 10, TRAIN, &data)) {
        check_pixels(&data.train, 28, 28, 1);
        dataset_done(&data);
    }
    check_rmdir(dir);
}

static void only_wanted_files_are_opened(void)
{
    char *dir = check_tmpdir(), *elsewhere = check_tmpdir();
    struct dataset_spec spec = spec_of(DATASET_IDX, dir);
    struct dataset data;

    idx_write(dir, "t10k", "", 4, 28, 28, 5);
    if (opens(&spec, PROTOCOL_VALIDATION, GRAY_32, 10, TEST, &data)) {
        CHECK_INT(data.test.count, 4);
        CHECK_INT(data.train.count, 0);
        dataset_done(&data);
    }
    CHECK_REFUSED(&spec, GRAY_32, 10, TRAIN, -ENOENT, "train-images");
    idx_write(dir, "train", "", 30, 28, 28, 5);
    idx_write(elsewhere, "t10k", "", 9, 28, 28, 5);
    spec.test_path = elsewhere;
    if (opens(&spec, PROTOCOL_VALIDATION, GRAY_32, 10, ALL, &data)) {
        CHECK_INT(data.train.count, 27);
        CHECK_INT(data.validation.count, 3);
        CHECK_INT(data.test.count, 9);
        dataset_done(&data);
    }
    struct dataset_wants held_out = { .validation = true };

    if (opens(&spec, PROTOCOL_VALIDATION, GRAY_32, 10, held_out, &data)) {
        CHECK_INT(data.train.count, 0);
        CHECK_INT(data.validation.count, 3);
        CHECK(!data.test.u8 && !data.train.u8);
        dataset_done(&data);
    }
    check_rmdir(dir);
    check_rmdir(elsewhere);
}

/* Each row spoils a good pair of files in one place. */
static void bad_idx_is_refused(void)
{
    static const struct {
        const char *file;
        int at; /* byte to change */
        uint8_t value;
        int code;
        const char *words;
    } rows[] = {
        { "train-images-idx3-ubyte", 3, 0x01, -EBADMSG, "train-images-idx3-ubyte: starts with 00000801" },
        { "train-images-idx3-ubyte", 0, 0xff, -EBADMSG, "not IDX images" },
        { "train-images-idx3-ubyte", 7, 11, -EBADMSG, "truncated" },
        { "train-images-idx3-ubyte", 7, 9, -EBADMSG, "longer than its header says" },
        { "train-images-idx3-ubyte", 4, 0xff, -EBADMSG, "holds 4278190090 images" },
        { "train-images-idx3-ubyte", 4, 0x7f, -EBADMSG, "more than the file can hold" },
        { "train-images-idx3-ubyte", 5, 0x01, -EBADMSG, "promises 51388064 bytes, more than the file can hold" },
        { "train-images-idx3-ubyte", 7, 0, -EBADMSG, "holds 0 images" },
        { "train-images-idx3-ubyte", 11, 29, -EINVAL, "1x29x28 does not fit the model's input 1x32x32" },
        { "train-images-idx3-ubyte", 8, 0xff, -EINVAL, "does not fit" },
        { "train-labels-idx1-ubyte", 3, 0x03, -EBADMSG, "train-labels-idx1-ubyte: starts with 00000803" },
        { "train-labels-idx1-ubyte", 7, 11, -EBADMSG, "11 labels for the 10 images" },
        { "train-labels-idx1-ubyte", 8 + 6, 77, -EINVAL, "example 6 has label 77, but the model has 10 classes" },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *dir = check_tmpdir();
        struct dataset_spec spec = spec_of(DATASET_IDX, dir);
        size_t size;

        idx_write(dir, "train", "", 10, 28, 28, 10);
        uint8_t *bytes = file_bytes(in(dir, rows[i].file), &size);

        bytes[rows[i].at] = rows[i].value;
        file_write(in(dir, rows[i].file), bytes, size);
        CHECK_REFUSED(&spec, GRAY_32, 10, TRAIN, rows[i].code, rows[i].words);
        free(bytes);
        check_rmdir(dir);
    }
}

static void a_broken_gzip_is_refused(void)
{
    char *dir = check_tmpdir();
    struct dataset_spec spec = spec_of(DATASET_IDX, dir);
    size_t size;

    idx_write(dir, "train", ".gz", 10, 28, 28, 10);
    uint8_t *bytes = file_bytes(in(dir, "train-images-idx3-ubyte.gz"), &size);

    bytes[size - 6] ^= 1; /* in the checksum */
    file_write(in(dir, "train-images-idx3-ubyte.gz"), bytes, size);
    CHECK_REFUSED(&spec, GRAY_32, 10, TRAIN, -EBADMSG, "train-images-idx3-ubyte.gz: damaged or truncated");
    file_write(in(dir, "train-images-idx3-ubyte.gz"), bytes, size / 2);
    CHECK_REFUSED(&spec, GRAY_32, 10, TRAIN, -EBADMSG, "train-images-idx3-ubyte.gz: damaged or truncated");
    free(bytes);
    check_rmdir(dir);
}

static void cifar_arrives(void)
{
    char *dir = check_tmpdir();
    struct dataset_spec spec = spec_of(DATASET_CIFAR10, dir);
    struct dataset data;

    cifar_write(in(dir, "data_batch_1.bin"), 0, 20);
    cifar_write(in(dir, "data_batch_2.bin"), 20, 13);
    cifar_write(in(dir, "test_batch.bin"), 0, 11);
    if (opens(&spec, PROTOCOL_PAPER, COLOUR_32, 10, ALL, &data)) {
        CHECK_INT(data.train.count, 33);
        CHECK_INT(data.test.count, 11);
        CHECK_INT(data.num_classes, 10);
        CHECK_INT(data.train.label[27], 7);
        CHECK_INT(data.train.id[27], 27);
        check_pixels(&data.train, 32, 32, 3);
        check_pixels(&data.test, 32, 32, 3);
        dataset_done(&data);
    }
    spec.test_path = in(dir, "data_batch_2.bin");
    if (opens(&spec, PROTOCOL_PAPER, COLOUR_32, 10, TEST, &data)) {
        CHECK_INT(data.test.count, 13);
        dataset_done(&data);
    }
    check_rmdir(dir);
}

static void bad_cifar_is_refused(void)
{
    char *dir = check_tmpdir();
    struct dataset_spec spec = spec_of(DATASET_CIFAR10, dir);
    static uint8_t bytes[10001 * CIFAR_RECORD];

    CHECK_REFUSED(&spec, COLOUR_32, 10, TRAIN, -ENOENT, "data_batch_1.bin");
    CHECK_REFUSED(&spec, GRAY_32, 10, TRAIN, -EINVAL, "colour");
    file_write(in(dir, "data_batch_1.bin"), "", 0);
    CHECK_REFUSED(&spec, COLOUR_32, 10, TRAIN, -EBADMSG, "data_batch_1.bin: 0 bytes are not");
    file_write(in(dir, "data_batch_1.bin"), bytes, 2 * CIFAR_RECORD - 1);
    CHECK_REFUSED(&spec, COLOUR_32, 10, TRAIN, -EBADMSG, "6145 bytes are not 1 to 10000 records of 3073 bytes");
    file_write(in(dir, "data_batch_1.bin"), bytes, sizeof(bytes));
    CHECK_REFUSED(&spec, COLOUR_32, 10, TRAIN, -EBADMSG, "are not 1 to 10000 records");
    cifar_write(in(dir, "data_batch_1.bin"), 0, 12);
    CHECK_REFUSED(&spec, COLOUR_32, 5, TRAIN, -EINVAL, "example 5 has label 5, but the model has 5 classes");
    cifar_write(in(dir, "data_batch_3.bin"), 0, 12);
    CHECK_REFUSED(&spec, COLOUR_32, 10, TRAIN, -ENOENT, "data_batch_2.bin");
    bytes[3 * CIFAR_RECORD] = 10;
    file_write(in(dir, "data_batch_2.bin"), bytes, 5 * CIFAR_RECORD);
    CHECK_REFUSED(&spec, COLOUR_32, 100, TRAIN, -EBADMSG, "data_batch_2.bin: record 3 has label 10");
    CHECK_REFUSED(&spec, COLOUR_32, 10, TEST, -ENOENT, "test_batch.bin");
    check_rmdir(dir);
}

static void fine_labels_count(void)
{
    char *dir = check_tmpdir();
    struct dataset_spec spec = spec_of(DATASET_CIFAR100, dir);
    struct dataset data;

    cifar100_write(in(dir, "train.bin"), 0, 120);
    cifar100_write(in(dir, "test.bin"), 7, 9);
    if (opens(&spec, PROTOCOL_PAPER, COLOUR_32, 100, ALL, &data)) {
        CHECK_INT(data.train.count, 120);
        CHECK_INT(data.test.count, 9);
        CHECK_INT(data.num_classes, 100);
        for (int i = 0; i < 120; i++)
            CHECK_INT(data.train.label[i], 99 - i % 100);
        check_pixels(&data.train, 32, 32, 3);
        CHECK_INT(data.test.label[0], 92);
        CHECK_INT(data.test.u8[8 * 3072 + 2 * 1024 + 3 * 32 + 4], pixel_at(15, 2, 3, 4));
        dataset_done(&data);
    }
    spec.test_path = in(dir, "test.bin");
    if (opens(&spec, PROTOCOL_PAPER, COLOUR_32, 100, TEST, &data)) {
        CHECK_INT(data.test.count, 9);
        dataset_done(&data);
    }
    check_rmdir(dir);
}

static void bad_cifar100_is_refused(void)
{
    char *dir = check_tmpdir();
    struct dataset_spec spec = spec_of(DATASET_CIFAR100, dir);
    uint8_t record[CIFAR100_RECORD] = { 20, 3 };

    CHECK_REFUSED(&spec, COLOUR_32, 100, TRAIN, -ENOENT, "train.bin: No such file");
    file_write(in(dir, "train.bin"), record, sizeof(record));
    CHECK_REFUSED(&spec, COLOUR_32, 100, TRAIN, -EBADMSG, "record 0 has coarse label 20, but CIFAR-100 has labels 0 to 19");
    record[0] = 19, record[1] = 100;
    file_write(in(dir, "train.bin"), record, sizeof(record));
    CHECK_REFUSED(&spec, COLOUR_32, 100, TRAIN, -EBADMSG, "record 0 has fine label 100, but CIFAR-100 has labels 0 to 99");
    cifar_write(in(dir, "train.bin"), 0, 3); /* CIFAR-10's, renamed */
    CHECK_REFUSED(&spec, COLOUR_32, 100, TRAIN, -EBADMSG, "9219 bytes are not 1 to 50000 records of 3074 bytes");
    record[1] = 42;
    file_write(in(dir, "train.bin"), record, sizeof(record));
    CHECK_REFUSED(&spec, COLOUR_32, 20, TRAIN, -EINVAL, "label 42, but the model has 20 classes");
    check_rmdir(dir);
}

static void tensors_arrive(void)
{
    static const enum dtype dtypes[] = { DTYPE_U8, DTYPE_F32 };

    for (int d = 0; d < 2; d++) {
        char *dir = check_tmpdir(), *path = strdup(in(dir, "mine.safetensors"));
        struct dataset_spec spec = spec_of(DATASET_TENSORS, path);
        struct dataset data;

        tensors_write(dir, "mine.safetensors", dtypes[d], 12, 3, 32, 32, 4);
        tensors_write(dir, "test.safetensors", dtypes[d], 5, 1, 28, 28, 3);
        if (opens(&spec, PROTOCOL_VALIDATION, COLOUR_32, 10, ALL, &data)) {
            CHECK_INT(data.train.count, 11);
            CHECK_INT(data.validation.count, 1);
            CHECK_INT(data.test.count, 12); /* one file serves both sides */
            CHECK_INT(data.num_classes, 4);
            CHECK(dtypes[d] == DTYPE_U8 ? data.test.u8 && !data.test.f32 : data.test.f32 && !data.test.u8);
            check_pixels(&data.train, 32, 32, 3);
            check_pixels(&data.test, 32, 32, 3);
            dataset_done(&data);
        }
        spec.test_path = in(dir, "test.safetensors");
        if (opens(&spec, PROTOCOL_VALIDATION, COLOUR_32, 10, ALL, &data)) {
            CHECK_INT(data.test.count, 5);
            CHECK_INT(data.num_classes, 4);
            check_pixels(&data.test, 28, 28, 1);
            dataset_done(&data);
        }
        free(path);
        check_rmdir(dir);
    }
}

/* A tensors file with exactly these tensors. */
static void tensors_put(const char *dir, struct safetensor x, struct safetensor y)
{
    struct safetensor both[] = { x, y };
    int count = y.name ? 2 : 1;

    for (int i = 0; i < count; i++) {
        both[i].size = dtype_size(both[i].dtype);
        for (int k = 0; k < both[i].rank; k++)
            both[i].size *= (size_t)both[i].shape[k];
    }
    must(safetensors_write(dir, "x", both, count, NULL, NULL, NULL, NULL) == 0, dir);
}

static void bad_tensors_are_refused(void)
{
    char *dir = check_tmpdir(), *path = strdup(in(dir, "x"));
    struct dataset_spec spec = spec_of(DATASET_TENSORS, path);
    static float zeros[4 * 3 * 32 * 32];
    static int64_t good[4] = { 0, 1, 2, 3 }, wild[4] = { 0, 1, (int64_t)1 << 32, 3 }, negative[4] = { 0, -1, 0, 0 };
    struct safetensor x = { "x", DTYPE_F32, 4, { 4, 3, 32, 32 }, zeros }, y = { "y", DTYPE_I64, 1, { 4 }, good };
    struct safetensor flat = { "x", DTYPE_F32, 2, { 4, 3 }, zeros },
                      wide = { "x", DTYPE_F64, 4, { 1, 3, 32, 32 }, zeros };
    struct safetensor wrong_size = { "x", DTYPE_F32, 4, { 4, 3, 16, 32 }, zeros };
    struct safetensor none = { "x", DTYPE_F32, 4, { 0, 3, 32, 32 }, zeros },
                      no_label = { "y", DTYPE_I64, 1, { 0 }, good };
    struct safetensor short_y = { "y", DTYPE_I64, 1, { 3 }, good }, narrow = { "y", DTYPE_I32, 1, { 4 }, good };
    struct safetensor wild_y = { "y", DTYPE_I64, 1, { 4 }, wild }, negative_y = { "y", DTYPE_I64, 1, { 4 }, negative };
    struct {
        struct safetensor x, y;
        const char *words;
    } rows[] = {
        { x, { 0 }, "has no tensor `y`" },
        { y, { 0 }, "has no tensor `x`" },
        { flat, y, "x must be U8 or F32 of shape [N,C,H,W]" },
        { wide, y, "x must be U8 or F32 of shape [N,C,H,W]" },
        { wrong_size, y, "3x16x32 does not fit the model's input 3x32x32" },
        { none, no_label, "holds 0 images" },
        { x, short_y, "4 images in x, but 3 labels in y" },
        { x, narrow, "y must be I64" },
        { x, wild_y, "example 2 has label 4294967296, but the model has 10 classes" },
        { x, negative_y, "example 1 has label -1" },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        tensors_put(dir, rows[i].x, rows[i].y);
        CHECK_REFUSED(&spec, COLOUR_32, 10, TEST, -EINVAL, rows[i].words);
    }
    unlink(path);
    CHECK_REFUSED(&spec, COLOUR_32, 10, TEST, -ENOENT, path);
    free(path);
    check_rmdir(dir);
}

static void real_pixels_stay_in_range(void)
{
    static const struct {
        float value;
        bool fine;
    } rows[] = { { 0.0f, true },  { 1.0f, true },     { -5e-7f, true },    { 1.0000005f, true },
                 { 1.1f, false }, { -0.001f, false }, { INFINITY, false }, { -INFINITY, false },
                 { NAN, false },  { 1.00001f, false } };
    char *dir = check_tmpdir(), *path = strdup(in(dir, "x"));
    struct dataset_spec spec = spec_of(DATASET_TENSORS, path);
    static float pixels[3 * 3 * 32 * 32];
    static int64_t labels[3];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        pixels[2 * 3072 + 17] = rows[i].value;
        tensors_put(dir, (struct safetensor){ "x", DTYPE_F32, 4, { 3, 3, 32, 32 }, pixels },
                    (struct safetensor){ "y", DTYPE_I64, 1, { 3 }, labels });
        if (!rows[i].fine) {
            CHECK_REFUSED(&spec, COLOUR_32, 10, TEST, -EINVAL, "example 2 has a pixel of");
            continue;
        }
        struct dataset data;

        if (opens(&spec, PROTOCOL_PAPER, COLOUR_32, 10, TEST, &data)) {
            float read[3072];

            CHECK(data.test.f32[2 * 3072 + 17] == fminf(fmaxf(rows[i].value, 0), 1));
            examples_read(&data.test, 2, 1, read);
            CHECK(read[17] == data.test.f32[2 * 3072 + 17]);
            dataset_done(&data);
        }
    }
    free(path);
    check_rmdir(dir);
}

static void bytes_read_as_floats(void)
{
    char *dir = check_tmpdir();
    struct dataset_spec spec = spec_of(DATASET_CIFAR10, dir);
    struct dataset data;

    cifar_write(in(dir, "test_batch.bin"), 0, 4);
    if (opens(&spec, PROTOCOL_PAPER, COLOUR_32, 10, TEST, &data)) {
        float *read = malloc(2 * 3072 * sizeof(*read));
        int wrong = 0;

        examples_read(&data.test, 1, 2, read);
        for (int i = 0; i < 2 * 3072; i++)
            wrong += read[i] != (float)pixel_at(1 + i / 3072, i % 3072 / 1024, i % 1024 / 32, i % 32) / 255.0f;
        CHECK_INT(wrong, 0);
        free(read);
        dataset_done(&data);
    }
    check_rmdir(dir);
}

static void a_path_is_needed(void)
{
    struct dataset_spec spec = spec_of(DATASET_IDX, NULL);

    CHECK_REFUSED(&spec, GRAY_32, 10, TRAIN, -EINVAL, "dataset.path is not given");
    spec.path = "/nonexistent/place";
    for (int f = DATASET_CIFAR10; f <= DATASET_TENSORS; f++) {
        spec.format = f;
        CHECK_REFUSED(&spec, COLOUR_32, 10, TRAIN, -ENOENT, "/nonexistent/place");
    }
}

static const struct check_case cases[] = {
    { "IDX images, gzipped or not, are padded from 28 to 32 pixels", idx_is_padded },
    { "IDX images are repeated for a colour model and kept at 28 for a 28 pixel model", idx_fits_other_models },
    { "only the files that are wanted are opened", only_wanted_files_are_opened },
    { "an IDX file that is wrong in one place is refused by name", bad_idx_is_refused },
    { "a gzip with a wrong checksum or a missing half is refused", a_broken_gzip_is_refused },
    { "CIFAR-10 batches arrive in order, channel by channel", cifar_arrives },
    { "CIFAR-10 files of wrong size, label or number are refused", bad_cifar_is_refused },
    { "of CIFAR-100's two labels the fine one counts", fine_labels_count },
    { "CIFAR-100 files of wrong size or label are refused", bad_cifar100_is_refused },
    { "tensors files arrive as bytes or floats and serve both sides", tensors_arrive },
    { "tensors of wrong type, shape, count or label are refused", bad_tensors_are_refused },
    { "float pixels outside 0..1 are refused, rounding is clamped", real_pixels_stay_in_range },
    { "bytes are read as floats, value / 255", bytes_read_as_floats },
    { "a missing path is named", a_path_is_needed },
};

CHECK_MAIN(cases)
