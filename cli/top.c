/* What is riftd doing, all the time?
 *
 *   ask riftd -> draw -> wait for a key, at most REFRESH_MS -> ask riftd -> ...
 *
 * riftd may go and come meanwhile: what was known stays on the screen, with a line
 * that says so. What it answers is never waited for longer than HURRY_MS, so that
 * keys work. */
#include "cli/top.h"

#include "cli/cli.h"
#include "cli/terminal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define REFRESH_MS 1000
#define HURRY_MS   2000
#define QUEUE_MOST 200

/* ---- riftd ---- */

static int answer_take(struct cli *cli, const char *path, json_t **into)
{
    json_t *answer = NULL;
    int r = server_try(cli->http, path, &answer);

    if (r != 0)
        return r;
    json_decref(*into);
    *into = answer;
    return 0;
}

static void clock_write(char ret[16])
{
    time_t now = time(NULL);
    struct tm local;

    strftime(ret, 16, "%H:%M:%S", localtime_r(&now, &local));
}

/* Everything anew; what can't be had stays as it was. */
static void refresh(struct cli *cli, struct top *top)
{
    char path[64];

    snprintf(path, sizeof(path), "/v1/queue?limit=%d", QUEUE_MOST);
    if (*top->problem)
        server_look_again(cli);
    http_hurry(cli->http, HURRY_MS);
    snprintf(top->where, sizeof(top->where), "%s", http_base(cli->http));
    int r = answer_take(cli, path, &top->queue);
    if (r == 0)
        r = answer_take(cli, "/v1/devices", &top->devices);
    if (r == 0)
        r = answer_take(cli, "/v1/jobs?parent=&limit=30", &top->recent);
    *top->problem = '\0';
    if (r == 401 || r == 403)
        snprintf(top->problem, sizeof(top->problem), "riftd wants a token, or a better one (%d)", r);
    else if (r != 0)
        snprintf(top->problem, sizeof(top->problem), "riftd is away since %s; waiting for it to come back",
                 *top->time ? top->time : "now");
    else
        clock_write(top->time);
}

/* ---- the chosen row ---- */

static const json_t *chosen_job(const struct top *top, size_t *ret_at)
{
    const json_t *job;
    size_t i;

    json_array_foreach(json_object_get(top->queue, "jobs"), i, job)
    {
        if (strcmp(text_at(job, "id", ""), top->chosen) != 0)
            continue;
        *ret_at = i;
        return job;
    }
    return NULL;
}

/* The row so many below the chosen one; the nearest when there is none. */
static void choose(struct top *top, long by)
{
    const json_t *jobs = json_object_get(top->queue, "jobs");
    long count = (long)json_array_size(jobs);
    size_t at = 0;
    bool any = chosen_job(top, &at) != NULL;
    long to = any ? (long)at + by : by < 0 ? count - 1 : 0;

    to = to >= count ? count - 1 : to;
    to = to < 0 ? 0 : to;
    snprintf(top->chosen, sizeof(top->chosen), "%s", count ? text_at(json_array_get(jobs, (size_t)to), "id", "") : "");
}

/* A step isn't cancelled alone: people mean the job that it is a step of. */
static void cancel_ask(struct top *top)
{
    size_t at;
    const json_t *job = chosen_job(top, &at);

    top->asking = job != NULL;
    if (!job)
        snprintf(top->note, sizeof(top->note), "First choose a job, with the arrow keys.");
    else if (text_at(job, "parent", NULL))
        snprintf(top->note, sizeof(top->note), "Cancel the whole job that this is the %s step of (%.18s)? y/n",
                 text_at(job, "kind", "?"), text_at(job, "parent", ""));
    else
        snprintf(top->note, sizeof(top->note), "Cancel this %s job (%.18s)? y/n", text_at(job, "kind", "?"),
                 top->chosen);
}

