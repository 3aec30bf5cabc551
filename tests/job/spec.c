/* Does a good spec say everything, and is the table that it follows sound? */
#include "job/job.h"
#include "tests/check.h"
#include "tests/job/specs.h"

#include <errno.h>

/* ---- good specs ------------------------------------------------------------------ */

static const char *const good[] = {
    TRAIN "}",
    TRAIN ",\"attack\":null,\"train\":{\"method\":\"standard\",\"epochs\":1},\"seed\":9007199254740992}",
    TRAIN ",\"optimizer\":{\"schedule\":{\"type\":\"cosine\"}},\"label\":\"\xE2\x82\xAC\",\"device\":\"cuda:12\"}",
    TRAIN ",\"model\":{\"normalize\":{\"mean\":[0.5,0.5,0.5],\"std\":[0.1,0.2,0.3]},\"weights\":{\"model\":\"" UUID
          "\"}}}",
    MRC "}",
    MRC ",\"attack\":null,\"mrc\":{\"modules\":[\"conv1\",\"linear\"],\"projection\":\"step\"}}",
    FINETUNE ",\"finetune\":{\"modules\":[\"layer2.1.conv2\"]}}",
    FINETUNE ",\"finetune\":{\"modules\":\"lowest\",\"mrc_job\":{\"job\":\"" UUID "\"}}}",
    FINETUNE ",\"finetune\":{\"modules\":{\"top\":3},\"mrc_job\":\"../mrc\"}}",
    FINETUNE ",\"finetune\":{\"mrc_job\":\"../mrc\"}}",
    FINETUNE ",\"finetune\":{\"modules\":\"all\",\"epochs\":1}}",
    INTERPOLATE ",\"interpolate\":{" FROM_TO "}}",
    INTERPOLATE ",\"interpolate\":{\"from\":{\"job\":\"" UUID
                "\"},\"to\":{\"job\":\"step:2\",\"artifact\":\"last.safetensors\"},"
                "\"alphas\":[0.5]}}",
    EVALUATE "}",
    EVALUATE ",\"evaluate\":{\"attacks\":[]}}",
    EVALUATE ",\"attack\":null,\"evaluate\":{\"baseline\":\"b.safetensors\"}}",
    EVALUATE ",\"evaluate\":{\"attacks\":[{},{\"epsilon\":\"4/255\"},{\"steps\":20,\"restarts\":3}]}}",
    RIFT "}",
    RIFT ",\"train\":{\"epochs\":5},\"finetune\":{\"epochs\":4,\"modules\":\"last\"},\"model\":{\"width\":16,\"input\":"
         "[1,64,64]}}",
    "{\"kind\":\"mrc\",\"dataset\":{\"name\":\"fashion-mnist\"}," WEIGHTS "}",
};
enum { GOOD = sizeof(good) / sizeof(good[0]) };

static int parse(const char *text, struct job_spec *spec)
{
    struct spec_errors errors;
    int r = spec_parse(text, strlen(text), spec, &errors);

    if (r < 0)
        CHECK_FAIL("%s gives %s: %s", text, errors.list[0].pointer, errors.list[0].message);
    return r;
}

/* Normalising again changes nothing, byte for byte; also after a trip through text. */
static void round_trip(void)
{
    for (int i = 0; i < GOOD; i++) {
        struct spec_errors errors;
        spec_auto once = { 0 }, twice = { 0 }, thrice = { 0 };

        if (parse(good[i], &once) < 0)
            continue;
        CHECK_INT(spec_from_json(once.json, &twice, &errors), 0);
        char *first = json_dumps(once.json, JSON_COMPACT), *second = json_dumps(twice.json, JSON_COMPACT);
        CHECK_STRING(second, first);
        CHECK_INT(spec_parse(first, strlen(first), &thrice, &errors), 0);
        char *third = json_dumps(thrice.json, JSON_COMPACT);
        CHECK_STRING(third, first);
        free(first);
        free(second);
        free(third);
    }
}

