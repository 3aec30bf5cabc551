/* Does an attack do what it promises, and does training against it help?
 *
 * The attack itself is called on a tiny model; the rest are whole jobs. */
#include "lab.h"

#include "gpu/rift/attack.h"

/* ---- attacks ----------------------------------------------------------------------- */

/* A run with data and trained weights, for calling the attack itself. */
static const struct attack_spec *bench_open(struct run *run, struct images *images, struct batch *batch,
                                            const char *device)
{
    static struct attack_spec attack;
    struct spec_errors errors;
    const struct examples *examples;
    json_t *spec;

    lab_theta();
    spec = json_pack("{s:s, s:s, s:s, s:i, s:i, s:{s:s, s:i, s:i, s:s}, s:{s:s, s:s}}", "kind", "evaluate", "device",
                     device, "protocol", "paper", "batch_size", 16, "threads", 2, "model", "arch", "resnet18", "width",
                     4, "num_classes", 4, "weights", "theta/artifacts/best.safetensors", "dataset", "format", "tensors",
                     "path", "data.safetensors");
    *run = (struct run){ .dir = lab() };
    CHECK_INT(spec_from_json(spec, &run->spec, &errors), 0);
    json_decref(spec);
    attack = run->spec.attack;
    CHECK_INT(run_open(run), 0);
    CHECK_INT(run_weights(run, &run->spec.model.weights, "weights"), 0);
    CHECK_INT(run_dataset(run, split_wants(SPLIT_TEST)), 0);
    CHECK_INT(run_examples(run, SPLIT_TEST, &examples), 0);
    CHECK_INT(images_open(run, examples, images), 0);
    CHECK_INT(batch_open(run, 16, true, batch), 0);
    return &attack;
}

static void bench_close(struct run *run, struct images *images, struct batch *batch)
{
    batch_done(batch);
    images_done(images);
    CHECK_INT(run->own_bytes, run->model->total_count * sizeof(float)); /* all that was taken came back */
    run_close(run);
}

static float *device_floats(struct run *run, const float *from, int64_t count)
{
    float *host = malloc((size_t)count * sizeof(float));

    CHECK_INT(run->ops->read(run->dev, host, from, (size_t)count * sizeof(float)), 0);
    return host;
}

/* Mean loss of what the batch's plan sees. */
static double loss_at(struct batch *batch, struct plan *plan, const float *x)
{
    struct tally tally = { 0 };

    plan_bind(plan, 0, x);
    CHECK_INT(plan_forward(plan, 0), 0);
    CHECK_INT(plan_cross_entropy(plan, batch->labels, 1.0f / (float)batch->n), 0);
    CHECK_INT(batch_tally(batch, plan, &tally), 0);
    return tally.loss / batch->n;
}

static void pgd_in_the_ball(void)
{
    struct run run;
    struct images images;
    struct batch batch;
    struct plan *plan;
    const struct attack_spec *attack = bench_open(&run, &images, &batch, check_device());
    struct plan_spec spec = attack_plan(PLAN_EVAL);
    int64_t count = 16 * LAB_PIXELS;
    bool outside = false, moved = false;

    spec.batch = 16;
    CHECK_INT(batch_load(&batch, &images, NULL, 0, 16, NULL), 0);
    CHECK_INT(run_plan(&run, spec, &plan), 0);
    double before = loss_at(&batch, plan, batch.x);
    CHECK_INT(attack_pgd(&batch, plan, attack, (struct random_key){ 1, 5, 0 }), 0);
    double after = loss_at(&batch, plan, batch.x_adv);
    float *x = device_floats(&run, batch.x, count), *x_adv = device_floats(&run, batch.x_adv, count);
    for (int64_t i = 0; i < count; i++) {
        /* x + epsilon is rounded to float, hence the 1e-7 */
        outside = outside || fabs((double)x_adv[i] - x[i]) > attack->epsilon + 1e-7 || x_adv[i] < 0 || x_adv[i] > 1;
        moved = moved || x_adv[i] != x[i];
    }
    CHECK(!outside);
    CHECK(moved);
    CHECK(after > before);
    free(x);
    free(x_adv);
    bench_close(&run, &images, &batch);
}

/* One step as long as the ball is wide ends at x +- epsilon (clamped to [0,1]),
 * on the side of the gradient: the fast gradient sign method in closed form. */
