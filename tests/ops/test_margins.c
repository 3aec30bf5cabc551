/* Are margins and ratios of logits what backend.h says, and their gradients slopes? On every backend. */
#include "tests/check.h"
#include "tests/ops/call.h"
#include "tests/ops/cases.h"

enum { ROWS = 5, CLASSES = 12 };

static void on_each(void (*test)(struct device *dev))
{
    for (int b = 0; backends[b]; b++) {
        struct device *dev;
        int before = check_failures;
        int r = backends[b]->device_open(backends[b]->name, PRECISION_FLOAT32, 0, &dev, NULL);

        if (r < 0)
            continue; /* test_devices tells of devices that aren't here */
        test(dev);
        if (check_failures != before)
            fprintf(stderr, "that was backend %s\n", backends[b]->name);
        device_close(dev);
    }
}

struct losses {
    float loss[ROWS], dz[ROWS * CLASSES];
    int32_t correct[ROWS];
};

static const int32_t labels[ROWS] = { 2, 0, 1, 3, 0 }, targets[ROWS] = { 1, 3, 0, 2, 1 };

/* targeted: aim at targets[]; scale of the gradient is 1. */
static struct losses losses_of(struct device *dev, enum margin margin, int k, const float *z, bool targeted)
{
    struct losses l;
    struct call c = { .dev = dev };
    size_t rows = ROWS * sizeof(float);

    memset(&l, 0xff, sizeof(l));
    const float *dz = in(&c, z, (size_t)(ROWS * k) * sizeof(float));
    const int32_t *dl = in(&c, labels, rows), *dt = in(&c, targets, rows);
    float *loss = in(&c, l.loss, rows), *gradient = in(&c, l.dz, sizeof(l.dz));
    int32_t *correct = in(&c, l.correct, rows);
    CHECK_INT(dev->ops->margin_loss(dev, margin, ROWS, k, dz, dl, targeted ? dt : NULL, 1, loss, correct, gradient), 0);
    CHECK_INT(dev->ops->read(dev, l.loss, loss, rows), 0);
    CHECK_INT(dev->ops->read(dev, l.correct, correct, rows), 0);
    done(&c, l.dz, 4);
    return l;
}

static const struct {
    enum margin margin;
    bool targeted;
} losses[] = { { MARGIN_PLAIN, false }, { MARGIN_PLAIN, true }, { MARGIN_DLR, false }, { MARGIN_DLR_TARGETED, true } };
enum { LOSSES = 4 };

static void logits(float *z, uint32_t what, int k)
{
    for (int i = 0; i < ROWS * k; i++)
        z[i] = 3 * noise(what, i);
    for (int i = 0; i < ROWS && what % 2; i++) /* now and then the true class is the largest */
        z[i * k + labels[i]] += i % 2 ? 6 : 0;
}

/* The textbook way: sort, then the formula. */
static double loss_naive(enum margin margin, int k, const float *z, int y, int t)
{
    double sorted[CLASSES], best = -INFINITY;

    for (int i = 0; i < k; i++) {
        int at = i;

        best = i != y ? fmax(best, z[i]) : best;
        for (; at > 0 && sorted[at - 1] < z[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = z[i];
    }
    double away = z[y] - (t < 0 ? best : z[t]);
    return margin == MARGIN_PLAIN ? -away
           : margin == MARGIN_DLR ? -away / (sorted[0] - sorted[2] + 1e-12)
                                  : -away / (sorted[0] - (sorted[2] + sorted[3]) / 2 + 1e-12);
}

static void losses_right(struct device *dev)
{
    static const int classes[] = { 4, 5, CLASSES };
    float z[ROWS * CLASSES];

    for (int l = 0; l < LOSSES; l++) {
        for (int c = 0; c < 3; c++) {
            int k = classes[c];

            logits(z, 20 + (uint32_t)c, k);
            struct losses is = losses_of(dev, losses[l].margin, k, z, losses[l].targeted);
            for (int i = 0; i < ROWS; i++) {
                int best = 0;

                for (int j = 1; j < k; j++)
                    best = z[i * k + j] > z[i * k + best] ? j : best;
                CHECK_NEAR(is.loss[i],
                           loss_naive(losses[l].margin, k, z + i * k, labels[i], losses[l].targeted ? targets[i] : -1),
                           1e-6);
                CHECK_INT(is.correct[i], best == labels[i]);
            }
        }
    }
}

static void test_losses_right(void)
{
    on_each(losses_right);
}

/* Through the denominator too: one logit at a time, up and down. */
static void losses_slope(struct device *dev)
{
    static const float h = 1.0f / 1024;
    float z[ROWS * CLASSES];
    int k = 5;

    logits(z, 31, k);
    for (int l = 0; l < LOSSES; l++) {
        struct losses at = losses_of(dev, losses[l].margin, k, z, losses[l].targeted);

        for (int j = 0; j < k; j++) {
            for (int i = 0; i < ROWS; i++) {
                int t = losses[l].targeted ? targets[i] : -1;
                float *one = &z[i * k + j], was = *one;
                double up, down;

                *one = was + h;
                up = loss_naive(losses[l].margin, k, z + i * k, labels[i], t);
                *one = was - h;
                down = loss_naive(losses[l].margin, k, z + i * k, labels[i], t);
                *one = was;
                CHECK_NEAR(at.dz[i * k + j], (up - down) / (2.0 * h), 1e-4);
            }
        }
    }
}

static void test_losses_slope(void)
{
    on_each(losses_slope);
}

/* Equal logits rank by class: the same on every backend, and the first one is the argmax. */
static void losses_equal(struct device *dev)
{
    float z[ROWS * CLASSES];

    for (int i = 0; i < ROWS * CLASSES; i++)
        z[i] = (float)(i * 7 % 3);
    struct device *ref;
    CHECK_INT(backend_ref.device_open("ref", PRECISION_FLOAT32, 1, &ref, NULL), 0);
    for (int l = 0; l < LOSSES; l++) {
        struct losses is = losses_of(dev, losses[l].margin, 5, z, losses[l].targeted);
        struct losses want = losses_of(ref, losses[l].margin, 5, z, losses[l].targeted);

        for (int i = 0; i < ROWS; i++)
            CHECK_INT(is.correct[i], want.correct[i]);
        for (int i = 0; i < ROWS * 5; i++)
            CHECK_NEAR(is.dz[i], want.dz[i], 1e-6);
    }
    device_close(ref);
    struct losses flat = losses_of(dev, MARGIN_PLAIN, 4, (float[ROWS * 4]){ 0 }, false);
    for (int i = 0; i < ROWS; i++)
        CHECK_INT(flat.correct[i], labels[i] == 0);
}

static void test_losses_equal(void)
{
    on_each(losses_equal);
}

static const struct check_case cases[] = {
    { "margins and ratios of logits are the formula's", test_losses_right },
    { "their gradients are slopes, through the denominator too", test_losses_slope },
    { "equal logits rank by their class", test_losses_equal },
};
CHECK_MAIN(cases)