/* The normalised spec has each field of its kind. */
static void everything_is_said(void)
{
    for (int i = 0; i < GOOD; i++) {
        spec_auto spec = { 0 };
        int fields = 0;

        if (parse(good[i], &spec) < 0)
            continue;
        for (int f = 0; f < spec_field_count; f++) {
            const struct spec_field *field = &spec_fields[f];
            char pointer[96];
            const json_t *at = spec.json;

            snprintf(pointer, sizeof(pointer), "%s", field->pointer);
            bool absent = false; /* below an object that is null */
            for (char *name = strtok(pointer + 1, "/"); name; name = strtok(NULL, "/")) {
                absent = absent || json_is_null(at);
                at = json_object_get(at, name);
            }
            if (field->kinds & 1u << spec.kind) {
                fields += at != NULL;
                if (!at && !absent)
                    CHECK_FAIL("%s lacks %s", good[i], field->pointer);
            }
        }
        CHECK(fields > 25);
    }
}

static void defaults_of_train(void)
{
    spec_auto spec = { 0 };

    if (parse(TRAIN "}", &spec) < 0)
        return;
    CHECK_INT(spec.kind, JOB_TRAIN);
    CHECK(spec.label == NULL);
    CHECK_STRING(spec.device, "auto");
    CHECK_INT(spec.priority, 0);
    CHECK_INT(spec.seed, 0);
    CHECK_INT(spec.batch_size, 128);
    CHECK_INT(spec.threads, 0);
    CHECK_NEAR(spec.checkpoint_every_s, 60, 0);
    CHECK_INT(spec.protocol, PROTOCOL_VALIDATION);
    CHECK_STRING(spec.model.arch, "resnet18");
    CHECK_INT(spec.model.width, 64);
    CHECK_INT(spec.model.depth, 34);
    CHECK_INT(spec.model.widen_factor, 10);
    CHECK_INT(spec.model.num_classes, 10);
    CHECK(spec.model.input[0] == 3 && spec.model.input[1] == 32 && spec.model.input[2] == 32);
    for (int i = 0; i < 4; i++)
        CHECK(spec.model.mean[i] == 0 && spec.model.std[i] == 1);
    CHECK(!spec.model.weights.path && !spec.model.weights.job && !spec.model.weights.model);
    CHECK_INT(spec.dataset.format, DATASET_CIFAR10);
    CHECK_STRING(spec.dataset.path, "data");
    CHECK(!spec.dataset.test_path && !spec.dataset.name);
    CHECK_INT(spec.dataset.train_limit, 0);
    CHECK_NEAR(spec.dataset.validation, 0.1, 0);
    CHECK_INT(spec.dataset.split, SPLIT_DEFAULT);
    CHECK_INT(spec.augment, AUGMENT_STANDARD);
    CHECK_INT(spec.augment_padding, PADDING_REFLECT);
    CHECK(spec.shuffle);
    CHECK(!spec.attack.none);
    CHECK_STRING(spec.attack.name, "pgd-10");
    CHECK_NEAR(spec.attack.epsilon, 8.0 / 255, 0);
    CHECK_NEAR(spec.attack.step_size, 2.0 / 255, 0);
    CHECK_INT(spec.attack.steps, 10);
    CHECK(spec.attack.random_start);
    CHECK_INT(spec.attack.restarts, 1);
    CHECK_NEAR(spec.optimizer.lr, 0.1, 0);
    CHECK_NEAR(spec.optimizer.momentum, 0.9, 0);
    CHECK_NEAR(spec.optimizer.weight_decay, 5e-4, 0);
    CHECK_INT(spec.optimizer.schedule, SCHEDULE_STEP);
    CHECK_INT(spec.optimizer.milestone_count, 2);
    CHECK_INT(spec.optimizer.milestones[0], 100);
    CHECK_INT(spec.optimizer.milestones[1], 105);
    CHECK_NEAR(spec.optimizer.gamma, 0.1, 0);
    CHECK_INT(spec.train.method, TRAIN_PGD_AT);
    CHECK_INT(spec.train.epochs, 110);
    CHECK_INT(spec.train.evaluate_every, 1);
    CHECK_INT(spec.train.attack_batch_norm, BATCH_NORM_OWN);
}

