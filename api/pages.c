/* Where do the dashboard's files and the API's own description come from?
 *
 * From web_dir and openapi_path, read at each request: an update needs no
 * restart. Pages may load scripts and styles from riftd and nowhere else. */
#include "api/exchange.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char page_policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static const char no_dashboard[] = "riftd was started without a dashboard: the setting web (--web DIR) names its files";
static const char no_description[] =
    "riftd was started without the API's description: the setting openapi names the file";

static const struct {
    const char *ending, *type;
} types[] = {
    { ".html", "text/html; charset=utf-8" },
    { ".js", "text/javascript; charset=utf-8" },
    { ".css", "text/css; charset=utf-8" },
    { ".svg", "image/svg+xml" },
    { ".png", "image/png" },
    { ".json", "application/json" },
    { ".yaml", "application/yaml" },
};

static const char *type_find(const char *name)
{
    const char *dot = strrchr(name, '.');

    for (size_t i = 0; dot && i < sizeof(types) / sizeof(types[0]); i++)
        if (!strcmp(types[i].ending, dot))
            return types[i].type;
    return NULL;
}

/* dir is NULL where its setting isn't set; `unset` names that setting. */
static int page_answer(const struct request *request, struct answer *answer, const char *dir, const char *name,
                       const char *unset)
{
    const char *type = type_find(name);
    int64_t size, mtime_ns;
    char etag[64];
    int fd = type && dir ? file_open_beneath(dir, name, &size, &mtime_ns) : -ENOENT;

    if (fd == -ENOENT)
        return answer_problem(answer, request, PROBLEM_NO_ROUTE, dir ? "there is no such page" : unset);
    if (fd < 0)
        return fd;
    snprintf(etag, sizeof(etag), "\"%" PRIx64 "-%" PRIx64 "\"", (uint64_t)mtime_ns, (uint64_t)size);
    answer->policy = page_policy;
    answer_header(answer, "Cache-Control", "no-cache");
    return answer_file(answer, request, &(struct file_info){ fd, size, type, etag });
}

int handle_page(const struct request *request, struct answer *answer)
{
    return page_answer(request, answer, request->config->web_dir, "index.html", no_dashboard);
}

int handle_web(const struct request *request, struct answer *answer)
{
    return page_answer(request, answer, request->config->web_dir, request->name, no_dashboard);
}

int handle_openapi(const struct request *request, struct answer *answer)
{
    const char *path = request->config->openapi_path;
    const char *slash = path ? strrchr(path, '/') : NULL;
    char *dir = slash ? strndup(path, slash > path ? (size_t)(slash - path) : 1) : strdup(".");

    if (!dir)
        return -ENOMEM;
    int r = page_answer(request, answer, path ? dir : NULL,
                        slash  ? slash + 1
                        : path ? path
                               : "openapi.yaml",
                        no_description);
    free(dir);
    return r;
}
