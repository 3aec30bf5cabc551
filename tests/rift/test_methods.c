/* Do the methods do what the paper's formulas say?
 *
 * Whole jobs on tiny models, judged by closed forms and by properties that any
 * right implementation has. */
#include "lab.h"

/* Weights of DIR/name as a map from tensor name to floats. */
static struct safetensors *weights_of(const char *path)
{
    struct safetensors *file = NULL;
    struct fault why = { 0 };
    char full[4096];

    snprintf(full, sizeof(full), "%s/%s", lab(), path);
    if (safetensors_open(full, &file, &why) < 0) {
        CHECK_FAIL("%s", why.message);
        exit(1);
    }
    return file;
}

static double norm_of(struct safetensors *file, const char *name)
{
    const struct safetensor *tensor = safetensors_find(file, name);
    double sum = 0;

    for (size_t i = 0; i < tensor->size / sizeof(float); i++) {
        float value;

        memcpy(&value, (const char *)tensor->data + i * sizeof(float), sizeof(value));
        sum += (double)value * value;
    }
    return sqrt(sum);
}

/* ---- training --------------------------------------------------------------------------- */

static void untouched(const char *dir, const char *module, bool statistics_move)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/artifacts/last.safetensors", dir);
    struct safetensors *before = weights_of("theta/artifacts/best.safetensors"), *after = weights_of(path);
    int moved = 0;

    for (int i = 0; i < safetensors_count(after); i++) {
        const struct safetensor *is = safetensors_at(after, i), *was = safetensors_find(before, is->name);
        bool same = was && was->size == is->size && memcmp(was->data, is->data, is->size) == 0;
        bool statistics = strstr(is->name, "running_") != NULL;
        bool mine = strncmp(is->name, module, strlen(module)) == 0 && is->name[strlen(module)] == '.';

        if (same != !(mine || (statistics && statistics_move)) && !strstr(is->name, "num_batches"))
            CHECK_FAIL("%s: %s has %s", dir, is->name, same ? "not moved" : "moved");
        moved += !same;
    }
    CHECK(moved > 0);
    safetensors_close(before);
    safetensors_close(after);
}

static void finetuning_moves_only_its_module(void)
{
    lab_theta();
    char *dir = lab_job("tune-frozen",
                        "{'kind':'finetune','augment':'none','model':{'weights':'../theta/artifacts/best.safetensors'},"
                        " 'finetune':{'modules':['layer3.0.conv2'],'epochs':1,'batch_norm':'frozen'}}");
    json_decref(lab_result(dir));
    untouched("tune-frozen", "layer3.0.conv2", false);
    free(dir);
    dir = lab_job("tune-drift", "{'kind':'finetune','model':{'weights':'../theta/artifacts/best.safetensors'},"
                                " 'finetune':{'modules':['linear'],'epochs':1}}");
    json_decref(lab_result(dir));
    untouched("tune-drift", "linear", true);
    free(dir);
}

/* Fine-tuning with lr 0 from stored activations has the loss of an evaluation, which
 * runs the whole network. */
static void cached_prefix_changes_nothing(void)
{
    lab_theta();
    double clean[2];

    for (int i = 0; i < 2; i++) {
        const char *specs[] = {
            "{'kind':'evaluate','attack':null,'model':{'weights':'../theta/artifacts/best.safetensors'}}",
            "{'kind':'finetune','augment':'none','attack':null,'model':{'weights':'../theta/artifacts/"
            "best.safetensors'},"
            " 'optimizer':{'lr':0},'shuffle':false,"
            " 'finetune':{'modules':['layer4.1.conv2'],'epochs':1,'batch_norm':'frozen','evaluate_every':0}}",
        };
        char name[32];

        snprintf(name, sizeof(name), "prefix-%d", i);
        char *dir = lab_job(name, specs[i]);
        json_t *result = lab_result(dir);
        clean[i] = i ? lab_number(result, "train_loss") : lab_number(json_object_get(result, "clean"), "loss");
        json_decref(result);
        free(dir);
    }
    CHECK_NEAR(clean[1], clean[0], 1e-6); /* the same sum in another order */
}

/* ---- criticality --------------------------------------------------------------------------- */

static json_t *module_events(const char *dir)
{
    json_t *all = lab_events(dir), *modules = json_array(), *event;
    size_t i;

    json_array_foreach(all, i, event) if (strcmp(lab_word(event, "type"), "module") == 0)
        json_array_append(modules, event);
    json_decref(all);
    return modules;
}

