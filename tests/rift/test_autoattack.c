/* Does AutoAttack add up, and does it say what it noticed? Whole jobs. */
#include "lab.h"

#define MODEL "'kind':'evaluate','model':{'weights':'../robust/artifacts/last.safetensors'}"
#define QUICK "'epsilon':'24/255','steps':6,'targets':2,'queries':30"

static void stages_add_up(void)
{
    static const char *const names[] = { "clean", "apgd-ce", "apgd-t", "fab-t", "square" };

    lab_robust();
    char *dir = lab_job("stages", "{" MODEL ",'evaluate':{'attacks':[{'type':'autoattack'," QUICK "},"
                                  "{'type':'apgd-ce'," QUICK "},{'type':'square'," QUICK ",'restarts':2}]}}");
    json_t *result = lab_result(dir), *rows = json_object_get(result, "attacks"), *events = lab_findings(dir), *event;
    json_t *all = json_array_get(rows, 0), *stages = json_object_get(all, "stages");
    int stand = LAB_IMAGES, said = 0;
    size_t i;

    CHECK_STRING(lab_word(all, "name"), "autoattack");
    CHECK_INT(json_array_size(stages), 5);
    for (i = 0; i < 5; i++) {
        const json_t *stage = json_array_get(stages, i);

        CHECK_STRING(lab_word(stage, "name"), names[i]);
        CHECK_INT(lab_number(stage, "attacked"), stand);
        CHECK(lab_number(stage, "fell") >= 0);
        stand -= (int)lab_number(stage, "fell");
        CHECK_NEAR(lab_number(stage, "accuracy"), (double)stand / LAB_IMAGES, 1e-12);
    }
    CHECK_NEAR(lab_number(all, "accuracy"), (double)stand / LAB_IMAGES, 1e-12);
    CHECK_NEAR(lab_number(all, "worst_case_accuracy"), lab_number(all, "accuracy"), 0);
    CHECK_NEAR(lab_number(json_array_get(stages, 0), "accuracy"),
               lab_number(json_object_get(result, "clean"), "accuracy"), 1e-12);
    CHECK(stand < lab_number(json_array_get(stages, 1), "attacked")); /* it did something */
    /* The first attack has the same random numbers wherever it stands. */
    CHECK_NEAR(lab_number(json_array_get(rows, 1), "accuracy"), lab_number(json_array_get(stages, 1), "accuracy"), 0);
    CHECK(lab_number(json_array_get(rows, 2), "accuracy") >= lab_number(all, "accuracy"));
    json_array_foreach(events, i, event) said += strncmp(lab_word(event, "name"), "autoattack/", 11) == 0;
    CHECK_INT(said, 4);
    json_decref(events);
    json_decref(result);
    free(dir);
}

static void batches_are_not_heard(void)
{
    static const int sizes[] = { 40, 16, 3 };
    json_t *stages[3];

    lab_robust();
    for (int i = 0; i < 3; i++) {
        char name[32], spec[512];

        snprintf(name, sizeof(name), "batches-%d", sizes[i]);
        snprintf(spec, sizeof(spec),
                 "{" MODEL ",'batch_size':%d,'evaluate':{'attacks':[{'type':'autoattack'," QUICK "}]}}", sizes[i]);
        char *dir = lab_job(name, spec);
        json_t *result = lab_result(dir);
        stages[i] = json_incref(json_object_get(json_array_get(json_object_get(result, "attacks"), 0), "stages"));
        json_decref(result);
        free(dir);
    }
    for (int i = 1; i < 3; i++)
        for (int s = 0; s < 5; s++)
            CHECK_NEAR(lab_number(json_array_get(stages[i], s), "accuracy"),
                       lab_number(json_array_get(stages[0], s), "accuracy"), 1e-12);
    for (int i = 0; i < 3; i++)
        json_decref(stages[i]);
}

static bool warned(const json_t *row, const char *part)
{
    const json_t *warning;
    size_t i;

    json_array_foreach(json_object_get(row, "warnings"), i,
                       warning) if (strstr(json_string_value(warning), part)) return true;
    return false;
}

/* ---- a net whose gradients are masked ----
 * The stem is ReLU(1000 (r + g + b - 3 * 190/255)): none of class 1's pixels are so bright (shape and noise
 * of lab_data end at 182), so all of the net is dead there, every gradient is exactly 0, and the answer is
 * linear.bias: class 1. Some pixels more by 24/255 do wake it up, and then class 0 has the sum of the features. */
