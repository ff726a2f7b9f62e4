/* Interrupts: which events fire, and which slots they take. */
#include "contract.h"

static HANDLE begin(void)
{
    wait_state(MAIN, "handles", 0);
    HANDLE device = open_device(MAIN);
    map(device);
    return device;
}

static void end(HANDLE device)
{
    close_device(device);
    wait_state(MAIN, "handles", 0);
    equal(state(MAIN, "events"), 0);
}

static HANDLE manual(void)
{
    HANDLE event = CreateEventA(NULL, TRUE, FALSE, NULL);
    check(event);
    return event;
}

static void an_event_fires_each_time_its_vector_is_rung(void)
{
    HANDLE device = begin(), one = CreateEventA(NULL, FALSE, FALSE, NULL), two = manual();
    equal(add_event(device, 1, one, false), OK);
    equal(add_event(device, 2, two, false), OK);
    for (int i = 0; i < 100; i++) {
        equal(ring(device, 0, 1), OK);
        check(fires(one));
    }
    check(quiet(two));
    equal(state(MAIN, "events"), 2);
    CloseHandle(one);
    CloseHandle(two);
    end(device);
}

static void a_single_shot_fires_once_and_gives_its_slot_back(void)
{
    HANDLE device = begin(), event = CreateEventA(NULL, FALSE, FALSE, NULL);
    equal(add_event(device, 1, event, true), OK);
    equal(state(MAIN, "events"), 1);
    equal(ring(device, 0, 1), OK);
    check(fires(event));
    equal(state(MAIN, "events"), 0);
    equal(ring(device, 0, 1), OK);
    check(quiet(event));
    CloseHandle(event);
    end(device);
}

static void one_vector_fires_all_of_its_events(void)
{
    HANDLE device = begin(), events[3];
    for (int i = 0; i < 3; i++)
        equal(add_event(device, 1, events[i] = manual(), i == 1), OK);
    equal(ring(device, 0, 1), OK);
    for (int i = 0; i < 3; i++) {
        check(fires(events[i]));
        CloseHandle(events[i]);
    }
    end(device);
}

static void vectors_are_matched_modulo_64(void)
{
    HANDLE device = begin(), event = manual();
    equal(add_event(device, 65, event, false), OK);
    equal(ring(device, 0, 2), OK);
    check(quiet(event));
    equal(ring(device, 0, 1), OK);
    check(fires(event));
    ResetEvent(event);
    equal(ring(device, 0, 65), OK);
    check(fires(event));
    CloseHandle(event);
    end(device);
}

static void registering_clears_the_event(void)
{
    HANDLE device = begin(), event = CreateEventA(NULL, TRUE, TRUE, NULL);
    equal(add_event(device, 0, event, false), OK);
    check(quiet(event));
    CloseHandle(event);
    end(device);
}

static void interrupts_that_nobody_awaits_are_lost(void)
{
    HANDLE device = begin(), event = manual();
    uint64_t lost = state(MAIN, "lost");
    equal(ring(device, 0, 3), OK);
    equal(state(MAIN, "lost"), lost + 1);
    equal(add_event(device, 3, event, false), OK);
    check(quiet(event));
    CloseHandle(event);
    end(device);
}

static void there_are_32_slots_until_the_handle_closes(void)
{
    HANDLE device = begin(), event = manual();
    uint8_t bytes[24] = { 0 };
    for (int i = 0; i < 32; i++)
        equal(add_event(device, (uint16_t)i, event, i == 31), OK);
    equal(add_event(device, 0, event, false), NO_RESOURCES);
    /* The driver checks slots before the handle, and sizes before slots. */
    equal(add_event(device, 0, NULL, false), NO_RESOURCES);
    equal(ask(device, EVENT, bytes, 5, NULL, 0), WRONG_SIZE);
    /* A fired single shot frees its slot; a repeating event does not. */
    equal(ring(device, 0, 30), OK);
    equal(add_event(device, 0, event, false), NO_RESOURCES);
    equal(ring(device, 0, 31), OK);
    equal(add_event(device, 0, event, false), OK);
    equal(add_event(device, 0, event, false), NO_RESOURCES);
    equal(ask(device, RELEASE, NULL, 0, NULL, 0), OK);
    equal(state(MAIN, "events"), 32);
    end(device);
    device = begin();
    equal(add_event(device, 0, event, false), OK);
    CloseHandle(event);
    end(device);
}

