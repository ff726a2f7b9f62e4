/*
 * The client of an ivshmem-server (docs/wire.md), instead of QEMU: it connects while the driver starts; then a separate
 * thread handles the server's messages and the interrupts on the device's own eventfds.
 */
#include "double.h"

#define GREETING_MILLISECONDS 10000
#define MEMORY (-1)

static int add_bell(struct server *server, USHORT peer, int descriptor)
{
    USHORT vector = 0;
    if (server->count == server->room) {
        ULONG room = server->room ? server->room * 2 : 64;
        struct bell *bells = ExAllocatePool(NonPagedPool, room * sizeof *bells);
        if (!bells)
            return -1;
        memcpy(bells, server->bells, server->count * sizeof *bells);
        if (server->bells)
            ExFreePool(server->bells);
        server->bells = bells;
        server->room = room;
    }
    for (ULONG i = 0; i < server->count; i++)
        vector += server->bells[i].peer == peer;
    server->bells[server->count++] = (struct bell){ peer, vector, descriptor };
    return 0;
}

static void remove_bells(struct server *server, USHORT peer)
{
    ULONG kept = 0;
    for (ULONG i = 0; i < server->count; i++) {
        if (server->bells[i].peer == peer)
            linux_close(server->bells[i].descriptor);
        else
            server->bells[kept++] = server->bells[i];
    }
    server->count = kept;
}

/* Receives the next whole message; returns FALSE if there will be none. */
static BOOLEAN next(struct server *server, struct received *message, int milliseconds)
{
    BOOLEAN readable;
    *message = (struct received){ .descriptor = NO_DESCRIPTOR };
    while (message->bytes < sizeof message->message)
        if (linux_poll(&server->socket, 1, &readable, milliseconds) != 1 || linux_receive(server->socket, message) <= 0) {
            linux_close(message->descriptor);
            return FALSE;
        }
    return TRUE;
}

/* Handles a further vector of a peer, or its departure. */
static BOOLEAN take(struct server *server, struct received *message)
{
    BOOLEAN good = message->message <= 0xffff;
    ExAcquireFastMutex(&lock);
    if (good && message->descriptor != NO_DESCRIPTOR)
        good = !add_bell(server, (USHORT)message->message, message->descriptor);
    else if (good)
        remove_bells(server, (USHORT)message->message);
    ExReleaseFastMutex(&lock);
    if (!good)
        linux_close(message->descriptor);
    return good;
}

static ULONG own_vectors(struct device *device)
{
    ULONG count = 0;
    for (ULONG i = 0; i < device->server.count; i++)
        count += device->server.bells[i].peer == device->peer;
    return count;
}

static NTSTATUS greet(struct device *device)
{
    struct server *server = &device->server;
    struct received message;
    if (!next(server, &message, GREETING_MILLISECONDS) || message.message != 0) {
        say("device %lu: the server's version is %lld, not 0", device->index, message.message);
        return STATUS_REVISION_MISMATCH;
    }
    if (!next(server, &message, GREETING_MILLISECONDS) || message.message > 0xffff)
        return STATUS_CONNECTION_DISCONNECTED;
    device->peer = (USHORT)message.message;
    if (!next(server, &message, GREETING_MILLISECONDS) || (LONGLONG)message.message != MEMORY)
        return STATUS_CONNECTION_DISCONNECTED;
    NTSTATUS status = open_descriptor(device, message.descriptor);
    linux_close(message.descriptor);
    /* The only mark of the handshake's end is the last of the device's own vectors. */
    while (!status && own_vectors(device) < device->vectors)
        if (!next(server, &message, GREETING_MILLISECONDS) || !take(server, &message)) {
            say("device %lu: the server gave %lu vectors, not %u", device->index, own_vectors(device), device->vectors);
            status = STATUS_CONNECTION_DISCONNECTED;
        }
    return status;
}

/* The stop eventfd and the socket, followed by the device's own eventfds in the order of their vectors. */
static ULONG gather(struct device *device, int *descriptors)
{
    ULONG count = 2;
    descriptors[0] = device->server.stop;
    descriptors[1] = device->server.socket;
    ExAcquireFastMutex(&lock);
    for (ULONG i = 0; i < device->server.count; i++) {
        struct bell *bell = &device->server.bells[i];
        if (bell->peer == device->peer && bell->vector < device->vectors)
            descriptors[count++] = bell->descriptor;
    }
    ExReleaseFastMutex(&lock);
    return count;
}

static void NTAPI serve(void *context)
{
    struct device *device = context;
    struct server *server = &device->server;
    static const ULONG most = 2 + 256;
    int *descriptors = ExAllocatePool(NonPagedPool, most * sizeof *descriptors);
    BOOLEAN *readable = ExAllocatePool(NonPagedPool, most);
    struct received message = { .descriptor = NO_DESCRIPTOR };
    /* The device's own vectors are complete and do not change, so they are collected once. */
    ULONG count = descriptors && readable ? gather(device, descriptors) : 0;
    while (count && linux_poll(descriptors, count, readable, -1) > 0 && !readable[0]) {
        for (ULONG i = 2; i < count; i++)
            if (readable[i] && linux_drain(descriptors[i]) > 0)
                interrupt(device, i - 2);
        if (!readable[1])
            continue;
        if (linux_receive(server->socket, &message) <= 0) {
            /* As in QEMU: the known peers can still be rung, and can ring. */
            say("device %lu: the server has gone", device->index);
            descriptors[1] = NO_DESCRIPTOR;
        } else if (message.bytes == sizeof message.message) {
            take(server, &message);
            message = (struct received){ .descriptor = NO_DESCRIPTOR };
        }
    }
    if (descriptors)
        ExFreePool(descriptors);
    if (readable)
        ExFreePool(readable);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

NTSTATUS server_join(struct device *device)
{
    struct server *server = &device->server;
    HANDLE thread;
    server->socket = linux_connect(device->settings.socket);
    server->stop = linux_eventfd();
    if (server->socket < 0) {
        say("device %lu: cannot connect to %s: error %d", device->index, device->settings.socket, -server->socket);
        return STATUS_CONNECTION_REFUSED;
    }
    NTSTATUS status = greet(device);
    if (!status)
        status = PsCreateSystemThread(&thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, serve, device);
    if (status)
        return status;
    status = ObReferenceObjectByHandle(thread, SYNCHRONIZE, NULL, KernelMode, (void **)&server->thread, NULL);
    ZwClose(thread);
    return status;
}

void server_ring(struct device *device, USHORT peer, USHORT vector)
{
    ExAcquireFastMutex(&lock);
    for (ULONG i = 0; i < device->server.count; i++)
        if (device->server.bells[i].peer == peer && device->server.bells[i].vector == vector)
            linux_ring(device->server.bells[i].descriptor);
    ExReleaseFastMutex(&lock);
}

void server_leave(struct device *device)
{
    struct server *server = &device->server;
    if (server->thread) {
        linux_ring(server->stop);
        KeWaitForSingleObject(server->thread, Executive, KernelMode, FALSE, NULL);
        ObDereferenceObject(server->thread);
    }
    for (ULONG i = 0; i < server->count; i++)
        linux_close(server->bells[i].descriptor);
    if (server->bells)
        ExFreePool(server->bells);
    linux_close(server->socket);
    linux_close(server->stop);
}
