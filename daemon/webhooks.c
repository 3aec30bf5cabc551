/* How are webhooks told?
 *
 * One thread takes what is due from the database, POSTs it, and writes down how
 * that went; it sleeps until the next is due or somebody says that there is
 * more. What gets no 2xx is tried again, later each time, and given up after
 * ATTEMPTS. Redirects aren't followed.
 *
 * A request carries
 *     Rift-Delivery: its number; the same one again is a repetition
 *     Rift-Signature: t=SECONDS,v1=HEX
 * where HEX is HMAC-SHA256 (RFC 2104) of "SECONDS.BODY" under the webhook's
 * secret: the receiver knows who says so, and when.
 *
 * Whoever may submit can make riftd speak to an address. The socket is made
 * here, after the name was resolved, so that what is checked is where the
 * connection goes, whatever a DNS server says a moment later: not to this
 * machine, not to link-local addresses (where clouds keep their secrets), and
 * with webhook-targets = public not into private networks either. */
#include "daemon/daemon.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BATCH = 16,
    ATTEMPTS = 12, /* over a good day */
    RETRY_FIRST_MS = 10000,
    TRY_AGAIN_MS = 5000, /* when the database is out of order */
    CONNECT_TIMEOUT_S = 10,
    ANSWER_TIMEOUT_S = 20,
    STATUS_GONE = 410,
};

/* ---- where may it go? ---- */

enum reach { REACH_PUBLIC, REACH_PRIVATE, REACH_NEVER /* unless any target will do */ };

/* Networks by their first bits; the first row that fits counts, else it is public. */
static const struct {
    int family;
    uint8_t prefix[16];
    int bits;
    enum reach reach;
} networks[] = {
    { AF_INET, { 0 }, 8, REACH_NEVER },                   /* this host */
    { AF_INET, { 127 }, 8, REACH_NEVER },                 /* loopback */
    { AF_INET, { 169, 254 }, 16, REACH_NEVER },           /* link-local: 169.254.169.254 and others */
    { AF_INET, { 100, 100, 100, 200 }, 32, REACH_NEVER }, /* metadata of a cloud in shared space */
    { AF_INET, { 192, 0, 0, 192 }, 32, REACH_NEVER },     /* likewise */
    { AF_INET, { 224 }, 3, REACH_NEVER },                 /* multicast, reserved, broadcast */
    { AF_INET, { 10 }, 8, REACH_PRIVATE },
    { AF_INET, { 100, 64 }, 10, REACH_PRIVATE }, /* shared by carriers */
    { AF_INET, { 172, 16 }, 12, REACH_PRIVATE },
    { AF_INET, { 192, 168 }, 16, REACH_PRIVATE },
    { AF_INET, { 198, 18 }, 15, REACH_PRIVATE },               /* benchmarks */
    { AF_INET6, { 0xfd, 0x00, 0x0e, 0xc2 }, 32, REACH_NEVER }, /* metadata: fd00:ec2::254 */
    { AF_INET6, { 0xfe, 0x80 }, 10, REACH_NEVER },             /* link-local */
    { AF_INET6, { 0xff }, 8, REACH_NEVER },                    /* multicast */
    { AF_INET6, { 0xfc }, 7, REACH_PRIVATE },                  /* unique local */
    { AF_INET6, { 0 }, 96, REACH_NEVER },                      /* ::, ::1, and IPv4 written as ::a.b.c.d */
};

static bool prefix_fits(const uint8_t *address, const uint8_t *prefix, int bits)
{
    int bytes = bits / 8, rest = bits % 8;

    if (memcmp(address, prefix, (size_t)bytes) != 0)
        return false;
    return !rest || (address[bytes] ^ prefix[bytes]) >> (8 - rest) == 0;
}

