/* Does a job that is stopped or killed anywhere end as if it hadn't been?
 *
 * Each kind runs once undisturbed. Then it is stopped (SIGTERM's flag) at one
 * event after another, and killed at one after another, and run again until it
 * ends. Findings (metrics, modules, alphas, hashes of weights, result) have to
 * be equal, in order, none twice. */
#include "lab.h"

#include <malloc.h>

/* Jobs that visit every state worth stopping in. A checkpoint after every batch
 * (checkpoint_every_s tiny), so that resuming in the middle of everything is seen. */
static const struct lab_kind {
    const char *name, *spec;
} kinds[] = {
    { "train",
      "{'kind':'train','threads':2,'checkpoint_every_s':0.000001,'train':{'epochs':2},'optimizer':{'lr':0.05}}" },
    { "train-seldom",
      "{'kind':'train','checkpoint_every_s':0,'train':{'epochs':3,'evaluate_every':2,'method':'standard'},"
      " 'attack':{'steps':1,'restarts':2},'optimizer':{'lr':0.05,'schedule':{'type':'cosine'}}}" },
    { "train-awp", "{'kind':'train','checkpoint_every_s':0.000001,'optimizer':{'lr':0.05},'attack':{'steps':1},"
                   " 'train':{'epochs':2,'method':'awp','awp':{'base':'trades','warmup':1}}}" },
    { "mrc", "{'kind':'mrc','checkpoint_every_s':0.000001,'model':{'weights':'../theta/artifacts/best.safetensors'},"
             " 'mrc':{'steps':2,'modules':['conv1','layer2.1.conv2','linear']}}" },
    { "finetune",
      "{'kind':'finetune','checkpoint_every_s':0.000001,'augment':'none',"
      " 'model':{'weights':'../theta/artifacts/best.safetensors'},"
      " 'finetune':{'modules':['layer2.1.conv2','linear'],'epochs':2,'batch_norm':'frozen'},'optimizer':{'lr':0.01}}" },
    { "interpolate", "{'kind':'interpolate','checkpoint_every_s':0.000001,'attack':{'steps':2,'restarts':2},"
                     " 'interpolate':{'from':'../theta/artifacts/best.safetensors',"
                     "                'to':'../finetune/artifacts/best.safetensors','alphas':[0.1,0.3,0.7]}}" },
    { "evaluate", "{'kind':'evaluate','checkpoint_every_s':0.000001,"
                  " 'model':{'weights':'../finetune/artifacts/best.safetensors'},"
                  " 'evaluate':{'attacks':[{'steps':2,'restarts':3}],'baseline':'../theta/artifacts/best.safetensors',"
                  "             'toward':'../finetune/artifacts/best.safetensors','alphas':[0.5]}}" },
    { "autoattack", "{'kind':'evaluate','checkpoint_every_s':0.000001,"
                    " 'model':{'weights':'../theta/artifacts/best.safetensors'},"
                    " 'evaluate':{'attacks':[{'type':'autoattack','epsilon':'2/255','steps':4,'targets':2,'queries':6},"
                    "             {'type':'square','epsilon':'2/255','queries':4,'restarts':2}]}}" },
    { "evaluate-corruptions",
      "{'kind':'evaluate','checkpoint_every_s':0.000001,'attack':null,"
      " 'model':{'weights':'../finetune/artifacts/best.safetensors'},"
      " 'evaluate':{'baseline':'../theta/artifacts/best.safetensors',"
      "             'corruptions':{'path':'../copies/artifacts','names':['fog','contrast'],'severities':[2,5]}}}" },
    { "mrc-sets", "{'kind':'mrc','checkpoint_every_s':0.000001,"
                  " 'model':{'weights':'../theta/artifacts/best.safetensors'},"
                  " 'mrc':{'steps':1,'greedy':2,'joint':[['layer3.1.conv2','conv1'],['linear','conv1']],"
                  "        'modules':['conv1','linear']}}" },
};
enum { KIND_COUNT = sizeof(kinds) / sizeof(kinds[0]) };

static json_t *expected[KIND_COUNT]; /* findings of the undisturbed runs */
static long events[KIND_COUNT];      /* how many events they had */

