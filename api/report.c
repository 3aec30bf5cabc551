/* What did a job find out, on one sheet that leaves the building?
 *
 * Everything there is to know of a job is gathered into one document (report.h),
 * section by section as its kind has them, and then written in the format that
 * was asked for: a page that needs nothing else, or tables for a paper, a notebook
 * or a program. A job that isn't done has a report, too; it says what is missing. */
#include "api/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct format {
    const char *name, *type, *ending;
    void (*write)(FILE *out, const json_t *report);
} formats[] = {
    { "html", "text/html; charset=utf-8", "html", report_html },
    { "markdown", "text/markdown; charset=utf-8", "md", report_markdown },
    { "latex", "application/x-latex", "tex", report_latex },
    { "csv", "text/csv; charset=utf-8", "csv", report_csv },
};

/* ---- gathering ---- */

static void report_done(struct report *report)
{
    for (int kind = 0; kind < JOB_KIND_COUNT; kind++) {
        db_job_done(&report->parts[kind]);
        json_decref(report->results[kind]);
    }
    db_jobs_free(report->steps, report->step_count);
    db_job_done(&report->job);
    json_decref(report->spec);
    json_decref(report->json);
}

/* Who answers for what each kind of job finds out. */
static int parts_find(struct report *report)
{
    struct db *db = report->request->config->db;
    int r = 0;

    for (int kind = 0; kind < JOB_KIND_COUNT; kind++) {
        struct db_job *part = &report->parts[kind];
        if (report->kind == JOB_RIFT && !job_kinds[kind].parent)
            r = step_find(db, &report->job, kind, part);
        else
            r = kind == report->kind ? db_job_get(db, report->job.id, part) : -ENOENT;
        if (r < 0 && r != -ENOENT)
            return r;
        json_t *result = part->result ? text_json(part->result) : NULL;
        report->results[kind] = json_is_object(result) ? json_incref(result) : NULL;
        json_decref(result);
    }
    return 0;
}

/* "RiFT report" and the like: the title's first words, by kind. */
static const char *const titles[JOB_KIND_COUNT] = {
    [JOB_TRAIN] = "Training",           [JOB_MRC] = "Robust criticality",
    [JOB_FINETUNE] = "Fine-tuning",     [JOB_INTERPOLATE] = "Interpolation",
    [JOB_EVALUATE] = "Evaluation",      [JOB_RIFT] = "RiFT",
    [JOB_CORRUPT] = "Corrupted copies", [JOB_SWEEP] = "Sweep",
};

static json_t *head_make(const struct report *report)
{
    const struct db_job *job = &report->job;
    const json_t *protocol = json_object_get(report->spec, "protocol"), *seed = json_object_get(report->spec, "seed");
    const char *title = report->kind >= 0 && titles[report->kind] ? titles[report->kind] : job->kind;
    json_t *badges = json_array();

    json_array_append_new(badges, json_string(job_state_names[job->state]));
    if (json_is_string(protocol))
        json_array_append_new(badges, json_sprintf("protocol %s", json_string_value(protocol)));
    if (json_is_integer(seed))
        json_array_append_new(badges, json_sprintf("seed %" JSON_INTEGER_FORMAT, json_integer_value(seed)));
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:s, s:o, s:[]}", "title", title, "label", job->label, "id",
                     job->id, "kind", job->kind, "state", job_state_names[job->state], "made_at",
                     time_json(report->request->config->now_ms(report->request->config->user)), "version", RIFT_VERSION,
                     "badges", badges, "sections");
}

/* In the order in which they stand on the page. */
static int (*const parts[])(struct report *report) = {
    report_origins,
    report_accuracy,
    report_method_parts,
    report_settings,
};

static int report_make(struct report *report)
{
    struct db *db = report->request->config->db;

    report->kind = job_kind_find(report->job.kind);
    report->spec = text_json(report->job.spec);
    int count = db_job_steps(db, report->job.id, &report->steps);
    if (count < 0)
        return count;
    report->step_count = count;
    int r = parts_find(report);
    report->json = head_make(report);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && r >= 0; i++)
        r = parts[i](report);
    return r < 0 ? r : report->json ? 0 : -ENOMEM;
}

/* ---- answering ---- */

/* NULL with the 400 answered. */
static const struct format *format_read(const struct request *request, struct answer *answer)
{
    const char *name = request_query(request, "format");

    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
        if (!strcmp(formats[i].name, name ? name : "html"))
            return &formats[i];
    answer_problem(answer, request, PROBLEM_BAD_QUERY, "format must be html, markdown, latex or csv");
    return NULL;
}

/* Leave only the section that ?part= names. 1; 0 with the 400 answered. */
static int part_choose(const struct request *request, struct answer *answer, struct report *report)
{
    const char *part = request_query(request, "part");
    json_t *sections = json_object_get(report->json, "sections"), *section;
    char names[300] = "";
    size_t i;

    if (!part)
        return 1;
    json_array_foreach(sections, i, section)
    {
        const char *id = json_string_value(json_object_get(section, "id"));
        if (id && !strcmp(id, part)) {
            json_object_set_new(report->json, "sections", json_pack("[O]", section));
            json_object_set_new(report->json, "part", json_string(part));
            return 1;
        }
        snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s", *names ? ", " : "", id ? id : "");
    }
    return answer_problem(answer, request, PROBLEM_BAD_QUERY, "part: this job's report has %s", names);
}

static int report_answer(struct answer *answer, const struct report *report, const struct format *format)
{
    FILE *out = open_memstream(&answer->text, &answer->size);

    if (!out)
        return -ENOMEM;
    format->write(out, report->json);
    if (fclose(out))
        return -ENOMEM;
    answer->status = 200;
    answer->type = format->type;
    answer->policy = format->write == report_html ? report_policy() : NULL;
    return answer_header(
        answer, "Content-Disposition", "inline; filename=\"%s-%.8s%s%s.%s\"", report->job.kind, report->job.id + 28,
        json_object_get(report->json, "part") ? "-" : "",
        json_object_get(report->json, "part") ? json_string_value(json_object_get(report->json, "part")) : "",
        format->ending);
}

int handle_job_report(const struct request *request, struct answer *answer)
{
    struct report report = { .request = request };
    const struct format *format = format_read(request, answer);

    if (!format)
        return 0;
    int r = job_find(request, answer, &report.job);
    if (r > 0) {
        r = report_make(&report);
        if (r >= 0)
            r = part_choose(request, answer, &report);
        if (r > 0)
            r = report_answer(answer, &report, format);
    }
    report_done(&report);
    return r;
}
