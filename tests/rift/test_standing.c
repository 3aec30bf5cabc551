/* Do APGD, FAB and Square find what they promise?
 *
 * A linear model knows its worst case: with f = z_t - z_y = <w,x> + b, no image of the
 * ball has more than f + epsilon |w|_1, and the boundary is |f|/|w|_1 away. A
 * ResNet is made linear by opening all its ReLUs: large shifts, and blocks that are
 * nothing but their shortcuts. */
#include "lab.h"

#include "gpu/backend/philox.h"
#include "gpu/rift/attack.h"
#include "gpu/rift/standing.h"

/* Of sums of some hundred float products. */
static const double LINEAR = 1e-4;

enum { BENCH = 40 };

/* A run with the lab's images and an attack's memory, outside of a job. */
struct bench {
    struct run run;
    struct images images;
    struct batch batch;
    struct standing *standing;
    struct attack_spec attack;
    int32_t order[BENCH], labels[BENCH];
    struct backend counting; /* the device's own, counted */
};

static struct {
    long backward, alloc, open;
    const struct backend *ops;
} counted;

static int backward_counted(struct conv *conv, const void *dy, const void *packed, void *dx, void *scratch)
{
    counted.backward++;
    return counted.ops->conv_backward_data(conv, dy, packed, dx, scratch);
}

static void *alloc_counted(struct device *dev, size_t bytes)
{
    counted.alloc++;
    return counted.ops->alloc(dev, bytes);
}

static int open_counted(struct device *dev, const struct conv_request *request, struct conv **ret, struct fault *why)
{
    counted.open++;
    return counted.ops->conv_open(dev, request, ret, why);
}

/* weights: of a trained model, or NULL. */
static void bench_open(struct bench *b, int classes, const char *weights)
{
    struct spec_errors errors;
    const struct examples *examples;
    json_t *spec = json_pack("{s:s, s:s, s:s, s:i, s:i, s:{s:s, s:i, s:i, s:s}, s:{s:s, s:s}}", "kind", "evaluate",
                             "device", "cpu", "protocol", "paper", "batch_size", BENCH, "threads", 1, "model", "arch",
                             "resnet18", "width", 4, "num_classes", classes, "weights", weights ? weights : "none",
                             "dataset", "format", "tensors", "path", "data.safetensors");

    *b = (struct bench){ 0 };
    b->run.dir = lab();
    CHECK_INT(spec_from_json(spec, &b->run.spec, &errors), 0);
    json_decref(spec);
    CHECK_INT(run_open(&b->run), 0);
    if (weights)
        CHECK_INT(run_weights(&b->run, &b->run.spec.model.weights, "weights"), 0);
    b->run.model->num_classes = LAB_CLASSES; /* what the labels of the file are checked against */
    CHECK_INT(run_dataset(&b->run, split_wants(SPLIT_TEST)), 0);
    b->run.model->num_classes = classes;
    CHECK_INT(run_examples(&b->run, SPLIT_TEST, &examples), 0);
    CHECK_INT(images_open(&b->run, examples, &b->images), 0);
    CHECK_INT(batch_open(&b->run, BENCH, true, &b->batch), 0);
    CHECK_INT(standing_open(&b->run, BENCH, &b->standing), 0);
    CHECK_INT(standing_reserve(b->standing, true), 0);
    CHECK_INT(standing_reserve(b->standing, false), 0);
    b->attack = (struct attack_spec){ .epsilon = 8.0 / 255,
                                      .random_start = true,
                                      .steps = 100,
                                      .restarts = 1,
                                      .targets = 9,
                                      .rho = 0.75,
                                      .momentum = 0.75,
                                      .alpha_max = 0.1,
                                      .eta = 1.05,
                                      .beta = 0.9,
                                      .queries = 100,
                                      .p_init = 0.8 };
    for (int i = 0; i < BENCH; i++)
        b->order[i] = i;
    counted.ops = b->run.ops;
    b->counting = *b->run.ops;
    b->counting.conv_backward_data = backward_counted;
    b->counting.alloc = alloc_counted;
    b->counting.conv_open = open_counted;
    b->run.ops = b->run.dev->ops = &b->counting;
}

static void bench_close(struct bench *b)
{
    b->run.ops = b->run.dev->ops = counted.ops;
    standing_free(b->standing);
    batch_done(&b->batch);
    images_done(&b->images);
    CHECK_INT(b->run.own_bytes, b->run.model->total_count * sizeof(float)); /* all that was taken came back */
    run_close(&b->run);
}

