/* Do the ablations that the paper reports, and those it leaves open, do what they say?
 *
 * Whole jobs on tiny models. */
#include "lab.h"

/* ---- criticality of sets, of clean images, of a split ------------------------------------- */

/* The singles, the joint set, three pairs with the lowest single, two triples with the lowest pair. */
static void sets_are_measured_together(void)
{
    lab_theta();
    char *dir = lab_job("sets", "{'kind':'mrc','model':{'weights':'../theta/artifacts/best.safetensors'},"
                                " 'mrc':{'steps':2,'greedy':3,'joint':[['linear','conv1']],"
                                "        'modules':['conv1','layer2.0.shortcut.0','layer3.1.conv2','linear']}}");
    json_t *result = lab_result(dir), *joint = json_object_get(result, "joint"), *row;
    json_t *greedy = json_object_get(result, "greedy");
    double lowest = INFINITY;
    size_t i;

    CHECK_INT(json_array_size(json_object_get(result, "modules")), 4);
    CHECK_INT(json_array_size(joint), 1 + 3 + 2);
    CHECK_STRING(lab_word(json_array_get(joint, 0), "module"), "conv1+linear");
    CHECK_INT(json_array_size(json_object_get(json_array_get(joint, 0), "modules")), 2);
    CHECK_INT(json_array_size(greedy), 2);
    for (i = 1; i < 4; i++) { /* the pairs all hold the lowest single one */
        row = json_array_get(joint, i);
        CHECK(strstr(lab_word(row, "module"), lab_word(result, "lowest")));
        lowest = fmin(lowest, json_number_value(json_object_get(row, "mrc")));
    }
    CHECK_NEAR(json_number_value(json_object_get(json_array_get(greedy, 0), "mrc")), lowest, 0);
    CHECK_INT(json_array_size(json_object_get(json_array_get(greedy, 1), "modules")), 3);
    json_t *events = lab_events(dir);
    json_array_foreach(events, i, row) if (strcmp(lab_word(row, "type"), "module") == 0)
        CHECK(json_number_value(json_object_get(row, "relative_norm")) <= 0.1 * (1 + 1e-6));
    json_decref(events);
    json_decref(result);
    free(dir);
}

/* The search comes to a set that /mrc/joint has measured, or a joint set is named twice: the row is
 * there again, its ascent isn't made again, and no event is said twice. */
static void a_set_is_measured_once(void)
{
    lab_theta();
    char *dir = lab_job("sets-again", "{'kind':'mrc','model':{'weights':'../theta/artifacts/best.safetensors'},"
                                      " 'mrc':{'steps':2,'greedy':2,'modules':['conv1','linear'],"
                                      "        'joint':[['linear','conv1'],['conv1','linear']]}}");
    json_t *result = lab_result(dir), *joint = json_object_get(result, "joint"), *events = lab_events(dir), *event;
    int said = 0;
    size_t i;

    CHECK_INT(json_array_size(joint), 2 + 1);
    CHECK_STRING(lab_word(json_array_get(joint, 0), "module"), "conv1+linear");
    CHECK(json_equal(json_array_get(joint, 0), json_array_get(joint, 1)));
    CHECK(json_equal(json_array_get(joint, 0), json_array_get(joint, 2)));
    json_array_foreach(events, i, event) said += strcmp(lab_word(event, "type"), "module") == 0;
    CHECK_INT(said, 3 * 2);
    json_decref(events);
    json_decref(result);
    free(dir);
}

