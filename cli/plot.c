/* What does a job look like?
 *
 * Its curves as charts; criticality as bars in the network's order (the paper's
 * Figure 3); the walk between two sets of weights as two curves over alpha (its
 * Figure 1). A rift job is drawn by its steps: training, criticality, the walk. */
#include "cli/chart.h"
#include "cli/cli.h"
#include "cli/style.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_USUAL 12
#define ROWS_LEAST 5
#define ROWS_MOST  40
#define LOWEST     " <- lowest"

/* ---- points ---- */

static double number_at(const json_t *object, const char *key)
{
    const json_t *number = json_object_get(object, key);

    return json_is_number(number) ? json_number_value(number) : NAN;
}

/* One more curve: member `y` of the rows over member `x`, or over `otherwise` where they have none. */
static int curve_add(struct chart *chart, const char *name, const json_t *rows, const char *x, const char *otherwise,
                     const char *y)
{
    struct curve *curve = &chart->curves[chart->count];
    size_t count = json_array_size(rows), i;
    const json_t *row;

    if (chart->count == CURVES_MOST)
        return CLI_OK;
    snprintf(curve->name, sizeof(curve->name), "%s", name);
    curve->x = calloc(count + 1, sizeof(double));
    curve->y = calloc(count + 1, sizeof(double));
    curve->count = 0;
    chart->count++;
    if (!curve->x || !curve->y)
        return cli_error(CLI_FAILED, "out of memory");
    json_array_foreach(rows, i, row)
    {
        double at = number_at(row, x);
        curve->x[i] = isnan(at) && otherwise ? number_at(row, otherwise) : at;
        curve->y[i] = number_at(row, y);
        curve->count++;
    }
    return CLI_OK;
}

/* Points of a curve, as many as can be seen; the answer is empty where there is no such curve. */
static int points_get(struct cli *cli, const json_t *job, const char *name, int columns, json_t **ret)
{
    char *url = NULL, most[16];

    if (asprintf(&url, "/v1/jobs/%.36s/metrics", text_at(job, "id", "")) < 0)
        url = NULL;
    snprintf(most, sizeof(most), "%d", 4 * columns);
    url_add(&url, "name", name);
    url_add(&url, "max_points", most);
    if (url_add(&url, "step", cli_value(cli, "step", NULL)) < 0)
        return cli_error(CLI_FAILED, "out of memory");
    int r = server_get(cli, ret, "%s", url);
    free(url);
    return r;
}

/* ---- what is drawn, and for programs what would be ---- */

static int chart_size(struct cli *cli, struct chart *chart)
{
    int rows, columns;

    style_size(&columns, &rows);
    chart->columns = columns;
    chart->rows = atoi(cli_value(cli, "rows", "0"));
    if (cli_given(cli, "rows") && (chart->rows < ROWS_LEAST || chart->rows > ROWS_MOST))
        return cli_error(CLI_USAGE, "plot --rows: expected %d to %d", ROWS_LEAST, ROWS_MOST);
    if (!chart->rows)
        chart->rows = rows - 8 < ROWS_LEAST ? ROWS_LEAST : rows - 8 < ROWS_USUAL ? rows - 8 : ROWS_USUAL;
    chart->log = cli_given(cli, "log") && (!chart->percent || cli_given(cli, "name"));
    return CLI_OK;
}

static json_t *chart_json(const struct chart *chart)
{
    json_t *curves = json_array();

    for (int c = 0; c < chart->count; c++) {
        const struct curve *curve = &chart->curves[c];
        json_t *points = json_array();
        for (int i = 0; i < curve->count; i++)
            json_array_append_new(points,
                                  json_pack("[o, o]", isfinite(curve->x[i]) ? json_real(curve->x[i]) : json_null(),
                                            isfinite(curve->y[i]) ? json_real(curve->y[i]) : json_null()));
        json_array_append_new(curves, json_pack("{s:s, s:o}", "name", curve->name, "points", points));
    }
    return json_pack("{s:s, s:s, s:o}", "title", chart->title, "x", chart->x_name, "curves", curves);
}

/* Charts and bars that were drawn, for --json; and the empty line between two. */
struct drawing {
    json_t *charts;
    bool begun;
};

static void chart_show(struct cli *cli, struct drawing *drawing, const struct chart *chart)
{
    if (cli->json) {
        json_array_append_new(drawing->charts, chart_json(chart));
        return;
    }
    if (drawing->begun)
        putchar('\n');
    drawing->begun = true;
    chart_print(chart);
}

