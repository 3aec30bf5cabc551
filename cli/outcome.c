/* What is there to say once a job has ended?
 *
 * The tables of its kind when it succeeded, its error when it failed; the exit
 * code is the job's. */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void show_criticality(struct cli *cli, const json_t *answer)
{
    const json_t *modules = json_object_get(answer, "modules"), *row;
    json_auto_t *job = NULL;
    bool sets = false;
    char path[80];
    size_t i;

    json_array_foreach(modules, i, row) sets = sets || json_object_get(row, "modules");
    snprintf(path, sizeof(path), "/v1/jobs/%.36s", text_at(answer, "job", ""));
    if (sets) /* only the job's result says which of them a search chose */
        server_try(cli->http, path, &job);
    print_modules(modules, text_at(answer, "lowest", NULL), json_object_get(json_object_get(job, "result"), "greedy"));
    print_images("on", answer, "\n");
}

static int show_modules(struct cli *cli, const json_t *job)
{
    json_auto_t *answer = NULL;
    int r = server_get(cli, &answer, "/v1/jobs/%s/modules", text_at(job, "id", ""));

    if (r != CLI_OK)
        return r;
    printf("\nModule Robust Criticality\n\n");
    show_criticality(cli, answer);
    return CLI_OK;
}

static int show_interpolation(struct cli *cli, const json_t *job)
{
    json_auto_t *answer = NULL;
    int r = server_get(cli, &answer, "/v1/jobs/%s/interpolation", text_at(job, "id", ""));

    if (r != CLI_OK)
        return r;
    printf("\nInterpolation\n\n");
    print_interpolation(answer);
    return CLI_OK;
}

void show_measured(struct cli *cli, const json_t *job)
{
    json_auto_t *evaluate = NULL;
    const json_t *step;
    char path[80];
    size_t i;

    if (job_kind_find(text_at(job, "kind", "")) == JOB_EVALUATE) {
        print_evaluation(job);
        return;
    }
    json_array_foreach(json_object_get(job, "steps"), i, step)
    {
        if (job_kind_find(text_at(step, "kind", "")) != JOB_EVALUATE || evaluate)
            continue;
        snprintf(path, sizeof(path), "/v1/jobs/%.36s", text_at(step, "id", ""));
        server_try(cli->http, path, &evaluate);
    }
    print_table(job, json_object_get(evaluate, "result"));
}

static int show_evaluation(struct cli *cli, const json_t *job)
{
    printf("\nEvaluation\n\n");
    show_measured(cli, job);
    return CLI_OK;
}

static int show_training(struct cli *cli, const json_t *job)
{
    const json_t *result = json_object_get(job, "result");
    json_int_t epochs = json_integer_value(json_object_get(result, "epochs"));
    char clean[16], robust[16];

    (void)cli;
    print_percent(clean, json_object_get(result, "clean_accuracy"));
    print_percent(robust, json_object_get(result, "robust_accuracy"));
    printf("\n%" JSON_INTEGER_FORMAT " epoch%s, best after %" JSON_INTEGER_FORMAT ": clean %s, robust %s\n", epochs,
           print_plural((size_t)epochs), json_integer_value(json_object_get(result, "best_epoch")), clean, robust);
    return CLI_OK;
}

/* A rift job that was given criticality by its directory, or whose mrc job was
 * deleted since, has no such table: it has succeeded all the same. */
static int show_modules_if_any(struct cli *cli, const json_t *job)
{
    json_auto_t *answer = NULL;
    char path[80];

    snprintf(path, sizeof(path), "/v1/jobs/%.36s/modules", text_at(job, "id", ""));
    return server_try(cli->http, path, &answer) == 404 ? CLI_OK : show_modules(cli, job);
}

static int show_rift(struct cli *cli, const json_t *job)
{
    int r = show_modules_if_any(cli, job);

    if (r == CLI_OK)
        r = show_interpolation(cli, job);
    if (r != CLI_OK)
        return r;
    printf("\nBefore and after\n\n");
    show_measured(cli, job);
    return CLI_OK;
}

static int show_copies(struct cli *cli, const json_t *job)
{
    print_copies(cli, job);
    return CLI_OK;
}

