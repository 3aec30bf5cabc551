/* Which data sets can a spec name?
 *
 * Those given as --dataset NAME=FORMAT:PATH, and Fashion-MNIST where Debian's
 * package dataset-fashion-mnist put it. Paths are made absolute here, because a
 * worker runs in its job's directory. */
#include "daemon/daemon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Formats are the field table's: a new one there needs nothing here. */
static bool format_known(const char *format)
{
    size_t length = strlen(format);

    for (int i = 0; i < spec_field_count; i++) {
        if (strcmp(spec_fields[i].pointer, "/dataset/format") != 0)
            continue;
        for (const char *at = spec_fields[i].values; at && *at; at += strcspn(at, "|") + (strchr(at, '|') != NULL))
            if (strcspn(at, "|") == length && strncmp(at, format, length) == 0)
                return true;
    }
    return false;
}

static int dataset_add(struct daemon *daemon, const char *name, const char *format, const char *path, struct fault *why)
{
    char absolute[PATH_MAX];

    if (!*name)
        return fault_set(why, -EINVAL, "--dataset: the name is empty");
    if (datasets_find(daemon, name))
        return fault_set(why, -EEXIST, "--dataset %s: given twice", name);
    if (!format_known(format))
        return fault_set(why, -EINVAL, "--dataset %s: there is no format \"%s\"", name, format);
    if (!realpath(path, absolute))
        return fault_set(why, -errno, "--dataset %s: %s: %s", name, path, strerror(errno));
    json_t *set = json_pack("{s:s, s:s, s:s}", "name", name, "format", format, "path", absolute);
    if (!set || json_array_append_new(daemon->datasets, set) < 0)
        return fault_set(why, -ENOMEM, "out of memory");
    return 0;
}

/* NAME=FORMAT:PATH */
static int dataset_parse(struct daemon *daemon, const char *text, struct fault *why)
{
    char *copy = strdup(text);
    char *format = copy ? strchr(copy, '=') : NULL;
    char *path = format ? strchr(format, ':') : NULL;
    int r;

    if (!path) {
        r = fault_set(why, copy ? -EINVAL : -ENOMEM, "--dataset %s: expected NAME=FORMAT:PATH", text);
    } else {
        *format++ = '\0';
        *path++ = '\0';
        r = dataset_add(daemon, copy, format, path, why);
    }
    free(copy);
    return r;
}

int datasets_open(struct daemon *daemon, struct fault *why)
{
    static const char debian[] = "/usr/share/datasets/fashion-mnist";
    int r = 0;

    daemon->datasets = json_array();
    if (!daemon->datasets)
        return fault_set(why, -ENOMEM, "out of memory");
    for (int i = 0; i < daemon->options.dataset_count && r >= 0; i++)
        r = dataset_parse(daemon, daemon->options.datasets[i], why);
    if (r >= 0 && !datasets_find(daemon, "fashion-mnist") && access(debian, R_OK) == 0)
        r = dataset_add(daemon, "fashion-mnist", "idx", debian, why);
    return r;
}

const json_t *datasets_find(const struct daemon *daemon, const char *name)
{
    const json_t *set;
    size_t i;

    json_array_foreach(daemon->datasets, i,
                       set) if (strcmp(json_string_value(json_object_get(set, "name")), name) == 0) return set;
    return NULL;
}
