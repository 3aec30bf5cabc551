/* How are limits and the audit log set up, and by which rules? */
#include "api/gate.h"
#include "api/exchange.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Wrong credentials from one address: at once, and then a second. */
#define FAILURE_BURST 10
#define FAILURE_RATE  0.2

const struct api_rules *rules_of(const struct api_config *config)
{
    static const struct api_rules none;
    const struct api_rules *rules = config->rules;

    return rules ? rules : &none;
}

static int burst_of(const struct api_rules *rules)
{
    return rules->rate_burst > 0 ? rules->rate_burst : rules->rate_limit;
}

int gate_open(struct gate *gate, const struct api_config *config, char message[256])
{
    const struct api_rules *rules = rules_of(config);
    struct audit_options options = { .db = config->db,
                                     .keep_ms = rules->audit_keep_ms,
                                     .user = config->user,
                                     .now_ms = config->now_ms,
                                     .failed = config->failed };

    gate->failures = limits_open(FAILURE_RATE, FAILURE_BURST);
    gate->requests = limits_open(rules->rate_limit, burst_of(rules));
    int r = gate->failures && gate->requests ? 0 : -ENOMEM;
    if (r >= 0)
        r = audit_open(&options, &gate->audit);
    if (r < 0)
        snprintf(message, 256, "no audit log: %s", strerror(-r));
    return r;
}

void gate_rules(struct gate *gate, const struct api_rules *rules)
{
    limits_set(gate->requests, rules->rate_limit, burst_of(rules));
    audit_keep(gate->audit, rules->audit_keep_ms);
}

void gate_close(struct gate *gate)
{
    audit_close(gate->audit);
    limits_close(gate->requests);
    limits_close(gate->failures);
    *gate = (struct gate){ 0 };
}
