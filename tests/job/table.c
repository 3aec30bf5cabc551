/* Are means and deviations right, and is what isn't alike refused? */
#include "job/job.h"
#include "tests/check.h"

#include <errno.h>
#include <math.h>

/* A lab of rift jobs: spec and result from a few words. */
enum { RUNS = 8 };
static struct table_run runs[RUNS];
static char ids[RUNS][16];
static int count;

static void clear(void)
{
    for (int i = 0; i < count; i++) {
        json_decref((json_t *)runs[i].spec);
        json_decref((json_t *)runs[i].result);
    }
    count = 0;
}

static json_t *accuracies(double clean, double robust, double corrupted)
{
    json_t *row = json_pack("{s:f, s:f}", "clean_accuracy", clean, "robust_accuracy", robust);

    if (!isnan(corrupted))
        json_object_set_new(row, "corruption_accuracy", json_real(corrupted));
    return row;
}

/* `members` over a rift spec of that seed; before 0: no result yet. */
static void add(const char *members, int seed, double before, double after, double corrupted)
{
    char text[512];
    struct spec_errors errors;
    struct job_spec spec = { 0 };

    snprintf(text, sizeof(text), "{\"kind\":\"rift\",\"seed\":%d%s%s%s}", seed, *members ? "," : "", members,
             strstr(members, "dataset") ? "" : ",\"dataset\":{\"name\":\"x\"}");
    if (spec_parse(text, strlen(text), &spec, &errors) < 0) {
        CHECK_FAIL("%s: %s %s", text, errors.list[0].pointer, errors.list[0].message);
        return;
    }
    snprintf(ids[count], sizeof(ids[count]), "job-%d", count);
    runs[count] = (struct table_run){ .id = ids[count], .state = "running", .spec = json_incref(spec.json) };
    if (before > 0)
        runs[count].result =
            json_pack("{s:[s], s:f, s:s, s:o, s:o}", "modules", seed % 2 ? "conv1" : "linear", "alpha", 0.5, "attack",
                      "pgd-10", "before", accuracies(before, before / 2, corrupted - 0.1), "after",
                      accuracies(after, after / 2, corrupted));
    count++;
    spec_done(&spec);
}

static json_t *make(const char *group_by)
{
    struct fault why = { 0 };
    json_t *table = NULL;

    if (table_make(runs, count, group_by, &table, &why) < 0)
        CHECK_FAIL("%s", why.message);
    return table;
}

static void refused(const char *group_by, int code, const char *words, const char *more)
{
    struct fault why = { 0 };
    json_t *table = NULL;

    CHECK_INT(table_make(runs, count, group_by, &table, &why), code);
    CHECK(!table);
    json_decref(table);
    CHECK_HOLDS(why.message, words);
    CHECK_HOLDS(why.message, more);
}

static const json_t *row(const json_t *table, int number)
{
    return json_array_get(json_object_get(table, "rows"), (size_t)number);
}

static double number(const json_t *of, const char *side, const char *column, const char *what)
{
    const json_t *value = json_object_get(json_object_get(json_object_get(of, side), column), what);

    return json_is_number(value) ? json_number_value(value) : NAN;
}

static void means(void)
{
    add("", 0, 0.80, 0.82, NAN);
    add("", 1, 0.82, 0.85, NAN);
    add("", 2, 0.84, 0.82, NAN);
    json_auto_t *table = make(NULL);
    CHECK_INT(json_array_size(json_object_get(table, "rows")), 1);
    CHECK_INT(json_array_size(json_object_get(table, "missing")), 0);
    CHECK_NEAR(number(row(table, 0), "before", "clean_accuracy", "mean"), 0.82, 1e-12);
    CHECK_NEAR(number(row(table, 0), "before", "clean_accuracy", "std"), 0.02, 1e-12); /* n - 1, not n */
    CHECK_NEAR(number(row(table, 0), "before", "robust_accuracy", "mean"), 0.41, 1e-12);
    CHECK_NEAR(number(row(table, 0), "after", "clean_accuracy", "mean"), 0.83, 1e-12);
    CHECK_NEAR(number(row(table, 0), "after", "clean_accuracy", "std"), sqrt(0.0003), 1e-12);
    /* Gains are of each seed: +2, +3, -2. */
    CHECK_NEAR(number(row(table, 0), "gain", "clean_accuracy", "mean"), 0.01, 1e-12);
    CHECK_NEAR(number(row(table, 0), "gain", "clean_accuracy", "std"), sqrt(0.0007), 1e-12);
    CHECK_INT((int)number(row(table, 0), "gain", "clean_accuracy", "n"), 3);
    CHECK(!json_object_get(json_object_get(row(table, 0), "before"), "corruption_accuracy"));
    CHECK_STRING(json_string_value(json_object_get(table, "protocol")), "validation");
    CHECK_STRING(json_string_value(json_object_get(row(table, 0), "protocol")), "validation");
    CHECK_INT(json_array_size(json_object_get(row(table, 0), "chosen")), 3);
    clear();
}

