/* Do the formulas that the card's kernels are made of say what the oracle says?
 *
 * The same functions that compile into kernels (gpu/backend/cuda/elements.h),
 * called here in plain loops, against `ref` on random data: pixels and attack
 * steps to the bit, losses and batch norm within the roundings of a different
 * order. And the indices: every pixel and channel belongs to exactly one thread. */
#include "gpu/backend/cuda/elements_attack.h"
#include "gpu/backend/cuda/tiling.h"
#include "tests/check.h"
#include "tests/ops/cases.h"

static struct device *ref;

static float *noisy(uint32_t stream, int64_t count, float scale, float shift)
{
    float *f = malloc((size_t)count * sizeof(float));

    for (int64_t i = 0; i < count; i++)
        f[i] = scale * noise(stream, i) + shift;
    return f;
}

static float *empty(int64_t count)
{
    return calloc((size_t)count, sizeof(float));
}

static void same_bits(const char *what, const float *is, const float *want, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (memcmp(&is[i], &want[i], sizeof(float)) != 0) {
            CHECK_FAIL("%s: element %lld is %.9g, ref has %.9g", what, (long long)i, is[i], want[i]);
            return;
        }
}

static void close_to(const char *what, const float *is, const float *want, int64_t count, double tolerance)
{
    double difference = 0, size = 0;

    for (int64_t i = 0; i < count; i++) {
        difference += ((double)is[i] - want[i]) * ((double)is[i] - want[i]);
        size += (double)want[i] * want[i];
    }
    if (!(sqrt(difference) <= tolerance * fmax(sqrt(size), 1e-30)))
        CHECK_FAIL("%s: %g away from ref of norm %g, allowed %g of it", what, sqrt(difference), sqrt(size), tolerance);
}

/* ---- pixels ------------------------------------------------------------------------- */

enum { N = 6, C = 3, H = 9, W = 7, ROW = C * H * W, COUNT = N * ROW };
static const struct shape image = { N, C, H, W };
static const float EPSILON = 8.0f / 255, STEP = 2.0f / 255;

static void test_windows(void)
{
    uint8_t *stored = malloc(COUNT);
    struct crop crops[N];
    float *want = empty(COUNT), *is = empty(COUNT);

    for (int i = 0; i < COUNT; i++)
        stored[i] = (uint8_t)(128 + 127 * noise(1, i));
    for (int padding = 0; padding < 2; padding++)
        for (int turn = 0; turn < 8; turn++) {
            for (int i = 0; i < N; i++)
                crops[i] = (struct crop){ (i + turn) % N, (int8_t)(turn - 4), (int8_t)(3 - i), (uint8_t)(turn % 2) };
            ref->ops->load_batch(ref, N, C, H, W, stored, crops, (enum padding)padding, want);
            for (int i = 0; i < N; i++)
                for (int e = 0; e < ROW; e++) {
                    struct window w = { crops[i].index, crops[i].dx, crops[i].dy, crops[i].flip };
                    is[i * ROW + e] = window_pixel(stored, w, C, H, W, padding == PADDING_ZERO, e / (H * W),
                                                   e / W % H, e % W);
                }
            same_bits("window", is, want, COUNT);
        }
    free(stored);
    free(want);
    free(is);
}

/* What the attacks start from: pixels, a gradient with zeros, and where they are. */
struct pixels {
    float *x, *g, *now, *old, *want, *is;
    int64_t id[N];
    float step[N];
};

static struct pixels pixels_open(void)
{
    struct pixels p = { noisy(1, COUNT, 0.5f, 0.5f), noisy(2, COUNT, 1, 0), noisy(3, COUNT, 0.5f, 0.5f),
                        noisy(4, COUNT, 0.5f, 0.5f), empty(COUNT),          empty(COUNT) };

    for (int i = 0; i < COUNT; i += 7)
        p.g[i] = 0;
    for (int i = 0; i < N; i++) {
        p.id[i] = 17 * i + ((int64_t)(i == 2) << 33);
        p.step[i] = STEP * (float)(i + 1);
    }
    return p;
}

static void pixels_done(struct pixels *p)
{
    float *all[] = { p->x, p->g, p->now, p->old, p->want, p->is };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        free(all[i]);
}

