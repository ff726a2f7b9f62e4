/* System calls of the Linux below Wine, directly from the driver's code: Wine cannot receive descriptors from a Unix
   socket. */
#include "double.h"
#include <stdarg.h>
#include <stdio.h>

enum { SYS_read = 0, SYS_write = 1, SYS_open = 2, SYS_close = 3, SYS_poll = 7, SYS_getpid = 39, SYS_socket = 41,
       SYS_connect = 42, SYS_recvmsg = 47, SYS_eventfd2 = 290 };
enum { AF_UNIX = 1, SOCK_STREAM = 1, SOCK_CLOEXEC = 02000000, SOL_SOCKET = 1, SCM_RIGHTS = 1, MSG_CMSG_CLOEXEC = 0x40000000,
       POLLIN = 1, EFD_CLOEXEC = 02000000, EFD_NONBLOCK = 04000, O_WRONLY = 01, O_CREAT = 0100, O_APPEND = 02000,
       O_CLOEXEC = 02000000, INTERRUPTED = 4 };

struct iovec { void *base; ULONGLONG length; };
struct msghdr { void *name; ULONG name_length; struct iovec *parts; ULONGLONG count; void *control; ULONGLONG control_length;
                int flags; };
struct rights { ULONGLONG length; int level, type; int descriptors[4]; };
struct pollfd { int descriptor; short events, happened; };

static LONGLONG call(LONGLONG number, ULONGLONG a, ULONGLONG b, ULONGLONG c)
{
    LONGLONG result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}

/* Wine interrupts threads with signals for its own purposes. */
static LONGLONG patient_call(LONGLONG number, ULONGLONG a, ULONGLONG b, ULONGLONG c)
{
    LONGLONG result;
    do
        result = call(number, a, b, c);
    while (result == -INTERRUPTED);
    return result;
}

int linux_connect(const char *path)
{
    struct { USHORT family; char path[108]; } address = { AF_UNIX, "" };
    int socket = (int)call(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (socket < 0)
        return socket;
    strncpy(address.path, path, sizeof address.path - 1);
    int result = (int)patient_call(SYS_connect, socket, (ULONG_PTR)&address, sizeof address);
    if (result >= 0)
        return socket;
    linux_close(socket);
    return result;
}

/* Continues to read the present message, never beyond its end, so that a descriptor belongs to the message that it came
   with. Returns the number of bytes, 0 at the end of the stream. */
int linux_receive(int socket, struct received *received)
{
    struct rights rights = { 0 };
    struct iovec part = { (char *)&received->message + received->bytes, sizeof received->message - received->bytes };
    struct msghdr header = { .parts = &part, .count = 1, .control = &rights, .control_length = sizeof rights };
    int result = (int)patient_call(SYS_recvmsg, socket, (ULONG_PTR)&header, MSG_CMSG_CLOEXEC);
    if (result > 0)
        received->bytes += (ULONG)result;
    if (header.control_length < 16 || rights.level != SOL_SOCKET || rights.type != SCM_RIGHTS)
        return result;
    for (ULONG i = 0; i < (rights.length - 16) / sizeof(int); i++) {
        if (received->descriptor == NO_DESCRIPTOR)
            received->descriptor = rights.descriptors[i];
        else
            linux_close(rights.descriptors[i]);
    }
    return result;
}

int linux_poll(int *descriptors, ULONG count, BOOLEAN *readable, int milliseconds)
{
    struct pollfd *set = ExAllocatePool(NonPagedPool, count * sizeof *set);
    if (!set)
        return -1;
    for (ULONG i = 0; i < count; i++)
        set[i] = (struct pollfd){ descriptors[i], POLLIN, 0 };
    int result = (int)patient_call(SYS_poll, (ULONG_PTR)set, count, (LONGLONG)milliseconds);
    for (ULONG i = 0; i < count; i++)
        readable[i] = set[i].happened != 0;
    ExFreePool(set);
    return result;
}

int linux_eventfd(void)
{
    return (int)call(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK, 0);
}

int linux_ring(int eventfd)
{
    ULONGLONG one = 1;
    return (int)patient_call(SYS_write, eventfd, (ULONG_PTR)&one, sizeof one);
}

int linux_drain(int eventfd)
{
    ULONGLONG count;
    return (int)patient_call(SYS_read, eventfd, (ULONG_PTR)&count, sizeof count);
}

int linux_process(void)
{
    return (int)call(SYS_getpid, 0, 0, 0);
}

void linux_close(int descriptor)
{
    if (descriptor >= 0)
        call(SYS_close, descriptor, 0, 0);
}

/* Writes a line to the log. Wine's own debug output is off, because it is slow and unrelated. */
void say(const char *format, ...)
{
    char line[512];
    va_list arguments;
    if (!settings.log[0])
        return;
    va_start(arguments, format);
    int length = _vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    if (length < 0 || length > (int)sizeof line - 2)
        length = sizeof line - 2;
    line[length] = '\n';
    int log = (int)call(SYS_open, (ULONG_PTR)settings.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0)
        return;
    call(SYS_write, log, (ULONG_PTR)line, length + 1);
    linux_close(log);
}
