/* Is accuracy on corrupted copies measured as it is said to be? */
#include "lab.h"

/* A copy "NAME.npy" in DIR, [5*LAB_IMAGES,32,32,3]: severities 1 to 4 are the images as they are,
 * 5 is nothing but `blank`. With labels.npy. */
static void copies_write(const char *dir, const char *name, uint8_t blank)
{
    char header[128], path[4096];
    struct safetensors *file;
    struct fault why = { 0 };

    snprintf(path, sizeof(path), "%s/data.safetensors", lab());
    if (safetensors_open(path, &file, &why) < 0) {
        fprintf(stderr, "%s\n", why.message);
        exit(1);
    }
    const uint8_t *x = safetensors_find(file, "x")->data;
    const char *y = safetensors_find(file, "y")->data;
    FILE *out[2];

    mkdir(dir, 0777);
    for (int k = 0; k < 2; k++) {
        snprintf(path, sizeof(path), "%s/%s.npy", dir, k ? "labels" : name);
        out[k] = fopen(path, "wb");
        int length = snprintf(header, sizeof(header), "{'descr': '%s', 'fortran_order': False, 'shape': (%d%s), }\n",
                              k ? "<i8" : "|u1", 5 * LAB_IMAGES, k ? "," : ", 32, 32, 3");
        fwrite("\x93NUMPY\x01", 1, 7, out[k]);
        for (int b = 0; b < 3; b++)
            fputc(b ? length >> (8 * b - 8) & 255 : 0, out[k]);
        fwrite(header, 1, (size_t)length, out[k]);
    }
    for (int i = 0; i < 5 * LAB_IMAGES; i++) {
        for (int p = 0; p < LAB_PIXELS; p++)
            fputc(i >= 4 * LAB_IMAGES ? blank : x[i % LAB_IMAGES * LAB_PIXELS + p % 3 * 1024 + p / 3], out[0]);
        fwrite(y + (size_t)(i % LAB_IMAGES) * 8, 1, 8, out[1]);
    }
    fclose(out[0]);
    fclose(out[1]);
    safetensors_close(file);
}

static const json_t *row_at(const json_t *result, size_t i)
{
    return json_array_get(json_object_get(result, "corruptions"), i);
}

static double severity_at(const json_t *result, size_t i, size_t s, const char *member)
{
    return lab_number(json_array_get(json_object_get(row_at(result, i), "severities"), s), member);
}

/* A net that tells the classes apart; trained once. */
static const char *learned(void)
{
    static bool done;

    if (!done) {
        char *dir = lab_job("learn", "{'kind':'train','train':{'epochs':12,'evaluate_every':0},'optimizer':{'lr':0.05},"
                                     " 'augment':'none','attack':{'steps':3,'epsilon':'2/255','step_size':'1/255'}}");
        json_decref(lab_result(dir));
        free(dir);
        done = true;
    }
    return "../learn/artifacts/best.safetensors";
}

static json_t *measured(const char *name, const char *more)
{
    char spec[1024];

    snprintf(spec, sizeof(spec),
             "{'kind':'evaluate','attack':null,'model':{'weights':'%s'},%s"
             " 'evaluate':{'baseline':'%s','corruptions':{'path':'../made','names':['snow','fog','contrast']}}}",
             learned(), more, learned());
    char *dir = lab_job(name, spec);
    json_t *result = lab_result(dir);

    free(dir);
    return result;
}

/* HOME/few.safetensors: three black images. */
static void few_write(void)
{
    static uint8_t x[3][LAB_PIXELS];
    static const int64_t y[3] = { 0, 1, 2 };
    const struct safetensor tensors[] = {
        { .name = "x", .dtype = DTYPE_U8, .rank = 4, .shape = { 3, 3, 32, 32 }, .data = x, .size = sizeof(x) },
        { .name = "y", .dtype = DTYPE_I64, .rank = 1, .shape = { 3 }, .data = y, .size = sizeof(y) },
    };

    CHECK_INT(safetensors_write(lab(), "few.safetensors", tensors, 2, NULL, NULL, NULL, NULL), 0);
}

static void made(void)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/made", lab());
    copies_write(path, "snow", 0);
    copies_write(path, "fog", 40);
    copies_write(path, "contrast", 255);
}

/* A copy that changes nothing has the clean accuracy and loss; one that leaves nothing
 * has the share of one class; and what is said of all is the mean of what is said of each. */
