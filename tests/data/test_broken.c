/* Can a damaged file do harm?
 *
 * Every file is cut at many places, which must always be an error, and has
 * random bytes overwritten, which may be one but must never crash, hang or read
 * outside (the sanitizers watch). The same damage in every run. */
#include "tests/data/files.h"

#include "gpu/backend/philox.h"

enum { FLIP_ROUNDS = 2000, UNREAD_BOX = 11 /* bytes at the end of the last line of val_annotations.txt */ };

static const struct sample {
    const char *file; /* the one that is damaged */
    enum dataset_format format;
    int input[3];
} samples[] = {
    { "train-images-idx3-ubyte", DATASET_IDX, { 1, 32, 32 } },
    { "train-labels-idx1-ubyte", DATASET_IDX, { 1, 32, 32 } },
    { "train-images-idx3-ubyte.gz", DATASET_IDX, { 1, 32, 32 } },
    { "train-labels-idx1-ubyte.gz", DATASET_IDX, { 1, 32, 32 } },
    { "data_batch_1.bin", DATASET_CIFAR10, { 3, 32, 32 } },
    { "train.bin", DATASET_CIFAR100, { 3, 32, 32 } },
    { "val/val_annotations.txt", DATASET_TINY_IMAGENET, { 3, 64, 64 } },
    { "val/images/val_0.JPEG", DATASET_TINY_IMAGENET, { 3, 64, 64 } },
    { "u8.safetensors", DATASET_TENSORS, { 3, 32, 32 } },
    { "f32.safetensors", DATASET_TENSORS, { 3, 32, 32 } },
    { "train/one/colour.jpg", DATASET_IMAGE_FOLDER, { 3, 32, 32 } },
    { "train/one/gray.jpg", DATASET_IMAGE_FOLDER, { 3, 32, 32 } },
    { "train/one/colour.png", DATASET_IMAGE_FOLDER, { 3, 32, 32 } },
    { "train/one/palette.png", DATASET_IMAGE_FOLDER, { 3, 32, 32 } },
    { "train/one/sixteen.png", DATASET_IMAGE_FOLDER, { 3, 32, 32 } },
};
enum { SAMPLES = sizeof(samples) / sizeof(samples[0]) };

/* A directory with just this sample and what goes with it. */
static char *sample_make(const struct sample *sample)
{
    char *dir = check_tmpdir();
    const char *path = in(dir, sample->file), *ending = strstr(sample->file, ".gz") ? ".gz" : "";

    if (sample->format == DATASET_IDX)
        idx_write(dir, "train", ending, 3, 28, 28, 10);
    if (sample->format == DATASET_CIFAR10)
        cifar_write(path, 0, 2);
    if (sample->format == DATASET_CIFAR100)
        cifar100_write(path, 0, 2);
    if (sample->format == DATASET_TINY_IMAGENET)
        tiny_write(dir);
    if (sample->format == DATASET_TENSORS)
        tensors_write(dir, sample->file, *sample->file == 'u' ? DTYPE_U8 : DTYPE_F32, 2, 3, 32, 32, 10);
    if (sample->format == DATASET_IMAGE_FOLDER) {
        folder_make(in(dir, "train"));
        folder_make(in(dir, "train/one"));
        if (strstr(path, ".jpg"))
            jpeg_write(path, 1, strstr(path, "gray") ? 1 : 3, 32, 32);
        else
            png_write(path, 1, strstr(path, "palette") ? PNG_COLOR_TYPE_PALETTE : PNG_COLOR_TYPE_RGB,
                      strstr(path, "sixteen") ? 16 : 8, strstr(path, "sixteen"), 32, 32);
    }
    return dir;
}

static int sample_open(const struct sample *sample, const char *dir, struct fault *why)
{
    struct dataset_spec spec = spec_of(sample->format, sample->format == DATASET_TENSORS ? in(dir, sample->file) : dir);
    struct dataset data;
    int r = dataset_open(&spec, PROTOCOL_PAPER, sample->input, sample->format == DATASET_CIFAR100 ? 100 : 10,
                         sample->format == DATASET_TINY_IMAGENET ? TEST : TRAIN, &data, why);

    if (r == 0)
        dataset_done(&data);
    return r;
}

