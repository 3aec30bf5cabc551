/* How robust is a model against several attacks at once? AutoAttack, standard
 * (Croce and Hein 2020), and each of its attacks alone.
 *
 *     clean -> APGD-CE -> APGD-T -> FAB-T -> Square       stages
 *              1          9         9        1            rounds: a restart, or a class aimed at
 *
 * Every round runs on the original images of the points that still stand, batch
 * by batch. After each batch what was found is judged anew, and who is wrong
 * has fallen. So each attack only makes the accuracy smaller, and points that
 * are easily lost cost little.
 *
 *   state   {"key","stage","round","done","attacked","zero","stages","warnings"}
 *   tensors fell: U8 [count], 0 stands, 1 fell, 2 fell in this round;  found_loss: F32 [count]
 *
 * Surprising: the original goes through all classes with one batch before it
 * takes the next; here a class is a round over all points. It's the same, point by
 * point, but a round's batches are full again and a checkpoint is never far. */
#include "gpu/rift/autoattack.h"

#include "gpu/backend/philox.h"
#include "gpu/rift/attack.h"
#include "gpu/rift/measure.h"
#include "gpu/rift/standing.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Accuracy that an attack by scores may take after attacks by gradients before that looks like masking. */
static const double SUSPICIOUS_DROP = 0.002;

enum { STANDS, FELL, FELL_NOW };
enum { STAGES_TOP = 5, ROUND_BITS = 20 };

struct attacking {
    struct run *run;
    const struct images *images;
    struct batch *batch;
    const struct attack_spec *attack;
    char key[128];
    int stage, round, done; /* done: of the points of this round */
    int attacked;           /* points that stood when the stage began */
    int zero_gradients;     /* points of this stage whose first gradient was 0, added over its rounds */
    json_t *stages, *warnings;
    int count;
    uint8_t *fell;  /* [count] */
    float *loss;    /* [count], cross-entropy */
    int32_t *order; /* [count]: the points of this round */
    int points;
};

/* ---- the stages -------------------------------------------------------------------- */

/* The points that the model has wrong as they are fall first. */
static int attack_nothing(struct standing *s)
{
    int r = run_device(
        s->run, s->run->ops->copy(s->run->dev, s->now, s->x, (size_t)shape_count(standing_shape(s)) * sizeof(float)));

    return r < 0 ? r : standing_forward(s, s->now, &LOSS_CE);
}

static int apgd_ce(struct standing *s)
{
    return attack_apgd(s, &LOSS_CE);
}

static int apgd_dlr(struct standing *s)
{
    return attack_apgd(s, &LOSS_DLR);
}

static int apgd_t(struct standing *s)
{
    return attack_apgd(s, &LOSS_DLR_TARGETED);
}

static const struct stage {
    const char *name;
    int (*attack)(struct standing *s);
    bool by_gradient, targeted;
    enum random_purpose purpose;
} stages[] = {
    [ATTACK_PGD] = { "clean", attack_nothing, false, false, RANDOM_EVALUATE },
    [ATTACK_APGD_CE] = { "apgd-ce", apgd_ce, true, false, RANDOM_APGD },
    [ATTACK_APGD_DLR] = { "apgd-dlr", apgd_dlr, true, false, RANDOM_APGD },
    [ATTACK_APGD_T] = { "apgd-t", apgd_t, true, true, RANDOM_APGD },
    [ATTACK_FAB_T] = { "fab-t", attack_fab, true, true, RANDOM_APGD },
    [ATTACK_SQUARE] = { "square", attack_square, false, false, RANDOM_SQUARE },
};
#define CLEAN ATTACK_PGD /* its place in the table is free: PGD's runs are measure.c's */

/* The stages of a type of attack; returns how many. */
static int stages_of(enum attack_type type, enum attack_type ret[STAGES_TOP])
{
    static const enum attack_type standard[] = { CLEAN, ATTACK_APGD_CE, ATTACK_APGD_T, ATTACK_FAB_T, ATTACK_SQUARE };

    if (type == ATTACK_AUTOATTACK) {
        memcpy(ret, standard, sizeof(standard));
        return STAGES_TOP;
    }
    ret[0] = CLEAN;
    ret[1] = type;
    return 2;
}

