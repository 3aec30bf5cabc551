/* What may stand in a spec?
 *
 * The field table of job/, for people. Never written down a second time. */
#include "cli/cli.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define WRAP 78

static const char *const type_names[] = {
    [FIELD_BOOL] = "true or false",
    [FIELD_INT] = "whole number",
    [FIELD_REAL] = "number",
    [FIELD_PIXEL] = "number or \"8/255\"",
    [FIELD_STRING] = "string",
    [FIELD_PATH] = "string",
    [FIELD_ENUM] = "one of",
    [FIELD_INT_LIST] = "list of whole numbers",
    [FIELD_REAL_LIST] = "list of numbers",
    [FIELD_STRING_LIST] = "list of strings",
    [FIELD_STRING_LISTS] = "list of lists of strings",
    [FIELD_WEIGHTS] = "path or {\"job\": ID}",
    [FIELD_JOB] = "job id",
    [FIELD_BYTES] = "whole number or \"4GiB\"",
    [FIELD_AFTER] = "list of {\"job\": ID, \"on\": HOW}",
    [FIELD_MODULES] = ("list of names, \"lowest\", \"highest\", \"last\", \"all\", {\"top\": K}, "
                       "{\"greedy\": K} or {\"containing\": TEXT}"),
    [FIELD_CHOICE_LIST] = "list of values that finetune.modules takes, or names",
    [FIELD_ATTACK] = "attack",
    [FIELD_ATTACK_LIST] = "list of attacks",
    [FIELD_OBJECT] = "object",
};

static bool has_range(const struct spec_field *field)
{
    switch (field->type) {
    case FIELD_INT:
    case FIELD_REAL:
    case FIELD_PIXEL:
    case FIELD_BYTES:
    case FIELD_INT_LIST:
    case FIELD_REAL_LIST:
        return field->min < field->max;
    default:
        return false;
    }
}

static void print_kinds(unsigned kinds)
{
    if (kinds == (1u << JOB_KIND_COUNT) - 1) {
        printf("every kind");
        return;
    }
    const char *between = "";
    for (int kind = 0; kind < JOB_KIND_COUNT; kind++)
        if (kinds & 1u << kind) {
            printf("%s%s", between, job_kinds[kind].name);
            between = ", ";
        }
}

/* Text in lines of WRAP columns, each indented. */
static void print_wrapped(const char *text, int indent)
{
    while (*text) {
        int width = WRAP - indent, length = (int)strlen(text), end = length;
        if (length > width)
            for (end = width; end > 0 && text[end] != ' '; end--)
                ;
        if (end == 0)
            end = length > width ? width : length;
        printf("%*s%.*s\n", indent, "", end, text);
        text += end;
        text += strspn(text, " ");
    }
}

/* "a|b" as ": a, b". */
static void print_values(const char *values)
{
    const char *between = ": ";

    while (*values) {
        int length = (int)strcspn(values, "|");
        printf("%s%.*s", between, length, values);
        values += length + (values[length] == '|');
        between = ", ";
    }
}

/* 2147483647, not 2.14748e+09. */
static void print_bound(double bound)
{
    bool whole = fabs(bound) <= 9007199254740992.0 && bound == trunc(bound);

    printf(whole ? "%.0f" : "%g", bound);
}

static void print_field(const struct spec_field *field)
{
    printf("%s\n    %s", field->pointer, type_names[field->type]);
    if (field->values)
        print_values(field->values);
    if (has_range(field)) {
        printf(", ");
        print_bound(field->min);
        printf(" to ");
        print_bound(field->max);
    }
    if (field->unit && *field->unit)
        printf(" (%s)", field->unit);
    if (field->nullable)
        printf(", or null");
    printf("; %s%s; ", field->fallback ? "default " : "required", field->fallback ? field->fallback : "");
    print_kinds(field->kinds);
    putchar('\n');
    print_wrapped(field->meaning, 4);
}

static int unknown_kind(const char *name)
{
    char words[200] = "", near[64];

    for (int kind = 0; kind < JOB_KIND_COUNT; kind++)
        snprintf(words + strlen(words), sizeof(words) - strlen(words), "%s%s", kind ? "|" : "", job_kinds[kind].name);
    bool meant = word_nearest(words, name, near, sizeof(near));

    return cli_error(CLI_USAGE, "there is no kind of job called \"%s\"%s%s%s", name, meant ? "; did you mean \"" : "",
                     meant ? near : "", meant ? "\"?" : "");
}

int command_fields(struct cli *cli)
{
    unsigned wanted = (1u << JOB_KIND_COUNT) - 1;
    json_auto_t *all = json_pack("{s:[]}", "fields");

    if (cli->argument_count) {
        int kind = job_kind_find(cli->arguments[0]);
        if (kind < 0)
            return unknown_kind(cli->arguments[0]);
        wanted = 1u << kind;
    }
    if (!cli->json && !cli->argument_count)
        for (int kind = 0; kind < JOB_KIND_COUNT; kind++)
            printf("%-12s %s\n", job_kinds[kind].name, job_kinds[kind].title);
    for (int i = 0; i < spec_field_count; i++) {
        if (!(spec_fields[i].kinds & wanted))
            continue;
        if (cli->json)
            json_array_append_new(json_object_get(all, "fields"), spec_field_json(&spec_fields[i]));
        else
            print_field(&spec_fields[i]);
    }
    if (cli->json)
        print_json(all);
    return CLI_OK;
}
