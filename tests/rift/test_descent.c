/* Is one step of each method what its formula says?
 *
 * On a tiny network, inside the engine: gradients of the training losses
 * against slopes through the whole network, running statistics against the
 * passes that published code makes, and what crafting climbs, from where, and
 * what it leaves alone. */
#include "lab.h"

#include "gpu/rift/methods.h"

/* A method on a loaded batch of the laboratory's images. */
struct lesson {
    struct run run;
    struct images images;
    struct batch batch;
    struct training training;
    struct descent descent;
    char *dir;
};

/* `train`: members of the spec's train object, with ' for ". */
static void lesson_open(struct lesson *l, const char *device, const char *train)
{
    struct spec_errors errors;
    const struct examples *examples;
    char text[512];

    memset(l, 0, sizeof(*l));
    snprintf(text, sizeof(text), "{'kind':'train','device':'%s','augment':'none','batch_size':24,'train':{%s}}", device,
             train);
    l->dir = lab_job("lesson", text);
    snprintf(text, sizeof(text), "%s/" JOBDIR_SPEC, l->dir);
    json_t *spec = json_load_file(text, 0, NULL);
    l->run.dir = l->dir;
    CHECK_INT(spec_from_json(spec, &l->run.spec, &errors), 0);
    json_decref(spec);
    CHECK_INT(run_open(&l->run), 0);
    CHECK_INT(run_weights(&l->run, &l->run.spec.model.weights, "weights"), 0);
    CHECK_INT(run_dataset(&l->run, split_wants(SPLIT_TRAIN)), 0);
    CHECK_INT(run_examples(&l->run, SPLIT_TRAIN, &examples), 0);
    CHECK_INT(images_open(&l->run, examples, &l->images), 0);
    CHECK_INT(batch_open(&l->run, examples->count, true, &l->batch), 0);
    l->training = (struct training){ .run = &l->run, .batch = &l->batch, .train = &l->images };
    l->descent = (struct descent){ .training = &l->training, .run = &l->run, .batch = &l->batch };
    CHECK_INT(optimizer_open(l->run.weights, NULL, &l->training.optimizer, &l->run.why), 0);
    CHECK_INT(descent_open(&l->descent, l->batch.most), 0);
    CHECK_INT(batch_load(&l->batch, &l->images, NULL, 0, l->batch.most, NULL), 0);
}

static void lesson_close(struct lesson *l)
{
    char path[4096];

    descent_done(&l->descent);
    optimizer_done(&l->training.optimizer);
    batch_done(&l->batch);
    images_done(&l->images);
    run_close(&l->run);
    snprintf(path, sizeof(path), "%s/" JOBDIR_SPEC, l->dir); /* so that the next one may differ */
    unlink(path);
    free(l->dir);
}

static float *floats_read(struct lesson *l, const float *device, int64_t count)
{
    float *host = malloc((size_t)count * sizeof(float));

    CHECK_INT(l->run.ops->read(l->run.dev, host, device, (size_t)count * sizeof(float)), 0);
    return host;
}

static int64_t statistics_floats(const struct lesson *l)
{
    return statistics_count(l->run.model);
}

static float *statistics_read(struct lesson *l)
{
    return floats_read(l, l->run.weights->theta + l->run.model->parameter_count, statistics_floats(l));
}

/* Everything as run_weights made it. */
static void start_again(struct lesson *l)
{
    CHECK_INT(run_weights(&l->run, &l->run.spec.model.weights, "weights"), 0);
    weights_touch_all(l->run.weights);
}

/* ---- slopes through the network ------------------------------------------------------- */

static double mean_loss(struct lesson *l)
{
    double sum = 0;

    CHECK_INT(l->descent.method->gradient(&l->descent, 0), 0);
    CHECK_INT(plan_loss_read(l->descent.heard, l->batch.loss, NULL), 0);
    for (int i = 0; i < l->batch.n; i++)
        sum += l->batch.loss[i];
    return sum / l->batch.n;
}

