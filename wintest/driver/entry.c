/* The driver's frame: start, stop, and dispatch of requests. */
#include "double.h"
#include <stdio.h>

struct settings settings;
struct device *devices[DEVICES];
FAST_MUTEX lock;

static struct device *device_of(DEVICE_OBJECT *object)
{
    return *(struct device **)object->DeviceExtension;
}

static NTSTATUS open_client(struct device *device, FILE_OBJECT *file)
{
    struct client *client = ExAllocatePool(NonPagedPool, sizeof *client);
    if (!client)
        return STATUS_INSUFFICIENT_RESOURCES;
    memset(client, 0, sizeof *client);
    client->device = device;
    file->FsContext = client;
    ExAcquireFastMutex(&lock);
    InsertTailList(&device->clients, &client->entry);
    ExReleaseFastMutex(&lock);
    return STATUS_SUCCESS;
}

static void close_client(struct client *client)
{
    drop_events(client);
    unmap(client);
    ExAcquireFastMutex(&lock);
    RemoveEntryList(&client->entry);
    ExReleaseFastMutex(&lock);
    ExFreePool(client);
}

static NTSTATUS serve_device(struct device *device, IRP *irp, IO_STACK_LOCATION *stack, ULONG_PTR *information)
{
    switch (stack->MajorFunction) {
    case IRP_MJ_CREATE:
        return open_client(device, stack->FileObject);
    case IRP_MJ_CLOSE:
        close_client(stack->FileObject->FsContext);
        return STATUS_SUCCESS;
    case IRP_MJ_DEVICE_CONTROL:
        return answer(stack->FileObject->FsContext, irp, information);
    case IRP_MJ_PNP:
        if (stack->MinorFunction == IRP_MN_QUERY_ID)
            return query_id(device->index, stack->Parameters.QueryId.IdType, information);
        return STATUS_NOT_SUPPORTED;
    default:
        return STATUS_INVALID_DEVICE_REQUEST;
    }
}

static NTSTATUS NTAPI dispatch(DEVICE_OBJECT *object, IRP *irp)
{
    IO_STACK_LOCATION *stack = IoGetCurrentIrpStackLocation(irp);
    ULONG_PTR information = 0;
    NTSTATUS status = control_owns(object) ? control(irp, stack, &information)
                                           : serve_device(device_of(object), irp, stack, &information);
    irp->IoStatus.Status = status;
    irp->IoStatus.Information = information;
    IoCompleteRequest(irp, IO_NO_INCREMENT);
    return status;
}

static void remove_device(struct device *device)
{
    devices[device->index] = NULL;
    if (device->interface_name.Buffer) {
        offer(device, FALSE);
        RtlFreeUnicodeString(&device->interface_name);
    }
    /* A program with an open handle keeps its memory, because Windows does not unload a driver in use either. */
    while (!IsListEmpty(&device->clients)) {
        struct client *client = CONTAINING_RECORD(device->clients.Flink, struct client, entry);
        client->address = NULL;
        if (client->process)
            ZwClose(client->process);
        close_client(client);
    }
    if (device->settings.socket[0])
        server_leave(device);
    if (device->section)
        ZwClose(device->section);
    IoDeleteDevice(device->object);
    ExFreePool(device);
}

static NTSTATUS start_device(struct device *device)
{
    NTSTATUS status = write_devnode(device->index);
    if (!status)
        status = device->settings.socket[0] ? server_join(device) : open_file(device);
    if (!status)
        status = offer(device, TRUE);
    say("device %lu: start %08lx, %llu bytes, peer %u, %u vectors", device->index, status, device->size, device->peer,
        device->vectors);
    return status;
}

static NTSTATUS add_device(DRIVER_OBJECT *driver, ULONG index, struct device_settings *wanted)
{
    WCHAR buffer[32];
    UNICODE_STRING name;
    struct device *device = ExAllocatePool(NonPagedPool, sizeof *device);
    if (!device)
        return STATUS_INSUFFICIENT_RESOURCES;
    memset(device, 0, sizeof *device);
    InitializeListHead(&device->clients);
    device->index = index;
    device->settings = *wanted;
    device->peer = (USHORT)wanted->peer;
    device->vectors = (USHORT)(wanted->vectors < 256 ? wanted->vectors : 256);
    device->ready = !wanted->not_ready;
    device->server.socket = device->server.stop = NO_DESCRIPTOR;
    _snwprintf(buffer, 32, L"\\Device\\Ivshmem%u", index);
    RtlInitUnicodeString(&name, buffer);
    NTSTATUS status = IoCreateDevice(driver, sizeof device, &name, FILE_DEVICE_UNKNOWN, 0, FALSE, &device->object);
    if (status) {
        ExFreePool(device);
        return status;
    }
    *(struct device **)device->object->DeviceExtension = device;
    device->object->Flags &= ~DO_DEVICE_INITIALIZING;
    devices[index] = device;
    return start_device(device);
}

static void NTAPI unload(DRIVER_OBJECT *driver)
{
    UNREFERENCED_PARAMETER(driver);
    for (ULONG i = 0; i < DEVICES; i++)
        if (devices[i])
            remove_device(devices[i]);
    control_delete();
    say("double: stopped");
}

NTSTATUS NTAPI DriverEntry(DRIVER_OBJECT *driver, UNICODE_STRING *service)
{
    struct device_settings wanted;
    ExInitializeFastMutex(&lock);
    NTSTATUS status = read_settings(service);
    if (status)
        return status;
    for (int i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++)
        driver->MajorFunction[i] = dispatch;
    driver->DriverUnload = unload;
    status = control_create(driver);
    for (ULONG i = 0; !status && i < DEVICES && !read_device_settings(service, i, &wanted); i++)
        status = add_device(driver, i, &wanted);
    if (status)
        unload(driver);
    return status;
}