int autoattack_passes(const struct attack_spec *attack)
{
    enum attack_type of[STAGES_TOP];

    return stages_of(attack->type, of);
}

static int targets_of(const struct attacking *a)
{
    int others = a->run->model->num_classes - 1;

    return a->attack->targets < others ? a->attack->targets : others;
}

static int rounds_of(const struct attacking *a, enum attack_type type)
{
    return type == CLEAN ? 1 : a->attack->restarts * (stages[type].targeted ? targets_of(a) : 1);
}

/* ---- in and out of checkpoints ------------------------------------------------------- */

int autoattack_save(const struct run *run, struct checkpoint *into)
{
    const struct attacking *a = run->attacking;

    if (!a)
        return 0;
    if (checkpoint_add_host(into, "fell", DTYPE_U8, a->fell, a->count) < 0 ||
        checkpoint_add_host(into, "found_loss", DTYPE_F32, a->loss, a->count) < 0)
        return -ENOMEM;
    return checkpoint_add_state(into, "attacking",
                                json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:O, s:O}", "key", a->key, "count",
                                          a->count, "stage", a->stage, "round", a->round, "done", a->done, "attacked",
                                          a->attacked, "zero", a->zero_gradients, "stages", a->stages, "warnings",
                                          a->warnings));
}

static int attacking_resume(struct attacking *a)
{
    const json_t *was = checkpoint_state(a->run, "attacking");
    const char *key = json_string_value(json_object_get(was, "key"));

    if (!key || strcmp(key, a->key) != 0 || json_integer_value(json_object_get(was, "count")) != a->count)
        return 0;
    int r = checkpoint_take_host(a->run, "fell", DTYPE_U8, a->fell, a->count);
    if (r == 0)
        r = checkpoint_take_host(a->run, "found_loss", DTYPE_F32, a->loss, a->count);
    if (r < 0)
        return r == -ENOENT ? run_fail(a->run, FAILURE_BAD_DATA, "%s: the checkpoint lacks \"fell\"", a->run->dir) : r;
    a->stage = (int)json_integer_value(json_object_get(was, "stage"));
    a->round = (int)json_integer_value(json_object_get(was, "round"));
    a->done = (int)json_integer_value(json_object_get(was, "done"));
    a->attacked = (int)json_integer_value(json_object_get(was, "attacked"));
    a->zero_gradients = (int)json_integer_value(json_object_get(was, "zero"));
    json_decref(a->stages);
    json_decref(a->warnings);
    a->stages = json_deep_copy(json_object_get(was, "stages"));
    a->warnings = json_deep_copy(json_object_get(was, "warnings"));
    if (a->stage < 0 || a->round < 0 || a->done < 0 || a->done > a->count || !json_is_array(a->stages) ||
        !json_is_array(a->warnings))
        return run_fail(a->run, FAILURE_BAD_DATA, "%s: the checkpoint's attack is damaged", a->run->dir);
    return 0;
}

/* ---- one batch ------------------------------------------------------------------------- */

/* Images done, as one pass over all of them a stage, whatever a stage's rounds and points are. */
static int say_progress(const struct attacking *a, const struct stage *stage, double part_of_stage)
{
    struct run *run = a->run;
    int64_t done = (int64_t)(a->count * part_of_stage);
    char phase[160];

    if (run->outer.phase)
        return run_progress(run, run->outer.phase, run->outer.done + (int64_t)a->stage * a->count + done,
                            run->outer.total, false);
    snprintf(phase, sizeof(phase), "%s/%s", a->key, stage->name);
    return run_progress(run, phase, done, a->count, done == a->count);
}

struct breath {
    const struct attacking *a;
    const struct stage *stage;
    double done, part; /* of the stage: before this batch, and this batch */
};

/* Inside a batch nothing new can be kept, so a checkpoint is written only when the job is to stop. */
static int breathe(void *user, double part)
{
    const struct breath *breath = user;
    struct run *run = breath->a->run;
    int r = say_progress(breath->a, breath->stage, breath->done + part * breath->part);

    return r == 0 && run->stop && *run->stop ? checkpoint_end(run) : r;
}