/* Along its own gradient a loss grows by |g| a unit. */
static void slope(const char *train)
{
    /* A fresh net is so curved that 1e-3 is a tenth off, 3e-4 a thirtieth; losses are rounded to 1e-7. */
    static const double step = 3e-5;
    struct lesson l;
    double norm, loss[2];

    lesson_open(&l, check_device(), train);
    int64_t count = l.run.model->parameter_count;
    float *g = l.run.ops->alloc(l.run.dev, (size_t)count * sizeof(float));
    CHECK_INT(descent_craft(&l.descent), 0);
    mean_loss(&l);
    CHECK_INT(l.run.ops->copy(l.run.dev, g, l.training.optimizer.gradient, (size_t)count * sizeof(float)), 0);
    CHECK_INT(l.run.ops->norm(l.run.dev, count, g, NULL, &norm), 0);
    CHECK(norm > 1e-3);
    for (int side = 0; side < 2; side++) {
        start_again(&l);
        CHECK_INT(l.run.ops->axpy(l.run.dev, count, (float)((side ? step : -step) / norm), g, l.run.weights->theta), 0);
        weights_touch_all(l.run.weights);
        loss[side] = mean_loss(&l);
    }
    double measured = (loss[1] - loss[0]) / (2 * step);
    if (!(fabs(measured - norm) < 0.01 * norm))
        CHECK_FAIL("%s: the slope is %.6g, |g| is %.6g", train, measured, norm);
    l.run.ops->free(l.run.dev, g);
    lesson_close(&l);
}

static void gradients_are_slopes(void)
{
    slope("'method':'pgd-at'");
    slope("'method':'trades'");
    slope("'method':'mart'");
    slope("'method':'score'");
    slope("'method':'score','score':{'clip_clean':false,'c':0.01}");
    slope("'method':'score','score':{'base':'pgd-at'}");
}

/* ---- running statistics ------------------------------------------------------------------ */

/* What they are after forward passes of x (c) and x' (a) in that order, at theta as it is. */
static float *after_passes(struct lesson *l, const char *passes)
{
    struct plan *plan;

    CHECK_INT(descent_plan(&l->descent, false, &plan), 0);
    for (; *passes; passes++) {
        plan_bind(plan, 0, *passes == 'c' ? l->batch.x : l->batch.x_adv);
        CHECK_INT(plan_forward(plan, BATCH_NORM_MOMENTUM), 0);
    }
    return statistics_read(l);
}

static void statistics_of(const char *train, const char *passes, double tolerance)
{
    struct lesson l;

    lesson_open(&l, check_device(), train);
    CHECK_INT(descent_craft(&l.descent), 0);
    start_again(&l);
    float *want = after_passes(&l, passes);
    start_again(&l);
    CHECK_INT(l.descent.method->gradient(&l.descent, BATCH_NORM_MOMENTUM), 0);
    float *is = statistics_read(&l);
    for (int64_t i = 0; i < statistics_floats(&l); i++)
        if (!(fabsf(is[i] - want[i]) <= tolerance * fabsf(want[i]) + tolerance * 1e-3)) {
            CHECK_FAIL("%s: statistic %lld is %.9g, after passes %s it is %.9g", train, (long long)i, is[i], passes,
                       want[i]);
            break;
        }
    start_again(&l);
    float *untouched = statistics_read(&l);
    CHECK_INT(l.descent.method->gradient(&l.descent, 0), 0);
    float *still = statistics_read(&l);
    CHECK(memcmp(untouched, still, (size_t)statistics_floats(&l) * sizeof(float)) == 0);
    CHECK(memcmp(untouched, is, (size_t)statistics_floats(&l) * sizeof(float)) != 0);
    free(want);
    free(is);
    free(untouched);
    free(still);
    lesson_close(&l);
}

static void passes_as_published(void)
{
    statistics_of("'method':'pgd-at'", "a", 0);
    statistics_of("'method':'trades'", "cac", 1e-6); /* roundings of a sum in another order */
    statistics_of("'method':'mart'", "ca", 0);
    statistics_of("'method':'score'", "ac", 0);
    statistics_of("'method':'score','score':{'base':'pgd-at'}", "a", 0);
}

/* ---- AWP ------------------------------------------------------------------------------------- */

