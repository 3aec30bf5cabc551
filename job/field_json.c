/* How does a row of the field table look to a program?
 *
 * One shape for GET /v1/fields, `riftctl fields --json` and the test that holds
 * openapi.yaml against the table. */
#include "job/job.h"

#include <math.h>
#include <string.h>

static const char *const type_words[] = {
    [FIELD_BOOL] = "bool",
    [FIELD_INT] = "int",
    [FIELD_REAL] = "real",
    [FIELD_PIXEL] = "pixel",
    [FIELD_STRING] = "string",
    [FIELD_PATH] = "string",
    [FIELD_ENUM] = "enum",
    [FIELD_INT_LIST] = "int-list",
    [FIELD_REAL_LIST] = "real-list",
    [FIELD_STRING_LIST] = "string-list",
    [FIELD_STRING_LISTS] = "string-lists",
    [FIELD_WEIGHTS] = "weights",
    [FIELD_JOB] = "job",
    [FIELD_BYTES] = "bytes",
    [FIELD_AFTER] = "after",
    [FIELD_MODULES] = "modules",
    [FIELD_CHOICE_LIST] = "modules-list",
    [FIELD_ATTACK] = "attack",
    [FIELD_ATTACK_LIST] = "attack-list",
    [FIELD_OBJECT] = "object",
};

/* "a|b" -> ["a", "b"]; null for NULL. */
static json_t *values_json(const char *values)
{
    if (!values)
        return json_null();
    json_t *list = json_array();
    for (; *values; values += strcspn(values, "|"), values += *values == '|')
        json_array_append_new(list, json_stringn(values, strcspn(values, "|")));
    return list;
}

/* Whole numbers as such; null for no bound. */
static json_t *bound_json(const struct spec_field *field, double bound)
{
    if (field->min == field->max || !isfinite(bound))
        return json_null();
    return bound == rint(bound) && fabs(bound) < 9e15 ? json_integer((json_int_t)bound) : json_real(bound);
}

json_t *spec_field_json(const struct spec_field *field)
{
    json_t *kinds = json_array();

    for (int kind = 0; kind < JOB_KIND_COUNT; kind++)
        if (field->kinds & 1u << kind)
            json_array_append_new(kinds, json_string(job_kinds[kind].name));
    return json_pack("{s:s, s:s, s:o, s:b, s:o, s:o, s:o, s:o, s:b, s:s, s:s}", "pointer", field->pointer, "type",
                     type_words[field->type], "kinds", kinds, "required", !field->fallback, "default",
                     field->fallback ? json_loads(field->fallback, JSON_DECODE_ANY, NULL) : json_null(), "min",
                     bound_json(field, field->min), "max", bound_json(field, field->max), "values",
                     values_json(field->values), "nullable", field->nullable, "unit", field->unit ? field->unit : "",
                     "meaning", field->meaning);
}
