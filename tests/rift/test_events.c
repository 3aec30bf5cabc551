/* Does every event tell all that it is said to tell?
 *
 * Jobs of all kinds run; what their journals hold is looked through by type. */
#include "tests/rift/lab.h"

/* Look through all events of that type of a job that has to finish; how many there were. */
static int events_check(const char *dir, const char *type, void (*check)(const json_t *event))
{
    json_t *events = lab_events(dir), *event;
    size_t i;
    int seen = 0;

    json_array_foreach(events, i, event)
    {
        if (strcmp(lab_word(event, "type"), type) != 0)
            continue;
        check(event);
        seen++;
    }
    json_decref(events);
    return seen;
}

static bool number_or_null(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return json_is_number(value) || json_is_null(value);
}

/* ---- what each type holds ------------------------------------------------------------- */

static void started_check(const json_t *event)
{
    const json_t *device = json_object_get(event, "device"), *versions = json_object_get(event, "versions");

    CHECK_STRING(lab_word(versions, "riftd"), RIFT_VERSION);
    CHECK_STRING(lab_word(event, "version"), RIFT_VERSION);
    CHECK_INT(strlen(lab_word(event, "spec_sha256")), 64);
    if (json_is_string(device)) { /* a parent's, whose jobs open it */
        CHECK_STRING(json_string_value(device), check_device());
        return;
    }
    CHECK_STRING(lab_word(device, "type"), strncmp(check_device(), "cuda", 4) == 0 ? "gpu" : "cpu");
    if (json_object_get(device, "library"))
        CHECK(json_object_size(versions) >= 2);
}

/* The same of a job without a network, which runs on the processor wherever others run. */
static void started_alone_check(const json_t *event)
{
    CHECK_STRING(lab_word(json_object_get(event, "device"), "id"), "cpu");
    CHECK_STRING(lab_word(json_object_get(event, "versions"), "riftd"), RIFT_VERSION);
    CHECK(json_is_integer(json_object_get(event, "seed")));
}

static void progress_check(const json_t *event)
{
    CHECK(json_is_string(json_object_get(event, "phase")));
    CHECK(lab_number(event, "done") <= lab_number(event, "total"));
    CHECK(number_or_null(event, "images_per_s"));
    CHECK(number_or_null(event, "eta_s"));
}

static void module_check(const json_t *event)
{
    const json_t *losses = json_object_get(event, "losses");
    size_t passes = json_array_size(losses);

    CHECK_INT(passes, (long)lab_number(event, "pass"));
    CHECK_NEAR(json_number_value(json_array_get(losses, passes - 1)), lab_number(event, "loss"), 0);
}

static void alpha_check(const json_t *event)
{
    const json_t *losses = json_object_get(event, "losses");

    CHECK_NEAR(lab_number(losses, "clean"), lab_number(event, "clean_loss"), 0);
    CHECK_NEAR(lab_number(losses, "robust"), lab_number(event, "robust_loss"), 0);
}

/* ---- the jobs --------------------------------------------------------------------------- */

static void modules_tell_the_loss_after_every_pass(void)
{
    lab_theta();
    char *dir = lab_job("mrc", "{'kind':'mrc','model':{'weights':'../theta/artifacts/best.safetensors'},"
                               " 'mrc':{'steps':3,'modules':['conv1','linear']}}");
    json_t *result = lab_result(dir), *events = lab_events(dir), *event, *before = NULL;
    size_t i, p;
    const json_t *loss;

    CHECK_INT(events_check(dir, "started", started_check), 1);
    CHECK(events_check(dir, "progress", progress_check) > 0);
    CHECK_INT(events_check(dir, "module", module_check), 6);
    json_array_foreach(events, i, event) /* a pass adds one to what the last one has told */
    {
        if (strcmp(lab_word(event, "type"), "module") != 0)
            continue;
        if (lab_number(event, "pass") > 1)
            json_array_foreach(before, p, loss)
                CHECK(json_equal((json_t *)loss, json_array_get(json_object_get(event, "losses"), p)));
        before = json_object_get(event, "losses");
    }
    json_decref(events);
    json_decref(result);
    free(dir);
}

static void alphas_tell_both_losses(void)
{
    lab_theta();
    char *dir = lab_job("walk", "{'kind':'interpolate','interpolate':{'from':'../theta/artifacts/best.safetensors',"
                                " 'to':'../theta/artifacts/last.safetensors','alphas':[0,0.5]}}");

    json_decref(lab_result(dir));
    CHECK_INT(events_check(dir, "started", started_check), 1);
    CHECK(events_check(dir, "progress", progress_check) > 0);
    CHECK_INT(events_check(dir, "alpha", alpha_check), 2);
    free(dir);
}

static void a_parent_tells_the_same_of_itself_and_its_steps(void)
{
    static const char *const steps[] = {
        ".", "steps/0-train", "steps/1-mrc", "steps/2-finetune", "steps/3-interpolate", "steps/4-evaluate"
    };
    char *dir = lab_job("rift", "{'kind':'rift','train':{'epochs':1},'mrc':{'steps':1},'finetune':{'epochs':1},"
                                " 'interpolate':{'alphas':[0,1]}}");

    json_decref(lab_result(dir));
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        char path[512];

        snprintf(path, sizeof(path), "%s/%s", dir, steps[i]);
        CHECK_INT(events_check(path, "started", started_check), 1);
        CHECK(events_check(path, "progress", progress_check) > 0);
    }
    free(dir);
}

static void jobs_without_a_network_name_the_processor(void)
{
    static const char *const specs[][2] = {
        { "copies", "{'kind':'corrupt','corrupt':{'names':['contrast'],'severities':[1]}}" },
        { "look", "{'kind':'inspect','model':{},'inspect':{'per_class':1,'corruptions':null}}" },
    };

    for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
        char *dir = lab_job(specs[i][0], specs[i][1]);

        json_decref(lab_result(dir));
        CHECK_INT(events_check(dir, "started", started_alone_check), 1);
        CHECK(events_check(dir, "progress", progress_check) > 0);
        free(dir);
    }
}

static const struct check_case cases[] = {
    { "module events tell the loss after every pass", modules_tell_the_loss_after_every_pass },
    { "alpha events tell both losses", alphas_tell_both_losses },
    { "a parent tells the same of itself as its steps", a_parent_tells_the_same_of_itself_and_its_steps },
    { "jobs without a network name the processor", jobs_without_a_network_name_the_processor },
};

LAB_MAIN(cases)
