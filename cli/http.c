/* How does riftctl speak HTTP?
 *
 * libcurl's easy interface, one handle per server so that the connection is
 * kept. Answers are either collected (bounded) or handed on as they come: an
 * event stream and a download are the same thing here.
 *
 * Surprising: a proxy from the environment is never used for a loopback
 * address; a lab's http_proxy would otherwise swallow every call. */
#include "cli/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ANSWER_LIMIT      (64u << 20) /* bytes; a JSON answer is far smaller */
#define CONNECT_TIMEOUT_S 10
#define ANSWER_TIMEOUT_S  60 /* of silence */

struct http {
    CURL *curl;
    char *base;                   /* no slash at its end */
    char *name;                   /* what people call a unix socket, unix:PATH, or NULL */
    const char *socket;           /* its path, in name, or NULL */
    char *cacert, *authorization; /* "Authorization: Bearer ...", or NULL */
    void (*idle)(void *user);
    void *idle_user;
    int most_ms; /* for one answer; 0: as long as it goes on */
    bool denied; /* the last time: the unix socket may not be opened by us */
    char words[CURL_ERROR_SIZE];
};

static bool is_loopback(const char *url)
{
    static const char *const hosts[] = { "://127.", "://localhost", "://[::1]" };

    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
        if (strstr(url, hosts[i]))
            return true;
    return false;
}

/* What stands for the server in URLs; libcurl connects to the socket in its place. */
#define SOCKET_BASE "http://localhost"

bool http_overheard(const struct http *http)
{
    return !http->socket && strncmp(http->base, "https://", 8) && !is_loopback(http->base);
}

static int access_keep(struct http *http, const struct http_access *access)
{
    if (access->cacert && !(http->cacert = strdup(access->cacert)))
        return -ENOMEM;
    if (!access->token)
        return 0;
    int r = asprintf(&http->authorization, "Authorization: Bearer %s", access->token);
    if (r < 0)
        http->authorization = NULL;
    return r < 0 ? -ENOMEM : 0;
}

int http_open(const char *base_url, const struct http_access *access, struct http **ret, struct fault *why)
{
    const char *socket = strncmp(base_url, "unix:", 5) ? NULL : base_url + 5;
    const char *scheme = strstr(base_url, "://") ? "" : "http://";
    struct http *http = calloc(1, sizeof(*http));

    if (!http)
        return fault_set(why, -ENOMEM, "out of memory");
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) { /* counted: each http_close takes one back */
        free(http);
        return fault_set(why, -EIO, "libcurl can't be started");
    }
    if (asprintf(&http->base, "%s%s", socket ? "" : scheme, socket ? SOCKET_BASE : base_url) < 0)
        http->base = NULL;
    if (socket)
        http->name = strdup(base_url);
    http->socket = http->name ? http->name + strlen("unix:") : NULL;
    http->curl = curl_easy_init();
    if (!http->base || !http->curl || (socket && !http->name) || access_keep(http, access) < 0) {
        http_close(http);
        return fault_set(why, -ENOMEM, "out of memory");
    }
    for (size_t end = strlen(http->base); end > 0 && http->base[end - 1] == '/'; end--)
        http->base[end - 1] = '\0';
    *ret = http;
    return 0;
}

void http_hurry(struct http *http, int most_ms)
{
    http->most_ms = most_ms;
}

void http_idle(struct http *http, void (*idle)(void *user), void *user)
{
    http->idle = idle;
    http->idle_user = user;
}

void http_close(struct http *http)
{
    if (!http)
        return;
    if (http->curl)
        curl_easy_cleanup(http->curl);
    curl_global_cleanup();
    free(http->base);
    free(http->name);
    free(http->cacert);
    if (http->authorization)
        explicit_bzero(http->authorization, strlen(http->authorization));
    free(http->authorization);
    free(http);
}

const char *http_base(const struct http *http)
{
    return http->name ? http->name : http->base;
}

void http_response_done(struct http_response *response)
{
    free(response->body);
    response->body = NULL;
    response->size = 0;
}

