/* Which devices are there by name, and what do they compute in? */
#include "gpu/backend/backend.h"
#include "tests/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Is there a graphics card here that can be used? */
static bool card(void)
{
    struct device *dev = NULL;
    int r = device_open("cuda", PRECISION_FLOAT32, 1, &dev, NULL);

    if (r == 0)
        device_close(dev);
    return r == 0;
}

static void test_device_names(void)
{
    static const struct {
        const char *name;
        const struct backend *backend;
        const char *words;
    } rows[] = { { "auto", &backend_onednn, NULL },    { "cpu", &backend_onednn, NULL },
                 { "ref", &backend_ref, NULL },        { "cuda", NULL, "no CUDA device" },
                 { "cuda:0", NULL, "no CUDA device" }, { "cuda:x", NULL, "unknown" },
                 { "cpux", NULL, "unknown" },          { "", NULL, "unknown" } };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct device *dev = NULL;
        struct fault why = { 0 };
        if (card() && (strcmp(rows[i].name, "auto") == 0 || strstr(rows[i].words ? rows[i].words : "", "CUDA")))
            continue; /* where there is a card these are it */
        int r = device_open(rows[i].name, PRECISION_FLOAT32, 1, &dev, &why);

        CHECK_INT(r, rows[i].backend ? 0 : -ENODEV);
        if (rows[i].backend && dev)
            CHECK(dev->ops == rows[i].backend);
        if (rows[i].words)
            CHECK_HOLDS(why.message, rows[i].words);
        device_close(dev);
    }
    json_t *list = device_list();
    CHECK_INT(json_array_size(list) > 1, card());
    CHECK_STRING(json_string_value(json_object_get(json_array_get(list, 0), "id")), "cpu");
    json_decref(list);
}

static bool listed(const json_t *names, const char *name)
{
    for (size_t i = 0; i < json_array_size(names); i++)
        if (strcmp(json_string_value(json_array_get(names, i)), name) == 0)
            return true;
    return false;
}

/* What a device lists is what it opens in and says of itself; all else it refuses with words. */
static void test_precisions(void)
{
    json_t *list = device_list(), *about;
    size_t i;

    json_array_foreach(list, i, about)
    {
        const char *name = json_string_value(json_object_get(about, "id"));
        const json_t *names = json_object_get(about, "precisions");

        CHECK(listed(names, "float32") && !json_object_get(about, "precision"));
        for (int p = 0; p < PRECISION_COUNT; p++) {
            struct device *dev = NULL;
            struct fault why = { 0 };

            CHECK_INT(device_open(name, (enum precision)p, 1, &dev, &why),
                      listed(names, job_precisions[p]) ? 0 : -ENOTSUP);
            json_t *opened = dev ? dev->ops->describe(dev) : NULL;
            if (dev)
                CHECK_STRING(json_string_value(json_object_get(opened, "precision")), job_precisions[p]);
            else
                CHECK_HOLDS(why.message, job_precisions[p]);
            json_decref(opened);
            device_close(dev);
        }
    }
    json_decref(list);

    struct device *dev = NULL;
    struct fault why = { 0 };
    CHECK_INT(device_open("ref", PRECISION_BF16, 1, &dev, &why), -ENOTSUP);
    CHECK_HOLDS(why.message, "float32 only");
}

static const struct check_case cases[] = {
    { "devices are opened by name and absent ones say so", test_device_names },
    { "a device opens in the number formats that it lists and refuses the others", test_precisions },
};

CHECK_MAIN(cases)
