/* What do the commands of riftctl share?
 *
 * A command is a row of the table in main.c: name, arguments, options, help
 * and a function that returns the program's exit code. Whatever went wrong has
 * been said on stderr by then: functions that return an exit code have spoken,
 * functions that return a negative errno have not. Data goes to stdout. */
#ifndef RIFT_CLI_CLI_H
#define RIFT_CLI_CLI_H

#include "cli/http.h"
#include "job/job.h"

/* The program's exit codes: a script's view of a job. */
enum cli_exit {
    CLI_OK = 0,     /* done; the watched job succeeded */
    CLI_FAILED = 1, /* the job failed, or something here did */
    CLI_USAGE = 2,
    CLI_CANCELLED = 3,   /* the watched job was cancelled */
    CLI_UNREACHABLE = 4, /* no server answered */
    CLI_NOT_FOUND = 5,
    CLI_REJECTED = 6,  /* the server (or --dry-run) refuses the spec */
    CLI_FORBIDDEN = 7, /* the server wants a token, or a better one */
};

struct cli_option {
    const char *name;     /* "limit" */
    const char *argument; /* "N", or NULL for a switch */
    const char *help;
    const char *values; /* what it may be: "a|b|c", or the field ("/corrupt/set") whose values these are; or NULL */
};

#define CLI_OPTIONS_MOST   12
#define CLI_ARGUMENTS_MOST 64

struct cli;

struct cli_command {
    const char *name;      /* "show", or two words: "dataset ls" */
    const char *arguments; /* for the usage line: "ID [NAME...]" */
    int least, most;       /* number of arguments */
    const char *summary;   /* one line */
    const char *help;      /* more, or NULL */
    struct cli_option options[CLI_OPTIONS_MOST];
    int (*run)(struct cli *cli);
};

/* One call of the program. */
struct cli {
    const struct cli_command *command;
    char group[64]; /* the first words of a command of several, while the others are awaited */
    const char *arguments[CLI_ARGUMENTS_MOST];
    int argument_count;
    struct {
        const char *name, *value; /* of the option table; value "" for a switch */
    } given[CLI_ARGUMENTS_MOST];
    int given_count;
    bool warned;       /* that a token can be overheard */
    bool json;         /* print the API's JSON */
    struct http *http; /* server_open's; NULL until a server is needed */
};

