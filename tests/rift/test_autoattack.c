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

/* Attacks of one step of APGD from the image itself, which is weak, at one radius after another: at
 * some of them Square finds what it missed. Which ones is the net's, and so the processor's. */
static char *weak_job(void)
{
    char spec[4096], *end = spec;

    end += sprintf(end, "{" MODEL ",'evaluate':{'attacks':[");
    for (int epsilon = 4; epsilon <= 30; epsilon += 2)
        end += sprintf(end,
                       "%s{'name':'aa-%d','type':'autoattack','epsilon':'%d/255','steps':1,'random_start':false,"
                       "'targets':5,'queries':200,'eta':1}",
                       epsilon > 4 ? "," : "", epsilon, epsilon);
    sprintf(end, "]}}");
    return lab_job("warned", spec);
}

static void warnings_are_told(void)
{
    lab_robust();
    char *dir = weak_job();
    json_t *result = lab_result(dir), *row;
    int suspicious = 0;
    size_t i;

    json_array_foreach(json_object_get(result, "attacks"), i, row)
    {
        bool took = lab_number(json_array_get(json_object_get(row, "stages"), 4), "fell") > 0;

        CHECK(warned(row, "aims at 3 classes and not at 5, because the model knows 4"));
        CHECK_INT(warned(row, "square: took"), took);
        CHECK(!warned(row, "gradient was 0"));
        suspicious += took;
    }
    CHECK_INT(i, 14);
    CHECK(suspicious > 0 && suspicious < 14);
    json_decref(result);
    free(dir);
}

static const struct check_case cases[] = {
    { "AutoAttack's stages add up", stages_add_up },
    { "the size of a batch isn't heard in an attack", batches_are_not_heard },
    { "signs of masked gradients and missing classes are told", warnings_are_told },
};
LAB_MAIN(cases)
