/* Do whole jobs of each training method end where they must?
 *
 * Killed and gone on with, to the same bits; where two methods are one by
 * their formulas, on the same weights; with words where a loss isn't finite;
 * and, on real pictures where there are some, having learnt something. */
#include "lab.h"

#include <malloc.h>

static const struct {
    const char *name, *train;
} methods[] = {
    { "standard", "'method':'standard'" }, { "pgd-at", "'method':'pgd-at'" },
    { "trades", "'method':'trades'" },     { "mart", "'method':'mart'" },
    { "awp", "'method':'awp'" },           { "awp-trades", "'method':'awp','awp':{'base':'trades','warmup':1}" },
    { "score", "'method':'score'" },       { "score-pgd-at", "'method':'score','score':{'base':'pgd-at'}" },
};
enum { METHOD_COUNT = sizeof(methods) / sizeof(methods[0]) };

/* A training job of the laboratory; `more`: further members of the spec, from a comma on. */
static char *train_job(const char *name, const char *train, const char *more)
{
    char spec[1024];

    snprintf(spec, sizeof(spec), "{'kind':'train','optimizer':{'lr':0.05},'train':{%s%s}%s}",
             strstr(train, "'epochs'") ? "" : "'epochs':2,", train, more);
    return lab_job(name, spec);
}

/* ---- going on ----------------------------------------------------------------------- */

/* The first two are stopped and killed at many more places in test_resume. */
static void killed_anywhere(void)
{
    for (int m = 2; m < METHOD_COUNT; m++) {
        static const char often[] = ",'checkpoint_every_s':0.000001";
        char name[64];
        char *dir = train_job(methods[m].name, methods[m].train, often);
        json_decref(lab_result(dir));
        json_t *expected = lab_findings(dir), *events = lab_events(dir);
        long count = (long)json_array_size(events);

        free(dir);
        json_decref(events);
        /* In the first epoch's batches, and in the second's. */
        for (int i = 0; i < 2; i++) {
            snprintf(name, sizeof(name), "%s-kill-%d", methods[m].name, i);
            dir = train_job(name, methods[m].train, often);
            CHECK_INT(lab_run(dir, i ? "stop" : "kill", i ? count - count / 3 : count / 4),
                      i ? WORKER_INTERRUPTED : -SIGKILL);
            CHECK_INT(lab_run(dir, "run", 0), WORKER_FINISHED);
            json_t *findings = lab_findings(dir);
            if (!json_equal(findings, expected))
                CHECK_FAIL("%s: other findings than undisturbed", dir);
            json_decref(findings);
            free(dir);
        }
        json_decref(expected);
    }
}

/* ---- methods that are one ---------------------------------------------------------------- */

static struct safetensors *weights_of(const char *dir)
{
    struct safetensors *file = NULL;
    struct fault why = { 0 };
    char path[4096];

    snprintf(path, sizeof(path), "%s/artifacts/last.safetensors", dir);
    if (safetensors_open(path, &file, &why) < 0) {
        CHECK_FAIL("%s", why.message);
        exit(1);
    }
    return file;
}

/* The last weights of two jobs, bit for bit; running statistics too, or not. */
static void check_same(const char *left_train, const char *right_train, const char *more, bool statistics)
{
    static int number;
    const char *trains[2] = { left_train, right_train };
    struct safetensors *file[2];

    for (int i = 0; i < 2; i++) {
        char name[32];

        snprintf(name, sizeof(name), "same-%d-%d", number, i);
        char *dir = train_job(name, trains[i], more);
        json_decref(lab_result(dir));
        file[i] = weights_of(dir);
        free(dir);
    }
    number++;
    CHECK_INT(safetensors_count(file[0]), safetensors_count(file[1]));
    for (int t = 0; t < safetensors_count(file[0]); t++) {
        const struct safetensor *a = safetensors_at(file[0], t), *b = safetensors_find(file[1], a->name);

        if (!statistics && strstr(a->name, "running_"))
            continue;
        if (!b || a->size != b->size || memcmp(a->data, b->data, a->size) != 0)
            CHECK_FAIL("%s and %s end at another %s", left_train, right_train, a->name);
    }
    safetensors_close(file[0]);
    safetensors_close(file[1]);
}

