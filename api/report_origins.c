/* What was run, where and when?
 *
 * The head of a report: the words that a reader needs before any number, and the
 * steps of a rift job (or the runs of a sweep) with what became of each. */
#include "api/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void fact(json_t *section, const char *name, json_t *value)
{
    if (json_is_null(value)) { /* there is nothing to say */
        json_decref(value);
        return;
    }
    section_row(section, json_pack("[s, o]", name, value), false);
}

static const char *word_at(const json_t *spec, const char *pointer)
{
    const char *word = json_string_value(report_at(spec, pointer));

    return word ? word : "?";
}

static long long count_at(const json_t *spec, const char *pointer)
{
    return json_integer_value(report_at(spec, pointer));
}

/* "resnet18, 16 channels at first, 10 classes, input 1 x 32 x 32"; null for jobs without a model. */
static json_t *model_words(const json_t *spec)
{
    const char *arch = json_string_value(report_at(spec, "/model/arch"));
    const json_t *input = report_at(spec, "/model/input");
    long long side[3] = { 0 };

    if (!arch)
        return json_null();
    for (size_t i = 0; i < 3; i++)
        side[i] = json_integer_value(json_array_get(input, i));
    if (!strcmp(arch, "wideresnet"))
        return json_sprintf("%s-%lld-%lld, %lld classes, input %lld×%lld×%lld", arch, count_at(spec, "/model/depth"),
                            count_at(spec, "/model/widen_factor"), count_at(spec, "/model/num_classes"), side[0],
                            side[1], side[2]);
    return json_sprintf("%s, width %lld, %lld classes, input %lld×%lld×%lld", arch, count_at(spec, "/model/width"),
                        count_at(spec, "/model/num_classes"), side[0], side[1], side[2]);
}

/* "cifar10 at /data/cifar, 1500 training images, 500 test images" */
static json_t *data_words(const json_t *spec)
{
    const char *name = json_string_value(report_at(spec, "/dataset/name"));
    const char *path = json_string_value(report_at(spec, "/dataset/path"));
    const json_t *train = report_at(spec, "/dataset/train_limit"), *test = report_at(spec, "/dataset/test_limit");
    json_auto_t *place = path ? json_sprintf(" at %s", path) : json_string("");
    json_auto_t *used = json_is_integer(train)
                            ? json_sprintf(", %lld training images", (long long)json_integer_value(train))
                            : json_string("");
    json_auto_t *judged = json_is_integer(test)
                              ? json_sprintf(", %lld test images", (long long)json_integer_value(test))
                              : json_string("");

    return json_sprintf("%s%s%s%s", name ? name : word_at(spec, "/dataset/format"), json_string_value(place),
                        json_string_value(used), json_string_value(judged));
}

/* "8/255" or a number, whose text is to be freed. (A copy that finds no memory would go unnoticed.) */
static const char *pixel_words(const json_t *value, char **ret_made)
{
    *ret_made = json_is_string(value) ? NULL : spec_text(value, JSON_ENCODE_ANY);
    return json_is_string(value) ? json_string_value(value) : *ret_made ? *ret_made : "?";
}

/* "pgd: ε 8/255, step 2/255, 10 steps, 1 run" */
static json_t *attack_words(const json_t *spec)
{
    const json_t *attack = report_at(spec, "/attack");

    if (!json_is_object(attack))
        return json_null();
    char *made[2];
    const char *radius = pixel_words(json_object_get(attack, "epsilon"), &made[0]);
    const char *size = pixel_words(json_object_get(attack, "step_size"), &made[1]);
    json_t *words = json_sprintf("%s: ε %s, step %s, %lld step%s, %lld run%s", word_at(attack, "/type"), radius, size,
                                 count_at(attack, "/steps"), count_at(attack, "/steps") == 1 ? "" : "s",
                                 count_at(attack, "/restarts"), count_at(attack, "/restarts") == 1 ? "" : "s");
    free(made[0]);
    free(made[1]);
    return words;
}

/* "2026-11-28 04:51:26 UTC"; null for 0. */
static json_t *moment_words(int64_t ms)
{
    json_auto_t *time = time_json(ms);
    const char *text = json_string_value(time);

    return text ? json_sprintf("%.10s %.8s UTC", text, text + 11) : json_null();
}

/* What a rift job chose. */
static void chosen_add(const struct report *report, json_t *section)
{
    const json_t *modules = json_object_get(report->results[JOB_FINETUNE], "modules");
    const json_t *alpha = json_object_get(report->results[JOB_INTERPOLATE], "chosen_alpha");

    if (report->kind != JOB_RIFT)
        return;
    if (json_array_size(modules))
        fact(section, "Module fine-tuned", report_joined(modules));
    if (json_is_number(alpha))
        fact(section, "Alpha chosen", json_sprintf("%.10g", json_number_value(alpha)));
}