static void closed_form(void)
{
    made();
    json_t *result = measured("closed", ""), *clean = json_object_get(result, "clean");
    const json_t *corruptions = json_object_get(result, "corruptions");
    double sum = 0;

    CHECK_INT(json_array_size(json_object_get(corruptions, "corruptions")), 3);
    for (size_t i = 0; i < 3; i++) {
        double mean = 0;

        for (size_t s = 0; s < 5; s++) {
            CHECK_NEAR(severity_at(corruptions, i, s, "images"), LAB_IMAGES, 0);
            mean += severity_at(corruptions, i, s, "accuracy") / 5;
            if (s == 4)
                continue;
            CHECK_NEAR(severity_at(corruptions, i, s, "accuracy"), lab_number(clean, "accuracy"), 0);
            CHECK_NEAR(severity_at(corruptions, i, s, "loss"), lab_number(clean, "loss"), 0);
        }
        CHECK_NEAR(severity_at(corruptions, i, 4, "accuracy"), 1.0 / LAB_CLASSES, 1e-12);
        CHECK_NEAR(lab_number(row_at(corruptions, i), "accuracy"), mean, 1e-12);
        sum += mean;
    }
    CHECK(lab_number(clean, "accuracy") > 0.5); /* so that the two differ */
    const json_t *groups = json_object_get(corruptions, "groups");
    CHECK_INT(json_object_size(groups), 2);
    CHECK_NEAR(lab_number(groups, "weather"),
               (lab_number(row_at(corruptions, 0), "accuracy") + lab_number(row_at(corruptions, 1), "accuracy")) / 2,
               1e-12);
    CHECK_NEAR(lab_number(groups, "digital"), lab_number(row_at(corruptions, 2), "accuracy"), 1e-12);
    CHECK_NEAR(lab_number(corruptions, "corruption_accuracy"), sum / 3, 1e-12);
    /* The baseline is the same net here: the same numbers. */
    CHECK(json_equal(corruptions, json_object_get(json_object_get(result, "baseline"), "corruptions")));
    json_decref(result);
}

static void limits_and_batches(void)
{
    made();
    json_t *limited = measured("limited", "'dataset':{'test_limit':13},'batch_size':64,");
    json_t *other = measured("limited-other", "'dataset':{'test_limit':13},'batch_size':5,");

    for (size_t i = 0; i < 3; i++)
        for (size_t s = 0; s < 5; s++) {
            const json_t *corruptions = json_object_get(limited, "corruptions");

            CHECK_NEAR(severity_at(corruptions, i, s, "images"), 13, 0);
            CHECK_NEAR(severity_at(corruptions, i, s, "accuracy"),
                       severity_at(json_object_get(other, "corruptions"), i, s, "accuracy"), 0);
            if (s < 4) /* the same thirteen as of the test set */
                CHECK_NEAR(severity_at(corruptions, i, s, "loss"),
                           lab_number(json_object_get(limited, "clean"), "loss"), 0);
        }
    json_decref(limited);
    json_decref(other);
}

/* More images than the test set has, and fewer than a batch. */
static void other_numbers(void)
{
    made();
    few_write();
    json_t *few = measured("few", "'dataset':{'test_limit':null,'test_path':'../few.safetensors'},'batch_size':64,");

    CHECK_NEAR(severity_at(json_object_get(few, "corruptions"), 0, 0, "images"), LAB_IMAGES, 0);
    json_decref(few);
}

static void every_corruption_is_told(void)
{
    made();
    json_t *result = measured("told", "");
    char path[4096];
    static const char *const names[] = { "corruption/snow", "corruption/fog", "corruption/contrast",
                                         "baseline/corruption/snow" };

    snprintf(path, sizeof(path), "%s/told", lab());
    json_t *events = lab_findings(path), *event;
    size_t i;

    for (size_t k = 0; k < 4; k++) {
        int seen = 0;

        json_array_foreach(events, i, event) if (strcmp(lab_word(event, "type"), "evaluation") == 0 &&
                                                 strcmp(lab_word(event, "name"), names[k]) == 0)
        {
            seen++;
            CHECK_INT(json_array_size(json_object_get(event, "severities")), 5);
        }
        CHECK_INT(seen, 1);
    }
    json_decref(events);
    json_decref(result);
}

static void our_own_copies_are_measured(void)
{
    lab_copies();
    char spec[512];

    snprintf(spec, sizeof(spec),
             "{'kind':'evaluate','attack':null,'model':{'weights':'%s'},"
             " 'evaluate':{'corruptions':{'path':'../copies/artifacts','names':['fog','contrast'],'severities':[5]}}}",
             learned());
    char *dir = lab_job("own", spec);
    json_t *result = lab_result(dir);
    const json_t *corruptions = json_object_get(result, "corruptions");

    CHECK_INT(json_array_size(json_object_get(corruptions, "corruptions")), 2);
    CHECK_NEAR(severity_at(corruptions, 0, 0, "severity"), 5, 0);
    CHECK(isfinite(lab_number(corruptions, "corruption_accuracy")));
    json_decref(result);
    free(dir);
}

