/* Do bad specs, bad data and bad luck end in words and the right code? */
#include "lab.h"

#include <sys/resource.h>

static void check_failure(const char *name, const char *spec, int exit, const char *code, const char *part)
{
    char *dir = lab_job(name, spec);
    int is = lab_run(dir, "run", 0);
    json_t *last = lab_last(dir);

    if (is != exit)
        CHECK_FAIL("%s: exit code %d, expected %d", name, is, exit);
    CHECK_STRING(lab_word(last, "type"), "failed");
    CHECK_STRING(lab_word(last, "code"), code);
    CHECK_HOLDS(lab_word(last, "message"), part);
    json_decref(last);
    free(dir);
}

static void bad_specs(void)
{
    static const struct {
        const char *spec, *part;
    } rows[] = {
        { "{'kind':'train','batch_size':0}", "/batch_size" },
        { "{'kind':'nonsense'}", "/kind" },
        { "{'kind':'train','epochz':3}", "epochz" },
        { "{'kind':'mrc','model':{'weights':'../theta/artifacts/"
          "best.safetensors'},'mrc':{'modules':['layer9.0.conv1']}}",
          "layer9.0.conv1" },
        { "{'kind':'finetune','model':{'weights':'../theta/artifacts/"
          "best.safetensors'},'finetune':{'modules':['bn1']}}",
          "bn1" },
        { "{'kind':'mrc','model':{'weights':{'job':'0b0e7f5e-2f0a-4a6e-9d53-0a2f4f3c6f11'}}}", "over HTTP" },
        { "{'kind':'train','model':{'input':[3,30,30]}}", "input" },
        { "{'kind':'train','dataset':{'name':'cifar10','format':null,'path':null}}",
          "\"cifar10\", are known to riftd only" },
    };

    lab_theta();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char name[32];

        snprintf(name, sizeof(name), "spec-%zu", i);
        check_failure(name, rows[i].spec, WORKER_BAD_INPUT, "bad_spec", rows[i].part);
    }
}

static void bad_data(void)
{
    lab_theta();
    check_failure("no-data", "{'kind':'train','dataset':{'path':'nowhere.safetensors'}}", WORKER_BAD_INPUT, "bad_data",
                  "nowhere.safetensors");
    check_failure("no-weights", "{'kind':'mrc','model':{'weights':'nowhere.safetensors'}}", WORKER_BAD_INPUT,
                  "bad_data", "nowhere.safetensors");
    check_failure("wrong-weights", "{'kind':'mrc','model':{'width':8,'weights':'../theta/artifacts/best.safetensors'}}",
                  WORKER_BAD_INPUT, "bad_data", "shape");
    check_failure("no-mrc",
                  "{'kind':'finetune','model':{'weights':'../theta/artifacts/best.safetensors'},"
                  " 'finetune':{'modules':'lowest','mrc_job':'../theta'}}",
                  WORKER_BAD_INPUT, "bad_data", "mrc_job");
    check_failure("classes", "{'kind':'train','model':{'num_classes':3}}", WORKER_BAD_INPUT, "bad_data", "label");
}

static void no_json(void)
{
    char *dir = lab_job("no-json", "{'kind':'train'}");
    struct fault why = { 0 };

    CHECK_INT(file_replace(dir, JOBDIR_SPEC, "{\"kind\":", 8, &why), 0);
    CHECK_INT(lab_run(dir, "run", 0), WORKER_BAD_INPUT);
    json_t *last = lab_last(dir);
    CHECK_STRING(lab_word(last, "code"), "bad_spec");
    CHECK_HOLDS(lab_word(last, "message"), JOBDIR_SPEC ": isn't JSON");
    json_decref(last);
    free(dir);
    CHECK_INT(engine_run("/nonexistent/job", NULL, NULL, NULL), WORKER_BAD_INPUT);
}

static void not_finite(void)
{
    check_failure(
        "diverge",
        "{'kind':'train','attack':null,'train':{'method':'standard','epochs':9,'evaluate_every':0},'augment':'none',"
        " 'optimizer':{'lr':1000,'weight_decay':1,'momentum':0.99,'schedule':{'type':'constant'}}}",
        WORKER_BAD_INPUT, "not_finite", "epoch");
}

