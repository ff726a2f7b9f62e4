/* Memory of the host, mapped into the calling process. */
#include "double.h"
#include <stdio.h>

/* Opens a whole file as a section; its size, like that of a PCI memory, is a power of two. */
static NTSTATUS open_section(struct device *device, const WCHAR *path)
{
    WCHAR name[320];
    UNICODE_STRING string;
    OBJECT_ATTRIBUTES attributes;
    IO_STATUS_BLOCK io;
    FILE_STANDARD_INFORMATION information;
    HANDLE file;
    NTSTATUS status;

    _snwprintf(name, 320, L"\\??\\unix%s", path);
    for (WCHAR *at = name; *at; at++)
        if (*at == '/')
            *at = '\\';
    RtlInitUnicodeString(&string, name);
    InitializeObjectAttributes(&attributes, &string, OBJ_KERNEL_HANDLE, NULL, NULL);
    status = ZwCreateFile(&file, GENERIC_READ | GENERIC_WRITE | SYNCHRONIZE, &attributes, &io, NULL, 0,
                          FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, FILE_OPEN,
                          FILE_NON_DIRECTORY_FILE | FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0);
    if (status) {
        say("device %lu: cannot open %S: %08lx", device->index, path, status);
        return status;
    }
    status = ZwQueryInformationFile(file, &io, &information, sizeof information, FileStandardInformation);
    if (!status) {
        device->size = (ULONGLONG)information.EndOfFile.QuadPart;
        if (device->size < PAGE_SIZE || (device->size & (device->size - 1))) {
            say("device %lu: %S has %llu bytes, which is no power of two from 4096 on", device->index, path, device->size);
            status = STATUS_INVALID_PARAMETER;
        }
    }
    if (!status)
        status = ZwCreateSection(&device->section, SECTION_ALL_ACCESS, NULL, NULL, PAGE_READWRITE, SEC_COMMIT, file);
    ZwClose(file);
    return status;
}

NTSTATUS open_file(struct device *device)
{
    return open_section(device, device->settings.file);
}

/* A memfd has no other name than this one. */
NTSTATUS open_descriptor(struct device *device, int descriptor)
{
    WCHAR path[64];
    _snwprintf(path, 64, L"/proc/%d/fd/%d", linux_process(), descriptor);
    return open_section(device, path);
}

/* The process that sent the present request. */
HANDLE open_caller(void)
{
    CLIENT_ID id = { PsGetCurrentProcessId(), NULL };
    OBJECT_ATTRIBUTES attributes;
    HANDLE process;
    InitializeObjectAttributes(&attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwOpenProcess(&process, PROCESS_ALL_ACCESS, &attributes, &id) ? NULL : process;
}

NTSTATUS map(struct client *client, BOOLEAN below_2_gib)
{
    struct device *device = client->device;
    LARGE_INTEGER offset = { 0 };
    SIZE_T size = 0;
    void *address = NULL;
    HANDLE process;

    if (device->size >= ONE_MAPPING_LIMIT || !(process = open_caller()))
        return STATUS_IO_DEVICE_ERROR;
    NTSTATUS status = ZwMapViewOfSection(device->section, process, &address, below_2_gib ? 0x7fffffff : 0, 0, &offset, &size,
                                         ViewUnmap, 0, PAGE_READWRITE);
    if (status) {
        say("device %lu: cannot map %llu bytes: %08lx", device->index, device->size, status);
        ZwClose(process);
        return STATUS_IO_DEVICE_ERROR;
    }
    client->process = process;
    client->address = address;
    return STATUS_SUCCESS;
}

void unmap(struct client *client)
{
    if (!client->address)
        return;
    /* The process may have ended, together with its mappings. */
    ZwUnmapViewOfSection(client->process, client->address);
    ZwClose(client->process);
    client->address = NULL;
    client->process = NULL;
}
