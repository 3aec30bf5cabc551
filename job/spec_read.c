/* How does a checked spec get from JSON into struct job_spec?
 *
 * One line a field: pointer, C type and place in the struct. The JSON has been
 * checked and filled by now, so nothing here can be wrong; a field that the
 * kind doesn't have is simply not there and stays 0. */
#include "job/spec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

json_t *spec_at(const json_t *spec, const char *pointer)
{
    const json_t *at = spec;

    while (at && *pointer == '/') {
        size_t length = strcspn(++pointer, "/");
        at = json_object_getn(at, pointer, length);
        pointer += length;
    }
    return (json_t *)at;
}

int spec_put(json_t *spec, const char *pointer, json_t *value)
{
    json_t *at = spec;

    for (;;) {
        size_t length = strcspn(++pointer, "/");
        if (pointer[length] == 0)
            return json_object_setn_new(at, pointer, length, value) < 0 ? -ENOMEM : 0;
        json_t *next = json_object_getn(at, pointer, length);
        if (!json_is_object(next)) {
            next = json_object();
            if (json_object_setn_new(at, pointer, length, next) < 0) {
                json_decref(value);
                return -ENOMEM;
            }
        }
        at = next;
        pointer += length;
    }
}

/* ---- plain members ----------------------------------------------------------------- */

enum ctype { AS_INT, AS_INT64, AS_DOUBLE, AS_BOOL, AS_TEXT, AS_ENUM, AS_WEIGHTS };
#define PLACE(member) offsetof(struct job_spec, member)