/* ---- kinds of charts ---- */

/* These curves of these jobs; of several jobs each curve is called like its job. */
static int curves_draw(struct cli *cli, struct drawing *drawing, const json_t *jobs, const char *title,
                       const char *const *names, int name_count)
{
    struct chart chart = { .title = title, .x_name = "epoch", .percent = strstr(title, "accuracy") };
    const json_t *job;
    char name[200];
    size_t i;
    int r = chart_size(cli, &chart);

    json_array_foreach(jobs, i, job) for (int n = 0; n < name_count && r == CLI_OK; n++)
    {
        json_auto_t *answer = NULL;

        r = points_get(cli, job, names[n], chart.columns, &answer);
        const json_t *points = json_object_get(answer, "points");
        if (r != CLI_OK || !json_array_size(points))
            continue;
        snprintf(name, sizeof(name), "%s%s%s", name_count > 1 ? names[n] : "", name_count > 1 ? " " : "",
                 text_at(job, "label", text_at(job, "id", "?")));
        if (isnan(number_at(json_array_get(points, 0), "epoch")))
            chart.x_name = "step";
        r = curve_add(&chart, json_array_size(jobs) > 1 ? name : names[n], points, "epoch", "step", "value");
    }
    if (r == CLI_OK && chart.count)
        chart_show(cli, drawing, &chart);
    chart_done(&chart);
    return r;
}

static int training_draw(struct cli *cli, struct drawing *drawing, const json_t *jobs)
{
    static const char *const losses[] = { "train_loss", "clean_loss", "robust_loss" };
    static const char *const accuracies[] = { "clean_accuracy", "robust_accuracy" };
    int r = CLI_OK;

    if (json_array_size(jobs) == 1) {
        r = curves_draw(cli, drawing, jobs, "loss", losses, 3);
        return r == CLI_OK ? curves_draw(cli, drawing, jobs, "accuracy", accuracies, 2) : r;
    }
    for (int i = 0; i < 2 && r == CLI_OK; i++)
        r = curves_draw(cli, drawing, jobs, accuracies[i], &accuracies[i], 1);
    return r;
}

static double mrc_part(double mrc, double least, double most, bool log)
{
    if (!(mrc > 0) || !(most > 0))
        return 0;
    return log && most > least ? (log10(mrc) - log10(least)) / (log10(most) - log10(least)) : mrc / most;
}

static void bars_print(struct cli *cli, const json_t *modules, const char *lowest)
{
    int columns, rows, width = print_width(modules, "module", 6);
    bool log = cli_given(cli, "log");
    double least = INFINITY, most = 0;
    const json_t *module;
    char value[32];
    size_t i;

    style_size(&columns, &rows);
    json_array_foreach(modules, i, module)
    {
        double mrc = number_at(module, "mrc");
        most = mrc > most ? mrc : most;
        least = mrc > 0 && mrc < least ? mrc : least;
    }
    least = isfinite(least) && least > 0 ? pow(10, floor(log10(least) - 1e-9)) : 1; /* where a logarithmic bar begins */
    width = width > columns / 2 ? columns / 2 : width;
    printf("%sModule Robust Criticality%s%s\n", style_on(STYLE_TITLE), style_off(), log ? "  (logarithmic)" : "");
    json_array_foreach(modules, i, module)
    {
        const char *name = text_at(module, "module", "-");
        bool is_lowest = lowest && strcmp(lowest, name) == 0;
        double part = mrc_part(number_at(module, "mrc"), least, most, log);
        int room = columns - width - 11;

        print_number(value, json_object_get(module, "mrc"));
        printf("%-*.*s %9s %s", width, width, name, value, style_on(is_lowest ? STYLE_GOOD : STYLE_FIRST));
        chart_bar(part, room);
        printf("%s%s\n", is_lowest && part * room + sizeof(LOWEST) <= room ? LOWEST : "", style_off());
    }
}

static int criticality_draw(struct cli *cli, struct drawing *drawing, const json_t *job)
{
    json_auto_t *answer = NULL;
    int r = server_get(cli, &answer, "/v1/jobs/%s/modules", text_at(job, "id", ""));
    const json_t *modules = json_object_get(answer, "modules");

    if (r != CLI_OK || !json_array_size(modules))
        return r;
    if (cli->json) {
        json_array_append_new(drawing->charts,
                              json_pack("{s:s, s:O}", "title", "Module Robust Criticality", "modules", modules));
        return CLI_OK;
    }
    if (drawing->begun)
        putchar('\n');
    drawing->begun = true;
    bars_print(cli, modules, text_at(answer, "lowest", NULL));
    return CLI_OK;
}

