/*
 * \\.\IvshmemDouble: a device for tests to control the double itself. Reading returns a line of counts for each device;
 * writing takes one command:
 *   ready N 0|1       the device is ready, or answers every code with "not ready"
 *   offer N 0|1       the device's interface is there, or taken away as when the device is unplugged
 *   interrupt N V     an interrupt of vector V arrives
 */
#include "double.h"
#include <stdio.h>

static DEVICE_OBJECT *control_object;
static ULONG own_process; /* The process id on Windows. */
static UNICODE_STRING link = RTL_CONSTANT_STRING(L"\\DosDevices\\IvshmemDouble");

NTSTATUS control_create(DRIVER_OBJECT *driver)
{
    static UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\Device\\IvshmemDouble");
    NTSTATUS status = IoCreateDevice(driver, 0, &name, FILE_DEVICE_UNKNOWN, 0, FALSE, &control_object);
    if (status)
        return status;
    /* Outside a request this is the process of the driver. */
    own_process = (ULONG)(ULONG_PTR)PsGetCurrentProcessId();
    control_object->Flags |= DO_BUFFERED_IO;
    control_object->Flags &= ~DO_DEVICE_INITIALIZING;
    /* A killed driver leaves its link behind. */
    IoDeleteSymbolicLink(&link);
    return IoCreateSymbolicLink(&link, &name);
}

void control_delete(void)
{
    if (!control_object)
        return;
    IoDeleteSymbolicLink(&link);
    IoDeleteDevice(control_object);
}

BOOLEAN control_owns(DEVICE_OBJECT *object)
{
    return object == control_object;
}

static int describe(struct device *device, char *out, size_t room)
{
    ULONG handles = 0, mappings = 0, events = 0;
    ExAcquireFastMutex(&lock);
    for (LIST_ENTRY *at = device->clients.Flink; at != &device->clients; at = at->Flink) {
        handles++;
        mappings += CONTAINING_RECORD(at, struct client, entry)->address != NULL;
    }
    for (int i = 0; i < EVENT_SLOTS; i++)
        events += device->events[i].client != NULL;
    struct counts counts = device->counts;
    ExReleaseFastMutex(&lock);
    return _snprintf(out, room,
                     "device=%lu size=%llu peer=%u vectors=%u ready=%u offered=%u handles=%lu mappings=%lu events=%lu "
                     "rings=%llu interrupts=%llu fired=%llu lost=%llu cache=%lu\n",
                     device->index, device->size, device->peer, device->vectors, device->ready, device->offered, handles,
                     mappings, events, counts.rings, counts.interrupts, counts.fired, counts.lost, counts.cache_mode);
}

static ULONG report(char *out, ULONG room)
{
    int length = _snprintf(out, room, "double process=%d windows-process=%lu bits=%lu mapping-per-handle=%u\n",
                           linux_process(), own_process, settings.bits, settings.mapping_per_handle);
    for (ULONG i = 0; i < DEVICES && length >= 0; i++) {
        int more = devices[i] ? describe(devices[i], out + length, room - length) : 0;
        length = more < 0 ? more : length + more;
    }
    return length < 0 ? room : (ULONG)length;
}

/* Parses a decimal number after one space, and advances the text. */
static BOOLEAN number(const char **at, ULONG *out)
{
    if (**at != ' ' || (*at)[1] < '0' || (*at)[1] > '9')
        return FALSE;
    for (*out = 0, ++*at; **at >= '0' && **at <= '9'; ++*at)
        *out = *out * 10 + (ULONG)(**at - '0');
    return TRUE;
}

static NTSTATUS command(const char *text)
{
    static const char *const words[] = { "ready", "offer", "interrupt" };
    for (int word = 0; word < 3; word++) {
        const char *at = text + strlen(words[word]);
        ULONG index, argument;
        if (strncmp(text, words[word], strlen(words[word])) || !number(&at, &index) || !number(&at, &argument))
            continue;
        if (index >= DEVICES || !devices[index])
            return STATUS_NO_SUCH_DEVICE;
        if (word == 1)
            return offer(devices[index], argument != 0);
        if (word == 0)
            devices[index]->ready = argument != 0;
        else
            interrupt(devices[index], argument);
        return STATUS_SUCCESS;
    }
    return STATUS_INVALID_PARAMETER;
}

NTSTATUS control(IRP *irp, IO_STACK_LOCATION *stack, ULONG_PTR *length)
{
    char text[64] = "";
    switch (stack->MajorFunction) {
    case IRP_MJ_CREATE:
        stack->FileObject->FsContext = NULL;
        return STATUS_SUCCESS;
    case IRP_MJ_READ:
        /* The file can be read once. */
        if (stack->FileObject->FsContext)
            return STATUS_END_OF_FILE;
        stack->FileObject->FsContext = control_object;
        *length = report(irp->AssociatedIrp.SystemBuffer, stack->Parameters.Read.Length);
        return STATUS_SUCCESS;
    case IRP_MJ_WRITE:
        *length = stack->Parameters.Write.Length;
        if (*length >= sizeof text)
            return STATUS_INVALID_PARAMETER;
        memcpy(text, irp->AssociatedIrp.SystemBuffer, *length);
        return command(text);
    case IRP_MJ_CLOSE:
        return STATUS_SUCCESS;
    default:
        return STATUS_INVALID_DEVICE_REQUEST;
    }
}
