/* What can riftd be told?
 *
 * The table. A row's key is its flag (--grace-s), its variable (RIFTD_GRACE_S)
 * and its key in the file. riftd.conf(5) and docs/settings.md are held against it. */
#include "daemon/settings.h"
#include "daemon/log.h"

#include <errno.h>
#include <string.h>

/* Type and place of a member; one of another C type doesn't compile. */
#define MEMBER(member, ctype)                                                                                          \
    (offsetof(struct settings, member) + 0 * sizeof(&((struct settings *)0)->member == (ctype *)0))
#define AS_STRING(member)   .type = SETTING_STRING, .offset = MEMBER(member, const char *)
#define AS_PATH(member)     .type = SETTING_PATH, .offset = MEMBER(member, const char *)
#define AS_INTEGER(member)  .type = SETTING_INTEGER, .offset = MEMBER(member, int64_t)
#define AS_BYTES(member)    .type = SETTING_BYTES, .unit = "bytes", .offset = MEMBER(member, int64_t)
#define AS_DURATION(member) .type = SETTING_DURATION, .unit = "s", .offset = MEMBER(member, int64_t)
#define AS_BOOLEAN(member)  .type = SETTING_BOOLEAN, .offset = MEMBER(member, bool)
#define AS_ENUM(member)     .type = SETTING_ENUM, .offset = MEMBER(member, int)
#define AS_LIST(member)     .type = SETTING_LIST, .offset = MEMBER(member, struct setting_list)

static int data_root_check(const char *text, struct fault *why)
{
    return *text == '/' ? 0 : fault_set(why, -EINVAL, "must start with /");
}
#define DAY_S  86400
#define YEAR_S (INT64_C(365) * DAY_S)