static void defaults_of_the_others(void)
{
    spec_auto mrc = { 0 }, finetune = { 0 }, lowest = { 0 }, interpolate = { 0 }, evaluate = { 0 };

    if (parse(MRC "}", &mrc) < 0 || parse(FINETUNE ",\"finetune\":{\"modules\":[\"a\",\"b\"]}}", &finetune) < 0 ||
        parse(FINETUNE ",\"finetune\":{\"mrc_job\":\"../mrc\"}}", &lowest) < 0 ||
        parse(INTERPOLATE ",\"interpolate\":{" FROM_TO "}}", &interpolate) < 0 || parse(EVALUATE "}", &evaluate) < 0)
        return;
    CHECK_STRING(mrc.model.weights.path, "model.safetensors");
    CHECK_NEAR(mrc.mrc.epsilon, 0.1, 0);
    CHECK_INT(mrc.mrc.steps, 10);
    CHECK_NEAR(mrc.mrc.lr, 1, 0);
    CHECK_INT(mrc.mrc.projection, PROJECTION_PASS);
    CHECK(mrc.mrc.modules == NULL);

    CHECK_NEAR(finetune.optimizer.lr, 0.001, 0);
    CHECK_INT(finetune.optimizer.milestone_count, 1);
    CHECK_INT(finetune.optimizer.milestones[0], 5);
    CHECK_INT(finetune.finetune.modules.rule, MODULES_NAMED);
    CHECK_INT(finetune.finetune.modules.count, 2);
    CHECK_STRING(finetune.finetune.modules.names[1], "b");
    CHECK_INT(finetune.finetune.epochs, 10);
    CHECK_INT(finetune.finetune.evaluate_every, 1);
    CHECK_INT(finetune.finetune.batch_norm, BATCH_NORM_TRAIN);
    CHECK(!finetune.finetune.mrc_job.path && !finetune.finetune.mrc_job.job);
    CHECK_INT(lowest.finetune.modules.rule, MODULES_LOWEST);

    CHECK_STRING(interpolate.interpolate.from.path, "a");
    CHECK_STRING(interpolate.interpolate.to.path, "b");
    CHECK_INT(interpolate.interpolate.alpha_count, 11);
    for (int i = 0; i < 11; i++)
        CHECK_NEAR(interpolate.interpolate.alphas[i], i / 10.0, 1e-15);
    CHECK_NEAR(interpolate.interpolate.tolerance, 0.001, 0);

    CHECK_INT(evaluate.evaluate.attack_count, 1);
    CHECK_STRING(evaluate.evaluate.attacks[0].name, "pgd-10");
    CHECK_NEAR(evaluate.evaluate.attacks[0].epsilon, 8.0 / 255, 0);
    CHECK(!evaluate.evaluate.baseline.path && !evaluate.evaluate.baseline.job);
}