static void slots_belong_to_the_device(void)
{
    if (!mapping_per_handle)
        return;
    HANDLE first = begin(), second = open_device(MAIN), event = manual();
    map(second);
    for (int i = 0; i < 20; i++)
        equal(add_event(first, 0, event, false), OK);
    for (int i = 0; i < 12; i++)
        equal(add_event(second, 0, event, false), OK);
    equal(add_event(second, 0, event, false), NO_RESOURCES);
    close_device(first);
    wait_state(MAIN, "handles", 1);
    equal(state(MAIN, "events"), 12);
    equal(add_event(second, 0, event, false), OK);
    CloseHandle(event);
    end(second);
}

static void what_is_no_event_is_refused(void)
{
    HANDLE device = begin(), event = manual(), weak, mutex = CreateMutexA(NULL, FALSE, NULL);
    static const DWORD rights[] = { SYNCHRONIZE, EVENT_MODIFY_STATE, READ_CONTROL };
    equal(add_event(device, 0, NULL, false), INVALID_HANDLE);
    equal(add_event(device, 0, (HANDLE)0x7ffc, false), INVALID_HANDLE);
    equal(add_event(device, 0, INVALID_HANDLE_VALUE, false), INVALID_HANDLE);
    equal(add_event(device, 0, mutex, false), INVALID_HANDLE);
    for (int i = 0; i < 3; i++) {
        check(DuplicateHandle(GetCurrentProcess(), event, GetCurrentProcess(), &weak, rights[i], FALSE, 0));
        equal(add_event(device, 0, weak, false), INVALID_HANDLE);
        CloseHandle(weak);
    }
    check(DuplicateHandle(GetCurrentProcess(), event, GetCurrentProcess(), &weak, SYNCHRONIZE | EVENT_MODIFY_STATE, FALSE, 0));
    equal(add_event(device, 0, weak, false), OK);
    CloseHandle(weak);
    CloseHandle(mutex);
    CloseHandle(event);
    end(device);
}

static void an_event_outlives_the_handle_it_was_registered_by(void)
{
    HANDLE device = begin(), event = manual(), copy;
    check(DuplicateHandle(GetCurrentProcess(), event, GetCurrentProcess(), &copy, 0, FALSE, DUPLICATE_SAME_ACCESS));
    equal(add_event(device, 4, copy, false), OK);
    CloseHandle(copy);
    equal(ring(device, 0, 4), OK);
    check(fires(event));
    CloseHandle(event);
    end(device);
}

static void devices_ring_each_other(void)
{
    HANDLE device = begin(), neighbour = open_device(NEIGHBOUR), here = manual(), there = manual();
    map(neighbour);
    equal(add_event(device, 9, here, false), OK);
    equal(add_event(neighbour, 1, there, false), OK);
    equal(ring(device, NEIGHBOUR_PEER, 1), OK);
    check(fires(there));
    check(quiet(here));
    equal(ring(neighbour, 0, 9), OK);
    check(fires(here));
    /* Vectors and peers that do not exist. */
    ResetEvent(there);
    equal(ring(device, NEIGHBOUR_PEER, 65), OK);
    equal(ring(device, NEIGHBOUR_PEER + 1, 1), OK);
    check(quiet(there));
    close_device(neighbour);
    wait_state(NEIGHBOUR, "handles", 0);
    CloseHandle(here);
    CloseHandle(there);
    end(device);
}

const struct test event_tests[] = {
    { "an_event_fires_each_time_its_vector_is_rung", an_event_fires_each_time_its_vector_is_rung },
    { "a_single_shot_fires_once_and_gives_its_slot_back", a_single_shot_fires_once_and_gives_its_slot_back },
    { "one_vector_fires_all_of_its_events", one_vector_fires_all_of_its_events },
    { "vectors_are_matched_modulo_64", vectors_are_matched_modulo_64 },
    { "registering_clears_the_event", registering_clears_the_event },
    { "interrupts_that_nobody_awaits_are_lost", interrupts_that_nobody_awaits_are_lost },
    { "there_are_32_slots_until_the_handle_closes", there_are_32_slots_until_the_handle_closes },
    { "slots_belong_to_the_device", slots_belong_to_the_device },
    { "what_is_no_event_is_refused", what_is_no_event_is_refused },
    { "an_event_outlives_the_handle_it_was_registered_by", an_event_outlives_the_handle_it_was_registered_by },
    { "devices_ring_each_other", devices_ring_each_other },
    { NULL, NULL },
};
