/* What does a running job hold, and how does it speak?
 *
 * One `struct run` from start to end: spec, device, model, weights (theta),
 * plans, data, journal. Everything else in this folder is functions on it.
 *
 *   engine.c         which function for which kind; how a job starts and ends
 *   run.c            opening and closing what every kind needs
 *   events.c         the journal, without ever saying a thing twice
 *   checkpoint.c     stopping and going on         room.c     a disk that is full
 *   images.c         batches      frontier.c   activations in the middle of the network
 *   attack.c         x -> x + delta           measure.c   accuracy and loss, clean and attacked
 *   autoattack.c     one attack after another; standing.c   the points that still stand
 *                    apgd.c, fab.c, square.c   what is done to them
 *   training.c       epochs       adversarial_training.c, finetune.c   what one step does
 *   pgd_at.c, trades.c, mart.c, awp.c, score.c   the losses (methods.h); pair.c   of f(x) and f(x') together
 *   fixed_examples.c D_adv        criticality.c   MRC          criticality_sets.c   of which modules
 *   interpolate.c    theta(alpha) evaluate.c, corruptions.c      pipeline.c   the whole method
 *   sweep.c          many of it   corrupt.c       corrupted copies of a data set
 *   inspect.c        what a data set holds        inspect_sheets.c, inspect_attack.c   as pictures
 *
 * Functions return 0 or negative errno; words are in run->why, and what kind of
 * failure it is in run->failure. -EINTR: stopped, a checkpoint is written. */
#ifndef RIFT_GPU_RIFT_RUN_H
#define RIFT_GPU_RIFT_RUN_H

#include "gpu/data/dataset.h"
#include "gpu/nn/plan.h"
#include "gpu/rift/checkpoint.h"

#include <signal.h>

/* Why a job failed, as `failed.code` says it; names in engine.c. */
enum failure {
    FAILURE_NONE,
    FAILURE_BAD_SPEC,
    FAILURE_BAD_DATA,
    FAILURE_NOT_FINITE,
    FAILURE_OUT_OF_MEMORY,
    FAILURE_NO_SPACE,
    FAILURE_DEVICE_LOST,
    FAILURE_UNCONFINED,
    FAILURE_INTERNAL,
    FAILURE_COUNT,
};

/* What progress is measured from. */
struct pace {
    char phase[96];
    int64_t said_ms, since_ms;
    int64_t since; /* images done then */
};

/* A phase that holds many measurements, so that progress is of the whole. */
struct outer {
    const char *phase; /* NULL: each measurement is a phase of its own */
    int64_t done, total;
};

/* Of the present wait for space on the disk. */
struct room {
    int pause_ms; /* the last pause; 0: nobody waits */
    int64_t since_ms;
};

struct measuring;
struct attacking;
struct standing;

struct run {
    const char *dir;
    struct job_spec spec;
    char spec_sha256[65]; /* of what decides the numbers: not label, priority, device, threads */
    bool check_only;      /* plan, don't run */

    const volatile sig_atomic_t *stop;
    void (*watch)(const json_t *event, void *user); /* or NULL */
    void *watch_user;
    int64_t (*now_ms)(void);    /* wall clock, for the journal */
    int64_t (*steady_ms)(void); /* never goes back, for rates and intervals */

    json_t *sandbox; /* what shuts the process in, for `started`; NULL: nobody has asked for it */
    struct journal *journal;
    json_t *said; /* events that the journal held at the start, by what identifies them; see events.c */
    struct pace pace;
    struct outer outer;
    struct room room;

    struct device *dev;
    const struct backend *ops;
    int threads;
    size_t memory_bytes; /* that the device has */
    size_t own_bytes;    /* that run_alloc and run_take have given away */
    struct model *model;
    struct weights *weights; /* theta */
    struct plan_cache *plans;
    struct dataset dataset;

    struct checkpoint resumed; /* read at the start; .state NULL: from the beginning */
    struct saver savers[4];
    int saver_count;
    int64_t checkpoint_ms;

    json_t *measured;            /* finished measurements by key; see measure.c */
    struct measuring *measuring; /* the one under way */
    struct attacking *attacking; /* the same, of autoattack.c */
    struct standing *standing;   /* its memory, or NULL */

    struct fault why;
    enum failure failure;
};

/* ---- run.c ---- */

/* Device, model, weights (not loaded) and plans, from run->spec. */
int run_open(struct run *run);
void run_close(struct run *run);
/* Everything is planned: say `started`, or fail with the bytes that are missing.
 * In a check this is where it ends, with -ECANCELED. extra: members of the
 * event (stolen) or NULL. */
int run_ready(struct run *run, json_t *extra);
/* What every `started` tells: device (stolen), versions, seed, the spec's hash. And the device of jobs that
 * open none. New references. */
json_t *run_started(const struct run *run, json_t *device);
json_t *run_no_device(void);

