/*
 * Interrupts: 32 slots for events, and a pending mask of 64 bits, in which several interrupts of a vector merge. In the
 * real driver the interrupt routine sets a bit, and its deferred procedure handles all bits; here one call does both.
 */
#include "double.h"

/* Duplicates a caller's event, if the caller may wait for it and set it. */
static NTSTATUS duplicate(HANDLE handle, HANDLE *out)
{
    OBJECT_BASIC_INFORMATION information;
    HANDLE process = open_caller();
    if (!process)
        return STATUS_INVALID_HANDLE;
    NTSTATUS status = ZwDuplicateObject(process, handle, NtCurrentProcess(), out, 0, 0, DUPLICATE_SAME_ACCESS);
    ZwClose(process);
    if (status)
        return STATUS_INVALID_HANDLE;
    status = ZwQueryObject(*out, ObjectBasicInformation, &information, sizeof information, NULL);
    ULONG needed = SYNCHRONIZE | EVENT_MODIFY_STATE;
    /* Registering clears the event; an object that cannot be cleared is not an event. */
    if (!status && (information.GrantedAccess & needed) == needed)
        status = ZwResetEvent(*out, NULL);
    else
        status = STATUS_INVALID_HANDLE;
    if (status)
        ZwClose(*out);
    return status ? STATUS_INVALID_HANDLE : STATUS_SUCCESS;
}

NTSTATUS add_event(struct client *client, USHORT vector, HANDLE handle, BOOLEAN single_shot)
{
    struct event *slot = client->device->events, *end = slot + EVENT_SLOTS;
    HANDLE ours;
    ExAcquireFastMutex(&lock);
    while (slot < end && slot->client)
        slot++;
    ExReleaseFastMutex(&lock);
    /* Requests are serialised, so a free slot stays free. */
    if (slot == end)
        return STATUS_INSUFFICIENT_RESOURCES;
    NTSTATUS status = duplicate(handle, &ours);
    if (status)
        return status;
    ExAcquireFastMutex(&lock);
    *slot = (struct event){ client, ours, vector, single_shot };
    ExReleaseFastMutex(&lock);
    return STATUS_SUCCESS;
}

static void free_slot(struct event *event)
{
    ZwClose(event->handle);
    memset(event, 0, sizeof *event);
}

void drop_events(struct client *client)
{
    ExAcquireFastMutex(&lock);
    for (struct event *event = client->device->events; event < client->device->events + EVENT_SLOTS; event++)
        if (event->client == client)
            free_slot(event);
    ExReleaseFastMutex(&lock);
}

void interrupt(struct device *device, ULONG vector)
{
    ExAcquireFastMutex(&lock);
    device->counts.interrupts++;
    device->pending |= 1ull << (vector % 64);
    ULONGLONG pending = device->pending, wanted = 0;
    device->pending = 0;
    for (struct event *event = device->events; event < device->events + EVENT_SLOTS; event++) {
        ULONGLONG bit = 1ull << (event->vector % 64);
        if (!event->client || !(pending & bit))
            continue;
        wanted |= bit;
        ZwSetEvent(event->handle, NULL);
        device->counts.fired++;
        if (event->single_shot)
            free_slot(event);
    }
    if (pending & ~wanted)
        device->counts.lost++;
    ExReleaseFastMutex(&lock);
}

/* Devices with the same file are peers of each other. An unknown peer or vector is not an error, as hardware reports
   none. */
void ring(struct device *device, USHORT peer, USHORT vector)
{
    device->counts.rings++;
    if (device->settings.socket[0]) {
        server_ring(device, peer, vector);
        return;
    }
    for (ULONG i = 0; i < DEVICES; i++) {
        struct device *other = devices[i];
        if (other && other->peer == peer && vector < other->vectors && !wcscmp(other->settings.file, device->settings.file))
            interrupt(other, vector);
    }
}