static void one_and_none(void)
{
    add("", 4, 0.5, 0.6, NAN);
    add("\"train\":{\"method\":\"trades\"}", 4, 0, 0, NAN);
    json_auto_t *table = make("");
    CHECK_NEAR(number(row(table, 0), "before", "clean_accuracy", "mean"), 0.5, 1e-12);
    CHECK(isnan(number(row(table, 0), "before", "clean_accuracy", "std"))); /* one has no deviation, not 0 */
    CHECK_INT(json_integer_value(json_object_get(row(table, 1), "n")), 0);
    CHECK(isnan(number(row(table, 1), "before", "clean_accuracy", "mean")));
    const json_t *missing = json_array_get(json_object_get(table, "missing"), 0);
    CHECK_STRING(json_string_value(json_object_get(missing, "job")), "job-1");
    CHECK_STRING(json_string_value(json_object_get(missing, "method")), "trades");
    CHECK_STRING(json_string_value(json_object_get(missing, "state")), "running");
    char *text = table_text(table, TABLE_TEXT);
    CHECK_HOLDS(text, "missing: TRADES, seed 4, lowest: running (job job-1)");
    free(text);
    clear();
}

/* The mean over corruptions of one run may be 0.085, of another a bit of the last place less. */
static void rounding_is_no_deviation(void)
{
    add("", 0, 0.5, 0.5, 0.185);
    add("", 1, 0.5, 0.5, nextafter(0.185, 0));
    json_auto_t *table = make(NULL);
    CHECK_NEAR(number(row(table, 0), "after", "corruption_accuracy", "std"), 0, 0);
    CHECK_NEAR(number(row(table, 0), "after", "clean_accuracy", "std"), 0, 0);
    clear();
}

static void corruptions_where_measured(void)
{
    add("", 0, 0.8, 0.8, 0.7);
    add("", 1, 0.8, 0.8, NAN);
    json_auto_t *table = make(NULL);
    CHECK_NEAR(number(row(table, 0), "after", "corruption_accuracy", "mean"), 0.7, 1e-12);
    CHECK_INT((int)number(row(table, 0), "after", "corruption_accuracy", "n"), 1);
    char *text = table_text(table, TABLE_CSV);
    CHECK_HOLDS(text, "clean_mean,clean_std,ood_mean,ood_std,robust_mean,robust_std");
    free(text);
    clear();
}

static void rows_apart(void)
{
    add("", 0, 0.8, 0.8, NAN);
    add("\"finetune\":{\"modules\":\"last\"}", 0, 0.8, 0.8, NAN);
    add("\"train\":{\"method\":\"mart\"}", 0, 0.8, 0.8, NAN);
    add("\"train\":{\"method\":\"mart\",\"mart\":{\"beta\":5}},\"device\":\"cpu\",\"label\":\"l\",\"threads\":3", 1,
        0.8, 0.8, NAN);
    json_auto_t *table = make(NULL);
    CHECK_INT(json_array_size(json_object_get(table, "rows")), 3);
    CHECK_INT(json_integer_value(json_object_get(row(table, 2), "n")), 2);
    clear();
}