static void awp_moves_by_gamma(void)
{
    static const struct {
        const char *train;
        double gamma;
    } rows[] = { { "'method':'awp'", 0.01 }, { "'method':'awp','awp':{'base':'trades'}", 0.005 } };

    for (int i = 0; i < 2; i++) {
        struct lesson l;

        lesson_open(&l, check_device(), rows[i].train);
        const struct model *model = l.run.model;
        CHECK_INT(descent_craft(&l.descent), 0);
        start_again(&l);
        float *before = floats_read(&l, l.run.weights->theta, model->parameter_count);
        double first = mean_loss(&l), second = 0;
        CHECK_INT(awp_gradient(&l.descent), 0);
        CHECK_INT(plan_loss_read(l.descent.heard, l.batch.loss, NULL), 0);
        for (int e = 0; e < l.batch.n; e++)
            second += l.batch.loss[e] / l.batch.n;
        CHECK(second > first); /* the worst theta of the ball is worse */
        for (int t = 0; t < model->tensor_count; t++) {
            const struct tensor_info *w = &model->tensors[t];
            double moved, size;

            if (!w->parameter)
                continue;
            CHECK_INT(l.run.ops->norm(l.run.dev, w->count, l.descent.theta + w->offset,
                                      l.run.weights->theta + w->offset, &moved),
                      0);
            CHECK_INT(l.run.ops->norm(l.run.dev, w->count, l.descent.theta + w->offset, NULL, &size), 0);
            CHECK_NEAR(moved, w->role == TENSOR_WEIGHT ? rows[i].gamma * size : 0, 1e-6 * size);
        }
        float *kept = floats_read(&l, l.descent.theta, model->parameter_count);
        CHECK(memcmp(before, kept, (size_t)model->parameter_count * sizeof(float)) == 0);
        /* The statistics have heard the passes at theta + delta, and no others. */
        float *is = statistics_read(&l);
        float *theta = floats_read(&l, l.run.weights->theta, model->parameter_count);
        start_again(&l);
        CHECK_INT(l.run.ops->write(l.run.dev, l.run.weights->theta, theta, (size_t)model->parameter_count * 4), 0);
        weights_touch_all(l.run.weights);
        CHECK_INT(l.descent.method->gradient(&l.descent, BATCH_NORM_MOMENTUM), 0);
        float *want = statistics_read(&l);
        CHECK(memcmp(is, want, (size_t)statistics_floats(&l) * sizeof(float)) == 0);
        free(before);
        free(kept);
        free(is);
        free(theta);
        free(want);
        lesson_close(&l);
    }
}

/* theta' = theta - lr v',  v' = m v + g + wd (theta + delta),  g at theta + delta: all of it, and nothing of delta
 * stays behind. While it warms up it is its base's step. */
static void awp_steps_from_theta(void)
{
    struct lesson l;

    lesson_open(&l, "cpu", "'method':'awp','awp':{'warmup':1}");
    const struct optimizer_spec *o = &l.run.spec.optimizer;
    struct optimizer *sgd = &l.training.optimizer;
    int64_t count = l.run.model->parameter_count;
    float *v = malloc((size_t)count * sizeof(float));

    for (int64_t i = 0; i < count; i++)
        v[i] = 1e-3f * (float)(i % 7 - 3);
    l.training.epochs = 2;
    CHECK_INT(descent_craft(&l.descent), 0);
    for (int epoch = 0; epoch < 2; epoch++) {
        double farthest = 0;

        l.training.epoch = epoch;
        start_again(&l);
        float *theta = floats_read(&l, l.run.weights->theta, count);
        CHECK_INT(epoch ? awp_gradient(&l.descent) : l.descent.method->gradient(&l.descent, BATCH_NORM_MOMENTUM), 0);
        float *there = floats_read(&l, l.run.weights->theta, count), *g = floats_read(&l, sgd->gradient, count);
        CHECK((memcmp(theta, there, (size_t)count * sizeof(float)) != 0) == (epoch == 1));
        start_again(&l);
        CHECK_INT(l.run.ops->write(l.run.dev, sgd->velocity, v, (size_t)count * sizeof(float)), 0);
        CHECK_INT(l.descent.method->step(&l.descent), 0);
        float *is = floats_read(&l, l.run.weights->theta, count);
        for (int64_t i = 0; i < count; i++) {
            double moved = o->momentum * v[i] + g[i] + o->weight_decay * there[i];

            farthest = fmax(farthest, fabs(is[i] - (theta[i] - o->lr * moved)));
        }
        if (!(farthest <= 1e-6)) /* weights are about 1, floats are 1e-7 of that; delta is 1e-2 of it */
            CHECK_FAIL("epoch %d: theta is %.3g from where the formula puts it", epoch + 1, farthest);
        free(theta);
        free(there);
        free(g);
        free(is);
    }
    free(v);
    lesson_close(&l);
}

/* ---- crafting ---------------------------------------------------------------------------------- */