static int kind_of(const char *name)
{
    int k = 0;

    while (strcmp(kinds[k].name, name) != 0)
        k++;
    return k;
}

static void undisturbed(int k)
{
    if (expected[k])
        return;
    lab_theta();
    if (strstr(kinds[k].spec, "../finetune/"))
        undisturbed(kind_of("finetune"));
    if (strstr(kinds[k].spec, "../copies/"))
        lab_copies();
    char *dir = lab_job(kinds[k].name, kinds[k].spec);
    json_decref(lab_result(dir));
    expected[k] = lab_findings(dir);
    json_t *all = lab_events(dir);
    events[k] = (long)json_array_size(all);
    CHECK(json_array_size(expected[k]) > 3);
    json_decref(all);
    free(dir);
}

/* No metric, module, alpha, evaluation or artifact is said twice. */
static void check_no_doubles(const char *dir, const json_t *findings)
{
    json_t *seen = json_object(), *finding;
    size_t i;

    json_array_foreach((json_t *)findings, i, finding)
    {
        char *text = json_dumps(finding, JSON_SORT_KEYS);

        if (json_object_get(seen, text))
            CHECK_FAIL("%s: said twice: %s", dir, text);
        json_object_set_new(seen, text, json_true());
        free(text);
    }
    json_decref(seen);
}

static void check_log(const char *dir)
{
    struct fault why = { 0 };
    char *path, *text;
    size_t size;

    if (asprintf(&path, "%s/%s", dir, JOBDIR_LOG) < 0)
        exit(1);
    if (file_read(path, 1 << 20, &text, &size, &why) >= 0) {
        char *at = strstr(text, "internal error");

        if (at)
            CHECK_FAIL("%s: %.300s", path, at);
        free(text);
    }
    free(path);
}

/* Disturb kind k at event `at`, `times` times, then let it end and compare. */
static void disturb(int k, const char *how, long at, int times)
{
    char name[64];
    int code = 0;

    snprintf(name, sizeof(name), "%s-%s-%ld", kinds[k].name, how, at);
    char *dir = lab_job(name, kinds[k].spec);
    for (int i = 0; i < times; i++) {
        code = lab_run(dir, how, at);
        if (code == WORKER_FINISHED)
            break; /* so few events were left */
        CHECK_INT(code, strcmp(how, "stop") == 0 ? WORKER_INTERRUPTED : -SIGKILL);
        json_t *last = lab_last(dir);
        if (strcmp(how, "stop") == 0)
            CHECK_STRING(lab_word(last, "type"), "interrupted");
        json_decref(last);
    }
    if (code != WORKER_FINISHED)
        CHECK_INT(lab_run(dir, "run", 0), WORKER_FINISHED);
    json_t *findings = lab_findings(dir);
    if (!json_equal(findings, expected[k]))
        CHECK_FAIL("%s: other findings than undisturbed (%zu and %zu)", dir, json_array_size(findings),
                   json_array_size(expected[k]));
    check_no_doubles(dir, findings);
    check_log(dir);
    json_decref(findings);
    free(dir);
}

/* At evenly spread events of every kind, from `from` on. RIFT_TEST_POINTS=1000
 * visits every single one. */
static void disturb_all(const char *how, int from)
{
    const char *asked = getenv("RIFT_TEST_POINTS");
    long points = asked ? atol(asked) : 3;

    for (int k = 0; k < KIND_COUNT; k++) {
        undisturbed(k);
        long stride = events[k] / points > 0 ? events[k] / points : 1;

        for (long at = from; at < events[k]; at += stride)
            disturb(k, how, at, 1);
    }
}

static void stop_anywhere(void)
{
    disturb_all("stop", 2);
}
static void kill_anywhere(void)
{
    disturb_all("kill", 5);
}
/* Started again and again, each time allowed only a part of the events. */
static void stop_again_and_again(void)
{
    for (int k = 0; k < KIND_COUNT; k++) {
        undisturbed(k);
        disturb(k, "stop", 3 + events[k] / 6, 100);
    }
}

/* ---- checkpoints that can't be used ---------------------------------------------- */

