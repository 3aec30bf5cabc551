/* Are the losses of f(x) and f(x') what their formulas say, and their gradients
 * those of the losses?
 *
 * On every backend: slopes along random directions, values a hand can compute,
 * logits so far apart that probabilities are 0, and the noise that crafting
 * starts from. */
#include "gpu/backend/philox.h"
#include "tests/check.h"
#include "tests/ops/subjects.h"

enum { ROWS_MAX = 24, NUMBERS_MAX = ROWS_MAX * 200 };

/* One call: what goes in, on the host. */
struct question {
    int n, k;
    const float *z, *z_adv; /* z_adv NULL: lse only */
    const int32_t *labels;  /* or NULL */
    float weight;           /* beta, lambda */
    float c;
    bool clip_clean;
    float scale;
};

struct answer {
    float loss[ROWS_MAX], dz[NUMBERS_MAX], dz_adv[NUMBERS_MAX];
};

typedef int loss_function(struct device *dev, const struct question *q, const float *z, const float *z_adv,
                          const int32_t *labels, float *loss, float *dz, float *dz_adv);

static int kl(struct device *dev, const struct question *q, const float *z, const float *z_adv, const int32_t *labels,
              float *loss, float *dz, float *dz_adv)
{
    return dev->ops->kl_loss(dev, q->n, q->k, z, z_adv, labels, q->weight, q->scale, loss, dz, dz_adv);
}

static int mart(struct device *dev, const struct question *q, const float *z, const float *z_adv, const int32_t *labels,
                float *loss, float *dz, float *dz_adv)
{
    return dev->ops->mart_loss(dev, q->n, q->k, z, z_adv, labels, q->weight, q->scale, loss, dz, dz_adv);
}

static int lse(struct device *dev, const struct question *q, const float *z, const float *z_adv, const int32_t *labels,
               float *loss, float *dz, float *dz_adv)
{
    return dev->ops->lse_loss(dev, q->n, q->k, z, z_adv, labels, q->weight, q->c, q->clip_clean, q->scale, loss, dz,
                              dz_adv);
}

static void *on_device(struct device *dev, const void *host, size_t bytes)
{
    void *mem = dev->ops->alloc(dev, bytes);

    if (host)
        CHECK_INT(dev->ops->write(dev, mem, host, bytes), 0);
    return mem;
}

static void ask(struct device *dev, loss_function *function, const struct question *q, struct answer *ret)
{
    size_t rows = (size_t)q->n * 4, numbers = rows * (size_t)q->k;
    void *z = on_device(dev, q->z, numbers), *z_adv = q->z_adv ? on_device(dev, q->z_adv, numbers) : NULL;
    void *labels = q->labels ? on_device(dev, q->labels, rows) : NULL;
    void *loss = on_device(dev, NULL, rows), *dz = on_device(dev, NULL, numbers);
    void *dz_adv = q->z_adv ? on_device(dev, NULL, numbers) : NULL;

    CHECK_INT(function(dev, q, z, z_adv, labels, loss, dz, dz_adv), 0);
    CHECK_INT(dev->ops->read(dev, ret->loss, loss, rows), 0);
    CHECK_INT(dev->ops->read(dev, ret->dz, dz, numbers), 0);
    if (dz_adv)
        CHECK_INT(dev->ops->read(dev, ret->dz_adv, dz_adv, numbers), 0);
    void *all[] = { z, z_adv, labels, loss, dz, dz_adv };
    for (int i = 0; i < 6; i++)
        if (all[i])
            dev->ops->free(dev, all[i]);
}

/* ---- slopes -------------------------------------------------------------------------- */

static struct answer answer; /* large, so not on the stack */

static double total(struct device *dev, loss_function *function, const struct question *q)
{
    static struct answer aside;
    double sum = 0;

    ask(dev, function, q, &aside);
    for (int i = 0; i < q->n; i++)
        sum += aside.loss[i];
    return sum * q->scale;
}