/* What there is, split by split; the pictures are files. */
static int show_inspection(struct cli *cli, const json_t *job)
{
    const json_t *result = json_object_get(job, "result"), *split;
    const json_t *attacked = json_object_get(result, "adversarial");
    const char *name;

    (void)cli;
    printf("\n%-12s%10s\n", "split", "images");
    json_object_foreach(json_object_get(result, "splits"), name, split)
        printf("%-12s%10" JSON_INTEGER_FORMAT "\n", name, json_integer_value(json_object_get(split, "images")));
    printf("%" JSON_INTEGER_FORMAT " classes\n", json_integer_value(json_object_get(result, "classes")));
    if (attacked)
        printf("%s: right before %" JSON_INTEGER_FORMAT ", after %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT
               " images\n",
               text_at(attacked, "attack", ""), json_integer_value(json_object_get(attacked, "right_before")),
               json_integer_value(json_object_get(attacked, "right_after")),
               json_integer_value(json_object_get(attacked, "rows")));
    printf("the pictures: riftctl fetch %.8s\n", text_at(job, "id", ""));
    return CLI_OK;
}

/* Asked for anew: it also says what became of runs that are missing. */
static int show_sweep(struct cli *cli, const json_t *job)
{
    json_auto_t *table = NULL;
    int r = server_get(cli, &table, "/v1/jobs/%s/table", text_at(job, "id", ""));

    if (r != CLI_OK)
        return r;
    char *text = table_text(table, TABLE_TEXT);
    printf("\n%s", text ? text : "");
    free(text);
    return CLI_OK;
}

static int (*const shows[JOB_KIND_COUNT])(struct cli *cli, const json_t *job) = {
    [JOB_TRAIN] = show_training,      [JOB_MRC] = show_modules,
    [JOB_FINETUNE] = show_training,   [JOB_INTERPOLATE] = show_interpolation,
    [JOB_EVALUATE] = show_evaluation, [JOB_RIFT] = show_rift,
    [JOB_CORRUPT] = show_copies,      [JOB_SWEEP] = show_sweep,
    [JOB_INSPECT] = show_inspection,
};

enum cli_exit outcome_exit(const json_t *job)
{
    static const struct {
        const char *state;
        enum cli_exit code;
    } rows[] = {
        { "succeeded", CLI_OK },
        { "failed", CLI_FAILED },
        { "cancelled", CLI_CANCELLED },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (strcmp(rows[i].state, text_at(job, "state", "")) == 0)
            return rows[i].code;
    return CLI_FAILED;
}

/* Is the message about what lies at a path of the spec? */
static bool tells_of(const char *message, const json_t *object, const char *key)
{
    const char *path = text_at(object, key, NULL);

    return path && *path && strstr(message, path);
}

static void advise(const json_t *job)
{
    const json_t *error = json_object_get(job, "error"), *spec = json_object_get(job, "spec");
    const json_t *data = json_object_get(spec, "dataset");
    const json_t *copies = json_object_get(json_object_get(spec, "evaluate"), "corruptions");
    const char *message = text_at(error, "message", "");

    if (strstr(message, "No such file or directory") &&
        (tells_of(message, data, "path") || tells_of(message, data, "test_path") || tells_of(message, copies, "path")))
        cli_advice("`riftctl dataset fetch NAME --to DIR` downloads the published data sets (docs/data.md); then\n"
                   "  `riftctl retry %.18s`, or hand the job in again with the path that was printed.",
                   text_at(job, "id", ""));
}

static void say_error(const json_t *job)
{
    const json_t *error = json_object_get(job, "error");
    enum cli_exit code = outcome_exit(job);

    cli_error(code, "the job %s%s%s%s", code == CLI_CANCELLED ? "was " : "", text_at(job, "state", "?"),
              json_is_object(error) ? ": " : "", text_at(error, "message", ""));
    advise(job);
}

int outcome_show(struct cli *cli, const json_t *job)
{
    enum cli_exit code = outcome_exit(job);
    int kind = job_kind_find(text_at(job, "kind", ""));

    if (cli->json) {
        char *text = json_dumps(job, JSON_COMPACT);
        printf("%s\n", text ? text : "");
        free(text);
        return code;
    }
    if (code != CLI_OK) {
        if (kind == JOB_SWEEP) /* what did succeed is worth its table */
            show_sweep(cli, job);
        say_error(job);
        return code;
    }
    return kind < 0 ? CLI_OK : shows[kind](cli, job);
}
