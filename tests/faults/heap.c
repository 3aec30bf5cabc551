/* How do allocations fail? The linker sends our code's calls here (--wrap, see
 * CMakeLists.txt), jansson's come through our code (job/starved.c), and SQLite is
 * given its own allocator with a door in it. So no libc function is replaced
 * and the address sanitizer goes on watching. Allocations that libc and
 * libmicrohttpd make inside are not counted: they are not ours to survive. */
#include "tests/faults/fault_point.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool refuse(void)
{
    if (!fault_hits())
        return false;
    errno = ENOMEM;
    return true;
}

#define WRAP(type, name, parameters, arguments)                                                                        \
    type __real_##name parameters;                                                                                     \
    type __wrap_##name parameters;                                                                                     \
    type __wrap_##name parameters                                                                                      \
    {                                                                                                                  \
        return refuse() ? NULL : __real_##name arguments;                                                              \
    }
WRAP(void *, malloc, (size_t size), (size))
WRAP(void *, calloc, (size_t count, size_t size), (count, size))
WRAP(void *, realloc, (void *old, size_t size), (old, size))
WRAP(void *, reallocarray, (void *old, size_t count, size_t size), (old, count, size))
WRAP(char *, strdup, (const char *text), (text))
WRAP(char *, strndup, (const char *text, size_t size), (text, size))
WRAP(FILE *, open_memstream, (char **text, size_t *size), (text, size))
WRAP(FILE *, fopen, (const char *path, const char *mode), (path, mode))

int __real_vasprintf(char **ret, const char *format, va_list arguments);
int __wrap_vasprintf(char **ret, const char *format, va_list arguments);
int __wrap_asprintf(char **ret, const char *format, ...);

int __wrap_vasprintf(char **ret, const char *format, va_list arguments)
{
    if (!refuse())
        return __real_vasprintf(ret, format, arguments);
    *ret = (char *)(uintptr_t)0x10; /* what it points at then is undefined: who frees it is found out */
    return -1;
}

int __wrap_asprintf(char **ret, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int length = __wrap_vasprintf(ret, format, arguments);
    va_end(arguments);
    return length;
}

/* ---- SQLite ---- */

static sqlite3_mem_methods plain;

static void *sqlite_malloc(int size)
{
    return fault_hits() ? NULL : plain.xMalloc(size);
}

static void *sqlite_realloc(void *old, int size)
{
    return fault_hits() ? NULL : plain.xRealloc(old, size);
}

void heap_faults_open(void)
{
    sqlite3_mem_methods methods;

    if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &plain) != SQLITE_OK)
        abort();
    methods = plain;
    methods.xMalloc = sqlite_malloc;
    methods.xRealloc = sqlite_realloc;
    /* Lookaside would serve small blocks without asking. */
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) != SQLITE_OK ||
        sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0) != SQLITE_OK)
        abort();
}