static void every_cut_is_an_error(void)
{
    for (int s = 0; s < SAMPLES; s++) {
        char *dir = sample_make(&samples[s]);
        const char *name = strrchr(samples[s].file, '/') ? strrchr(samples[s].file, '/') + 1 : samples[s].file;
        struct fault why = { 0 };
        size_t size, step;
        uint8_t *bytes = file_bytes(in(dir, samples[s].file), &size);

        CHECK_INT(sample_open(&samples[s], dir, &why), 0);
        step = size / 60 + 1;
        for (size_t cut = 0; cut < size; cut += cut < 40 || cut + 20 >= size ? 1 : step) {
            file_write(in(dir, samples[s].file), bytes, cut);
            why = (struct fault){ 0 };
            int r = sample_open(&samples[s], dir, &why);

            /* a whole number of CIFAR records is a smaller file, not a cut one */
            if (samples[s].format == DATASET_CIFAR10 && cut > 0 && cut % CIFAR_RECORD == 0)
                continue;
            if (samples[s].format == DATASET_CIFAR100 && cut > 0 && cut % CIFAR100_RECORD == 0)
                continue;
            if (strstr(name, "annotations") && cut >= size - UNREAD_BOX)
                continue;
            if (r >= 0)
                CHECK_FAIL("%s cut at %zu of %zu bytes was accepted", name, cut, size);
            else
                CHECK_HOLDS(why.message, name);
        }
        free(bytes);
        check_rmdir(dir);
    }
}

static void a_longer_file_is_no_harm(void)
{
    for (int s = 0; s < SAMPLES; s++) {
        char *dir = sample_make(&samples[s]);
        struct fault why = { 0 };
        size_t size;
        uint8_t *bytes = file_bytes(in(dir, samples[s].file), &size);
        bool image = samples[s].format == DATASET_IMAGE_FOLDER || strstr(samples[s].file, ".JPEG");
        bool plain = !image && !strstr(samples[s].file, ".gz");

        bytes = realloc(bytes, size + 100);
        memset(bytes + size, 'x', 100);
        file_write(in(dir, samples[s].file), bytes, size + 100);
        /* images and gzips know their own end; in the others it is a mistake */
        CHECK_INT(sample_open(&samples[s], dir, &why) < 0, plain);
        free(bytes);
        check_rmdir(dir);
    }
}

static void random_bytes_do_no_harm(void)
{
    int refused = 0, accepted = 0;

    for (int s = 0; s < SAMPLES; s++) {
        char *dir = sample_make(&samples[s]);
        const char *path = in(dir, samples[s].file);
        char *kept = strdup(path);
        size_t size;
        uint8_t *bytes = file_bytes(kept, &size), *damaged = malloc(size);

        for (int round = s; round < FLIP_ROUNDS; round += SAMPLES) {
            struct fault why = { 0 };

            memcpy(damaged, bytes, size);
            int flips = 1 + (int)(philox(77, 0, (uint32_t)round, 0, 0).word[0] % 8);

            for (int k = 0; k < flips; k++) {
                struct philox random = philox(77, 1, (uint32_t)round, (uint64_t)k, 0);
                /* every other one in the first bytes, where headers are */
                size_t among = k % 2 == 0 && size > 64 ? 64 : size;

                damaged[random.word[0] % among] = (uint8_t)random.word[1];
            }
            file_write(kept, damaged, size);
            int r = sample_open(&samples[s], dir, &why);

            refused += r < 0;
            accepted += r == 0;
            if (r < 0)
                CHECK(why.code == r && why.message[0]);
        }
        free(kept);
        free(bytes);
        free(damaged);
        check_rmdir(dir);
    }
    CHECK_INT(refused + accepted, FLIP_ROUNDS);
    CHECK(refused > FLIP_ROUNDS / 2);
    printf("        %d damaged files: %d refused, %d read (only pixels or unused bytes were hit)\n", FLIP_ROUNDS,
           refused, accepted);
}

static const struct check_case cases[] = {
    { "a file cut at any place is refused by name", every_cut_is_an_error },
    { "bytes after the end are refused where the file does not know its end", a_longer_file_is_no_harm },
    { "random bytes do no harm", random_bytes_do_no_harm },
};

CHECK_MAIN(cases)