static void mixtures(void)
{
    add("", 0, 0.8, 0.8, NAN);
    add("\"protocol\":\"paper\"", 1, 0.8, 0.8, NAN);
    refused(NULL, -EINVAL, "jobs job-0 and job-1 can't stand in one table: protocol is \"validation\"",
            "\"paper\" in the second");
    json_auto_t *table = make("protocol");
    CHECK_INT(json_array_size(json_object_get(table, "rows")), 2);
    CHECK(json_is_null(json_object_get(table, "protocol")));
    CHECK_STRING(json_string_value(json_object_get(row(table, 1), "protocol")), "paper");
    clear();

    /* Not in another row either. */
    add("", 0, 0.8, 0.8, NAN);
    add("\"protocol\":\"paper\",\"train\":{\"method\":\"mart\"}", 0, 0.8, 0.8, NAN);
    refused(NULL, -EINVAL, "job-0 and job-1", "protocol");
    clear();
    add("", 0, 0.8, 0.8, NAN);
    add("\"dataset\":{\"name\":\"y\"},\"train\":{\"method\":\"mart\"}", 0, 0.8, 0.8, NAN);
    refused(NULL, -EINVAL, "job-0 and job-1", "dataset.name");
    clear();
    add("", 0, 0.8, 0.8, NAN);
    add("\"model\":{\"arch\":\"resnet34\"}", 1, 0.8, 0.8, NAN);
    refused(NULL, -EINVAL, "job-0 and job-1", "model.arch is \"resnet18\" in the first and \"resnet34\"");
    json_decref(make("model.arch"));
    clear();
    add("", 0, 0.8, 0.8, NAN);
    add("\"train\":{\"method\":\"mart\"},\"attack\":{\"epsilon\":0.031}", 0, 0.8, 0.8, NAN);
    refused(NULL, -EINVAL, "job-0 and job-1", "evaluate.attacks"); /* as strong a ball for every row */
    json_decref(make("evaluate.attacks"));
    clear();
    /* Whatever decides the numbers of a row. */
    add("", 0, 0.8, 0.8, NAN);
    add("\"train\":{\"epochs\":3}", 1, 0.8, 0.8, NAN);
    refused("protocol", -EINVAL, "train.epochs", "110");
    clear();
    add("", 0, 0.8, 0.8, NAN);
    add("\"attack\":{\"epsilon\":\"4/255\"}", 1, 0.8, 0.8, NAN);
    refused(NULL, -EINVAL, "attack", "4/255");
    clear();
}

/* However it was written, and whenever. */
static void the_same_in_other_words(void)
{
    add("", 0, 0.8, 0.8, NAN);
    add("\"mrc\":{\"lr\":1},\"attack\":{\"epsilon\":0.03137254901960784},\"interpolate\":{\"alphas\":[0.0,0.1,0.2,0.3,"
        "0.4,0.5,0.6,0.7,0.8,0.9,1]}",
        1, 0.8, 0.8, NAN);
    add("", 2, 0.8, 0.8, NAN);
    json_object_del(json_object_get(runs[2].spec, "attack"), "rho"); /* by a riftd that didn't know it */
    json_object_del(json_array_get(json_object_get(json_object_get(runs[2].spec, "evaluate"), "attacks"), 0), "rho");
    json_decref(make(NULL));
    add("\"attack\":{\"rho\":0.5}", 3, 0.8, 0.8, NAN);
    refused(NULL, -EINVAL, "job-0 and job-3", "attack.rho is 0.75 in the first and 0.5 in the second");
    json_decref(make("attack.rho,evaluate.attacks"));
    json_decref(make("attack,evaluate.attacks"));
    clear();
    add("\"train\":{\"method\":\"standard\"},\"evaluate\":{\"attacks\":[]}", 0, 0.8, 0.8, NAN);
    add("\"train\":{\"method\":\"standard\"},\"evaluate\":{\"attacks\":[]},\"attack\":null", 1, 0.8, 0.8, NAN);
    refused(NULL, -EINVAL, "job-0 and job-1", "attack is {");
    clear();
}

/* Nothing is cut: a program counts the seeds. */
static void long_cells(void)
{
    static char words[4000], text[4200];
    json_auto_t *table =
        json_loads("{\"rows\":[{\"method\":\"mart\",\"modules\":[],\"n\":100,\"seeds\":[],\"chosen\":[],"
                   "\"before\":{},\"after\":{},\"gain\":{}}],\"group_by\":[]}",
                   0, NULL);
    size_t used = 0;

    for (int i = 0; i < 100; i++) {
        json_array_append_new(json_object_get(row(table, 0), "seeds"), json_integer(i ? 1000 + i : 9007199254740991));
        json_array_append_new(json_object_get(row(table, 0), "modules"), json_sprintf("layer%d", i));
        used += (size_t)snprintf(words + used, sizeof(words) - used, "%s%ld", i ? " " : "",
                                 i ? 1000L + i : 9007199254740991L);
    }
    snprintf(text, sizeof(text), ",100,%s,", words);
    char *csv = table_text(table, TABLE_CSV);
    CHECK_HOLDS(csv, text);
    CHECK_HOLDS(csv, "layer98, layer99\"");
    free(csv);
}