static void criticality_stays_in_the_ball(void)
{
    static const char *const projections[] = { "pass", "step" };

    lab_theta();
    for (int p = 0; p < 2; p++) {
        char spec[512];

        snprintf(spec, sizeof(spec),
                 "{'kind':'mrc','model':{'weights':'../theta/artifacts/best.safetensors'},"
                 " 'mrc':{'steps':3,'projection':'%s','lr':5,'epsilon':0.05}}",
                 projections[p]);
        char *dir = lab_job(projections[p], spec);
        json_t *result = lab_result(dir), *modules = module_events(dir), *event;
        size_t i;

        CHECK_INT(json_array_size(json_object_get(result, "modules")), 21);
        CHECK_INT(json_array_size(modules), 63);
        json_array_foreach(modules, i, event)
        {
            CHECK(lab_number(event, "relative_norm") <= 0.05 * (1 + 1e-5));
            CHECK(lab_number(event, "mrc") >= 0);
            CHECK(lab_number(event, "mrc") >= lab_number(event, "loss") - lab_number(result, "robust_loss") - 1e-12);
        }
        json_decref(modules);
        json_decref(result);
        free(dir);
    }
}

/* One small step over one batch: R grows by lr |g|^2 to first order, and
 * |Delta| = lr |g|, so MRC = |Delta|^2 / lr. */
static void first_order_growth(void)
{
    static const char *const modules[] = { "conv1", "layer2.0.shortcut.0", "layer3.1.conv1", "linear" };
    const double lr = 1e-4;

    lab_theta();
    char *dir =
        lab_job("first-order",
                "{'kind':'mrc','batch_size':64,'model':{'weights':'../theta/artifacts/best.safetensors'},"
                " 'mrc':{'steps':1,'lr':1e-4,'modules':['conv1','layer2.0.shortcut.0','layer3.1.conv1','linear']}}");
    json_t *result = lab_result(dir), *events = module_events(dir);
    struct safetensors *theta = weights_of("theta/artifacts/best.safetensors");

    CHECK_INT(json_array_size(events), 4);
    for (size_t i = 0; i < json_array_size(events); i++) {
        json_t *event = json_array_get(events, i);
        char name[80];

        CHECK_STRING(lab_word(event, "module"), modules[i]);
        snprintf(name, sizeof(name), "%s.weight", modules[i]);
        double delta = lab_number(event, "relative_norm") * norm_of(theta, name), want = delta * delta / lr;
        /* Second order is below 5 %; the losses are float sums of 40, so 1e-6 absolute. */
        if (!(fabs(lab_number(event, "mrc") - want) < 0.05 * want + 1e-6))
            CHECK_FAIL("%s: MRC %.9g, first order says %.9g", modules[i], lab_number(event, "mrc"), want);
    }
    safetensors_close(theta);
    json_decref(events);
    json_decref(result);
    free(dir);
}

/* lab/ret_name: theta with each named tensor times its factor. */
struct scaling {
    const char *tensor;
    float factor;
};

static void scaled_weights(const char *from, const struct scaling *scalings, int scaling_count, const char *ret_name)
{
    struct safetensors *theta = weights_of(from);
    int count = safetensors_count(theta);
    struct safetensor *rows = calloc((size_t)count, sizeof(*rows));
    struct fault why = { 0 };

    for (int i = 0; i < count; i++) {
        rows[i] = *safetensors_at(theta, i);
        for (int s = 0; s < scaling_count; s++) {
            if (strcmp(rows[i].name, scalings[s].tensor) != 0)
                continue;
            float *copy = malloc(rows[i].size);
            memcpy(copy, rows[i].data, rows[i].size);
            for (size_t k = 0; k < rows[i].size / sizeof(float); k++)
                copy[k] *= scalings[s].factor;
            rows[i].data = copy;
        }
    }
    CHECK_INT(safetensors_write(lab(), ret_name, rows, count, NULL, NULL, NULL, &why), 0);
    for (int i = 0; i < count; i++)
        if (rows[i].data != safetensors_at(theta, i)->data)
            free((void *)rows[i].data);
    free(rows);
    safetensors_close(theta);
}