static void unknown_device(void)
{
    check_failure("device", "{'kind':'train','device':'cuda:7'}", WORKER_DEVICE_LOST, "device_lost", "cuda:7");
}

static bool limits_work(void)
{
#ifdef RIFT_SANITIZED
    printf("skipped: a sanitizer's own memory doesn't fit a limit\n");
    return false;
#else
    return true;
#endif
}

/* lab_run, allowed only so much memory, so that it is the same on every machine. */
static int run_with_little(const char *dir, const char *how, size_t bytes)
{
    struct rlimit before, little;

    CHECK_INT(getrlimit(RLIMIT_DATA, &before), 0);
    little = before;
    little.rlim_cur = bytes;
    CHECK_INT(setrlimit(RLIMIT_DATA, &little), 0);
    int code = lab_run(dir, how, 0);
    CHECK_INT(setrlimit(RLIMIT_DATA, &before), 0);
    return code;
}

static void too_large(void)
{
    if (!limits_work())
        return;
    char *dir = lab_job("large", "{'kind':'train','train':{'epochs':1},'model':{'width':64}}");
    int code = run_with_little(dir, "run", 160 << 20);
    json_t *last = lab_last(dir), *all = lab_events(dir);

    CHECK_INT(code, WORKER_INTERNAL);
    CHECK_STRING(lab_word(last, "code"), "out_of_memory");
    CHECK_HOLDS(lab_word(last, "message"), "bytes");
    CHECK_INT(json_array_size(all), 1); /* before anything was begun */
    json_decref(last);
    json_decref(all);
    free(dir);
}

/* Jobs that store activations (the model is large enough for tens of MB of them), in the least
 * memory in which a check passes; a check has no journal, otherwise it takes what the job takes.
 * Where there is little memory less is stored, and no number changes. */
static void checked_means_it_fits(void)
{
    if (!limits_work())
        return;
    static const char *const specs[] = {
        "{'kind':'mrc','attack':null,'model':{'width':32,'weights':'../wide/artifacts/best.safetensors'},"
        " 'mrc':{'steps':1,'modules':['layer1.0.conv2','layer1.1.conv2','linear']}}",
        "{'kind':'finetune','attack':null,'augment':'none','model':{'width':32,"
        " 'weights':'../wide/artifacts/best.safetensors'},"
        " 'finetune':{'modules':['layer1.1.conv2'],'epochs':1,'batch_norm':'frozen'}}",
        "{'kind':'interpolate','attack':null,'model':{'width':32},'interpolate':{'alphas':[0,0.5],"
        " 'from':'../wide/artifacts/best.safetensors','to':'../fits-1/artifacts/last.safetensors'}}",
    };
    const size_t most = (size_t)1 << 30, step = 1 << 20, journal = 4 << 20;

    char *wide = lab_job("wide", "{'kind':'train','attack':null,'augment':'none','model':{'width':32},"
                                 " 'train':{'method':'standard','epochs':1,'evaluate_every':0}}");
    json_decref(lab_result(wide));
    free(wide);
    for (int k = 0; k < 3; k++) {
        char name[2][32];
        size_t fails = 0, passes = most;

        snprintf(name[0], sizeof(name[0]), "fits-%d", k);
        snprintf(name[1], sizeof(name[1]), "fits-%d-tight", k);
        char *dir = lab_job(name[0], specs[k]), *tight = lab_job(name[1], specs[k]);
        json_t *result = lab_result(dir);
        while (passes - fails > step) {
            size_t bytes = (fails + passes) / 2;

            int code = run_with_little(tight, "check", bytes);

            CHECK(code == WORKER_FINISHED || code == WORKER_INTERNAL);
            *(code == WORKER_FINISHED ? &passes : &fails) = bytes;
        }
        CHECK(fails > 0 && passes < most);
        CHECK_INT(run_with_little(tight, "run", passes + journal), WORKER_FINISHED);
        json_t *last = lab_last(tight), *begun = lab_started(tight), *freely = lab_started(dir);
        CHECK(lab_number(begun, "memory_bytes") < lab_number(freely, "memory_bytes") - (1 << 20));
        json_decref(begun);
        json_decref(freely);
        if (!json_equal(json_object_get(last, "result"), result))
            CHECK_FAIL("%s: another result than with much memory", tight);
        json_decref(last);
        json_decref(result);
        free(dir);
        free(tight);
    }
}