/* What a user wrote is text in every format, wherever it stands. */
static void marks_are_text(void)
{
    add("\"finetune\":{\"modules\":{\"containing\":\"\\\\input{a}$^~|_\"}},\"evaluate\":{\"attacks\":[{\"name\":\"<b>"
        "50%\"}]}",
        0, 0.8, 0.8, NAN);
    add("\"finetune\":{\"modules\":{\"containing\":\"\\\\input{a}$^~|_\"}},\"evaluate\":{\"attacks\":[{\"name\":\"<b>"
        "50%\"}]}",
        1, 0, 0, NAN);
    json_object_set_new((json_t *)runs[0].result, "attack", json_string("<b>50%"));
    json_auto_t *table = make(NULL);
    char *text = table_text(table, TABLE_LATEX);
    CHECK_HOLDS(text, "containing \\textbackslash{}input\\{a\\}\\$\\textasciicircum{}\\textasciitilde{}|\\_");
    CHECK_HOLDS(text, " & $80.00$ & $40.00$ & ");
    free(text);
    text = table_text(table, TABLE_MARKDOWN);
    CHECK_HOLDS(text, "(containing \\\\input{a}$^~\\|\\_)");
    CHECK_HOLDS(text, "Adv: \\<b>50%");
    CHECK_HOLDS(text, "seed 1, containing \\\\input{a}$^~\\|\\_: running");
    free(text);
    clear();
}

static void twice(void)
{
    add("", 0, 0.8, 0.8, NAN);
    add("\"label\":\"again\"", 0, 0.8, 0.8, NAN);
    refused(NULL, -EINVAL, "jobs job-0 and job-1 are the same run", "count twice");
    runs[1].id = runs[0].id;
    refused(NULL, -EINVAL, "job job-0 is named twice", "");
    clear();
}

static void group_names(void)
{
    add("", 0, 0.8, 0.8, NAN);
    refused("protocl", -ENOENT, "no field \"protocl\"", "did you mean \"protocol\"?");
    refused("model.ach", -ENOENT, "\"model.ach\"", "did you mean \"model.arch\"?");
    refused(",", -ENOENT, "no field", "");
    clear();
}

static void on_paper(void)
{
    add("", 0, 0.80, 0.82, NAN);
    add("", 1, 0.82, 0.85, NAN);
    json_auto_t *table = make(NULL);
    char *text = table_text(table, TABLE_MARKDOWN);
    CHECK_HOLDS(text, "| PGD-AT | 81.00 ± 1.41 | 40.50 ± 0.71 | 2 |  |  |\n"
                      "| PGD-AT+RiFT | 83.50 ± 2.12 | 41.75 ± 1.06 | 2 | linear, conv1 | 0.5, 0.5 |\n"
                      "| gain | +2.50 ± 0.71 | +1.25 ± 0.35 |");
    CHECK_HOLDS(text, "protocol validation");
    free(text);
    text = table_text(table, TABLE_LATEX);
    CHECK_HOLDS(text, "\\begin{tabular}{lcccll}");
    CHECK_HOLDS(text, "PGD-AT+RiFT & $83.50 \\pm 2.12$ & $41.75 \\pm 1.06$ & 2 & linear, conv1 & 0.5, 0.5 \\\\");
    free(text);
    text = table_text(table, TABLE_CSV);
    CHECK_HOLDS(text, "method,modules,protocol,attack,weights,n,seeds,clean_mean,clean_std,robust_mean,robust_std,"
                      "chosen_modules,alphas\r\npgd-at,lowest,validation,pgd-10,before,2,0 1,0.81,0.01414213562,");
    CHECK_HOLDS(text, "\"linear, conv1\",0.5 0.5\r\n");
    free(text);
    text = table_text(table, TABLE_TEXT);
    CHECK_HOLDS(text, "PGD-AT+RiFT  83.50 ± 2.12  41.75 ± 1.06  2  linear, conv1  0.5, 0.5\n");
    free(text);
    text = table_text(table, TABLE_JSON);
    json_auto_t *back = json_loads(text, 0, NULL);
    CHECK(json_equal(back, table));
    free(text);
    clear();
}

