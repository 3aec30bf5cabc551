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

/* With little memory allowed, so that the test is the same on every machine. */
static void too_large(void)
{
#ifdef RIFT_SANITIZED
    printf("skipped: a sanitizer's own memory doesn't fit a limit\n");
#else
    struct rlimit before, little = { 160 << 20, 0 };
    char *dir = lab_job("large", "{'kind':'train','train':{'epochs':1},'model':{'width':64}}");

    CHECK_INT(getrlimit(RLIMIT_DATA, &before), 0);
    little.rlim_max = before.rlim_max;
    CHECK_INT(setrlimit(RLIMIT_DATA, &little), 0);
    int code = lab_run(dir, "run", 0);
    CHECK_INT(setrlimit(RLIMIT_DATA, &before), 0);
    json_t *last = lab_last(dir), *all = lab_events(dir);

    CHECK_INT(code, WORKER_INTERNAL);
    CHECK_STRING(lab_word(last, "code"), "out_of_memory");
    CHECK_HOLDS(lab_word(last, "message"), "bytes");
    CHECK_INT(json_array_size(all), 1); /* before anything was begun */
    json_decref(last);
    json_decref(all);
    free(dir);
#endif
}

static void check_runs_nothing(void)
{
    struct fault why = { 0 };
    lab_theta();
    char *good = lab_job("check-good", "{'kind':'mrc','model':{'weights':'../theta/artifacts/best.safetensors'}}");
    char *bad = lab_job("check-bad", "{'kind':'mrc','model':{'weights':'nowhere.safetensors'}}");
    char path[4096];
    struct stat st;

    CHECK_INT(engine_check(good, &why), WORKER_FINISHED);
    CHECK_INT(engine_check(bad, &why), WORKER_BAD_INPUT);
    CHECK_HOLDS(why.message, "nowhere.safetensors");
    snprintf(path, sizeof(path), "%s/%s", good, JOBDIR_JOURNAL);
    CHECK(stat(path, &st) < 0);
    free(good);
    free(bad);
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
    { "a check reads and plans everything and runs nothing", check_runs_nothing },
    { "the CPU is listed among the devices", devices_listed },
};
LAB_MAIN(cases)
