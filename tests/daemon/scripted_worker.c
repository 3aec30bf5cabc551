/* What would a worker do that dies, tears lines or dawdles at a given moment?
 *
 * `scripted_worker run ... DIR` follows the words in the spec's label, through the
 * real journal code:
 *
 *   to:N        metric events up to step N, a checkpoint every 10 steps
 *   slow:MS     a pause after each step from here on
 *   hold:NAME   wait until the file DIR/NAME is there
 *   artifact:NAME  write a file of that name and announce it
 *   deaf        ignore SIGTERM
 *   torn        leave half a line at the journal's end
 *   kill        die by SIGKILL
 *   exit:CODE   exit without a last word
 *   fail:CODE   say `failed` and exit
 *   finish      say `finished` and exit
 *   2:WORD      the word, only in the second attempt
 *   @1:WORD     the word, only in a job whose seed is 1
 *
 * `scripted_worker serve --jobs-dir DIR` answers a request as the real one does:
 * the file that does it is the real one's.
 *
 * Like the real one it goes on from its checkpoint (the file checkpoint/step),
 * says `interrupted` after SIGTERM and does nothing after `finished`. */
#include "gpu/worker/serve.h"
#include "job/job.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t terminated;
static struct journal *journal;
static int step, slow_ms, seed;

static void on_term(int signal_number)
{
    (void)signal_number;
    terminated = 1;
}

static void say(const char *type, json_t *fields)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (journal_append(journal, (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000, type, fields) < 0)
        exit(WORKER_INTERNAL);
}

/* A small number that is kept in a file of the checkpoint. */
static int kept(const char *name)
{
    char *text, path[64];
    size_t size;

    snprintf(path, sizeof(path), JOBDIR_CHECKPOINT "/%s", name);
    if (file_read(path, 64, &text, &size, NULL) < 0)
        return 0;
    int number = atoi(text);
    free(text);
    return number;
}

static void keep(const char *name, int number)
{
    char text[16];

    snprintf(text, sizeof(text), "%d", number);
    if (file_replace(JOBDIR_CHECKPOINT, name, text, strlen(text), NULL) < 0)
        exit(WORKER_INTERNAL);
}

static void checkpoint(void)
{
    keep("step", step);
    say("checkpoint", json_pack("{s:i}", "step", step));
}

static void stop_if_terminated(void)
{
    if (!terminated)
        return;
    checkpoint();
    say("interrupted", NULL);
    exit(WORKER_INTERRUPTED);
}

static void word_to(const char *argument)
{
    int last = atoi(argument);

    while (step < last) {
        step++;
        say("metric",
            json_pack("{s:s, s:i, s:f, s:f}", "name", "loss", "step", step, "epoch", step / 10.0, "value", 1.0 / step));
        if (step % 10 == 0)
            checkpoint();
        poll(NULL, 0, slow_ms);
        stop_if_terminated();
    }
}

static void word_slow(const char *argument)
{
    slow_ms = atoi(argument);
}

static void word_hold(const char *argument)
{
    while (access(argument, F_OK) < 0) {
        poll(NULL, 0, 5);
        stop_if_terminated();
    }
}

static void word_artifact(const char *argument)
{
    char hex[65];

    if (file_replace(JOBDIR_ARTIFACTS, argument, argument, strlen(argument), NULL) < 0)
        exit(WORKER_INTERNAL);
    sha256_of(argument, strlen(argument), hex);
    say("artifact", json_pack("{s:s, s:i, s:s}", "name", argument, "size", (int)strlen(argument), "sha256", hex));
}

static void word_deaf(const char *argument)
{
    (void)argument;
    signal(SIGTERM, SIG_IGN);
    say("progress", json_pack("{s:s}", "phase", "deaf"));
}

static void word_torn(const char *argument)
{
    static const char half[] = "{\"seq\":99999,\"time_ms\":1,\"ty";
    int fd = open(JOBDIR_JOURNAL, O_WRONLY | O_APPEND | O_CLOEXEC);

    (void)argument;
    if (write(fd, half, strlen(half)) < 0)
        exit(WORKER_INTERNAL);
    close(fd);
}

static void word_kill(const char *argument)
{
    (void)argument;
    raise(SIGKILL);
}

static void word_exit(const char *argument)
{
    fprintf(stderr, "leaving with %s, as the script says\n", argument);
    exit(atoi(argument));
}