static const struct random_key key = { 42, 4, 3 };

static uint32_t word_of(const struct pixels *p, int at)
{
    int e = at % ROW;

    return philox(key.seed, key.purpose, key.epoch, (uint64_t)p->id[at / ROW], (uint32_t)(e / 4)).word[e % 4];
}

static void test_pgd(void)
{
    struct pixels p = pixels_open();

    ref->ops->pgd_start(ref, image, p.x, EPSILON, key, p.id, p.want);
    for (int i = 0; i < COUNT; i++)
        p.is[i] = pgd_started(p.x[i], EPSILON, word_of(&p, i));
    same_bits("start", p.is, p.want, COUNT);
    for (int step = 0; step < 6; step++) {
        ref->ops->pgd_step(ref, image, p.x, p.g, STEP, EPSILON, p.want);
        for (int i = 0; i < COUNT; i++)
            p.is[i] = pgd_stepped(p.x[i], p.g[i], STEP, EPSILON, p.is[i]);
        same_bits("step", p.is, p.want, COUNT);
        for (int i = 0; i < COUNT; i++) {
            if (!(p.is[i] >= 0 && p.is[i] <= 1 && fabsf(p.is[i] - p.x[i]) <= EPSILON * (1 + 1e-5f)))
                CHECK_FAIL("pixel %d has left the ball: %.9g, image %.9g", i, p.is[i], p.x[i]);
            p.g[i] = noise(10 + (uint32_t)step, i);
        }
    }
    pixels_done(&p);
}

static void test_apgd(void)
{
    struct pixels p = pixels_open();

    ref->ops->apgd_start(ref, image, p.x, EPSILON, key, p.id, p.want);
    for (int n = 0; n < N; n++) {
        float largest = 0;

        for (int e = 0; e < ROW; e++)
            largest = fmaxf(largest, fabsf(signed_unit(word_of(&p, n * ROW + e))));
        for (int at = n * ROW; at < (n + 1) * ROW; at++)
            p.is[at] = apgd_started(p.x[at], EPSILON, signed_unit(word_of(&p, at)), largest);
    }
    same_bits("apgd_start", p.is, p.want, COUNT);
    memcpy(p.want, p.old, COUNT * sizeof(float));
    ref->ops->apgd_step(ref, image, p.x, p.g, p.now, p.step, 0.75f, EPSILON, p.want);
    for (int i = 0; i < COUNT; i++)
        p.is[i] = apgd_stepped(p.x[i], p.g[i], p.now[i], p.step[i / ROW], 0.75f, EPSILON, p.old[i]);
    same_bits("apgd_step", p.is, p.want, COUNT);
    pixels_done(&p);
}

static void test_square(void)
{
    struct pixels p = pixels_open();

    ref->ops->square_start(ref, image, p.x, EPSILON, key, p.id, p.want);
    for (int i = 0; i < COUNT; i++) {
        int64_t column = i % ROW / (H * W) * W + i % W;
        struct philox four = philox(key.seed, key.purpose, key.epoch, (uint64_t)p.id[i / ROW],
                                    STRIPE_BLOCKS + (uint32_t)(column / STRIPE_BITS));

        p.is[i] = square_started(p.x[i], EPSILON, four.word[column / 32 % 4], column);
    }
    same_bits("square_start", p.is, p.want, COUNT);
    for (uint32_t query = 0; query < 20; query++) {
        ref->ops->square_step(ref, image, p.x, p.now, EPSILON, key, p.id, query, 3, p.want);
        for (int i = 0; i < COUNT; i++) {
            struct philox four = philox(key.seed, key.purpose, key.epoch, (uint64_t)p.id[i / ROW], query);

            p.is[i] = square_stepped(p.x[i], p.now[i], EPSILON, four, square_window(four, H, W, 3), i / (H * W) % C,
                                     i / W % H, i % W);
        }
        same_bits("square_step", p.is, p.want, COUNT);
    }
    pixels_done(&p);
}

/* FAB's sums go through the elements here as they do on the card, in one thread. */
static double lambda_of(const float *u, const float *w, double c)
{
    double low = 0, high = 1;

    for (int i = 0; i < FAB_HALVINGS; i++) {
        double middle = (low + high) / 2, reached = 0;

        for (int e = 0; e < ROW; e++)
            reached += fab_reach(u[e], w[e], c, middle);
        if (reached < fabs(c))
            low = middle;
        else
            high = middle;
    }
    return high;
}

