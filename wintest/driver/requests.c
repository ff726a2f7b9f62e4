/* The contract: seven control codes, the sizes of their data, their errors and the order in which they are checked. */
#include "double.h"

enum {
    REQUEST_PEERID = 0x222000,
    REQUEST_SIZE = 0x222004,
    REQUEST_MMAP = 0x222008,
    RELEASE_MMAP = 0x22200c,
    RING_DOORBELL = 0x222010,
    REGISTER_EVENT = 0x222014,
    REQUEST_KMAP = 0x222018,
};
enum { NOT_CACHED, CACHED, WRITE_COMBINED };

struct map_64 { USHORT peer; ULONGLONG size; ULONGLONG address; USHORT vectors; };
/* For a 32-bit program, regardless of the driver. */
struct map_32 { USHORT peer; ULONGLONG size; ULONG address; USHORT vectors; };
struct doorbell { USHORT peer, vector; };
struct event_64 { USHORT vector; ULONGLONG handle; BOOLEAN single_shot; };
/* For a 32-bit driver; a 32-bit program passes the structure above to a 64-bit driver. */
struct event_32 { USHORT vector; ULONG handle; BOOLEAN single_shot; };
C_ASSERT(sizeof(struct map_64) == 32 && sizeof(struct map_32) == 24);
C_ASSERT(sizeof(struct event_64) == 24 && sizeof(struct event_32) == 12 && sizeof(struct doorbell) == 4);

struct request {
    struct client *client;
    struct device *device;
    void *data; /* One buffer for input and output. */
    ULONG in, out;
    BOOLEAN narrow; /* The map struct's pointer has 32 bits. */
};

static BOOLEAN mapped_by_other(struct device *device, struct client *client)
{
    for (LIST_ENTRY *at = device->clients.Flink; at != &device->clients; at = at->Flink) {
        struct client *other = CONTAINING_RECORD(at, struct client, entry);
        if (other != client && other->address)
            return TRUE;
    }
    return FALSE;
}

static NTSTATUS request_peer(struct request *request, ULONG_PTR *length)
{
    if (request->out != sizeof(USHORT))
        return STATUS_INVALID_BUFFER_SIZE;
    *(USHORT *)request->data = request->device->peer;
    *length = sizeof(USHORT);
    return STATUS_SUCCESS;
}

static NTSTATUS request_size(struct request *request, ULONG_PTR *length)
{
    if (request->out != sizeof(ULONGLONG))
        return STATUS_INVALID_BUFFER_SIZE;
    *(ULONGLONG *)request->data = request->device->size;
    *length = sizeof(ULONGLONG);
    return STATUS_SUCCESS;
}

static NTSTATUS request_mapping(struct request *request, ULONG_PTR *length)
{
    struct client *client = request->client;
    struct device *device = request->device;
    if (client->address || (!settings.mapping_per_handle && mapped_by_other(device, client)))
        return STATUS_DEVICE_ALREADY_ATTACHED;
    if (request->in != sizeof(UCHAR))
        return STATUS_INVALID_BUFFER_SIZE;
    UCHAR cache_mode = *(UCHAR *)request->data;
    if (cache_mode > WRITE_COMBINED)
        return STATUS_INVALID_PARAMETER;
    if (request->out != (request->narrow ? sizeof(struct map_32) : sizeof(struct map_64)))
        return STATUS_INVALID_BUFFER_SIZE;
    NTSTATUS status = map(client, request->narrow);
    if (status)
        return status;
    device->counts.cache_mode = cache_mode;
    *length = request->out;
    memset(request->data, 0, request->out);
    if (request->narrow)
        *(struct map_32 *)request->data =
            (struct map_32){ device->peer, device->size, (ULONG)(ULONG_PTR)client->address, device->vectors };
    else
        *(struct map_64 *)request->data =
            (struct map_64){ device->peer, device->size, (ULONG_PTR)client->address, device->vectors };
    return STATUS_SUCCESS;
}

static NTSTATUS release_mapping(struct request *request)
{
    if (!request->client->address)
        return mapped_by_other(request->device, request->client) && !settings.mapping_per_handle
                   ? STATUS_INVALID_HANDLE
                   : STATUS_INVALID_DEVICE_REQUEST;
    unmap(request->client);
    return STATUS_SUCCESS;
}

static NTSTATUS ring_doorbell(struct request *request)
{
    if (!request->client->address)
        return STATUS_INVALID_HANDLE;
    if (request->in != sizeof(struct doorbell))
        return STATUS_INVALID_BUFFER_SIZE;
    struct doorbell *doorbell = request->data;
    ring(request->device, doorbell->peer, doorbell->vector);
    return STATUS_SUCCESS;
}

static NTSTATUS register_event(struct request *request)
{
    if (!request->client->address)
        return STATUS_INVALID_HANDLE;
    if (request->in != (settings.bits == 32 ? sizeof(struct event_32) : sizeof(struct event_64)))
        return STATUS_INVALID_BUFFER_SIZE;
    if (settings.bits == 32) {
        struct event_32 *event = request->data;
        return add_event(request->client, event->vector, (HANDLE)(ULONG_PTR)event->handle, event->single_shot);
    }
    struct event_64 *event = request->data;
    return add_event(request->client, event->vector, (HANDLE)(ULONG_PTR)event->handle, event->single_shot);
}

NTSTATUS answer(struct client *client, IRP *irp, ULONG_PTR *length)
{
    IO_STACK_LOCATION *stack = IoGetCurrentIrpStackLocation(irp);
    struct request request = {
        .client = client,
        .device = client->device,
        .data = irp->AssociatedIrp.SystemBuffer,
        .in = stack->Parameters.DeviceIoControl.InputBufferLength,
        .out = stack->Parameters.DeviceIoControl.OutputBufferLength,
        .narrow = settings.bits == 32 || IoIs32bitProcess(irp),
    };
    if (!request.device->ready)
        return STATUS_DEVICE_NOT_READY;
    switch (stack->Parameters.DeviceIoControl.IoControlCode) {
    case REQUEST_PEERID: return request_peer(&request, length);
    case REQUEST_SIZE: return request_size(&request, length);
    case REQUEST_MMAP: return request_mapping(&request, length);
    case RELEASE_MMAP: return release_mapping(&request);
    case RING_DOORBELL: return ring_doorbell(&request);
    case REGISTER_EVENT: return register_event(&request);
    case REQUEST_KMAP: return STATUS_ACCESS_DENIED; /* For callers in the kernel only. */
    default: return STATUS_INVALID_DEVICE_REQUEST;
    }
}
