/* Does a sweep run without a daemon, with what it shares, through failures and interruptions? */
#include "tests/rift/lab.h"

#define SMALL                                                                                                          \
    "'protocol':'validation','dataset':{'validation':0.3},'train':{'epochs':1},'attack':{'steps':1},'mrc':{'steps':1}" \
    ","                                                                                                                \
    "'finetune':{'epochs':1},'interpolate':{'alphas':[0,1]}"

static bool there(const char *dir, const char *name)
{
    char path[4096];
    struct stat st;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return stat(path, &st) == 0;
}

static json_t *rows_of(const json_t *table)
{
    return json_object_get(table, "rows");
}

/* Interrupted again and again, or in one go: the same table. */
static void shared_and_resumed(void)
{
    static const char spec[] = "{'kind':'sweep'," SMALL ",'sweep':{'seeds':[1,2],'modules':['lowest','linear']}}";
    char *dir = lab_job("sweep", spec), *whole = lab_job("sweep-whole", spec);
    json_auto_t *table = lab_result(whole);

    CHECK_INT(lab_run(dir, "kill", 30), -SIGKILL);
    for (long event = 25; event < 100; event += 25)
        CHECK_INT(lab_run(dir, "stop", event), WORKER_INTERRUPTED);
    json_auto_t *again = lab_result(dir);
    CHECK(json_equal(table, again));
    CHECK_INT(json_array_size(rows_of(table)), 2);
    CHECK_INT(json_integer_value(json_object_get(json_array_get(rows_of(table), 1), "n")), 2);
    CHECK_STRING(lab_word(table, "protocol"), "validation");
    CHECK(there(dir, "runs/00-pgd-at-seed1-lowest/steps/0-train/artifacts/best.safetensors"));
    CHECK(!there(dir, "runs/01-pgd-at-seed1-linear/steps/0-train")); /* trained and measured by 00 */
    CHECK(!there(dir, "runs/01-pgd-at-seed1-linear/steps/1-mrc"));
    CHECK(there(dir, "runs/01-pgd-at-seed1-linear/steps/4-evaluate"));
    CHECK(there(dir, "artifacts/table.json") && there(dir, "artifacts/table.csv") && there(dir, "artifacts/table.md") &&
          there(dir, "artifacts/table.tex"));

    /* What is shared is what would have been made: before RiFT both rows are the same. */
    json_t *rows = rows_of(table);
    CHECK(json_equal(json_object_get(json_array_get(rows, 0), "before"),
                     json_object_get(json_array_get(rows, 1), "before")));
    json_auto_t *events = lab_events(dir);
    CHECK_INT(lab_run(dir, "run", 0), WORKER_FINISHED); /* nothing is left to do */
    json_auto_t *after = lab_events(dir);
    CHECK(json_equal(events, after));
    free(dir);
    free(whole);
}

static void failure_stops_nobody(void)
{
    char *dir = lab_job("sweep-fails", "{'kind':'sweep'," SMALL ",'finetune':{'epochs':1,'optimizer':{'lr':1000}},"
                                       "'sweep':{'seeds':[1],'modules':['all','linear']}}");
    CHECK(lab_run(dir, "run", 0) == WORKER_BAD_INPUT);
    json_auto_t *last = lab_last(dir);
    CHECK_STRING(lab_word(last, "type"), "failed");
    CHECK_HOLDS(lab_word(last, "message"), "runs failed, first 00-pgd-at-seed1-all");
    CHECK(there(dir, "runs/01-pgd-at-seed1-linear/steps/2-finetune")); /* it was tried */
    char path[4096], *text = NULL;
    struct fault why = { 0 };
    snprintf(path, sizeof(path), "%s/artifacts/table.md", dir);
    CHECK_INT(file_read(path, 1 << 16, &text, NULL, &why), 0);
    CHECK_HOLDS(text, "missing: PGD-AT, seed 1, all: failed (job 00-pgd-at-seed1-all)");
    free(text);
    free(dir);
}

/* Before anything is trained. */
static void wrong_names(void)
{
    static const struct {
        const char *name, *spec, *words;
    } rows[] = {
        { "names-tune", "{'kind':'rift'," SMALL ",'finetune':{'modules':['layer1.0.conv3']}}",
          "has no module \"layer1.0.conv3\"; did you mean \"layer1.0.conv1\"?" },
        { "names-mrc", "{'kind':'rift'," SMALL ",'mrc':{'modules':['liner']}}", "did you mean \"linear\"?" },
        { "names-joint", "{'kind':'rift'," SMALL ",'mrc':{'joint':[['conv1','lnear']]}}", "did you mean \"linear\"?" },
        { "names-sweep", "{'kind':'sweep'," SMALL ",'sweep':{'modules':['lowset']}}",
          "finetune.modules, sweep.modules or mrc.modules: resnet18 has no module \"lowset\"; did you mean "
          "\"lowest\"?" },
        { "names-text", "{'kind':'rift'," SMALL ",'finetune':{'modules':{'containing':'layer7'}}}",
          "no parameter of resnet18 has \"layer7\" in its name" },
        { "names-sweep-text", "{'kind':'sweep'," SMALL ",'sweep':{'modules':['lowest',{'containing':'layer7'}]}}",
          "no parameter of resnet18 has \"layer7\" in its name" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *dir = lab_job(rows[i].name, rows[i].spec);
        struct fault why = { 0 };

        CHECK_INT(engine_check(dir, &why), WORKER_BAD_INPUT); /* a check finds it, */
        CHECK_HOLDS(why.message, rows[i].words);
        CHECK_INT(lab_run(dir, "run", 0), WORKER_BAD_INPUT); /* and so does the first step */
        json_auto_t *last = lab_last(dir);
        CHECK_HOLDS(lab_word(last, "message"), rows[i].words);
        CHECK(!there(dir, "steps/0-train/artifacts/last.safetensors"));
        free(dir);
    }
}

static const struct check_case cases[] = {
    { "a sweep goes on where it was, and module choices share what they begin with", shared_and_resumed },
    { "a run that fails stops no other, and the table says that it is missing", failure_stops_nobody },
    { "a module that isn't there is told with the nearest one before anything is trained", wrong_names },
};
LAB_MAIN(cases)
