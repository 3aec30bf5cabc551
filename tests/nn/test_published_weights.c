/* Do weights written by PyTorch load, and leave as they came?
 *
 * On the golden models, which an independent PyTorch implementation wrote. */
#include "gpu/nn/weights.h"
#include "tests/check.h"

/* $RIFT_SHARED, or a folder `shared` beside the repository or above it. */
static char *golden_directory(void)
{
    const char *named = getenv("RIFT_SHARED");
    char *at = realpath(".", NULL), *found = NULL;

    if (named && asprintf(&found, "%s/golden", named) < 0)
        abort();
    while (!found && at && *at) {
        if (asprintf(&found, "%s/shared/golden", at) < 0)
            abort();
        if (access(found, R_OK) == 0)
            break;
        free(found);
        found = NULL;
        *strrchr(at, '/') = 0;
    }
    free(at);
    return found;
}

static char *golden;

static const struct {
    const char *folder, *arch;
    int channels, side, classes;
} models[] = { { "resnet18w8-s1", "resnet18", 3, 32, 10 },
               { "resnet18w8-gray-s3", "resnet18", 1, 32, 10 },
               { "resnet18w8-64-s4", "resnet18", 3, 64, 200 },
               { "wrn10w2-s2", "wideresnet", 3, 32, 10 } };
static const char *const files[] = { "model", "after_sgd", "finetuned_train", "finetuned_frozen" };

/* Load, save, and find every tensor of the first file in the second, bit by bit. */
static void round_trip(struct weights *weights, const char *path, const char *dir)
{
    struct safetensors *in = NULL, *out = NULL;
    struct fault why = { 0 };
    char saved[512];

    if (weights_load(weights, path, &why) < 0) {
        CHECK_FAIL("%s", why.message);
        return;
    }
    snprintf(saved, sizeof(saved), "%s/out.safetensors", dir);
    CHECK_INT(weights_save(weights, dir, "out.safetensors", "{}", NULL, NULL, NULL), 0);
    CHECK_INT(safetensors_open(path, &in, NULL), 0);
    CHECK_INT(safetensors_open(saved, &out, NULL), 0);
    for (int i = 0; i < safetensors_count(in); i++) {
        const struct safetensor *a = safetensors_at(in, i), *b = safetensors_find(out, a->name);

        if (!b)
            CHECK_FAIL("%s lacks %s", saved, a->name);
        else if (a->dtype == DTYPE_F32)
            CHECK(a->size == b->size && memcmp(a->data, b->data, a->size) == 0);
    }
    safetensors_close(in);
    safetensors_close(out);
}

static void test_round_trip(void)
{
    struct device *dev;
    char *dir = check_tmpdir();

    CHECK_INT(device_open("ref", PRECISION_FLOAT32, 1, &dev, NULL), 0);
    for (size_t m = 0; m < sizeof(models) / sizeof(models[0]); m++) {
        struct model_spec spec = { .arch = models[m].arch,
                                   .width = 8,
                                   .depth = 10,
                                   .widen_factor = 2,
                                   .num_classes = models[m].classes,
                                   .std = { 1, 1, 1, 1 },
                                   .input = { models[m].channels, models[m].side, models[m].side } };
        struct model *model;
        struct weights *weights;

        CHECK_INT(model_open(&spec, &model, NULL), 0);
        CHECK_INT(weights_open(dev, model, &weights, NULL), 0);
        for (size_t f = 0; f < sizeof(files) / sizeof(files[0]); f++) {
            char path[512];

            snprintf(path, sizeof(path), "%s/%s/%s.safetensors", golden, models[m].folder, files[f]);
            round_trip(weights, path, dir);
        }
        weights_close(weights);
        model_close(model);
    }
    device_close(dev);
    check_rmdir(dir);
}

/* Another architecture's file names the first tensor that doesn't belong. */
static void test_wrong_architecture(void)
{
    struct model_spec spec = {
        .arch = "resnet34", .width = 8, .num_classes = 10, .input = { 3, 32, 32 }, .std = { 1, 1, 1, 1 }
    };
    struct device *dev;
    struct model *model;
    struct weights *weights;
    struct fault why = { 0 };
    char path[512];

    CHECK_INT(device_open("ref", PRECISION_FLOAT32, 1, &dev, NULL), 0);
    CHECK_INT(model_open(&spec, &model, NULL), 0);
    CHECK_INT(weights_open(dev, model, &weights, NULL), 0);
    snprintf(path, sizeof(path), "%s/resnet18w8-s1/model.safetensors", golden);
    CHECK(weights_load(weights, path, &why) < 0);
    CHECK_HOLDS(why.message, "layer1.2.conv1.weight"); /* the first of those that ResNet34 has more */
    snprintf(path, sizeof(path), "%s/wrn10w2-s2/model.safetensors", golden);
    CHECK(weights_load(weights, path, &why) < 0);
    CHECK_HOLDS(why.message, "\"conv1.weight\" has shape [16,3,3,3], the model wants [8,3,3,3]");
    weights_close(weights);
    model_close(model);
    device_close(dev);
}

static const struct check_case cases[] = {
    { "weights written by PyTorch load and leave as the same bits", test_round_trip },
    { "weights of another architecture are refused by a tensor's name", test_wrong_architecture },
};

int main(int argc, char **argv)
{
    golden = golden_directory();
    if (!golden || access(golden, R_OK) < 0)
        check_skip("no golden values; set RIFT_SHARED to the folder that holds golden/");
    int failed = check_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
    free(golden);
    return failed;
}
