/* How does a job tell what happens, without ever saying a thing twice?
 *
 * Work after the last checkpoint is done again when a job goes on, and comes
 * out bit for bit the same; its events are in the journal already. So at the
 * start the journal is read, and an event that is identified by what it is
 * about (metric and step, module and pass, alpha, ...) isn't written again.
 * What a job says anew isn't kept: it says nothing twice by itself.
 *
 *   type        identified by
 *   metric      name, step
 *   module      module, pass
 *   alpha       alpha
 *   evaluation  name
 *   artifact    name, sha256
 *
 * Surprising: a repeated event is compared with what was said then. A
 * difference means that resuming is not exact, a bug of ours; it goes to the
 * log. */
#include "gpu/rift/run.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAY_EVERY_MS = 1000 };

static const struct identity {
    const char *type;
    const char *members[2];
} identities[] = {
    { "metric", { "name", "step" } }, { "module", { "module", "pass" } },   { "alpha", { "alpha" } },
    { "evaluation", { "name" } },     { "artifact", { "name", "sha256" } },
};
enum { IDENTITY_COUNT = sizeof(identities) / sizeof(identities[0]) };

/* What identifies an event, malloc'd; NULL when it may be said again and again. */
static char *event_key(const char *type, const json_t *fields)
{
    for (int i = 0; i < IDENTITY_COUNT; i++) {
        if (strcmp(identities[i].type, type) != 0)
            continue;
        json_auto_t *key = json_pack("[s]", type);

        for (int m = 0; m < 2 && identities[i].members[m]; m++)
            json_array_append(key, json_object_get(fields, identities[i].members[m]));
        return json_dumps(key, JSON_COMPACT);
    }
    return NULL;
}

/* ---- reading what was said --------------------------------------------------- */

struct reading {
    struct run *run;
    bool finished;
    char spec[65]; /* of the newest `started` */
};

static int event_seen(json_t *event, int64_t end_offset, void *user)
{
    struct reading *reading = user;
    const char *type = json_string_value(json_object_get(event, "type"));
    const char *spec = json_string_value(json_object_get(event, "spec_sha256"));
    char *key = event_key(type, event);

    (void)end_offset;
    reading->finished = strcmp(type, "finished") == 0;
    if (strcmp(type, "started") == 0 && spec)
        snprintf(reading->spec, sizeof(reading->spec), "%s", spec);
    if (key) {
        json_t *fields = json_copy(event);

        json_object_del(fields, "seq");
        json_object_del(fields, "time_ms");
        json_object_del(fields, "type");
        json_object_set_new(reading->run->said, key, fields);
        free(key);
    }
    return 0;
}

int events_open(struct run *run)
{
    struct reading reading = { .run = run };
    int64_t offset = 0;
    char *path = run_path(run, JOBDIR_JOURNAL);

    run->said = json_object();
    if (!path || !run->said) {
        free(path);
        return fault_set(&run->why, -ENOMEM, "no memory for the journal");
    }
    int r;

    do
        r = journal_open(path, &run->journal, &run->why);
    while (run_waits(run, &r));
    if (r == 0)
        r = journal_read(path, &offset, event_seen, &reading, &run->why);
    free(path);
    if (r < 0)
        return r == -EBUSY ? r : run_blame(run, FAILURE_BAD_DATA, r);
    if (reading.finished)
        return 1;
    if (*run->spec_sha256 && *reading.spec && strcmp(reading.spec, run->spec_sha256) != 0)
        return run_fail(
            run, FAILURE_BAD_SPEC,
            "%s: the journal here was written for another spec; give the changed job a directory of its own", run->dir);
    return 0;
}

void events_close(struct run *run)
{
    journal_close(run->journal);
    run->journal = NULL;
    json_decref(run->said);
    run->said = NULL;
}

/* ---- saying -------------------------------------------------------------------- */

void run_log(const struct run *run, const char *format, ...)
{
    va_list list;
    char line[1024];

    va_start(list, format);
    vsnprintf(line, sizeof(line), format, list);
    va_end(list);
    fprintf(stderr, "%s: %s\n", run->dir, line);
}