/* A stopped training job with a checkpoint in it. */
static char *stopped_job(const char *name)
{
    char *dir = lab_job(name, kinds[0].spec);

    CHECK_INT(lab_run(dir, "stop", 2), WORKER_INTERRUPTED);
    return dir;
}

static void check_refused(const char *dir, const char *part)
{
    CHECK_INT(lab_run(dir, "run", 0), WORKER_BAD_INPUT);
    json_t *last = lab_last(dir);
    CHECK_STRING(lab_word(last, "type"), "failed");
    CHECK_HOLDS(lab_word(last, "message"), part);
    json_decref(last);
}

static void damage(const char *dir, long keep, const char *how)
{
    char *path, *text;
    size_t size;
    struct fault why = { 0 };
    char folder[4096];

    if (asprintf(&path, "%s/checkpoint/state.safetensors", dir) < 0 ||
        file_read(path, 1 << 26, &text, &size, &why) < 0) {
        CHECK_FAIL("%s", why.message);
        return;
    }
    if (strcmp(how, "cut") == 0)
        size = (size_t)keep;
    else
        text[keep] ^= 0x40;
    snprintf(folder, sizeof(folder), "%s/checkpoint", dir);
    CHECK_INT(file_replace(folder, "state.safetensors", text, size, &why), 0);
    free(text);
    free(path);
}

static void cut_checkpoint(void)
{
    long keeps[] = { 0, 7, 100, 5000 };

    for (int i = 0; i < 4; i++) {
        char name[32];

        snprintf(name, sizeof(name), "cut-%ld", keeps[i]);
        char *dir = stopped_job(name);
        damage(dir, keeps[i], "cut");
        check_refused(dir, "state.safetensors");
        free(dir);
    }
}

static void foreign_checkpoint(void)
{
    char *dir = stopped_job("foreign-a");
    char *other = lab_job("foreign-b", "{'kind':'train','seed':4,'train':{'epochs':2}}");
    char from[4096], to[4096];
    struct fault why = { 0 };
    char *text;
    size_t size;

    snprintf(from, sizeof(from), "%s/checkpoint/state.safetensors", dir);
    snprintf(to, sizeof(to), "%s/checkpoint", other);
    CHECK(file_read(from, 1 << 26, &text, &size, &why) >= 0);
    CHECK_INT(file_replace(to, "state.safetensors", text, size, &why), 0);
    free(text);
    check_refused(other, "another spec");
    free(dir);
    free(other);
}

/* Activations in bf16 are nobody's state: weights and momentum are float32, so the bits are the same again. */
static void killed_in_bf16(void)
{
    static const char spec[] = "{'kind':'train','precision':'bf16','threads':2,'checkpoint_every_s':0.000001,"
                               " 'train':{'epochs':2},'optimizer':{'lr':0.05}}";
    json_t *devices = engine_devices(), *precisions = json_object_get(json_array_get(devices, 0), "precisions");
    bool here = json_array_size(precisions) > 1;

    json_decref(devices);
    if (!here) {
        fprintf(stderr, "skipped: this processor doesn't compute in bf16\n");
        return;
    }
    char *whole = lab_job("bf16-whole", spec), *killed = lab_job("bf16-killed", spec);
    json_decref(lab_result(whole));
    CHECK_INT(lab_run(killed, "kill", 9), -SIGKILL);
    json_decref(lab_result(killed));
    json_t *is = lab_findings(killed), *wanted = lab_findings(whole);
    CHECK(json_array_size(wanted) > 3 && json_equal(is, wanted));
    json_decref(is);
    json_decref(wanted);
    free(whole);
    free(killed);
}

/* The checkpoint says itself what it was computed in: half a job in one format and half in another
 * would be a run that nobody asked for. */
static void other_precision(void)
{
    char *dir = stopped_job("precision");
    char path[4096], words[] = "\"precision\":\"float32\"";
    struct fault why = { 0 };
    char *text, *at;
    size_t size;

    snprintf(path, sizeof(path), "%s/checkpoint/state.safetensors", dir);
    CHECK(file_read(path, 1 << 26, &text, &size, &why) >= 0);
    at = memmem(text, size, words, strlen(words));
    if (at)
        memcpy(at, "\"precision\":\"bf16\"   ", strlen(words)); /* JSON doesn't mind the blanks */
    CHECK(at);
    snprintf(path, sizeof(path), "%s/checkpoint", dir);
    CHECK_INT(file_replace(path, "state.safetensors", text, size, &why), 0);
    free(text);
    check_refused(dir, "was made in bf16 and the spec says float32");
    free(dir);
}