static const struct {
    const char *pointer;
    enum ctype ctype;
    size_t place;
    int first; /* AS_ENUM: the C value of the row's first name */
} members[] = {
    { "/label", AS_TEXT, PLACE(label) },
    { "/device", AS_TEXT, PLACE(device) },
    { "/memory", AS_INT64, PLACE(memory_bytes) },
    { "/time_limit_s", AS_INT, PLACE(time_limit_s) },
    { "/precision", AS_ENUM, PLACE(precision), PRECISION_FLOAT32 },
    { "/deterministic", AS_BOOL, PLACE(deterministic) },
    { "/priority", AS_INT, PLACE(priority) },
    { "/seed", AS_INT64, PLACE(seed) },
    { "/batch_size", AS_INT, PLACE(batch_size) },
    { "/threads", AS_INT, PLACE(threads) },
    { "/checkpoint_every_s", AS_DOUBLE, PLACE(checkpoint_every_s) },
    { "/protocol", AS_ENUM, PLACE(protocol) },
    { "/model/arch", AS_TEXT, PLACE(model.arch) },
    { "/model/width", AS_INT, PLACE(model.width) },
    { "/model/depth", AS_INT, PLACE(model.depth) },
    { "/model/widen_factor", AS_INT, PLACE(model.widen_factor) },
    { "/model/num_classes", AS_INT, PLACE(model.num_classes) },
    { "/model/weights", AS_WEIGHTS, PLACE(model.weights) },
    { "/dataset/name", AS_TEXT, PLACE(dataset.name) },
    { "/dataset/format", AS_ENUM, PLACE(dataset.format) },
    { "/dataset/path", AS_TEXT, PLACE(dataset.path) },
    { "/dataset/test_path", AS_TEXT, PLACE(dataset.test_path) },
    { "/dataset/train_limit", AS_INT, PLACE(dataset.train_limit) },
    { "/dataset/test_limit", AS_INT, PLACE(dataset.test_limit) },
    { "/dataset/validation", AS_DOUBLE, PLACE(dataset.validation) },
    { "/dataset/split", AS_ENUM, PLACE(dataset.split), SPLIT_TRAIN },
    { "/augment", AS_ENUM, PLACE(augment) },
    { "/augment_padding", AS_ENUM, PLACE(augment_padding) },
    { "/shuffle", AS_BOOL, PLACE(shuffle) },
    { "/optimizer/lr", AS_DOUBLE, PLACE(optimizer.lr) },
    { "/optimizer/momentum", AS_DOUBLE, PLACE(optimizer.momentum) },
    { "/optimizer/weight_decay", AS_DOUBLE, PLACE(optimizer.weight_decay) },
    { "/optimizer/schedule/type", AS_ENUM, PLACE(optimizer.schedule) },
    { "/optimizer/schedule/gamma", AS_DOUBLE, PLACE(optimizer.gamma) },
    { "/train/method", AS_ENUM, PLACE(train.method) },
    { "/train/epochs", AS_INT, PLACE(train.epochs) },
    { "/train/evaluate_every", AS_INT, PLACE(train.evaluate_every) },
    { "/train/attack_batch_norm", AS_ENUM, PLACE(train.attack_batch_norm), BATCH_NORM_TRAIN },
    { "/train/start_noise", AS_DOUBLE, PLACE(train.start_noise) },
    { "/train/trades/beta", AS_DOUBLE, PLACE(train.trades.beta) },
    { "/train/mart/beta", AS_DOUBLE, PLACE(train.mart.beta) },
    { "/train/awp/base", AS_ENUM, PLACE(train.awp.base) },
    { "/train/awp/gamma", AS_DOUBLE, PLACE(train.awp.gamma) },
    { "/train/awp/warmup", AS_INT, PLACE(train.awp.warmup) },
    { "/train/score/base", AS_ENUM, PLACE(train.score.base) },
    { "/train/score/lambda", AS_DOUBLE, PLACE(train.score.lambda) },
    { "/train/score/c", AS_DOUBLE, PLACE(train.score.c) },
    { "/train/score/clip_clean", AS_BOOL, PLACE(train.score.clip_clean) },
    { "/mrc/epsilon", AS_DOUBLE, PLACE(mrc.epsilon) },
    { "/mrc/steps", AS_INT, PLACE(mrc.steps) },
    { "/mrc/lr", AS_DOUBLE, PLACE(mrc.lr) },
    { "/mrc/projection", AS_ENUM, PLACE(mrc.projection) },
    { "/mrc/examples", AS_ENUM, PLACE(mrc.examples) },
    { "/mrc/split", AS_ENUM, PLACE(mrc.split), SPLIT_TRAIN },
    { "/mrc/greedy", AS_INT, PLACE(mrc.greedy) },
    { "/finetune/mrc_job", AS_WEIGHTS, PLACE(finetune.mrc_job) },
    { "/finetune/epochs", AS_INT, PLACE(finetune.epochs) },
    { "/finetune/evaluate_every", AS_INT, PLACE(finetune.evaluate_every) },
    { "/finetune/batch_norm", AS_ENUM, PLACE(finetune.batch_norm), BATCH_NORM_TRAIN },
    { "/interpolate/from", AS_WEIGHTS, PLACE(interpolate.from) },
    { "/interpolate/to", AS_WEIGHTS, PLACE(interpolate.to) },
    { "/interpolate/tolerance", AS_DOUBLE, PLACE(interpolate.tolerance) },
    { "/evaluate/corruptions/path", AS_TEXT, PLACE(evaluate.corruptions.path) },
    { "/evaluate/corruptions/job", AS_TEXT, PLACE(evaluate.corruptions.job) },
    { "/evaluate/corruptions/set", AS_ENUM, PLACE(evaluate.corruptions.set) },
    { "/evaluate/baseline", AS_WEIGHTS, PLACE(evaluate.baseline) },
    { "/evaluate/toward", AS_WEIGHTS, PLACE(evaluate.toward) },
    { "/corrupt/set", AS_ENUM, PLACE(corrupt.set) },
    { "/corrupt/parameters", AS_ENUM, PLACE(corrupt.parameters), CORRUPTION_CIFAR },
    { "/corrupt/format", AS_ENUM, PLACE(corrupt.format), CORRUPT_NPY },
    { "/corrupt/image_type", AS_ENUM, PLACE(corrupt.image_type) },
    { "/corrupt/contact_sheet", AS_INT, PLACE(corrupt.contact_sheet) },
    { "/inspect/images", AS_INT, PLACE(inspect.images) },
    { "/inspect/classes", AS_INT, PLACE(inspect.classes) },
    { "/inspect/per_class", AS_INT, PLACE(inspect.per_class) },
    { "/inspect/corruptions/path", AS_TEXT, PLACE(inspect.corruptions.path) },
    { "/inspect/corruptions/job", AS_TEXT, PLACE(inspect.corruptions.job) },
    { "/inspect/corruptions/set", AS_ENUM, PLACE(inspect.corruptions.set) },
    { "/inspect/corruptions/images", AS_INT, PLACE(inspect.corruptions.images) },
    { "/inspect/adversarial", AS_INT, PLACE(inspect.adversarial) },
};