static void given_values(void)
{
    spec_auto spec = { 0 };
    const char *text =
        "{\"kind\":\"evaluate\",\"label\":\"mine\",\"priority\":-7,\"device\":\"cuda:1\",\"precision\":\"bf16\","
        "\"deterministic\":false,"
        "\"seed\":12,\"batch_size\":"
        "1e2,"
        "\"threads\":2,\"checkpoint_every_s\":0,\"memory\":\"1.5GiB\",\"time_limit_s\":90,\"after\":[{\"job\":\"" UUID
        "\",\"on\":\"any\"}],"
        "\"protocol\":\"paper\",\"shuffle\":false,"
        "\"model\":{\"arch\":\"wideresnet\",\"width\":8,\"depth\":16,\"widen_factor\":2,\"num_classes\":100,\"input\":["
        "1,64,64],"
        "\"normalize\":{\"mean\":[0.25],\"std\":[0.5]},\"weights\":{\"job\":\"" UUID
        "\",\"artifact\":\"last.safetensors\"}},"
        "\"dataset\":{\"format\":\"tensors\",\"path\":\"x\",\"test_path\":\"y\",\"train_limit\":5,\"test_limit\":6,"
        "\"validation\":0.5,\"split\":\"test\"},"
        "\"evaluate\":{\"attacks\":[{\"epsilon\":0.25,\"step_size\":\"0.5/255\",\"steps\":20,\"random_start\":false,"
        "\"restarts\":3,\"name\":\"strong\"},{},{}],\"baseline\":{\"model\":\"" UUID "\"}}}";

    if (parse(text, &spec) < 0)
        return;
    CHECK_STRING(spec.label, "mine");
    CHECK_INT(spec.priority, -7);
    CHECK_INT(spec.memory_bytes, 3 << 29);
    CHECK_INT(json_integer_value(json_object_get(spec.json, "memory")), 3 << 29);
    CHECK_INT(spec.time_limit_s, 90);
    CHECK_INT(spec.after_count, 1);
    CHECK_STRING(spec.after[0].job, UUID);
    CHECK_INT(spec.after[0].on, AFTER_ANY);
    CHECK_STRING(spec.device, "cuda:1");
    CHECK_INT(spec.precision, PRECISION_BF16);
    CHECK(!spec.deterministic);
    CHECK_INT(spec.seed, 12);
    CHECK_INT(spec.batch_size, 100); /* 1e2 is a whole number */
    CHECK(json_is_integer(json_object_get(spec.json, "batch_size")));
    CHECK_INT(spec.threads, 2);
    CHECK_NEAR(spec.checkpoint_every_s, 0, 0);
    CHECK_INT(spec.protocol, PROTOCOL_PAPER);
    CHECK(!spec.shuffle);
    CHECK_STRING(spec.model.arch, "wideresnet");
    CHECK(spec.model.depth == 16 && spec.model.widen_factor == 2);
    CHECK(spec.model.input[0] == 1 && spec.model.input[1] == 64);
    CHECK_NEAR(spec.model.mean[0], 0.25, 0);
    CHECK_NEAR(spec.model.std[0], 0.5, 0);
    CHECK(spec.model.mean[1] == 0 && spec.model.std[1] == 1);
    CHECK_STRING(spec.model.weights.job, UUID);
    CHECK_STRING(spec.model.weights.artifact, "last.safetensors");
    CHECK_INT(spec.dataset.format, DATASET_TENSORS);
    CHECK_STRING(spec.dataset.test_path, "y");
    CHECK_INT(spec.dataset.train_limit, 5);
    CHECK_INT(spec.dataset.test_limit, 6);
    CHECK_INT(spec.dataset.split, SPLIT_TEST);
    CHECK_INT(spec.evaluate.attack_count, 3);
    const struct attack_spec *strong = &spec.evaluate.attacks[0];
    CHECK_STRING(strong->name, "strong");
    CHECK_NEAR(strong->epsilon, 0.25, 0);
    CHECK_NEAR(strong->step_size, 0.5 / 255, 0);
    CHECK_INT(strong->steps, 20);
    CHECK(!strong->random_start);
    CHECK_INT(strong->restarts, 3);
    CHECK_STRING(spec.evaluate.attacks[1].name, "pgd-10");
    CHECK_STRING(spec.evaluate.attacks[2].name, "pgd-10-2");
    CHECK_STRING(spec.evaluate.baseline.model, UUID);
    /* The JSON keeps what was written. */
    const json_t *first = json_array_get(json_object_get(json_object_get(spec.json, "evaluate"), "attacks"), 0);
    CHECK_STRING(json_string_value(json_object_get(first, "step_size")), "0.5/255");
}

static void module_choices(void)
{
    static const struct {
        const char *value;
        enum module_rule rule;
        int top;
    } choices[] = {
        { "\"lowest\"", MODULES_LOWEST, 0 }, { "\"highest\"", MODULES_HIGHEST, 0 }, { "\"last\"", MODULES_LAST, 0 },
        { "\"all\"", MODULES_ALL, 0 },       { "{\"top\":3}", MODULES_TOP, 3 },
    };
    for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
        char text[400];
        spec_auto spec = { 0 };
        snprintf(text, sizeof(text), FINETUNE ",\"finetune\":{\"modules\":%s,\"mrc_job\":\"d\"}}", choices[i].value);
        if (parse(text, &spec) < 0)
            continue;
        CHECK_INT(spec.finetune.modules.rule, choices[i].rule);
        CHECK_INT(spec.finetune.modules.top, choices[i].top);
        CHECK_STRING(spec.finetune.mrc_job.path, "d");
    }
}