/* What one transfer carries through libcurl's callbacks. */
struct transfer {
    struct http *http;
    struct http_response *response;
    int (*see)(const char *data, size_t size, int status, void *user);
    void *user;
    int verdict; /* negative: our own reason to end */
    bool began;  /* a byte of the answer arrived */
};

static size_t collect(struct transfer *transfer, const char *data, size_t size)
{
    struct http_response *response = transfer->response;

    if (size > ANSWER_LIMIT - response->size) {
        transfer->verdict = -EFBIG;
        return 0;
    }
    char *grown = realloc(response->body, response->size + size + 1);
    if (!grown) {
        transfer->verdict = -ENOMEM;
        return 0;
    }
    memcpy(grown + response->size, data, size);
    response->body = grown;
    response->size += size;
    grown[response->size] = '\0';
    return size;
}

static size_t on_body(char *data, size_t one, size_t count, void *user)
{
    struct transfer *transfer = user;
    size_t size = one * count;
    long status = 0;

    transfer->began = true;
    curl_easy_getinfo(transfer->http->curl, CURLINFO_RESPONSE_CODE, &status);
    if (!transfer->see || status / 100 != 2)
        return collect(transfer, data, size);
    int r = transfer->see(data, size, (int)status, transfer->user);
    if (r < 0) {
        transfer->verdict = r;
        return 0;
    }
    return size;
}

static size_t on_header(char *data, size_t one, size_t count, void *user)
{
    struct transfer *transfer = user;

    (void)data;
    transfer->began = true;
    return one * count;
}

static int on_progress(void *user, curl_off_t down_all, curl_off_t down, curl_off_t up_all, curl_off_t up)
{
    struct http *http = user;

    (void)down_all, (void)down, (void)up_all, (void)up;
    http->idle(http->idle_user);
    return 0;
}

static int append(struct curl_slist **list, const char *header)
{
    struct curl_slist *grown = curl_slist_append(*list, header);

    if (!grown)
        return -ENOMEM;
    *list = grown;
    return 0;
}

/* The request's headers as libcurl wants them; "Expect:" keeps a large spec
 * from waiting for a 100 that nobody needs. NULL: out of memory. */
static struct curl_slist *header_list(const struct http *http, const struct http_request *request)
{
    size_t most = sizeof(request->headers) / sizeof(request->headers[0]);
    struct curl_slist *list = NULL;
    int r = append(&list, "Expect:");

    if (r == 0)
        r = append(&list, request->file   ? "Content-Type: application/octet-stream"
                          : request->body ? "Content-Type: application/json"
                                          : "Content-Type:");
    if (r == 0 && http->authorization)
        r = append(&list, http->authorization);
    for (size_t i = 0; r == 0 && i < most && request->headers[i]; i++)
        r = append(&list, request->headers[i]);
    if (r == 0)
        return list;
    curl_slist_free_all(list);
    return NULL;
}

static void set_up(struct http *http, const struct http_request *request, const char *url, struct curl_slist *headers,
                   int silence_s, struct transfer *transfer)
{
    CURL *curl = http->curl;

    curl_easy_reset(curl); /* options only; the connection stays */
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, http->words);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "riftctl/" RIFT_VERSION);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)http->most_ms);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)(silence_s ? silence_s : ANSWER_TIMEOUT_S));
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
    if (http->idle) {
        curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
        curl_easy_setopt(curl, CURLOPT_XFERINFODATA, http);
    }
    if (http->socket)
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, http->socket);
    if (http->cacert)
        curl_easy_setopt(curl, CURLOPT_CAINFO, http->cacert);
    if (is_loopback(http->base))
        curl_easy_setopt(curl, CURLOPT_PROXY, "");
    if (request->body || (request->method && strcmp(request->method, "POST") == 0)) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body ? request->body : "");
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_size);
    }
    if (request->method)
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
}