static struct weights_ref read_weights(const json_t *value)
{
    return (struct weights_ref){
        .path = json_string_value(value),
        .job = json_string_value(json_object_get(value, "job")),
        .artifact = json_string_value(json_object_get(value, "artifact")),
        .model = json_string_value(json_object_get(value, "model")),
    };
}

/* All our enums have the size of an int; null leaves them 0. */
_Static_assert(sizeof(enum dataset_split) == sizeof(int), "enums are read as ints");

static void read_member(int which, const json_t *spec, unsigned kinds, struct job_spec *ret)
{
    const char *pointer = members[which].pointer;
    const struct spec_field *field = field_find(pointer, kinds);
    const json_t *value = spec_at(spec, pointer);
    void *place = (char *)ret + members[which].place;
    int number = (int)json_integer_value(value);

    if (!field || !value || json_is_null(value))
        return;
    switch (members[which].ctype) {
    case AS_ENUM:
        number = members[which].first + value_enum(field->values, json_string_value(value));
        memcpy(place, &number, sizeof(number));
        break;
    case AS_INT:
        memcpy(place, &number, sizeof(number));
        break;
    case AS_INT64:
        *(int64_t *)place = json_integer_value(value);
        break;
    case AS_DOUBLE:
        *(double *)place = json_number_value(value);
        break;
    case AS_BOOL:
        *(bool *)place = json_is_true(value);
        break;
    case AS_TEXT:
        *(const char **)place = json_string_value(value);
        break;
    case AS_WEIGHTS:
        *(struct weights_ref *)place = read_weights(value);
        break;
    }
}

/* ---- members of a shape of their own ------------------------------------------------ */

static void read_attack(const json_t *value, struct attack_spec *ret)
{
    *ret = (struct attack_spec){ .none = !json_is_object(value) };
    if (ret->none)
        return;
    ret->type = (enum attack_type)value_enum(field_find("/attack/type", ~0u)->values,
                                             json_string_value(json_object_get(value, "type")));
    ret->name = json_string_value(json_object_get(value, "name"));
    value_pixel(json_object_get(value, "epsilon"), &ret->epsilon);
    value_pixel(json_object_get(value, "step_size"), &ret->step_size);
    ret->steps = (int)json_integer_value(json_object_get(value, "steps"));
    ret->random_start = json_is_true(json_object_get(value, "random_start"));
    ret->restarts = (int)json_integer_value(json_object_get(value, "restarts"));
    ret->targets = (int)json_integer_value(json_object_get(value, "targets"));
    ret->rho = json_number_value(json_object_get(value, "rho"));
    ret->momentum = json_number_value(json_object_get(value, "momentum"));
    ret->alpha_max = json_number_value(json_object_get(value, "alpha_max"));
    ret->eta = json_number_value(json_object_get(value, "eta"));
    ret->beta = json_number_value(json_object_get(value, "beta"));
    ret->queries = (int)json_integer_value(json_object_get(value, "queries"));
    ret->p_init = json_number_value(json_object_get(value, "p_init"));
}

