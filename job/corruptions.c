/* Which corruptions of images have names?
 *
 * Those of Hendrycks and Dietterich (Benchmarking neural network robustness to
 * common corruptions and perturbations, ICLR 2019): 15 that count in their own
 * benchmark and in the text of the RiFT paper (standard), and 4 more. RiFT's
 * code averages over all but glass_blur (code). What each does to an image is
 * the engine's business; that they have names, groups and sets is everybody's.
 *
 * The order is the one of the published files; a number drawn for a corruption
 * depends on its place here: never reorder, only append. */
#include "job/job.h"

#include <errno.h>
#include <string.h>

const struct corruption_info corruption_infos[CORRUPTION_COUNT] = {
    { "gaussian_noise", "noise", true, true },
    { "shot_noise", "noise", true, true },
    { "impulse_noise", "noise", true, true },
    { "defocus_blur", "blur", true, true },
    { "glass_blur", "blur", true, false },
    { "motion_blur", "blur", true, true },
    { "zoom_blur", "blur", true, true },
    { "snow", "weather", true, true },
    { "frost", "weather", true, true },
    { "fog", "weather", true, true },
    { "brightness", "weather", true, true },
    { "contrast", "digital", true, true },
    { "elastic_transform", "digital", true, true },
    { "pixelate", "digital", true, true },
    { "jpeg_compression", "digital", true, true },
    { "speckle_noise", "noise", false, true },
    { "gaussian_blur", "blur", false, true },
    { "spatter", "weather", false, true },
    { "saturate", "digital", false, true },
};

int corruption_find(const char *name)
{
    for (int which = 0; which < CORRUPTION_COUNT; which++)
        if (strcmp(corruption_infos[which].name, name) == 0)
            return which;
    return -ENOENT;
}

int corruptions_choose(enum corruption_set set, const char *const *names, int name_count,
                       int ret_which[CORRUPTION_COUNT])
{
    int count = 0;

    for (int which = 0; which < CORRUPTION_COUNT; which++) {
        bool named = false;

        for (int i = 0; i < name_count; i++)
            named = named || strcmp(names[i], corruption_infos[which].name) == 0;
        if (name_count ? named : corruption_in_set(which, set))
            ret_which[count++] = which;
    }
    return count;
}

bool corruption_in_set(int which, enum corruption_set set)
{
    const struct corruption_info *info = &corruption_infos[which];

    return set == CORRUPTIONS_ALL || (set == CORRUPTIONS_STANDARD ? info->standard : info->code);
}
