/*
 * The device's registry entry and its interface. On Windows the PCI bus creates the device node. Here the driver writes it,
 * and does so before it registers the interface, because Wine refuses a node that it would have to create twice.
 */
#include "double.h"
#include <initguid.h>
#include <stdio.h>

DEFINE_GUID(ivshmem_interface, 0xdf576976, 0x569d, 0x4672, 0x95, 0xa0, 0xf5, 0x7e, 0x4e, 0xa0, 0xb2, 0x10);

static const WCHAR device_id[] = L"PCI\\VEN_1AF4&DEV_1110&SUBSYS_11001AF4&REV_01";
#define FIRST_SLOT 5

/* Windows creates instance ids from slots and functions; slot * 8 + function, in hexadecimal, is the last part. */
static void instance_id(ULONG index, WCHAR *out)
{
    _snwprintf(out, 32, L"3&11583659&0&%02X", (FIRST_SLOT + index) * 8);
}

static void set_text(HANDLE key, const WCHAR *name, const WCHAR *text)
{
    UNICODE_STRING string;
    RtlInitUnicodeString(&string, name);
    ZwSetValueKey(key, &string, 0, REG_SZ, (void *)text, (ULONG)(wcslen(text) + 1) * sizeof(WCHAR));
}

NTSTATUS write_devnode(ULONG index)
{
    static const WCHAR *const parents[] = { L"\\Registry\\Machine\\System\\CurrentControlSet\\Enum", L"\\PCI", NULL, NULL };
    WCHAR path[400] = L"", instance[32], location[64];
    HANDLE key = NULL;
    instance_id(index, instance);
    for (int i = 0; i < 4; i++) {
        UNICODE_STRING name;
        OBJECT_ATTRIBUTES attributes;
        if (i < 2) {
            wcscat(path, parents[i]);
        } else {
            wcscat(path, L"\\");
            wcscat(path, i == 2 ? device_id + 4 : instance);
        }
        if (key)
            ZwClose(key);
        RtlInitUnicodeString(&name, path);
        InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
        NTSTATUS status = ZwCreateKey(&key, KEY_ALL_ACCESS, &attributes, 0, NULL, REG_OPTION_NON_VOLATILE, NULL);
        if (status)
            return status;
    }
    _snwprintf(location, 64, L"PCI bus 0, device %u, function 0", FIRST_SLOT + index);
    set_text(key, L"LocationInformation", location);
    set_text(key, L"DeviceDesc", L"QEMU inter-VM shared memory (test double)");
    set_text(key, L"HardwareID", device_id);
    set_text(key, L"Class", L"System");
    set_text(key, L"ClassGUID", L"{4d36e97d-e325-11ce-bfc1-08002be10318}");
    ZwClose(key);
    return STATUS_SUCCESS;
}

NTSTATUS query_id(ULONG index, BUS_QUERY_ID_TYPE type, ULONG_PTR *id)
{
    WCHAR instance[32];
    const WCHAR *text = device_id;
    if (type == BusQueryInstanceID) {
        instance_id(index, instance);
        text = instance;
    } else if (type != BusQueryDeviceID && type != BusQueryHardwareIDs) {
        return STATUS_NOT_SUPPORTED;
    }
    /* Lists end with an empty string. */
    ULONG bytes = (ULONG)(wcslen(text) + 1) * sizeof(WCHAR);
    WCHAR *copy = ExAllocatePool(PagedPool, bytes + sizeof(WCHAR));
    if (!copy)
        return STATUS_INSUFFICIENT_RESOURCES;
    memcpy(copy, text, bytes);
    copy[bytes / sizeof(WCHAR)] = 0;
    *id = (ULONG_PTR)copy;
    return STATUS_SUCCESS;
}

/* Publishes the interface for programs, or withdraws it. */
NTSTATUS offer(struct device *device, BOOLEAN offered)
{
    NTSTATUS status = STATUS_SUCCESS;
    if (!device->interface_name.Buffer)
        status = IoRegisterDeviceInterface(device->object, &ivshmem_interface, NULL, &device->interface_name);
    /* A killed driver leaves its link behind. */
    if (!status && offered && !device->offered)
        IoDeleteSymbolicLink(&device->interface_name);
    if (!status && device->offered != offered)
        status = IoSetDeviceInterfaceState(&device->interface_name, offered);
    if (!status)
        device->offered = offered;
    return status;
}
