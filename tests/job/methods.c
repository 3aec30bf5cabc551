/* Do the ways to train have the numbers they were published with?
 *
 * What a method's defaults are, which of them depend on what it is built on,
 * and that a given number is never replaced by one of them. */
#include "job/job.h"
#include "tests/check.h"
#include "tests/job/specs.h"

static int parse(const char *text, struct job_spec *ret)
{
    struct spec_errors errors;
    int r = spec_parse(text, strlen(text), ret, &errors);

    if (r < 0)
        CHECK_FAIL("%s: %s: %s", text, errors.list[0].pointer, errors.list[0].message);
    return r;
}

static void published_numbers(void)
{
    spec_auto spec = { 0 };

    if (parse(TRAIN "}", &spec) < 0)
        return;
    CHECK_NEAR(spec.train.start_noise, 0.001, 0);
    CHECK_NEAR(spec.train.trades.beta, 6, 0);
    CHECK_NEAR(spec.train.mart.beta, 5, 0);
    CHECK_INT(spec.train.awp.base, BASE_PGD_AT);
    CHECK_NEAR(spec.train.awp.gamma, 0.01, 0);
    CHECK_INT(spec.train.awp.warmup, 0);
    CHECK_INT(spec.train.score.base, BASE_TRADES);
    CHECK_NEAR(spec.train.score.lambda, 6, 0);
    CHECK_NEAR(spec.train.score.c, 0.3, 0);
    CHECK(spec.train.score.clip_clean);
}

static void numbers_follow_the_base(void)
{
    spec_auto other = { 0 }, given = { 0 }, null = { 0 };

    if (parse(TRAIN ",\"train\":{\"awp\":{\"base\":\"trades\"},\"score\":{\"base\":\"pgd-at\"}}}", &other) < 0 ||
        parse(RIFT ",\"train\":{\"awp\":{\"base\":\"trades\",\"gamma\":0.02},"
                   "\"score\":{\"base\":\"pgd-at\",\"c\":0}}}",
              &given) < 0 ||
        parse(TRAIN ",\"train\":{\"awp\":{\"base\":\"trades\",\"gamma\":null},\"score\":{\"c\":null}}}", &null) < 0)
        return;
    CHECK_INT(other.train.awp.base, BASE_TRADES);
    CHECK_INT(other.train.score.base, BASE_PGD_AT);
    CHECK_NEAR(other.train.awp.gamma, 0.005, 0);
    CHECK_NEAR(other.train.score.c, 0.4, 0);
    CHECK_NEAR(given.train.awp.gamma, 0.02, 0);
    CHECK_NEAR(given.train.score.c, 0, 0);
    CHECK_NEAR(null.train.awp.gamma, 0.005, 0);
    CHECK_NEAR(null.train.score.c, 0.3, 0);
    /* The normalised spec says the number, not null. */
    json_t *train = json_object_get(null.json, "train");
    CHECK_NEAR(json_number_value(json_object_get(json_object_get(train, "awp"), "gamma")), 0.005, 0);
}

/* In the order of enum train_method. */
static void words_are_the_enum(void)
{
    static const char *const words[] = { "standard", "pgd-at", "trades", "mart", "awp", "score" };

    for (int i = 0; i < 6; i++) {
        spec_auto spec = { 0 };
        char text[200];

        snprintf(text, sizeof(text), TRAIN ",\"train\":{\"method\":\"%s\",\"attack_batch_norm\":\"train\"}}", words[i]);
        if (parse(text, &spec) < 0)
            continue;
        CHECK_INT(spec.train.method, TRAIN_STANDARD + i);
        CHECK_INT(spec.train.attack_batch_norm, BATCH_NORM_TRAIN);
    }
}

/* Only what goes by a distance between the two predictions needs it. */
static void start_at_the_image(void)
{
    static const char *const good[] = {
        TRAIN ",\"train\":{\"method\":\"pgd-at\"},\"attack\":{\"random_start\":false}}",
        TRAIN ",\"train\":{\"method\":\"mart\"},\"attack\":{\"random_start\":false}}",
        TRAIN ",\"train\":{\"method\":\"awp\"},\"attack\":{\"random_start\":false}}",
        TRAIN ",\"train\":{\"method\":\"score\",\"score\":{\"base\":\"pgd-at\"}},\"attack\":{\"random_start\":false}}",
    };

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        spec_auto spec = { 0 };

        parse(good[i], &spec);
    }
}

/* The train step of a rift job has the rift's numbers. */
static void rift_hands_them_on(void)
{
    spec_auto rift = { 0 }, train = { 0 };
    struct spec_errors errors;
    json_t *steps[RIFT_STEPS];

    if (parse(RIFT ",\"train\":{\"method\":\"awp\",\"awp\":{\"base\":\"trades\",\"warmup\":3},"
                   "\"trades\":{\"beta\":2},\"attack_batch_norm\":\"frozen\"}}",
              &rift) < 0)
        return;
    CHECK_INT(rift_expand(&rift, steps), 0);
    CHECK_INT(spec_from_json(steps[0], &train, &errors), 0);
    CHECK_INT(train.train.method, TRAIN_AWP);
    CHECK_INT(train.train.awp.base, BASE_TRADES);
    CHECK_INT(train.train.awp.warmup, 3);
    CHECK_NEAR(train.train.awp.gamma, 0.005, 0);
    CHECK_NEAR(train.train.trades.beta, 2, 0);
    CHECK_INT(train.train.attack_batch_norm, BATCH_NORM_FROZEN);
    for (int i = 0; i < RIFT_STEPS; i++)
        json_decref(steps[i]);
}

static const struct check_case cases[] = {
    { "every method has its published numbers", published_numbers },
    { "numbers that depend on the base follow it, unless they are given", numbers_follow_the_base },
    { "the words of the methods are those of the enum, in order", words_are_the_enum },
    { "an attack may start at the image where there is a slope", start_at_the_image },
    { "a rift job's training has the rift's numbers", rift_hands_them_on },
};

CHECK_MAIN(cases)