/* The last value given for an option of this command, or fallback. */
const char *cli_value(const struct cli *cli, const char *name, const char *fallback);
bool cli_given(const struct cli *cli, const char *name);
/* "riftctl: ..." on stderr; returns code. */
int cli_error(enum cli_exit code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What to do about it: an indented line on stderr, after the error. */
void cli_advice(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Unless --json says it already: one line on stderr that the job has nothing to
 * show. No failure: CLI_OK. */
int cli_nothing(const struct cli *cli, const json_t *job);

/* ---- server.c: asking riftd ---- */

/* Find the server (--server, $RIFTD_URL, --state DIR, $RIFTD_STATE, the
 * default) and make cli->http, unless it is there; no connection yet. What
 * follows calls it. */
int server_open(struct cli *cli);
/* GET without a word on failure: 0 and the JSON; the status (400..) of another
 * answer; -ECONNREFUSED without one. */
int server_try(struct http *http, const char *path, json_t **ret);
/* The server may have come back at another address (port 0 and --state): look
 * again. Says nothing; keeps the old address when there is no new one. */
void server_look_again(struct cli *cli);
/* Ask; 2xx -> JSON (may be NULL when there was none). */
int server_send(struct cli *cli, const struct http_request *request, json_t **ret);
/* METHOD PATH, body (may be NULL) -> JSON (may be NULL when there was none). */
int server_call(struct cli *cli, const char *method, const char *path, const json_t *body, const char *header,
                json_t **ret);
/* GET of a path that printf makes. */
int server_get(struct cli *cli, json_t **ret, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Append "?name=value" or "&name=value", escaped; a NULL value changes nothing.
 * *url is grown; -ENOMEM frees it and leaves NULL. */
int url_add(char **url, const char *name, const char *value);
/* Exit code for an answer that isn't 2xx; says what the problem document says,
 * and with --json prints it as well. */
int server_problem(const struct cli *cli, const struct http_response *response, const char *what);
/* No answer: says so, and what to do about it; CLI_UNREACHABLE. */
int server_away(const struct cli *cli, const char *why);
/* The job that ID, or a beginning of it, names; when that fits several, the only
 * one among them that is nobody's step. */
int server_job(struct cli *cli, const char *id, json_t **ret);

/* ---- access.c: with which token we ask ---- */

/* http_open with the token and certificates that were asked for. */
int access_open(struct cli *cli, const char *address, struct http **ret, struct fault *why);

/* ---- print.c: data for people ---- */

const char *text_at(const json_t *object, const char *key, const char *fallback); /* a string member */
void print_json(const json_t *json);       /* one document, indented, numbers exact: 0.10000000000000001 */
void print_json_short(const json_t *json); /* the same for people: 0.1 */
enum { PERCENT_PLACES = 2 };
void print_percent(char ret[16], const json_t *fraction); /* 0.7812 -> "78.12 %" */
void print_number(char ret[32], const json_t *number);    /* four significant digits, zeros kept */
/* The longest text that the rows have at `key`, at least `least`. */
int print_width(const json_t *rows, const char *key, int least);
void print_duration(char ret[32], double seconds); /* 1:02:03 */
void print_bar(char *ret, int width, double part); /* "#####....." */
void print_state(const char *state, int width);    /* of a job or device, in its colour */
void print_jobs(const json_t *jobs);
void print_job(const json_t *job);
/* lowest: the module's name, or NULL; greedy: the rows that a search for sets found, or NULL. */
void print_modules(const json_t *modules, const char *lowest, const json_t *greedy);
void print_interpolation(const json_t *answer); /* of /interpolation */
/* `words`, "200 test images", `end`: what a result's accuracies are of; nothing where it doesn't say. */
void print_images(const char *words, const json_t *result, const char *end);
const char *print_article(const char *noun); /* "a" or "an" */
const char *print_plural(size_t count);      /* "" or "s" */

/* ---- evaluation.c: what was measured, before and after ---- */

/* What an evaluate job measured; beside its baseline when it has one. */
void print_evaluation(const json_t *job);
/* Before and after of a rift job. evaluation: the result of its evaluate step,
 * or NULL: then there is only what the job's own result says. */
void print_table(const json_t *job, const json_t *evaluation);

/* ---- dataset.c ---- */

/* What an ended corrupt job has made, and where it lies. */
void print_copies(struct cli *cli, const json_t *job);

/* ---- dataset_fetch.c ---- */

/* The names that `dataset fetch` knows, in order; NULL after the last. */
const char *dataset_published(size_t i);

/* ---- files.c ---- */

/* Make every directory on the way to path, which is as before afterwards; negative errno. */
int make_parents(char *path);

/* Download into path, by way of path.part, which is gone on with; what hasn't this SHA-256 isn't kept. */
int fetch_file(struct cli *cli, const char *url, const char *sha256, int64_t size, const char *path);

/* ---- submit.c ---- */

/* Hand `spec` in, print the job's id and, with --watch, follow it to its end. */
int submit_spec(struct cli *cli, const json_t *spec);

/* Put `NAME=VALUE` into a spec; NAME has dots or slashes. -EINVAL with words. */
int spec_set(json_t *spec, const char *assignment, struct fault *why);

/* ---- watch.c ---- */

/* Follow a job to its end, draw it, print its tables; the exit code is its. */
int watch_job(struct cli *cli, const char *id);

/* ---- outcome.c ---- */

enum cli_exit outcome_exit(const json_t *job);
/* Print an ended job's tables, or its error; the exit code is the job's. */
int outcome_show(struct cli *cli, const json_t *job);
/* The answer to GET /v1/jobs/ID/modules, sets of modules too. */
void show_criticality(struct cli *cli, const json_t *answer);
/* The tables of a rift or evaluate job, with whatever is known so far. */
void show_measured(struct cli *cli, const json_t *job);

/* ---- the commands ---- */

int command_submit(struct cli *cli);
int command_list(struct cli *cli);
int command_show(struct cli *cli);
int command_watch(struct cli *cli);
int command_cancel(struct cli *cli);
int command_retry(struct cli *cli);
int command_hold(struct cli *cli);
int command_release(struct cli *cli);
int command_priority(struct cli *cli);
int command_label(struct cli *cli);
int command_pin(struct cli *cli);
int command_drain(struct cli *cli);
int command_resume(struct cli *cli);
int command_delete(struct cli *cli);
int command_modules(struct cli *cli);
int command_interpolation(struct cli *cli);
int command_metrics(struct cli *cli);
int command_plot(struct cli *cli);
int command_diff(struct cli *cli);
int command_table(struct cli *cli);
int command_report(struct cli *cli);
int command_log(struct cli *cli);
int command_artifacts(struct cli *cli);
int command_fetch(struct cli *cli);
int command_dataset_corrupt(struct cli *cli);
int command_dataset_fetch(struct cli *cli);
int command_datasets(struct cli *cli);
int command_devices(struct cli *cli);
int command_admin_backup(struct cli *cli);
int command_admin_backups(struct cli *cli);
int command_admin_check(struct cli *cli);
int command_models(struct cli *cli);
int command_model_show(struct cli *cli);
int command_model_push(struct cli *cli);
int command_model_pull(struct cli *cli);
int command_model_delete(struct cli *cli);
int command_queue(struct cli *cli);
int command_top(struct cli *cli);
int command_fields(struct cli *cli);
int command_version(struct cli *cli);
int command_admin_audit(struct cli *cli);
int command_token_create(struct cli *cli);
int command_token_list(struct cli *cli);
int command_token_revoke(struct cli *cli);
int command_whoami(struct cli *cli);
int command_completion(struct cli *cli);

#endif
