/* Do whole jobs, run by rift-worker from a spec, end at the golden values?
 *
 * SGD, MRC of every module, fine-tuning with both kinds of batch norm,
 * interpolation, evaluation. Exactly the way a stranger would do it: a
 * directory, a spec.json, `rift-worker run DIR`. */
#include "golden.h"

#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

static char *home; /* of the job directories */

/* The case's spec: what all jobs share, and what `special` (stolen) says. */
static json_t *spec_make(const struct golden *g, const char *device, const char *data, json_t *special)
{
    char path[PATH_MAX + 64], weights[PATH_MAX + 64];

    snprintf(path, sizeof(path), "%s/%s", g->dir, data);
    snprintf(weights, sizeof(weights), "%s/model.safetensors", g->dir);
    json_t *spec = json_pack("{s:s, s:i, s:s, s:b, s:{s:s, s:s}, s:n}", "device", device, "threads", 2, "protocol",
                             "paper", "shuffle", false, "dataset", "format", "tensors", "path", path, "attack");
    json_t *model = json_deep_copy(json_object_get(g->expected, "model"));
    if (strcmp(json_string_value(json_object_get(special, "kind")), "interpolate") != 0)
        json_object_set_new(model, "weights", json_string(weights));
    json_object_set_new(spec, "model", model);
    json_object_update(spec, special);
    json_decref(special);
    return spec;
}

static int finished(json_t *event, int64_t end, void *user)
{
    json_t **last = user;

    (void)end;
    json_decref(*last);
    *last = json_incref(event);
    return 0;
}

/* Run a spec (stolen) in HOME/name; its result, new reference, or NULL after a failed check. */
static json_t *job(const char *name, json_t *spec)
{
    char dir[PATH_MAX], path[PATH_MAX + 64];
    char *arguments[] = { (char *)RIFT_WORKER, "run", dir, "--quiet", NULL };
    struct fault why = { 0 };
    json_t *last = NULL, *result;
    int64_t offset = 0;
    int status;
    pid_t pid;

    snprintf(dir, sizeof(dir), "%.4000s/%s", home, name);
    CHECK_INT(jobdir_create(dir, spec, &why), 0);
    json_decref(spec);
    if (posix_spawn(&pid, RIFT_WORKER, NULL, NULL, arguments, environ) != 0 || waitpid(pid, &status, 0) != pid) {
        perror(RIFT_WORKER);
        exit(1);
    }
    CHECK_INT(WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), 0);
    snprintf(path, sizeof(path), "%s/%s", dir, JOBDIR_JOURNAL);
    CHECK(journal_read(path, &offset, finished, &last, &why) >= 0);
    result = json_incref(json_object_get(last, "result"));
    if (!result)
        CHECK_FAIL("%s: no result", name);
    json_decref(last);
    return result;
}

static json_t *optimizer(const json_t *from)
{
    return json_pack("{s:f, s:f, s:f, s:{s:s}}", "lr", golden_number(from, "lr", NULL), "momentum",
                     golden_number(from, "momentum", NULL), "weight_decay", golden_number(from, "weight_decay", NULL),
                     "schedule", "type", "constant");
}

/* artifacts/last.safetensors of job `name` beside the golden file. */
static void check_artifact(const struct golden *g, const char *name, const char *golden_name)
{
    char artifacts[PATH_MAX];

    snprintf(artifacts, sizeof(artifacts), "%.4000s/%s/" JOBDIR_ARTIFACTS, home, name);
    struct safetensors *is = golden_file(artifacts, "last.safetensors"), *want = golden_file(g->dir, golden_name);
    check_weights(name, is, want, WEIGHTS);
    safetensors_close(is);
    safetensors_close(want);
}

/* ---- one function a golden section; `name` has case and device in it -------------------- */

static int batch_loss(json_t *event, int64_t end, void *user)
{
    (void)end;
    if (strcmp(json_string_value(json_object_get(event, "type")), "metric") == 0 &&
        strcmp(json_string_value(json_object_get(event, "name")), "batch_loss") == 0)
        json_array_append(user, json_object_get(event, "value"));
    return 0;
}

static void sgd(const struct golden *g, const char *device, const char *name)
{
    const json_t *want = json_object_get(g->expected, "sgd"), *losses = json_object_get(want, "losses");
    json_t *spec = json_pack("{s:s, s:s, s:O, s:o, s:{s:s, s:O, s:i}}", "kind", "train", "augment", "none",
                             "batch_size", json_object_get(want, "batch"), "optimizer", optimizer(want), "train",
                             "method", "standard", "epochs", json_object_get(want, "epochs"), "evaluate_every", 0);
    json_t *is = json_array();
    char path[PATH_MAX];
    int64_t offset = 0;

    json_decref(job(name, spec_make(g, device, "data.safetensors", spec)));
    snprintf(path, sizeof(path), "%.4000s/%s/%s", home, name, JOBDIR_JOURNAL);
    journal_read(path, &offset, batch_loss, is, NULL);
    CHECK_INT(json_array_size(is), json_array_size(losses));
    for (size_t i = 0; i < json_array_size(losses); i++)
        CHECK_NEAR(json_number_value(json_array_get(is, i)), json_number_value(json_array_get(losses, i)), LOGITS);
    json_decref(is);
    check_artifact(g, name, "after_sgd.safetensors");
}