static void joint_is_not_the_sum(void)
{
    static const char *const texts[] = { "'modules':['conv1','linear']",
                                         "'modules':['conv1'],'joint':[['conv1','linear']]" };
    double mrc[3] = { 0 };

    lab_theta();
    for (int i = 0; i < 2; i++) {
        char spec[256], name[32];

        snprintf(spec, sizeof(spec),
                 "{'kind':'mrc','model':{'weights':'../theta/artifacts/best.safetensors'},"
                 " 'mrc':{'steps':3,'lr':0.1,%s}}",
                 texts[i]);
        snprintf(name, sizeof(name), "together-%d", i);
        char *dir = lab_job(name, spec);
        json_t *result = lab_result(dir);
        for (size_t m = 0; i == 0 && m < 2; m++)
            mrc[m] = json_number_value(json_object_get(json_array_get(json_object_get(result, "modules"), m), "mrc"));
        if (i == 1)
            mrc[2] = json_number_value(json_object_get(json_array_get(json_object_get(result, "joint"), 0), "mrc"));
        json_decref(result);
        free(dir);
    }
    if (!(mrc[2] > mrc[0] && mrc[2] > mrc[1]))
        CHECK_FAIL("conv1 %g, linear %g, together %g", mrc[0], mrc[1], mrc[2]);
}

/* mrc.examples clean is what attack null is, whatever the attack says. */
static void clean_criticality(void)
{
    static const char *const texts[] = { "'mrc':{'steps':2,'modules':['linear'],'examples':'clean'}",
                                         "'attack':null,'mrc':{'steps':2,'modules':['linear']}",
                                         "'mrc':{'steps':2,'modules':['linear']}" };
    json_t *rows[3];

    lab_theta();
    for (int i = 0; i < 3; i++) {
        char spec[256], name[32];

        snprintf(spec, sizeof(spec), "{'kind':'mrc','model':{'weights':'../theta/artifacts/best.safetensors'},%s}",
                 texts[i]);
        snprintf(name, sizeof(name), "clean-%d", i);
        char *dir = lab_job(name, spec);
        json_t *result = lab_result(dir);
        rows[i] = json_incref(json_object_get(result, "modules"));
        CHECK_STRING(lab_word(result, "examples"), i < 2 ? "clean" : "adversarial");
        json_decref(result);
        free(dir);
    }
    CHECK(json_equal(rows[0], rows[1]));
    CHECK(!json_equal(rows[0], rows[2]));
    for (int i = 0; i < 3; i++)
        json_decref(rows[i]);
}

/* The training examples, when mrc.split says so; the test ones are others. */
static void criticality_of_a_split(void)
{
    static const char *const texts[] = { "", ",'split':'test'", ",'split':'train'" };
    json_t *rows[3];

    lab_theta();
    for (int i = 0; i < 3; i++) {
        char spec[320], name[32];

        snprintf(spec, sizeof(spec),
                 "{'kind':'mrc','model':{'weights':'../theta/artifacts/best.safetensors'},"
                 " 'dataset':{'train_limit':24,'test_limit':16},"
                 " 'mrc':{'steps':2,'modules':['linear']%s}}",
                 texts[i]);
        snprintf(name, sizeof(name), "split-%d", i);
        char *dir = lab_job(name, spec);
        json_t *result = lab_result(dir);
        rows[i] = json_incref(json_object_get(result, "modules"));
        json_decref(result);
        free(dir);
    }
    CHECK(json_equal(rows[0], rows[1])); /* the paper's protocol */
    CHECK(!json_equal(rows[0], rows[2]));
    for (int i = 0; i < 3; i++)
        json_decref(rows[i]);
}

/* ---- fine-tuning ---------------------------------------------------------------------------- */

/* Which tensors of DIR's last weights differ from theta's: names, new reference. */
static json_t *moved(const char *name)
{
    struct safetensors *before = NULL, *after = NULL;
    struct fault why = { 0 };
    char path[2][4096];
    json_t *names = json_array();

    snprintf(path[0], sizeof(path[0]), "%s/theta/artifacts/best.safetensors", lab());
    snprintf(path[1], sizeof(path[1]), "%s/%s/artifacts/last.safetensors", lab(), name);
    if (safetensors_open(path[0], &before, &why) < 0 || safetensors_open(path[1], &after, &why) < 0)
        CHECK_FAIL("%s", why.message);
    for (int i = 0; after && before && i < safetensors_count(after); i++) {
        const struct safetensor *is = safetensors_at(after, i), *was = safetensors_find(before, is->name);

        if (!strstr(is->name, "num_batches") && (!was || memcmp(was->data, is->data, is->size) != 0))
            json_array_append_new(names, json_string(is->name));
    }
    safetensors_close(before);
    safetensors_close(after);
    return names;
}

