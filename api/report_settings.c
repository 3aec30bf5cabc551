/* With which settings, and which files came of it?
 *
 * A setting is a default when leaving it out gives the same: some defaults are
 * null in the field table and depend on other fields, so those are left out and
 * the spec is read again. */
#include "api/report.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- settings ---- */

/* Numbers are equal however they are written. */
static bool values_equal(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b))
        return json_number_value(a) == json_number_value(b);
    if (!json_is_array(a) || !json_is_array(b))
        return json_equal(a, b);
    if (json_array_size(a) != json_array_size(b))
        return false;
    for (size_t i = 0; i < json_array_size(a); i++)
        if (!values_equal(json_array_get(a, i), json_array_get(b, i)))
            return false;
    return true;
}

/* What the field would be if it had been left out: a new reference, or NULL where
 * the spec says nothing then, or needs it. 0, or -ENOMEM. */
static int value_otherwise(const json_t *spec, const char *pointer, json_t **ret)
{
    char parent[96];
    const char *name = strrchr(pointer, '/') + 1;
    json_auto_t *bare = json_deep_copy(spec);
    struct spec_errors errors;
    spec_auto parsed = { 0 };

    *ret = NULL;
    if (!bare)
        return -ENOMEM;
    snprintf(parent, sizeof(parent), "%.*s", (int)(name - 1 - pointer), pointer);
    json_object_del(report_at(bare, parent), name);
    int r = spec_from_json(bare, &parsed, &errors);
    if (r == -ENOMEM)
        return r;
    if (r >= 0)
        *ret = json_incref(report_at(parsed.json, pointer));
    return 0;
}

/* Its default: a new reference, or NULL where it has none. 0, or -ENOMEM. */
static int default_of(const json_t *spec, const struct spec_field *field, const json_t *value, json_t **ret)
{
    *ret = NULL;
    if (!field->fallback)
        return 0;
    *ret = json_read(field->fallback, strlen(field->fallback), JSON_DECODE_ANY, NULL);
    if (!*ret)
        return -ENOMEM;
    if (!json_is_null(*ret) || json_is_null(value))
        return 0;

    json_t *otherwise;
    int r = value_otherwise(spec, field->pointer, &otherwise);
    if (otherwise) {
        json_decref(*ret);
        *ret = otherwise;
    }
    return r;
}

/* A new reference, null for no value; NULL: out of memory. */
static json_t *words(const json_t *value)
{
    if (!value)
        return json_null();
    if (json_is_string(value))
        return json_incref((json_t *)value);
    char *text = spec_text(value, JSON_COMPACT | JSON_ENCODE_ANY);
    json_t *string = text ? json_string(text) : NULL;
    free(text);
    return string;
}

/* Objects whose members have rows of their own are told by those. */
static bool is_told(const struct spec_field *field, const json_t *value)
{
    return value && !((field->type == FIELD_OBJECT || field->type == FIELD_ATTACK) && json_is_object(value));
}

static int settings_add(struct report *report)
{
    const json_t *spec = report->spec;
    json_t *section =
        section_add(report, "settings", "Settings",
                    "setting:mono:Setting|value:text:Value|default:text:Default|differs:text:|unit:text:Unit");

    section_note(section, "Settings that differ from their defaults are marked; with all of them the job runs again.");
    for (int i = 0; i < spec_field_count; i++) {
        const struct spec_field *field = &spec_fields[i];
        const json_t *value = report_at(spec, field->pointer);
        if (report->kind < 0 || !(field->kinds & 1u << report->kind) || !is_told(field, value))
            continue;
        json_auto_t *fallback;
        int r = default_of(spec, field, value, &fallback);
        if (r < 0)
            return r;
        json_t *said = words(value), *usual = words(fallback);
        if (!said || !usual) {
            json_decref(said);
            json_decref(usual);
            return -ENOMEM;
        }
        bool differs = !fallback || !values_equal(fallback, value);
        section_row(section,
                    json_pack("[s, o, o, s, s]", field->pointer + 1, said, usual, differs ? "differs" : "",
                              field->unit ? field->unit : ""),
                    differs);
    }
    return 0;
}

/* ---- files ---- */

static int files_of(struct report *report, json_t *section, const struct db_job *job)
{
    struct db_artifact *artifacts;
    int count = db_artifact_list(report->request->config->db, job->id, &artifacts);

    for (int i = 0; i < count; i++)
        section_row(section,
                    json_pack("[s, s, I, s, s]", job->kind, artifacts[i].name, (json_int_t)artifacts[i].size,
                              artifacts[i].sha256, job->id),
                    job_kinds[report->kind].weights && !strcmp(artifacts[i].name, job_kinds[report->kind].weights));
    if (count >= 0)
        free(artifacts);
    return count < 0 ? count : 0;
}

/* A sweep's files are those of its runs, which have reports of their own. */
static int files_add(struct report *report)
{
    json_t *section = section_add(report, "files", "Files",
                                  "step:text:Step|file:mono:File|size:bytes:Bytes|sha256:mono:SHA-256|job:mono:Job");
    int r = report->kind < 0 ? 0 : files_of(report, section, &report->job);

    for (int i = 0; i < report->step_count && r >= 0 && report->kind == JOB_RIFT; i++)
        r = files_of(report, section, &report->steps[i]);
    if (!json_array_size(json_object_get(section, "rows")))
        section_note(section, "It has made no files yet.");
    return r;
}

int report_settings(struct report *report)
{
    int r = settings_add(report);

    return r < 0 ? r : files_add(report);
}
