/* Does a sweep become the rift jobs it should, and are only like results averaged? */
#include "job/job.h"
#include "tests/check.h"

#include <errno.h>

#define DATA "\"dataset\":{\"format\":\"idx\",\"path\":\"/data\"}"

static int expand(const char *members, struct sweep_run **runs, int *count, struct spec_errors *errors)
{
    char text[1024];
    spec_auto spec = { 0 };

    snprintf(text, sizeof(text), "{\"kind\":\"sweep\"," DATA "%s%s}", *members ? "," : "", members);
    int r = spec_parse(text, strlen(text), &spec, errors);
    return r < 0 ? r : sweep_expand(&spec, runs, count);
}

static json_t *at(const json_t *spec, const char *object, const char *member)
{
    return json_object_get(json_object_get(spec, object), member);
}

static void expansion(void)
{
    static const char *const names[] = {
        "00-trades-seed5-lowest",   "01-trades-seed5-layer1.0.conv1",   "02-trades-seed5-top-2",
        "03-trades-seed7-lowest",   "04-trades-seed7-layer1.0.conv1",   "05-trades-seed7-top-2",
        "06-standard-seed5-lowest", "07-standard-seed5-layer1.0.conv1", "08-standard-seed5-top-2",
        "09-standard-seed7-lowest", "10-standard-seed7-layer1.0.conv1", "11-standard-seed7-top-2"
    };
    struct spec_errors errors;
    struct sweep_run *runs = NULL;
    int count = 0;

    CHECK_INT(expand("\"label\":\"mine\",\"seed\":99,\"train\":{\"epochs\":3},\"sweep\":{\"seeds\":[5,7],\"methods\":"
                     "[\"trades\",\"standard\"],\"modules\":[\"lowest\",\"layer1.0.conv1\",{\"top\":2}]}",
                     &runs, &count, &errors),
              0);
    CHECK_INT(count, 12);
    for (int i = 0; i < count; i++) {
        spec_auto spec = { 0 };
        CHECK_STRING(runs[i].name, names[i]);
        CHECK_INT(runs[i].shares, i % 3 ? i - i % 3 : -1);
        CHECK_INT(spec_from_json(runs[i].spec, &spec, &errors), 0);
        CHECK(json_equal(spec.json, runs[i].spec)); /* complete already */
        CHECK_INT(spec.kind, JOB_RIFT);
        CHECK_INT(spec.seed, i / 3 % 2 ? 7 : 5);
        CHECK_INT(spec.train.method, i < 6 ? TRAIN_TRADES : TRAIN_STANDARD);
        CHECK_INT(spec.finetune.modules.rule, i % 3 == 0 ? MODULES_LOWEST : i % 3 == 1 ? MODULES_NAMED : MODULES_TOP);
        CHECK_INT(spec.train.epochs, 3);
        CHECK(json_object_get(runs[i].spec, "sweep") == NULL);
    }
    CHECK_STRING(json_string_value(json_object_get(runs[1].spec, "label")), "mine: trades, seed 5, layer1.0.conv1");
    sweep_runs_free(runs, count);
}

static void defaults(void)
{
    struct spec_errors errors;
    struct sweep_run *runs = NULL;
    int count = 0;

    CHECK_INT(expand("", &runs, &count, &errors), 0);
    CHECK_INT(count, 3);
    for (int i = 0; i < count; i++) {
        CHECK_INT(json_integer_value(json_object_get(runs[i].spec, "seed")), i);
        CHECK_STRING(json_string_value(at(runs[i].spec, "train", "method")), "pgd-at");
        CHECK_INT(runs[i].shares, -1);
    }
    CHECK_STRING(runs[2].name, "02-pgd-at-seed2");
    sweep_runs_free(runs, count);
}

static void long_labels(void)
{
    struct spec_errors errors;
    struct sweep_run *runs = NULL;
    int count = 0;
    char members[400] = "\"label\":\"";

    for (int i = 0; i < 100; i++)
        strcat(members, "€");
    strcat(members, "\"");
    CHECK_INT(expand(members, &runs, &count, &errors), 0); /* still a label that a spec may have */
    CHECK_STRING(json_string_value(json_object_get(runs[0].spec, "label")), "pgd-at, seed 0");
    sweep_runs_free(runs, count);
}

