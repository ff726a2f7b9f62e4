/* Many repetitions, after which nothing may be left. */
#include "contract.h"

static DWORD own_handles(void)
{
    DWORD count;
    check(GetProcessHandleCount(GetCurrentProcess(), &count));
    return count;
}

static void a_thousand_opens_leave_nothing(void)
{
    char paths[DEVICES][512], locations[DEVICES][128];
    wait_state(MAIN, "handles", 0);
    check(list_paths(paths, locations, DEVICES) > MAIN);
    DWORD before = own_handles();
    for (int i = 0; i < 1000; i++) {
        HANDLE device = open_path(paths[MAIN], GENERIC_READ | GENERIC_WRITE);
        map(device)[0] = (uint8_t)i;
        close_device(device);
        /* The driver must have received the close before the next open. */
        wait_state(MAIN, "handles", 0);
    }
    equal(state(MAIN, "mappings"), 0);
    equal(own_handles(), before);
}

static void ten_thousand_registrations_leave_nothing(void)
{
    HANDLE event = CreateEventA(NULL, TRUE, FALSE, NULL);
    wait_state(MAIN, "handles", 0);
    DWORD before = own_handles();
    HANDLE device = open_device(MAIN);
    map(device);
    for (int i = 0; i < 10000; i++) {
        equal(add_event(device, 0, event, true), OK);
        equal(ring(device, 0, 0), OK);
    }
    equal(state(MAIN, "events"), 0);
    close_device(device);
    wait_state(MAIN, "handles", 0);
    equal(own_handles(), before);
    CloseHandle(event);
}

const struct test count_tests[] = {
    { "a_thousand_opens_leave_nothing", a_thousand_opens_leave_nothing },
    { "ten_thousand_registrations_leave_nothing", ten_thousand_registrations_leave_nothing },
    { NULL, NULL },
};
