/* The driver ends while programs use it, because it is stopped or killed. */
#include "contract.h"
#include <stdio.h>

#define SERVICE "IvshmemDouble"

static DWORD service_state(SC_HANDLE service)
{
    SERVICE_STATUS status;
    check(QueryServiceStatus(service, &status));
    return status.dwCurrentState;
}

static void wait_service(SC_HANDLE service, DWORD wanted)
{
    for (ULONGLONG until = GetTickCount64() + LIMIT; service_state(service) != wanted && GetTickCount64() < until; Sleep(1))
        ;
    equal(service_state(service), wanted);
}

static SC_HANDLE open_service(void)
{
    SC_HANDLE manager = OpenSCManagerA(NULL, NULL, SC_MANAGER_CONNECT);
    check(manager);
    SC_HANDLE service = OpenServiceA(manager, SERVICE, SERVICE_ALL_ACCESS);
    check(service);
    CloseServiceHandle(manager);
    return service;
}

static void stop(void)
{
    SERVICE_STATUS status;
    SC_HANDLE service = open_service();
    check(ControlService(service, SERVICE_CONTROL_STOP, &status));
    wait_service(service, SERVICE_STOPPED);
    CloseServiceHandle(service);
}

static void start(void)
{
    SC_HANDLE service = open_service();
    for (ULONGLONG until = GetTickCount64() + LIMIT; !StartServiceA(service, 0, NULL) && GetTickCount64() < until; Sleep(10))
        ;
    wait_service(service, SERVICE_RUNNING);
    CloseServiceHandle(service);
}

/* Kills the process that the driver runs in. */
static void kill_driver(void)
{
    HANDLE process = OpenProcess(PROCESS_TERMINATE | SYNCHRONIZE, FALSE, (DWORD)state(-1, "windows-process"));
    check(process);
    check(TerminateProcess(process, 9));
    equal(WaitForSingleObject(process, LIMIT), WAIT_OBJECT_0);
    CloseHandle(process);
}

/* Checks what a program with an open device gets: errors for every request, and memory that stays mapped. */
static void everything_fails(HANDLE device, volatile uint8_t *bytes, HANDLE event, const char *when)
{
    char paths[DEVICES][512], locations[DEVICES][128];
    uint8_t reply[32];
    uint64_t size = 0;
    DWORD error = ask(device, ASK_SIZE, NULL, 0, &size, 8);
    printf("of a driver that was %s, requests end with error %lu\n", when, error);
    check(error != OK);
    check(ask(device, ASK_PEER, NULL, 0, reply, 2) != OK);
    check(try_map(device, 1, reply) != OK);
    check(ask(device, RELEASE, NULL, 0, NULL, 0) != OK);
    check(ring(device, 0, 0) != OK);
    check(add_event(device, 0, event, false) != OK);
    equal(bytes[1], 11);
    for (int i = list_paths(paths, locations, DEVICES) - 1; i >= 0; i--)
        check(CreateFileA(paths[i], GENERIC_READ, 0, NULL, OPEN_EXISTING, 0, NULL) == INVALID_HANDLE_VALUE);
}

static void the_next_program_maps(void)
{
    HANDLE device = open_device(MAIN), event = CreateEventA(NULL, FALSE, FALSE, NULL);
    volatile uint8_t *bytes = map(device);
    equal(bytes[1], 11);
    equal(add_event(device, 0, event, false), OK);
    equal(ring(device, 0, 0), OK);
    check(fires(event));
    CloseHandle(event);
    close_device(device);
    wait_state(MAIN, "handles", 0);
}

static void the_driver_ends(void (*how)(void), const char *when)
{
    HANDLE device = open_device(MAIN), event = CreateEventA(NULL, FALSE, FALSE, NULL);
    volatile uint8_t *bytes = map(device);
    bytes[1] = 11;
    equal(add_event(device, 0, event, false), OK);
    how();
    everything_fails(device, bytes, event, when);
    close_device(device);
    CloseHandle(event);
    start();
    the_next_program_maps();
}

static void a_stopped_driver_gives_errors_and_starts_again(void)
{
    the_driver_ends(stop, "stopped");
}

static void a_killed_driver_gives_errors_and_starts_again(void)
{
    the_driver_ends(kill_driver, "killed");
}

const struct test stop_tests[] = {
    { "a_stopped_driver_gives_errors_and_starts_again", a_stopped_driver_gives_errors_and_starts_again },
    { "a_killed_driver_gives_errors_and_starts_again", a_killed_driver_gives_errors_and_starts_again },
    { NULL, NULL },
};
