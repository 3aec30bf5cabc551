/* How are limits and the audit log set up? */
#include "api/gate.h"
#include "api/exchange.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Wrong credentials from one address: at once, and then a second. */
#define FAILURE_BURST 10
#define FAILURE_RATE  0.2

int gate_open(struct gate *gate, const struct api_config *config, char message[256])
{
    struct audit_options options = { .db = config->db,
                                     .keep_ms = config->audit_keep_ms,
                                     .user = config->user,
                                     .now_ms = config->now_ms,
                                     .failed = config->failed };
    int burst = config->rate_burst > 0 ? config->rate_burst : config->rate_limit;

    gate->failures = limits_open(FAILURE_RATE, FAILURE_BURST);
    if (config->rate_limit > 0)
        gate->requests = limits_open(config->rate_limit, burst);
    int r = gate->failures && (gate->requests || config->rate_limit <= 0) ? 0 : -ENOMEM;
    if (r >= 0)
        r = audit_open(&options, &gate->audit);
    if (r < 0)
        snprintf(message, 256, "no audit log: %s", strerror(-r));
    return r;
}

void gate_close(struct gate *gate)
{
    audit_close(gate->audit);
    limits_close(gate->requests);
    limits_close(gate->failures);
    *gate = (struct gate){ 0 };
}