static void scaled_theta(const struct scaling *scalings, int scaling_count, const char *ret_name)
{
    scaled_weights("theta/artifacts/best.safetensors", scalings, scaling_count, ret_name);
}

/* Convolution and running mean times a, running variance times a^2: the same function
 * (but for BN's 1e-5), as in Appendix A, where the next layer takes the scale back. */
static void criticality_is_scale_invariant(void)
{
    double mrc[2];

    lab_theta();
    static const struct scaling twice[] = {
        { "layer3.0.conv1.weight", 2 },
        { "layer3.0.bn1.running_mean", 2 },
        { "layer3.0.bn1.running_var", 4 },
    };
    scaled_theta(twice, 3, "scaled.safetensors");
    for (int i = 0; i < 2; i++) {
        char spec[512], name[32];

        /* Delta scales with theta_i, its gradient with 1/a, so the same path needs lr a^2. */
        snprintf(spec, sizeof(spec),
                 "{'kind':'mrc','attack':null,'shuffle':false,'model':{'weights':'%s'},"
                 " 'mrc':{'steps':3,'lr':%d,'modules':['layer3.0.conv1']}}",
                 i ? "../scaled.safetensors" : "../theta/artifacts/best.safetensors", i ? 4 : 1);
        snprintf(name, sizeof(name), "scale-%d", i);
        char *dir = lab_job(name, spec);
        json_t *result = lab_result(dir);
        mrc[i] = lab_number(json_array_get(json_object_get(result, "modules"), 0), "mrc");
        json_decref(result);
        free(dir);
    }
    CHECK(mrc[0] > 1e-4);
    if (!(fabs(mrc[1] / mrc[0] - 1) < 0.01)) /* BN's 1e-5 isn't scaled */
        CHECK_FAIL("MRC is %.9g, and %.9g of the scaled weights", mrc[0], mrc[1]);
}

/* A last layer of 1e36 leaves the loss finite, takes the very first step of the first
 * module past the largest float, and hears nothing of its own steps: MRC is 0 everywhere. */
static const char *overflowing_mrc(void)
{
    static const struct scaling huge[] = { { "linear.weight", 1e36f } };
    static bool made;

    lab_theta();
    if (!made) {
        scaled_theta(huge, 1, "huge.safetensors");
        char *dir =
            lab_job("overflow", "{'kind':'mrc','model':{'weights':'../huge.safetensors'},'attack':null,'batch_size':64,"
                                " 'mrc':{'steps':3,'lr':1000,'modules':['conv1','linear']}}");
        json_decref(lab_result(dir));
        free(dir);
        made = true;
    }
    return "overflow";
}

static void overflow_is_caught(void)
{
    char dir[4096];

    snprintf(dir, sizeof(dir), "%s/%s", lab(), overflowing_mrc());
    json_t *last = lab_last(dir), *result = json_object_get(last, "result"), *events = module_events(dir);
    json_t *rows = json_object_get(result, "modules"), *row;
    size_t i;

    CHECK_INT(json_array_size(rows), 2);
    CHECK_INT(json_array_size(events), 1 + 3); /* the ascent ends where it overflows */
    json_array_foreach(rows, i, row)
    {
        CHECK_INT(json_is_true(json_object_get(row, "non_finite")), i == 0);
        CHECK_NEAR(lab_number(row, "mrc"), 0, 0);
    }
    CHECK_STRING(lab_word(result, "lowest"), "linear"); /* although it is the last of equals */
    json_decref(events);
    json_decref(last);
}

/* Overflow is the most critical there is, whatever number was reached before it. */
static void overflow_ranks_highest(void)
{
    static const struct {
        const char *rule, *modules;
    } rows[] = { { "'lowest'", "linear" }, { "{'top':1}", "linear" }, { "'highest'", "conv1" } };

    overflowing_mrc();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char name[32], spec[512], modules[128] = "";
        json_t *module;
        size_t k;

        snprintf(name, sizeof(name), "overflow-tune-%zu", i);
        snprintf(spec, sizeof(spec),
                 "{'kind':'finetune','model':{'weights':'../theta/artifacts/best.safetensors'},'attack':null,"
                 " 'finetune':{'modules':%s,'mrc_job':'../overflow','epochs':1,'evaluate_every':0}}",
                 rows[i].rule);
        char *dir = lab_job(name, spec);
        json_t *result = lab_result(dir);
        json_array_foreach(json_object_get(result, "modules"), k, module)
            sprintf(modules + strlen(modules), "%s%s", k ? " " : "", json_string_value(module));
        CHECK_STRING(modules, rows[i].modules);
        json_decref(result);
        free(dir);
    }
}