static enum reach reach_of(const struct sockaddr *address)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff }, nat64[12] = { 0x00, 0x64, 0xff, 0x9b };
    const uint8_t *bytes = NULL;
    int family = address->sa_family;

    if (family == AF_INET)
        bytes = (const uint8_t *)&((const struct sockaddr_in *)address)->sin_addr;
    else if (family == AF_INET6)
        bytes = (const uint8_t *)&((const struct sockaddr_in6 *)address)->sin6_addr;
    else
        return REACH_NEVER;
    if (family == AF_INET6 && (!memcmp(bytes, mapped, 12) || !memcmp(bytes, nat64, 12))) {
        bytes += 12; /* an IPv4 address in other clothes */
        family = AF_INET;
    }
    for (size_t i = 0; i < sizeof(networks) / sizeof(networks[0]); i++)
        if (networks[i].family == family && prefix_fits(bytes, networks[i].prefix, networks[i].bits))
            return networks[i].reach;
    return REACH_PUBLIC;
}

struct webhooks {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t news;
    uint64_t pokes; /* how often somebody said that there is more */
    bool stopping;
};

static bool is_stopping(struct webhooks *webhooks)
{
    pthread_mutex_lock(&webhooks->lock);
    bool stopping = webhooks->stopping;
    pthread_mutex_unlock(&webhooks->lock);
    return stopping;
}

/* What one attempt knows. */
struct attempt {
    struct webhooks *webhooks;
    enum webhook_targets targets;
    bool forbidden; /* it would have gone where it may not */
};

static curl_socket_t socket_make(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
    static const enum reach most[] = {
        [TARGETS_PUBLIC] = REACH_PUBLIC, [TARGETS_PRIVATE] = REACH_PRIVATE, [TARGETS_ANY] = REACH_NEVER
    };
    struct attempt *attempt = user;

    (void)purpose;
    if (reach_of(&address->addr) > most[attempt->targets]) {
        attempt->forbidden = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* ---- the signature ---- */

/* HMAC-SHA256 of "TIME.BODY" under the secret, in hexadecimal. */
static void sign(const char *secret, int64_t time_s, const char *body, char ret_hex[65])
{
    uint8_t key[64] = { 0 }, pad[64], digest[32];
    char hex[65], stamp[32];
    struct sha256 sha;

    /* A secret is at most 100 bytes; a key longer than a block is hashed first. */
    if (strlen(secret) > sizeof(key)) {
        sha256_of(secret, strlen(secret), hex);
        for (int i = 0; i < 32; i++)
            sscanf(hex + 2 * i, "%2hhx", &key[i]);
    } else {
        memcpy(key, secret, strlen(secret));
    }
    snprintf(stamp, sizeof(stamp), "%lld.", (long long)time_s);
    for (int i = 0; i < 64; i++)
        pad[i] = key[i] ^ 0x36;
    sha256_start(&sha);
    sha256_add(&sha, pad, sizeof(pad));
    sha256_add(&sha, stamp, strlen(stamp));
    sha256_add(&sha, body, strlen(body));
    sha256_finish(&sha, hex);
    for (int i = 0; i < 32; i++)
        sscanf(hex + 2 * i, "%2hhx", &digest[i]);
    for (int i = 0; i < 64; i++)
        pad[i] = key[i] ^ 0x5c;
    sha256_start(&sha);
    sha256_add(&sha, pad, sizeof(pad));
    sha256_add(&sha, digest, sizeof(digest));
    sha256_finish(&sha, ret_hex);
}

/* ---- one attempt ---- */

static int give_up_when_stopping(void *user, curl_off_t down, curl_off_t downs, curl_off_t up, curl_off_t ups)
{
    (void)down;
    (void)downs;
    (void)up;
    (void)ups;
    return is_stopping(user);
}

static size_t answer_drop(char *data, size_t one, size_t count, void *user)
{
    (void)data;
    (void)user;
    return one * count;
}

static struct curl_slist *headers_make(const struct db_webhook *webhook, const struct db_delivery *delivery)
{
    int64_t now_s = clock_ms() / 1000;
    char signature[128], number[64], hex[65];
    struct curl_slist *list = NULL;

    sign(webhook->secret, now_s, delivery->body, hex);
    snprintf(signature, sizeof(signature), "Rift-Signature: t=%lld,v1=%s", (long long)now_s, hex);
    snprintf(number, sizeof(number), "Rift-Delivery: %lld", (long long)delivery->id);
    const char *const lines[] = { "Content-Type: application/json", "Expect:", number, signature };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct curl_slist *longer = curl_slist_append(list, lines[i]);
        if (!longer) {
            curl_slist_free_all(list);
            return NULL;
        }
        list = longer;
    }
    return list;
}

/* POST it. The answer's status, 0 without one; `words` says what went wrong, "" when nothing did. */
static int deliver(CURL *curl, const struct db_webhook *webhook, const struct db_delivery *delivery,
                   struct attempt *attempt, char words[CURL_ERROR_SIZE])
{
    struct curl_slist *headers = headers_make(webhook, delivery);
    long status = 0;

    words[0] = '\0';
    if (!headers) {
        strcpy(words, "out of memory");
        return 0;
    }
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, webhook->url);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, words);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* a proxy would connect where we may not */
    curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)ANSWER_TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "riftd/" RIFT_VERSION);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, socket_make);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, attempt);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, answer_drop);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, give_up_when_stopping);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, attempt->webhooks);
    /* Who gives up, or is stopped, leaves a name server that doesn't answer to libcurl's thread, which
     * owns all that it uses and ends by itself. */
    curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, delivery->body);
    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_reset(curl);
    curl_slist_free_all(headers);
    if (code == CURLE_OK && status / 100 == 2)
        words[0] = '\0';
    else if (attempt->forbidden)
        strcpy(words, "the address is one that webhook-targets forbids");
    else if (code == CURLE_OK)
        snprintf(words, CURL_ERROR_SIZE, "answered with status %ld", status);
    else if (!words[0])
        snprintf(words, CURL_ERROR_SIZE, "%s", curl_easy_strerror(code));
    return (int)status;
}

