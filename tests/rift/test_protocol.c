/* Which data choose epoch, module and alpha?
 *
 * The same rift job with other test data: under `validation` nothing but the
 * last step's numbers may differ; under `paper` the test data are what chooses,
 * and nothing is held out. */
#include "tests/rift/lab.h"

/* HOME/other.safetensors: LAB_IMAGES images with the labels in another order. */
static void other_data(void)
{
    static uint8_t x[LAB_IMAGES][LAB_PIXELS];
    static int64_t y[LAB_IMAGES];
    uint32_t noise = 777;

    for (int i = 0; i < LAB_IMAGES; i++) {
        y[i] = (i * 3 + 1) % LAB_CLASSES;
        for (int p = 0; p < LAB_PIXELS; p++) {
            noise = noise * 1664525u + 1013904223u;
            x[i][p] = (uint8_t)(30 + 45 * y[i] + (noise >> 24) % 60);
        }
    }
    struct safetensor tensors[] = {
        { .name = "x", .dtype = DTYPE_U8, .rank = 4, .shape = { LAB_IMAGES, 3, 32, 32 }, .data = x, .size = sizeof(x) },
        { .name = "y", .dtype = DTYPE_I64, .rank = 1, .shape = { LAB_IMAGES }, .data = y, .size = sizeof(y) },
    };
    struct fault why = { 0 };
    CHECK_INT(safetensors_write(lab(), "other.safetensors", tensors, 2, NULL, NULL, NULL, &why), 0);
}

/* A rift job of that protocol, judged on that test file; its directory. */
static char *rift_run(const char *name, const char *protocol, const char *test)
{
    char spec[600];

    snprintf(spec, sizeof(spec),
             "{'kind':'rift','protocol':'%s','dataset':{'validation':0.3,'test_path':'../%s'},'train':{'epochs':3},"
             "'optimizer':{'lr':0.05},'mrc':{'steps':1},'finetune':{'epochs':2},'interpolate':{'alphas':[0,0.5,1]}}",
             protocol, test);
    char *dir = lab_job(name, spec);
    json_decref(lab_result(dir));
    return dir;
}

static const char *const steps[] = { "0-train", "1-mrc", "2-finetune", "3-interpolate", "4-evaluate" };

/* What a step found out, without where its spec lay. */
static json_t *step_findings(const char *dir, int step)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/steps/%s", dir, steps[step]);
    return lab_findings(path);
}

static json_t *step_started(const char *dir, int step)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/steps/%s", dir, steps[step]);
    return lab_started(path);
}

static double examples(const char *dir, int step, const char *part)
{
    json_auto_t *started = step_started(dir, step);

    return lab_number(json_object_get(started, "examples"), part);
}

static void validation_never_looks_at_test(void)
{
    other_data();
    char *one = rift_run("validation-one", "validation", "data.safetensors");
    char *other = rift_run("validation-other", "validation", "other.safetensors");

    for (int step = 0; step < 5; step++) {
        json_auto_t *left = step_findings(one, step);
        json_auto_t *right = step_findings(other, step);
        /* Epochs, modules, alpha, weights (by hash) and every curve are the same; judgement isn't. */
        if (json_equal(left, right) != (step < 4))
            CHECK_FAIL("%s: other test data %s", steps[step], step < 4 ? "changed it" : "changed nothing");
        CHECK_INT((int)examples(one, step, "test"), step < 4 ? 0 : LAB_IMAGES); /* not even read before */
    }
    CHECK_INT((int)(examples(one, 0, "train") + examples(one, 0, "validation")), LAB_IMAGES);
    CHECK_INT((int)examples(one, 0, "validation"), LAB_IMAGES * 3 / 10);
    CHECK_INT((int)examples(one, 2, "train"), (int)examples(one, 0, "train"));
    free(one);
    free(other);
}

static void paper_lets_test_choose(void)
{
    other_data();
    char *one = rift_run("paper-one", "paper", "data.safetensors");
    char *other = rift_run("paper-other", "paper", "other.safetensors");

    for (int step = 0; step < 4; step++) {
        json_auto_t *left = step_findings(one, step);
        json_auto_t *right = step_findings(other, step);
        if (json_equal(left, right))
            CHECK_FAIL("%s: other test data changed nothing", steps[step]);
        CHECK_INT((int)examples(one, step, "validation"), 0);
        CHECK_INT((int)examples(one, step, "test"), LAB_IMAGES);
    }
    CHECK_INT((int)examples(one, 0, "train"), LAB_IMAGES); /* nothing is held out */
    free(one);
    free(other);
}

static void every_result_says_it(void)
{
    static const char *const protocols[] = { "validation", "paper" };

    for (int p = 0; p < 2; p++) {
        char name[40], *dir;

        snprintf(name, sizeof(name), "says-%s", protocols[p]);
        dir = rift_run(name, protocols[p], "data.safetensors");
        for (int step = -1; step < 5; step++) {
            json_auto_t *findings = step < 0 ? lab_findings(dir) : step_findings(dir, step);
            const json_t *last = json_array_get(findings, json_array_size(findings) - 1);
            CHECK_STRING(lab_word(json_object_get(last, "result"), "protocol"), protocols[p]);
        }
        free(dir);
    }
}

static const struct check_case cases[] = {
    { "under validation the test data choose nothing and are read only to judge", validation_never_looks_at_test },
    { "under paper nothing is held out and the test data choose", paper_lets_test_choose },
    { "every result carries its protocol", every_result_says_it },
};
LAB_MAIN(cases)
