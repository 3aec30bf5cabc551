/* Which data sets can a spec name?
 *
 * Those that the setting `dataset` registers, and Fashion-MNIST where Debian's
 * package dataset-fashion-mnist put it. Paths are made absolute here, because a
 * worker runs in its job's directory.
 *
 * SIGHUP may bring others while HTTP threads ask for them, so the list has a
 * lock; only the loop's thread changes it. */
#include "daemon/daemon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const json_t *find(const json_t *datasets, const char *name)
{
    const json_t *set;
    size_t i;

    json_array_foreach(datasets, i,
                       set) if (strcmp(json_string_value(json_object_get(set, "name")), name) == 0) return set;
    return NULL;
}

static int dataset_add(json_t *datasets, const char *name, const char *format, const char *path, struct fault *why)
{
    char absolute[PATH_MAX];

    if (find(datasets, name))
        return fault_set(why, -EEXIST, "data set %s: given twice", name);
    if (!realpath(path, absolute))
        return fault_set(why, -errno, "data set %s: %s: %s", name, path, strerror(errno));
    json_t *set = json_pack("{s:s, s:s, s:s}", "name", name, "format", format, "path", absolute);
    if (!set || json_array_append_new(datasets, set) < 0)
        return fault_set(why, -ENOMEM, "out of memory");
    return 0;
}

int datasets_make(const struct settings *settings, json_t **ret, struct fault *why)
{
    static const char debian[] = "/usr/share/datasets/fashion-mnist";
    char name[256], format[64];
    json_auto_t *datasets = json_array();
    const char *path;
    int r = datasets ? 0 : fault_set(why, -ENOMEM, "out of memory");

    for (int i = 0; i < settings->dataset.count && r >= 0; i++) {
        r = dataset_parse(settings->dataset.items[i].text, name, format, &path, why);
        if (r >= 0)
            r = dataset_add(datasets, name, format, path, why);
    }
    if (r >= 0 && !find(datasets, "fashion-mnist") && access(debian, R_OK) == 0)
        r = dataset_add(datasets, "fashion-mnist", "idx", debian, why);
    if (r >= 0)
        *ret = json_incref(datasets);
    return r;
}

void datasets_set(struct daemon *daemon, json_t *datasets)
{
    pthread_mutex_lock(&daemon->datasets_lock);
    json_decref(daemon->datasets);
    daemon->datasets = datasets;
    pthread_mutex_unlock(&daemon->datasets_lock);
}

json_t *datasets_json(struct daemon *daemon)
{
    pthread_mutex_lock(&daemon->datasets_lock);
    json_t *copy = json_deep_copy(daemon->datasets);
    pthread_mutex_unlock(&daemon->datasets_lock);
    return copy;
}

const json_t *datasets_find(const struct daemon *daemon, const char *name)
{
    return find(daemon->datasets, name);
}