/* "PGD-AT, TRADES": how the job, or the runs of a sweep, are trained. */
static json_t *methods_words(const struct report *report)
{
    const json_t *methods = report_at(report->spec, "/sweep/methods"), *method;
    json_auto_t *words = json_array();
    char capitals[32];
    size_t i;

    report_method(report, capitals);
    if (!json_array_size(methods))
        return json_string(capitals);
    json_array_foreach((json_t *)methods, i, method)
    {
        report_capitals(json_string_value(method), capitals);
        json_array_append_new(words, json_string(capitals));
    }
    return report_joined(words);
}

static void facts_add(struct report *report)
{
    const struct db_job *job = &report->job;
    const json_t *spec = report->spec, *error = text_json(job->error);
    json_t *section = section_add(report, "run", "What was run", "name:text:|value:text:");

    fact(section, "Job", json_sprintf("%s %s", job->kind, job->id));
    fact(section, "State", json_string(job_state_names[job->state]));
    if (json_is_object(error))
        fact(section, "Error", json_sprintf("%s", word_at(error, "/message")));
    json_decref((json_t *)error);
    if (report_at(spec, "/train/method"))
        fact(section, "Training", methods_words(report));
    fact(section, "Network", model_words(spec));
    fact(section, "Data", data_words(spec));
    fact(section, "Attack", attack_words(spec));
    fact(section, "Protocol", json_string(word_at(spec, "/protocol")));
    if (report_at(spec, "/seed"))
        fact(section, "Seed", json_sprintf("%lld", count_at(spec, "/seed")));
    if (report_at(spec, "/sweep/seeds"))
        fact(section, "Seeds", report_joined(report_at(spec, "/sweep/seeds")));
    chosen_add(report, section);
    fact(section, "Submitted", moment_words(job->created_ms));
    fact(section, "Started", moment_words(job->started_ms));
    fact(section, "Ended", moment_words(job->ended_ms));
    fact(section, "Device", *job->device ? json_string(job->device) : json_null());
    fact(section, "riftd", json_string(RIFT_VERSION));
}

/* Of running ones so far; null when it hasn't started. */
static json_t *seconds_of(const struct report *report, const struct db_job *job)
{
    int64_t now_ms = report->request->config->now_ms(report->request->config->user);
    int64_t end_ms = job->ended_ms ? job->ended_ms : now_ms;

    return job->started_ms ? json_real((double)(end_ms - job->started_ms) / 1000) : json_null();
}

static void step_add(const struct report *report, json_t *section, const struct db_job *step)
{
    json_auto_t *error = text_json(step->error);
    const char *message = json_is_object(error) ? word_at(error, "/message") : "";
    int number = (int)json_array_size(json_object_get(section, "rows")) + 1;

    section_row(section,
                report->kind == JOB_SWEEP
                    ? json_pack("[i, s, s, o, s, s]", number, step->label, job_state_names[step->state],
                                seconds_of(report, step), step->id, message)
                    : json_pack("[i, s, s, o, o, i, s, s]", number, step->kind, job_state_names[step->state],
                                seconds_of(report, step), *step->device ? json_string(step->device) : json_null(),
                                step->attempts, step->id, message),
                false);
}

/* A rift job's steps in the order in which they run: copies are made before they are looked at. */
static void steps_add(struct report *report)
{
    bool sweep = report->kind == JOB_SWEEP;
    json_t *section = section_add(report, "steps", sweep ? "Runs" : "Steps",
                                  sweep ? "step:count:#|run:text:Run|state:text:State|time:seconds:Time|"
                                          "id:mono:Job|error:text:Error"
                                        : "step:count:#|kind:text:Step|state:text:State|time:seconds:Time|"
                                          "device:text:Device|attempts:count:Starts|id:mono:Job|error:text:Error");

    for (int i = 0; i < (sweep ? report->step_count : RIFT_STEPS); i++)
        for (int k = 0; k < report->step_count; k++)
            if (sweep ? k == i : report->steps[k].step == rift_order[i])
                step_add(report, section, &report->steps[k]);
    if (!sweep && report->step_count < RIFT_STEPS - 1)
        section_note(section, "Steps that aren't here were given: weights or criticality of another job.");
}

int report_origins(struct report *report)
{
    facts_add(report);
    if (report->kind == JOB_RIFT || report->kind == JOB_SWEEP)
        steps_add(report);
    return 0;
}