/* Load n points and get ready to attack them. */
static struct standing *begin(struct bench *b, int n, bool by_gradient)
{
    struct random_key key = { 3, by_gradient ? RANDOM_APGD : RANDOM_SQUARE, 0 };

    CHECK_INT(batch_load(&b->batch, &b->images, b->order, 0, n, NULL), 0);
    standing_begin(b->standing, &b->batch, &b->attack, key, by_gradient);
    return b->standing;
}

static void read_floats(struct bench *b, const float *from, float *to, int64_t count)
{
    CHECK_INT(b->run.ops->read(b->run.dev, to, from, (size_t)count * sizeof(float)), 0);
}

/* ---- a linear model ------------------------------------------------------------------- */

/* A number for element i of tensor t. */
static float weight_noise(int t, int64_t i)
{
    struct philox four = philox(5, 200, (uint32_t)t, (uint64_t)i, 0);

    return 2 * philox_unit(four.word[0]) - 1;
}

/* The stem lifts everything above 0, and from there on shortcuts hand channel o%I on to channel o. */
static float linear_value(const struct tensor_info *info, int t, int64_t i)
{
    if (info->role == TENSOR_BN_GAMMA || info->role == TENSOR_BN_VAR)
        return 1;
    if (strcmp(info->name, "bn1.bias") == 0)
        return 8;
    if (strcmp(info->name, "conv1.weight") == 0)
        return 0.25f * weight_noise(t, i);
    if (strcmp(info->name, "linear.weight") == 0)
        return weight_noise(t, i);
    if (strstr(info->name, "shortcut.0.weight"))
        return i % info->shape[1] == i / info->shape[1] % info->shape[1];
    return 0; /* convolutions of blocks too: what is left of a block is its shortcut */
}

static void theta_linear(struct bench *b)
{
    const struct model *model = b->run.model;
    float *theta = calloc((size_t)model->total_count, sizeof(float));

    for (int t = 0; t < model->tensor_count; t++)
        for (int64_t i = 0; i < model->tensors[t].count; i++)
            theta[model->tensors[t].offset + i] = linear_value(&model->tensors[t], t, i);
    CHECK_INT(weights_set(b->run.weights, theta), 0);
    free(theta);
}

/* Logits in balance over the images, and labels that are what the model says: everybody stands. */
static void labels_own(struct bench *b)
{
    const struct model *model = b->run.model;
    int k = model->num_classes, bias = model_tensor(model, "linear.bias");
    float z[BENCH * LAB_CLASSES], mean[LAB_CLASSES] = { 0 };

    CHECK_INT(b->run.ops->write(b->run.dev, b->images.labels, b->labels, sizeof(b->labels)), 0);
    for (int pass = 0; pass < 2; pass++) {
        struct standing *s = begin(b, BENCH, true);

        CHECK_INT(standing_forward(s, s->x, &LOSS_MARGIN), 0);
        read_floats(b, plan_logits(s->plan), z, BENCH * k);
        for (int i = 0; i < BENCH * k && pass == 0; i++)
            mean[i % k] -= z[i] / BENCH;
        CHECK_INT(b->run.ops->write(b->run.dev, weights_at(b->run.weights, bias), mean, (size_t)k * sizeof(float)), 0);
        weights_touch(b->run.weights, bias);
    }
    for (int i = 0; i < BENCH; i++) {
        b->labels[i] = 0;
        for (int c = 1; c < k; c++)
            b->labels[i] = z[i * k + c] > z[i * k + b->labels[i]] ? c : b->labels[i];
    }
    CHECK_INT(b->run.ops->write(b->run.dev, b->images.labels, b->labels, sizeof(b->labels)), 0);
}

/* f and |w|_1 of every point, towards its other class; the model has two. */
struct worst {
    double f[BENCH], norm[BENCH];
};

static struct worst worst_of(struct bench *b)
{
    struct worst worst;
    struct standing *s = begin(b, BENCH, true);
    float *g = malloc(BENCH * LAB_PIXELS * sizeof(float)), *x = malloc(BENCH * LAB_PIXELS * sizeof(float));
    float *there = malloc(BENCH * LAB_PIXELS * sizeof(float));
    double at[BENCH];

