/* A stand-in for NVIDIA's management library: answers as machines do that are not here.

   The environment variable NVML_STUB says which machine it is. Power rises by a known line and the energy counter is
   its integral, renewed every 100 ms as on a V100, so that what is metered can be checked. Functions that drivers
   before 535 lack are missing here too. */

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { OK = 0, UNINITIALIZED = 1, NOT_SUPPORTED = 3, NO_PERMISSION = 4, NOT_FOUND = 6, DRIVER_NOT_LOADED = 9,
       LOST = 15, MISMATCH = 18, UNKNOWN = 999 };

typedef unsigned long long u64;
typedef struct { int slice; } Device; /* -1: the whole GPU, -2: the second one of the machine "two" */

static Device whole = {-1}, second = {-2}, slices[2] = {{0}, {1}};
static double began = -1.0;
static int opened = 0;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int is(const char *name) {
    const char *machine = getenv("NVML_STUB");
    return machine != NULL && strcmp(machine, name) == 0;
}

/* what this machine says to everything about a GPU */
static int general(void) {
    if (opened == 0) return UNINITIALIZED;
    if (is("lost")) return LOST;
    if (is("lost-later") && now() - began > 0.25) return LOST;
    if (is("not-supported")) return NOT_SUPPORTED;
    if (is("no-permission")) return NO_PERMISSION;
    return OK;
}

/* what does not change: answered also by machines that answer nothing else */
static int identity(void) {
    return is("not-supported") || is("no-permission") ? OK : general();
}

static int refused(int refuses, int code) {
    int all = general();
    return all != OK ? all : refuses ? code : OK;
}

#define PUBLIC __attribute__((visibility("default")))

PUBLIC double stub_began(void) { return began; }
PUBLIC int stub_opened(void) { return opened; }
PUBLIC void stub_restart(void) { began = now(); }

PUBLIC int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    if (is("mismatch")) return MISMATCH;
    if (is("no-driver")) return DRIVER_NOT_LOADED;
    if (is("no-permission-at-all")) return NO_PERMISSION;
    if (began < 0) began = now();
    opened++;
    return OK;
}

PUBLIC int nvmlShutdown(void) {
    if (opened == 0) return UNINITIALIZED;
    opened--;
    return OK;
}

PUBLIC const char *nvmlErrorString(int code) {
    (void)code;
    return "an error of the stub";
}

static int say(char *out, unsigned size, const char *text) {
    strncpy(out, text, size);
    return OK;
}

PUBLIC int nvmlSystemGetDriverVersion(char *out, unsigned size) {
    return say(out, size, is("zeros") ? "" : "525.105.17");
}

PUBLIC int nvmlDeviceGetCount_v2(unsigned *count) {
    *count = is("no-gpu") ? 0 : is("two") ? 2 : 1;
    return opened ? OK : UNINITIALIZED;
}

PUBLIC int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **device) {
    if (is("no-handle")) return NO_PERMISSION;
    *device = index == 0 ? &whole : &second;
    return index == 0 || (is("two") && index == 1) ? OK : NOT_FOUND;
}

PUBLIC int nvmlDeviceGetName(Device *device, char *out, unsigned size) {
    int code = identity();
    if (code != OK) return code;
    if (is("zeros")) return say(out, size, "");
    if (device->slice == -2) return say(out, size, "NVIDIA H100 80GB HBM3");
    if (is("odd-name")) return say(out, size, "Tesla \xff\xfe");
    return say(out, size, is("mig") ? "NVIDIA A100-SXM4-40GB" : is("vgpu") ? "GRID T4-8C" : "Tesla V100-SXM2-16GB");
}

PUBLIC int nvmlDeviceGetUUID(Device *device, char *out, unsigned size) {
    int code = identity();
    if (code != OK) return code;
    if (is("zeros")) return say(out, size, "");
    if (device->slice == -2) return say(out, size, "GPU-87654321-aaaa-bbbb-cccc-123456789abc");
    if (device->slice == 0) return say(out, size, "MIG-00000000-aaaa-bbbb-cccc-000000000000");
    if (device->slice == 1) return say(out, size, "MIG-11111111-aaaa-bbbb-cccc-111111111111");
    return say(out, size, "GPU-12345678-aaaa-bbbb-cccc-123456789abc");
}

typedef struct {
    char legacy[16];
    unsigned domain, bus, device, id, subsystem;
    char bus_id[32];
} Pci;

PUBLIC int nvmlDeviceGetPciInfo_v3(Device *device, Pci *pci) {
    memset(pci, 0, sizeof *pci);
    return say(pci->bus_id, sizeof pci->bus_id, device->slice == -2 ? "00000000:AF:00.0" : "00000000:3B:00.0");
}

typedef struct { u64 total, free, used; } Memory;

