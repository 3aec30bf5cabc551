/* The counter behind fault_point.h. Several threads ask; one is hit. */
#include "tests/faults/fault_point.h"

#include <stdatomic.h>

static atomic_long countdown; /* calls until the fault; 0 or less: it has come, or none is armed */
static atomic_bool armed, fired, lasting;
static _Thread_local bool spared;

static void arm(long n, bool lasts)
{
    atomic_store(&fired, false);
    atomic_store(&lasting, lasts);
    atomic_store(&countdown, n);
    atomic_store(&armed, true);
}

void fault_arm(long n)
{
    arm(n, false);
}

void fault_arm_lasting(long n)
{
    arm(n, true);
}

bool fault_disarm(void)
{
    atomic_store(&armed, false);
    return atomic_load(&fired);
}

bool fault_armed(void)
{
    return atomic_load(&armed);
}

void fault_spare(void)
{
    spared = true;
}

bool fault_hits(void)
{
    if (spared || !atomic_load(&armed))
        return false;
    long left = atomic_fetch_sub(&countdown, 1);
    if (left > 1 || (left < 1 && !atomic_load(&lasting)))
        return false;
    atomic_store(&fired, true);
    return true;
}
