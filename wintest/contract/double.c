/* The double's control device: \\.\IvshmemDouble is a text file to read and to write, see wintest/driver/control.c. */
#include "contract.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static HANDLE open_control(DWORD access)
{
    return open_path("\\\\.\\IvshmemDouble", access);
}

void command(const char *format, ...)
{
    char text[64];
    DWORD length;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    HANDLE control = open_control(GENERIC_WRITE);
    check(WriteFile(control, text, strlen(text), &length, NULL));
    check(CloseHandle(control));
}

/* The number after "name=" in the line of a device, or in the double's line for -1. */
uint64_t state(int device, const char *name)
{
    char text[4096], line[32], field[40];
    DWORD length;
    HANDLE control = open_control(GENERIC_READ);
    check(ReadFile(control, text, sizeof text - 1, &length, NULL));
    check(CloseHandle(control));
    text[length] = 0;
    snprintf(line, sizeof line, device < 0 ? "double " : "device=%d ", device);
    snprintf(field, sizeof field, " %s=", name);
    char *at = strstr(text, line);
    check(at);
    *strchr(at, '\n') = 0;
    at = strstr(at, field);
    check(at);
    return strtoull(at + strlen(field), NULL, 10);
}

/* The driver receives a handle's close some time later, so wait for the effect, never for a fixed time. */
void wait_state(int device, const char *name, uint64_t value)
{
    for (ULONGLONG until = GetTickCount64() + LIMIT; state(device, name) != value && GetTickCount64() < until; Sleep(1))
        ;
    equal(state(device, name), value);
}