/* The file whose bytes are the body. 0 with *ret NULL when there is none. */
static int file_open(struct http *http, const struct http_request *request, FILE **ret, struct fault *why)
{
    struct stat st;

    if (!request->file)
        return 0;
    FILE *file = fopen(request->file, "re");
    if (!file || fstat(fileno(file), &st) < 0 || !S_ISREG(st.st_mode)) {
        int r = fault_set(why, file ? -EINVAL : -errno, "%s: %s", request->file, file ? "no file" : strerror(errno));
        if (file)
            fclose(file);
        return r;
    }
    curl_easy_setopt(http->curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(http->curl, CURLOPT_READDATA, file); /* read by fread, libcurl's own way */
    curl_easy_setopt(http->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)st.st_size);
    curl_easy_setopt(http->curl, CURLOPT_CUSTOMREQUEST, request->method);
    *ret = file;
    return 0;
}

/* Why nobody answered on the unix socket. */
static const char *socket_words(const struct http *http)
{
    struct stat info;

    if (http->denied)
        return "you may not open it";
    if (stat(http->socket, &info) < 0)
        return strerror(errno);
    return S_ISSOCK(info.st_mode) ? "nobody listens there" : "it is no socket";
}

bool http_denied(const struct http *http)
{
    return http && http->denied;
}

int http_stream(struct http *http, const struct http_request *request, int silence_s,
                int (*see)(const char *data, size_t size, int status, void *user), void *user,
                struct http_response *ret, struct fault *why)
{
    struct http_response response = { 0 };
    struct transfer transfer = { .http = http, .response = &response, .see = see, .user = user };
    char *url = NULL;
    FILE *file = NULL;
    long status = 0;

    if (asprintf(&url, "%s%s", http->base, request->path) < 0)
        return fault_set(why, -ENOMEM, "out of memory");
    struct curl_slist *headers = header_list(http, request);
    if (!headers) {
        free(url);
        return fault_set(why, -ENOMEM, "out of memory");
    }
    http->words[0] = '\0';
    set_up(http, request, url, headers, silence_s, &transfer);
    int opened = file_open(http, request, &file, why);
    CURLcode code = opened < 0 ? CURLE_READ_ERROR : curl_easy_perform(http->curl);
    curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &status);
    http->denied = code == CURLE_COULDNT_CONNECT && http->socket && access(http->socket, W_OK) < 0 && errno == EACCES;
    /* The handle must not keep pointers into this frame. */
    curl_easy_reset(http->curl);
    curl_slist_free_all(headers);
    free(url);
    if (file)
        fclose(file);
    if (opened < 0)
        return opened;

    response.status = (int)status;
    if (code != CURLE_OK && transfer.verdict == 0) {
        http_response_done(&response);
        if (http->socket && code == CURLE_COULDNT_CONNECT) /* libcurl would speak of a host and a port */
            return fault_set(why, -ECONNREFUSED, "%s: %s", http->name, socket_words(http));
        return fault_set(why, transfer.began ? -ECONNRESET : -ECONNREFUSED, "%s: %s", http_base(http),
                         http->words[0] ? http->words : curl_easy_strerror(code));
    }
    *ret = response;
    return transfer.verdict;
}

int http_ask(struct http *http, const struct http_request *request, struct http_response *ret, struct fault *why)
{
    struct http_response response = { 0 };
    int r = http_stream(http, request, 0, NULL, NULL, &response, why);

    if (r < 0) {
        http_response_done(&response);
        if (r == -ECONNRESET) /* half an answer is no answer */
            return -ECONNREFUSED;
        return r == -ECONNREFUSED ? r : fault_set(why, r, "%s: %s", http_base(http), strerror(-r));
    }
    *ret = response;
    return 0;
}

char *http_escape(const char *text)
{
    static const char hex[] = "0123456789ABCDEF";
    char *escaped = malloc(strlen(text) * 3 + 1), *end = escaped;

    for (; escaped && *text; text++) {
        unsigned char c = (unsigned char)*text;
        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || strchr("-._~", c)) {
            *end++ = (char)c;
            continue;
        }
        *end++ = '%';
        *end++ = hex[c >> 4];
        *end++ = hex[c & 15];
    }
    if (escaped)
        *end = '\0';
    return escaped;
}
