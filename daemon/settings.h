/* What can riftd be told, where, and who told it what?
 *
 * One table (settings.c). A new setting is one row there and one member of
 * struct settings here; parsing, ranges, --help, --print-settings,
 * --check-config and what SIGHUP does follow from the row.
 *
 *   flag  >  environment  >  credential  >  file  >  default
 *
 * A struct settings never changes once it is read, so that any thread may read
 * the one it holds. SIGHUP reads another and puts it in the old one's place
 * (reload.c). This header needs nothing of the daemon, so that tests can link
 * the table alone. */
#ifndef RIFT_DAEMON_SETTINGS_H
#define RIFT_DAEMON_SETTINGS_H

#include "job/job.h"

enum setting_type {
    SETTING_STRING,   /* const char *, NULL: none */
    SETTING_PATH,     /* const char *, NULL: none; absolute where a file says it */
    SETTING_INTEGER,  /* int64_t, SETTING_UNSET: none */
    SETTING_BYTES,    /* int64_t: "512M", "2G"; a bare number is bytes */
    SETTING_DURATION, /* int64_t in seconds: "30s", "5min", "2h", "7d"; a bare number is seconds */
    SETTING_BOOLEAN,  /* bool */
    SETTING_ENUM,     /* int, the place in `values` */
    SETTING_LIST,     /* struct setting_list */
};
#define SETTING_UNSET (-1)

/* Who said it, in rising order of what counts. */
enum setting_source { SOURCE_DEFAULT, SOURCE_FILE, SOURCE_CREDENTIAL, SOURCE_ENVIRONMENT, SOURCE_FLAG };
struct origin {
    enum setting_source source;
    const char *name; /* the file or the variable, NULL for the others */
    int line;         /* of a file */
};

struct setting_item {
    const char *text;
    struct origin origin;
};
struct setting_list {
    struct setting_item *items;
    int count;
};

/* Where webhooks may lead: each further than the one before. */
#define WEBHOOK_TARGETS "public|private|any"
enum webhook_targets { TARGETS_PUBLIC, TARGETS_PRIVATE, TARGETS_ANY };

enum { SETTINGS_MAX = 128 };

struct settings {
    /* places */
    const char *state;
    const char *worker;
    const char *launcher;
    const char *web;
    const char *openapi;
    /* HTTP */
    const char *listen; /* settings_address takes it and port together */
    int64_t port;
    const char *socket;
    /* who may come in */
    int require_token; /* enum in api_config */
    struct setting_list allowed_hosts;
    struct setting_list proxy;
    const char *health_listen;
    const char *tls_cert, *tls_key;
    int64_t rate_limit, rate_burst;
    int64_t retain_audit_s;
    int64_t connections_per_address;
    /* jobs */
    const char *slots;
    struct setting_list dataset;
    int64_t grace_s;
    int64_t max_attempts;
    int webhook_targets;         /* enum webhook_targets */
    int sandbox;                 /* enum sandbox_mode */
    int64_t worker_memory_limit; /* bytes */
    struct setting_list data_root;
    int64_t retry_delay_s;
    int64_t device_rest_s;
    int64_t device_memory_reserve;
    int64_t time_limit_max_s;
    /* who runs next */
    int64_t ageing_s;
    int64_t fair_share_weight_s;
    int64_t fair_share_half_life_s;
    int64_t owner_running_max;
    int64_t owner_queued_max;
    int64_t owner_bytes_max;
    int64_t preempt_margin;
    int64_t preempt_min_run_s;
    /* disk */
    int64_t min_free_space; /* SETTING_UNSET: by the size of the disk */
    int64_t retain_checkpoints_s;
    int64_t retain_artifacts_s;
    int64_t retain_events_s;
    int64_t retain_journals_s;
    int64_t retain_jobs_s;
    /* words */
    int log_level; /* enum log_level */

    /* ---- how it came about ---- */
    const char *file;                    /* the file that was read, or NULL */
    struct origin origins[SETTINGS_MAX]; /* beside the table's rows */
    struct settings *older;              /* that this one replaced; kept, for others may still read there */
    struct settings_memory *memory;      /* what the strings above live in */
};

