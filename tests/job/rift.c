/* Do five specs and one table come out of a rift job? */
#include "job/job.h"
#include "tests/check.h"

#include <errno.h>

static const char rift_text[] =
    "{\"kind\":\"rift\",\"label\":\"paper\",\"priority\":3,\"device\":\"cpu\",\"seed\":9,\"batch_size\":64,\"threads\":"
    "2,"
    "\"protocol\":\"paper\",\"dataset\":{\"name\":\"fashion-mnist\",\"train_limit\":500},"
    "\"model\":{\"width\":16,\"input\":[1,32,32],\"weights\":\"start.safetensors\"},"
    "\"augment\":\"none\",\"attack\":{\"steps\":7},"
    "\"train\":{\"epochs\":6},\"optimizer\":{\"lr\":0.2},"
    "\"mrc\":{\"steps\":4},\"finetune\":{\"epochs\":8,\"modules\":{\"top\":2},\"optimizer\":{\"lr\":0.002}},"
    "\"interpolate\":{\"alphas\":[0,0.5,1],\"tolerance\":0.01},\"evaluate\":{\"attacks\":[{\"steps\":20},{\"steps\":30}"
    "]}}";

static int expand(const char *text, json_t *steps[RIFT_STEPS])
{
    struct spec_errors errors;
    spec_auto rift = { 0 };

    if (spec_parse(text, strlen(text), &rift, &errors) < 0) {
        CHECK_FAIL("%s: %s", errors.list[0].pointer, errors.list[0].message);
        return -EINVAL;
    }
    return rift_expand(&rift, steps);
}

static void expansion(void)
{
    json_t *steps[RIFT_STEPS];
    struct job_spec spec[RIFT_STEPS] = { 0 };

    CHECK_INT(expand(rift_text, steps), 0);
    for (int i = 0; i < RIFT_STEPS; i++) {
        if (i == 5) { /* nobody asked for copies */
            CHECK(steps[i] == NULL);
            continue;
        }
        struct spec_errors errors;
        if (spec_from_json(steps[i], &spec[i], &errors) < 0)
            CHECK_FAIL("step %d: %s %s", i, errors.list[0].pointer, errors.list[0].message);
        CHECK(json_equal(spec[i].json, steps[i])); /* complete already */
        CHECK_STRING(spec[i].label, "paper");
        CHECK_INT(spec[i].priority, 3);
        CHECK_STRING(spec[i].device, "cpu");
        CHECK_INT(spec[i].seed, 9);
        CHECK_INT(spec[i].batch_size, 64);
        CHECK_INT(spec[i].threads, 2);
        CHECK_INT(spec[i].protocol, PROTOCOL_PAPER);
        CHECK_STRING(spec[i].dataset.name, "fashion-mnist");
        CHECK_INT(spec[i].dataset.train_limit, 500);
        CHECK_INT(spec[i].model.width, 16);
        CHECK_INT(spec[i].attack.steps, 7);
    }
    CHECK_INT(spec[0].kind, JOB_TRAIN);
    CHECK_STRING(spec[0].model.weights.path, "start.safetensors");
    CHECK_INT(spec[0].augment, AUGMENT_NONE);
    CHECK_INT(spec[0].train.epochs, 6);
    CHECK_NEAR(spec[0].optimizer.lr, 0.2, 0);
    CHECK_INT(spec[0].optimizer.milestones[0], 5);

    CHECK_INT(spec[1].kind, JOB_MRC);
    CHECK_STRING(spec[1].model.weights.job, "step:0");
    CHECK_INT(spec[1].mrc.steps, 4);

    CHECK_INT(spec[2].kind, JOB_FINETUNE);
    CHECK_STRING(spec[2].model.weights.job, "step:0");
    CHECK_STRING(spec[2].finetune.mrc_job.job, "step:1");
    CHECK_INT(spec[2].finetune.modules.rule, MODULES_TOP);
    CHECK_INT(spec[2].finetune.epochs, 8);
    CHECK_NEAR(spec[2].optimizer.lr, 0.002, 0);
    CHECK_INT(spec[2].optimizer.milestone_count, 1);
    CHECK_INT(spec[2].optimizer.milestones[0], 4);
    CHECK_INT(spec[2].augment, AUGMENT_NONE);

    CHECK_INT(spec[3].kind, JOB_INTERPOLATE);
    CHECK_STRING(spec[3].interpolate.from.job, "step:0");
    CHECK_STRING(spec[3].interpolate.to.job, "step:2");
    CHECK_INT(spec[3].interpolate.alpha_count, 3);
    CHECK_NEAR(spec[3].interpolate.tolerance, 0.01, 0);

    CHECK_INT(spec[4].kind, JOB_EVALUATE);
    CHECK_STRING(spec[4].model.weights.job, "step:3");
    CHECK_STRING(spec[4].evaluate.baseline.job, "step:0");
    CHECK_INT(spec[4].evaluate.attack_count, 2);
    CHECK_STRING(spec[4].evaluate.attacks[1].name, "pgd-30");
    for (int i = 0; i < RIFT_STEPS; i++) {
        spec_done(&spec[i]);
        json_decref(steps[i]);
    }
}