/* Milestones follow the epochs, and short jobs drop the ones that fall together. */
static void filled_milestones(void)
{
    static const struct {
        int epochs, count, first, second;
    } cases[] = { { 110, 2, 100, 105 }, { 55, 2, 50, 53 }, { 11, 2, 10, 11 },
                  { 5, 1, 5, 0 },       { 2, 1, 2, 0 },    { 1, 1, 1, 0 } };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[300];
        spec_auto spec = { 0 };
        snprintf(text, sizeof(text), TRAIN ",\"train\":{\"epochs\":%d}}", cases[i].epochs);
        if (parse(text, &spec) < 0)
            continue;
        CHECK_INT(spec.optimizer.milestone_count, cases[i].count);
        CHECK_INT(spec.optimizer.milestones[0], cases[i].first);
        if (cases[i].count > 1)
            CHECK_INT(spec.optimizer.milestones[1], cases[i].second);
    }
    spec_auto constant = { 0 }, tiny = { 0 };
    if (parse(TRAIN ",\"optimizer\":{\"schedule\":{\"type\":\"constant\"}}}", &constant) == 0)
        CHECK_INT(constant.optimizer.milestone_count, 0);
    if (parse(FINETUNE ",\"finetune\":{\"modules\":\"all\",\"epochs\":1}}", &tiny) == 0)
        CHECK_INT(tiny.optimizer.milestone_count, 0);
}

/* Attacks bring their own defaults, the published ones. */
static void attacks_have_defaults(void)
{
    static const char *const names[] = { "pgd-10", "autoattack", "apgd-t", "square", "apgd-t-2", "fab-t" };
    spec_auto spec = { 0 };

    if (parse(EVALUATE
              ",\"evaluate\":{\"attacks\":[{},{\"type\":\"autoattack\"},{\"type\":\"apgd-t\"},"
              "{\"type\":\"square\",\"queries\":100},{\"type\":\"apgd-t\",\"steps\":20,\"targets\":3,"
              "\"rho\":0.5,\"momentum\":0.6},{\"type\":\"fab-t\",\"alpha_max\":0.2,\"eta\":1.1,\"beta\":0.8}]}}",
              &spec) < 0)
        return;
    const struct attack_spec *a = spec.evaluate.attacks;
    for (int i = 0; i < 6; i++)
        CHECK_STRING(a[i].name, names[i]);
    CHECK(a[0].type == ATTACK_PGD && a[0].steps == 10);
    CHECK(a[1].type == ATTACK_AUTOATTACK && a[1].steps == 100 && a[1].targets == 9 && a[1].queries == 5000);
    CHECK_NEAR(a[1].rho, 0.75, 0);
    CHECK_NEAR(a[1].momentum, 0.75, 0);
    CHECK_NEAR(a[1].alpha_max, 0.1, 0);
    CHECK_NEAR(a[1].eta, 1.05, 0);
    CHECK_NEAR(a[1].beta, 0.9, 0);
    CHECK_NEAR(a[1].p_init, 0.8, 0);
    CHECK(a[2].type == ATTACK_APGD_T && a[2].steps == 100);
    CHECK(a[3].type == ATTACK_SQUARE && a[3].steps == 0 && a[3].queries == 100);
    CHECK(a[4].steps == 20 && a[4].targets == 3 && a[4].rho == 0.5 && a[4].momentum == 0.6);
    CHECK(a[5].type == ATTACK_FAB_T && a[5].alpha_max == 0.2 && a[5].eta == 1.1 && a[5].beta == 0.8);
}

static void evaluate_takes_the_attack(void)
{
    spec_auto own = { 0 }, none = { 0 };

    if (parse(EVALUATE ",\"attack\":{\"steps\":50}}", &own) == 0) {
        CHECK_INT(own.evaluate.attack_count, 1);
        CHECK_STRING(own.evaluate.attacks[0].name, "pgd-50");
    }
    if (parse(EVALUATE ",\"attack\":null}", &none) == 0) {
        CHECK_INT(none.evaluate.attack_count, 0);
        CHECK(none.attack.none);
    }
}