/* Without a learning rate only batch norm's running statistics move: what "drift" alone does (the
 * control of the fine-tuning); with frozen statistics nothing does. */
static void control_run(void)
{
    static const char *const modes[] = { "train", "frozen" };

    lab_theta();
    for (int i = 0; i < 2; i++) {
        char spec[400], name[32];
        json_t *names, *item;
        size_t n;

        snprintf(spec, sizeof(spec),
                 "{'kind':'finetune','model':{'weights':'../theta/artifacts/best.safetensors'},'optimizer':{'lr':0},"
                 " 'finetune':{'modules':'all','epochs':1,'evaluate_every':0,'batch_norm':'%s'}}",
                 modes[i]);
        snprintf(name, sizeof(name), "control-%d", i);
        char *dir = lab_job(name, spec);
        json_decref(lab_result(dir));
        names = moved(name);
        CHECK_INT(json_array_size(names), i == 0 ? 2 * 20 : 0);
        json_array_foreach(names, n, item) CHECK_HOLDS(json_string_value(item), "running_");
        json_decref(names);
        free(dir);
    }
}

/* The published code takes every parameter whose name contains the text, batch norm's too. */
static void chosen_by_substring(void)
{
    lab_theta();
    char *dir = lab_job("containing", "{'kind':'finetune','model':{'weights':'../theta/artifacts/best.safetensors'},"
                                      " 'finetune':{'modules':{'containing':'layer4.1'},'epochs':1,"
                                      "             'evaluate_every':0,'batch_norm':'frozen'}}");
    json_decref(lab_result(dir));
    json_t *names = moved("containing"), *item;
    size_t i;

    CHECK_INT(json_array_size(names), 6); /* two convolutions, two batch norms of two */
    json_array_foreach(names, i, item) CHECK_HOLDS(json_string_value(item), "layer4.1.");
    json_decref(names);
    free(dir);
    dir = lab_job("containing-none", "{'kind':'finetune','model':{'weights':'../theta/artifacts/best.safetensors'},"
                                     " 'finetune':{'modules':{'containing':'layer7'},'epochs':1}}");
    CHECK_INT(lab_run(dir, "run", 0), WORKER_BAD_INPUT);
    json_t *last = lab_last(dir);
    CHECK_HOLDS(lab_word(last, "message"), "no parameter of resnet18 has \"layer7\" in its name");
    json_decref(last);
    free(dir);
}

/* {"greedy": 2} is the pair that the mrc job found; one that it didn't look for is an error. */
static void chosen_by_search(void)
{
    lab_theta();
    char *dir = lab_job("search", "{'kind':'mrc','model':{'weights':'../theta/artifacts/best.safetensors'},"
                                  " 'mrc':{'steps':1,'greedy':2,'modules':['conv1','layer3.1.conv2','linear']}}");
    json_t *found = lab_result(dir);
    json_t *pair = json_object_get(json_array_get(json_object_get(found, "greedy"), 0), "modules");

    free(dir);
    for (int size = 2; size <= 3; size++) {
        char spec[400], name[32];

        snprintf(spec, sizeof(spec),
                 "{'kind':'finetune','model':{'weights':'../theta/artifacts/best.safetensors'},"
                 " 'finetune':{'modules':{'greedy':%d},'mrc_job':'../search','epochs':1,'evaluate_every':0}}",
                 size);
        snprintf(name, sizeof(name), "searched-%d", size);
        dir = lab_job(name, spec);
        if (size == 2) {
            json_t *result = lab_result(dir);
            CHECK(json_array_size(pair) == 2 && json_equal(json_object_get(result, "modules"), pair));
            json_decref(result);
        } else {
            CHECK_INT(lab_run(dir, "run", 0), WORKER_BAD_INPUT);
            json_t *last = lab_last(dir);
            CHECK_HOLDS(lab_word(last, "message"), "no search for a set of 3 modules, only up to 2");
            json_decref(last);
        }
        free(dir);
    }
    json_decref(found);
}

