/* Does every kind of job work with every architecture?
 *
 * Small networks of each family go through the whole method, killed on the way
 * and not; the wide ResNet's sub_block1 is followed through all of it. */
#include "lab.h"

#define WIDE   "'model':{'arch':'wideresnet','depth':10,'widen_factor':1,'num_classes':4%s}"
#define PREACT "'model':{'arch':'preactresnet18','width':4,'num_classes':4%s}"

static const struct {
    const char *name, *model;
} nets[] = { { "wide", WIDE }, { "preact", PREACT } };
enum { NETS = 2 };

/* A job of that network; `rest` begins with a comma; `weights` is a path, or NULL. */
static char *net_job(const char *name, int net, const char *kind, const char *weights, const char *rest)
{
    char from[256] = "", model[512], spec[2048];

    if (weights)
        snprintf(from, sizeof(from), ",'weights':'%s'", weights);
    snprintf(model, sizeof(model), net ? PREACT : WIDE, from);
    snprintf(spec, sizeof(spec), "{'kind':'%s',%s%s}", kind, model, rest);
    return lab_job(name, spec);
}

static struct safetensors *file_of(const char *dir, const char *name)
{
    struct safetensors *file = NULL;
    struct fault why = { 0 };
    char path[4096];

    snprintf(path, sizeof(path), "%s/artifacts/%s", dir, name);
    if (safetensors_open(path, &file, &why) < 0) {
        CHECK_FAIL("%s", why.message);
        exit(1);
    }
    return file;
}

static bool is_dead(const char *name)
{
    return strncmp(name, "sub_block1.", 11) == 0;
}

/* Dead tensors of the two are the same bits; other parameters have moved. */
static void check_dead(const char *what, struct safetensors *was_file, struct safetensors *is_file)
{
    int dead = 0;

    for (int i = 0; i < safetensors_count(was_file); i++) {
        const struct safetensor *was = safetensors_at(was_file, i), *is = safetensors_find(is_file, was->name);
        bool same = is && is->size == was->size && memcmp(is->data, was->data, is->size) == 0;

        dead += is_dead(was->name);
        if (is_dead(was->name) && !same)
            CHECK_FAIL("%s: %s has moved", what, was->name);
        if (!is_dead(was->name) && same && strstr(was->name, "conv"))
            CHECK_FAIL("%s: %s has not moved", what, was->name);
    }
    CHECK(dead > 0);
}

/* ---- the whole method --------------------------------------------------------------- */

#define WHOLE                                                                                                          \
    ",'protocol':'validation','dataset':{'validation':0.3},'train':{'epochs':2},'optimizer':{'lr':0.05},"              \
    "'mrc':{'steps':1},'finetune':{'epochs':2},'interpolate':{'alphas':[0,0.5,1]},'checkpoint_every_s':0.000001"

/* What all steps of a rift job found, new reference. */
static json_t *whole_findings(const char *dir)
{
    static const char *const steps[] = { "0-train", "1-mrc", "2-finetune", "3-interpolate", "4-evaluate" };
    json_t *all = json_array();

    for (int i = 0; i < 5; i++) {
        char step[4096];

        snprintf(step, sizeof(step), "%s/steps/%s", dir, steps[i]);
        json_t *findings = lab_findings(step);
        json_array_extend(all, findings);
        json_decref(findings);
    }
    return all;
}

static size_t modules_among(const json_t *findings)
{
    size_t found = 0, i;
    json_t *finding;

    json_array_foreach((json_t *)findings, i, finding) found += strcmp(lab_word(finding, "type"), "module") == 0;
    return found;
}

/* Ended, after being disturbed `how` at event `at` of each start until nothing is left to disturb. */
static json_t *whole_run(int net, const char *how, long at)
{
    char name[64];
    int code = WORKER_INTERRUPTED;

    snprintf(name, sizeof(name), "whole-%s-%s", nets[net].name, how);
    char *dir = net_job(name, net, "rift", NULL, WHOLE);
    while (at && code != WORKER_FINISHED) {
        code = lab_run(dir, how, at);
        if (code != WORKER_FINISHED)
            CHECK_INT(code, strcmp(how, "stop") == 0 ? WORKER_INTERRUPTED : -SIGKILL);
        at += 10; /* later each time, so that it ends */
    }
    json_t *result = lab_result(dir), *findings = whole_findings(dir);
    CHECK(isfinite(lab_number(json_object_get(result, "before"), "robust_accuracy")));
    CHECK(isfinite(lab_number(json_object_get(result, "after"), "clean_accuracy")));
    json_decref(result);
    free(dir);
    return findings;
}

static void whole_method(void)
{
    static const size_t modules[NETS] = { 10, 21 }; /* a block that isn't widened has no shortcut */

    for (int net = 0; net < NETS; net++) {
        json_t *want = whole_run(net, "run", 0), *stopped = whole_run(net, "stop", 23),
               *killed = whole_run(net, "kill", 37);

        CHECK_INT(modules_among(want), modules[net]); /* one pass, one event each */
        if (!json_equal(want, stopped))
            CHECK_FAIL("%s: stopped, other findings than undisturbed", nets[net].name);
        if (!json_equal(want, killed))
            CHECK_FAIL("%s: killed, other findings than undisturbed", nets[net].name);
        json_decref(want);
        json_decref(stopped);
        json_decref(killed);
    }
}

/* ---- the wide ResNet's sub_block1 ------------------------------------------------------ */

/* A run that stays where it starts shows the first weights of a seed; training by any method with
 * that seed, decay and all, leaves its dead tensors there. */