static double length_of(const float *u, const float *w, double c, double lambda)
{
    double length = 1e-8;

    for (int e = 0; e < ROW; e++)
        length = fmax(length, fabs(fab_moved(u[e], w[e], c, lambda)));
    return length;
}

static void test_fab(void)
{
    struct pixels p = pixels_open();
    float f[N] = { 0.5f, -0.5f, 3, -3, 1e-3f, 1e9f };

    memcpy(p.want, p.now, COUNT * sizeof(float));
    ref->ops->fab_step(ref, image, p.x, p.g, f, 1.05f, 0.1f, p.want);
    for (int n = 0; n < N; n++) {
        const float *x = p.x + n * ROW, *w = p.g + n * ROW, *u = p.now + n * ROW;
        double moved = 0;

        for (int e = 0; e < ROW; e++)
            moved += w[e] * ((double)x[e] - u[e]);
        double c1 = f[n], c0 = f[n] + moved, lambda1 = lambda_of(u, w, c1), lambda0 = lambda_of(x, w, c0);
        double a1 = length_of(u, w, c1, lambda1), a0 = length_of(x, w, c0, lambda0), b = fmin(a1 / (a1 + a0), 0.1f);
        for (int e = 0; e < ROW; e++)
            p.is[n * ROW + e] = clampf((float)((1 - b) * (u[e] + 1.05f * fab_moved(u[e], w[e], c1, lambda1)) +
                                               b * (x[e] + 1.05f * fab_moved(x[e], w[e], c0, lambda0))),
                                       0.0f, 1.0f);
    }
    close_to("fab_step", p.is, p.want, COUNT, 1e-6);
    pixels_done(&p);
}

/* ---- losses ----------------------------------------------------------------------------- */

enum { ROWS = 9, CLASSES_MOST = 100 };
static const int class_counts[] = { 4, 10, 33, 100 };

struct logits {
    int k;
    float *z, *z_adv;
    int32_t labels[ROWS], targets[ROWS];
    float *dz, *dz_adv, *want_dz, *want_dz_adv;
    float loss[ROWS], want_loss[ROWS];
    int32_t correct[ROWS], want_correct[ROWS];
};

static struct logits logits_open(int k, float scale)
{
    struct logits l = { k,
                        noisy(21, (int64_t)ROWS * k, scale, 0),
                        noisy(22, (int64_t)ROWS * k, scale, 0),
                        .dz = empty((int64_t)ROWS * k),
                        .dz_adv = empty((int64_t)ROWS * k),
                        .want_dz = empty((int64_t)ROWS * k),
                        .want_dz_adv = empty((int64_t)ROWS * k) };

    for (int i = 0; i < ROWS; i++) {
        l.labels[i] = i * 5 % k;
        l.targets[i] = (i * 5 + 1) % k;
    }
    l.z[k + 1] = l.z[k + 2]; /* equals, and far the largest: the first one counts */
    l.z[k + 1] = l.z[k + 2] = 3 * scale;
    return l;
}

static void logits_done(struct logits *l)
{
    float *all[] = { l->z, l->z_adv, l->dz, l->dz_adv, l->want_dz, l->want_dz_adv };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        free(all[i]);
}

static void compare_losses(const char *what, struct logits *l, bool two)
{
    close_to(what, l->loss, l->want_loss, ROWS, 1e-6);
    close_to(what, l->dz, l->want_dz, (int64_t)ROWS * l->k, 1e-6);
    if (two)
        close_to(what, l->dz_adv, l->want_dz_adv, (int64_t)ROWS * l->k, 1e-6);
}

static struct pair_row pair(struct logits *l, int i, bool labels)
{
    int64_t at = (int64_t)i * l->k;

    return (struct pair_row){ l->z + at,  l->z_adv + at, l->k,         labels ? l->labels[i] : -1, 0.25f,
                              &l->loss[i], l->dz + at,    l->dz_adv + at };
}

