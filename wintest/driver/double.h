/*
 * A double of virtio-win's driver for QEMU's ivshmem device: a kernel-mode driver for Wine, so that programs for that
 * driver can be tested where there is no Windows. It gives the driver's device interface, answers its seven control
 * codes with its sizes and errors, maps memory into the caller's process and sets the caller's events. The memory is a
 * file of the host, or that of an ivshmem-server whose client the double is; then it rings and is rung by every other
 * client: Linux programs, virtual machines, other doubles.
 *
 * It was written from the contract, not from the driver. What it cannot show of a real Windows: the time anything takes,
 * cache modes (taken and noted, without effect), the PCI bus, power states, the real driver's own faults, and the order
 * of unmapping: Wine tells a driver of a closed handle some time after CloseHandle has returned.
 *
 * Files: entry.c is the driver's frame, requests.c the contract, mapping.c and events.c what it needs, devnode.c the
 * device's place in the registry, server.c the client of an ivshmem-server, control.c what tests may ask of the double
 * itself, linux.c the system calls of the host below Wine.
 */
#ifndef DOUBLE_H
#define DOUBLE_H

#include <ntifs.h>

#define DEVICES 8
#define EVENT_SLOTS 32
#define ONE_MAPPING_LIMIT (4ull << 30) /* From here on the driver cannot map. */
#define NO_DESCRIPTOR (-1)

/* What the registry says of the whole driver: Services\NAME\Parameters. */
struct settings {
    ULONG bits;               /* 64, or 32 for a driver of 32-bit Windows. */
    BOOLEAN mapping_per_handle; /* As some builds of the driver have it, else one mapping for a device. */
    char log[260];            /* A file of the host, or "". */
};

/* What it says of one device: Parameters\0, Parameters\1, ... */
struct device_settings {
    WCHAR file[260];  /* Memory from this file of the host, */
    char socket[108]; /* or as a client of the server here. */
    ULONG vectors;
    ULONG peer;       /* With a file: the own id. */
    BOOLEAN not_ready;
};

/* One open handle of a program: a file object's context. */
struct client {
    LIST_ENTRY entry;
    struct device *device;
    HANDLE process; /* Of the program, while mapped. */
    void *address;  /* In that process; NULL when not mapped. */
};

struct event {
    struct client *client; /* NULL: the slot is free. */
    HANDLE handle;         /* Our duplicate. */
    USHORT vector;
    BOOLEAN single_shot;
};

/* One eventfd that rings a peer. */
struct bell {
    USHORT peer;
    USHORT vector;
    int descriptor;
};

struct server {
    int socket;
    int stop;            /* An eventfd that ends the thread. */
    struct bell *bells;  /* Of everybody, this device too. */
    ULONG count, room;
    PETHREAD thread;
};

struct counts {
    ULONGLONG rings;      /* Requests to ring that were admitted. */
    ULONGLONG interrupts; /* That arrived at this device. */
    ULONGLONG fired;      /* Events that were set. */
    ULONGLONG lost;       /* Interrupts of vectors nobody had registered. */
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

/* entry.c. The lock guards devices' clients, events, bells and counts; it is never held while another process is needed. */
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

/* events.c. The lock is not held by the caller. */
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

/* linux.c: negative results are the host's error numbers. */
struct received {
    ULONGLONG message;
    ULONG bytes;     /* So far of the message. */
    int descriptor;  /* That came with it, or NO_DESCRIPTOR. */
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
