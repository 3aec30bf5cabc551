/* What is a job, in words that all three programs share?
 *
 * Floor 0 of the house: riftd, riftctl and rift-worker agree on the things in
 * this header and on nothing else. A job is a *spec* (JSON, checked against
 * one table of fields), a *job directory* (spec, journal, checkpoint,
 * artifacts) and a *journal* (append-only NDJSON, the one channel from a
 * worker to whoever watches it). Specs and tables are told here, files in
 * job/files.h, which comes along with this header.
 *
 * Conventions: functions return 0 or a count, negative errno on failure, and
 * put words a user can act on into a `struct fault`. ret_x is untouched on
 * failure. */
#ifndef RIFT_JOB_JOB_H
#define RIFT_JOB_JOB_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define RIFT_VERSION "0.1.0"

/* ---- fault: why something failed, for a person --------------------------- */

struct fault {
    int code;          /* negative errno of the failure, 0 when none happened */
    char message[512]; /* one sentence naming the file, field or tensor */
};

/* Replace in place what isn't UTF-8 or would steer a terminal (control bytes)
 * by '?', so that the text can stand in JSON, in a log and on a screen. A
 * character cut in half at the end is dropped. */
void text_clean(char *text);
/* Record code and message and return code, so that a caller can write
 * `return fault_set(why, -EINVAL, "%s: too short", path);`. why may be NULL. */