/* In the text of a checkpoint, from `was` to the next `end`; blanks after it keep the rest where it is. */
static void state_rewrite(const char *dir, const char *was, char end, const char *is)
{
    char folder[4096], path[4200], *text, *at, *behind;
    struct fault why = { 0 };
    size_t size;

    snprintf(folder, sizeof(folder), "%s/checkpoint", dir);
    snprintf(path, sizeof(path), "%s/state.safetensors", folder);
    CHECK(file_read(path, 1 << 26, &text, &size, &why) >= 0);
    at = memmem(text, size, was, strlen(was));
    behind = at ? strchr(at + strlen(was), end) : NULL;
    if (behind && behind + 1 - at >= (ptrdiff_t)strlen(is))
        memcpy(memset(at, ' ', (size_t)(behind + 1 - at)), is, strlen(is));
    else
        CHECK_FAIL("%s: there is no %s", path, was);
    CHECK_INT(file_replace(folder, "state.safetensors", text, size, &why), 0);
    free(text);
}

/* Stopped again and again, a step further each time, until a pass of the ascent is done. */
static char *stopped_ascent(void)
{
    char *dir = lab_job("ascent", "{'kind':'mrc','model':{'weights':'../theta/artifacts/best.safetensors'},"
                                  " 'mrc':{'steps':2,'modules':['linear']}}");
    bool judged = false;

    for (int turn = 0; turn < 100 && !judged; turn++) {
        CHECK_INT(lab_run(dir, "stop", 2), WORKER_INTERRUPTED);
        json_t *findings = lab_findings(dir), *finding;
        size_t i;

        json_array_foreach(findings, i, finding) judged |= strcmp(lab_word(finding, "type"), "module") == 0;
        json_decref(findings);
    }
    CHECK(judged);
    return dir;
}

/* A checkpoint that is wrong about its passes costs no memory; that of a riftd which didn't tell losses has none. */
static void other_ascents(void)
{
    lab_theta();
    char *dir = stopped_ascent();
    state_rewrite(dir, "\\\"pass", ':', "\\\"pasz\\\":");
    state_rewrite(dir, "\\\"losses", ']', "\\\"pass\\\":2147483647");
    check_refused(dir, "state of the ascent is damaged");

    state_rewrite(dir, "\\\"pass\\\":214748364", '7', "\\\"lossez\\\":[]");
    state_rewrite(dir, "\\\"pasz", ':', "\\\"pass\\\":");
    json_decref(lab_result(dir));
    json_t *findings = lab_findings(dir), *finding = NULL;
    for (size_t i = 0; i < json_array_size(findings); i++)
        if (strcmp(lab_word(json_array_get(findings, i), "type"), "module") == 0)
            finding = json_array_get(findings, i);
    json_t *losses = json_object_get(finding, "losses");
    CHECK_INT(json_array_size(losses), 2);
    CHECK(json_is_null(json_array_get(losses, 0)));
    CHECK_NEAR(json_number_value(json_array_get(losses, 1)), lab_number(finding, "loss"), 0);
    check_log(dir);
    json_decref(findings);
    free(dir);
}

static void changed_spec(void)
{
    char *dir = stopped_job("changed");
    char *again = lab_job("changed", "{'kind':'train','train':{'epochs':5}}");

    CHECK_INT(lab_run(dir, "run", 0), WORKER_BAD_INPUT);
    free(dir);
    free(again);
}

static void label_may_change(void)
{
    undisturbed(0);
    char *dir = stopped_job("label");
    char *again = lab_job("label", "{'kind':'train','checkpoint_every_s':60,'label':'renamed','priority':3,"
                                   " 'train':{'epochs':2},'optimizer':{'lr':0.05}}");
    CHECK_INT(lab_run(dir, "run", 0), WORKER_FINISHED);
    json_t *findings = lab_findings(dir);
    CHECK(json_equal(findings, expected[0]));
    json_decref(findings);
    free(dir);
    free(again);
}