static void limits_of_the_formulas(void)
{
    /* Nothing is perturbed, or not yet: the base method. */
    check_same("'method':'awp','awp':{'gamma':0}", "'method':'pgd-at'", "", true);
    check_same("'method':'awp','awp':{'warmup':2}", "'method':'pgd-at'", "", true);
    check_same("'method':'awp','awp':{'base':'trades','gamma':0}", "'method':'trades'", "", true);
    /* Without the divergence only CE(f(x), y) is left; the statistics hear x' all the same. */
    check_same("'method':'trades','trades':{'beta':0}", "'method':'standard'", "", false);
    /* A method's own mode, said or not. */
    check_same("'method':'trades'", "'method':'trades','attack_batch_norm':'frozen'", "", true);
    check_same("'method':'pgd-at'", "'method':'pgd-at','attack_batch_norm':'train'", "", true);
}

/* A step of length 0 ends where it began, to the bit, although theta was perturbed. */
static void awp_comes_back(void)
{
    static const char still[] = ",'optimizer':{'lr':0,'weight_decay':0.5}";

    check_same("'method':'awp'", "'method':'standard'", still, false);
    check_same("'method':'awp','awp':{'base':'trades','gamma':0.3}", "'method':'standard'", still, false);
}

/* The branch that WideResNet has and never uses: no method may touch it, not even by a rounding. */
static void dead_branch_stays(void)
{
    static const char *const trains[] = { "'method':'standard'", "'method':'trades'",
                                          "'method':'awp','awp':{'base':'trades'}" };
    struct safetensors *file[3];
    int dead = 0;

    for (int i = 0; i < 3; i++) {
        char name[32];

        snprintf(name, sizeof(name), "dead-%d", i);
        char *dir = train_job(name, trains[i],
                              ",'attack':{'steps':1},'model':{'arch':'wideresnet','depth':10,'widen_factor':1}");
        json_decref(lab_result(dir));
        file[i] = weights_of(dir);
        free(dir);
    }
    for (int t = 0; t < safetensors_count(file[0]); t++) {
        const struct safetensor *a = safetensors_at(file[0], t);

        if (!strstr(a->name, "sub_block1"))
            continue;
        dead++;
        for (int i = 1; i < 3; i++) {
            const struct safetensor *b = safetensors_find(file[i], a->name);

            if (!b || b->size != a->size || memcmp(a->data, b->data, a->size) != 0)
                CHECK_FAIL("%s has moved under %s", a->name, trains[i]);
        }
    }
    CHECK(dead > 5);
    for (int i = 0; i < 3; i++)
        safetensors_close(file[i]);
}

/* ---- words ---------------------------------------------------------------------------------- */

static void results_say_how(void)
{
    static const struct {
        const char *train, *method, *base;
    } rows[] = { { "'method':'mart'", "mart", NULL },
                 { "'method':'awp','awp':{'base':'trades'}", "awp", "trades" },
                 { "'method':'score'", "score", "trades" } };

    for (int i = 0; i < 3; i++) {
        char name[32];

        snprintf(name, sizeof(name), "words-%d", i);
        char *dir = train_job(name, rows[i].train, ",'attack':{'steps':1}");
        json_t *result = lab_result(dir), *base = json_object_get(result, "base");
        CHECK_STRING(lab_word(result, "method"), rows[i].method);
        CHECK_STRING(lab_word(result, "protocol"), "paper");
        if (rows[i].base)
            CHECK_STRING(json_string_value(base), rows[i].base);
        else
            CHECK(!base);
        json_decref(result);
        free(dir);
    }
}