/* When to try again: 0, never. */
static int64_t retry_at(int attempts, int status)
{
    int64_t pause_ms = RETRY_FIRST_MS;

    if (attempts + 1 >= ATTEMPTS || status == STATUS_GONE)
        return 0;
    for (int i = 0; i < attempts && pause_ms < WEBHOOK_DELAY_MOST_MS; i++)
        pause_ms *= 3;
    return clock_ms() + (pause_ms < WEBHOOK_DELAY_MOST_MS ? pause_ms : WEBHOOK_DELAY_MOST_MS);
}

/* 1 when it failed: then all that this webhook is still to be told waits as long. */
static int attempt(struct daemon *daemon, CURL *curl, const struct db_delivery *delivery)
{
    struct attempt how = { .webhooks = daemon->webhooks,
                           .targets = (enum webhook_targets)daemon->settings->webhook_targets };
    struct db_webhook webhook;
    char words[CURL_ERROR_SIZE];
    int r = db_webhook_get(daemon->db, delivery->webhook, &webhook);

    if (r < 0) /* gone, and the delivery with it */
        return r == -ENOENT ? 0 : r;
    int status = deliver(curl, &webhook, delivery, &how, words);
    int64_t next_ms = *words ? retry_at(delivery->attempts, status) : 0;
    if (*words && is_stopping(daemon->webhooks))
        return 0; /* that was us: the next riftd makes this attempt */
    if (*words)
        log_warning("webhook %s: delivery %lld: %s%s", webhook.id, (long long)delivery->id, words,
                    next_ms ? "" : "; given up");
    r = db_delivery_tried(daemon->db, delivery->id, status, words, clock_ms(), next_ms);
    return r == -ENOENT ? 0 : r < 0 ? r : *words != 0;
}

/* ---- the thread ---- */

/* In the order in which it happened: two things of the same moment may be due the other way round. */
static int by_number(const void *left, const void *right)
{
    const struct db_delivery *a = left, *b = right;

    return (a->id > b->id) - (a->id < b->id);
}

/* What one webhook is to be told, in order, until it doesn't listen; others don't wait for it. */
static int deliver_batch(struct daemon *daemon, CURL *curl, const struct db_delivery *due, int count)
{
    const char *deaf[BATCH];
    int deaf_count = 0, r = 0;

    for (int i = 0; i < count && r >= 0 && !is_stopping(daemon->webhooks); i++) {
        bool skipped = false;
        for (int k = 0; k < deaf_count; k++)
            skipped |= strcmp(deaf[k], due[i].webhook) == 0;
        if (!skipped && (r = attempt(daemon, curl, &due[i])) > 0)
            deaf[deaf_count++] = due[i].webhook;
    }
    return r < 0 ? r : 0;
}