static void check_runs_nothing(void)
{
    struct fault why = { 0 };
    lab_theta();
    char *good = lab_job("check-good", "{'kind':'mrc','model':{'weights':'../theta/artifacts/best.safetensors'}}");
    char *bad = lab_job("check-bad", "{'kind':'mrc','model':{'weights':'nowhere.safetensors'}}");
    char *whole = lab_job("check-whole", "{'kind':'rift','model':{'weights':'../theta/artifacts/best.safetensors'}}");
    char *wrong = lab_job("check-wrong", "{'kind':'rift','model':{'weights':'nowhere.safetensors'}}");
    char path[4096];
    struct stat st;

    CHECK_INT(engine_check(whole, &why), WORKER_FINISHED);
    CHECK_INT(engine_check(wrong, &why), WORKER_BAD_INPUT);
    CHECK_HOLDS(why.message, "nowhere.safetensors");
    snprintf(path, sizeof(path), "%s/steps", whole);
    CHECK(stat(path, &st) < 0);
    free(whole);
    free(wrong);
    CHECK_INT(engine_check(good, &why), WORKER_FINISHED);
    CHECK_INT(engine_check(bad, &why), WORKER_BAD_INPUT);
    CHECK_HOLDS(why.message, "nowhere.safetensors");
    snprintf(path, sizeof(path), "%s/%s", good, JOBDIR_JOURNAL);
    CHECK(stat(path, &st) < 0);
    free(good);
    free(bad);
}

/* Files that a killed worker was writing. */
static const char *const leftovers[] = { JOBDIR_ARTIFACTS "/.best.safetensors.tmp-4711",
                                         JOBDIR_CHECKPOINT "/.checkpoint.safetensors.tmp-12" };

static void leftovers_make(const char *dir)
{
    for (int i = 0; i < 2; i++) {
        char path[512];

        snprintf(path, sizeof(path), "%s/%s", dir, leftovers[i]);
        int fd = open(path, O_WRONLY | O_CREAT, 0600);
        CHECK(fd >= 0);
        close(fd);
    }
}

static void leftovers_check(const char *dir, bool there)
{
    for (int i = 0; i < 2; i++) {
        char path[512];

        snprintf(path, sizeof(path), "%s/%s", dir, leftovers[i]);
        if ((access(path, F_OK) == 0) != there)
            CHECK_FAIL("%s is %s", path, there ? "gone" : "there");
    }
}

/* A worker that is killed leaves what it was writing; the next one clears it away, but not while
 * the job is another one's. */
static void leftovers_are_cleared(void)
{
    char *dir = lab_job("left", "{'kind':'train','attack':null,'train':{'method':'standard','epochs':1,"
                                "'evaluate_every':0}}"),
         *path;
    struct journal *journal;
    struct fault why = { 0 };

    leftovers_make(dir);
    if (asprintf(&path, "%s/%s", dir, JOBDIR_JOURNAL) < 0)
        exit(1);
    CHECK_INT(journal_open(path, &journal, &why), 0);
    CHECK_INT(lab_run(dir, "run", 0), WORKER_INTERRUPTED);
    leftovers_check(dir, true);
    journal_close(journal);
    json_decref(lab_result(dir));
    leftovers_check(dir, false);
    free(path);
    free(dir);
}

static void devices_listed(void)
{
    json_t *devices = engine_devices(), *device;
    bool cpu = false;
    size_t i;

    json_array_foreach(devices, i, device) cpu = cpu || strcmp(lab_word(device, "id"), "cpu") == 0;
    CHECK(cpu);
    json_decref(devices);
}

static const struct check_case cases[] = {
    { "a bad spec fails with 65 and names the field", bad_specs },
    { "bad data fail with 65 and name the file", bad_data },
    { "a spec that is no JSON is an event too", no_json },
    { "a loss that isn't finite fails and names epoch and step", not_finite },
    { "a device that isn't there is never replaced by another", unknown_device },
    { "a job that doesn't fit fails before it begins, with the bytes", too_large },
    { "a job that has been checked fits, with less stored where memory is scarce", checked_means_it_fits },
    { "a check reads and plans everything and runs nothing", check_runs_nothing },
    { "what a killed worker has left half written is cleared away", leftovers_are_cleared },
    { "the CPU is listed among the devices", devices_listed },
};
LAB_MAIN(cases)