/* What was said then, by an older worker perhaps, which had less to say. */
static bool says_the_same(json_t *then, const json_t *now)
{
    const char *member;
    json_t *was;

    json_object_foreach(then, member, was)
    {
        if (!json_equal(was, json_object_get(now, member)))
            return false;
    }
    return true;
}

/* 1 when an event of that key was in the journal at the start. It comes again only once, so it is
 * forgotten then. */
static int said_before(struct run *run, const char *key, const json_t *fields)
{
    json_t *then = json_object_get(run->said, key);

    if (!then)
        return 0;
    if (!says_the_same(then, fields)) {
        char *was = json_dumps(then, JSON_COMPACT), *is = json_dumps(fields, JSON_COMPACT);

        run_log(run, "internal error: %s was %s in the journal and is %s when done again", key, was ? was : "?",
                is ? is : "?");
        free(was);
        free(is);
    }
    json_object_del(run->said, key);
    return 1;
}

static void watch(struct run *run, const char *type, const json_t *fields)
{
    json_t *event = fields ? json_copy((json_t *)fields) : json_object(); /* shallow, for the eyes of `watch` only */

    json_object_set_new(event, "type", json_string(type));
    run->watch(event, run->watch_user);
    json_decref(event);
}

int run_event(struct run *run, const char *type, json_t *fields)
{
    int r = 0;

    if (!run->journal) { /* a check says nothing */
        json_decref(fields);
        return 0;
    }
    if (run->sandbox && strcmp(type, "started") == 0)
        json_object_set(fields, "sandbox", run->sandbox);
    char *key = event_key(type, fields);
    if (!key || !said_before(run, key, fields)) {
        /* The journal takes its own copy: ours is shown to whoever watches. */
        do
            r = journal_append(run->journal, run->now_ms(), type, fields ? json_copy(fields) : NULL);
        while (run_waits(run, &r));
        if (r == 0 && run->watch)
            watch(run, type, fields);
    }
    free(key);
    json_decref(fields);
    if (r < 0 && r != -EINTR)
        fault_set(&run->why, r, "%s/%s: %s", run->dir, JOBDIR_JOURNAL, strerror(-r));
    return r;
}

json_t *json_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

double json_double(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return json_is_number(value) ? json_number_value(value) : NAN;
}

int run_metric(struct run *run, const char *name, int64_t step, double epoch, double value)
{
    return run_event(run, "metric",
                     json_pack("{s:s, s:I, s:f, s:o}", "name", name, "step", (json_int_t)step, "epoch", epoch, "value",
                               json_number(value)));
}

static int say_progress(struct run *run, const char *phase, int64_t done, int64_t total, double images_per_s)
{
    double eta_s = images_per_s > 0 ? (double)(total - done) / images_per_s : NAN;

    return run_event(run, "progress",
                     json_pack("{s:s, s:I, s:I, s:o, s:o}", "phase", phase, "done", (json_int_t)done, "total",
                               (json_int_t)total, "images_per_s", json_number(images_per_s), "eta_s",
                               json_number(eta_s)));
}

int run_progress_step(struct run *run, const char *phase, int done, int total)
{
    return say_progress(run, phase, done, total, NAN);
}

int run_progress(struct run *run, const char *phase, int64_t done, int64_t total, bool end)
{
    struct pace *pace = &run->pace;
    int64_t now = run->steady_ms();

    if (strcmp(pace->phase, phase) != 0 || done < pace->since) { /* a new phase: rates start here */
        *pace = (struct pace){ .said_ms = now, .since_ms = now, .since = done };
        snprintf(pace->phase, sizeof(pace->phase), "%s", phase);
    }
    if (!end && done < total && now - pace->said_ms < SAY_EVERY_MS)
        return 0;

    double seconds = (double)(now - pace->since_ms) / 1000;
    double rate = seconds > 0 && done > pace->since ? (double)(done - pace->since) / seconds : NAN;
    pace->said_ms = pace->since_ms = now;
    pace->since = done;
    return say_progress(run, phase, done, total, rate);
}
