/* How is a card doing? NVML's answer, where the driver brought it along. */
#ifndef RIFT_GPU_BACKEND_CUDA_NVML_H
#define RIFT_GPU_BACKEND_CUDA_NVML_H

#include <stdbool.h>

struct nvml_reading {
    unsigned long long total_bytes, used_bytes;
    unsigned utilization_percent, temperature_c;
    bool has_memory, has_utilization, has_temperature;
};

/* Of the card with that PCI bus id ("0000:1b:00.0"). False: nobody can say. */
bool nvml_read(const char *pci_bus_id, struct nvml_reading *ret);

#endif