PUBLIC int nvmlDeviceGetMemoryInfo(Device *device, Memory *memory) {
    (void)device;
    int code = general();
    if (code != OK) return code;
    memory->total = 16945512448ULL;
    memory->used = 1073741824ULL;
    memory->free = memory->total - memory->used;
    if (is("wsl")) memory->total = memory->used = memory->free = ~0ULL;
    if (is("zeros")) memory->total = memory->used = memory->free = 0;
    return OK;
}

typedef struct { unsigned gpu, memory; } Utilisation;

PUBLIC int nvmlDeviceGetUtilizationRates(Device *device, Utilisation *rates) {
    (void)device;
    while (is("hangs")) pause();
    int code = refused(is("mig") || is("wsl"), NOT_SUPPORTED);
    if (code != OK) return code;
    rates->gpu = 87;
    rates->memory = 43;
    return OK;
}

/* 100 W at first, and 50 W more each second */
static double watts(double t) { return 100.0 + 50.0 * t; }
static double joules(double t) { return 100.0 * t + 25.0 * t * t; }

PUBLIC int nvmlDeviceGetPowerUsage(Device *device, unsigned *milliwatts) {
    (void)device;
    int code = refused(is("vgpu") || is("wsl"), NOT_SUPPORTED);
    if (code != OK) return code;
    *milliwatts = is("zeros") ? 0 : (unsigned)(1e3 * watts(now() - began));
    return OK;
}

PUBLIC int nvmlDeviceGetTotalEnergyConsumption(Device *device, u64 *millijoules) {
    (void)device;
    int code = refused(is("vgpu") || is("wsl") || is("pascal") || is("hopper-power"), NOT_SUPPORTED);
    if (code != OK) return code;
    double renewed = (double)(u64)((now() - began) / 0.1) * 0.1;
    *millijoules = is("zeros") ? 0 : is("stuck-counter") ? 4000000 : 5000000 + (u64)(1e3 * joules(renewed));
    return OK;
}

typedef union { double d; int si; unsigned ui; u64 ull; } Value;
typedef struct {
    unsigned field, scope;
    long long timestamp, latency;
    unsigned type;
    int code;
    Value value;
} Field;

PUBLIC int nvmlDeviceGetFieldValues(Device *device, int count, Field *fields) {
    int code = general();
    if (code != OK) return code;
    for (int i = 0; i < count; i++) {
        unsigned milliwatts = 0;
        fields[i].code = is("hopper-power") && fields[i].field == 186 ? OK : NOT_SUPPORTED;
        if (fields[i].code == OK) nvmlDeviceGetPowerUsage(device, &milliwatts);
        fields[i].type = 1;
        fields[i].value.ui = milliwatts;
    }
    return OK;
}

PUBLIC int nvmlDeviceGetClockInfo(Device *device, unsigned kind, unsigned *megahertz) {
    (void)device;
    int code = refused(is("vgpu"), NOT_SUPPORTED);
    if (code != OK) return code;
    *megahertz = is("zeros") ? 0 : kind == 2 ? 877 : 1380;
    return OK;
}

PUBLIC int nvmlDeviceGetTemperature(Device *device, unsigned sensor, unsigned *celsius) {
    (void)device, (void)sensor;
    int code = refused(is("vgpu"), NOT_SUPPORTED);
    if (code != OK) return code;
    *celsius = is("zeros") ? 0 : 61;
    return OK;
}

PUBLIC int nvmlDeviceGetCurrentClocksThrottleReasons(Device *device, u64 *mask) {
    (void)device;
    int code = refused(is("vgpu") || is("wsl"), NOT_SUPPORTED);
    if (code != OK) return code;
    *mask = 0x4 | 0x1;
    return OK;
}

PUBLIC int nvmlDeviceGetPcieThroughput(Device *device, unsigned counter, unsigned *kilobytes) {
    (void)device;
    int code = refused(is("vgpu") || is("wsl") || is("mig"), NOT_SUPPORTED);
    if (code != OK) return code;
    *kilobytes = counter == 0 ? 1200 : 3400;
    return OK;
}

PUBLIC int nvmlDeviceGetCurrPcieLinkGeneration(Device *device, unsigned *generation) {
    (void)device;
    *generation = is("zeros") ? 0 : 3;
    return refused(is("vgpu"), NOT_SUPPORTED);
}

PUBLIC int nvmlDeviceGetCurrPcieLinkWidth(Device *device, unsigned *width) {
    (void)device;
    *width = is("zeros") ? 0 : 16;
    return refused(is("vgpu"), NOT_SUPPORTED);
}

PUBLIC int nvmlDeviceGetMigMode(Device *device, unsigned *current, unsigned *pending) {
    (void)device;
    *current = *pending = 1;
    return refused(!is("mig"), NOT_SUPPORTED);
}

PUBLIC int nvmlDeviceGetMaxMigDeviceCount(Device *device, unsigned *count) {
    (void)device;
    *count = 7;
    return OK;
}

PUBLIC int nvmlDeviceGetMigDeviceHandleByIndex(Device *device, unsigned index, Device **slice) {
    (void)device;
    if (index > 1) return NOT_FOUND;
    *slice = &slices[index];
    return OK;
}