static void mrc(const struct golden *g, const char *device, const char *name)
{
    const json_t *want = json_object_get(g->expected, "mrc"), *modules = json_object_get(want, "modules");
    json_t *spec =
        json_pack("{s:s, s:O, s:{s:O, s:O, s:O, s:s}}", "kind", "mrc", "batch_size", json_object_get(want, "batch"),
                  "mrc", "epsilon", json_object_get(want, "epsilon"), "steps", json_object_get(want, "steps"), "lr",
                  json_object_get(want, "lr"), "projection", "pass");
    json_t *result = job(name, spec_make(g, device, "adversarial.safetensors", spec)), *row;
    size_t i;

    CHECK_NEAR(golden_number(result, "robust_loss", NULL), golden_number(g->expected, "pgd10", "loss"), LOGITS);
    CHECK_NEAR(golden_number(result, "robust_accuracy", NULL), golden_number(g->expected, "pgd10", "accuracy"), 1e-9);
    CHECK_INT(json_array_size(json_object_get(result, "modules")), json_object_size(modules));
    CHECK_STRING(json_string_value(json_object_get(result, "lowest")),
                 json_string_value(json_object_get(want, "lowest")));
    json_array_foreach(json_object_get(result, "modules"), i, row)
    {
        const char *module = json_string_value(json_object_get(row, "module"));
        const json_t *golden = json_object_get(modules, module);
        double is = golden_number(row, "mrc", NULL), should = golden_number(golden, "mrc", NULL);

        if (!(fabs(is - should) <= MRC * fabs(should) + MRC_ABSOLUTE))
            CHECK_FAIL("%s: MRC of %s is %.8g, golden %.8g", name, module, is, should);
        /* One example more or less on the right side is within the tolerance of the losses. */
        CHECK_NEAR(golden_number(row, "robust_accuracy_drop", NULL),
                   golden_number(golden, "robust_accuracy_drop", NULL),
                   1.01 / golden_number(g->expected, "batch", NULL));
    }
    json_decref(result);
}

static void interpolation(const struct golden *g, const char *device, const char *name, const json_t *rows,
                          const char *to, const char *data, const char *loss, const char *accuracy)
{
    char from_path[PATH_MAX + 64], to_path[PATH_MAX + 64];

    snprintf(from_path, sizeof(from_path), "%s/model.safetensors", g->dir);
    snprintf(to_path, sizeof(to_path), "%s/%s", g->dir, to);
    json_t *spec =
        json_pack("{s:s, s:{s:s, s:s}}", "kind", "interpolate", "interpolate", "from", from_path, "to", to_path);
    json_t *result = job(name, spec_make(g, device, data, spec)), *points = json_object_get(result, "points");

    CHECK_INT(json_array_size(points), json_array_size(rows));
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *is = json_array_get(points, i), *want = json_array_get(rows, i);

        CHECK_NEAR(golden_number(is, "alpha", NULL), golden_number(want, "alpha", NULL), 1e-9);
        CHECK_NEAR(golden_number(is, "clean_loss", NULL), golden_number(want, loss, NULL), INTERPOLATION);
        CHECK_NEAR(golden_number(is, "clean_accuracy", NULL), golden_number(want, accuracy, NULL),
                   1.01 / golden_number(g->expected, "batch", NULL));
    }
    json_decref(result);
}

static void finetune(const struct golden *g, const char *device, const char *name)
{
    static const char *const modes[] = { "train", "frozen" };

    for (int i = 0; i < 2; i++) {
        char section[32], file[64], job_name[128];

        snprintf(section, sizeof(section), "finetune_%s", modes[i]);
        snprintf(file, sizeof(file), "finetuned_%s.safetensors", modes[i]);
        const json_t *want = json_object_get(g->expected, section), *rows = json_object_get(want, "interpolation");
        json_t *spec = json_pack("{s:s, s:s, s:O, s:o, s:{s:[O], s:O, s:i, s:s}}", "kind", "finetune", "augment",
                                 "none", "batch_size", json_object_get(want, "batch"), "optimizer", optimizer(want),
                                 "finetune", "modules", json_object_get(want, "module"), "epochs",
                                 json_object_get(want, "epochs"), "evaluate_every", 0, "batch_norm", modes[i]);

        snprintf(job_name, sizeof(job_name), "%s-%s", name, modes[i]);
        json_decref(job(job_name, spec_make(g, device, "data.safetensors", spec)));
        check_artifact(g, job_name, file);
        snprintf(job_name, sizeof(job_name), "%s-%s-clean", name, modes[i]);
        interpolation(g, device, job_name, rows, file, "data.safetensors", "loss", "accuracy");
        snprintf(job_name, sizeof(job_name), "%s-%s-adv", name, modes[i]);
        interpolation(g, device, job_name, rows, file, "adversarial.safetensors", "loss_on_fixed_adv",
                      "accuracy_on_fixed_adv");
    }
}