/* What the corrupt job says of its frost stands beside every figure that counts it. */
static void frost_is_no_published_one(void)
{
    static const char *const names[] = { "['frost','fog']", "['fog']" };
    char spec[512];

    char *copies = lab_job("frosted", "{'kind':'corrupt','corrupt':{'names':['fog','frost'],"
                                      " 'severities':[3],'contact_sheet':0}}");
    json_decref(lab_result(copies));
    free(copies);
    for (int i = 0; i < 2; i++) {
        snprintf(spec, sizeof(spec),
                 "{'kind':'evaluate','attack':null,'model':{'weights':'%s'},"
                 " 'evaluate':{'corruptions':{'path':'../frosted/artifacts','names':%s,'severities':[3]}}}",
                 learned(), names[i]);
        char *dir = lab_job(i ? "fog-alone" : "with-frost", spec);
        json_t *result = lab_result(dir);
        const json_t *corruptions = json_object_get(result, "corruptions");

        if (i == 0)
            CHECK_HOLDS(lab_word(corruptions, "frost"), "not comparable with published numbers");
        else
            CHECK(!json_object_get(corruptions, "frost"));
        json_decref(result);
        free(dir);
    }
}

/* A folder is named without the way to it. */
static void places_are_told_straight(void)
{
    char spec[512];

    lab_copies();
    snprintf(spec, sizeof(spec),
             "{'kind':'evaluate','attack':null,'model':{'weights':'%s'},"
             " 'evaluate':{'corruptions':{'path':'../copies/artifacts','names':['fog'],'severities':[3]}}}",
             learned());
    char *dir = lab_job("straight", spec);

    CHECK_INT(lab_run(dir, "run", 0), WORKER_BAD_INPUT);
    json_t *last = lab_last(dir);
    CHECK_HOLDS(lab_word(last, "message"), "/copies/artifacts: severity 3 isn't there");
    CHECK(!strstr(lab_word(last, "message"), ".."));
    json_decref(last);
    free(dir);
}

static void what_is_missing_is_missed_at_once(void)
{
    char spec[512];

    lab_copies();
    snprintf(spec, sizeof(spec),
             "{'kind':'evaluate','model':{'weights':'%s'},"
             " 'evaluate':{'corruptions':{'path':'../copies/artifacts','severities':[5]}}}",
             learned());
    char *dir = lab_job("missing", spec);

    CHECK_INT(lab_run(dir, "check", 0), WORKER_BAD_INPUT);
    CHECK_INT(lab_run(dir, "run", 0), WORKER_BAD_INPUT);
    json_t *last = lab_last(dir);
    CHECK_HOLDS(lab_word(last, "message"), "gaussian_noise.npy");
    json_decref(last);
    free(dir);
}

static void a_rift_job_makes_its_own_copies(void)
{
    char *dir = lab_job("own-rift", "{'kind':'rift','attack':{'steps':1},'train':{'epochs':1,'evaluate_every':0},"
                                    " 'mrc':{'steps':1,'modules':['linear']},'finetune':{'epochs':1},"
                                    " 'interpolate':{'alphas':[0,1]},'evaluate':{'generate_corruptions':true,"
                                    "   'corruptions':{'names':['contrast','fog'],'severities':[1,4]}}}");
    json_t *result = lab_result(dir);
    char path[4096];

    CHECK(isfinite(lab_number(json_object_get(result, "before"), "corruption_accuracy")));
    CHECK(isfinite(lab_number(json_object_get(result, "after"), "corruption_accuracy")));
    snprintf(path, sizeof(path), "%s/steps/5-corrupt/artifacts/fog.npy", dir);
    CHECK_INT(access(path, R_OK), 0);
    json_decref(result);
    free(dir);
}

static const struct check_case cases[] = {
    { "copies that change nothing have the clean accuracy, and means are means", closed_form },
    { "test_limit counts for each severity, and batches change nothing", limits_and_batches },
    { "copies may have more images than the test set and a batch", other_numbers },
    { "every corruption is one event, of the baseline too", every_corruption_is_told },
    { "what a corrupt job has written is measured", our_own_copies_are_measured },
    { "a frost that isn't the published one says so beside the figures", frost_is_no_published_one },
    { "a folder that a reference leads to is named straight", places_are_told_straight },
    { "a rift job makes copies of its own and has their accuracy before and after", a_rift_job_makes_its_own_copies },
    { "a corruption that is missing is missed before anything is measured", what_is_missing_is_missed_at_once },
};

LAB_MAIN(cases)