static int read_attacks(const json_t *list, struct job_spec *ret)
{
    size_t count = json_array_size(list);

    if (count == 0)
        return 0;
    ret->evaluate.attacks = calloc(count, sizeof(*ret->evaluate.attacks));
    if (!ret->evaluate.attacks)
        return -ENOMEM;
    ret->evaluate.attack_count = (int)count;
    for (size_t i = 0; i < count; i++)
        read_attack(json_array_get(list, i), &ret->evaluate.attacks[i]);
    return 0;
}

static void read_model(const json_t *spec, struct model_spec *ret)
{
    const json_t *input = spec_at(spec, "/model/input");
    const json_t *mean = spec_at(spec, "/model/normalize/mean"), *std = spec_at(spec, "/model/normalize/std");

    for (size_t i = 0; i < 3; i++)
        ret->input[i] = (int)json_integer_value(json_array_get(input, i));
    for (size_t i = 0; i < 4; i++) {
        ret->mean[i] = mean ? json_number_value(json_array_get(mean, i)) : 0;
        ret->std[i] = std && i < json_array_size(std) ? json_number_value(json_array_get(std, i)) : 1;
    }
}

static int read_names(const json_t *list, const char ***ret_names, int *ret_count)
{
    size_t count = json_array_size(list);

    if (count == 0)
        return 0;
    *ret_names = calloc(count, sizeof(**ret_names));
    if (!*ret_names)
        return -ENOMEM;
    *ret_count = (int)count;
    for (size_t i = 0; i < count; i++)
        (*ret_names)[i] = json_string_value(json_array_get(list, i));
    return 0;
}

static int read_joint(const json_t *lists, struct job_spec *ret)
{
    size_t count = json_array_size(lists);
    int r = 0;

    if (count == 0)
        return 0;
    ret->mrc.joint = calloc(count, sizeof(*ret->mrc.joint));
    if (!ret->mrc.joint)
        return -ENOMEM;
    ret->mrc.joint_count = (int)count;
    for (size_t i = 0; i < count && r == 0; i++)
        r = read_names(json_array_get(lists, i), &ret->mrc.joint[i].names, &ret->mrc.joint[i].count);
    return r;
}

static int read_choice(const json_t *value, struct module_choice *ret)
{
    static const enum module_rule words[] = { MODULES_LOWEST, MODULES_HIGHEST, MODULES_LAST, MODULES_ALL };

    if (json_is_string(value)) {
        ret->rule = words[value_enum(MODULE_WORDS, json_string_value(value))];
    } else if (json_is_object(value)) {
        const json_t *greedy = json_object_get(value, "greedy");

        ret->text = json_string_value(json_object_get(value, "containing"));
        ret->rule = ret->text ? MODULES_CONTAINING : greedy ? MODULES_GREEDY : MODULES_TOP;
        ret->top = (int)json_integer_value(greedy ? greedy : json_object_get(value, "top"));
    }
    return read_names(value, &ret->names, &ret->count);
}

static int read_ints(const json_t *list, int **ret, int *ret_count)
{
    size_t count = json_array_size(list);

    if (count == 0)
        return 0;
    *ret = calloc(count, sizeof(**ret));
    if (!*ret)
        return -ENOMEM;
    *ret_count = (int)count;
    for (size_t i = 0; i < count; i++)
        (*ret)[i] = (int)json_integer_value(json_array_get(list, i));
    return 0;
}

static int read_alphas(const json_t *list, double **ret_alphas, int *ret_count)
{
    size_t count = json_array_size(list);

    if (count == 0)
        return 0;
    *ret_alphas = calloc(count, sizeof(**ret_alphas));
    if (!*ret_alphas)
        return -ENOMEM;
    *ret_count = (int)count;
    for (size_t k = 0; k < count; k++)
        (*ret_alphas)[k] = json_number_value(json_array_get(list, k));
    return 0;
}