/* The slope of one side along random signs, beside what the gradient says. */
static void slope(struct device *dev, const char *name, loss_function *function, const struct question *q, bool adv,
                  uint32_t which)
{
    static const float step = 1.0f / 64;
    const float *at = adv ? q->z_adv : q->z, *gradient = adv ? answer.dz_adv : answer.dz;
    float moved[NUMBERS_MAX];
    double said = 0, size = 0, measured = 0;

    for (int i = 0; i < q->n * q->k; i++) {
        double direction = noise(70 + which, i) < 0 ? -1 : 1;

        said += direction * gradient[i];
        size += (double)gradient[i] * gradient[i];
    }
    for (int side = -1; side <= 1; side += 2) {
        struct question there = *q;

        for (int i = 0; i < q->n * q->k; i++)
            moved[i] = at[i] + (float)side * (noise(70 + which, i) < 0 ? -step : step);
        *(adv ? &there.z_adv : &there.z) = moved;
        measured += side * total(dev, function, &there) / (2 * (double)step);
    }
    /* Third derivatives times the square of the step, and losses rounded to float. */
    if (!(fabs(said - measured) <= 2e-3 * fmax(sqrt(size), 1e-3)))
        CHECK_FAIL("%s, %d of %d classes: the slope by %s is %.9g, the gradient says %.9g (norm %g)", name, q->n, q->k,
                   adv ? "z_adv" : "z", measured, said, sqrt(size));
}

/* Constants c keep every example more than a step away from the kink of its relu. */
static void slopes(struct device *dev)
{
    static const struct {
        const char *name;
        loss_function *function;
        float weight, c;
        bool labels, adversarial, clip_clean;
    } rows[] = {
        { "TRADES", kl, 6, 0, true, true },
        { "the divergence alone", kl, 1, 0, false, true },
        { "MART", mart, 5, 0, true, true },
        { "SCORE", lse, 6, 0.1f, true, true, true },
        { "SCORE without clipping the clean part", lse, 6, 0.2f, true, true, false },
        { "the squared distance alone", lse, 1, 0, false, true, true },
        { "the squared distance from the label", lse, 0, 0.5f, true, false, true },
    };
    static const int shapes[][2] = { { 6, 2 }, { 24, 10 }, { 5, 200 } };
    static float z[NUMBERS_MAX], z_adv[NUMBERS_MAX];
    static int32_t labels[ROWS_MAX];

    for (int i = 0; i < NUMBERS_MAX; i++) {
        z[i] = 2 * noise(1, i);
        z_adv[i] = z[i] + noise(2, i);
    }
    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
        for (int s = 0; s < 3; s++) {
            struct question q = {
                shapes[s][0],
                shapes[s][1],
                z,
                rows[r].adversarial ? z_adv : NULL,
                NULL,
                rows[r].weight,
                rows[r].c,
                rows[r].clip_clean,
                1.0f / (float)shapes[s][0],
            };

            for (int i = 0; i < q.n; i++)
                labels[i] = i * 7 % q.k;
            q.labels = rows[r].labels ? labels : NULL;
            ask(dev, rows[r].function, &q, &answer);
            for (uint32_t which = 0; which < 2; which++) {
                slope(dev, rows[r].name, rows[r].function, &q, false, which);
                if (rows[r].adversarial)
                    slope(dev, rows[r].name, rows[r].function, &q, true, which);
            }
        }
    }
}

static void test_slopes(void)
{
    on_each_float32(slopes);
}

/* ---- by hand --------------------------------------------------------------------------- */

/* p = (1/2, 1/2), q = (3/4, 1/4), y = 0. */
static const float even[2] = { 0, 0 }, uneven[2] = { 1.0986122886681098f, 0 };
static const int32_t first[1] = { 0 };

static void trades_by_hand(struct device *dev)
{
    struct question q = { 1, 2, even, uneven, first, 6, .scale = 0.5f };
    double divergence = 0.5 * log(0.5 / 0.75) + 0.5 * log(0.5 / 0.25);

    ask(dev, kl, &q, &answer);
    CHECK_NEAR(answer.loss[0], log(2) + 6 * divergence, 1e-6);
    CHECK_NEAR(answer.dz_adv[0], 0.5 * 6 * 0.25, 1e-6);
    CHECK_NEAR(answer.dz_adv[1], -0.5 * 6 * 0.25, 1e-6);
    CHECK_NEAR(answer.dz[0], 0.5 * (-0.5 + 6 * 0.5 * (log(0.5 / 0.75) - divergence)), 1e-6);
    q.labels = NULL;
    ask(dev, kl, &q, &answer);
    CHECK_NEAR(answer.loss[0], 6 * divergence, 1e-6);
    CHECK_NEAR(answer.dz[0], 0.5 * 6 * 0.5 * (log(0.5 / 0.75) - divergence), 1e-6);
    q.z_adv = even; /* the same distribution: nothing to climb */
    ask(dev, kl, &q, &answer);
    CHECK_NEAR(answer.loss[0], 0, 1e-7);
    for (int i = 0; i < 2; i++) {
        CHECK_NEAR(answer.dz[i], 0, 1e-7);
        CHECK_NEAR(answer.dz_adv[i], 0, 1e-7);
    }
}