/* ---- the line ------------------------------------------------------------------------------ */

/* Evaluation at alpha 0 and 1 is that of the ends; between, it is what an interpolate job measures. */
static void every_alpha_is_evaluated(void)
{
    lab_theta();
    char *tuned = lab_job("line-end", "{'kind':'finetune','model':{'weights':'../theta/artifacts/best.safetensors'},"
                                      " 'optimizer':{'lr':0.05},"
                                      " 'finetune':{'modules':['layer2.1.conv2'],'epochs':1,'evaluate_every':0}}");
    json_decref(lab_result(tuned));
    char *walk = lab_job("line-walk", "{'kind':'interpolate','interpolate':{'alphas':[0,0.3,1],"
                                      " 'from':'../theta/artifacts/best.safetensors',"
                                      " 'to':'../line-end/artifacts/last.safetensors'}}");
    json_t *walked = lab_result(walk), *points = json_object_get(walked, "points");
    char *dir = lab_job("line", "{'kind':'evaluate','model':{'weights':'../line-end/artifacts/last.safetensors'},"
                                " 'evaluate':{'baseline':'../theta/artifacts/best.safetensors','alphas':[0,0.3,1],"
                                "             'toward':'../line-end/artifacts/last.safetensors'}}");
    json_t *result = lab_result(dir), *alphas = json_object_get(result, "alphas");

    CHECK_INT(json_array_size(alphas), 3);
    for (size_t i = 0; i < 3; i++) {
        json_t *at = json_array_get(alphas, i), *point = json_array_get(points, i);
        json_t *attack = json_array_get(json_object_get(at, "attacks"), 0);

        CHECK_NEAR(lab_number(at, "alpha"), lab_number(point, "alpha"), 0);
        CHECK_NEAR(lab_number(json_object_get(at, "clean"), "loss"), lab_number(point, "clean_loss"), 1e-6);
        CHECK_NEAR(lab_number(attack, "loss"), lab_number(point, "robust_loss"), 1e-6);
    }
    CHECK(json_equal(json_object_get(json_array_get(alphas, 0), "clean"),
                     json_object_get(json_object_get(result, "baseline"), "clean")));
    CHECK(json_equal(json_object_get(json_array_get(alphas, 2), "clean"), json_object_get(result, "clean")));
    CHECK(lab_number(json_object_get(json_array_get(alphas, 1), "clean"), "loss") !=
          lab_number(json_object_get(result, "clean"), "loss"));
    json_decref(walked);
    json_decref(result);
    free(tuned);
    free(walk);
    free(dir);
}

static const struct check_case cases[] = {
    { "sets of modules are measured together, and the search grows from the lowest", sets_are_measured_together },
    { "a set that comes again is not measured again", a_set_is_measured_once },
    { "two modules together can do more than each alone", joint_is_not_the_sum },
    { "clean criticality is that of the images as they are", clean_criticality },
    { "MRC looks at the split it is told", criticality_of_a_split },
    { "with learning rate 0 only the running statistics move", control_run },
    { "modules can be chosen by a part of their parameters' names, as in the published code", chosen_by_substring },
    { "the pair that the search found can be fine-tuned", chosen_by_search },
    { "every point of the line can be evaluated", every_alpha_is_evaluated },
};

LAB_MAIN(cases)
