/* How do jobs come to their ends, seen from outside?
 *
 *   GET jobs  ->  events as they come  ->  GET jobs  ->  their tables
 *                 |  broken connection, riftd restarted: again from the last
 *                 +--event seen (Last-Event-ID), for as long as PATIENCE_MS
 *
 * Events are news in the order they happened; GET is the truth, asked for at the
 * start, after each broken connection and at the end, so that a missed or unknown
 * event can't leave a wrong picture. Only the last GET adds lines: before, they
 * would run ahead of the news.
 *
 * One job is watched by its own stream, from its first event on, to that stream's
 * `end` event and not to the first sign of an end: what was said before is shown
 * before. Several are watched by the stream of all jobs, from now on, until the
 * last of them has ended. */
#include "cli/watch.h"

#include "cli/cli.h"
#include "cli/sse.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 120000 /* how long riftd may be away */
#define RETRY_MS    250    /* between two knocks */
#define SILENCE_S   60     /* riftd sends a heartbeat every 15 s */

struct watch {
    struct cli *cli;
    struct watch_job *jobs;
    int count;
    struct screen screen;
    struct sse sse;
    int64_t heard_ms; /* last time riftd said anything */
};

static void draw(struct watch *watch, bool now)
{
    screen_draw(&watch->screen, watch->jobs, watch->count, monotonic_ms(), now);
}

/* The terminal may have another size, or the newest news isn't drawn yet. */
static void on_idle(void *user)
{
    struct watch *watch = user;
    int columns, rows;

    style_size(&columns, &rows);
    if (watch->screen.late || columns != watch->screen.columns || rows != watch->screen.rows)
        draw(watch, true);
}

/* ---- the truth: GET ---- */

static bool all_ended(const struct watch *watch)
{
    for (int i = 0; i < watch->count; i++)
        if (!state_has_ended(watch->jobs[i].state))
            return false;
    return true;
}

/* server_try's result: of the first job that it isn't 0 of. */
static int refresh(struct watch *watch)
{
    for (int i = 0; i < watch->count; i++) {
        json_auto_t *json = NULL;
        char path[64];

        snprintf(path, sizeof(path), "/v1/jobs/%s", watch->jobs[i].id);
        int r = server_try(watch->cli->http, path, &json);
        if (r != 0)
            return r;
        watch->heard_ms = monotonic_ms();
        job_take(&watch->jobs[i], json);
    }
    return 0;
}

/* ---- the news: events ---- */

/* -ECANCELED: all was said. */
static int see_event(const char *type, const char *data, void *user)
{
    struct watch *watch = user;
    json_auto_t *event = json_loads(data, 0, NULL);
    bool ours = false;

    watch->heard_ms = monotonic_ms();
    if (strcmp(type, "end") == 0)
        return -ECANCELED;
    for (int i = 0; i < watch->count; i++)
        ours |= job_see(&watch->jobs[i], &watch->screen, type, event, monotonic_ms());
    if (watch->cli->json && (ours || watch->count == 1)) {
        printf("%s\n", data);
        fflush(stdout);
    }
    draw(watch, false);
    return watch->count > 1 && all_ended(watch) ? -ECANCELED : 0;
}

static int see_bytes(const char *data, size_t size, int status, void *user)
{
    struct watch *watch = user;

    (void)status;
    watch->heard_ms = monotonic_ms();
    return sse_feed(&watch->sse, data, size);
}

/* One connection's worth of events. http_stream's result. */
static int follow_once(struct watch *watch, int *ret_status)
{
    char path[80] = "/v1/events", header[64] = "", *last = watch->sse.last_id;
    http_response_auto response = { 0 };

    if (watch->count == 1)
        snprintf(path, sizeof(path), "/v1/jobs/%s/events", watch->jobs[0].id);
    if (*last)
        snprintf(header, sizeof(header), "Last-Event-ID: %s", last);
    struct http_request request = { .path = path, .headers = { "Accept: text/event-stream", *header ? header : NULL } };
    sse_restart(&watch->sse);
    if (watch->screen.terminal)
        http_idle(watch->cli->http, on_idle, watch);
    int r = http_stream(watch->cli->http, &request, SILENCE_S, see_bytes, watch, &response, NULL);
    http_idle(watch->cli->http, NULL, NULL);
    *ret_status = response.status;
    return r;
}

/* Knock again after a connection ended. CLI_OK: go on. */
static int come_back(struct watch *watch, bool broken, bool *said)
{
    char *note = watch->jobs[watch->count - 1].note;

    if (monotonic_ms() - watch->heard_ms > PATIENCE_MS) {
        cli_error(CLI_UNREACHABLE, "watch: riftd has been away for %d s; jobs may go on without it",
                  PATIENCE_MS / 1000);
        cli_advice("Start riftd again: it finds them, and `riftctl watch` then shows how far they are.");
        return CLI_UNREACHABLE;
    }
    if (broken && !*said) {
        snprintf(note, sizeof(watch->jobs->note), "  riftd is away; waiting for it to come back");
        screen_say(&watch->screen, NULL, "%s", note + 2);
        draw(watch, true);
    }
    *said = broken;
    poll(NULL, 0, RETRY_MS); /* the deadline is PATIENCE_MS */
    draw(watch, false);
    server_look_again(watch->cli);
    int r = refresh(watch);
    if (r == 404)
        return cli_error(CLI_NOT_FOUND, "watch: the job was deleted");
    if (r == 0 && *said) {
        *note = '\0';
        draw(watch, true);
    }
    return CLI_OK;
}