static int batch_attack(struct attacking *a, enum attack_type type, int rounds, int n)
{
    struct run *run = a->run;
    struct standing *s = run->standing;
    const struct stage *stage = &stages[type];
    const int32_t *order = a->order + a->done;
    struct random_key key = { (uint64_t)run->spec.seed, stage->purpose,
                              (uint32_t)type << ROUND_BITS | (uint32_t)a->round };
    struct breath breath = { a, stage, (a->round + (double)a->done / a->points) / rounds,
                             (double)n / a->points / rounds };
    int r = batch_load(a->batch, a->images, a->order, a->done, n, NULL);

    if (r < 0)
        return r;
    standing_begin(s, a->batch, a->attack, key, stage->by_gradient);
    s->breathe = breathe;
    s->user = &breath;
    if (stage->targeted)
        r = standing_aim(s, a->round % targets_of(a) + 1);
    if (r == 0)
        r = stage->attack(s);
    if (r < 0)
        return r;
    a->zero_gradients += s->zero_gradients;
    if (type != CLEAN)
        r = standing_recheck(s, a->images, order);
    for (int i = 0; i < s->n && r == 0; i++) {
        const struct point *p = &s->points[i];
        int32_t image = order[p->place];

        if (type == CLEAN || !p->correct)
            a->loss[image] = p->loss;
        if (!p->correct)
            a->fell[image] = FELL_NOW;
    }
    return r;
}

/* ---- rounds and stages --------------------------------------------------------------------- */

static int round_attack(struct attacking *a, enum attack_type type)
{
    struct run *run = a->run;
    int rounds = rounds_of(a, type), r = 0;

    a->points = 0;
    for (int i = 0; i < a->count; i++)
        if (a->fell[i] != FELL)
            a->order[a->points++] = i;
    while (a->done < a->points && r == 0) {
        int left = a->points - a->done, most = a->batch->most, n = left < most ? left : most;

        r = batch_attack(a, type, rounds, n);
        if (r < 0)
            break;
        a->done += n;
        if (a->done < a->points) /* a batch that was attacked is worth keeping, whatever the time */
            r = type == CLEAN ? checkpoint_breathe(run) : checkpoint_end(run);
    }
    for (int i = 0; i < a->count && r == 0; i++)
        a->fell[i] = a->fell[i] == STANDS ? STANDS : FELL;
    if (r == 0) {
        a->round++;
        a->done = 0;
    }
    return r;
}

static int standing_count(const struct attacking *a)
{
    int stand = 0;

    for (int i = 0; i < a->count; i++)
        stand += a->fell[i] == STANDS;
    return stand;
}

static double mean_loss(const struct attacking *a)
{
    double sum = 0;

    for (int i = 0; i < a->count; i++)
        sum += a->loss[i];
    return sum / a->count;
}

static void __attribute__((format(printf, 2, 3))) warn(struct attacking *a, const char *format, ...)
{
    va_list list;
    char text[256];

    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    json_array_append_new(a->warnings, json_string(text));
    run_log(a->run, "%s: warning: %s", a->key, text);
}

/* What a stage says about the model beside its accuracy. None of it changes a number. */
static void stage_warn(struct attacking *a, enum attack_type type, int stand)
{
    const struct stage *stage = &stages[type];
    double drop = (double)(a->attacked - stand) / a->count;

    if (stage->targeted && targets_of(a) < a->attack->targets)
        warn(a, "%s: aims at %d classes and not at %d, because the model knows %d", stage->name, targets_of(a),
             a->attack->targets, a->run->model->num_classes);
    if (a->zero_gradients > 0)
        warn(a, "%s: the first gradient was 0 everywhere %d times on %d points: gradients may be masked", stage->name,
             a->zero_gradients, a->attacked);
    if (type == ATTACK_SQUARE && a->stage > 1 && drop > SUSPICIOUS_DROP)
        warn(a, "%s: took %.4f of accuracy after the attacks by gradient: gradients may be masked", stage->name, drop);
}

