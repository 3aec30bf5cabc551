/* What do single fields ask for beyond their type?
 *
 * A device's name, an image's shape, ascending lists: one row each. */
#include "job/spec.h"

#include <string.h>

/* auto, cpu, ref, cuda or cuda:N */
static bool device_valid(const json_t *value)
{
    const char *name = json_string_value(value);
    size_t digits;

    if (value_enum("auto|cpu|ref|cuda", name) >= 0)
        return true;
    if (strncmp(name, "cuda:", 5) != 0)
        return false;
    digits = strspn(name + 5, "0123456789");
    return digits >= 1 && digits <= 3 && name[5 + digits] == 0;
}

static bool input_valid(const json_t *value)
{
    json_int_t channels = json_integer_value(json_array_get(value, 0));
    json_int_t rows = json_integer_value(json_array_get(value, 1));

    return json_array_size(value) == 3 && (channels == 1 || channels == 3) && (rows == 32 || rows == 64) &&
           rows == json_integer_value(json_array_get(value, 2));
}

static bool ascending(const json_t *value)
{
    for (size_t i = 1; i < json_array_size(value); i++)
        if (json_number_value(json_array_get(value, i - 1)) >= json_number_value(json_array_get(value, i)))
            return false;
    return true;
}

static bool ascending_and_there(const json_t *value)
{
    return json_array_size(value) > 0 && ascending(value);
}

static bool directory_or_job(const json_t *value)
{
    return json_is_string(value) || (json_object_get(value, "job") && json_object_size(value) == 1);
}

/* "clean", "baseline/..." and "alpha-..." with a / are names of other measurements of the same job. */
static bool attack_name_free(const json_t *value)
{
    const char *name = json_string_value(value);

    return strcmp(name, "clean") != 0 && !strchr(name, '/');
}

/* Three groups of blocks of two convolutions, and four layers more: the depth of a wide ResNet. */
static bool wide_depth(const json_t *value)
{
    return (json_integer_value(value) - 4) % 6 == 0;
}

static const struct value_extra extras[] = {
    { "/device", device_valid, "auto, cpu, ref, cuda or cuda:N" },
    { "/model/input", input_valid, "[channels, rows, columns] with 1 or 3 channels and 32x32 or 64x64 pixels" },
    { "/model/depth", wide_depth, "10, 16, 22, 28, 34, 40 or another whole number of the form 6n + 4 up to 1000" },
    { "/optimizer/schedule/milestones", ascending, "an ascending list of epochs from 1 to 100000 or null" },
    { "/finetune/optimizer/schedule/milestones", ascending, "an ascending list of epochs from 1 to 100000 or null" },
    { "/interpolate/alphas", ascending_and_there, "an ascending list of at least one number from 0 to 1" },
    { "/evaluate/alphas", ascending, "an ascending list of numbers from 0 to 1 or null" },
    { "/evaluate/corruptions/severities", ascending_and_there,
      "an ascending list of at least one severity from 1 to 5" },
    { "/corrupt/severities", ascending_and_there, "an ascending list of at least one severity from 1 to 5" },
    { "/inspect/corruptions/severities", ascending_and_there,
      "an ascending list of at least one severity from 1 to 5" },
    { "/sweep/seeds", values_differ, "a list of at least one whole number from 0, none twice" },
    { "/finetune/mrc_job", directory_or_job, "the path of an mrc job's directory, {\"job\": ID} or null" },
    { "/attack/name", attack_name_free, "text of 1 to 60 characters without / and other than \"clean\" or null" },
};

const struct value_extra *value_extra_find(const char *pointer)
{
    for (size_t i = 0; i < sizeof(extras) / sizeof(extras[0]); i++)
        if (strcmp(extras[i].pointer, pointer) == 0)
            return &extras[i];
    return NULL;
}
