/* How does a download go on where it stopped?
 *
 *   what is there -> Range: bytes=N- -> 206  the rest: append
 *                                       200  the server knows no ranges: from the beginning
 *                                       416  nothing is left
 *
 * What is appended may belong to another version of the file than what was
 * there: the checksum, which is the caller's business, finds out. */
#include "cli/download.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CONNECT_S = 30, SILENCE_S = 60, REDIRECTIONS = 10, BREAKS_MOST = 100 };

struct coming {
    CURL *curl;
    int fd;
    int64_t there, size;
    bool begun; /* the answer's first bytes have come */
    int failed; /* negative errno of our side */
    time_t said;
};

/* Append; a whole answer to a question for the rest begins anew. */
static size_t take(char *data, size_t one, size_t count, void *user)
{
    struct coming *coming = user;
    long status = 0;

    curl_easy_getinfo(coming->curl, CURLINFO_RESPONSE_CODE, &status);
    if (!coming->begun && status != 206 && coming->there > 0) {
        coming->there = 0;
        if (ftruncate(coming->fd, 0) < 0)
            coming->failed = -errno;
    }
    coming->begun = true;
    if (!coming->failed && coming->size && coming->there + (int64_t)(one * count) > coming->size)
        coming->failed = -EFBIG;
    for (size_t done = 0; done < one * count && !coming->failed;) {
        ssize_t n = pwrite(coming->fd, data + done, one * count - done, coming->there);

        if (n < 0 && errno != EINTR)
            coming->failed = -errno;
        done += n > 0 ? (size_t)n : 0;
        coming->there += n > 0 ? n : 0;
    }
    return coming->failed ? 0 : one * count;
}

/* Once a second, where somebody looks on. */
static int say(void *user, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up)
{
    struct coming *coming = user;
    time_t second = time(NULL);

    (void)total, (void)now, (void)up_total, (void)up;
    if (second == coming->said || !isatty(STDERR_FILENO))
        return 0;
    coming->said = second;
    fprintf(stderr, "\r%.1f MB", (double)coming->there / 1e6);
    if (coming->size)
        fprintf(stderr, " of %.1f MB", (double)coming->size / 1e6);
    return 0;
}

/* One connection. 0: at its end; 1: it broke; negative errno. */
static int bring(struct coming *coming, const char *url, char words[CURL_ERROR_SIZE], struct fault *why)
{
    CURL *curl = coming->curl;
    long status = 0;

    curl_easy_reset(curl);
    coming->begun = false;
    *words = 0;
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, words);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)REDIRECTIONS);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "riftctl/" RIFT_VERSION);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)SILENCE_S);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, coming);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, say);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, coming);
    char range[32];

    snprintf(range, sizeof(range), "%lld-", (long long)coming->there);
    if (coming->there > 0) /* not RESUME_FROM, which takes a 200 for a failure */
        curl_easy_setopt(curl, CURLOPT_RANGE, range);
    CURLcode code = curl_easy_perform(curl);

    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (coming->failed == -EFBIG)
        return fault_set(why, -EFBIG, "%s: longer than the %lld bytes it must have", url, (long long)coming->size);
    if (coming->failed)
        return fault_set(why, coming->failed, "the download can't be written: %s", strerror(-coming->failed));
    if (code == CURLE_OK || (code == CURLE_HTTP_RETURNED_ERROR && status == 416))
        return 0;
    fault_set(why, -ECONNRESET, "%s: %s", url, *words ? words : curl_easy_strerror(code));
    return code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR || code == CURLE_GOT_NOTHING ||
                   code == CURLE_OPERATION_TIMEDOUT
               ? 1
               : -ECONNRESET;
}

int download_to(int fd, const char *url, int64_t size, struct fault *why)
{
    struct coming coming = { .curl = curl_easy_init(), .fd = fd, .there = lseek(fd, 0, SEEK_END), .size = size };
    char words[CURL_ERROR_SIZE];
    int r = coming.curl && coming.there >= 0 ? 1 : fault_set(why, -ENOMEM, "no memory for a download");

    if (size && coming.there == size)
        r = 0;
    for (int breaks = 0; r == 1; breaks++) {
        int64_t before = coming.there;

        r = bring(&coming, url, words, why);
        if (r == 1 && (coming.there == before || breaks == BREAKS_MOST))
            r = why->code;
    }
    if (coming.said)
        fputc('\n', stderr);
    curl_easy_cleanup(coming.curl);
    return r;
}