static void dead_weights_are_never_trained(void)
{
    static const char *const methods[] = { "standard", "pgd-at", "trades", "mart", "awp", "score" };
    char *start = net_job("dead-start", 0, "train", NULL,
                          ",'train':{'method':'standard','epochs':1,'evaluate_every':0},'optimizer':{'lr':0}");

    json_decref(lab_result(start));
    struct safetensors *first = file_of(start, "last.safetensors");
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        char name[64], rest[256];

        snprintf(name, sizeof(name), "dead-%s", methods[i]);
        snprintf(rest, sizeof(rest),
                 ",'train':{'method':'%s','epochs':1,'evaluate_every':0},"
                 "'optimizer':{'lr':0.05,'weight_decay':0.1},'attack':{'steps':1}",
                 methods[i]);
        char *dir = net_job(name, 0, "train", NULL, rest);
        json_decref(lab_result(dir));
        struct safetensors *last = file_of(dir, "last.safetensors");
        check_dead(methods[i], first, last);
        safetensors_close(last);
        free(dir);
    }
    safetensors_close(first);
    free(start);
}

/* Two ends whose dead tensors differ, as of two seeds: every point has those of `from`. */
static void dead_weights_are_never_interpolated(void)
{
    static const char train[] = ",'seed':%d,'train':{'method':'standard','epochs':1,'evaluate_every':0}";
    char *ends[2];

    for (int i = 0; i < 2; i++) {
        char name[64], rest[256];

        snprintf(name, sizeof(name), "end-%d", i);
        snprintf(rest, sizeof(rest), train, i);
        ends[i] = net_job(name, 0, "train", NULL, rest);
        json_decref(lab_result(ends[i]));
    }
    char *dir = net_job("walk", 0, "interpolate", NULL,
                        ",'attack':null,'interpolate':{'from':'../end-0/artifacts/last.safetensors',"
                        "'to':'../end-1/artifacts/last.safetensors','alphas':[0.5],'tolerance':1}");
    json_decref(lab_result(dir));
    struct safetensors *from = file_of(ends[0], "last.safetensors"), *to = file_of(ends[1], "last.safetensors"),
                       *chosen = file_of(dir, "interpolated.safetensors");
    int dead = 0;
    for (int i = 0; i < safetensors_count(from); i++) {
        const struct safetensor *was = safetensors_at(from, i), *is = safetensors_find(chosen, was->name),
                                *other = safetensors_find(to, was->name);

        if (!is_dead(was->name) || !strstr(was->name, "conv"))
            continue;
        dead++;
        CHECK(is && memcmp(is->data, was->data, was->size) == 0);
        CHECK(other && memcmp(other->data, was->data, was->size) != 0);
    }
    CHECK_INT(dead, 2); /* block1 of depth 10 not widened: one block, two convolutions */
    safetensors_close(from);
    safetensors_close(to);
    safetensors_close(chosen);
    free(ends[0]);
    free(ends[1]);
    free(dir);
}

/* ---- one kind after another ------------------------------------------------------------- */

static void finetuned_frozen_and_measured(int net, const char *const modules[2])
{
    char name[64], theta[128], rest[512];

    snprintf(name, sizeof(name), "kinds-%s", nets[net].name);
    snprintf(theta, sizeof(theta), "../%s/artifacts/best.safetensors", name);
    char *dir = net_job(name, net, "train", NULL, ",'train':{'epochs':1},'attack':{'steps':1}");
    json_decref(lab_result(dir));
    free(dir);

    snprintf(name, sizeof(name), "sets-%s", nets[net].name);
    snprintf(rest, sizeof(rest), ",'mrc':{'steps':2,'modules':['%s','%s'],'joint':[['%s','%s']]}", modules[0],
             modules[1], modules[0], modules[1]);
    dir = net_job(name, net, "mrc", theta, rest);
    json_t *result = lab_result(dir), *row;
    size_t i;
    CHECK_INT(json_array_size(json_object_get(result, "modules")), 2);
    json_array_foreach(json_object_get(result, "modules"), i, row) CHECK(lab_number(row, "mrc") >= 0);
    json_decref(result);
    free(dir);

    for (int frozen = 0; frozen < 2; frozen++) {
        snprintf(name, sizeof(name), "tune-%s-%d", nets[net].name, frozen);
        snprintf(rest, sizeof(rest), ",'augment':'none','finetune':{'modules':['%s'],'epochs':2,'batch_norm':'%s'}",
                 modules[1], frozen ? "frozen" : "train");
        dir = net_job(name, net, "finetune", theta, rest);
        result = lab_result(dir);
        CHECK(isfinite(lab_number(result, "train_loss")));
        json_decref(result);
        free(dir);
    }
    snprintf(name, sizeof(name), "measure-%s", nets[net].name);
    dir = net_job(name, net, "evaluate", theta,
                  ",'evaluate':{'attacks':[{'steps':2,'restarts':2},{'type':'autoattack','steps':2,'queries':2}]}");
    result = lab_result(dir);
    CHECK_INT(json_array_size(json_object_get(result, "attacks")), 2);
    json_decref(result);
    free(dir);
}

static void every_kind(void)
{
    static const char *const wide[2] = { "block2.layer.0.convShortcut", "block3.layer.0.conv1" };
    static const char *const preact[2] = { "layer2.0.shortcut.0", "layer3.1.conv1" };

    finetuned_frozen_and_measured(0, wide);
    finetuned_frozen_and_measured(1, preact);
}

static const struct check_case cases[] = {
    { "MRC of sets, both fine-tunings and attacks work on them", every_kind },
    { "no way of training moves a weight that is never used", dead_weights_are_never_trained },
    { "a weight that is never used doesn't walk between two ends", dead_weights_are_never_interpolated },
    { "wide and pre-activation networks go through the whole method, interrupted or not", whole_method },
};
LAB_MAIN(cases)
