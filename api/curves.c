/* How did a number develop?
 *
 * As JSON the names of a job's curves, or the points of one. For other programs all
 * points, of one curve or of all, as CSV or one JSON object a line. Curves that are
 * longer than max_points are thinned by db/, each for itself. */
#include "api/exchange.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is asked for. */
struct curves {
    const char *name; /* NULL: all */
    struct db_steps steps;
    int64_t max_points;
};

int points_json(struct db *db, const char *job, const char *name, struct db_steps steps, int max_points, json_t **ret)
{
    struct db_point *points = NULL;
    int count = db_point_list_within(db, job, name, steps, max_points, &points);

    if (count < 0 && count != -ENOENT)
        return count;
    json_t *list = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(list, json_pack("{s:I, s:o, s:o, s:I}", "step", (json_int_t)points[i].step, "epoch",
                                              number_json(points[i].epoch), "value", number_json(points[i].value),
                                              "time_ms", (json_int_t)points[i].time_ms));
    free(points);
    *ret = list;
    return list ? 0 : -ENOMEM;
}

/* ---- JSON ---- */

static int series_answer(const struct request *request, struct answer *answer, const struct db_job *job)
{
    struct db_series *series;
    int count = db_series_list(request->config->db, job->id, &series);

    if (count < 0)
        return count;
    json_t *list = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:o, s:o, s:o}", "name", series[i].name, "count",
                                              (json_int_t)series[i].count, "last_step", (json_int_t)series[i].last_step,
                                              "last", number_json(series[i].last), "min", number_json(series[i].min),
                                              "max", number_json(series[i].max)));
    free(series);
    return answer_json(answer, 200, json_pack("{s:s, s:s, s:o}", "job", job->id, "kind", job->kind, "series", list));
}

static int curve_answer(const struct request *request, struct answer *answer, const struct db_job *job,
                        const struct curves *asked)
{
    json_t *points;
    int r = points_json(request->config->db, job->id, asked->name, asked->steps, (int)asked->max_points, &points);

    return r < 0 ? r
                 : answer_json(answer, 200,
                               json_pack("{s:s, s:s, s:s, s:o}", "job", job->id, "kind", job->kind, "name", asked->name,
                                         "points", points));
}

/* ---- text ---- */

static void csv_number(FILE *out, double value, const char *end)
{
    if (isfinite(value))
        fprintf(out, "%.17g", value);
    fputs(end, out);
}

static void csv_point(FILE *out, const char *name, const struct db_point *point)
{
    json_auto_t *time = time_json(point->time_ms);

    if (strpbrk(name, ",\"\r\n")) {
        putc('"', out);
        for (; *name; name++)
            fprintf(out, "%s%c", *name == '"' ? "\"" : "", *name);
        putc('"', out);
    } else {
        fputs(name, out);
    }
    fprintf(out, ",%" PRId64 ",", point->step);
    csv_number(out, point->epoch, ",");
    fprintf(out, "%s,", json_string_value(time) ? json_string_value(time) : "");
    csv_number(out, point->value, "\n");
}

static void line_point(FILE *out, const char *name, const struct db_point *point)
{
    json_auto_t *json =
        json_pack("{s:s, s:I, s:o, s:o, s:I}", "name", name, "step", (json_int_t)point->step, "epoch",
                  number_json(point->epoch), "value", number_json(point->value), "time_ms", (json_int_t)point->time_ms);

    if (json) /* what isn't there for want of memory http.c hears of */
        json_dumpf(json, out, JSON_COMPACT);
    putc('\n', out);
}

/* The first is JSON, which isn't written a point at a time. */
static const struct format {
    const char *name, *accept, *type, *head;
    void (*point)(FILE *out, const char *name, const struct db_point *point);
} formats[] = {
    { "json", "application/json", "application/json", "", NULL },
    { "csv", "text/csv", "text/csv; charset=utf-8", "name,step,epoch,time,value\n", csv_point },
    { "ndjson", "application/x-ndjson", "application/x-ndjson", "", line_point },
};
enum { FORMATS = sizeof(formats) / sizeof(formats[0]) };

static int curve_write(FILE *out, const struct request *request, const struct db_job *job, const struct curves *asked,
                       const char *name, const struct format *format)
{
    struct db_point *points = NULL;
    int count = db_point_list_within(request->config->db, job->id, name, asked->steps, (int)asked->max_points, &points);

    for (int i = 0; i < count; i++)
        format->point(out, name, &points[i]);
    free(points);
    return count < 0 && count != -ENOENT ? count : 0;
}

static int text_answer(const struct request *request, struct answer *answer, const struct db_job *job,
                       const struct curves *asked, const struct format *format)
{
    struct db_series *series = NULL;
    int count = asked->name ? 0 : db_series_list(request->config->db, job->id, &series);
    FILE *out = count < 0 ? NULL : open_memstream(&answer->text, &answer->size);
    int r = count < 0 ? count : out ? 0 : -ENOMEM;

    if (out)
        fputs(format->head, out);
    if (out && asked->name)
        r = curve_write(out, request, job, asked, asked->name, format);
    for (int i = 0; i < count && r >= 0; i++)
        r = curve_write(out, request, job, asked, series[i].name, format);
    free(series);
    if (out && fclose(out))
        r = -ENOMEM;
    answer->status = 200;
    answer->type = format->type;
    return r;
}

/* NULL with the 400 answered. */
static const struct format *format_read(const struct request *request, struct answer *answer)
{
    const char *name = request_query(request, "format");

    for (int i = 0; i < FORMATS; i++)
        if (name ? !strcmp(formats[i].name, name) : request_accepts(request, formats[i].accept))
            return &formats[i];
    if (!name)
        return &formats[0];
    answer_problem(answer, request, PROBLEM_BAD_QUERY, "format must be json, csv or ndjson");
    return NULL;
}

int handle_job_metrics(const struct request *request, struct answer *answer)
{
    struct curves asked = { .name = request_query(request, "name") };
    const struct format *format = format_read(request, answer);
    db_job_auto job = { 0 };

    if (!format || request_int(request, answer, "since", -1, INT64_MAX, -1, &asked.steps.since) < 0 ||
        request_int(request, answer, "until", 0, INT64_MAX, INT64_MAX, &asked.steps.until) < 0 ||
        request_int(request, answer, "max_points", 2, POINTS_MAX, POINTS, &asked.max_points) < 0)
        return 0;
    int r = source_find(request, answer, JOB_TRAIN, &job);
    if (r <= 0)
        return r;
    if (format->point)
        return text_answer(request, answer, &job, &asked, format);
    return asked.name ? curve_answer(request, answer, &job, &asked) : series_answer(request, answer, &job);
}