static void mart_by_hand(struct device *dev)
{
    static const float equal[4] = { 3, 3, 3, 3 }, other[4] = { 0, 9, 9, 0 };
    struct question q = { 1, 2, even, uneven, first, 5, .scale = 1 };
    double divergence = 0.5 * log(0.5 / 0.75) + 0.5 * log(0.5 / 0.25);

    ask(dev, mart, &q, &answer);
    CHECK_NEAR(answer.loss[0], -log(0.75) - log(1.0001 - 0.25) + 5 * divergence * (1.0000001 - 0.5), 1e-6);
    /* q falls towards the label: q_0 - 1, and q_1 away from the margin */
    CHECK_NEAR(answer.dz_adv[1],
               0.25 + 0.25 * (1 - 0.25) / (1.0001 - 0.25) - 5 * 0.5000001 * (0.5 - 0.25 * (0.5 + 0.5)), 1e-5);
    CHECK_NEAR(answer.dz_adv[0], -answer.dz_adv[1], 1e-6); /* a softmax's gradients add up to 0 */
    q.n = 1;
    q.k = 4;
    q.z = q.z_adv = equal;
    ask(dev, mart, &q, &answer);
    CHECK_NEAR(answer.loss[0], log(4) - log(1.0001 - 0.25), 1e-6);
    /* Two rivals alike: the first of them counts. */
    q.z = q.z_adv = other;
    ask(dev, mart, &q, &answer);
    CHECK(answer.dz_adv[1] > answer.dz_adv[2]);
}

static void score_by_hand(struct device *dev)
{
    struct question q = { 1, 2, even, uneven, first, 6, 0, true, 1 };

    ask(dev, lse, &q, &answer); /* A = 1/2, B = 1/8 */
    CHECK_NEAR(answer.loss[0], 0.5 + 6 * 0.125, 1e-6);
    q.c = 0.25f;
    ask(dev, lse, &q, &answer);
    CHECK_NEAR(answer.loss[0], 1.0, 1e-6);
    q.clip_clean = false; /* B < c: only the clean part is left, and its gradient */
    ask(dev, lse, &q, &answer);
    CHECK_NEAR(answer.loss[0], 0.5, 1e-6);
    CHECK_NEAR(answer.dz_adv[0], 0, 0);
    CHECK_NEAR(answer.dz[0], 0.5 * (2 * -0.5 - (0.5 * 2 * -0.5 + 0.5 * 2 * 0.5)), 1e-6);
    q.c = 2; /* more than it can be: clipped, nothing moves */
    q.clip_clean = true;
    ask(dev, lse, &q, &answer);
    CHECK_NEAR(answer.loss[0], 0, 0);
    for (int i = 0; i < 2; i++) {
        CHECK_NEAR(answer.dz[i], 0, 0);
        CHECK_NEAR(answer.dz_adv[i], 0, 0);
    }
    q = (struct question){ 1, 2, uneven, NULL, first, 6, 0.1f, true, 1 }; /* A alone, of q */
    ask(dev, lse, &q, &answer);
    CHECK_NEAR(answer.loss[0], 2 * 0.0625 - 0.1, 1e-6);
}

static void test_by_hand(void)
{
    on_each_float32(trades_by_hand);
    on_each_float32(mart_by_hand);
    on_each_float32(score_by_hand);
}

/* ---- edges -------------------------------------------------------------------------------- */