/* What the method's adversary climbs, at x' of the batch, in eval mode. */
static double height(struct lesson *l)
{
    const struct method *m = l->descent.method;
    struct climb climb = { m->climb, l->descent.natural, 0 };
    struct plan_spec spec = attack_plan(PLAN_EVAL);
    struct plan *plan;
    double sum = 0;

    spec.batch = l->batch.n;
    CHECK_INT(run_plan(&l->run, spec, &plan), 0);
    plan_bind(plan, 0, l->batch.x_adv);
    CHECK_INT(plan_forward(plan, 0), 0);
    CHECK_INT(m->climb(&l->batch, plan, &climb), 0);
    CHECK_INT(plan_loss_read(plan, l->batch.loss, NULL), 0);
    for (int i = 0; i < l->batch.n; i++)
        sum += l->batch.loss[i];
    return sum;
}

static void in_the_ball(struct lesson *l, const char *train, double radius)
{
    int64_t count = shape_count(l->batch.shape);
    float *x = floats_read(l, l->batch.x, count), *x_adv = floats_read(l, l->batch.x_adv, count);
    double farthest = 0;

    for (int64_t i = 0; i < count; i++) {
        CHECK(x_adv[i] >= 0 && x_adv[i] <= 1);
        farthest = fmax(farthest, fabs((double)x_adv[i] - x[i]));
    }
    if (!(farthest <= radius + 1e-7 && farthest > radius / 2))
        CHECK_FAIL("%s: x' is %.6g away, the ball's radius is %.6g", train, farthest, radius);
    free(x);
    free(x_adv);
}

/* Frozen: statistics stay, and what is climbed grows, step by step over the start. */
static void craft(const char *train, bool statistics_move)
{
    struct lesson l;
    double heights[2];

    lesson_open(&l, check_device(), train);
    float *before = statistics_read(&l);
    for (int i = 0; i < 2; i++) {
        start_again(&l);
        l.run.spec.attack.steps = i ? 6 : 0;
        CHECK_INT(descent_craft(&l.descent), 0);
        heights[i] = height(&l);
    }
    if (!statistics_move && !(heights[1] > heights[0] && heights[1] > 0))
        CHECK_FAIL("%s: climbed from %.6g to %.6g", train, heights[0], heights[1]);
    in_the_ball(&l, train, l.run.spec.attack.epsilon);
    float *after = statistics_read(&l);
    bool moved = memcmp(before, after, (size_t)statistics_floats(&l) * sizeof(float)) != 0;
    if (moved != statistics_move)
        CHECK_FAIL("%s: crafting has %s the running statistics", train, moved ? "moved" : "not moved");
    free(before);
    free(after);
    lesson_close(&l);
}

static void crafting_climbs(void)
{
    craft("'method':'pgd-at'", true);
    craft("'method':'trades'", false);
    craft("'method':'mart'", false);
    craft("'method':'awp'", true);
    craft("'method':'awp','awp':{'base':'trades'}", false);
    craft("'method':'score'", false);
    craft("'method':'score','score':{'base':'pgd-at'}", true);
    craft("'method':'pgd-at','attack_batch_norm':'frozen'", false);
    craft("'method':'score','score':{'base':'pgd-at'},'attack_batch_norm':'frozen'", false);
    craft("'method':'trades','attack_batch_norm':'train'", true);
}

/* The start of an example doesn't hear how many others are beside it. */
static void starts_belong_to_examples(void)
{
    float *x_adv[2];
    int64_t one = 0;

    for (int i = 0; i < 2; i++) {
        struct lesson l;

        lesson_open(&l, check_device(), "'method':'trades'");
        CHECK_INT(batch_load(&l.batch, &l.images, NULL, i ? 7 : 0, i ? 5 : 24, NULL), 0);
        l.run.spec.attack.steps = 0;
        CHECK_INT(descent_craft(&l.descent), 0);
        one = shape_count(l.images.one);
        x_adv[i] = floats_read(&l, l.batch.x_adv, l.batch.n * one);
        lesson_close(&l);
    }
    CHECK(memcmp(x_adv[0] + 7 * one, x_adv[1], (size_t)(5 * one) * sizeof(float)) == 0);
    free(x_adv[0]);
    free(x_adv[1]);
}

static const struct check_case cases[] = {
    { "every method's gradient is the slope of its loss through the network", gradients_are_slopes },
    { "running statistics hear the passes that published code makes", passes_as_published },
    { "AWP moves every weight by gamma of its norm, uphill, and keeps theta to the bit", awp_moves_by_gamma },
    { "AWP takes gradient and decay at the perturbed weights and its step from theta", awp_steps_from_theta },
    { "crafting climbs, stays in the ball and leaves frozen statistics alone", crafting_climbs },
    { "the start of crafting belongs to the example, not to its batch", starts_belong_to_examples },
};
LAB_MAIN(cases)
