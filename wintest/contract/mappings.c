/* Lifetime and owners of mappings. */
#include "contract.h"

static void a_second_mapping_of_the_same_handle_is_refused(void)
{
    wait_state(MAIN, "handles", 0);
    HANDLE device = open_device(MAIN);
    uint8_t reply[32];
    map(device);
    equal(try_map(device, 1, reply), ATTACHED);
    equal(ask(device, RELEASE, NULL, 0, NULL, 0), OK);
    map(device);
    close_device(device);
    wait_state(MAIN, "mappings", 0);
}

static void a_second_handle_opens_and_maps_as_the_build_has_it(void)
{
    wait_state(MAIN, "handles", 0);
    HANDLE first = open_device(MAIN), second = open_device(MAIN);
    uint8_t reply[32];
    volatile uint8_t *one = map(first);
    if (mapping_per_handle) {
        volatile uint8_t *other = map(second);
        check(one != other);
        one[5] = 55;
        equal(other[5], 55);
    } else {
        equal(try_map(second, 1, reply), ATTACHED);
        /* Requests that need no mapping succeed nevertheless. */
        equal(ask(second, ASK_PEER, NULL, 0, reply, 2), OK);
    }
    close_device(first);
    close_device(second);
    wait_state(MAIN, "handles", 0);
}

static void releasing_without_a_mapping_is_refused(void)
{
    wait_state(MAIN, "handles", 0);
    HANDLE first = open_device(MAIN), second = open_device(MAIN);
    equal(ask(first, RELEASE, NULL, 0, NULL, 0), INVALID_FUNCTION);
    map(first);
    equal(ask(second, RELEASE, NULL, 0, NULL, 0), mapping_per_handle ? INVALID_FUNCTION : INVALID_HANDLE);
    equal(state(MAIN, "mappings"), 1);
    equal(ask(first, RELEASE, NULL, 0, NULL, 0), OK);
    equal(ask(first, RELEASE, NULL, 0, NULL, 0), INVALID_FUNCTION);
    close_device(first);
    close_device(second);
    wait_state(MAIN, "handles", 0);
}

static void releasing_unmaps(void)
{
    wait_state(MAIN, "handles", 0);
    HANDLE device = open_device(MAIN);
    MEMORY_BASIC_INFORMATION memory;
    volatile uint8_t *bytes = map(device);
    check(VirtualQuery((void *)bytes, &memory, sizeof memory));
    equal(memory.State, MEM_COMMIT);
    equal(memory.RegionSize, MAIN_SIZE);
    equal(ask(device, RELEASE, NULL, 0, NULL, 0), OK);
    check(VirtualQuery((void *)bytes, &memory, sizeof memory));
    equal(memory.State, MEM_FREE);
    close_device(device);
    wait_state(MAIN, "handles", 0);
}

static void closing_unmaps_and_frees_the_device(void)
{
    wait_state(MAIN, "handles", 0);
    HANDLE device = open_device(MAIN), copy;
    MEMORY_BASIC_INFORMATION memory;
    volatile uint8_t *bytes = map(device);
    check(DuplicateHandle(GetCurrentProcess(), device, GetCurrentProcess(), &copy, 0, FALSE, DUPLICATE_SAME_ACCESS));
    close_device(device);
    /* Not the last handle: everything stays. */
    bytes[0] = 1;
    equal(ring(copy, 0, 0), OK);
    close_device(copy);
    wait_state(MAIN, "handles", 0);
    check(VirtualQuery((void *)bytes, &memory, sizeof memory));
    equal(memory.State, MEM_FREE);
    device = open_device(MAIN);
    map(device);
    close_device(device);
    wait_state(MAIN, "handles", 0);
}

static void four_gib_fail_when_mapped(void)
{
    HANDLE device = open_device(HUGE);
    uint8_t reply[32];
    uint64_t size;
    equal(ask(device, ASK_SIZE, NULL, 0, &size, 8), OK);
    equal(size, 4ull << 30);
    equal(try_map(device, 1, reply), IO_DEVICE);
    equal(try_map(device, 9, reply), INVALID_PARAMETER);
    equal(ring(device, 0, 0), INVALID_HANDLE);
    close_device(device);
    wait_state(HUGE, "handles", 0);
}

static void a_device_without_vectors_maps(void)
{
    HANDLE device = open_device(LARGE);
    uint8_t reply[32];
    uint16_t vectors;
    equal(try_map(device, 1, reply), OK);
    memcpy(&vectors, reply + (map_size() == 24 ? 20 : 24), 2);
    equal(vectors, 0);
    equal(ring(device, 0, 0), OK);
    close_device(device);
    wait_state(LARGE, "handles", 0);
}

const struct test mapping_tests[] = {
    { "a_second_mapping_of_the_same_handle_is_refused", a_second_mapping_of_the_same_handle_is_refused },
    { "a_second_handle_opens_and_maps_as_the_build_has_it", a_second_handle_opens_and_maps_as_the_build_has_it },
    { "releasing_without_a_mapping_is_refused", releasing_without_a_mapping_is_refused },
    { "releasing_unmaps", releasing_unmaps },
    { "closing_unmaps_and_frees_the_device", closing_unmaps_and_frees_the_device },
    { "four_gib_fail_when_mapped", four_gib_fail_when_mapped },
    { "a_device_without_vectors_maps", a_device_without_vectors_maps },
    { NULL, NULL },
};