/* ---- the other ends ------------------------------------------------------------------ */

static void finished_does_nothing(void)
{
    undisturbed(0);
    char *dir = lab_job(kinds[0].name, kinds[0].spec);
    json_t *before = lab_events(dir);
    CHECK_INT(lab_run(dir, "run", 0), WORKER_FINISHED);
    json_t *after = lab_events(dir);
    CHECK(json_equal(before, after));
    json_decref(before);
    json_decref(after);
    free(dir);
}

static void busy_journal(void)
{
    char *dir = lab_job("busy", kinds[0].spec), path[4096];
    struct journal *journal;
    struct fault why = { 0 };

    snprintf(path, sizeof(path), "%s/%s", dir, JOBDIR_JOURNAL);
    CHECK_INT(journal_open(path, &journal, &why), 0);
    CHECK_INT(lab_run(dir, "run", 0), WORKER_INTERRUPTED);
    CHECK_INT(journal_seq(journal), 0);
    journal_close(journal);
    json_t *all = lab_events(dir);
    CHECK_INT(json_array_size(all), 0);
    json_decref(all);
    free(dir);
}

/* Bytes in use when the 20th and the 200th batch loss is said. */
struct usage {
    int losses;
    size_t early, late;
};

static void usage_watch(const json_t *event, void *user)
{
    struct usage *usage = user;

    if (strcmp(lab_word(event, "name"), "batch_loss") != 0)
        return;
    usage->losses++;
    if (usage->losses == 20)
        usage->early = mallinfo2().uordblks;
    if (usage->losses == 200)
        usage->late = mallinfo2().uordblks;
}

static void loop_keeps_nothing(void)
{
    char *dir = lab_job("loop", "{'kind':'train','attack':null,'augment':'none','batch_size':2,'checkpoint_every_s':0,"
                                " 'train':{'method':'standard','epochs':10,'evaluate_every':0}}");
    struct usage usage = { 0 };

    CHECK_INT(engine_run(dir, NULL, usage_watch, &usage), WORKER_FINISHED);
    CHECK_INT(usage.losses, 200);
    if (usage.late > usage.early + 4096) /* 180 losses kept would be some 100 kB */
        CHECK_FAIL("%zu bytes after 20 steps, %zu after 200", usage.early, usage.late);
    free(dir);
}

static void same_seed_same_bits(void)
{
    undisturbed(0);
    char *dir = lab_job("again", kinds[0].spec);
    json_decref(lab_result(dir));
    json_t *findings = lab_findings(dir);
    CHECK(json_equal(findings, expected[0]));
    json_decref(findings);
    free(dir);
    dir = lab_job("other-seed", "{'kind':'train','seed':4,'train':{'epochs':2},'optimizer':{'lr':0.05}}");
    json_decref(lab_result(dir));
    findings = lab_findings(dir);
    CHECK(!json_equal(findings, expected[0]));
    json_decref(findings);
    free(dir);
    for (int k = 0; k < KIND_COUNT; k++)
        json_decref(expected[k]);
}

static const struct check_case cases[] = {
    { "a job stopped at any event goes on to the same end", stop_anywhere },
    { "a job killed at any event goes on to the same end", kill_anywhere },
    { "a job stopped again and again still comes to the same end", stop_again_and_again },
    { "a cut checkpoint is refused by name, never ignored", cut_checkpoint },
    { "a checkpoint of another spec is refused", foreign_checkpoint },
    { "a bf16 job that was killed ends with the bits of one that wasn't", killed_in_bf16 },
    { "a checkpoint made in another number format is refused", other_precision },
    { "an ascent goes on from a checkpoint without losses, and not from a wild one", other_ascents },
    { "a changed spec in a used directory is refused", changed_spec },
    { "label, priority and checkpoint interval may change before going on", label_may_change },
    { "a finished job does nothing", finished_does_nothing },
    { "a job that another worker runs is left alone", busy_journal },
    { "the training loop's memory doesn't grow with its steps", loop_keeps_nothing },
    { "the same seed gives the same bits, another seed doesn't", same_seed_same_bits },
};
LAB_MAIN(cases)
