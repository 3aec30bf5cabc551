/* How do durations spread?
 *
 * Counted in buckets whose bounds are fixed at compile time, so that adding one
 * is two atomic additions and any thread may do it. Shown as Prometheus wants it:
 * each bucket holds what is at most its bound, the smaller ones included. */
#include "api/api.h"

#include <inttypes.h>

const struct histogram_bounds request_bounds = {
    12, { 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10 }
};
const struct histogram_bounds job_bounds = { 12, { 1, 5, 15, 60, 300, 900, 3600, 10800, 21600, 43200, 86400, 604800 } };

void histogram_add(struct histogram *histogram, const struct histogram_bounds *bounds, double seconds)
{
    int bucket = 0;

    if (!(seconds > 0)) /* a clock that was set back, too */
        seconds = 0;
    while (bucket < bounds->count && seconds > bounds->seconds[bucket])
        bucket++;
    histogram->buckets[bucket]++;
    histogram->sum_us += (uint64_t)(seconds * 1e6);
}

void histogram_write(FILE *out, const char *name, const char *labels, const struct histogram *histogram,
                     const struct histogram_bounds *bounds)
{
    const char *comma = *labels ? "," : "", *open = *labels ? "{" : "", *close = *labels ? "}" : "";
    uint64_t count = 0;

    for (int i = 0; i < bounds->count; i++) {
        count += histogram->buckets[i];
        fprintf(out, "%s_bucket{%s%sle=\"%g\"} %" PRIu64 "\n", name, labels, comma, bounds->seconds[i], count);
    }
    count += histogram->buckets[bounds->count];
    fprintf(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, labels, comma, count);
    fprintf(out, "%s_sum%s%s%s %.6f\n", name, open, labels, close, (double)histogram->sum_us / 1e6);
    fprintf(out, "%s_count%s%s%s %" PRIu64 "\n", name, open, labels, close, count);
}