static void losses_of(int k, float scale)
{
    struct logits l = logits_open(k, scale);

    ref->ops->cross_entropy(ref, ROWS, k, l.z, l.labels, 0.25f, l.want_loss, l.want_correct, l.want_dz);
    for (int i = 0; i < ROWS; i++)
        row_cross_entropy(l.z + (int64_t)i * k, k, l.labels[i], 0.25f, &l.loss[i], &l.correct[i], l.dz + (int64_t)i * k);
    compare_losses("cross-entropy", &l, false);
    CHECK(memcmp(l.correct, l.want_correct, sizeof(l.correct)) == 0);
    for (int labels = 0; labels < 2; labels++) {
        ref->ops->kl_loss(ref, ROWS, k, l.z, l.z_adv, labels ? l.labels : NULL, 6, 0.25f, l.want_loss, l.want_dz,
                          l.want_dz_adv);
        for (int i = 0; i < ROWS; i++)
            row_kl_loss(pair(&l, i, labels), 6);
        compare_losses("kl_loss", &l, true);
        for (int clip = 0; clip < 2; clip++) {
            ref->ops->lse_loss(ref, ROWS, k, l.z, l.z_adv, labels ? l.labels : NULL, 3, 0.3f, clip, 0.25f, l.want_loss,
                               l.want_dz, l.want_dz_adv);
            for (int i = 0; i < ROWS; i++)
                row_lse_loss(pair(&l, i, labels), 3, 0.3f, clip);
            compare_losses("lse_loss", &l, true);
        }
    }
    ref->ops->mart_loss(ref, ROWS, k, l.z, l.z_adv, l.labels, 5, 0.25f, l.want_loss, l.want_dz, l.want_dz_adv);
    for (int i = 0; i < ROWS; i++)
        row_mart_loss(pair(&l, i, true), 5);
    compare_losses("mart_loss", &l, true);
    for (int margin = MARGIN_PLAIN; margin <= MARGIN_DLR_TARGETED; margin++) {
        const int32_t *targets = margin == MARGIN_DLR ? NULL : l.targets;

        ref->ops->margin_loss(ref, (enum margin)margin, ROWS, k, l.z, l.labels, targets, 0.25f, l.want_loss,
                              l.want_correct, l.want_dz);
        for (int i = 0; i < ROWS; i++)
            row_margin_loss(margin, l.z + (int64_t)i * k, k, l.labels[i], targets ? targets[i] : -1, 0.25f, &l.loss[i],
                            &l.correct[i], l.dz + (int64_t)i * k);
        compare_losses("margin_loss", &l, false);
        CHECK(memcmp(l.correct, l.want_correct, sizeof(l.correct)) == 0);
    }
    logits_done(&l);
}

static void test_losses(void)
{
    for (size_t i = 0; i < sizeof(class_counts) / sizeof(class_counts[0]); i++) {
        losses_of(class_counts[i], 1);
        losses_of(class_counts[i], 30); /* probabilities next to 0 and 1 */
    }
}

/* A NaN must be seen in the loss, wherever it stands. */
static void test_nan(void)
{
    for (int at = 0; at < 10; at++) {
        float z[10], dz[10], loss = 0;
        int32_t correct;

        for (int c = 0; c < 10; c++)
            z[c] = c == at ? NAN : noise(5, c);
        row_cross_entropy(z, 10, 3, 1, &loss, &correct, dz);
        CHECK(isnan(loss));
    }
    CHECK(isnan(relu_or_nan(NAN)));
    CHECK(isnan(moments_of(0, NAN, 1, 4).var));
}

/* ---- batch norm ------------------------------------------------------------------------------- */

/* As the card adds: runs in float of differences from the first element, runs in double. */
static struct moments moments_by_runs(const float *y, const struct shape *s, int c)
{
    double sum = 0, square = 0;
    int plane = s->h * s->w;
    float shift = y[(int64_t)c * plane];

    for (int64_t i = 0; i < (int64_t)s->n * plane; i += TILING_RUN) {
        float run[2] = { 0, 0 };

        for (int64_t k = i; k < i + TILING_RUN && k < (int64_t)s->n * plane; k++) {
            float d = y[((k / plane) * s->c + c) * plane + k % plane] - shift;

            run[0] += d;
            run[1] += d * d;
        }
        sum += run[0];
        square += run[1];
    }
    return moments_of(shift, sum, square, (double)s->n * plane);
}

