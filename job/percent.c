/* How do accuracies and their differences look beside each other?
 *
 * 0.57937 and 0.55573 are printed as 57.94 and 55.57, and their difference, -2.364
 * points, as -2.36: a reader who subtracts finds -2.37, and doubts the table. So what
 * is printed as a difference is the difference of what is printed. It is off by less
 * than a unit of the last digit, no more than the numbers beside it; JSON and CSV,
 * which are for programs, have all digits.
 *
 * Surprising: printf rounds the binary number exactly, and no arithmetic of ours does.
 * So it is asked. */
#include "job/job.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* What `fraction` is printed as, in percent. */
static double percent_printed(double fraction, int places)
{
    char text[48];

    snprintf(text, sizeof(text), "%.*f", places, 100 * fraction);
    return strtod(text, NULL);
}

double points_between(double before, double after, int places)
{
    return percent_printed(after, places) - percent_printed(before, places);
}

double points_gained(double gain, double before, double after, int places)
{
    static const double SAME = 1e-9; /* sums of other order */

    return fabs(after - before - gain) < SAME ? points_between(before, after, places) : 100 * gain;
}
