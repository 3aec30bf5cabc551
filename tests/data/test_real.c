/* Are the data sets people really have read right?
 *
 * Fashion-MNIST as Debian packages it; CIFAR-10 as a tree of JPEGs and ten
 * classes of Tiny-ImageNet as published, from the shared folder ($RIFT_SHARED,
 * or a folder `shared` beside the repository).
 * Without any of them the test is skipped. */
#include "tests/data/files.h"

#include <spawn.h>
#include <sys/wait.h>

#define FASHION "/usr/share/datasets/fashion-mnist"

static bool exists(const char *path)
{
    return access(path, R_OK) == 0;
}

/* Mean and standard deviation of the middle 28x28, where the picture is. */
static void check_moments(const struct examples *examples)
{
    double sum = 0, squares = 0;
    int frame = 0;

    for (int i = 0; i < examples->count; i++)
        for (int y = 0; y < 32; y++)
            for (int x = 0; x < 32; x++) {
                double value = examples->u8[(size_t)i * 1024 + y * 32 + x] / 255.0;
                bool inside = y >= 2 && y < 30 && x >= 2 && x < 30;

                frame += !inside && value != 0;
                sum += value; /* zeros outside add nothing */
                squares += value * value;
            }
    double mean = sum / (784.0 * examples->count), variance = squares / (784.0 * examples->count) - mean * mean;

    CHECK_NEAR(mean, 0.2860, 5e-5);
    CHECK_NEAR(sqrt(variance), 0.3530, 5e-5);
    CHECK_INT(frame, 0);
}

static void fashion_mnist(void)
{
    static const int first_labels[] = { 9, 0, 0, 3, 0 };
    struct dataset_spec spec = spec_of(DATASET_IDX, FASHION);
    struct dataset data;

    if (!exists(FASHION "/train-images-idx3-ubyte.gz")) {
        printf("        skipped: no " FASHION "\n");
        return;
    }
    if (!opens(&spec, PROTOCOL_PAPER, GRAY_32, 10, ALL, &data))
        return;
    CHECK_INT(data.train.count, 60000);
    CHECK_INT(data.test.count, 10000);
    CHECK_INT(data.num_classes, 10);
    int counts[10] = { 0 };

    for (int i = 0; i < 60000; i++)
        counts[data.train.label[i]]++;
    for (int k = 0; k < 10; k++)
        CHECK_INT(counts[k], 6000);
    for (int i = 0; i < 5; i++)
        CHECK_INT(data.train.label[i], first_labels[i]);
    check_moments(&data.train);
    dataset_done(&data);
}

#define CIFAR_JPEG "cifar10-jpeg.tar.xz"
#define TINY       "tiny-imagenet-10class.tar.xz"

/* shared/data/NAME, upwards from here; NULL when absent. */
static char *shared_find(const char *name)
{
    const char *shared = getenv("RIFT_SHARED");
    char *path = NULL, *here = realpath(__FILE__, NULL);

    if (shared && asprintf(&path, "%s/data/%s", shared, name) > 0 && exists(path)) {
        free(here);
        return path;
    }
    free(path);
    path = NULL;
    for (char *slash; !path && here && (slash = strrchr(here, '/'));) {
        *slash = 0;
        if (asprintf(&path, "%s/shared/data/%s", here, name) < 0 || !exists(path)) {
            free(path);
            path = NULL;
        }
    }
    free(here);
    return path;
}

/* Unpack what fits the patterns (none: everything). */
static void unpack(const char *archive, const char *dir, const char *const *patterns)
{
    char *arguments[16] = { "tar", "-xJf", (char *)archive, "-C", (char *)dir, "--wildcards" };
    extern char **environ;
    pid_t pid;
    int status;

    for (int i = 0; patterns[i]; i++)
        arguments[6 + i] = (char *)patterns[i];
    must(posix_spawnp(&pid, "tar", NULL, NULL, arguments, environ) == 0 && waitpid(pid, &status, 0) == pid &&
             WIFEXITED(status) && WEXITSTATUS(status) == 0,
         "tar");
}