static void word_fail(const char *argument)
{
    say("failed", json_pack("{s:s, s:s}", "code", argument, "message", "the script says so"));
    exit(WORKER_BAD_INPUT);
}

/* Something of every kind's result, so that each step of a rift job has its own. */
static void word_finish(const char *argument)
{
    json_t *clean = json_pack("{s:f, s:f}", "loss", 0.5, "accuracy", 0.75);
    json_t *attack = json_pack("{s:s, s:f, s:f}", "name", "pgd-10", "loss", 0.9, "accuracy", 0.5);

    json_t *baseline = json_pack("{s:{s:f}, s:[{s:f}]}", "clean", "accuracy", 0.625, "attacks", "accuracy", 0.5);

    (void)argument;
    say("finished",
        json_pack("{s:{s:i, s:i, s:[s], s:f, s:o, s:[o], s:o}}", "result", "epochs", 1, "steps", step, "modules",
                  "layer1.0.conv1", "chosen_alpha", 0.5, "clean", clean, "attacks", attack, "baseline", baseline));
    exit(WORKER_FINISHED);
}

static const struct {
    const char *word;
    void (*run)(const char *argument);
} words[] = {
    { "to", word_to },         { "slow", word_slow },         { "hold", word_hold }, { "deaf", word_deaf },
    { "torn", word_torn },     { "kill", word_kill },         { "exit", word_exit }, { "fail", word_fail },
    { "finish", word_finish }, { "artifact", word_artifact },
};

static void word_run(char *word, int attempt)
{
    if (*word == '@') {
        if (atoi(word + 1) != seed)
            return;
        word = strchr(word, ':') + 1;
    }
    if (*word >= '0' && *word <= '9') {
        if (atoi(word) != attempt)
            return;
        word = strchr(word, ':') + 1;
    }
    char *argument = strchr(word, ':');
    if (argument)
        *argument++ = '\0';
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(words[i].word, word) == 0) {
            words[i].run(argument ? argument : "");
            return;
        }
    fprintf(stderr, "no such word: %s\n", word);
    exit(WORKER_INTERNAL);
}

static int see_last(json_t *event, int64_t end_offset, void *user)
{
    (void)end_offset;
    *(bool *)user = strcmp(json_string_value(json_object_get(event, "type")), "finished") == 0;
    return 0;
}

static int run(const char *dir)
{
    struct fault why = { 0 };
    bool finished = false;
    int64_t offset = 0;

    if (chdir(dir) < 0)
        return WORKER_BAD_INPUT;
    json_auto_t *spec = json_load_file(JOBDIR_SPEC, 0, NULL);
    char *script = strdup(json_string_value(json_object_get(spec, "label")));
    seed = (int)json_integer_value(json_object_get(spec, "seed"));
    if (journal_open(JOBDIR_JOURNAL, &journal, &why) < 0) {
        fprintf(stderr, "%s\n", why.message);
        return WORKER_INTERNAL;
    }
    journal_read(JOBDIR_JOURNAL, &offset, see_last, &finished, NULL);
    if (finished)
        return WORKER_FINISHED;
    signal(SIGTERM, on_term);
    int attempt = kept("attempts") + 1;
    keep("attempts", attempt);
    step = kept("step");
    say("started", json_pack("{s:i, s:i}", "pid", (int)getpid(), "attempt", attempt));
    for (char *save, *word = strtok_r(script, " ", &save); word; word = strtok_r(NULL, " ", &save))
        word_run(word, attempt);
    return WORKER_INTERNAL;
}

static void leave(int code, void *user)
{
    (void)user;
    if (code)
        jobdir_exit_write(".", code);
}

static json_t *devices(void)
{
    return json_pack("[{s:s, s:s}]", "id", "cpu", "name", "a processor that follows a script, launched");
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "devices") == 0) {
        const char *memory = getenv("SCRIPTED_MEMORY"); /* bytes; else it doesn't say */
        printf("[{\"id\":\"cpu\",\"name\":\"a processor that follows a script\"%s%s}]\n",
               memory ? ",\"memory_bytes\":" : "", memory ? memory : "");
        return 0;
    }
    if (argc == 4 && strcmp(argv[1], "serve") == 0)
        return serve(argv[3], devices);
    if (argc < 3 || strcmp(argv[1], "run") != 0)
        return WORKER_BAD_INPUT;
    on_exit(leave, NULL);
    return run(argv[argc - 1]);
}