    CHECK_INT(standing_forward(s, s->x, &LOSS_MARGIN), 0);
    CHECK_INT(standing_backward(s), 0);
    read_floats(b, s->gradient, g, BENCH * LAB_PIXELS);
    read_floats(b, s->x, x, BENCH * LAB_PIXELS);
    for (int i = 0; i < BENCH; i++) {
        worst.f[i] = at[i] = s->points[i].loss;
        worst.norm[i] = 0;
        for (int p = i * LAB_PIXELS; p < (i + 1) * LAB_PIXELS; p++) {
            float moved = 0.1f * weight_noise(99, p);

            worst.norm[i] += fabs(g[p]);
            there[p] = x[p] + moved;
            at[i] += g[p] * ((double)there[p] - x[p]);
        }
    }
    /* Is it linear at all? */
    CHECK_INT(b->run.ops->write(b->run.dev, s->now, there, BENCH * LAB_PIXELS * sizeof(float)), 0);
    CHECK_INT(standing_forward(s, s->now, &LOSS_MARGIN_TARGETED), 0);
    CHECK_INT(standing_aim(s, 1), 0);
    CHECK_INT(standing_forward(s, s->now, &LOSS_MARGIN_TARGETED), 0);
    for (int i = 0; i < BENCH; i++)
        CHECK_NEAR(s->points[i].loss, at[i], LINEAR);
    free(g);
    free(x);
    free(there);
    return worst;
}

static void linear_open(struct bench *b, struct worst *worst)
{
    bench_open(b, 2, NULL);
    theta_linear(b);
    labels_own(b);
    *worst = worst_of(b);
}

