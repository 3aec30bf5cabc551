/* The client of client.h. */
#include "tests/faults/client.h"

#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { PATIENCE_MS = 20000, SILENCE_MS = 300 };

static int dial(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
        abort();
    strcpy(address.sun_path, path);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        perror(path);
        abort();
    }
    return fd;
}

static void receive(int fd, struct reply *ret)
{
    size_t room = 1 << 16;

    ret->text = malloc(room + 1);
    for (;;) {
        struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
        bool stream = ret->size && strstr(ret->text, "text/event-stream");
        if (poll(&poll_fd, 1, stream ? SILENCE_MS : PATIENCE_MS) <= 0)
            break;
        if (ret->size == room)
            ret->text = realloc(ret->text, (room *= 2) + 1);
        if (!ret->text)
            abort();
        ssize_t n = recv(fd, ret->text + ret->size, room - ret->size, 0);
        if (n <= 0)
            break;
        ret->size += (size_t)n;
        ret->text[ret->size] = 0;
    }
    ret->text[ret->size] = 0;
}

void ask(const char *socket_path, const char *method, const char *target, const char *headers, const char *body,
         struct reply *ret)
{
    char *text;
    int length;
    int fd = dial(socket_path);

    *ret = (struct reply){ 0 };
    if (body)
        length =
            asprintf(&text,
                     "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%sContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\n\r\n%s",
                     method, target, headers, strlen(body), body);
    else
        length = asprintf(&text, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n", method, target,
                          headers);
    if (length < 0)
        abort();
    if (send(fd, text, (size_t)length, MSG_NOSIGNAL) == length)
        receive(fd, ret);
    free(text);
    close(fd);
    if (!ret->size)
        return;
    if (sscanf(ret->text, "HTTP/1.%*d %d", &ret->status) != 1)
        ret->status = -1;
    char *end = strstr(ret->text, "\r\n\r\n");
    ret->body = end ? end + 4 : ret->text + ret->size;
    ret->body_size = ret->size - (size_t)(ret->body - ret->text);
}

void reply_done(struct reply *reply)
{
    free(reply->text);
    *reply = (struct reply){ 0 };
}