/* Say what kind of failure `r` is unless somebody nearer has; returns r. */
int run_blame(struct run *run, enum failure failure, int r);
/* Words and kind at once; returns -EINVAL. */
int run_fail(struct run *run, enum failure failure, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Pass the result of a device operation on, with the device's words. */
int run_device(struct run *run, int r);

/* Bytes taken so far: given away here, and by the plans. */
size_t run_bytes(const struct run *run);
/* Is there room for what nobody plans? A checkpoint copies the weights, their momentum and the
 * best ones, and libraries grow while they work. Asked by allocating and freeing it. */
bool run_room_left(struct run *run);
/* Book bytes that somebody else is about to allocate: -ENOMEM when the device hasn't
 * so many. Asked beforehand, because a system that overcommits says yes and kills later. */
int run_take(struct run *run, size_t bytes, const char *what);
/* Device memory that lives as long as its holder; zeroed. NULL: -ENOMEM is in run->why. */
void *run_alloc(struct run *run, size_t bytes, const char *what);
void run_free(struct run *run, void *memory, size_t bytes);

/* A path of the spec, seen from the job directory; malloc'd. */
char *run_path(const struct run *run, const char *path);
/* theta from a reference of the spec; when it names nothing, PyTorch's
 * initialisation by the job's seed. `field` names it in messages. */
int run_weights(struct run *run, const struct weights_ref *ref, const char *field);
static inline bool weights_given(const struct weights_ref *ref)
{
    return ref->path || ref->job || ref->model;
}
/* The module of that name; `field` of the spec names it in messages. */
int run_module(struct run *run, const char *field, const char *name);
/* Is there a parameter with this text in its name? 0 or FAILURE_BAD_SPEC. */
int run_parameter(struct run *run, const char *field, const char *text);
int run_dataset(struct run *run, struct dataset_wants wants);
/* The same without a model: how many images there are in the files of a split and
 * what they are like; and those images, unchanged. */
int run_dataset_shape(struct run *run, enum dataset_split split, int *ret_count, int ret_shape[3]);
int run_dataset_as_is(struct run *run, enum dataset_split split, const int shape[3]);
/* Into another place than the run's own: images of that shape, with labels below `classes`, and no more than `most` of
 * the training and of the test files each; 0: as many as the spec says. Release with dataset_done. */
int run_dataset_apart(struct run *run, const int shape[3], int classes, struct dataset_wants wants, int most,
                      struct dataset *ret);
/* The examples that mrc, interpolate and evaluate look at; `fallback` when the
 * spec says nothing. The dataset must hold them. */
enum dataset_split run_split(const struct run *run, enum dataset_split fallback);
struct dataset_wants split_wants(enum dataset_split split);
int run_examples(struct run *run, enum dataset_split split, const struct examples **ret);
/* Into a result: how many images its accuracies are of, and which: "images", "split". */
void run_say_images(json_t *result, int count, enum dataset_split split);
/* The split that chooses: validation, or test under the paper's protocol. */
enum dataset_split run_judge(const struct run *run);

/* The plan for n examples; and both that `count` examples in batches will need,
 * so that nothing is allocated later. */
int run_plan(struct run *run, struct plan_spec spec, struct plan **ret);
int run_plan_reserve(struct run *run, int count, struct plan_spec spec);

/* Save theta as artifacts/name and announce it. */
int run_artifact(struct run *run, const char *name);
/* Save a small file as artifacts/name and announce it; announce one that is there. */
int run_artifact_write(struct run *run, const char *name, const void *data, size_t size);
int run_artifact_say(struct run *run, const char *name, const char *sha256, int64_t size);

/* ---- room.c ---- */

/* Asked after each write:
 *     do
 *         r = write_it(...);
 *     while (run_waits(run, &r));
 * True when the disk was full and it is time to try again. When the job is to
 * stop, *r becomes -EINTR. */
bool run_waits(struct run *run, int *r);

/* ---- events.c ---- */

/* Open the journal and read what it holds. 1: it says `finished`, nothing is
 * left to do; 0; -EBUSY somebody else writes it. */
int events_open(struct run *run);
void events_close(struct run *run);
/* Append an event (fields stolen) unless the journal holds it already. */
int run_event(struct run *run, const char *type, json_t *fields);
int run_metric(struct run *run, const char *name, int64_t step, double epoch, double value);
/* Images done of a phase; said about once a second, and when the phase ends or pauses. */
int run_progress(struct run *run, const char *phase, int64_t done, int64_t total, bool end);
/* The same of a parent's steps: said at once, and nobody knows how fast they are. */
int run_progress_step(struct run *run, const char *phase, int done, int total);
/* A real number, or null when it isn't finite: JSON has no other word for it. */
json_t *json_number(double value);
/* And back: null is NaN. */
double json_double(const json_t *object, const char *key);
/* A line of the log. */
void run_log(const struct run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
