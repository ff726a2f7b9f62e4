/* The driver ends under its programs, by being stopped and by being killed. */
#include "contract.h"
#include <stdio.h>
#include <stdlib.h>

static void run_net(const char *verb)
{
    char line[64];
    STARTUPINFOA start = { .cb = sizeof start };
    PROCESS_INFORMATION process;
    DWORD code;
    snprintf(line, sizeof line, "net %s IvshmemDouble", verb);
    check(CreateProcessA(NULL, line, NULL, NULL, FALSE, 0, NULL, NULL, &start, &process));
    equal(WaitForSingleObject(process.hProcess, LIMIT), WAIT_OBJECT_0);
    check(GetExitCodeProcess(process.hProcess, &code));
    equal(code, 0);
    CloseHandle(process.hThread);
    CloseHandle(process.hProcess);
}

static void the_next_program_maps(void)
{
    HANDLE device = open_device(MAIN);
    map(device)[1] = 1;
    close_device(device);
    wait_state(MAIN, "handles", 0);
}

static void a_stopped_driver_gives_errors_and_starts_again(void)
{
    HANDLE device = open_device(MAIN);
    uint64_t size;
    char paths[DEVICES][512], locations[DEVICES][128];
    map(device);
    run_net("stop");
    DWORD error = ask(device, ASK_SIZE, NULL, 0, &size, 8);
    printf("asked of a stopped driver: error %lu\n", error);
    check(error != OK);
    check(ring(device, 0, 0) != OK);
    equal(list_paths(paths, locations, DEVICES), 0);
    CloseHandle(device);
    run_net("start");
    the_next_program_maps();
}

const struct test stop_tests[] = {
    { "a_stopped_driver_gives_errors_and_starts_again", a_stopped_driver_gives_errors_and_starts_again },
    { NULL, NULL },
};