/* Numbers keep their value, and as few digits as that takes. */
static void readable_text(void)
{
    json_auto_t *plain = json_pack("{s:f, s:f, s:i}", "a", 0.1, "b", 5e-4, "c", 3);
    json_auto_t *third = json_pack("[f, f]", 0.1 + 0.2, 1.0 / 3);
    char *text = spec_text(plain, JSON_COMPACT), *exact = spec_text(third, JSON_COMPACT);
    json_auto_t *back = json_loads(exact, 0, NULL);

    CHECK_STRING(text, "{\"a\":0.1,\"b\":0.0005,\"c\":3}");
    CHECK(json_equal(back, third));
    free(text);
    free(exact);
}

/* ---- references -------------------------------------------------------------------- */

struct refs {
    int count;
    char pointers[8][64];
};

static int turn_into_path(const struct spec_ref *ref, void *user)
{
    struct refs *refs = user;

    if (ref->model)
        return -ECANCELED;
    snprintf(refs->pointers[refs->count++], 64, "%s=%s/%s", ref->pointer, ref->job, ref->artifact ? ref->artifact : "");
    return json_object_set_new(ref->parent, ref->key, json_string("../there"));
}

/* The one reference there is means a corrupt job's files. */
static int job_into_path(const struct spec_ref *ref, void *user)
{
    (void)user;
    CHECK_HOLDS(ref->pointer, "/corruptions/job");
    CHECK_STRING(ref->job, UUID);
    CHECK_INT(ref->wants, JOB_CORRUPT);
    return spec_ref_put(ref, "../there");
}

static void references(void)
{
    spec_auto spec = { 0 }, changed = { 0 }, model = { 0 }, copies = { 0 }, there = { 0 };
    struct spec_errors errors;
    struct refs refs = { 0 };

    if (parse(FINETUNE ",\"finetune\":{\"modules\":\"lowest\",\"mrc_job\":{\"job\":\"step:1\"}}}", &spec) < 0)
        return;
    json_object_set_new(json_object_get(spec.json, "model"), "weights",
                        json_pack("{s:s, s:s}", "job", UUID, "artifact", "a"));
    CHECK_INT(spec_refs(spec.json, turn_into_path, &refs), 0);
    CHECK_INT(refs.count, 2);
    CHECK_STRING(refs.pointers[0], "/model/weights=" UUID "/a");
    CHECK_STRING(refs.pointers[1], "/finetune/mrc_job=step:1/");
    CHECK_INT(spec_from_json(spec.json, &changed, &errors), 0);
    CHECK_STRING(changed.model.weights.path, "../there");
    CHECK_STRING(changed.finetune.mrc_job.path, "../there");
    CHECK_INT(spec_refs(changed.json, turn_into_path, &refs), 0);
    CHECK_INT(refs.count, 2);
    if (parse(EVALUATE ",\"evaluate\":{\"baseline\":{\"model\":\"" UUID "\"}}}", &model) == 0)
        CHECK_INT(spec_refs(model.json, turn_into_path, &refs), -ECANCELED);
    if (parse(EVALUATE ",\"evaluate\":{\"corruptions\":{\"job\":\"" UUID "\",\"severities\":[2]}}}", &copies) == 0) {
        CHECK_STRING(copies.evaluate.corruptions.job, UUID);
        CHECK_INT(spec_refs(copies.json, job_into_path, NULL), 0);
        CHECK_INT(spec_from_json(copies.json, &there, &errors), 0);
        CHECK_STRING(there.evaluate.corruptions.path, "../there");
        CHECK(there.evaluate.corruptions.job == NULL);
        CHECK_INT(there.evaluate.corruptions.severity_count, 1);
        CHECK_INT(there.evaluate.corruptions.severities[0], 2);
        CHECK_INT(spec_refs(there.json, job_into_path, NULL), 0);
    }
    spec_auto look = { 0 }, shown = { 0 };
    if (parse(INSPECT ",\"inspect\":{\"corruptions\":{\"job\":\"" UUID "\"}}}", &look) == 0) {
        CHECK_INT(spec_refs(look.json, job_into_path, NULL), 0);
        CHECK_INT(spec_from_json(look.json, &shown, &errors), 0);
        CHECK_STRING(shown.inspect.corruptions.path, "../there");
        CHECK_INT(shown.inspect.corruptions.severity_count, SEVERITY_COUNT);
        CHECK_INT(shown.inspect.per_class, 8);
        CHECK(!shown.model.weights.path);
    }
    json_auto_t *empty = json_object();
    CHECK_INT(spec_refs(empty, turn_into_path, &refs), -EINVAL);
}