/* A mean a thousand times the deviation is where a difference of squares would fail. */
static void test_batch_norm(void)
{
    const struct shape s = { 5, 3, 33, 31 };
    int64_t count = shape_count(s), plane = s.h * s.w;
    float *y = noisy(31, count, 0.01f, 10), *z = empty(count), *da = noisy(32, count, 1, 0), *db = noisy(33, count, 1, 0);
    float *made = noisy(34, count, 1, 0), *want = empty(count), *want_residual = empty(count), *is = empty(count);
    float gamma[3] = { 1.5f, 0.5f, 2 }, beta[3] = { 0.1f, -0.2f, 0 }, mean[3], invstd[3];
    float running[2][3] = { { 1, 2, 3 }, { 1, 2, 3 } }, moved[2][3], dgamma[3], dbeta[3];

    memcpy(moved, running, sizeof(moved));
    ref->ops->bn_forward(ref, s, y, gamma, beta, da, true, z, mean, invstd, running[0], running[1], 0.1f, 1e-5f);
    for (int c = 0; c < 3; c++) {
        struct moments m = moments_by_runs(y, &s, c);
        double n = (double)s.n * (double)plane;

        CHECK_NEAR(m.mean, mean[c], 1e-6);
        CHECK_NEAR(1 / sqrt(m.var + 1e-5), invstd[c], 1e-4);
        CHECK_NEAR(running_moved(moved[0][c], m.mean, 0.1f), running[0][c], 1e-6);
        CHECK_NEAR(running_moved(moved[1][c], m.var * n / (n - 1), 0.1f), running[1][c], 1e-6);
    }
    for (int64_t i = 0; i < count; i++) {
        int c = (int)(i / plane % 3);

        is[i] = relu_or_nan(bn_applied(y[i], mean[c], gamma[c] * invstd[c], beta[c], da[i]));
    }
    close_to("bn_forward", is, z, count, 1e-4); /* y is 10 with roundings of 1e-6 and a deviation of 6e-3 */
    ref->ops->bn_backward(ref, s, da, db, made, y, gamma, mean, invstd, want, want_residual, dgamma, dbeta);
    for (int64_t i = 0; i < count; i++) {
        int c = (int)(i / plane % 3);
        float n = (float)(s.n * plane), g = masked(da[i], db[i], made[i] > 0);

        is[i] = bn_backed(g, y[i], mean[c], invstd[c], gamma[c] * invstd[c], dbeta[c] / n, dgamma[c] / n);
        z[i] = g;
    }
    close_to("bn_backward", is, want, count, 1e-5);
    close_to("bn_backward's residual", z, want_residual, count, 1e-7);
    float *all[] = { y, z, da, db, made, want, want_residual, is };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        free(all[i]);
}

/* ---- parameters ------------------------------------------------------------------------------------ */

static void test_parameters(void)
{
    enum { MANY = 1001 };
    float *theta = noisy(41, MANY, 1, 0), *g = noisy(42, MANY, 1, 0), *v = noisy(43, MANY, 1, 0);
    float *want = noisy(41, MANY, 1, 0), *want_v = noisy(43, MANY, 1, 0), *center = noisy(44, MANY, 1, 0);

    ref->ops->sgd_step(ref, MANY, want, g, want_v, 0.1f, 0.9f, 5e-4f);
    for (int i = 0; i < MANY; i++) {
        v[i] = sgd_velocity(theta[i], g[i], v[i], 0.9f, 5e-4f);
        theta[i] -= 0.1f * v[i];
    }
    same_bits("sgd_step", theta, want, MANY);
    same_bits("sgd_step's velocity", v, want_v, MANY);
    ref->ops->project(ref, MANY, center, 0.3f, want);
    for (int i = 0; i < MANY; i++)
        theta[i] = projected(center[i], 0.3f, theta[i]);
    same_bits("project", theta, want, MANY);
    static const float alphas[] = { 0, 0.25f, 0.5f, 1 };
    for (size_t k = 0; k < sizeof(alphas) / sizeof(alphas[0]); k++) {
        ref->ops->interpolate(ref, MANY, theta, center, alphas[k], want);
        for (int i = 0; i < MANY; i++)
            v[i] = between(theta[i], center[i], alphas[k]);
        same_bits("interpolate", v, want, MANY);
    }
    float *all[] = { theta, g, v, want, want_v, center };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        free(all[i]);
}