static void cancel_send(struct cli *cli, struct top *top)
{
    http_response_auto response = { 0 };
    struct fault why = { 0 };
    size_t at;
    const json_t *job = chosen_job(top, &at);
    const char *id = text_at(job, "parent", text_at(job, "id", NULL));
    char path[80];

    if (!id) {
        snprintf(top->note, sizeof(top->note), "It has ended meanwhile.");
        return;
    }
    snprintf(path, sizeof(path), "/v1/jobs/%.36s/cancel", id);
    struct http_request request = { .method = "POST", .path = path };
    int r = http_ask(cli->http, &request, &response, &why);
    json_auto_t *answer = r < 0 || !response.body ? NULL : json_loadb(response.body, response.size, 0, NULL);
    if (r < 0)
        snprintf(top->note, sizeof(top->note), "Not cancelled: %.200s", why.message);
    else if (response.status / 100 != 2)
        snprintf(top->note, sizeof(top->note), "Not cancelled: %.200s", text_at(answer, "detail", "riftd refuses"));
    else
        snprintf(top->note, sizeof(top->note), "Asked to stop: %.36s", id);
}

/* ---- keys ---- */

/* false: it is over. */
static bool key_take(struct cli *cli, struct top *top, int key)
{
    bool asking = top->asking;

    if (key == KEY_NONE || key == KEY_RESIZE)
        return true;
    top->asking = false;
    *top->note = '\0';
    if (asking) {
        if (key == 'y' || key == 'Y')
            cancel_send(cli, top);
        return key != KEY_GONE;
    }
    switch (key) {
    case KEY_UP:
    case 'k':
        choose(top, -1);
        break;
    case KEY_DOWN:
    case 'j':
        choose(top, 1);
        break;
    case KEY_PAGE_UP:
        choose(top, -10);
        break;
    case KEY_PAGE_DOWN:
        choose(top, 10);
        break;
    case KEY_HOME:
        choose(top, -QUEUE_MOST);
        break;
    case KEY_END:
        choose(top, QUEUE_MOST);
        break;
    case 'c':
        cancel_ask(top);
        break;
    case 'q':
    case KEY_GONE:
        return false;
    }
    return true;
}

static void show(struct top *top)
{
    struct frame frame = { 0 };

    style_size(&frame.columns, &frame.most);
    top_draw(top, &frame);
    const char **lines = calloc((size_t)frame.count + 1, sizeof(*lines));
    for (int i = 0; lines && i < frame.count; i++)
        lines[i] = line_end(&frame.lines[i]);
    if (lines)
        terminal_show(lines, frame.count);
    free(lines);
    free(frame.lines);
}

static void live(struct cli *cli, struct top *top)
{
    int key = KEY_NONE;

    do {
        if (key == KEY_NONE || key == 'y' || key == 'Y')
            refresh(cli, top);
        show(top);
        key = terminal_key(REFRESH_MS);
    } while (key_take(cli, top, key));
}

static void once(struct top *top)
{
    struct frame frame = { 0 };
    int rows;

    style_size(&frame.columns, &rows);
    top_draw(top, &frame);
    for (int i = 0; i < frame.count; i++)
        puts(line_end(&frame.lines[i]));
    free(frame.lines);
}

/* {"queue": ..., "devices": ..., "jobs": ...}: riftd's three answers. */
static void json_show(const struct top *top)
{
    json_auto_t *all =
        json_pack("{s:O?, s:O?, s:O?}", "queue", top->queue, "devices", json_object_get(top->devices, "devices"),
                  "jobs", json_object_get(top->recent, "jobs"));
    print_json(all);
}

int command_top(struct cli *cli)
{
    bool one = cli_given(cli, "once") || cli->json;
    json_auto_t *asked = NULL;
    struct top top = { 0 };
    int r = server_get(cli, &asked, "/v1/queue?limit=1"); /* says what is wrong, if something is */

    if (r != CLI_OK)
        return r;
    if (!one && terminal_open() < 0) {
        cli_error(CLI_USAGE, "top: this is no terminal that it could redraw");
        cli_advice("`riftctl top --once` prints one picture of it; `riftctl queue --json` is for programs.");
        return CLI_USAGE;
    }
    if (one)
        refresh(cli, &top);
    else
        live(cli, &top);
    terminal_close();
    if (cli->json)
        json_show(&top);
    else if (one)
        once(&top);
    json_decref(top.queue);
    json_decref(top.devices);
    json_decref(top.recent);
    return CLI_OK;
}
