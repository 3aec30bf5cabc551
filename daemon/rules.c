/* Which settings does api/ follow while it serves, and how does it get new ones?
 *
 * It wants them in a shape of its own, with plain arrays for the lists. That is
 * made anew for each SIGHUP; the texts are the settings', which stay to the end
 * (reload.c), and so do the arrays, since an HTTP thread may just be reading. */
#include "daemon/daemon.h"

#include <stdlib.h>

struct rules {
    struct api_rules rules;
    struct rules *older;
    const char *texts[]; /* of all lists */
};

static const char *const *list_lend(const struct setting_list *list, const char **room)
{
    for (int i = 0; i < list->count; i++)
        room[i] = list->items[i].text;
    return room;
}

struct rules *rules_make(const struct settings *settings, struct rules *older)
{
    const struct setting_list *hosts = &settings->allowed_hosts, *proxies = &settings->proxy;
    struct rules *made = calloc(1, sizeof(*made) + sizeof(made->texts[0]) * (size_t)(hosts->count + proxies->count));

    if (!made)
        return NULL;
    made->older = older;
    made->rules = (struct api_rules){ .require_token = settings->require_token,
                                      .allowed_hosts = list_lend(hosts, made->texts),
                                      .allowed_host_count = hosts->count,
                                      .proxies = list_lend(proxies, made->texts + hosts->count),
                                      .proxy_count = proxies->count,
                                      .rate_limit = (int)settings->rate_limit,
                                      .rate_burst = (int)settings->rate_burst,
                                      .audit_keep_ms = 1000 * settings->retain_audit_s,
                                      .address_limit = (int)settings->connections_per_address };
    return made;
}

const struct api_rules *rules_lend(const struct rules *rules)
{
    return &rules->rules;
}

void rules_free(struct rules *rules)
{
    while (rules) {
        struct rules *older = rules->older;
        free(rules);
        rules = older;
    }
}