enum { MASKED_CLASS = 1, MASKED_IMAGES = LAB_IMAGES / LAB_CLASSES };

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), want = strlen(end);

    return length >= want && strcmp(text + length - want, end) == 0;
}

/* The number at place i of such a net's tensor; `was` where it stays as it was. */
static float masked_number(const struct safetensor *tensor, int64_t i, float was)
{
    const char *name = tensor->name;

    if (strcmp(name, "conv1.weight") == 0) /* [4,3,3,3] */
        return i % 9 == 4;
    if (strcmp(name, "bn1.weight") == 0)
        return 1000;
    if (strcmp(name, "bn1.running_mean") == 0)
        return 3.0f * 190 / 255;
    if (strcmp(name, "bn1.running_var") == 0)
        return 1;
    if (strcmp(name, "linear.weight") == 0) /* [4,features] */
        return i < tensor->shape[1];
    if (strcmp(name, "linear.bias") == 0)
        return i == MASKED_CLASS;
    return ends_with(name, "bias") || ends_with(name, ".running_mean") ? 0 : was;
}

/* HOME/masked.safetensors. */
static void masked_make(void)
{
    struct safetensor tensors[200];
    struct safetensors *file = NULL;
    struct fault why = { 0 };
    char *path;

    lab_theta();
    if (asprintf(&path, "%s/theta/artifacts/best.safetensors", lab()) < 0 || safetensors_open(path, &file, &why) < 0)
        CHECK_FAIL("%s", why.message);
    int count = safetensors_count(file);
    CHECK(count <= 200);
    for (int t = 0; t < count; t++) {
        tensors[t] = *safetensors_at(file, t);
        if (tensors[t].dtype != DTYPE_F32)
            continue;
        float *data = malloc(tensors[t].size);
        memcpy(data, tensors[t].data, tensors[t].size);
        for (size_t i = 0; i < tensors[t].size / sizeof(float); i++)
            data[i] = masked_number(&tensors[t], (int64_t)i, data[i]);
        tensors[t].data = data;
    }
    json_t *metadata = json_pack("{s:s, s:s}", "format", "pt", "model", safetensors_metadata(file, "model"));
    CHECK_INT(safetensors_write(lab(), "masked.safetensors", tensors, count, metadata, NULL, NULL, &why), 0);
    for (int t = 0; t < count; t++)
        if (tensors[t].dtype == DTYPE_F32)
            free((void *)tensors[t].data);
    json_decref(metadata);
    safetensors_close(file);
    free(path);
}

static void masked_gradients_are_told(void)
{
    masked_make();
    char *dir = lab_job("masked", "{'kind':'evaluate','model':{'weights':'../masked.safetensors'},"
                                  "'evaluate':{'attacks':[{'type':'autoattack','epsilon':'24/255','steps':3,"
                                  "'random_start':false,'targets':3,'queries':200}]}}");
    json_t *result = lab_result(dir), *row = json_array_get(json_object_get(result, "attacks"), 0);
    json_t *stages = json_object_get(row, "stages");

    CHECK_INT(lab_number(json_array_get(stages, 1), "attacked"), MASKED_IMAGES);
    for (size_t s = 1; s < 4; s++)
        CHECK_INT(lab_number(json_array_get(stages, s), "fell"), 0);
    CHECK(lab_number(json_array_get(stages, 4), "fell") > 0);
    CHECK(warned(row, "apgd-ce: the first gradient was 0 everywhere"));
    CHECK(warned(row, "square: took"));
    CHECK(!warned(row, "aims at"));
    json_decref(result);
    free(dir);
}

static void missing_classes_are_told(void)
{
    lab_robust();
    char *dir = lab_job("warned", "{" MODEL ",'evaluate':{'attacks':[{'type':'autoattack','epsilon':'24/255','steps':1,"
                                  "'random_start':false,'targets':5,'queries':20}]}}");
    json_t *result = lab_result(dir), *row = json_array_get(json_object_get(result, "attacks"), 0);

    CHECK(warned(row, "aims at 3 classes and not at 5, because the model knows 4"));
    CHECK(!warned(row, "gradient was 0"));
    json_decref(result);
    free(dir);
}

static const struct check_case cases[] = {
    { "AutoAttack's stages add up", stages_add_up },
    { "the size of a batch isn't heard in an attack", batches_are_not_heard },
    { "signs of masked gradients are told", masked_gradients_are_told },
    { "missing classes are told", missing_classes_are_told },
};
LAB_MAIN(cases)