const struct setting settings_table[] = {
    { "state", AS_PATH(state), .variable = "STATE_DIRECTORY", .argument = "DIR",
      .meaning = "Where everything is kept: database, job directories, results. Under systemd the unit's "
                 "StateDirectory= says it." },
    { "worker", AS_PATH(worker), .argument = "PATH",
      .meaning = "The rift-worker to start. Without it the one beside riftd." },
    { "launcher", AS_PATH(launcher), .argument = "PATH",
      .meaning = "The socket that starts workers in units of their own: rift-worker.socket. Without it riftd starts "
                 "them itself." },
    { "web", AS_PATH(web), .argument = "DIR", .meaning = "Files of the dashboard. Without it there is none." },
    { "openapi", AS_PATH(openapi), .argument = "FILE",
      .meaning = "The API's description, to be served at /v1/openapi.yaml." },
    { "listen", AS_STRING(listen), .fallback = "127.0.0.1:8717", .argument = "ADDR:PORT", .check = listen_check,
      .meaning = "Where to serve HTTP: an address, not a name, and a port; port 0 is any free one. A socket that "
                 "systemd hands over takes its place." },
    { "port", AS_INTEGER(port), .min = 0, .max = 65535, .argument = "PORT",
      .meaning = "The port alone. It counts before the port in listen, unless a stronger source says listen." },
    { "socket", AS_PATH(socket), .argument = "PATH", .meaning = "Serve HTTP on this unix socket too." },
    { "require-token", AS_ENUM(require_token), .flags = RELOADABLE, .fallback = "auto", .values = "auto|yes|no",
      .argument = "WHEN",
      .meaning =
          "Whether TCP clients must show a token. auto: on loopback once a token has ever been made, and always "
          "at an address that other machines reach. no: never on loopback; elsewhere riftd then doesn't start." },
    { "allowed-hosts", AS_LIST(allowed_hosts), .flags = RELOADABLE, .argument = "NAME", .check = host_check,
      .meaning = "A name that clients may call riftd by, beside localhost and its address, such as that of a proxy in "
                 "front of it. May be given often." },
    { "proxy", AS_LIST(proxy), .flags = RELOADABLE, .argument = "ADDRESS|unix:USER", .check = proxy_check,
      .meaning = "A proxy whose X-Forwarded-For and X-Forwarded-Proto are believed. May be given often." },
    { "connections-per-address", AS_INTEGER(connections_per_address), .flags = RELOADABLE, .fallback = "128", .min = 1,
      .max = 2048, .argument = "N",
      .meaning = "How many connections one address may hold; loopback may hold any number." },
    { "health-listen", AS_STRING(health_listen), .argument = "ADDR:PORT", .check = listen_check,
      .meaning = "One more address that answers only /healthz, /readyz and /metrics, with connections of its own, so "
                 "that it answers when the others are full. /metrics wants a token there as it does at listen, and "
                 "always where other machines reach it." },
    { "tls-cert", AS_PATH(tls_cert), .argument = "FILE",
      .meaning = "Serve TCP with TLS, showing this certificate and its chain (PEM). SIGHUP reads the file again." },
    { "tls-key", AS_PATH(tls_key), .argument = "FILE", .meaning = "The certificate's key (PEM)." },
    { "rate-limit", AS_INTEGER(rate_limit), .flags = RELOADABLE, .fallback = "0", .max = 100000, .unit = "1/s",
      .argument = "N",
      .meaning = "How many requests a second one caller (a token, or an address without one) may make on average; "
                 "more are answered 429. 0: any number." },
    { "rate-burst", AS_INTEGER(rate_burst), .flags = RELOADABLE, .fallback = "0", .max = 1000000, .argument = "N",
      .meaning = "How many of these may come at once. 0: as many as in a second." },
    { "retain-audit", AS_DURATION(retain_audit_s), .flags = RELOADABLE, .fallback = "365d", .max = 3153600000,
      .argument = "TIME", .meaning = "How long rows of the audit log are kept. 0: for ever." },
    { "slots", AS_STRING(slots), .argument = "DEVICE[:COUNT],...",
      .meaning = "How many jobs run at once on which device, such as cpu:2,cuda:0. Without it one on each GPU, else "
                 "one on the CPU." },
    { "dataset", AS_LIST(dataset), .flags = RELOADABLE, .argument = "NAME=FORMAT:PATH", .check = dataset_check,
      .meaning = "Registers a data set, so that specs can name it. May be given often." },
    { "grace-s", AS_DURATION(grace_s), .flags = RELOADABLE, .fallback = "30s", .min = 0, .max = 86400,
      .argument = "TIME",
      .meaning = "How long a worker that is asked to stop has for its checkpoint before it is "
                 "killed." },
    { "max-attempts", AS_INTEGER(max_attempts), .flags = RELOADABLE, .fallback = "5", .min = 1, .max = 1000,
      .argument = "N", .meaning = "How many deaths of a worker without a new checkpoint fail its job." },
    { "webhook-targets", AS_ENUM(webhook_targets), .flags = RELOADABLE, .fallback = "private",
      .values = WEBHOOK_TARGETS, .argument = "WHICH",
      .meaning = "Where webhooks may lead. public: only to public addresses. private: to private networks too. any: to "
                 "this machine and to link-local addresses too, which lets everybody who may submit speak to services "
                 "that trust this machine." },
    { "sandbox", AS_ENUM(sandbox), .flags = RELOADABLE, .fallback = "try", .values = SANDBOX_MODES, .argument = "MODE",
      .meaning = "How workers shut themselves in before they read weights and data: try takes what the kernel has, "
                 "require fails jobs where Landlock or seccomp is missing, off leaves workers open." },
    { "worker-memory-limit", AS_BYTES(worker_memory_limit), .flags = RELOADABLE, .min = 1, .max = INT64_MAX,
      .argument = "SIZE",
      .meaning = "The most memory for data that a worker on the CPU gets; a job that needs more fails. Workers on "
                 "cards have no such limit." },
    { "data-root", AS_LIST(data_root), .flags = RELOADABLE, .argument = "DIR", .check = data_root_check,
      .meaning = "Paths in specs that are sent must lie below one of these directories. May be given often. Without it "
                 "they may lie anywhere but in the state directory, which is refused in any case." },
    { "retry-delay", AS_DURATION(retry_delay_s), .flags = RELOADABLE, .fallback = "2s", .min = 0, .max = DAY_S,
      .argument = "TIME",
      .meaning = "How long a job waits after a failure of the machine (its worker was killed, the device was lost, the "
                 "disk was full) before it runs again; twice as long after each further one, up to an hour." },
    { "device-rest", AS_DURATION(device_rest_s), .flags = RELOADABLE, .fallback = "1min", .min = 0, .max = DAY_S,
      .argument = "TIME",
      .meaning =
          "How long a device that was lost gets no jobs; twice as long each further time, up to an hour or this." },
    { "device-memory-reserve", AS_BYTES(device_memory_reserve), .flags = RELOADABLE, .fallback = "512M", .min = 0,
      .max = INT64_MAX, .argument = "SIZE", .meaning = "Memory of each device that is not given to jobs." },
    { "time-limit-max", AS_DURATION(time_limit_max_s), .flags = RELOADABLE, .fallback = "0", .min = 0,
      .max = 10 * YEAR_S, .argument = "TIME",
      .meaning = "The longest time that a job may run, over all attempts; also the limit of jobs that say none. 0: any "
                 "time." },
    { "ageing", AS_DURATION(ageing_s), .flags = RELOADABLE, .fallback = "1h", .min = 0, .max = 10 * YEAR_S,
      .argument = "TIME",
      .meaning = "How much longer a job must have waited to stand before one whose priority is a point higher. 0: "
                 "priority alone decides." },
    { "fair-share-weight", AS_DURATION(fair_share_weight_s), .flags = RELOADABLE, .fallback = "1d", .min = 0,
      .max = 10 * YEAR_S, .argument = "TIME",
      .meaning = "How much later the jobs of an owner who has used all device time lately stand than those of one who "
                 "has used none. 0: who has used what doesn't count." },
    { "fair-share-half-life", AS_DURATION(fair_share_half_life_s), .flags = RELOADABLE, .fallback = "1d", .min = 1,
      .max = 10 * YEAR_S, .argument = "TIME", .meaning = "After how long device time that was used counts half." },
    { "owner-running-max", AS_INTEGER(owner_running_max), .flags = RELOADABLE, .fallback = "0", .min = 0, .max = 100000,
      .argument = "N", .meaning = "How many jobs of one owner run at once. 0: any number." },
    { "owner-queued-max", AS_INTEGER(owner_queued_max), .flags = RELOADABLE, .fallback = "0", .min = 0, .max = 1000000,
      .argument = "N",
      .meaning = "How many jobs of one owner wait at once, steps of rift jobs and sweeps not counted; more are "
                 "refused. 0: any number." },
    { "owner-bytes-max", AS_BYTES(owner_bytes_max), .flags = RELOADABLE, .fallback = "0", .min = 0, .max = INT64_MAX,
      .argument = "SIZE",
      .meaning =
          "How many bytes the artifacts of one owner's jobs may have before new jobs are refused. 0: any number." },
    { "preempt-margin", AS_INTEGER(preempt_margin), .flags = RELOADABLE, .fallback = "0", .min = 0, .max = 200,
      .argument = "N",
      .meaning = "A waiting job whose priority is at least so much higher than a running one's takes its slot, when "
                 "none is free: that one writes its checkpoint and goes back to the queue. 0: never." },
    { "preempt-min-run", AS_DURATION(preempt_min_run_s), .flags = RELOADABLE, .fallback = "1min", .min = 0,
      .max = 10 * YEAR_S, .argument = "TIME",
      .meaning = "How long an attempt has run before it may be stopped for a job of higher priority." },
    { "min-free-space", AS_BYTES(min_free_space), .flags = RELOADABLE, .min = 0, .max = INT64_MAX, .argument = "SIZE",
      .meaning = "With less space on the disk of the state directory no job is accepted or started; running ones go "
                 "on. 0: never mind. Without it 1 GiB or a hundredth of the disk, whichever is less." },
    { "retain-checkpoints", AS_DURATION(retain_checkpoints_s), .flags = RELOADABLE, .fallback = "7d", .min = 0,
      .max = 10 * YEAR_S, .argument = "TIME", .meaning = "How long checkpoints of ended jobs are kept. 0: for ever." },
    { "retain-artifacts", AS_DURATION(retain_artifacts_s), .flags = RELOADABLE, .fallback = "0", .min = 0,
      .max = 10 * YEAR_S, .argument = "TIME", .meaning = "How long artifacts of ended jobs are kept. 0: for ever." },
    { "retain-events", AS_DURATION(retain_events_s), .flags = RELOADABLE, .fallback = "0", .min = 0, .max = 10 * YEAR_S,
      .argument = "TIME",
      .meaning = "How long events of ended jobs are kept in the database; their journals stay. 0: for ever." },
    { "retain-journals", AS_DURATION(retain_journals_s), .flags = RELOADABLE, .fallback = "0", .min = 0,
      .max = 10 * YEAR_S, .argument = "TIME",
      .meaning = "How long ended jobs keep their journals, of which the last line stays, and logs. 0: for ever." },
    { "retain-jobs", AS_DURATION(retain_jobs_s), .flags = RELOADABLE, .fallback = "0", .min = 0, .max = 10 * YEAR_S,
      .argument = "TIME", .meaning = "How long ended jobs are kept with all that belongs to them. 0: for ever." },
    { "log-level", AS_ENUM(log_level), .flags = RELOADABLE, .fallback = "info", .values = LOG_LEVELS,
      .argument = "LEVEL", .meaning = "The least weighty lines that are still logged: error, warning, info or debug." },
};
const int settings_count = sizeof(settings_table) / sizeof(settings_table[0]);
_Static_assert(sizeof(settings_table) / sizeof(settings_table[0]) <= SETTINGS_MAX, "origins[] is too short");

const struct setting *setting_find(const char *key)
{
    for (int i = 0; i < settings_count; i++)
        if (strcmp(settings_table[i].key, key) == 0)
            return &settings_table[i];
    return NULL;
}