static int stage_end(struct attacking *a, enum attack_type type)
{
    struct run *run = a->run;
    int stand = standing_count(a);
    double accuracy = (double)stand / a->count, loss = mean_loss(a);
    char name[160];

    stage_warn(a, type, stand);
    json_array_append_new(a->stages,
                          json_pack("{s:s, s:i, s:i, s:f, s:o}", "name", stages[type].name, "attacked", a->attacked,
                                    "fell", a->attacked - stand, "accuracy", accuracy, "loss", json_number(loss)));
    snprintf(name, sizeof(name), "%s/%s", a->key, stages[type].name);
    /* A single attack is told by who asked for the measurement. */
    int r =
        type == CLEAN || a->attack->type != ATTACK_AUTOATTACK
            ? 0
            : run_event(run, "evaluation",
                        json_pack("{s:s, s:f, s:o}", "name", name, "accuracy", accuracy, "loss", json_number(loss)));
    if (r == 0)
        r = say_progress(a, &stages[type], 1);
    a->stage++;
    a->round = 0;
    a->attacked = stand;
    a->zero_gradients = 0;
    return r < 0 ? r : checkpoint_end(run);
}

static int stages_attack(struct attacking *a)
{
    enum attack_type of[STAGES_TOP];
    int count = stages_of(a->attack->type, of), r = 0;

    while (a->stage < count && r == 0) {
        enum attack_type type = of[a->stage];

        while (a->round < rounds_of(a, type) && r == 0) {
            r = round_attack(a, type);
            if (r == 0 && a->round < rounds_of(a, type))
                r = checkpoint_end(a->run);
        }
        if (r == 0)
            r = stage_end(a, type);
    }
    return r;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static json_t *attacking_result(const struct attacking *a)
{
    double accuracy = (double)standing_count(a) / a->count;
    json_t *result = json_pack("{s:o, s:f, s:f, s:O}", "loss", json_number(mean_loss(a)), "accuracy", accuracy,
                               "worst_case_accuracy", accuracy, "stages", a->stages);

    if (json_array_size(a->warnings))
        json_object_set(result, "warnings", a->warnings);
    return result;
}

int autoattack(struct batch *batch, const char *key, const struct images *images, const struct attack_spec *attack,
               json_t **ret_result)
{
    struct run *run = batch->run;
    size_t count = (size_t)images->count;
    struct attacking a = { .run = run,
                           .images = images,
                           .batch = batch,
                           .attack = attack,
                           .count = images->count,
                           .attacked = images->count,
                           .stages = json_array(),
                           .warnings = json_array(),
                           .fell = calloc(count, sizeof(*a.fell)),
                           .loss = calloc(count, sizeof(*a.loss)),
                           .order = calloc(count, sizeof(*a.order)) };
    int r = 0;

    snprintf(a.key, sizeof(a.key), "%s", key);
    if (!a.stages || !a.warnings || !a.fell || !a.loss || !a.order)
        r = run_blame(run, FAILURE_INTERNAL, fault_set(&run->why, -ENOMEM, "no memory to measure %s", key));
    if (r == 0)
        r = attacking_resume(&a);
    run->attacking = &a;
    if (r == 0)
        r = stages_attack(&a);
    run->attacking = NULL;
    if (r == 0)
        *ret_result = attacking_result(&a);
    json_decref(a.stages);
    json_decref(a.warnings);
    free(a.fell);
    free(a.loss);
    free(a.order);
    return r;
}

int autoattack_reserve(struct run *run, int count, const struct attack_spec *attack)
{
    enum attack_type of[STAGES_TOP];
    int r = 0;

    if (run->standing && run->standing->most < count && run->standing->most < run->spec.batch_size) {
        standing_free(run->standing);
        run->standing = NULL;
    }
    if (!run->standing)
        r = standing_open(run, count, &run->standing);
    for (int i = 0, n = stages_of(attack->type, of); i < n && r == 0; i++)
        r = standing_reserve(run->standing, stages[of[i]].by_gradient);
    return r;
}
