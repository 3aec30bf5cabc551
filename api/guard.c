/* Who may speak to riftd at all?
 *
 * Every browser on this machine can reach riftd, steered by any page, and on
 * loopback there may be no token. Two checks, made before any route is looked
 * at, keep such pages out:
 *
 * - the Host header must name us. A page that points its own DNS name at
 *   127.0.0.1 (DNS rebinding) still sends that name. An address literal can't
 *   be rebound, so with a wildcard address every literal will do;
 * - a request that changes something must not come from another origin's
 *   page: browsers say so in Sec-Fetch-Site and Origin. Programs send neither.
 *
 * Reading answers across origins is the browser's own ban: we send no CORS
 * headers. */
#include "api/exchange.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HOST_SIZE 256

/* Take "name", "name:port", "[v6]" or "[v6]:port" apart. */
static bool host_split(const char *host, char ret_name[HOST_SIZE], bool *ret_v6, long *ret_port)
{
    const char *end, *rest;

    *ret_v6 = *host == '[';
    if (*ret_v6) {
        end = strchr(++host, ']');
        if (!end)
            return false;
        rest = end + 1;
    } else {
        end = rest = host + strcspn(host, ":");
    }
    size_t length = (size_t)(end - host);
    if (!length || length >= HOST_SIZE)
        return false;
    memcpy(ret_name, host, length);
    ret_name[length] = 0;
    *ret_port = 80;
    if (!*rest)
        return true;
    char *stop;
    if (*rest != ':' || !isdigit((unsigned char)rest[1]) || strlen(rest + 1) > 5)
        return false;
    *ret_port = strtol(rest + 1, &stop, 10);
    return !*stop;
}

bool host_allowed(const char *host, const char *bound_address, uint16_t port)
{
    char name[HOST_SIZE];
    struct in_addr v4;
    struct in6_addr v6, bound6;
    bool is_v6;
    long host_port;

    if (!host || !host_split(host, name, &is_v6, &host_port) || host_port != port)
        return false;
    if (is_v6) {
        if (inet_pton(AF_INET6, name, &v6) != 1)
            return false;
        if (IN6_IS_ADDR_LOOPBACK(&v6))
            return true;
        return inet_pton(AF_INET6, bound_address, &bound6) == 1 &&
               (IN6_IS_ADDR_UNSPECIFIED(&bound6) || !memcmp(&v6, &bound6, sizeof(v6)));
    }
    if (!strcasecmp(name, "localhost") || !strcasecmp(name, bound_address))
        return true;
    if (inet_pton(AF_INET, name, &v4) != 1)
        return false;
    return ntohl(v4.s_addr) >> 24 == 127 || !strcmp(bound_address, "0.0.0.0") || !strcmp(bound_address, "::");
}

bool host_named(const char *host, const char *const *names, int count)
{
    char name[HOST_SIZE];
    bool is_v6;
    long port;

    if (!host || !count || !host_split(host, name, &is_v6, &port))
        return false;
    for (int i = 0; i < count; i++)
        if (!strcasecmp(name, names[i]))
            return true;
    return false;
}

bool origin_allowed(const char *origin, const char *fetch_site, const char *host)
{
    if (fetch_site && strcasecmp(fetch_site, "same-origin") && strcasecmp(fetch_site, "none"))
        return false;
    if (!origin)
        return true;
    const char *scheme_end = strstr(origin, "://");
    return scheme_end && host && !strcasecmp(scheme_end + 3, host);
}