static void divergence_names_its_step(void)
{
    for (int m = 2; m < METHOD_COUNT; m++) {
        char name[48], train[128];

        snprintf(name, sizeof(name), "diverge-%s", methods[m].name);
        snprintf(train, sizeof(train), "%s,'epochs':9,'evaluate_every':0", methods[m].train);
        char *dir =
            train_job(name, train,
                      ",'augment':'none','attack':{'steps':1},"
                      "'optimizer':{'lr':1000,'weight_decay':1,'momentum':0.99,'schedule':{'type':'constant'}}");
        CHECK_INT(lab_run(dir, "run", 0), WORKER_BAD_INPUT);
        json_t *last = lab_last(dir);
        CHECK_STRING(lab_word(last, "code"), "not_finite");
        CHECK_HOLDS(lab_word(last, "message"), "not finite");
        CHECK_HOLDS(lab_word(last, "message"), ", step ");
        json_decref(last);
        free(dir);
    }
}

/* ---- float images --------------------------------------------------------------------------- */

/* HOME/floats.safetensors: data.safetensors with its pixels / 255. */
static void floats_make(void)
{
    static float pixels[LAB_IMAGES * LAB_PIXELS];
    struct fault why = { 0 };
    struct safetensors *file;
    char *path;

    if (asprintf(&path, "%s/data.safetensors", lab()) < 0 || safetensors_open(path, &file, &why) < 0) {
        CHECK_FAIL("%s", why.message);
        return;
    }
    struct safetensor tensors[] = { *safetensors_find(file, "x"), *safetensors_find(file, "y") };
    for (int i = 0; i < LAB_IMAGES * LAB_PIXELS; i++)
        pixels[i] = (float)((const uint8_t *)tensors[0].data)[i] / 255.0f;
    tensors[0].dtype = DTYPE_F32;
    tensors[0].data = pixels;
    tensors[0].size = sizeof(pixels);
    CHECK_INT(safetensors_write(lab(), "floats.safetensors", tensors, 2, NULL, NULL, NULL, &why), 0);
    safetensors_close(file);
    free(path);
}

static void floats_train_as_bytes_do(void)
{
    static const char *const specs[][2] = {
        { "train", "'kind':'train','train':{'epochs':2}" },
        { "zero", "'kind':'train','train':{'epochs':2,'method':'trades'},'augment_padding':'zero'" },
        { "tune", "'kind':'finetune','model':{'weights':'../theta/artifacts/best.safetensors'},"
                  "'finetune':{'modules':['linear'],'epochs':2}" },
    };
    static const char *const files[] = { "data", "floats" };

    lab_theta();
    floats_make();
    for (size_t s = 0; s < sizeof(specs) / sizeof(specs[0]); s++) {
        json_t *findings[2];

        for (int f = 0; f < 2; f++) {
            char name[48], spec[512];

            snprintf(name, sizeof(name), "%s-of-%s", specs[s][0], files[f]);
            snprintf(spec, sizeof(spec), "{%s,'augment':'standard','dataset':{'path':'../%s.safetensors'}}",
                     specs[s][1], files[f]);
            char *dir = lab_job(name, spec);
            json_decref(lab_result(dir));
            findings[f] = lab_findings(dir);
            free(dir);
        }
        CHECK(json_array_size(findings[0]) > 5);
        if (!json_equal(findings[0], findings[1]))
            CHECK_FAIL("%s: floats train to other numbers than bytes", specs[s][0]);
        json_decref(findings[0]);
        json_decref(findings[1]);
    }
}

/* ---- memory ------------------------------------------------------------------------------------ */

/* Bytes in use at the 5th and the 40th batch loss. */
struct usage {
    int losses;
    size_t early, late;
};

static void usage_watch(const json_t *event, void *user)
{
    struct usage *usage = user;
    struct mallinfo2 now = mallinfo2();

    if (strcmp(lab_word(event, "name"), "batch_loss") != 0)
        return;
    usage->losses++;
    if (usage->losses == 5)
        usage->early = now.uordblks + now.hblkhd;
    if (usage->losses == 40)
        usage->late = now.uordblks + now.hblkhd;
}