/* One step takes a last layer of 1e37 past the largest float (weight decay alone is 1000 times
 * it), and no loss is taken after it. */
static void weights_that_overflow_fail(void)
{
    static const struct scaling huge[] = { { "linear.weight", 1e37f } };
    char path[4096];
    struct stat st;

    lab_theta();
    scaled_theta(huge, 1, "larger.safetensors");
    char *dir = lab_job("overflow-weights",
                        "{'kind':'finetune','model':{'weights':'../larger.safetensors'},'attack':null,'batch_size':64,"
                        " 'augment':'none','optimizer':{'lr':1000,'weight_decay':1},"
                        " 'finetune':{'modules':['linear'],'epochs':1,'evaluate_every':0,'batch_norm':'frozen'}}");
    CHECK_INT(lab_run(dir, "run", 0), WORKER_BAD_INPUT);
    json_t *last = lab_last(dir);
    CHECK_STRING(lab_word(last, "code"), "not_finite");
    CHECK_HOLDS(lab_word(last, "message"), "epoch 1, step 1");
    snprintf(path, sizeof(path), "%s/artifacts/last.safetensors", dir);
    CHECK(stat(path, &st) < 0);
    json_decref(last);
    free(dir);
}

/* After each module theta is theta again: the last module doesn't hear of the ones before. */
static void modules_are_independent(void)
{
    json_t *last[2];

    lab_theta();
    for (int i = 0; i < 2; i++) {
        char spec[512], name[32];

        snprintf(spec, sizeof(spec),
                 "{'kind':'mrc','model':{'weights':'../theta/artifacts/best.safetensors'},"
                 " 'mrc':{'steps':2,'modules':[%s'linear']}}",
                 i ? "'conv1','layer3.1.conv2'," : "");
        snprintf(name, sizeof(name), "independent-%d", i);
        char *dir = lab_job(name, spec);
        json_t *result = lab_result(dir), *rows = json_object_get(result, "modules");
        last[i] = json_incref(json_array_get(rows, json_array_size(rows) - 1));
        json_decref(result);
        free(dir);
    }
    CHECK_STRING(lab_word(last[1], "module"), "linear");
    CHECK(json_equal(last[0], last[1]));
    json_decref(last[0]);
    json_decref(last[1]);
}

/* ---- interpolation and the whole -------------------------------------------------------------- */

static void ends_are_exact(void)
{
    double want[2], is[2];

    lab_theta();
    char *tune = lab_job("ends-tune", "{'kind':'finetune','model':{'weights':'../theta/artifacts/best.safetensors'},"
                                      " 'finetune':{'modules':['linear'],'epochs':2},'optimizer':{'lr':0.05}}");
    json_decref(lab_result(tune));
    free(tune);
    char *dir = lab_job("ends", "{'kind':'interpolate','interpolate':{'from':'../theta/artifacts/best.safetensors',"
                                " 'to':'../ends-tune/artifacts/best.safetensors','alphas':[1]}}");
    json_t *result = lab_result(dir), *points = json_object_get(result, "points");
    CHECK_INT(json_array_size(points), 2); /* 0 is measured although it wasn't asked for */
    for (int i = 0; i < 2; i++)
        is[i] = lab_number(json_array_get(points, (size_t)i), "robust_loss");
    json_decref(result);
    free(dir);
    dir = lab_job("ends-measure", "{'kind':'evaluate','model':{'weights':'../ends-tune/artifacts/best.safetensors'},"
                                  " 'evaluate':{'baseline':'../theta/artifacts/best.safetensors'}}");
    result = lab_result(dir);
    want[0] = lab_number(json_array_get(json_object_get(json_object_get(result, "baseline"), "attacks"), 0), "loss");
    want[1] = lab_number(json_array_get(json_object_get(result, "attacks"), 0), "loss");
    for (int i = 0; i < 2; i++)
        if (is[i] != want[i])
            CHECK_FAIL("alpha %d has robust loss %.17g, the weights themselves %.17g", i, is[i], want[i]);
    json_decref(result);
    free(dir);
}

/* From a last layer turned round to the right one: alpha .7 is .4 of it, and is chosen. The
 * point and its weights are one thing, and nothing else has moved by a single bit. */