/* ---- memory --------------------------------------------------------------------------- */

static int allocations_left; /* this many more succeed */

static void *scarce(size_t size)
{
    return allocations_left-- > 0 ? malloc(size) : NULL;
}

/* The n-th allocation of JSON fails, for every n: an error and no leak, then the same spec as ever. */
static void no_memory(void)
{
    static const char *const texts[] = {
        TRAIN "}",
        EVALUATE ",\"evaluate\":{\"attacks\":[{},{\"steps\":20},{\"type\":\"square\"},{\"type\":\"apgd-t\"}]}}",
        RIFT ",\"mrc\":{\"modules\":[\"a\",\"b\"]}}"
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        json_t *json = json_loads(texts[i], 0, NULL);
        int n = 0, r = -ENOMEM, expanded = -ENOMEM;

        json_set_alloc_funcs(scarce, free);
        for (; n < 20000 && r < 0; n++) {
            struct spec_errors errors;
            spec_auto spec = { 0 };
            allocations_left = n;
            r = spec_from_json(json, &spec, &errors);
            if (r < 0 && r != -ENOMEM)
                CHECK_FAIL("allocation %d gives %d: %s %s", n, r, errors.list[0].pointer, errors.list[0].message);
        }
        CHECK_INT(r, 0);
        CHECK(n > 100);
        allocations_left = INT32_MAX;
        spec_auto spec = { 0 };
        struct spec_errors errors;
        json_t *steps[RIFT_STEPS] = { NULL };
        CHECK_INT(spec_from_json(json, &spec, &errors), 0);
        for (n = 0; spec.kind == JOB_RIFT && n < 20000 && expanded < 0; n += 7) {
            allocations_left = n;
            expanded = rift_expand(&spec, steps);
            CHECK(expanded == 0 || expanded == -ENOMEM);
        }
        CHECK(spec.kind != JOB_RIFT || expanded == 0);
        for (int s = 0; s < RIFT_STEPS; s++)
            json_decref(steps[s]);
        json_set_alloc_funcs(malloc, free);
        json_decref(json);
    }
}

/* ---- the table itself ---------------------------------------------------------------- */

static void sane_table(void)
{
    for (int i = 0; i < spec_field_count; i++) {
        const struct spec_field *field = &spec_fields[i];

        CHECK(field->kinds && field->pointer[0] == '/' && field->unit && field->meaning && field->min <= field->max);
        CHECK((field->type == FIELD_ENUM) <= (field->values != NULL));
        CHECK(!field->values || field->type == FIELD_ENUM || field->type == FIELD_STRING_LIST);
        CHECK(strlen(field->meaning) > 10);
        if (field->fallback) {
            json_auto_t *fallback = json_loads(field->fallback, JSON_DECODE_ANY, NULL);
            if (!fallback || (json_is_null(fallback) && !field->nullable))
                CHECK_FAIL("the default of %s is no value of it", field->pointer);
        }
        for (int j = 0; j < i; j++)
            if (strcmp(spec_fields[j].pointer, field->pointer) == 0 && (spec_fields[j].kinds & field->kinds))
                CHECK_FAIL("%s has two rows for one kind", field->pointer);
    }
    for (int kind = 0; kind < JOB_KIND_COUNT; kind++)
        CHECK_INT(job_kind_find(job_kinds[kind].name), kind);
    CHECK_INT(job_kind_find("trains"), -ENOENT);
}