/* Under the validation protocol nothing but validation data may choose. */
static void split_stays_behind(void)
{
    static const char *const splits[] = { "train", "validation", "test" };

    for (int s = 0; s < 3; s++) {
        json_t *steps[RIFT_STEPS];
        char text[160];

        snprintf(text, sizeof(text), "{\"kind\":\"rift\",\"dataset\":{\"name\":\"x\",\"split\":\"%s\"}}", splits[s]);
        CHECK_INT(expand(text, steps), 0);
        for (int i = 0; i < RIFT_STEPS; i++) {
            if (steps[i] && !json_is_null(json_object_get(json_object_get(steps[i], "dataset"), "split")))
                CHECK_FAIL("step %d has the split \"%s\" of the rift spec", i, splits[s]);
            json_decref(steps[i]);
        }
    }
}

static int count_reference(const struct spec_ref *ref, void *user)
{
    char *seen = user;

    strcat(strcat(seen, ref->pointer), " ");
    strcat(strcat(seen, ref->job), "; ");
    return 0;
}

/* What the API makes dependencies of. */
static void linked(void)
{
    static const char *const expected[RIFT_STEPS] = {
        "", "/model/weights step:0; ", "/model/weights step:0; /finetune/mrc_job step:1; ",
        "/interpolate/from step:0; /interpolate/to step:2; ",
        "/model/weights step:3; /evaluate/baseline step:0; /evaluate/toward step:2; "
    };
    json_t *steps[RIFT_STEPS];

    CHECK_INT(expand("{\"kind\":\"rift\",\"dataset\":{\"name\":\"x\"}}", steps), 0);
    for (int i = 0; i < RIFT_STEPS; i++) {
        char seen[300] = "";

        if (!expected[i]) {
            CHECK(steps[i] == NULL);
            continue;
        }
        CHECK_INT(spec_refs(steps[i], count_reference, seen), 0);
        CHECK_STRING(seen, expected[i]);
        json_decref(steps[i]);
    }
}

/* Copies are made by a step of its own, of the same test images, and the evaluation waits for it. */
static void copies_made(void)
{
    json_t *steps[RIFT_STEPS];
    spec_auto corrupt = { 0 }, evaluate = { 0 };
    struct spec_errors errors;
    char seen[300] = "";

    CHECK_INT(expand("{\"kind\":\"rift\",\"seed\":7,\"dataset\":{\"name\":\"x\",\"test_limit\":50,\"split\":\"train\"},"
                     "\"evaluate\":{\"generate_corruptions\":true,\"corruptions\":{\"names\":[\"fog\"],"
                     "\"severities\":[3]}}}",
                     steps),
              0);
    CHECK_INT(spec_from_json(steps[5], &corrupt, &errors), 0);
    CHECK_INT(corrupt.kind, JOB_CORRUPT);
    CHECK_INT(corrupt.seed, 7);
    CHECK_INT(corrupt.dataset.test_limit, 50);
    CHECK_INT(corrupt.dataset.split, SPLIT_DEFAULT);
    CHECK_INT(corrupt.corrupt.name_count, 1);
    CHECK_STRING(corrupt.corrupt.names[0], "fog");
    CHECK_INT(corrupt.corrupt.severity_count, 1);
    CHECK_INT(corrupt.corrupt.severities[0], 3);
    CHECK_INT(spec_from_json(steps[4], &evaluate, &errors), 0);
    CHECK_STRING(evaluate.evaluate.corruptions.job, "step:5");
    CHECK_INT(spec_refs(steps[4], count_reference, seen), 0);
    CHECK_STRING(seen, "/model/weights step:3; /evaluate/baseline step:0; /evaluate/toward step:2; "
                       "/evaluate/corruptions/job step:5; ");
    for (int i = 0; i < RIFT_STEPS; i++)
        json_decref(steps[i]);
    /* And when it isn't said which: the standard ones. */
    CHECK_INT(
        expand("{\"kind\":\"rift\",\"dataset\":{\"name\":\"x\"},\"evaluate\":{\"generate_corruptions\":true}}", steps),
        0);
    CHECK_STRING(json_string_value(json_object_get(json_object_get(steps[5], "corrupt"), "set")), "standard");
    CHECK_INT(json_array_size(json_object_get(json_object_get(steps[5], "corrupt"), "severities")), 5);
    for (int i = 0; i < RIFT_STEPS; i++)
        json_decref(steps[i]);
}

static void only_rift(void)
{
    static const char text[] = "{\"kind\":\"train\",\"dataset\":{\"name\":\"x\"}}";
    json_t *steps[RIFT_STEPS] = { NULL };

    CHECK_INT(expand(text, steps), -EINVAL);
    CHECK(steps[0] == NULL);
}

