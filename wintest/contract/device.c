/* Finding devices and sending them requests, as any program does. */
#include "contract.h"
#include <setupapi.h>
#include <stdio.h>

static const GUID interface_guid = { 0xdf576976, 0x569d, 0x4672, { 0x95, 0xa0, 0xf5, 0x7e, 0x4e, 0xa0, 0xb2, 0x10 } };

/* The handles of the present test. close_devices closes those that a failed test left, so that the next test is not
   affected. */
static HANDLE open_devices[16];

static void replace(HANDLE old, HANDLE new)
{
    for (int i = 0; i < 16; i++)
        if (open_devices[i] == old) {
            open_devices[i] = new;
            return;
        }
}

void close_devices(void)
{
    for (int i = 0; i < 16; i++)
        if (open_devices[i])
            CloseHandle(open_devices[i]);
    memset(open_devices, 0, sizeof open_devices);
}

/* Present devices, sorted by location. */
int list_paths(char paths[][512], char locations[][128], int most)
{
    char buffer[sizeof(SP_DEVICE_INTERFACE_DETAIL_DATA_A) + 512];
    SP_DEVICE_INTERFACE_DETAIL_DATA_A *detail = (void *)buffer;
    SP_DEVICE_INTERFACE_DATA found = { .cbSize = sizeof found };
    int count = 0;
    HDEVINFO set = SetupDiGetClassDevsA(&interface_guid, NULL, NULL, DIGCF_PRESENT | DIGCF_DEVICEINTERFACE);
    check(set != INVALID_HANDLE_VALUE);
    for (int i = 0; count < most && SetupDiEnumDeviceInterfaces(set, NULL, &interface_guid, i, &found); i++) {
        SP_DEVINFO_DATA node = { .cbSize = sizeof node };
        detail->cbSize = sizeof *detail;
        check(SetupDiGetDeviceInterfaceDetailA(set, &found, detail, sizeof buffer, NULL, &node));
        snprintf(paths[count], 512, "%s", detail->DevicePath);
        locations[count][0] = 0;
        SetupDiGetDeviceRegistryPropertyA(set, &node, SPDRP_LOCATION_INFORMATION, NULL, (BYTE *)locations[count], 128, NULL);
        count++;
    }
    SetupDiDestroyDeviceInfoList(set);
    for (int i = 1; i < count; i++)
        for (int j = i; j > 0 && strcmp(locations[j - 1], locations[j]) > 0; j--) {
            char path[512], location[128];
            strcpy(path, paths[j]), strcpy(paths[j], paths[j - 1]), strcpy(paths[j - 1], path);
            strcpy(location, locations[j]), strcpy(locations[j], locations[j - 1]), strcpy(locations[j - 1], location);
        }
    return count;
}

/* In Wine 8, opening fails about once in 20,000 times, in 32-bit programs and while a mapping is being removed. */
HANDLE open_path(const char *path, DWORD access)
{
    HANDLE file = INVALID_HANDLE_VALUE;
    DWORD error = ERROR_NOACCESS;
    for (int i = 0; i < 3 && error == ERROR_NOACCESS; i++) {
        file = CreateFileA(path, access, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, 0, NULL);
        error = file == INVALID_HANDLE_VALUE ? GetLastError() : OK;
    }
    equal(error, OK);
    return file;
}

HANDLE open_device(int index)
{
    char paths[DEVICES][512], locations[DEVICES][128];
    check(list_paths(paths, locations, DEVICES) > index);
    HANDLE device = open_path(paths[index], GENERIC_READ | GENERIC_WRITE);
    replace(NULL, device);
    return device;
}

void close_device(HANDLE device)
{
    replace(device, NULL);
    check(CloseHandle(device));
}

DWORD ask(HANDLE device, DWORD code, const void *in, DWORD in_size, void *out, DWORD out_size)
{
    DWORD length = 0xdead;
    if (!DeviceIoControl(device, code, (void *)in, in_size, out, out_size, &length, NULL))
        return GetLastError();
    equal(length, out_size);
    return OK;
}

/* The pointer in the reply has the width of this program, or 32 bits for a 32-bit driver. */
DWORD map_size(void)
{
    return sizeof(void *) == 4 || driver_bits == 32 ? 24 : 32;
}

DWORD event_size(void)
{
    return driver_bits == 32 ? 12 : 24;
}

DWORD try_map(HANDLE device, uint8_t cache_mode, uint8_t reply[32])
{
    memset(reply, 0xaa, 32);
    return ask(device, MMAP, &cache_mode, 1, reply, map_size());
}

volatile uint8_t *map(HANDLE device)
{
    uint8_t reply[32];
    uintptr_t address = 0;
    equal(try_map(device, 1, reply), OK);
    memcpy(&address, reply + 16, map_size() == 24 ? 4 : 8);
    check(address);
    return (volatile uint8_t *)address;
}

DWORD ring(HANDLE device, uint16_t peer, uint16_t vector)
{
    uint16_t bytes[2] = { peer, vector };
    return ask(device, RING, bytes, 4, NULL, 0);
}

DWORD add_event(HANDLE device, uint16_t vector, HANDLE event, bool single_shot)
{
    uint8_t bytes[24] = { 0 };
    uint64_t handle = (uintptr_t)event;
    bool narrow = driver_bits == 32;
    memcpy(bytes, &vector, 2);
    memcpy(bytes + (narrow ? 4 : 8), &handle, narrow ? 4 : 8);
    bytes[narrow ? 8 : 16] = single_shot;
    return ask(device, EVENT, bytes, event_size(), NULL, 0);
}

bool fires(HANDLE event)
{
    return WaitForSingleObject(event, LIMIT) == WAIT_OBJECT_0;
}

/* Detects interrupts of earlier rings whose delivery is known to be complete. */
bool quiet(HANDLE event)
{
    return WaitForSingleObject(event, 0) == WAIT_TIMEOUT;
}