/* 57.937 and 55.573 of a hundred: 2.364 apart, and 57.94 and 55.57 on paper. */
static void gains_of_digits(void)
{
    add("", 0, 0.57937, 0.55573, NAN);
    json_auto_t *table = make(NULL);
    char *text = table_text(table, TABLE_TEXT);
    CHECK_HOLDS(text, "PGD-AT       57.94 ");
    CHECK_HOLDS(text, "PGD-AT+RiFT  55.57 ");
    CHECK_HOLDS(text, "  gain       -2.37 ");
    free(text);
    text = table_text(table, TABLE_LATEX);
    CHECK_HOLDS(text, "gain & $-2.37$ &");
    free(text);
    text = table_text(table, TABLE_CSV);
    CHECK_HOLDS(text, ",gain,1,0,-0.02364,");
    free(text);
    clear();
    CHECK_NEAR(points_between(0.57937, 0.55573, 2), -2.37, 1e-9);
    CHECK_NEAR(points_between(0.57937, 0.55573, 1), -2.3, 1e-9); /* 57.9 and 55.6 */
    CHECK_NEAR(points_between(0.83125, 0.83125, 2), 0, 0);
    CHECK_NEAR(points_gained(-0.02364, 0.57937, 0.55573, 2), -2.37, 1e-9);
    CHECK_NEAR(points_gained(-0.03, 0.57937, 0.55573, 2), -3, 1e-9); /* of other runs: itself */
}

static void images_known(void)
{
    add("", 0, 0.80, 0.82, NAN);
    add("", 1, 0.82, 0.85, NAN);
    for (int i = 0; i < 2; i++) {
        json_object_set_new((json_t *)runs[i].result, "images", json_integer(1500));
        json_object_set_new((json_t *)runs[i].result, "split", json_string("test"));
    }
    json_auto_t *both = make(NULL);
    CHECK_INT(json_integer_value(json_object_get(both, "images")), 1500);
    char *text = table_text(both, TABLE_TEXT);
    CHECK_HOLDS(text, "Accuracy in percent on 1500 test images, mean ± sample standard deviation over n seeds; Adv: ");
    free(text);
    json_object_del((json_t *)runs[1].result, "images"); /* made before results said so */
    json_auto_t *one = make(NULL);
    CHECK(json_is_null(json_object_get(one, "images")));
    text = table_text(one, TABLE_TEXT);
    CHECK_HOLDS(text, "Accuracy in percent, mean ±");
    free(text);
    clear();
    add("", 0, 0.80, 0.82, NAN);
    json_auto_t *alone = make(NULL);
    text = table_text(alone, TABLE_TEXT);
    CHECK_HOLDS(text, "\nAccuracy in percent; Adv: pgd-10; protocol validation.\n"); /* no mean, no deviation */
    free(text);
    clear();
}

static const struct check_case cases[] = {
    { "a cell is the mean and sample standard deviation over seeds, a gain that of the differences", means },
    { "one run has no deviation, and a run without a result is listed as missing", one_and_none },
    { "runs that only rounding sets apart don't deviate", rounding_is_no_deviation },
    { "accuracy on corrupted images is there where it was measured", corruptions_where_measured },
    { "methods and module choices are rows, devices and labels aren't", rows_apart },
    { "what isn't alike is refused with jobs and field, unless a group keeps it apart", mixtures },
    { "numbers are alike however they were written, and what an older spec lacks is the default",
      the_same_in_other_words },
    { "no run counts twice", twice },
    { "a field to group by that isn't there is told with the nearest one", group_names },
    { "Markdown, LaTeX, CSV, text and JSON say the same", on_paper },
    { "a gain is what the numbers beside it differ by as they are printed, in CSV what was measured", gains_of_digits },
    { "how many images were judged is said where all runs agree, a deviation only where there is one", images_known },
    { "a hundred seeds stand in one cell", long_cells },
    { "names with marks of LaTeX or Markdown stay names", marks_are_text },
};
CHECK_MAIN(cases)
