/* NVML is part of the driver, not of the toolkit, so it is opened at run time
 * and the few declarations that we need are written out here. What one card
 * can't tell (a share of a card has no temperature of its own) is left out. */
#include "gpu/backend/cuda/nvml.h"

#include <dlfcn.h>
#include <stddef.h>

typedef struct nvml_device *nvml_device;
struct nvml_memory {
    unsigned long long total, free, used;
};
struct nvml_utilization {
    unsigned gpu, memory;
};
enum { NVML_SUCCESS = 0, NVML_TEMPERATURE_GPU = 0 };

struct nvml {
    int (*init)(void);
    int (*shutdown)(void);
    int (*by_bus_id)(const char *bus_id, nvml_device *ret);
    int (*memory)(nvml_device device, struct nvml_memory *ret);
    int (*utilization)(nvml_device device, struct nvml_utilization *ret);
    int (*temperature)(nvml_device device, int sensor, unsigned *ret);
};

static bool nvml_load(struct nvml *ret)
{
    void *library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    const struct {
        const char *name;
        void **to;
    } symbols[] = {
        { "nvmlInit_v2", (void **)&ret->init },
        { "nvmlShutdown", (void **)&ret->shutdown },
        { "nvmlDeviceGetHandleByPciBusId_v2", (void **)&ret->by_bus_id },
        { "nvmlDeviceGetMemoryInfo", (void **)&ret->memory },
        { "nvmlDeviceGetUtilizationRates", (void **)&ret->utilization },
        { "nvmlDeviceGetTemperature", (void **)&ret->temperature },
    };

    for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
        *symbols[i].to = library ? dlsym(library, symbols[i].name) : NULL;
        if (!*symbols[i].to)
            return false; /* the library stays: another thread may have it too */
    }
    return true;
}

bool nvml_read(const char *pci_bus_id, struct nvml_reading *ret)
{
    struct nvml nvml;
    nvml_device device;
    struct nvml_memory memory;
    struct nvml_utilization utilization;

    *ret = (struct nvml_reading){ 0 };
    if (!nvml_load(&nvml) || nvml.init() != NVML_SUCCESS)
        return false;
    bool found = nvml.by_bus_id(pci_bus_id, &device) == NVML_SUCCESS;
    if (found && nvml.memory(device, &memory) == NVML_SUCCESS) {
        ret->has_memory = true;
        ret->total_bytes = memory.total;
        ret->used_bytes = memory.used;
    }
    if (found && nvml.utilization(device, &utilization) == NVML_SUCCESS) {
        ret->has_utilization = true;
        ret->utilization_percent = utilization.gpu;
    }
    ret->has_temperature =
        found && nvml.temperature(device, NVML_TEMPERATURE_GPU, &ret->temperature_c) == NVML_SUCCESS;
    nvml.shutdown();
    return found;
}
