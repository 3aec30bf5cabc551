/* May a job that was sent read at this place?
 *
 * Whoever may send specs makes riftd's workers read files, with riftd's rights.
 * So a place must lie below one of the roots, when there are some, and never in
 * riftd's own state: there lie other people's jobs, which go by {"job": ID}.
 *
 * A place is judged where it ends: symbolic links and ".." are followed as far as
 * it exists, and what doesn't exist yet comes after that. Links can be turned
 * after the judgement, so riftd judges when a spec comes and when its job starts,
 * and the worker shuts itself in with what it finds then. */
#include "job/job.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Where an absolute path ends, resolved as far as it exists. -EACCES: it climbs
 * ("..") through what isn't there, so nobody can say where. */
static int path_settle(const char *path, char ret[PATH_MAX])
{
    char known[PATH_MAX];
    size_t length = strlen(path);

    if (*path != '/' || length >= sizeof(known))
        return *path != '/' ? -EACCES : -ENAMETOOLONG;
    memcpy(known, path, length + 1);
    while (!realpath(*known ? known : "/", ret)) {
        char *slash = strrchr(known, '/');

        if (errno != ENOENT && errno != ENOTDIR)
            return -errno;
        if (!slash || strcmp(slash, "/..") == 0 || strcmp(slash, "/.") == 0)
            return -EACCES;
        *slash = '\0';
    }
    const char *rest = path + strlen(known);
    if (strlen(ret) + strlen(rest) + 1 >= PATH_MAX)
        return -ENAMETOOLONG;
    if (strcmp(ret, "/") == 0 && *rest)
        ret[0] = '\0';
    strcat(ret, rest);
    return 0;
}

bool path_lies_below(const char *path, const char *folder)
{
    size_t length = strlen(folder);

    while (length && folder[length - 1] == '/')
        length--;
    return strncmp(path, folder, length) == 0 && (path[length] == '/' || !path[length]);
}

/* Roots may be links too, and may come later. */
static bool root_holds(const char *root, const char *path)
{
    char settled[PATH_MAX];

    return path_settle(root, settled) == 0 && path_lies_below(path, settled);
}

int place_check(const struct data_places *places, const char *path, struct fault *why)
{
    char settled[PATH_MAX], state[PATH_MAX];
    int r = path_settle(path, settled);

    if (r < 0)
        return fault_set(why, r == -ENOMEM ? r : -EACCES, "can't be judged: it can't be followed to its end");
    if (places->state_dir && path_settle(places->state_dir, state) == 0 &&
        (path_lies_below(settled, state) || path_lies_below(state, settled)))
        return fault_set(why, -EACCES,
                         "must not be in riftd's state directory, or hold it; what other jobs have made goes by "
                         "{\"job\": ID}");
    for (int i = 0; i < places->root_count; i++)
        if (root_holds(places->roots[i], settled))
            return 0;
    if (places->root_count)
        return fault_set(why, -EACCES, "must lie below a place that this riftd reads data from (its data-root)");
    return 0;
}