static void cifar_as_jpegs(void)
{
    static const char *const parts[] = { "train/*/000?.jpg", "train/*/001?.jpg", "test/*/000?.jpg", NULL };
    char *archive = shared_find(CIFAR_JPEG);

    if (!archive) {
        printf("        skipped: no shared/data/" CIFAR_JPEG "\n");
        return;
    }
    char *dir = check_tmpdir();
    struct dataset_spec spec = spec_of(DATASET_IMAGE_FOLDER, dir);
    struct dataset data;

    unpack(archive, dir, parts);
    if (opens(&spec, PROTOCOL_VALIDATION, COLOUR_32, 10, ALL, &data)) {
        double sum[3] = { 0 };

        CHECK_INT(data.train.count, 180);
        CHECK_INT(data.validation.count, 20);
        CHECK_INT(data.test.count, 100);
        CHECK_INT(data.num_classes, 10);
        for (int i = 0; i < 100; i++)
            CHECK_INT(data.test.label[i], i / 10);
        for (int i = 0; i < 180 * 3072; i++)
            sum[i % 3072 / 1024] += data.train.u8[i] / 255.0 / (180 * 1024);
        CHECK_NEAR(sum[0], 0.4914, 0.06); /* 180 of 50,000 images */
        CHECK_NEAR(sum[1], 0.4822, 0.06);
        CHECK_NEAR(sum[2], 0.4465, 0.06);
        dataset_done(&data);
    }
    free(archive);
    check_rmdir(dir);
}

/* Ten of the 200 classes: 150 and 30 images each, 22 files of all are gray. */
static void tiny_imagenet(void)
{
    static const char *const everything[] = { NULL };
    static const char *const wnids[] = { "n01641577", "n02124075", "n02802426", "n03970156", "n04067472",
                                         "n04099969", "n04540053", "n07749582", "n07920052", "n09246464" };
    char *archive = shared_find(TINY);

    if (!archive) {
        printf("        skipped: no shared/data/" TINY "\n");
        return;
    }
    char *dir = check_tmpdir(), path[4096];
    const int input[] = { 3, 64, 64 };
    struct dataset data;

    unpack(archive, dir, everything);
    snprintf(path, sizeof(path), "%s/tiny-imagenet-200", dir);
    struct dataset_spec spec = spec_of(DATASET_TINY_IMAGENET, path);

    if (opens(&spec, PROTOCOL_PAPER, input, 10, ALL, &data)) {
        const struct examples *sides[] = { &data.train, &data.test };
        int gray = 0;

        CHECK_INT(data.num_classes, 10);
        CHECK_INT(data.train.count, 1500);
        CHECK_INT(data.test.count, 300);
        for (int k = 0; k < 10; k++)
            CHECK_STRING(data.class_name[k], wnids[k]); /* wnids.txt starts with n02124075 */
        for (int side = 0; side < 2; side++)
            for (int i = 0; i < sides[side]->count; i++) {
                const uint8_t *pixel = sides[side]->u8 + (size_t)i * 3 * 4096;

                CHECK_INT(sides[side]->label[i], i / (side ? 30 : 150));
                gray += memcmp(pixel, pixel + 4096, 4096) == 0 && memcmp(pixel, pixel + 2 * 4096, 4096) == 0;
            }
        CHECK(gray >= 22); /* a colour file may be gray to look at, too */
        printf("        %d of 1800 images are gray\n", gray);
        dataset_done(&data);
    }
    free(archive);
    check_rmdir(dir);
}

static const struct check_case cases[] = {
    { "Fashion-MNIST has its counts, labels, mean and deviation", fashion_mnist },
    { "CIFAR-10 as JPEGs has ten sorted classes and CIFAR's colours", cifar_as_jpegs },
    { "Tiny-ImageNet as published has sorted classes and labels from its list", tiny_imagenet },
};

int main(int argc, char **argv)
{
    char *cifar = shared_find(CIFAR_JPEG), *tiny = shared_find(TINY);
    bool any = cifar || tiny || exists(FASHION "/train-images-idx3-ubyte.gz");

    free(cifar);
    free(tiny);
    if (!any)
        check_skip("neither " FASHION " nor shared/data is here");
    return check_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