static void edges(struct device *dev)
{
    enum { N = 5, K = 3 };
    static const float z[N * K] = { 1e4f, -1e4f, 0, -1e4f, 1e4f, 0, 1e4f, 1e4f, -1e4f, 0, 0, 0, 88, -88, 88 },
                             z_adv[N * K] = { -1e4f, 1e4f, 0, -1e4f, 1e4f, 0,  -1e4f, -1e4f,
                                              1e4f,  1e4f, 0, 0,     -88,  88, 88 };
    static const int32_t labels[N] = { 0, 0, 2, 1, 1 };
    static loss_function *const functions[] = { kl, mart, lse, lse };

    for (int f = 0; f < 4; f++) {
        struct question q = { N, K, z, z_adv, labels, 6, 0.1f, f == 2, 1.0f / N };

        ask(dev, functions[f], &q, &answer);
        for (int i = 0; i < N; i++)
            CHECK(isfinite(answer.loss[i]));
        for (int i = 0; i < N * K; i++)
            CHECK(isfinite(answer.dz[i]) && isfinite(answer.dz_adv[i]));
    }
}

static void test_edges(void)
{
    on_each_float32(edges);
}

/* A net that has diverged must be heard. */
static void nan_is_heard(struct device *dev)
{
    static const float broken[2] = { NAN, 0 };
    static loss_function *const functions[] = { kl, mart, lse, lse };

    for (int f = 0; f < 4; f++)
        for (int side = 0; side < 2; side++) {
            struct question q = { 1, 2, side ? even : broken, side ? broken : even, first, 6, 0.1f, f == 2, 1 };

            ask(dev, functions[f], &q, &answer);
            CHECK(isnan(answer.loss[0]));
        }
}

static void test_nan(void)
{
    on_each_float32(nan_is_heard);
}

/* ---- the noise that crafting starts from --------------------------------------------------- */

static void noise_start(struct device *dev)
{
    enum { N = 8, PIXELS = 3 * 16 * 16 };
    static float x[N * PIXELS], together[N * PIXELS], alone[PIXELS];
    int64_t ids[N];
    const struct random_key key = { 5, RANDOM_ATTACK, 2 };
    double sum = 0, squares = 0, fourth = 0;
    int far = 0;

    for (int i = 0; i < N; i++)
        ids[i] = 100 - 3 * i;
    void *in = on_device(dev, x, sizeof(x)), *out = on_device(dev, NULL, sizeof(x));
    CHECK_INT(dev->ops->normal_start(dev, (struct shape){ N, 3, 16, 16 }, in, 0.5f, key, ids, out), 0);
    CHECK_INT(dev->ops->read(dev, together, out, sizeof(together)), 0);
    for (int i = 0; i < N * PIXELS; i++) {
        double g = together[i] / 0.5;

        sum += g;
        squares += g * g;
        fourth += g * g * g * g;
        far += together[i] < 0 || together[i] > 1;
    }
    /* Means of 6144 numbers: five standard deviations of each. */
    CHECK_NEAR(sum / (N * PIXELS), 0, 5 / sqrt(N * PIXELS));
    CHECK_NEAR(squares / (N * PIXELS), 1, 5 * sqrt(2.0 / (N * PIXELS)));
    CHECK(fabs(fourth / (N * PIXELS) - 3) < 5 * sqrt(96.0 / (N * PIXELS)));
    CHECK(far > N * PIXELS / 3); /* x is 0: half are below, and nothing is clamped */
    CHECK_INT(dev->ops->normal_start(dev, (struct shape){ 1, 3, 16, 16 }, in, 0.5f, key, ids + 5, out), 0);
    CHECK_INT(dev->ops->read(dev, alone, out, sizeof(alone)), 0);
    CHECK(memcmp(alone, together + 5 * PIXELS, sizeof(alone)) == 0);
    dev->ops->free(dev, in);
    dev->ops->free(dev, out);
}

static void test_noise_start(void)
{
    on_each_float32(noise_start);
}

static const struct check_case cases[] = {
    { "slopes of every loss agree with its gradients by both sets of logits", test_slopes },
    { "losses and gradients are what a hand computes", test_by_hand },
    { "logits of ten thousand give finite losses and gradients", test_edges },
    { "a NaN on either side is heard in the loss", test_nan },
    { "the noise is normal, isn't clamped, and belongs to the example", test_noise_start },
};

CHECK_MAIN(cases)