/* The words of the table are the enums of job.h, in order. */
static void enum_words(void)
{
    spec_auto spec = { 0 };

    if (parse(RIFT ",\"augment\":\"none\",\"augment_padding\":\"zero\",\"train\":{\"method\":\"standard\","
                   "\"attack_batch_norm\":\"frozen\"},\"optimizer\":{\"schedule\":{\"type\":\"linear\"}},"
                   "\"mrc\":{\"projection\":\"step\"},\"finetune\":{\"batch_norm\":\"frozen\"}}",
              &spec) < 0)
        return;
    CHECK_INT(spec.augment, AUGMENT_NONE);
    CHECK_INT(spec.augment_padding, PADDING_ZERO);
    CHECK_INT(spec.train.method, TRAIN_STANDARD);
    CHECK_INT(spec.train.attack_batch_norm, BATCH_NORM_FROZEN);
    CHECK_INT(spec.optimizer.schedule, SCHEDULE_LINEAR);
    CHECK_INT(spec.mrc.projection, PROJECTION_STEP);
    CHECK_INT(spec.finetune.batch_norm, BATCH_NORM_FROZEN);
}

/* The field table's list of corruptions is the table of corruptions. */
static void corruption_words(void)
{
    int counts[3] = { 0 };
    char names[1000] = "";

    for (int which = 0; which < CORRUPTION_COUNT; which++) {
        const char *name = corruption_infos[which].name;

        snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s", which ? "|" : "", name);
        CHECK_INT(corruption_find(name), which);
        for (int set = 0; set < 3; set++)
            counts[set] += corruption_in_set(which, (enum corruption_set)set);
    }
    CHECK_STRING(CORRUPTION_NAMES, names);
    CHECK_INT(counts[CORRUPTIONS_STANDARD], 15);
    CHECK_INT(counts[CORRUPTIONS_CODE], 18);
    CHECK_INT(counts[CORRUPTIONS_ALL], 19);
    CHECK_INT(corruption_find("gausian_noise"), -ENOENT);
}

/* One file of settings may serve every kind: what a kind doesn't have is left out. */
static void settings_for_every_kind(void)
{
    static const char settings[] =
        ",\"seed\":1,\"dataset\":{\"format\":\"cifar10\",\"path\":\"p\"},\"augment\":\"none\",\"shuffle\":false,"
        "\"model\":{\"weights\":\"w.safetensors\"},\"train\":{\"method\":\"pgd-at\",\"epochs\":3},"
        "\"optimizer\":{\"lr\":0.1,\"schedule\":{\"type\":\"constant\"}},\"mrc\":{\"steps\":4},"
        "\"finetune\":{\"modules\":[\"conv1\"]},\"interpolate\":{\"from\":\"a\",\"to\":\"b\"},\"evaluate\":{"
        "\"attacks\":[]}}";
    static const struct {
        const char *kind, *left_out;
    } kinds[] = { { "train", "mrc" },
                  { "mrc", "train" },
                  { "finetune", "interpolate" },
                  { "interpolate", "optimizer" },
                  { "evaluate", "augment" } };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        spec_auto spec = { 0 };
        char text[1024];

        snprintf(text, sizeof(text), "{\"kind\":\"%s\"%s", kinds[i].kind, settings);
        if (parse(text, &spec) == 0)
            CHECK(!json_object_get(spec.json, kinds[i].left_out));
    }
}

static const struct check_case cases[] = {
    { "a normalised spec normalises to itself", round_trip },
    { "a normalised spec has every field of its kind", everything_is_said },
    { "one file of settings serves every kind", settings_for_every_kind },
    { "train has its defaults", defaults_of_train },
    { "the other kinds have their defaults", defaults_of_the_others },
    { "given values arrive in the struct", given_values },
    { "modules are chosen by names or by rule", module_choices },
    { "milestones are filled from the epochs", filled_milestones },
    { "an evaluation without attacks takes the one under /attack", evaluate_takes_the_attack },
    { "each type of attack has its published defaults and its name", attacks_have_defaults },
    { "numbers are shown with the fewest digits that keep them", readable_text },
    { "references are found in order and can be replaced", references },
    { "any allocation may fail, and nothing leaks", no_memory },
    { "the field table is sane", sane_table },
    { "the words of the table are the enums", enum_words },
    { "corruptions are named once", corruption_words },
};
CHECK_MAIN(cases)