static void evaluate(const struct golden *g, const char *device, const char *name)
{
    const json_t *want = json_object_get(g->expected, "pgd10");
    json_t *spec = json_pack("{s:s, s:O, s:{s:[{s:O, s:O, s:O, s:b}]}}", "kind", "evaluate", "batch_size",
                             json_object_get(g->expected, "batch"), "evaluate", "attacks", "epsilon",
                             json_object_get(want, "eps"), "step_size", json_object_get(want, "step_size"), "steps",
                             json_object_get(want, "steps"), "random_start", false);
    json_t *result = job(name, spec_make(g, device, "data.safetensors", spec));
    const json_t *clean = json_object_get(result, "clean"),
                 *attack = json_array_get(json_object_get(result, "attacks"), 0);

    CHECK_NEAR(golden_number(clean, "loss", NULL), golden_number(g->expected, "eval", "loss"), LOGITS);
    CHECK_NEAR(golden_number(clean, "accuracy", NULL), golden_number(g->expected, "eval", "accuracy"), 1e-9);
    CHECK_NEAR(golden_number(attack, "loss", NULL), golden_number(want, "loss", NULL), INTERPOLATION);
    CHECK_NEAR(golden_number(attack, "accuracy", NULL), golden_number(want, "accuracy", NULL), 1e-9);
    json_decref(result);
}

/* Attacks of another kind than the golden one: what is known is that together they find more. */
static void autoattack(const struct golden *g, const char *device, const char *name, int targets, int queries)
{
    const json_t *pgd = json_object_get(g->expected, "pgd10");
    json_t *spec = json_pack("{s:s, s:O, s:{s:[{s:s, s:O, s:i, s:i}]}}", "kind", "evaluate", "batch_size",
                             json_object_get(g->expected, "batch"), "evaluate", "attacks", "type", "autoattack",
                             "epsilon", json_object_get(pgd, "eps"), "targets", targets, "queries", queries);
    json_t *result = job(name, spec_make(g, device, "data.safetensors", spec));
    const json_t *row = json_array_get(json_object_get(result, "attacks"), 0), *stages = json_object_get(row, "stages");

    CHECK_INT(json_array_size(stages), 5);
    CHECK_NEAR(golden_number(json_array_get(stages, 0), "accuracy", NULL),
               golden_number(g->expected, "eval", "accuracy"), 1e-9);
    for (size_t i = 1; i < json_array_size(stages); i++)
        CHECK(golden_number(json_array_get(stages, i), "accuracy", NULL) <=
              golden_number(pgd, "accuracy", NULL) + 1e-9);
    CHECK(golden_number(row, "accuracy", NULL) <= golden_number(pgd, "accuracy", NULL) + 1e-9);
    json_decref(result);
}

/* ---- the cases -------------------------------------------------------------------------------- */

static void every_case(void (*section)(const struct golden *, const char *, const char *), const char *label)
{
    for (int i = 0; i < GOLDEN_CASES; i++) {
        struct golden g = golden_open(i);
        char name[96];

        snprintf(name, sizeof(name), "%s-%s", label, golden_cases[i]);
        section(&g, check_device(), name);
        golden_close(&g);
    }
}

static void sgd_fast(void)
{
    every_case(sgd, "sgd");
}
static void mrc_fast(void)
{
    every_case(mrc, "mrc");
}
static void finetune_fast(void)
{
    every_case(finetune, "finetune");
}
static void evaluate_fast(void)
{
    every_case(evaluate, "evaluate");
}

/* On both nets of CIFAR images: a small version of it, or the standard one with --standard. */
static bool standard;

static void autoattack_cifar(void)
{
    static const int cifar[] = { 0, GOLDEN_WIDE };

    for (int i = 0; i < 2; i++) {
        struct golden g = golden_open(cifar[i]);
        char name[96];

        snprintf(name, sizeof(name), "autoattack-%s", golden_cases[cifar[i]]);
        autoattack(&g, check_device(), name, standard ? 9 : 2, standard ? 5000 : 100);
        golden_close(&g);
    }
}

/* MRC and interpolation take minutes there; the plans they use are compared elsewhere. */
static void sgd_reference(void)
{
    struct golden g = golden_open(0);

    sgd(&g, "ref", "sgd-ref");
    golden_close(&g);
}

static const struct check_case cases[] = {
    { "SGD ends at the golden weights", sgd_fast },
    { "MRC of every module is the golden one", mrc_fast },
    { "fine-tuning and interpolation end at the golden weights and losses", finetune_fast },
    { "clean and PGD-10 accuracy are the golden ones", evaluate_fast },
    { "AutoAttack and each of its stages leave no more than PGD-10", autoattack_cifar },
    { "SGD on the reference device ends there too", sgd_reference },
};

int main(int argc, char **argv)
{
    golden_home(); /* or skip */
    home = check_tmpdir();
    if (argc > 1 && strcmp(argv[1], "--standard") == 0) {
        standard = true;
        argc--;
        argv++;
    }
    int code = check_main(cases, (int)(sizeof(cases) / sizeof(cases[0])), argc, argv);
    check_rmdir(home);
    return code;
}
