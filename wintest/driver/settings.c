/* Settings that scripts/wine has written to the registry: see the structures in double.h. Missing values have defaults. */
#include "double.h"
#include <stdio.h>

static NTSTATUS open_key(UNICODE_STRING *service, const WCHAR *below, HANDLE *key)
{
    WCHAR buffer[512];
    UNICODE_STRING name = { 0, sizeof buffer, buffer };
    OBJECT_ATTRIBUTES attributes;
    RtlCopyUnicodeString(&name, service);
    RtlAppendUnicodeToString(&name, below);
    InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwOpenKey(key, KEY_READ, &attributes);
}

/* Reads at most `room` bytes of a value and returns their number. */
static ULONG value(HANDLE key, const WCHAR *name, void *out, ULONG room)
{
    char buffer[1024];
    KEY_VALUE_PARTIAL_INFORMATION *information = (void *)buffer;
    UNICODE_STRING string;
    ULONG length;
    RtlInitUnicodeString(&string, name);
    if (ZwQueryValueKey(key, &string, KeyValuePartialInformation, buffer, sizeof buffer, &length))
        return 0;
    length = information->DataLength < room ? information->DataLength : room;
    memcpy(out, information->Data, length);
    return length;
}

static ULONG number(HANDLE key, const WCHAR *name, ULONG otherwise)
{
    ULONG result;
    return value(key, name, &result, sizeof result) == sizeof result ? result : otherwise;
}

static void text(HANDLE key, const WCHAR *name, char *out, ULONG room)
{
    WCHAR wide[260];
    ULONG length = 0;
    RtlUnicodeToUTF8N(out, room - 1, &length, wide, value(key, name, wide, sizeof wide));
    out[length] = 0;
}

NTSTATUS read_settings(UNICODE_STRING *service)
{
    HANDLE key;
    NTSTATUS status = open_key(service, L"\\Parameters", &key);
    if (status)
        return status;
    settings.bits = number(key, L"Bits", 64);
    settings.mapping_per_handle = number(key, L"MappingPerHandle", 0) != 0;
    text(key, L"Log", settings.log, sizeof settings.log);
    ZwClose(key);
    return STATUS_SUCCESS;
}

NTSTATUS read_device_settings(UNICODE_STRING *service, ULONG index, struct device_settings *out)
{
    WCHAR below[32];
    HANDLE key;
    _snwprintf(below, 32, L"\\Parameters\\%u", index);
    NTSTATUS status = open_key(service, below, &key);
    if (status)
        return status;
    memset(out, 0, sizeof *out);
    value(key, L"File", out->file, sizeof out->file - sizeof(WCHAR));
    text(key, L"Socket", out->socket, sizeof out->socket);
    out->vectors = number(key, L"Vectors", 1);
    out->peer = number(key, L"Peer", 0);
    out->not_ready = number(key, L"NotReady", 0) != 0;
    ZwClose(key);
    return STATUS_SUCCESS;
}