int fault_set(struct fault *why, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Is it UTF-8 without control characters, so that it may stand in JSON, in a log and on a screen? */
bool text_valid(const char *text);
/* How many characters such text has. */
int text_characters(const char *text);

/* ---- clocks; intervals are the time since the machine started, which nobody sets  */

int64_t clock_ms(void); /* of the wall, which somebody may set: since the epoch */
int64_t monotonic_ms(void);
int64_t monotonic_us(void);

/* ---- JSON and memory -------------------------------------------------------- */

/* From now on every JSON allocation that fails is noted, per thread (starved.c). */
void json_starved_watch(void);
/* Did one fail in this thread since the last call? What was made since then may lack parts. */
bool json_starved(void);
/* json_loadb that bears it when memory runs out. For texts that strangers, workers or
 * the database hand us. */
json_t *json_read(const char *text, size_t size, size_t flags, json_error_t *error);
/* The same of a text that ends with NUL, of any JSON value. NULL of NULL. */
json_t *text_read(const char *text);

/* ---- kinds ---------------------------------------------------------------- */

enum job_kind {
    JOB_TRAIN,
    JOB_MRC,
    JOB_FINETUNE,
    JOB_INTERPOLATE,
    JOB_EVALUATE,
    JOB_RIFT,
    JOB_CORRUPT,
    JOB_SWEEP,
    JOB_INSPECT,
    JOB_KIND_COUNT,
};

struct job_kind_info {
    const char *name;    /* "train" */
    const char *title;   /* one line for people: what it does */
    const char *weights; /* the artifact another job means by {"job": ID}, or NULL */
    bool parent;         /* becomes other jobs, and is what they are */
};
extern const struct job_kind_info job_kinds[JOB_KIND_COUNT];

/* The kind of that name, or -ENOENT. */
int job_kind_find(const char *name);

/* Does a slot on `device` ("cpu", "cuda:0") take a job that asks for `wanted`
 * ("auto", "cpu", "ref", "cuda", "cuda:0")? */
bool job_device_serves(const char *device, const char *wanted);

/* The names of enum precision, as specs and devices say them. */
extern const char *const job_precisions[];

/* ---- corruptions of images ---------------------------------------------------- */

/* standard: the 15 of the benchmark and of the paper's text; code: the 18 of the paper's code. */
enum corruption_set { CORRUPTIONS_STANDARD, CORRUPTIONS_CODE, CORRUPTIONS_ALL };
/* Which published numbers: those for 32-pixel or those for 64-pixel images. */
enum corruption_parameters { CORRUPTION_BY_SIDE, CORRUPTION_CIFAR, CORRUPTION_TINY };
enum { CORRUPTION_COUNT = 19, SEVERITY_COUNT = 5 };

struct corruption_info {
    const char *name;    /* "gaussian_noise" */
    const char *group;   /* noise | blur | weather | digital */
    bool standard, code; /* which sets it belongs to */
};
extern const struct corruption_info corruption_infos[CORRUPTION_COUNT];

/* All of them in order, as the field table wants them. */
#define CORRUPTION_NAMES                                                                                               \
    "gaussian_noise|shot_noise|impulse_noise|defocus_blur|glass_blur|motion_blur|zoom_blur|snow|frost|fog|brightness|" \
    "contrast|elastic_transform|pixelate|jpeg_compression|speckle_noise|gaussian_blur|spatter|saturate"

/* The corruption of that name, or -ENOENT. */
int corruption_find(const char *name);
bool corruption_in_set(int which, enum corruption_set set);
/* Those of the set or, where names are given, the named ones; in order. Returns how many. */
int corruptions_choose(enum corruption_set set, const char *const *names, int name_count,
                       int ret_which[CORRUPTION_COUNT]);

/* ---- spec ------------------------------------------------------------------
 * Strings and arrays inside point into `json`, the normalised spec (every
 * default filled in), and live as long as it does. */

/* Where weights come from: a path (seen from the job directory), a job's
 * artifact or a registered model. All NULL: not given. */
struct weights_ref {
    const char *path;
    const char *job;      /* {"job": ID [, "artifact": NAME]}, over HTTP only */
    const char *artifact; /* NULL: job_kinds[].weights of that job */
    const char *model;    /* {"model": ID}, over HTTP only */
};

enum attack_type {
    ATTACK_PGD,
    ATTACK_APGD_CE,
    ATTACK_APGD_DLR,
    ATTACK_APGD_T,
    ATTACK_FAB_T,
    ATTACK_SQUARE,
    ATTACK_AUTOATTACK, /* APGD-CE, APGD-T, FAB-T, Square */
};

struct attack_spec {
    bool none; /* the field is null: examples are taken as they are */
    enum attack_type type;
    const char *name; /* label of the measurement, e.g. "pgd-10" */
    double epsilon;   /* radius of the l_inf ball, pixel units of [0,1] */
    double step_size; /* alpha of one signed step, pixel units */
    int steps;
    bool random_start; /* uniform in the ball, clamped to [0,1] */
    int restarts;
    int targets;                 /* APGD-T, FAB-T: classes aimed at */
    double rho;                  /* APGD: part of the steps that must raise the loss, else the step is halved */
    double momentum;             /* APGD: share of the new direction in a step */
    double alpha_max, eta, beta; /* FAB */
    int queries;                 /* Square */
    double p_init;               /* Square: part of the pixels in the first windows */
};

enum schedule_type { SCHEDULE_CONSTANT, SCHEDULE_STEP, SCHEDULE_COSINE, SCHEDULE_LINEAR };

struct optimizer_spec {
    double lr, momentum, weight_decay;
    enum schedule_type schedule;
    int *milestones; /* epochs, ascending; owned by the spec */
    int milestone_count;
    double gamma;
};

enum module_rule {
    MODULES_NAMED,
    MODULES_LOWEST,
    MODULES_HIGHEST,
    MODULES_LAST,
    MODULES_ALL,
    MODULES_TOP,       /* the `top` least critical ones */
    MODULES_GREEDY,    /* the set of `top` that the mrc job's search found */
    MODULES_CONTAINING /* every parameter whose name contains `text`, as the published code chooses */
};

struct module_choice {
    enum module_rule rule;
    int top;            /* how many */
    const char *text;   /* MODULES_CONTAINING */
    const char **names; /* MODULES_NAMED: owned by the spec, strings by json */
    int count;
};

enum dataset_format {
    DATASET_CIFAR10,
    DATASET_CIFAR100,
    DATASET_IDX,
    DATASET_IMAGE_FOLDER,
    DATASET_TINY_IMAGENET,
    DATASET_TENSORS
};
enum dataset_split { SPLIT_DEFAULT, SPLIT_TRAIN, SPLIT_VALIDATION, SPLIT_TEST };
enum precision { PRECISION_FLOAT32, PRECISION_BF16, PRECISION_TF32, PRECISION_COUNT };
enum protocol { PROTOCOL_VALIDATION, PROTOCOL_PAPER };
enum augment { AUGMENT_NONE, AUGMENT_STANDARD };
enum padding { PADDING_REFLECT, PADDING_ZERO };
enum train_method { TRAIN_STANDARD, TRAIN_PGD_AT, TRAIN_TRADES, TRAIN_MART, TRAIN_AWP, TRAIN_SCORE };
/* What AWP and SCORE are built on. */
enum train_base { BASE_PGD_AT, BASE_TRADES };
/* OWN: what the method's authors did. */
enum batch_norm_mode { BATCH_NORM_OWN, BATCH_NORM_TRAIN, BATCH_NORM_FROZEN };
enum projection { PROJECTION_PASS, PROJECTION_STEP };
enum corrupt_format { CORRUPT_BY_DATA, CORRUPT_NPY, CORRUPT_FOLDER };
enum image_type { IMAGE_JPEG, IMAGE_PNG };
enum mrc_examples { MRC_ADVERSARIAL, MRC_CLEAN };

/* Names that are meant together; the strings live in the spec's json. */
struct name_list {
    const char **names;
    int count;
};

struct dataset_spec {
    const char *name; /* a registered data set (HTTP), or NULL */
    enum dataset_format format;
    const char *path;
    const char *test_path;    /* NULL: found inside path by the format's own rule */
    int train_limit;          /* 0: all */
    int test_limit;           /* 0: all */
    double validation;        /* part of train held out under the validation protocol */
    enum dataset_split split; /* what mrc, interpolate, evaluate, corrupt and inspect look at */
};

struct model_spec {
    const char *arch;        /* "resnet18", "wideresnet", ... */
    int width;               /* of a resnet: channels of the first stage */
    int depth, widen_factor; /* of a wideresnet */
    int num_classes;
    int input[3];           /* C, H, W */
    double mean[4], std[4]; /* of the first input[0] channels; 0 and 1 mean: not normalised */
    struct weights_ref weights;
};

/* How a job that another waits for must end. FAILURE: failed or cancelled. */
enum after_condition { AFTER_SUCCESS, AFTER_FAILURE, AFTER_ANY };
struct after_spec {
    const char *job;
    enum after_condition on;
};
#define AFTER_TOP 64

/* The longest label, in characters of UTF-8, which are four bytes at most. */
#define LABEL_CHARACTERS_MAX 100
#define LABEL_SIZE           (4 * LABEL_CHARACTERS_MAX + 1)

struct job_spec {
    json_t *json; /* normalised, owned */
    enum job_kind kind;
    const char **modules_expected; /* NULL: none; owned by the spec */
    int modules_expected_count;
    const char *label;        /* for people and for filtering lists, or NULL */
    const char *device;       /* auto | cpu | cuda | cuda:N */
    struct after_spec *after; /* jobs that must have ended first (HTTP); owned by the spec */
    int after_count;
    int64_t memory_bytes;     /* of its device, 0: an equal share */
    int time_limit_s;         /* of running, over all attempts; 0: none */
    enum precision precision; /* of the computation; weights, sums and losses are float32 in each */
    bool deterministic;       /* the same bits again on the same device */
    int priority;
    int64_t seed;
    int batch_size;
    int threads;               /* CPU threads of the worker, 0: all it may use */
    double checkpoint_every_s; /* also after every epoch, module, alpha, attack */
    enum protocol protocol;
    struct model_spec model;
    struct dataset_spec dataset;
    enum augment augment;
    enum padding augment_padding;
    bool shuffle;
    struct attack_spec attack;
    struct optimizer_spec optimizer;
    struct {
        enum train_method method;
        int epochs;
        int evaluate_every;                     /* epochs; 0: never, so last = best */
        enum batch_norm_mode attack_batch_norm; /* mode of BN while crafting */
        double start_noise; /* standard deviation of a random start near the image, of methods that start so */
        struct {
            double beta;
        } trades, mart;
        struct {
            enum train_base base;
            double gamma; /* ||delta_w||_F = gamma ||w||_F */
            int warmup;   /* epochs without it */
        } awp;
        struct {
            enum train_base base;
            double lambda;
            double c; /* probability off the true class that is good enough */
            bool clip_clean;
        } score;
    } train;
    struct {
        double epsilon; /* ||Delta||_2 <= epsilon ||theta_i||_2 */
        int steps;
        double lr;
        enum projection projection;
        enum mrc_examples examples;
        enum dataset_split split; /* SPLIT_DEFAULT: dataset.split, or what chooses */
        const char **modules;     /* NULL: every module; owned by the spec */
        int module_count;
        struct name_list *joint; /* sets to be measured as one; owned by the spec */
        int joint_count;
        int greedy; /* size of the set to search for; below 2: none */
    } mrc;
    struct {
        struct module_choice modules;
        struct weights_ref mrc_job; /* path of an mrc job's directory, or {"job": ID} */
        int epochs, evaluate_every;
        enum batch_norm_mode batch_norm;
    } finetune;
    struct {
        struct weights_ref from, to;
        double *alphas; /* ascending, owned by the spec */
        int alpha_count;
        double tolerance; /* robust accuracy that may be given up, as a fraction */
    } interpolate;
    struct {
        struct attack_spec *attacks; /* owned by the spec */
        int attack_count;
        struct weights_ref baseline; /* measured the same way beside the model, or none */
        struct weights_ref toward;   /* the line from baseline to here is measured at alphas */
        double *alphas;              /* ascending, owned by the spec */
        int alpha_count;
        struct {
            const char *path; /* a directory of corrupted copies; NULL with job: nothing is measured */
            const char *job;  /* the corrupt job that makes them, over HTTP only */
            enum corruption_set set;
            struct name_list names; /* instead of the set; names owned by the spec */
            int *severities;        /* ascending, owned by the spec */
            int severity_count;
        } corruptions;
    } evaluate;
    struct {
        enum corruption_set set;
        const char **names; /* instead of the set; owned by the spec */
        int name_count;
        int *severities; /* ascending, owned by the spec */
        int severity_count;
        enum corruption_parameters parameters;
        enum corrupt_format format;
        enum image_type image_type; /* of folders */
        int contact_sheet;          /* how many images it shows; 0: none */
    } corrupt;
    struct {
        int images;             /* most whose pixels are read, of the training and of the test data each */
        int classes, per_class; /* of the samples that are shown; per_class 0: none */
        struct {
            const char *path; /* a directory of corrupted copies; NULL with job: they are made here */
            const char *job;  /* the corrupt job that made them, over HTTP only */
            enum corruption_set set;
            struct name_list names; /* instead of the set; names owned by the spec */
            int *severities;        /* ascending, owned by the spec; none: no corruptions are shown */
            int severity_count;
            int images;
        } corruptions;
        int adversarial; /* how many images are attacked where weights are given */
    } inspect;
};

/* One thing wrong with a spec. */
struct spec_error {
    char pointer[96];  /* RFC 6901 JSON pointer, "" for the whole document */
    char message[512]; /* room for a list of all names */
};

/* Everything wrong with a spec, up to a limit; `total` goes on counting. */
struct spec_errors {
    struct spec_error list[32];
    int count;
    int total;
};

/* Check `text` against the field table, fill every default, return the typed
 * spec. All errors are collected, none stops the walk. 0; -EINVAL with errors
 * (malformed JSON is one error at pointer ""); -ENOMEM. Release with spec_done. */
int spec_parse(const char *text, size_t length, struct job_spec *ret, struct spec_errors *errors);
/* The same from parsed JSON (not consumed). */
int spec_from_json(const json_t *json, struct job_spec *ret, struct spec_errors *errors);
/* Add an error for each path that isn't absolute. A relative one is seen from
 * the job directory, so it makes sense to who made that directory; a spec that
 * is sent to riftd must name places that do not depend on where jobs are kept. */
void spec_paths_check(const struct job_spec *spec, struct spec_errors *errors);
/* Every place in the file system that a normalised spec names, in the field
 * table's order: fields of the type FIELD_PATH, and FIELD_WEIGHTS where a path
 * stands. Stops and returns when `see` returns negative; -EINVAL: no such kind.
 * What a worker may read and what riftd lets it read both come from here, so a
 * field that names a place must have one of these types. */
int spec_paths(const json_t *spec, int (*see)(const char *pointer, const char *path, void *user), void *user);
/* Where jobs that come over HTTP may read. */
struct data_places {
    const char *const *roots; /* none: anywhere but in state_dir */
    int root_count;
    const char *state_dir; /* riftd's own, or NULL */
};
/* May a job read at this absolute path, wherever its links lead now? 0, or
 * -EACCES with words that follow the name of a field. */
int place_check(const struct data_places *places, const char *path, struct fault *why);
/* Is the path that folder, or does it lie below it? Both settled. */
bool path_lies_below(const char *path, const char *folder);
/* Put `prefix` ("../../") before each relative path of a spec that moves to
 * another directory. 0 or -ENOMEM. */
int spec_paths_rebase(json_t *spec, const char *prefix);
void spec_done(struct job_spec *spec);
#define spec_auto __attribute__((cleanup(spec_done))) struct job_spec

/* A spec (or any JSON) as text for people: json_dumps with these flags, but
 * with the fewest digits that read back as the same numbers, so 0.1 stays 0.1
 * and doesn't become 0.10000000000000001. free() it; NULL: no memory. */
char *spec_text(const json_t *json, size_t flags);

/* Every reference of the spec's JSON to a job or model, in a fixed order: calls
 * `see` with it, which may change the object parent[key] in place (its "job",
 * "artifact") or put a path in its place by spec_ref_put. Stops and returns when
 * `see` returns negative. The executor uses it to turn references into paths,
 * the API to find dependencies. */
struct spec_ref {
    const char *pointer;  /* "/model/weights", "/evaluate/corruptions/job" */
    int wants;            /* the kind of job whose files are meant as a whole, or -1: weights */
    json_t *parent;       /* object that holds the reference */
    char key[32];         /* its member in parent: an object that has "job" or "model" */
    const char *job;      /* ID, NULL for a model reference */
    const char *model;    /* ID, NULL for a job reference */
    const char *artifact; /* or NULL */
};
int spec_refs(json_t *spec, int (*see)(const struct spec_ref *ref, void *user), void *user);
/* Let the path of the file, or of the job's directory, stand where the reference stood. 0 or -ENOMEM. */
int spec_ref_put(const struct spec_ref *ref, const char *path);

/* ---- the field table --------------------------------------------------------
 * One row a field; two rows with different kinds where the default depends on
 * the kind. Parsing, defaults, messages, `riftctl fields`, the
 * dashboard's form and the test against openapi.yaml all read it. */

enum field_type {
    FIELD_BOOL,
    FIELD_INT,
    FIELD_REAL,
    FIELD_PIXEL, /* number or "8/255" */
    FIELD_STRING,
    FIELD_PATH,
    FIELD_ENUM,
    FIELD_INT_LIST,
    FIELD_REAL_LIST,
    FIELD_STRING_LIST,
    FIELD_STRING_LISTS, /* list of lists of at least two names */
    FIELD_WEIGHTS,      /* path | {"job"} | {"model"} */
    FIELD_JOB,          /* the id of a job, over HTTP */
    FIELD_BYTES,        /* a whole number, or "4GiB"; becomes the number */
    FIELD_AFTER,        /* list of {"job": ID, "on": "success"|"failure"|"any"} */
    FIELD_MODULES,      /* [names] | "lowest" | "highest" | "last" | "all" | {"top": k} | {"greedy": k} | {"containing":
                           text} */
    FIELD_CHOICE_LIST,  /* a list of FIELD_MODULES; a name alone is a list of one */
    FIELD_ATTACK,       /* object of attack fields, or null */
    FIELD_ATTACK_LIST,
    FIELD_OBJECT, /* object whose members have rows of their own, or null */
};

struct spec_field {
    const char *pointer; /* "/mrc/epsilon"; "/attack/epsilon" for a field of every attack object */
    enum field_type type;
    unsigned kinds;       /* bit mask 1 << enum job_kind: where the field is allowed */
    const char *fallback; /* the default as JSON text; NULL: the field is required */
    double min, max;      /* numbers: value range; strings: length; lists: item range */
    const char *values;   /* FIELD_ENUM: names in enum order, separated by '|'; FIELD_STRING_LIST: the
                             names an item may be, NULL: any */
    bool nullable;
    const char *unit;    /* "pixel in [0,1]", "epochs", "" */
    const char *meaning; /* one or two sentences */
};
extern const struct spec_field spec_fields[];
extern const int spec_field_count;

/* What finetune.modules takes beside names and objects. */
#define MODULE_WORDS "lowest|highest|last|all"

/* The word of "a|b|c" that is most like `word`; false when none is near. */
bool word_nearest(const char *values, const char *word, char *ret, size_t size);

/* Check one value of a field that all kinds have ("/label"). 0; -EINVAL with the error
 * recorded; -ENOMEM. */
int spec_value_check(const char *pointer, const json_t *value, struct spec_errors *errors);

/* A row for programs: {"pointer","type","kinds","required","default","min","max",
 * "values","nullable","unit","meaning"}. New reference; NULL: out of memory. */
json_t *spec_field_json(const struct spec_field *field);

/* A `rift` spec as the five specs of its steps, in order train, mrc, finetune,
 * interpolate, evaluate; NULL for train when /train/weights says what comes of
 * it, and for mrc when /finetune/mrc_job does. Weights references name the steps
 * by their index as {"job": "step:0"} and so on; the caller puts the real ids in.
 * Each is a complete spec that spec_from_json accepts after that. New references. */
#define RIFT_STEPS 6
/* The steps in an order in which each comes after those that it takes from. */
extern const int rift_order[RIFT_STEPS];
int rift_expand(const struct job_spec *rift, json_t *ret_steps[RIFT_STEPS]);

/* The before/after table of a rift job from the results of its five steps (in
 * order; NULL for a step with no result yet). New reference:
 * {"module", "alpha", "protocol", "images", "split", "before": {"clean_accuracy","corruption_accuracy",
 *  "robust_accuracy"}, "after": {...}}; members whose step is missing are null. */
json_t *rift_table(const json_t *const results[RIFT_STEPS], const char *protocol);

/* A `sweep` spec as rift specs, one for each method, seed and module choice, in
 * this order, the last one varying fastest. */
struct sweep_run {
    json_t *spec;  /* of the rift job, complete; its label says which one it is */
    char name[80]; /* "03-trades-seed1-last", good for a directory */
    int shares;    /* the run whose train and mrc step are this one's too, -1: its own */
};
int sweep_expand(const struct job_spec *sweep, struct sweep_run **ret, int *ret_count);
void sweep_runs_free(struct sweep_run *runs, int count);
/* Let a run that shares take its trained weights and its criticality from there,
 * unless its spec says already where from. Steals both references. 0 or -ENOMEM. */
int sweep_share(json_t *spec, json_t *weights, json_t *mrc_job);

/* ---- percent ---------------------------------------------------------------- */

/* The percentage points from one fraction to another, so that they are what the two
 * differ by as they are printed with `places` decimals (percent.c says why). */
double points_between(double before, double after, int places);
/* The same of a gain that may be known of other runs than the two means: then it is itself. */
double points_gained(double gain, double before, double after, int places);

/* ---- averaged tables ------------------------------------------------------------
 * Rows are training methods times module choices, columns accuracies before and
 * after RiFT, cells means over seeds. */

struct table_run {
    const char *id;       /* names the job in messages */
    const char *state;    /* or NULL: not told */
    const json_t *spec;   /* of a rift job, normalised */
    const json_t *result; /* rift_table's, NULL or null: nothing yet */
};

/* The table of these rift jobs:
 * {"protocol" (null: of each row), "group_by": [names], "rows": [{"method","modules","group": {...},"protocol",
 *  "attack","n","seeds","before","after","gain": {"clean_accuracy": {"mean","std","n"}, "robust_accuracy",
 *  "corruption_accuracy" (where measured)}, "chosen": [{"job","seed","modules","alpha"}]}],
 *  "missing": [{"job","method","modules","seed" [,"state"]}]}.
 * Only like is averaged: runs of a row may differ in the seed, the device and
 * where their weights come from, runs of the table also in training. group_by
 * names more fields that tell rows apart, "protocol,model.arch"; NULL or "":
 * none. -EINVAL with words that name jobs and field; -ENOENT: group_by names what is no field. */
int table_make(const struct table_run *runs, int count, const char *group_by, json_t **ret, struct fault *why);

enum table_format { TABLE_JSON, TABLE_CSV, TABLE_MARKDOWN, TABLE_LATEX, TABLE_TEXT, TABLE_FORMAT_COUNT };
struct table_format_info {
    const char *name, *artifact; /* "csv", "table.csv" (NULL: none) */
    const char *type;            /* media type */
};
extern const struct table_format_info table_formats[TABLE_FORMAT_COUNT];
/* The table in that format; free() it. NULL: out of memory. */
char *table_text(const json_t *table, enum table_format format);
/* "pgd-10" where all rows that have numbers were attacked so, "" where not; the table's. */
const char *table_attack(const json_t *table);

#include "job/files.h" /* the other half of this header */

#endif
