/* Does riftd survive it when any one allocation of a request fails?
 *
 * The real API on a real database; for every route, every allocation that our
 * code, jansson and SQLite make for it fails once. The answer is a 500 or 503, or
 * the right one, or the connection ends; the same request then works; the
 * database is whole. Under ./test --sanitize nothing leaks either.
 *
 *     memory [all]      all: every place, also with nothing cached, also so that all allocations
 *                       from one place on fail. Without: some places. */
#include "tests/check.h"
#include "tests/faults/fault_point.h"
#include "tests/faults/requests.h"

static void once(void)
{
    CHECK_INT(requests_fail(&(struct fault_plan){ "an allocation fails", fault_arm, 6, false, 0 }), 0);
}

#ifdef RIFT_SANITIZED
enum { EVERYWHERE = 20 }; /* ten times slower */
#else
enum { EVERYWHERE = 0 };
#endif

static void once_everywhere(void)
{
    CHECK_INT(requests_fail(&(struct fault_plan){ "an allocation fails", fault_arm, EVERYWHERE, false, 0 }), 0);
}

static void once_cold(void)
{
    CHECK_INT(requests_fail(&(struct fault_plan){ "an allocation fails, nothing is cached", fault_arm, 8, true, 0 }),
              0);
}

static void from_then_on(void)
{
    CHECK_INT(requests_fail(&(struct fault_plan){ "all allocations fail", fault_arm_lasting, 8, false, 0 }), 0);
}

static const struct check_case some[] = {
    { "a request in which an allocation fails says so, and works the next time", once },
};
static const struct check_case all[] = {
    { "a request in which any allocation fails says so, and works the next time", once_everywhere },
    { "so does one for which nothing is cached", once_cold },
    { "so does one after which no memory is left at all", from_then_on },
};

int main(int argc, char **argv)
{
    bool long_run = argc == 2 && !strcmp(argv[1], "all");

    heap_faults_open();
    return check_main(long_run ? all : some, long_run ? sizeof(all) / sizeof(all[0]) : 1, 1, argv);
}
