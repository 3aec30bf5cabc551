/* Between the files that check a spec (private to job/). */
#ifndef RIFT_JOB_SPEC_H
#define RIFT_JOB_SPEC_H

#include "job/job.h"

/* ---- fields.c ---- */

/* The row of that pointer for one of these kinds, or NULL. */
const struct spec_field *field_find(const char *pointer, unsigned kinds);
/* Is there a row below `pointer` (an object of fields) for one of these kinds? */
bool field_has_members(const char *pointer, unsigned kinds);
/* The pointer of the OBJECT or ATTACK row that this row belongs to, "" for none. */
const char *field_owner(const struct spec_field *field);
/* The member of the object at `pointer` whose name is most like `name`; false
 * when none is near. */
bool field_nearest(const char *pointer, const char *name, unsigned kinds, char *ret, size_t size);

/* ---- spec.c ---- */

/* Record what is wrong at `pointer`. */
void spec_wrong(struct spec_errors *errors, const char *pointer, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- spec_values.c ---- */

#define AFTER_WORDS "success|failure|any" /* enum after_condition */

enum { LIST_TOP = 1000 }; /* the longest list */

/* Check one value that isn't null against its row. 0 with a normalised copy,
 * new reference; -EINVAL with the error recorded; -ENOMEM. Not for
 * OBJECT, ATTACK and ATTACK_LIST, which are made of other rows. */
int value_take(const struct spec_field *field, const json_t *value, const char *pointer, struct spec_errors *errors,
               json_t **ret);
/* "a whole number from 1 to 64 (channels)" */
void value_expected(const struct spec_field *field, char *ret, size_t size);
/* The value as it was given, shortened. */
void value_show(const json_t *value, char *ret, size_t size);
/* A pixel value: a number, or "8/255". -EINVAL when it is neither. */
int value_pixel(const json_t *value, double *ret);
/* Place of `text` in "a|b|c", or -ENOENT. */
int value_enum(const char *values, const char *text);
/* Is there something in the list, and nothing twice? */
bool values_differ(const json_t *list);

/* ---- spec_extras.c ---- */

/* What a field asks for beyond its type. */
struct value_extra {
    const char *pointer;
    bool (*valid)(const json_t *value);
    const char *expected;
};
const struct value_extra *value_extra_find(const char *pointer); /* or NULL */

/* ---- rift.c ---- */

/* Put the names of a choice of modules, or of the choices in a list, into `names`,
 * {"containing": TEXT} as "*TEXT*", each once (`seen` is an object that remembers),
 * as many as a list holds: the rest is found out later, by the step that names it. */
void module_names_add(json_t *names, json_t *seen, const json_t *choice);

/* ---- sweep.c ---- */

/* A module choice for people: "lowest", "top 3", "conv1, linear"; cut to size. */
void choice_show(const json_t *choice, char *ret, size_t size);

/* ---- spec_rules.c ---- */

/* Fill what depends on other fields, then check what no row can say alone.
 * `spec` lacks members whose own check failed. 0 or -ENOMEM. */
int rules_apply(json_t *spec, enum job_kind kind, struct spec_errors *errors);

/* ---- spec_read.c ---- */

/* The value at a pointer (without escapes), or NULL. Borrowed. */
json_t *spec_at(const json_t *spec, const char *pointer);
/* Put `value` (stolen) at a pointer, making the objects on the way. */
int spec_put(json_t *spec, const char *pointer, json_t *value);
/* Checked, normalised JSON into the struct; takes a reference. 0 or -ENOMEM. */
int spec_read(json_t *spec, enum job_kind kind, struct job_spec *ret);

#endif