static void table(void)
{
    json_auto_t *tuned = json_pack("{s:[s, s], s:i}", "modules", "layer2.1.conv2", "linear", "epochs", 3);
    json_auto_t *walked = json_pack("{s:f}", "chosen_alpha", 0.7);
    json_auto_t *judged =
        json_loads("{\"images\":1500,\"split\":\"test\",\"clean\":{\"loss\":1,\"accuracy\":0.85},\"attacks\":[{"
                   "\"name\":\"pgd-10\",\"accuracy\":0.5},"
                   "{\"name\":\"pgd-20\",\"accuracy\":0.4}],\"corruptions\":{\"corruption_accuracy\":0.62},"
                   "\"baseline\":{\"clean\":{\"accuracy\":0.8},\"attacks\":[{\"name\":\"pgd-10\",\"accuracy\":0.51,"
                   "\"worst_case_accuracy\":0.5}],"
                   "\"corruptions\":{\"corruption_accuracy\":0.61}}}",
                   0, NULL);
    const json_t *results[RIFT_STEPS] = { NULL, NULL, tuned, walked, judged };
    json_auto_t *made = rift_table(results, "paper");
    json_auto_t *expected =
        json_loads("{\"module\":\"layer2.1.conv2, linear\",\"modules\":[\"layer2.1.conv2\",\"linear\"],"
                   "\"alpha\":0.7,\"protocol\":\"paper\",\"attack\":\"pgd-10\",\"images\":1500,\"split\":\"test\","
                   "\"before\":{\"clean_accuracy\":0.8,\"corruption_accuracy\":0.61,\"robust_accuracy\":0.51,\"worst_"
                   "case_accuracy\":0.5},"
                   "\"after\":{\"clean_accuracy\":0.85,\"corruption_accuracy\":0.62,\"robust_accuracy\":0.5}}",
                   0, NULL);
    CHECK(expected && json_equal(made, expected));

    /* Before anything has finished; and an evaluation without attacks. */
    const json_t *nothing[RIFT_STEPS] = { NULL };
    json_auto_t *empty = rift_table(nothing, "validation");
    json_auto_t *nulls =
        json_loads("{\"module\":null,\"modules\":null,\"alpha\":null,\"protocol\":\"validation\",\"attack\":null,"
                   "\"images\":null,\"split\":null,"
                   "\"before\":{\"clean_accuracy\":null,\"corruption_accuracy\":null,\"robust_accuracy\":null},"
                   "\"after\":{\"clean_accuracy\":null,\"corruption_accuracy\":null,\"robust_accuracy\":null}}",
                   0, NULL);
    CHECK(nulls && json_equal(empty, nulls));
    json_auto_t *clean = json_loads("{\"clean\":{\"accuracy\":0.9},\"attacks\":[]}", 0, NULL);
    json_object_set_new(clean, "corruptions", json_pack("{s:f, s:s}", "corruption_accuracy", 0.5, "frost", "ours"));
    results[4] = clean;
    json_auto_t *bare = rift_table(results, "paper");
    const json_t *after = json_object_get(bare, "after");
    CHECK_NEAR(json_number_value(json_object_get(after, "clean_accuracy")), 0.9, 0);
    CHECK(json_is_null(json_object_get(after, "robust_accuracy")));
    CHECK_STRING(json_string_value(json_object_get(after, "frost")), "ours");
}

/* A list holds 1000 names; a rift spec may name more, in several lists. */
static void many_names(void)
{
    json_auto_t *spec = json_loads("{\"kind\":\"rift\",\"dataset\":{\"name\":\"x\"}}", 0, NULL);
    json_t *measured = json_array(), *tuned = json_array(), *steps[RIFT_STEPS] = { NULL };

    for (int i = 0; i < 600; i++) {
        json_array_append_new(measured, json_sprintf("a%d", i));
        json_array_append_new(tuned, json_sprintf("b%d", i));
    }
    json_object_set_new(spec, "mrc", json_pack("{s:o}", "modules", measured));
    json_object_set_new(spec, "finetune", json_pack("{s:o}", "modules", tuned));
    char *text = json_dumps(spec, 0);
    CHECK_INT(expand(text, steps), 0);
    CHECK_INT(json_array_size(json_object_get(steps[0], "modules_expected")), 1000);
    for (int i = 0; i < RIFT_STEPS; i++)
        json_decref(steps[i]);
    free(text);
}

static const struct check_case cases[] = {
    { "a rift spec unfolds into five complete specs", expansion },
    { "the split that a rift spec names doesn't choose module and alpha", split_stays_behind },
    { "the steps name each other", linked },
    { "copies that are to be made become a step that the evaluation waits for", copies_made },
    { "only a rift spec unfolds", only_rift },
    { "more names than a list holds are no reason to refuse a rift spec", many_names },
    { "the table has what is known and null for the rest", table },
};
CHECK_MAIN(cases)
