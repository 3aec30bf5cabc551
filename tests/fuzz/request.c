/* Can any request be asked? Everything behind the HTTP library, without it: the
 * checks of admit.c in http.c's order, the query, the handler on a real
 * database, the answer. An input looks like a request:
 *
 *     METHOD TARGET
 *     Name: value
 *
 *     body
 *
 * with plain newlines; the first line ends at its last space or newline. This
 * file stands in http.c's place, so request_header is here. */
#include "tests/fuzz/service.h"

#include "api/caller.h"
#include "api/exchange.h"
#include "api/gate.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { HEADERS_MAX = 16, PORT = 8717 };

struct input {
    char *method, *target, *body;
    struct {
        char *name, *value;
    } headers[HEADERS_MAX];
    int header_count;
};

const char *request_header(const struct request *request, const char *name)
{
    const struct input *input = request->connection;

    for (int i = 0; i < input->header_count; i++)
        if (!strcasecmp(input->headers[i].name, name))
            return input->headers[i].value;
    return NULL;
}

/* The header "Cookie: name=value", of one cookie; the library takes lists apart. */
const char *request_cookie(const struct request *request, const char *name)
{
    const char *cookie = request_header(request, "Cookie");
    size_t length = strlen(name);

    return cookie && !strncmp(cookie, name, length) && cookie[length] == '=' ? cookie + length + 1 : NULL;
}

/* Take the text apart; false when it isn't even that. The library has no NUL in
 * any of it but the body, and neither has this. */
static bool input_parse(char *text, struct input *ret)
{
    char *line = strsep(&text, "\n");

    ret->method = strsep(&line, " ");
    ret->target = line;
    if (!line || !*ret->method)
        return false;
    while (text && *text && *text != '\n') {
        char *value = strsep(&text, "\n"), *name = strsep(&value, ":");
        if (!value || !*name || ret->header_count == HEADERS_MAX)
            return false;
        value += strspn(value, " \t");
        ret->headers[ret->header_count].name = name;
        ret->headers[ret->header_count++].value = value;
    }
    ret->body = text && *text ? text + 1 : NULL;
    return true;
}

static void framing_see(const struct input *input, struct framing *framing)
{
    for (int i = 0; i < input->header_count; i++) {
        framing->hosts += !strcasecmp(input->headers[i].name, "Host");
        framing->lengths += !strcasecmp(input->headers[i].name, "Content-Length");
        framing->encodings += !strcasecmp(input->headers[i].name, "Transfer-Encoding");
        framing->credentials += !strcasecmp(input->headers[i].name, "Authorization");
        if (!strcasecmp(input->headers[i].name, "X-Forwarded-For"))
            framing->forwarded_for = input->headers[i].value;
        if (!strcasecmp(input->headers[i].name, "X-Forwarded-Proto"))
            framing->forwarded_proto = input->headers[i].value;
    }
}

/* As query_see of http.c; false: refused there. */
static bool query_take(struct request *request, char *text)
{
    while (text && *text) {
        char *value = strsep(&text, "&"), *name = strsep(&value, "=");
        if (request->query_count == QUERY_COUNT_MAX)
            return false;
        struct query *query = &request->query[request->query_count++];
        *query = (struct query){ strdup(name), strdup(value ? value : "") };
        if (percent_decode(query->name, false) < 0 || percent_decode(query->value, false) < 0 ||
            !route_takes(request->route, query->name))
            return false;
        for (int i = 0; i + 1 < request->query_count; i++)
            if (!strcmp(request->query[i].name, query->name))
                return false;
    }
    return true;
}

static void json_see(const char *text, size_t size)
{
    json_auto_t *json = json_loadb(text, size, JSON_DECODE_ANY, NULL);

    PROMISE(json);
}

/* An answer that may go out. */
static void answer_see(const struct answer *answer)
{
    PROMISE(answer->status >= 200 && answer->status < 600 && answer->status != 500);
    PROMISE(!(answer->text && answer->has_file) && !(answer->text && answer->stream));
    if (answer->text && answer->type && !strcmp(answer->type, "application/json"))
        json_see(answer->text, answer->size);
    if (answer->type && !strcmp(answer->type, "application/problem+json"))
        json_see(answer->text, answer->size);
    for (int i = 0; i < answer->header_count; i++) /* no header may be split in two */
        PROMISE(!answer->headers[i].value[strcspn(answer->headers[i].value, "\r\n")]);
    if (answer->has_file) {
        char block[64];
        PROMISE(answer->file.offset >= 0 && answer->file.length > 0);
        PROMISE(pread(answer->file.fd, block, sizeof(block), answer->file.offset) >= 0);
    }
    if (answer->stream) {
        char *piece = NULL;
        size_t size = 0;
        int r = answer->stream->fill(answer->stream, &piece, &size);
        PROMISE(r == 1 || r == 0 || r == -ENODATA);
        if (r == 1)
            free(piece);
    }
}

/* 0: the handler is next; 1: answered. */
static int admit(struct request *request, struct answer *answer, const struct input *input)
{
    struct framing framing = { 0 };

    framing_see(input, &framing);
    request_id_choose(request);
    int r = framing_check(request, answer, &framing);
    peer_forwarded(request, framing.forwarded_for, framing.forwarded_proto);
    if (!r)
        r = sender_check(request, answer, &framing, input->method, "127.0.0.1", PORT);
    char *question = strchr(input->target, '?');
    if (question)
        *question++ = 0;
    if (!r)
        r = route_check(request, answer, &framing, input->method, input->target);
    if (!r && !query_take(request, question))
        r = 1;
    if (!r && request_uploads(request)) {
        r = upload_open(request->config->models_dir, 1 << 20, 0, &request->upload);
        if (!r && input->body)
            r = upload_write(request->upload, input->body, strlen(input->body));
    }
    PROMISE(r >= 0);
    return r;
}

void fuzz_one(const uint8_t *data, size_t size)
{
    static struct api_config config;
    static struct gate gate;
    struct request request = { .config = &config, .gate = &gate, .peer.address = "127.0.0.1" };
    struct answer answer = { 0 };
    struct input input = { 0 };
    char *text = malloc(size + 1);

    PROMISE(text);
    memcpy(text, data, size);
    text[size] = 0;
    if (!config.db) {
        char message[256];
        service_open(&config);
        PROMISE(gate_open(&gate, &config, message) >= 0);
    }
    if (!memchr(text, 0, size) && input_parse(text, &input)) {
        request.connection = &input;
        int r = admit(&request, &answer, &input);
        if (!r) {
            request.body = input.body ? input.body : "";
            request.body_size = strlen(request.body);
            r = route_handle(&request, &answer);
            if (r < 0)
                fprintf(stderr, "%s: %d: %s\n", request.route->path, r, db_errmsg(config.db));
            PROMISE(r >= 0);
            answer_see(&answer);
        } else if (answer.status) {
            answer_see(&answer);
        }
        if (request.route && strcmp(request.route->method, "GET") && answer.status < 300 &&
            answer.status) { /* something was changed: back to the start */
            gate_close(&gate);
            service_close(&config);
        }
    }
    for (int i = 0; i < request.query_count; i++) {
        free(request.query[i].name);
        free(request.query[i].value);
    }
    upload_close(request.upload);
    answer_done(&answer);
    free(text);
}
