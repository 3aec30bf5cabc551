/* How does libFuzzer find a target? By this name; replay.c is the other way in. */
#include "tests/fuzz/fuzz.h"

#include <signal.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;

    if (!ready)
        signal(SIGPIPE, SIG_IGN);
    ready = true;
    fuzz_one(data, size);
    return 0;
}