static double nearest(const struct worst *worst, int rank)
{
    double sorted[BENCH];

    for (int i = 0; i < BENCH; i++) {
        int at = i;

        for (; at > 0 && sorted[at - 1] > -worst->f[i] / worst->norm[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = -worst->f[i] / worst->norm[i];
    }
    return sorted[rank];
}

static void apgd_closed_form(void)
{
    struct bench b;
    struct worst worst;

    linear_open(&b, &worst);
    b.attack.epsilon = 0.9 * nearest(&worst, 0); /* nobody falls */
    struct standing *s = begin(&b, BENCH, true);
    CHECK_INT(attack_apgd(s, &LOSS_CE), 0);
    CHECK_INT(s->n, BENCH);
    for (int i = 0; i < s->n; i++) {
        double most = worst.f[s->points[i].place] + b.attack.epsilon * worst.norm[s->points[i].place];
        double before = log1p(exp(worst.f[s->points[i].place]));

        CHECK_NEAR(s->points[i].best_loss, log1p(exp(most)), LINEAR);
        CHECK(log1p(exp(most)) - before > 10 * LINEAR); /* there was something to find */
    }
    bench_close(&b);
}

/* Who falls is who can: every attack by gradient, at a radius in the middle of the distances. */
static void falls_by_closed_form(void)
{
    struct bench b;
    struct worst worst;

    linear_open(&b, &worst);
    double epsilon = (nearest(&worst, BENCH / 2 - 1) + nearest(&worst, BENCH / 2)) / 2;
    b.attack.epsilon = epsilon;
    for (int attack = 0; attack < 2; attack++) {
        struct standing *s = begin(&b, BENCH, true);

        CHECK_INT(standing_aim(s, 1), 0);
        CHECK_INT(attack == 0 ? attack_apgd(s, &LOSS_CE) : attack_fab(s), 0);
        CHECK(s->n > BENCH / 4 && s->n < 3 * BENCH / 4);
        for (int i = 0; i < BENCH; i++) {
            double distance = -worst.f[i] / worst.norm[i];

            if (fabs(distance / epsilon - 1) > 0.01 && s->fell[i] != (distance < epsilon))
                CHECK_FAIL("attack %d: point %d is %g away, epsilon %g, and it %s", attack, i, distance, epsilon,
                           s->fell[i] ? "fell" : "stands");
        }
    }
    bench_close(&b);
}

static void fab_closed_form(void)
{
    struct bench b;
    struct worst worst;

    linear_open(&b, &worst);
    b.attack.epsilon = 1e-6; /* nobody falls, so the search goes on for the nearest */
    b.attack.eta = 1.001;    /* how far beyond the boundary it looks is how exact it can be */
    struct standing *s = begin(&b, BENCH, true);
    CHECK_INT(standing_aim(s, 1), 0);
    CHECK_INT(attack_fab(s), 0);
    CHECK_INT(s->n, BENCH);
    for (int i = 0; i < s->n; i++) {
        double distance = -worst.f[s->points[i].place] / worst.norm[s->points[i].place];

        CHECK_NEAR(s->points[i].distance / distance, 1, 0.002);
    }
    bench_close(&b);
}

/* ---- a trained model -------------------------------------------------------------------- */

static int apgd_ce(struct standing *s)
{
    return attack_apgd(s, &LOSS_CE);
}

static int apgd_dlr(struct standing *s)
{
    return attack_apgd(s, &LOSS_DLR);
}

static int apgd_t(struct standing *s)
{
    int r = standing_aim(s, 1);

    return r < 0 ? r : attack_apgd(s, &LOSS_DLR_TARGETED);
}

static int fab_t(struct standing *s)
{
    int r = standing_aim(s, 1);

    return r < 0 ? r : attack_fab(s);
}

static const struct {
    const char *name;
    int (*attack)(struct standing *s);
    bool by_gradient;
    bool keeps; /* all iterates stay in the ball, not only what is found */
} attacks[] = { { "apgd-ce", apgd_ce, true, true },
                { "apgd-dlr", apgd_dlr, true, true },
                { "apgd-t", apgd_t, true, true },
                { "fab-t", fab_t, true, false },
                { "square", attack_square, false, true } };
enum { ATTACKS = 5 };

static void check_inside(const char *name, const float *u, const float *x, double epsilon)
{
    for (int p = 0; p < LAB_PIXELS; p++) {
        /* x + epsilon is rounded to float */
        if (fabs((double)u[p] - x[p]) <= epsilon + 1e-7 && u[p] >= 0 && u[p] <= 1)
            continue;
        CHECK_FAIL("%s: a pixel goes from %g to %g, epsilon is %g", name, x[p], u[p], epsilon);
        return;
    }
}

static void inside_the_ball(void)
{
    struct bench b;
    size_t bytes = BENCH * LAB_PIXELS * sizeof(float);
    float *x = malloc(bytes), *u = malloc(bytes), *rows = malloc(bytes);

    bench_open(&b, LAB_CLASSES, lab_robust());
    b.attack.steps = 10;
    b.attack.epsilon = 24.0 / 255;
    for (int a = 0; a < ATTACKS; a++) {
        struct standing *s = begin(&b, BENCH, attacks[a].by_gradient);
        int found = 0;

        read_floats(&b, s->x, x, BENCH * LAB_PIXELS);
        CHECK_INT(attacks[a].attack(s), 0);
        read_floats(&b, s->found, u, BENCH * LAB_PIXELS);
        for (int i = 0; i < BENCH; i++) {
            if (!s->fell[i])
                continue;
            check_inside(attacks[a].name, u + i * LAB_PIXELS, x + i * LAB_PIXELS, b.attack.epsilon);
            found++;
        }
        CHECK_INT(found + s->n, BENCH);
        CHECK(found > 0);
        /* The rows that are left, beside the images that belong to them. */
        read_floats(&b, s->now, u, (int64_t)s->n * LAB_PIXELS);
        read_floats(&b, s->x, rows, (int64_t)s->n * LAB_PIXELS);
        for (int i = 0; i < s->n; i++) {
            CHECK(memcmp(rows + i * LAB_PIXELS, x + s->points[i].place * LAB_PIXELS, bytes / BENCH) == 0);
            if (attacks[a].keeps)
                check_inside(attacks[a].name, u + i * LAB_PIXELS, rows + i * LAB_PIXELS, b.attack.epsilon);
        }
    }
    bench_close(&b);
    free(x);
    free(u);
    free(rows);
}

/* What was found is wrong when it is judged anew, among other points. */
static void found_is_wrong(void)
{
    struct bench b;

    bench_open(&b, LAB_CLASSES, lab_robust());
    b.attack.steps = 10;
    b.attack.epsilon = 24.0 / 255;
    for (int a = 0; a < ATTACKS; a++) {
        struct standing *s = begin(&b, BENCH, attacks[a].by_gradient);
        int fell;

        CHECK_INT(attacks[a].attack(s), 0);
        fell = BENCH - s->n;
        CHECK_INT(standing_recheck(s, &b.images, b.order), 0);
        CHECK_INT(s->n, fell);
        for (int i = 0; i < s->n; i++)
            CHECK(!s->points[i].correct);
    }
    bench_close(&b);
}

static void square_uses_scores(void)
{
    struct bench b;

    bench_open(&b, LAB_CLASSES, lab_robust());
    b.attack.steps = 5;
    for (int a = 0; a < ATTACKS; a++) {
        struct standing *s = begin(&b, BENCH, attacks[a].by_gradient);

        counted.backward = 0;
        CHECK_INT(attacks[a].attack(s), 0);
        CHECK((counted.backward > 0) == attacks[a].by_gradient);
        CHECK(plan_spec(s->plan)->want_input == attacks[a].by_gradient);
    }
    bench_close(&b);
}

static void nothing_is_allocated(void)
{
    struct bench b;

    bench_open(&b, LAB_CLASSES, lab_robust());
    b.attack.steps = 10;
    b.attack.queries = 50;
    b.attack.epsilon = 24.0 / 255;
    counted.alloc = counted.open = 0;
    for (int a = 0; a < ATTACKS; a++) {
        struct standing *s = begin(&b, BENCH, attacks[a].by_gradient);

        CHECK_INT(attacks[a].attack(s), 0);
        CHECK_INT(standing_recheck(s, &b.images, b.order), 0);
    }
    CHECK_INT(counted.alloc, 0);
    CHECK_INT(counted.open, 0);
    bench_close(&b);
}

/* Steps on and on halve eta: at a maximum the loss no longer rises. */
static void step_sizes_shrink(void)
{
    struct bench b;
    struct worst worst;

    linear_open(&b, &worst);
    b.attack.epsilon = 0.9 * nearest(&worst, 0);
    struct standing *s = begin(&b, BENCH, true);
    CHECK_INT(attack_apgd(s, &LOSS_CE), 0);
    /* 22 19 16 13 10 7 6 6: the 8 checkpoints at 22, 41, 57, 70, 80, 87, 93 and 99 all halve, as nothing rises */
    for (int i = 0; i < s->n; i++)
        CHECK_NEAR(s->points[i].step, 2 * b.attack.epsilon / 256, 1e-7);
    bench_close(&b);
}

/* METHODS: .8 up to query 10, then halves after 10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000. */
static void square_schedule(void)
{
    static const struct {
        int query, side;
    } sides[] = { { 0, 29 },   { 10, 29 },  { 11, 20 },  { 50, 20 },  { 51, 14 },  { 200, 14 }, { 201, 10 }, { 501, 7 },
                  { 1001, 5 }, { 2001, 4 }, { 4000, 4 }, { 4001, 3 }, { 6001, 2 }, { 8001, 1 }, { 9999, 1 } };

    for (size_t i = 0; i < sizeof(sides) / sizeof(sides[0]); i++)
        CHECK_INT(square_side(0.8, sides[i].query, 32, 32), sides[i].side);
    CHECK_INT(square_side(1, 0, 32, 16), 16);
    CHECK_INT(square_side(1e-9, 0, 32, 32), 1);
}

/* A model whose linear layer is 0 has no gradient anywhere. */
static void zero_gradients_are_counted(void)
{
    struct bench b;

    bench_open(&b, 2, NULL);
    theta_linear(&b);
    labels_own(&b);
    int weight = model_tensor(b.run.model, "linear.weight"), bias = model_tensor(b.run.model, "linear.bias");
    float *zeros = calloc((size_t)b.run.model->tensors[weight].count, sizeof(float));
    CHECK_INT(b.run.ops->write(b.run.dev, weights_at(b.run.weights, weight), zeros,
                               (size_t)b.run.model->tensors[weight].count * sizeof(float)),
              0);
    CHECK_INT(b.run.ops->write(b.run.dev, weights_at(b.run.weights, bias), (float[]){ 1, 0 }, 2 * sizeof(float)), 0);
    weights_touch_all(b.run.weights);
    memset(b.labels, 0, sizeof(b.labels));
    CHECK_INT(b.run.ops->write(b.run.dev, b.images.labels, b.labels, sizeof(b.labels)), 0);
    b.attack.steps = 3;
    struct standing *s = begin(&b, BENCH, true);
    CHECK_INT(attack_apgd(s, &LOSS_CE), 0);
    CHECK_INT(s->n, BENCH);
    CHECK_INT(s->zero_gradients, BENCH);
    free(zeros);
    bench_close(&b);
}

static const struct check_case cases[] = {
    { "on a linear model APGD ends at the closed-form worst case", apgd_closed_form },
    { "on a linear model those fall that can", falls_by_closed_form },
    { "FAB's distance on a linear model is |f|/|w|_1", fab_closed_form },
    { "APGD halves its step where nothing rises", step_sizes_shrink },
    { "what every attack finds is in the ball and in [0,1]", inside_the_ball },
    { "what every attack finds is wrong when judged anew", found_is_wrong },
    { "Square uses scores only, the others go backwards", square_uses_scores },
    { "attacks allocate nothing once their plans are open", nothing_is_allocated },
    { "Square's windows shrink as published", square_schedule },
    { "gradients that are 0 are counted", zero_gradients_are_counted },
};
LAB_MAIN(cases)