static void one_long_step(void)
{
    struct run run;
    struct images images;
    struct batch batch;
    struct plan *plan;
    struct attack_spec attack = *bench_open(&run, &images, &batch, check_device());
    struct plan_spec spec = attack_plan(PLAN_EVAL);
    int64_t count = 16 * LAB_PIXELS;
    int wrong = 0;

    attack.steps = 1;
    attack.step_size = 1;
    attack.random_start = false;
    spec.batch = 16;
    CHECK_INT(batch_load(&batch, &images, NULL, 0, 16, NULL), 0);
    CHECK_INT(run_plan(&run, spec, &plan), 0);
    CHECK_INT(attack_pgd(&batch, plan, &attack, (struct random_key){ 1, 5, 0 }), 0);
    float *x = device_floats(&run, batch.x, count), *x_adv = device_floats(&run, batch.x_adv, count);
    float *g = device_floats(&run, batch.gradient, count);
    for (int64_t i = 0; i < count; i++) {
        double sign = (g[i] > 0) - (g[i] < 0), want = x[i] + sign * attack.epsilon;

        want = want < 0 ? 0 : want > 1 ? 1 : want;
        wrong += !(fabs(x_adv[i] - want) < 1e-6);
    }
    CHECK_INT(wrong, 0);
    free(x);
    free(x_adv);
    free(g);
    bench_close(&run, &images, &batch);
}

/* Batch size is a matter of speed: random starts belong to examples. */
static void batch_size_is_not_heard(void)
{
    double loss[2], accuracy[2];

    lab_theta();
    for (int i = 0; i < 2; i++) {
        char spec[512], name[32];

        snprintf(spec, sizeof(spec),
                 "{'kind':'evaluate','batch_size':%d,'model':{'weights':'../theta/artifacts/best.safetensors'}}",
                 i ? 7 : 16);
        snprintf(name, sizeof(name), "batch-%d", i);
        char *dir = lab_job(name, spec);
        json_t *result = lab_result(dir), *row = json_array_get(json_object_get(result, "attacks"), 0);
        loss[i] = lab_number(row, "loss");
        accuracy[i] = lab_number(row, "accuracy");
        json_decref(result);
        free(dir);
    }
    /* A gradient near 0 may take the other sign in another batch: few pixels, small effect. */
    CHECK_NEAR(loss[1], loss[0], 1e-4);
    CHECK_NEAR(accuracy[1], accuracy[0], 1e-9);
}

/* Adversarially trained, 12 epochs: a model that tells the classes apart. Its result. */
static json_t *learned(void)
{
    static json_t *result;

    if (!result) {
        char *dir = lab_job("learn", "{'kind':'train','train':{'epochs':12},'optimizer':{'lr':0.05},'augment':'none',"
                                     " 'attack':{'steps':3,'epsilon':'2/255','step_size':'1/255'}}");
        result = lab_result(dir);
        free(dir);
    }
    return result;
}

/* A random start far away and one step back: each run fails on some examples, together on more. */
static void restarts_have_two_numbers(void)
{
    learned();
    char *dir =
        lab_job("restarts", "{'kind':'evaluate','model':{'weights':'../learn/artifacts/best.safetensors'},"
                            " 'evaluate':{'attacks':[{'steps':1,'restarts':12,'epsilon':0.5,'step_size':0.05}]}}");
    json_t *result = lab_result(dir), *row = json_array_get(json_object_get(result, "attacks"), 0);
    json_t *runs = json_object_get(row, "runs"), *one;
    double worst = 2;
    size_t i;

    CHECK_INT(json_array_size(runs), 12);
    json_array_foreach(runs, i, one) worst = fmin(worst, lab_number(one, "accuracy"));
    CHECK_NEAR(lab_number(row, "accuracy"), worst, 1e-12);
    /* Each run starts elsewhere: twelve times one stream would be one run. */
    for (i = 1; i < json_array_size(runs); i++)
        CHECK(lab_number(json_array_get(runs, i), "loss") != lab_number(json_array_get(runs, 0), "loss"));
    /* By 5 of 40 examples with AVX-512; with sums in another order the net fails the same ones in each run. */
    CHECK(lab_number(row, "worst_case_accuracy") <= worst);
    json_decref(result);
    free(dir);
}

static void training_learns(void)
{
    json_t *result = learned();

    /* Four classes that differ in brightness by more than the attack can move it: chance is 0.25. */
    CHECK(lab_number(result, "clean_accuracy") > 0.9);
    CHECK(lab_number(result, "robust_accuracy") > 0.8);
}

static const struct check_case cases[] = {
    { "PGD stays in the ball and in [0,1] and raises the loss", pgd_in_the_ball },
    { "one long step is the sign of the gradient times epsilon", one_long_step },
    { "the batch size of a measurement is not heard in it", batch_size_is_not_heard },
    { "restarts give the worst run and the smaller per-example number", restarts_have_two_numbers },
    { "adversarial training learns classes that an attack can't reach", training_learns },
};
LAB_MAIN(cases)
