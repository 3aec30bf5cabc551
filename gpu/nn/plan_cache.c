/* Which plan is there already?
 *
 * A job asks for a handful of plans again and again: full batches and the last
 * smaller one, train and eval. They share a workspace, which the cache owns;
 * plans that must not disturb each other ask for different ones. */
#include "gpu/nn/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct plan_cache {
    struct weights *weights;
    struct workspace spaces[PLAN_SPACES];
    struct plan **plans;
    int count;
};

int plan_cache_open(struct weights *weights, struct plan_cache **ret)
{
    struct plan_cache *cache = calloc(1, sizeof(*cache));

    if (!cache)
        return -ENOMEM;
    cache->weights = weights;
    for (int i = 0; i < PLAN_SPACES; i++)
        cache->spaces[i].dev = weights->dev;
    *ret = cache;
    return 0;
}

void plan_cache_clear(struct plan_cache *cache)
{
    for (int i = 0; i < cache->count; i++)
        plan_close(cache->plans[i]);
    free(cache->plans);
    cache->plans = NULL;
    cache->count = 0;
}

void plan_cache_close(struct plan_cache *cache)
{
    if (!cache)
        return;
    plan_cache_clear(cache);
    for (int i = 0; i < PLAN_SPACES; i++)
        workspace_done(&cache->spaces[i]);
    free(cache);
}

static bool same(const struct plan_spec *have, const struct plan_spec *want, const struct model *model)
{
    int last = want->last ? want->last : model->op_count;

    if (have->batch != want->batch || have->mode != want->mode || have->first != want->first || have->last != last ||
        have->want_input != want->want_input || have->space != want->space || !have->wanted != !want->wanted)
        return false;
    return !have->wanted || memcmp(have->wanted, want->wanted, (size_t)model->tensor_count) == 0;
}

int plan_cache_get(struct plan_cache *cache, const struct plan_spec *spec, struct plan **ret, struct fault *why)
{
    for (int i = 0; i < cache->count; i++)
        if (same(plan_spec(cache->plans[i]), spec, cache->weights->model)) {
            *ret = cache->plans[i];
            return 0;
        }
    struct plan **grown = realloc(cache->plans, (size_t)(cache->count + 1) * sizeof(struct plan *));
    if (!grown)
        return fault_set(why, -ENOMEM, "no memory for a plan");
    cache->plans = grown;
    int r = plan_open(&cache->spaces[spec->space], cache->weights, spec, &cache->plans[cache->count], why);
    if (r < 0)
        return r;
    *ret = cache->plans[cache->count++];
    return 0;
}

size_t plan_cache_bytes(const struct plan_cache *cache)
{
    size_t bytes = 0;

    for (int i = 0; i < PLAN_SPACES; i++)
        bytes += cache->spaces[i].bytes;
    for (int i = 0; i < cache->count; i++)
        bytes += plan_packed_bytes(cache->plans[i]);
    return bytes;
}