static void only_differences_walk(void)
{
    static const struct scaling turned[] = { { "linear.weight", -1 } };

    char *dir = lab_job("strong", "{'kind':'train','train':{'method':'standard','epochs':20,'evaluate_every':0},"
                                  " 'augment':'none','optimizer':{'lr':0.05}}");
    json_decref(lab_result(dir)); /* it must know more than its opposite, so that the walk is worth it */
    free(dir);
    scaled_weights("strong/artifacts/best.safetensors", turned, 1, "turned.safetensors");
    dir = lab_job("walk", "{'kind':'interpolate','interpolate':{'from':'../turned.safetensors','tolerance':1,"
                          " 'to':'../strong/artifacts/best.safetensors','alphas':[0,0.3,0.7]}}");
    json_t *result = lab_result(dir), *point = json_array_get(json_object_get(result, "points"), 2);
    CHECK_NEAR(lab_number(result, "chosen_alpha"), 0.7, 0);
    CHECK(lab_number(result, "images") > 0);
    CHECK_STRING(json_string_value(json_object_get(result, "split")), "test");
    free(dir);
    struct safetensors *theta = weights_of("strong/artifacts/best.safetensors");
    struct safetensors *chosen = weights_of("walk/artifacts/interpolated.safetensors");
    for (int i = 0; i < safetensors_count(theta); i++) {
        const struct safetensor *was = safetensors_at(theta, i), *is = safetensors_find(chosen, was->name);
        bool same = is && is->size == was->size && memcmp(is->data, was->data, was->size) == 0;

        if (same != (strcmp(was->name, "linear.weight") != 0))
            CHECK_FAIL("%s has %s", was->name, same ? "not moved" : "moved");
    }
    safetensors_close(theta);
    safetensors_close(chosen);
    dir =
        lab_job("walk-measure", "{'kind':'evaluate','model':{'weights':'../walk/artifacts/interpolated.safetensors'}}");
    json_t *measured = lab_result(dir);
    double robust = lab_number(json_array_get(json_object_get(measured, "attacks"), 0), "loss");
    if (robust != lab_number(point, "robust_loss"))
        CHECK_FAIL("alpha .7 has robust loss %.17g, its weights %.17g", lab_number(point, "robust_loss"), robust);
    json_decref(measured);
    json_decref(result);
    free(dir);
}

static void whole_method(void)
{
    char *dir =
        lab_job("whole", "{'kind':'rift','protocol':'validation','dataset':{'validation':0.3},'train':{'epochs':2},"
                         " 'mrc':{'steps':1},'finetune':{'epochs':2},'interpolate':{'alphas':[0,0.5,1]}}");

    CHECK_INT(lab_run(dir, "stop", 40), WORKER_INTERRUPTED); /* somewhere in the first steps */
    json_t *result = lab_result(dir);
    CHECK(json_is_string(json_object_get(result, "module")));
    CHECK(json_is_number(json_object_get(result, "alpha")));
    CHECK(isfinite(lab_number(json_object_get(result, "before"), "robust_accuracy")));
    CHECK(isfinite(lab_number(json_object_get(result, "after"), "clean_accuracy")));
    json_decref(result);
    free(dir);
}

static const struct check_case cases[] = {
    { "fine-tuning moves its module, and the statistics only when asked", finetuning_moves_only_its_module },
    { "fine-tuning from stored activations sees the same loss", cached_prefix_changes_nothing },
    { "MRC is never negative and the weights stay in the ball", criticality_stays_in_the_ball },
    { "a small step raises the loss by |Delta|^2 / lr", first_order_growth },
    { "MRC doesn't change when a layer and its statistics are scaled (Appendix A)", criticality_is_scale_invariant },
    { "an overflowing ascent keeps the last finite point and is flagged", overflow_is_caught },
    { "an overflowed module is never the least critical one", overflow_ranks_highest },
    { "weights that overflow in the last step are no result", weights_that_overflow_fail },
    { "a module's MRC doesn't depend on the modules measured before it", modules_are_independent },
    { "alpha 0 and 1 are the weights themselves", ends_are_exact },
    { "a point between is what its weights are, and only what differs has moved", only_differences_walk },
    { "the whole method runs without a daemon, interrupted or not", whole_method },
};
LAB_MAIN(cases)