static int read_after(const json_t *list, struct job_spec *ret)
{
    size_t count = json_array_size(list);

    if (count == 0)
        return 0;
    ret->after = calloc(count, sizeof(*ret->after));
    if (!ret->after)
        return -ENOMEM;
    ret->after_count = (int)count;
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(list, i);
        ret->after[i].job = json_string_value(json_object_get(item, "job"));
        ret->after[i].on =
            (enum after_condition)value_enum(AFTER_WORDS, json_string_value(json_object_get(item, "on")));
    }
    return 0;
}

int spec_read(json_t *spec, enum job_kind kind, struct job_spec *ret)
{
    struct job_spec made = { .json = json_incref(spec), .kind = kind };
    int r;

    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        read_member((int)i, spec, 1u << kind, &made);
    read_model(spec, &made.model);
    read_attack(spec_at(spec, "/attack"), &made.attack);
    r = read_ints(spec_at(spec, "/optimizer/schedule/milestones"), &made.optimizer.milestones,
                  &made.optimizer.milestone_count);
    if (r == 0)
        r = read_after(spec_at(spec, "/after"), &made);
    if (r == 0)
        r = read_names(spec_at(spec, "/mrc/modules"), &made.mrc.modules, &made.mrc.module_count);
    if (r == 0)
        r = read_joint(spec_at(spec, "/mrc/joint"), &made);
    if (r == 0)
        r = read_names(spec_at(spec, "/modules_expected"), &made.modules_expected, &made.modules_expected_count);
    if (r == 0)
        r = read_choice(spec_at(spec, "/finetune/modules"), &made.finetune.modules);
    if (r == 0)
        r = read_alphas(spec_at(spec, "/interpolate/alphas"), &made.interpolate.alphas, &made.interpolate.alpha_count);
    if (r == 0)
        r = read_alphas(spec_at(spec, "/evaluate/alphas"), &made.evaluate.alphas, &made.evaluate.alpha_count);
    if (r == 0)
        r = read_attacks(spec_at(spec, "/evaluate/attacks"), &made);
    if (r == 0)
        r = read_names(spec_at(spec, "/evaluate/corruptions/names"), &made.evaluate.corruptions.names.names,
                       &made.evaluate.corruptions.names.count);
    if (r == 0)
        r = read_ints(spec_at(spec, "/evaluate/corruptions/severities"), &made.evaluate.corruptions.severities,
                      &made.evaluate.corruptions.severity_count);
    if (r == 0)
        r = read_names(spec_at(spec, "/corrupt/names"), &made.corrupt.names, &made.corrupt.name_count);
    if (r == 0)
        r = read_ints(spec_at(spec, "/corrupt/severities"), &made.corrupt.severities, &made.corrupt.severity_count);
    if (r == 0)
        r = read_names(spec_at(spec, "/inspect/corruptions/names"), &made.inspect.corruptions.names.names,
                       &made.inspect.corruptions.names.count);
    if (r == 0)
        r = read_ints(spec_at(spec, "/inspect/corruptions/severities"), &made.inspect.corruptions.severities,
                      &made.inspect.corruptions.severity_count);
    if (r < 0) {
        spec_done(&made);
        return r;
    }
    *ret = made;
    return 0;
}

void spec_done(struct job_spec *spec)
{
    if (!spec)
        return;
    free(spec->after);
    free(spec->optimizer.milestones);
    free(spec->modules_expected);
    free(spec->mrc.modules);
    for (int i = 0; i < spec->mrc.joint_count; i++)
        free(spec->mrc.joint[i].names);
    free(spec->mrc.joint);
    free(spec->finetune.modules.names);
    free(spec->interpolate.alphas);
    free(spec->evaluate.alphas);
    free(spec->evaluate.attacks);
    free(spec->evaluate.corruptions.names.names);
    free(spec->evaluate.corruptions.severities);
    free(spec->corrupt.names);
    free(spec->corrupt.severities);
    free(spec->inspect.corruptions.names.names);
    free(spec->inspect.corruptions.severities);
    json_decref(spec->json);
    *spec = (struct job_spec){ 0 };
}