enum setting_flags {
    RELOADABLE = 1, /* SIGHUP changes it; others need a restart */
    SECRET = 2,     /* never shown */
};

struct setting {
    const char *key; /* "grace-s": also --grace-s and RIFTD_GRACE_S */
    enum setting_type type;
    size_t offset; /* in struct settings */
    unsigned flags;
    const char *fallback; /* text of the default, NULL: none */
    const char *variable; /* of systemd, that gives the default where it is set, or NULL */
    int64_t min, max;     /* of numbers */
    const char *unit;     /* of numbers, for people; "s" and "bytes" go without saying */
    const char *values;   /* of an enum: "a|b|c" */
    const char *argument; /* for --help: "ADDR:PORT" */
    const char *meaning;  /* one paragraph */
    /* What the type can't tell: 0, or negative with the words in `why`. */
    int (*check)(const char *text, struct fault *why);
};
extern const struct setting settings_table[];
extern const int settings_count;
const struct setting *setting_find(const char *key); /* or NULL */

/* ---- settings_read.c ---- */

/* Where settings come from; kept by the caller, to be read again. */
struct setting_sources {
    int argc;
    char **argv;
    const char *const *environment; /* "NAME=VALUE"..., NULL */
    const char *default_file;       /* is read when it exists and --config doesn't name one */
};

/* What is wrong, a line each, in the order of reading. */
struct mistakes {
    char **lines;
    int count;
    bool beyond_flags; /* one is in a file, the environment or a credential */
};
void mistakes_done(struct mistakes *mistakes);

/* What the command line wants done. */
enum command { COMMAND_RUN, COMMAND_HELP, COMMAND_VERSION, COMMAND_PRINT, COMMAND_CHECK };
struct invocation {
    enum command command;
    bool json;
};

/* Read all sources. 0 with *ret, mistaken values left at what was there before;
 * `mistakes` says which. -ENOMEM. */
int settings_read(const struct setting_sources *sources, struct settings **ret, struct invocation *ret_invocation,
                  struct mistakes *mistakes);
/* With all older ones. */
void settings_free(struct settings *settings);
/* The address and port to listen on: `listen`, and `port` where no stronger source says `listen`. */
void settings_address(const struct settings *settings, char ret_address[64], uint16_t *ret_port);

/* ---- settings_value.c: text to values and back ---- */

int integer_parse(const char *text, int64_t *ret);
int bytes_parse(const char *text, int64_t *ret);
int duration_parse(const char *text, int64_t *ret_s);
int boolean_parse(const char *text, bool *ret);
/* "127.0.0.1:8717", "[::1]:0" */
int listen_parse(const char *text, char ret_address[64], uint16_t *ret_port);
int listen_check(const char *text, struct fault *why);
int host_check(const char *text, struct fault *why);  /* a name, without a port */
int proxy_check(const char *text, struct fault *why); /* an address, or unix:USER */
/* NAME=FORMAT:PATH */
int dataset_parse(const char *text, char ret_name[256], char ret_format[64], const char **ret_path, struct fault *why);
int dataset_check(const char *text, struct fault *why);
/* Put one value where the row says. -EINVAL with words. A list isn't put here.
 * Strings are borrowed: `text` must live as long as the settings. */
int setting_set(const struct setting *row, struct settings *settings, const char *text, struct fault *why);
/* What the row would take, for messages: "a whole number from 1 to 1000". */
void setting_expectation(const struct setting *row, char *ret, size_t size);
/* The value as it could stand in a file; "" for none. Not of a list. */
void setting_text(const struct setting *row, const struct settings *settings, char *ret, size_t size);

/* ---- settings_show.c ---- */

void settings_help(void);
/* "file /etc/riftd/riftd.conf:3" */
void origin_text(const struct origin *origin, char *ret, size_t size);
/* Every setting, its value, its origin on stdout. 0, or -ENOMEM. */
int settings_print(const struct settings *settings, bool json);
/* Do both say the same about this row? */
bool setting_same(const struct setting *row, const struct settings *one, const struct settings *other);
/* For people: the value, "none", or "(hidden)". */
void setting_show(const struct setting *row, const struct settings *settings, char *ret, size_t size);

#endif
