/* Is a convolution that was asked about before looked for again?
 *
 * The real memory of choices (choice.c) before searches that count themselves. */
#include "gpu/backend/cuda/choice.h"
#include "tests/check.h"

#include <errno.h>

static struct {
    int plain, fused, undone; /* searches, and choices that were let go */
    bool split, fails;
    char key[320]; /* of the last question */
} seen;

static int found(const struct question *q, struct choice *ret, bool plan)
{
    static int thing;

    snprintf(seen.key, sizeof(seen.key), "%s", q->key);
    *ret = (struct choice){ .plan = plan ? &thing : NULL, .fused = q->tail };
    return seen.fails ? -ENOTSUP : 0;
}

int search_plain(const struct question *q, struct choice *ret, struct fault *why)
{
    (void)why;
    seen.plain++;
    return found(q, ret, true);
}

int search_fused(const struct question *q, struct choice *ret, struct fault *why)
{
    (void)why;
    seen.fused++;
    return found(q, ret, !seen.split);
}

void choice_done(struct choice *choice)
{
    (void)choice;
    seen.undone++;
}

static const struct dnn_conv CONV = { true, 128, 64, 32, 32, 64, 32, 32, 3, 1, 1 };
static const struct dnn_tail NO_TAIL, RELU = { .relu = true }, BIAS_RELU = { .bias = true, .relu = true },
                                      ALL = { true, true, true };

static struct cuda_device card(void)
{
    struct cuda_device d = { .base = { .precision = PRECISION_BF16, .deterministic = true }, .name = "a card" };

    memset(&seen, 0, sizeof(seen));
    return d;
}

static const struct choice *forward(struct cuda_device *d, const struct dnn_conv *conv, const struct dnn_tail *tail)
{
    const struct choice *ret = NULL;
    struct fault why = { 0 };

    return choose_forward(d, conv, tail, &ret, &why) == 0 ? ret : NULL;
}

static const struct choice *gradient(struct cuda_device *d, const struct dnn_conv *conv, enum dnn_direction direction)
{
    const struct choice *ret = NULL;
    struct fault why = { 0 };

    return choose(d, conv, direction, &ret, &why) == 0 ? ret : NULL;
}

static void test_once(void)
{
    struct cuda_device d = card();
    const struct choice *first = forward(&d, &CONV, &ALL), *data = gradient(&d, &CONV, DNN_BACKWARD_DATA);

    CHECK(first && data && first != data);
    for (int i = 0; i < 3; i++) {
        CHECK(forward(&d, &CONV, &ALL) == first);
        CHECK(gradient(&d, &CONV, DNN_BACKWARD_DATA) == data);
    }
    CHECK_INT(seen.fused, 1);
    CHECK_INT(seen.plain, 1);
    choices_done(&d);
    CHECK_INT(seen.undone, 2);
    CHECK(!d.known);
}

/* Whatever an answer depends on is part of the question. */
static void test_apart(void)
{
    struct cuda_device d = card();
    struct dnn_conv others[] = { CONV, CONV, CONV, CONV, CONV };
    int asked = 1;

    others[0].n = 64;
    others[1].c = 32;
    others[2].out_c = 128;
    others[3].kernel = 1;
    others[4].stride = 2;
    CHECK(gradient(&d, &CONV, DNN_BACKWARD_DATA));
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        CHECK(gradient(&d, &others[i], DNN_BACKWARD_DATA));
        CHECK_INT(seen.plain, ++asked);
    }
    CHECK(gradient(&d, &CONV, DNN_BACKWARD_WEIGHTS));
    CHECK_INT(seen.plain, ++asked);
    d.base.deterministic = false;
    CHECK(gradient(&d, &CONV, DNN_BACKWARD_WEIGHTS));
    CHECK_INT(seen.plain, ++asked);
    d.base.precision = PRECISION_FLOAT32;
    CHECK(gradient(&d, &CONV, DNN_BACKWARD_WEIGHTS));
    CHECK_INT(seen.plain, ++asked);
    choices_done(&d);
    CHECK_INT(seen.undone, asked);
}

/* The fused chain has a bias in any case: with and without one it is the same plan. */
static void test_bias(void)
{
    struct cuda_device d = card();
    const struct choice *relu = forward(&d, &CONV, &RELU);

    CHECK(relu && relu->fused);
    CHECK(forward(&d, &CONV, &BIAS_RELU) == relu);
    CHECK(forward(&d, &CONV, &ALL) != relu);
    CHECK_INT(seen.fused, 2);
    CHECK_INT(seen.plain, 0);
    CHECK_HOLDS(seen.key, "+residual+bias+relu");
    choices_done(&d);
}

/* That a chain is better split is an answer too, and its convolution is everybody's. */
static void test_split(void)
{
    struct cuda_device d = card();

    seen.split = true;
    const struct choice *plain = forward(&d, &CONV, &ALL);
    CHECK(plain && plain->plan && !plain->fused);
    CHECK(forward(&d, &CONV, &ALL) == plain);
    CHECK(forward(&d, &CONV, &RELU) == plain);
    CHECK(forward(&d, &CONV, &NO_TAIL) == plain);
    CHECK_INT(seen.fused, 2); /* two chains */
    CHECK_INT(seen.plain, 1);
    choices_done(&d);
    CHECK_INT(seen.undone, 3);
}

static void test_failure(void)
{
    struct cuda_device d = card();

    seen.fails = true;
    CHECK(!gradient(&d, &CONV, DNN_BACKWARD_DATA));
    CHECK(!forward(&d, &CONV, &ALL));
    CHECK(!d.known);
    seen.fails = false;
    CHECK(gradient(&d, &CONV, DNN_BACKWARD_DATA));
    CHECK_INT(seen.plain, 2);
    choices_done(&d);
}

static const struct check_case cases[] = {
    { "the same convolution is looked for once, and all share the plan", test_once },
    { "another shape, direction, format or freedom is another question", test_apart },
    { "a chain with and without a bias is the same plan", test_bias },
    { "a split chain is remembered, and shares the plain convolution", test_split },
    { "a failure is not remembered", test_failure },
};

int main(int argc, char **argv)
{
    return check_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
