/*
 * A double of virtio-win's driver for QEMU's ivshmem device: a kernel-mode driver for Wine, with which programs for that
 * driver can be tested without Windows. It provides the driver's device interface, answers its seven control codes with the
 * same sizes and errors, maps memory into the caller's process and sets the caller's events. The memory is a file of the
 * host, or that of an ivshmem-server with the double as a client. In the second case, the double exchanges interrupts with
 * every other client: Linux programs, virtual machines, other doubles.
 *
 * It was written from the contract, not from the driver. It does not reproduce these aspects of a real Windows: timing,
 * cache modes (accepted and recorded, without effect), the PCI bus, power states, defects of the real driver, and the time
 * of unmapping: a driver in Wine receives the close of a handle some time after CloseHandle has returned.
 *
 * Files: entry.c is the driver's frame, requests.c the contract, mapping.c and events.c what it needs, devnode.c the
 * device's registry entry, server.c the client of an ivshmem-server, control.c the control device for tests, linux.c the
 * system calls of the host below Wine.
 */
#ifndef DOUBLE_H
#define DOUBLE_H

#include <ntifs.h>

#define DEVICES 8
#define EVENT_SLOTS 32
#define ONE_MAPPING_LIMIT (4ull << 30) /* The driver cannot map this size or more. */
#define NO_DESCRIPTOR (-1)

/* Settings of the whole driver in the registry: Services\NAME\Parameters. */
struct settings {
    ULONG bits;               /* 64, or 32 for a driver of 32-bit Windows. */
    BOOLEAN mapping_per_handle; /* As in some builds of the driver; else one mapping per device. */
    char log[260];            /* A file of the host, or "". */
};

/* Settings of one device in the registry: Parameters\0, Parameters\1, ... */
struct device_settings {
    WCHAR file[260];  /* Memory from this file of the host, */
    char socket[108]; /* or as a client of the server at this socket. */
    ULONG vectors;
    ULONG peer;       /* With a file: the device's own id. */
    BOOLEAN not_ready;
};

/* An open handle of a program: the context of a file object. */
struct client {
    LIST_ENTRY entry;
    struct device *device;
    HANDLE process; /* Of the program, while mapped. */
    void *address;  /* In that process; NULL if not mapped. */
};

struct event {
    struct client *client; /* NULL if the slot is free. */
    HANDLE handle;         /* The driver's duplicate. */
    USHORT vector;
    BOOLEAN single_shot;
};

/* An eventfd that rings a peer. */
struct bell {
    USHORT peer;
    USHORT vector;
    int descriptor;
};

struct server {
    int socket;
    int stop;            /* An eventfd that ends the thread. */
    struct bell *bells;  /* Of all peers and of this device. */
    ULONG count, room;
    PETHREAD thread;
};

struct counts {
    ULONGLONG rings;      /* Accepted requests to ring. */
    ULONGLONG interrupts; /* Interrupts that arrived at this device. */
    ULONGLONG fired;      /* Events that were set. */
    ULONGLONG lost;       /* Interrupts of vectors without a registered event. */
    ULONG cache_mode;     /* Of the last mapping. */
};

struct device {
    DEVICE_OBJECT *object;
    UNICODE_STRING interface_name;
    BOOLEAN offered;
    BOOLEAN ready;
    ULONG index;
    struct device_settings settings;
    HANDLE section;
    ULONGLONG size;
    USHORT peer;
    USHORT vectors;
    LIST_ENTRY clients;
    ULONGLONG pending; /* A bit for each vector modulo 64. */
    struct event events[EVENT_SLOTS];
    struct server server;
    struct counts counts;
};

/* entry.c. The lock guards devices' clients, events, bells and counts; it is never held during a call that needs another
   process. */
extern struct settings settings;
extern struct device *devices[DEVICES];
extern FAST_MUTEX lock;

/* settings.c */
NTSTATUS read_settings(UNICODE_STRING *service);
NTSTATUS read_device_settings(UNICODE_STRING *service, ULONG index, struct device_settings *out);

/* devnode.c */
NTSTATUS write_devnode(ULONG index);
NTSTATUS query_id(ULONG index, BUS_QUERY_ID_TYPE type, ULONG_PTR *id);
NTSTATUS offer(struct device *device, BOOLEAN offered);

/* requests.c */
NTSTATUS answer(struct client *client, IRP *irp, ULONG_PTR *length);

/* mapping.c */
NTSTATUS open_file(struct device *device);
NTSTATUS open_descriptor(struct device *device, int descriptor);
NTSTATUS map(struct client *client, BOOLEAN below_2_gib);
void unmap(struct client *client);
HANDLE open_caller(void);

/* events.c. The caller does not hold the lock. */
NTSTATUS add_event(struct client *client, USHORT vector, HANDLE handle, BOOLEAN single_shot);
void drop_events(struct client *client);
void interrupt(struct device *device, ULONG vector);
void ring(struct device *device, USHORT peer, USHORT vector);

/* server.c */
NTSTATUS server_join(struct device *device);
void server_ring(struct device *device, USHORT peer, USHORT vector);
void server_leave(struct device *device);

/* control.c */
NTSTATUS control_create(DRIVER_OBJECT *driver);
void control_delete(void);
BOOLEAN control_owns(DEVICE_OBJECT *object);
NTSTATUS control(IRP *irp, IO_STACK_LOCATION *stack, ULONG_PTR *length);

/* linux.c: negative results are error numbers of the host. */
struct received {
    ULONGLONG message;
    ULONG bytes;     /* Bytes of the message received so far. */
    int descriptor;  /* Received with the message, or NO_DESCRIPTOR. */
};
int linux_connect(const char *path);
int linux_receive(int socket, struct received *received);
int linux_poll(int *descriptors, ULONG count, BOOLEAN *readable, int milliseconds);
int linux_eventfd(void);
int linux_ring(int eventfd);
int linux_drain(int eventfd);
int linux_process(void);
void linux_close(int descriptor);
void say(const char *format, ...);

#endif