static void mistakes(void)
{
    static const struct {
        const char *members, *pointer, *words;
    } rows[] = {
        { "\"sweep\":{\"methods\":[\"tradse\"]}", "/sweep/methods", "did you mean \"trades\"?" },
        { "\"sweep\":{\"methods\":[\"tradse\"]}", "/sweep/methods", "out of standard, pgd-at, trades" },
        { "\"sweep\":{\"methods\":[\"trades\",\"trades\"]}", "/sweep/methods", "different names" },
        { "\"sweep\":{\"methods\":[]}", "/sweep/methods", "different names" },
        { "\"sweep\":{\"seeds\":[1,2,1]}", "/sweep/seeds", "none twice, is [1,2,1]" },
        { "\"sweep\":{\"seeds\":[1,1.0]}", "/sweep/seeds", "none twice" },
        { "\"sweep\":{\"seeds\":[]}", "/sweep/seeds", "at least one" },
        { "\"sweep\":{\"seeds\":[-1]}", "/sweep/seeds", "from 0" },
        { "\"sweep\":{\"modules\":[\"lowest\",\"lowest\"]}", "/sweep/modules", "different choices" },
        { "\"sweep\":{\"modules\":[\"conv1\",[\"conv1\"]]}", "/sweep/modules", "different choices" },
        { "\"sweep\":{\"modules\":[{\"top\":0}]}", "/sweep/modules", "{\"top\": NUMBER}" },
        { "\"sweep\":{\"modules\":[\"lowest\",{\"greedy\":2}]}", "/sweep/modules", "needs mrc.greedy of at least 2" },
        { "\"sweep\":{\"seeds\":[1,2,3],\"modules\":[\"last\",\"lowest\"],\"limit\":5}", "/sweep",
          "would be 6 rift jobs (3 seeds, 1 methods, 2 module choices), more than the 5 of /sweep/limit" },
        { "\"sweep\":{\"seed\":[1]}", "/sweep/seed", "did you mean \"seeds\"?" },
        { "\"attack\":null,\"sweep\":{\"methods\":[\"standard\",\"pgd-at\"]}", "/attack", "/train/method is pgd-at" },
        { "\"finetune\":{\"mrc_job\":\"/mrc\"}", "/finetune/mrc_job", "unless /train/weights" },
        { "\"train\":{\"weights\":\"/w\"},\"sweep\":{\"methods\":[\"trades\",\"mart\"]}", "/sweep/methods",
          "nothing is trained" },
        { "\"attack\":{\"type\":\"square\"}", "/attack/type", "must be pgd in a sweep job" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct spec_errors errors = { 0 };
        struct sweep_run *runs = NULL;
        int count = 0;

        CHECK_INT(expand(rows[i].members, &runs, &count, &errors), -EINVAL);
        CHECK_INT(errors.total, 1);
        CHECK_STRING(errors.list[0].pointer, rows[i].pointer);
        CHECK_HOLDS(errors.list[0].message, rows[i].words);
    }
}

/* A megabyte of spec times a thousand jobs would be more than any machine has. */
static void too_much_text(void)
{
    json_auto_t *modules = json_array();
    struct spec_errors errors = { 0 };
    spec_auto spec = { 0 };

    for (int i = 0; i < 1000; i++)
        json_array_append_new(modules, json_sprintf("%060d", i));
    json_auto_t *json = json_pack("{s:s, s:{s:s}, s:{s:O}, s:{s:[]}}", "kind", "sweep", "dataset", "name", "x", "mrc",
                                  "modules", modules, "sweep", "seeds");
    json_object_set_new(json_object_get(json, "sweep"), "limit", json_integer(1000));
    for (int i = 0; i < 100; i++)
        json_array_append_new(json_object_get(json_object_get(json, "sweep"), "seeds"), json_integer(i));
    CHECK_INT(spec_from_json(json, &spec, &errors), 0);
    for (int i = 100; i < 900; i++)
        json_array_append_new(json_object_get(json_object_get(json, "sweep"), "seeds"), json_integer(i));
    spec_done(&spec);
    CHECK_INT(spec_from_json(json, &spec, &errors), -EINVAL);
    CHECK_STRING(errors.list[0].pointer, "/sweep");
    CHECK_HOLDS(errors.list[0].message, "900 rift jobs of ");
}

static void sharing(void)
{
    struct spec_errors errors;
    struct sweep_run *runs = NULL;
    json_t *steps[RIFT_STEPS] = { NULL };
    spec_auto rift = { 0 };
    int count = 0;

    CHECK_INT(expand("\"sweep\":{\"seeds\":[1],\"modules\":[\"lowest\",\"highest\"]}", &runs, &count, &errors), 0);
    CHECK_INT(sweep_share(runs[1].spec, json_string("/t/best.safetensors"), json_string("/m")), 0);
    CHECK_INT(spec_from_json(runs[1].spec, &rift, &errors), 0);
    CHECK_INT(rift_expand(&rift, steps), 0);
    CHECK(!steps[0] && !steps[1]); /* nothing is trained or measured again */
    CHECK_STRING(json_string_value(at(steps[2], "model", "weights")), "/t/best.safetensors");
    CHECK_STRING(json_string_value(at(steps[2], "finetune", "mrc_job")), "/m");
    CHECK_STRING(json_string_value(at(steps[3], "interpolate", "from")), "/t/best.safetensors");
    CHECK_STRING(json_string_value(json_object_get(at(steps[3], "interpolate", "to"), "job")), "step:2");
    CHECK_STRING(json_string_value(at(steps[4], "evaluate", "baseline")), "/t/best.safetensors");
    /* What a spec says itself stays. */
    CHECK_INT(sweep_share(runs[1].spec, json_string("/other"), json_string("/other")), 0);
    CHECK_STRING(json_string_value(at(runs[1].spec, "train", "weights")), "/t/best.safetensors");
    for (int i = 0; i < RIFT_STEPS; i++)
        json_decref(steps[i]);
    sweep_runs_free(runs, count);
}

static void names_are_known_before_training(void)
{
    static const char text[] = "{\"kind\":\"rift\"," DATA
                               ",\"mrc\":{\"modules\":[\"conv1\",\"linear\"]},\"finetune\":{\"modules\":[\"linear\","
                               "\"layer9\"]}}";
    json_t *steps[RIFT_STEPS] = { NULL };
    json_auto_t *expected = json_pack("[s,s,s]", "conv1", "linear", "layer9");
    struct spec_errors errors;
    spec_auto rift = { 0 };

    CHECK_INT(spec_parse(text, strlen(text), &rift, &errors), 0);
    CHECK_INT(rift_expand(&rift, steps), 0);
    CHECK(json_equal(json_object_get(steps[0], "modules_expected"), expected));
    for (int i = 0; i < RIFT_STEPS; i++)
        json_decref(steps[i]);
}

/* The first run of a seed trains for its neighbours: it looks for their modules too. */
static void names_of_neighbours(void)
{
    struct spec_errors errors;
    struct sweep_run *runs = NULL;
    json_t *steps[RIFT_STEPS] = { NULL };
    json_auto_t *expected = json_pack("[s,s,s]", "conv1", "liner", "linear");
    spec_auto rift = { 0 };
    int count = 0;

    CHECK_INT(
        expand(
            "\"mrc\":{\"modules\":[\"conv1\",\"linear\"]},\"sweep\":{\"seeds\":[1],\"modules\":[\"lowest\",[\"conv1\","
            "\"liner\"],{\"top\":2},\"conv1\"]}",
            &runs, &count, &errors),
        0);
    CHECK_INT(spec_from_json(runs[0].spec, &rift, &errors), 0);
    CHECK_INT(rift_expand(&rift, steps), 0);
    CHECK(json_equal(json_object_get(steps[0], "modules_expected"), expected));
    for (int i = 0; i < RIFT_STEPS; i++)
        json_decref(steps[i]);
    sweep_runs_free(runs, count);
}

static const struct check_case cases[] = {
    { "a sweep becomes methods times seeds times module choices", expansion },
    { "what a sweep doesn't say is three seeds of the spec's own method", defaults },
    { "labels of runs stay within what labels may be", long_labels },
    { "mistakes of a sweep are told with the nearest right word, or the count and the limit", mistakes },
    { "more specs than fit into memory are refused before they are made", too_much_text },
    { "a run that shares trains and measures nothing", sharing },
    { "the training step knows the modules that later steps name", names_are_known_before_training },
    { "the run that trains for others knows the modules that they name", names_of_neighbours },
};
CHECK_MAIN(cases)