static void loop_allocates_nothing(void)
{
    static const char *const files[] = { "data", "floats" };

    floats_make();
    for (int f = 0; f < 2; f++) {
        struct usage usage = { 0 };
        char name[24], more[160];

        snprintf(name, sizeof(name), "loop-%s", files[f]);
        snprintf(more, sizeof(more),
                 ",'attack':{'steps':1},'batch_size':2,'checkpoint_every_s':0,'dataset':{'path':'../%s.safetensors'}",
                 files[f]);
        char *dir = train_job(name, "'method':'awp','awp':{'base':'trades'},'evaluate_every':0", more);
        CHECK_INT(engine_run(dir, NULL, usage_watch, &usage), WORKER_FINISHED);
        CHECK_INT(usage.losses, 40);
        if (usage.late > usage.early + 4096)
            CHECK_FAIL("%s: %zu bytes after 5 steps, %zu after 40", files[f], usage.early, usage.late);
        free(dir);
    }
}

/* Two sets of activations are two workspaces, and they are told beforehand. */
static void pairs_need_more_memory(void)
{
    double bytes[3];
    static const char *const trains[] = { "'method':'pgd-at'", "'method':'trades'",
                                          "'method':'awp','awp':{'base':'trades'}" };

    for (int i = 0; i < 3; i++) {
        char name[32];

        snprintf(name, sizeof(name), "bytes-%d", i);
        char *dir = train_job(name, trains[i], ",'attack':{'steps':1}");
        json_decref(lab_result(dir));
        json_t *started = lab_started(dir);
        bytes[i] = lab_number(started, "memory_bytes");
        json_decref(started);
        free(dir);
    }
    CHECK(bytes[1] > 1.3 * bytes[0]);
    CHECK(bytes[2] > bytes[1]);
}

/* ---- real pictures --------------------------------------------------------------------------------- */

#define FASHION "/usr/share/datasets/fashion-mnist"

/* A few hundred pictures of clothes, a net of width 8, two epochs: better than guessing. */
static void real_pictures(void)
{
    if (access(FASHION "/train-images-idx3-ubyte.gz", R_OK) != 0) {
        printf("        skipped: no " FASHION "\n");
        return;
    }
    for (int m = 1; m < METHOD_COUNT; m++) {
        char name[48], train[128];

        snprintf(name, sizeof(name), "real-%s", methods[m].name);
        snprintf(train, sizeof(train), "%s,'evaluate_every':2", methods[m].train);
        char *dir =
            train_job(name, train,
                      ",'augment':'none','batch_size':12,'attack':{'steps':1,'epsilon':'4/255','step_size':'4/255'},"
                      "'model':{'arch':'resnet18','width':8,'num_classes':10,'input':[1,32,32]},"
                      "'dataset':{'format':'idx','path':'" FASHION "','train_limit':240,'test_limit':200}");
        json_t *result = lab_result(dir);
        double clean = lab_number(result, "clean_accuracy"), robust = lab_number(result, "robust_accuracy");
        printf("        %-14s clean %.3f, robust %.3f\n", methods[m].name, clean, robust);
        if (!(clean > 0.2 && robust > 0.2 && robust <= clean))
            CHECK_FAIL("%s has learnt too little: clean %.3f, robust %.3f of 10 classes", methods[m].name, clean,
                       robust);
        json_decref(result);
        free(dir);
    }
}

static const struct check_case cases[] = {
    { "a job of any method, killed or stopped, goes on to the same bits", killed_anywhere },
    { "where formulas of two methods agree, so do the weights", limits_of_the_formulas },
    { "AWP comes back to theta to the bit", awp_comes_back },
    { "the dead branch of a WideResNet stays as it is, to the bit", dead_branch_stays },
    { "a result says method, base and protocol", results_say_how },
    { "a loss that isn't finite names its step, whatever the method", divergence_names_its_step },
    { "float images are cut as 8-bit ones are and train to the same bits", floats_train_as_bytes_do },
    { "the loop of the largest method allocates nothing", loop_allocates_nothing },
    { "memory of the second set of activations is planned", pairs_need_more_memory },
    { "every method learns from real pictures", real_pictures },
};
LAB_MAIN(cases)