/* Follow the stream, through broken connections, to its end. */
static int follow(struct watch *watch)
{
    bool said = false;
    int code = CLI_OK;

    while (code == CLI_OK) {
        int status = 0, r = follow_once(watch, &status);
        bool broken = r == -ECONNREFUSED || r == -ECONNRESET;
        if (r == -ECANCELED || status == 204)
            return CLI_OK;
        if (r < 0 && !broken)
            return cli_error(CLI_FAILED, "watch: the event stream can't be read: %s", strerror(-r));
        if (!broken && all_ended(watch))
            return CLI_OK;
        code = come_back(watch, broken, &said);
        if (code == CLI_OK && watch->count > 1 && all_ended(watch))
            return CLI_OK;
    }
    return code;
}

/* ---- ^C ---- */

static char parting[128]; /* composed before: a handler may only write */

static void on_interrupt(int number)
{
    if (write(STDERR_FILENO, parting, strlen(parting)) < 0)
        (void)0; /* nobody listens */
    raise(number);
}

/* Leaving is no cancelling: say so, then end as by the signal. */
static void parting_prepare(const struct watch *watch)
{
    struct sigaction action = { .sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND };

    if (!watch->screen.terminal)
        return;
    snprintf(parting, sizeof(parting), "\nNo longer watched; the job%s: `riftctl watch` shows %s again.\n",
             watch->count > 1 ? "s go on" : " goes on", watch->count > 1 ? "them" : "it");
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}

/* ---- the whole ---- */

/* What has happened until now isn't told again: from here on. */
static int begin_now(struct watch *watch)
{
    json_auto_t *answer = NULL;
    int r = server_get(watch->cli, &answer, "/v1/events?wait=0&after=now");

    if (r == CLI_OK)
        snprintf(watch->sse.last_id, sizeof(watch->sse.last_id), "%" JSON_INTEGER_FORMAT,
                 json_integer_value(json_object_get(answer, "last")));
    return r;
}

/* Several jobs' code: a failure counts most, then that one was cancelled. */
static int code_worse(int one, int other)
{
    static const int order[] = { CLI_FAILED, CLI_CANCELLED };

    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
        if (one == order[i] || other == order[i])
            return order[i];
    return one ? one : other;
}

/* The jobs have ended: their last states, and their tables. */
static int conclude(struct watch *watch)
{
    int code = CLI_OK;

    for (int i = 0; i < watch->count; i++)
        watch->jobs[i].note[0] = '\0';
    for (int i = 0; i < watch->count; i++) {
        json_auto_t *job = NULL;
        int r = server_get(watch->cli, &job, "/v1/jobs/%s", watch->jobs[i].id);

        if (r != CLI_OK)
            return r;
        job_take(&watch->jobs[i], job);
        job_say_states(&watch->jobs[i], &watch->screen);
        if (i == 0)
            draw(watch, true);
        if (watch->count > 1 && !watch->cli->json)
            printf("\n%s%s %s  %s%s\n", style_on(STYLE_TITLE), watch->jobs[i].kind, watch->jobs[i].id,
                   watch->jobs[i].label, style_off());
        fflush(stdout); /* before what is said on stderr */
        code = code_worse(code, outcome_show(watch->cli, job));
    }
    return code;
}

/* GET them all, draw them. */
static int start(struct watch *watch, const char *const *ids)
{
    int r = watch->count > 1 ? begin_now(watch) : CLI_OK;

    for (int i = 0; i < watch->count && r == CLI_OK; i++) {
        json_auto_t *job = NULL;
        r = server_get(watch->cli, &job, "/v1/jobs/%s", ids[i]);
        if (r == CLI_OK)
            job_take(&watch->jobs[i], job);
    }
    if (r == CLI_OK)
        draw(watch, true);
    return r;
}

static int watch_jobs(struct cli *cli, const char *const *ids, int count)
{
    struct watch watch = { .cli = cli, .count = count, .sse = { .see = see_event }, .heard_ms = monotonic_ms() };

    watch.jobs = calloc((size_t)count, sizeof(*watch.jobs));
    if (!watch.jobs)
        return cli_error(CLI_FAILED, "out of memory");
    watch.sse.user = &watch;
    watch.screen.terminal = isatty(STDOUT_FILENO) && !cli->json && strcmp(getenv("TERM") ?: "dumb", "dumb") != 0;
    watch.screen.silent = cli->json;
    watch.screen.several = count > 1;
    parting_prepare(&watch);
    int r = start(&watch, ids);
    if (r == CLI_OK && !all_ended(&watch))
        r = follow(&watch);
    signal(SIGINT, SIG_DFL);
    if (r == CLI_OK && count > 1 && refresh(&watch) < 0)
        r = server_away(cli, "watch: riftd is away");
    if (r == CLI_OK)
        r = conclude(&watch);
    for (int i = 0; i < count; i++)
        job_forget(&watch.jobs[i]);
    free(watch.jobs);
    sse_done(&watch.sse);
    return r;
}

int watch_job(struct cli *cli, const char *id)
{
    return watch_jobs(cli, &id, 1);
}

int command_watch(struct cli *cli)
{
    char whole[CLI_ARGUMENTS_MOST][40];
    const char *ids[CLI_ARGUMENTS_MOST];
    int count = 0;

    for (int i = 0; i < cli->argument_count; i++) {
        json_auto_t *job = NULL;
        int r = server_job(cli, cli->arguments[i], &job), k = 0;
        if (r != CLI_OK)
            return r;
        snprintf(whole[count], sizeof(whole[count]), "%s", text_at(job, "id", ""));
        while (k < count && strcmp(whole[k], whole[count]) != 0)
            k++;
        if (k == count) { /* each once */
            ids[count] = whole[count];
            count++;
        }
    }
    return watch_jobs(cli, ids, count);
}
