/* Which places in the file system does a spec name?
 *
 * The field table says: fields of the type FIELD_PATH, and FIELD_WEIGHTS where a
 * path stands in the place of {"job": ID}. Everybody who asks goes through
 * spec_paths: what must be absolute, what moves with a spec, what a worker may
 * read and what riftd lets it read are the same fields. */
#include "job/spec.h"

#include <errno.h>
#include <string.h>

int spec_paths(const json_t *spec, int (*see)(const char *pointer, const char *path, void *user), void *user)
{
    const char *name = json_string_value(json_object_get(spec, "kind"));
    int kind = name ? job_kind_find(name) : -ENOENT;

    if (kind < 0)
        return -EINVAL;
    for (int i = 0; i < spec_field_count; i++) {
        const struct spec_field *field = &spec_fields[i];

        if (!(field->kinds & 1u << kind) || (field->type != FIELD_PATH && field->type != FIELD_WEIGHTS))
            continue;
        const char *path = json_string_value(spec_at(spec, field->pointer));
        int r = path ? see(field->pointer, path, user) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

static int absolute_check(const char *pointer, const char *path, void *user)
{
    json_auto_t *value = *path == '/' ? NULL : json_string(path);
    char given[40];

    if (!value)
        return 0;
    value_show(value, given, sizeof(given));
    spec_wrong(user, pointer, "must be an absolute path: riftd's jobs run in directories of its own; is %s", given);
    return 0;
}

void spec_paths_check(const struct job_spec *spec, struct spec_errors *errors)
{
    spec_paths(spec->json, absolute_check, errors);
}

struct rebase {
    json_t *spec;
    const char *prefix;
};

static int path_rebase(const char *pointer, const char *path, void *user)
{
    struct rebase *rebase = user;

    return *path == '/' ? 0 : spec_put(rebase->spec, pointer, json_sprintf("%s%s", rebase->prefix, path));
}

int spec_paths_rebase(json_t *spec, const char *prefix)
{
    struct rebase rebase = { spec, prefix };
    int r = spec_paths(spec, path_rebase, &rebase);

    return r == -EINVAL ? 0 : r; /* what has no kind has no paths */
}