/* What the chosen point is like. */
static void chosen_words(struct chart *chart, const json_t *points)
{
    char clean[16], robust[16];
    const json_t *point;
    size_t i;

    json_array_foreach(points, i, point)
    {
        if (fabs(number_at(point, "alpha") - chart->mark) > 1e-9)
            continue;
        print_percent(clean, json_object_get(point, "clean_accuracy"));
        print_percent(robust, json_object_get(point, "robust_accuracy"));
        snprintf(chart->words, sizeof(chart->words), "chosen alpha %g: clean %s, robust %s", chart->mark, clean,
                 robust);
    }
}

static int walk_draw(struct cli *cli, struct drawing *drawing, const json_t *job)
{
    struct chart chart = { .title = "Interpolation: accuracy", .x_name = "alpha", .percent = true };
    json_auto_t *answer = NULL;
    int r = chart_size(cli, &chart);

    if (r == CLI_OK)
        r = server_get(cli, &answer, "/v1/jobs/%s/interpolation", text_at(job, "id", ""));
    const json_t *points = json_object_get(answer, "points");
    if (r != CLI_OK || !json_array_size(points))
        return r;
    chart.mark = number_at(answer, "chosen_alpha");
    chart.marked = !isnan(chart.mark);
    chosen_words(&chart, points);
    r = curve_add(&chart, "clean", points, "alpha", NULL, "clean_accuracy");
    if (r == CLI_OK)
        r = curve_add(&chart, "robust", points, "alpha", NULL, "robust_accuracy");
    if (r == CLI_OK)
        chart_show(cli, drawing, &chart);
    chart_done(&chart);
    return r;
}

/* ---- the command ---- */

/* A chart for each name of "a,b". */
static int named_draw(struct cli *cli, struct drawing *drawing, const json_t *jobs, const char *names)
{
    char *copy = strdup(names), *rest = copy, *name;
    int r = copy ? CLI_OK : cli_error(CLI_FAILED, "out of memory");

    while (r == CLI_OK && (name = strsep(&rest, ","))) {
        const char *const one = name;
        size_t before = json_array_size(drawing->charts);
        bool begun = drawing->begun;

        drawing->begun = false;
        if (begun && !cli->json)
            putchar('\n');
        r = curves_draw(cli, drawing, jobs, name, &one, 1);
        if (r == CLI_OK && !drawing->begun && json_array_size(drawing->charts) == before) {
            cli_error(CLI_NOT_FOUND, "plot: there is no curve called \"%s\"", name);
            cli_advice("`riftctl metrics %s` lists those there are.", cli->arguments[0]);
            r = CLI_NOT_FOUND;
        }
        drawing->begun |= begun;
    }
    free(copy);
    return r;
}

static int job_draw(struct cli *cli, struct drawing *drawing, const json_t *jobs)
{
    const json_t *job = json_array_get(jobs, 0);
    int kind = job_kind_find(text_at(job, "kind", ""));
    bool rift = kind == JOB_RIFT, several = json_array_size(jobs) > 1;
    int r = CLI_OK;

    if (rift || several || kind == JOB_TRAIN || kind == JOB_FINETUNE)
        r = training_draw(cli, drawing, jobs);
    if (r == CLI_OK && !several && (rift || kind == JOB_MRC))
        r = criticality_draw(cli, drawing, job);
    if (r == CLI_OK && !several && (rift || kind == JOB_INTERPOLATE))
        r = walk_draw(cli, drawing, job);
    return r;
}

int command_plot(struct cli *cli)
{
    json_auto_t *jobs = json_array();
    struct drawing drawing = { .charts = json_array() };
    const char *names = cli_value(cli, "name", NULL);
    int r = CLI_OK;

    for (int i = 0; i < cli->argument_count && r == CLI_OK; i++) {
        json_t *job = NULL;
        r = server_job(cli, cli->arguments[i], &job);
        if (r == CLI_OK)
            json_array_append_new(jobs, job);
    }
    if (r == CLI_OK)
        r = names ? named_draw(cli, &drawing, jobs, names) : job_draw(cli, &drawing, jobs);
    if (r == CLI_OK && cli->json) {
        json_auto_t *all = json_pack("{s:O}", "charts", drawing.charts);
        print_json(all);
    } else if (r == CLI_OK && !drawing.begun) {
        cli_nothing(cli, json_array_get(jobs, 0));
    }
    json_decref(drawing.charts);
    return r;
}