/* ---- indices ------------------------------------------------------------------------------------------ */

/* Every row and every chunk is in the part of one lane, and no lane is left for want of threads. */
static void walk_lanes(const struct tiling *t)
{
    const int counts[] = { t->height, t->chunks };
    int lanes = tiling_lanes(t);

    CHECK(lanes >= 1 && lanes * t->width * CHANNEL_STEP <= t->width * t->height);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(tiling_part(counts[i], lanes, 0), 0);
        CHECK_INT(tiling_part(counts[i], lanes, lanes), counts[i]);
        for (int lane = 0; lane < lanes; lane++)
            CHECK(tiling_part(counts[i], lanes, lane) <= tiling_part(counts[i], lanes, lane + 1));
    }
}

/* Walk the grid as the card would and count the visits of each pixel and eight of channels. */
static void walk(int64_t pixels, int channels, int blocks, int sums, size_t room)
{
    struct tiling t = tiling_of(pixels, channels, blocks, sums, room);
    unsigned char *visits = calloc((size_t)(pixels * t.vecs), 1);

    CHECK(t.width * t.height <= TILING_THREADS && t.width <= TILING_VECS && t.height >= 1);
    if (sums)
        walk_lanes(&t);
    if (sums && (size_t)sums * (size_t)t.chunks * (size_t)t.vecs * CHANNEL_STEP > room && t.chunks > 1)
        CHECK_FAIL("%lld pixels of %d channels: %d chunks outgrow %zu sums", (long long)pixels, channels, t.chunks, room);
    for (int tile = 0; tile < t.tiles; tile++)
        for (int chunk = 0; chunk < t.chunks; chunk++)
            for (int x = 0; x < t.width; x++)
                for (int y = 0; y < t.height; y++)
                    for (int64_t pixel = tiling_first(&t, chunk, y); pixel < pixels; pixel += tiling_step(&t))
                        if (tiling_vec(&t, tile, x) < t.vecs)
                            visits[pixel * t.vecs + tiling_vec(&t, tile, x)]++;
    for (int64_t i = 0; i < pixels * t.vecs; i++)
        if (visits[i] != 1) {
            CHECK_FAIL("%lld pixels of %d channels: place %lld is visited %d times", (long long)pixels, channels,
                       (long long)i, visits[i]);
            break;
        }
    free(visits);
}

static void test_tiling(void)
{
    static const int channel_counts[] = { 1, 8, 10, 16, 64, 100, 160, 256, 257, 320, 512, 640, 2048 };
    static const int64_t pixel_counts[] = { 1, 2, 31, 128, 1000, 4097 };

    for (size_t c = 0; c < sizeof(channel_counts) / sizeof(channel_counts[0]); c++)
        for (size_t p = 0; p < sizeof(pixel_counts) / sizeof(pixel_counts[0]); p++) {
            walk(pixel_counts[p], channel_counts[c], 264, 2, 512 << 10);
            walk(pixel_counts[p], channel_counts[c], 1056, 0, 0);
            walk(pixel_counts[p], channel_counts[c], 264, 2, 5000);
        }
}

static const struct check_case cases[] = {
    { "a window's pixels are the oracle's, over every edge, mirrored or zero", test_windows },
    { "PGD starts and steps to the oracle's bits and stays in the ball", test_pgd },
    { "APGD starts and steps to the oracle's bits", test_apgd },
    { "Square starts and steps to the oracle's bits", test_square },
    { "FAB moves as the oracle does", test_fab },
    { "every loss and its gradients are the oracle's", test_losses },
    { "what is not a number stays so", test_nan },
    { "batch norm's sums and formulas are the oracle's where a mean is large", test_batch_norm },
    { "steps of parameters are the oracle's bits", test_parameters },
    { "every pixel and channel belongs to exactly one thread, every sum to one lane", test_tiling },
};

int main(int argc, char **argv)
{
    if (device_open("ref", PRECISION_FLOAT32, 1, &ref, NULL) < 0)
        return 1;
    int r = check_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
    device_close(ref);
    return r;
}