/* All that is due. When the next will be, INT64_MAX: there is none. */
static int64_t deliver_due(struct daemon *daemon, CURL *curl)
{
    struct db_delivery *due = NULL;
    int64_t next_ms = INT64_MAX;
    int r, count;

    do {
        count = db_delivery_due(daemon->db, clock_ms(), BATCH, &due);
        r = count;
        if (count > 1)
            qsort(due, (size_t)count, sizeof(*due), by_number);
        if (count >= 0)
            r = deliver_batch(daemon, curl, due, count);
        if (count >= 0)
            db_deliveries_free(due, count);
    } while (r >= 0 && count == BATCH && !is_stopping(daemon->webhooks));
    if (r >= 0)
        r = db_delivery_next(daemon->db, &next_ms);
    if (r >= 0 || r == -ENOENT)
        return next_ms;
    log_error("webhooks: %s", db_errmsg(daemon->db));
    return clock_ms() + TRY_AGAIN_MS;
}

static void sleep_until(struct webhooks *webhooks, int64_t until_ms, uint64_t pokes)
{
    struct timespec until = { .tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000 };

    pthread_mutex_lock(&webhooks->lock);
    while (!webhooks->stopping && webhooks->pokes == pokes)
        if (until_ms == INT64_MAX)
            pthread_cond_wait(&webhooks->news, &webhooks->lock);
        else if (pthread_cond_timedwait(&webhooks->news, &webhooks->lock, &until) == ETIMEDOUT)
            break;
    pthread_mutex_unlock(&webhooks->lock);
}

static void *run(void *user)
{
    struct daemon *daemon = user;
    struct webhooks *webhooks = daemon->webhooks;
    CURL *curl = curl_easy_init();

    while (curl && !is_stopping(webhooks)) {
        pthread_mutex_lock(&webhooks->lock);
        uint64_t pokes = webhooks->pokes; /* before looking: what comes now wakes us */
        pthread_mutex_unlock(&webhooks->lock);
        sleep_until(webhooks, deliver_due(daemon, curl), pokes);
    }
    if (!curl)
        log_error("webhooks: libcurl cannot be used; nobody is told");
    curl_easy_cleanup(curl);
    return NULL;
}

int webhooks_start(struct daemon *daemon, struct fault *why)
{
    struct webhooks *webhooks = calloc(1, sizeof(*webhooks));

    if (!webhooks || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(webhooks);
        return fault_set(why, -ENOMEM, "out of memory");
    }
    pthread_mutex_init(&webhooks->lock, NULL);
    pthread_cond_init(&webhooks->news, NULL);
    daemon->webhooks = webhooks;
    int e = pthread_create(&webhooks->thread, NULL, run, daemon);
    if (!e)
        return 0;
    daemon->webhooks = NULL;
    free(webhooks);
    return fault_set(why, -e, "no thread for webhooks: %s", strerror(e));
}

void webhooks_poke(struct daemon *daemon)
{
    struct webhooks *webhooks = daemon->webhooks;

    if (!webhooks)
        return;
    pthread_mutex_lock(&webhooks->lock);
    webhooks->pokes++;
    pthread_cond_signal(&webhooks->news);
    pthread_mutex_unlock(&webhooks->lock);
}

void webhooks_stop(struct daemon *daemon)
{
    struct webhooks *webhooks = daemon->webhooks;

    if (!webhooks)
        return;
    pthread_mutex_lock(&webhooks->lock);
    webhooks->stopping = true;
    pthread_cond_signal(&webhooks->news);
    pthread_mutex_unlock(&webhooks->lock);
    pthread_join(webhooks->thread, NULL);
    pthread_cond_destroy(&webhooks->news);
    pthread_mutex_destroy(&webhooks->lock);
    daemon->webhooks = NULL;
    free(webhooks);
    curl_global_cleanup();
}
