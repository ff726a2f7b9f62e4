/* Codes, sizes, refusals and the order of checks. */
#include "contract.h"

/* Every test begins and ends with a device without open handles. */
static HANDLE begin(void)
{
    wait_state(MAIN, "handles", 0);
    return open_device(MAIN);
}

static void end(HANDLE device)
{
    close_device(device);
    wait_state(MAIN, "handles", 0);
    equal(state(MAIN, "mappings"), 0);
    equal(state(MAIN, "events"), 0);
}

static void the_own_peer_id_and_the_size_need_no_mapping(void)
{
    HANDLE device = begin(), neighbour = open_device(NEIGHBOUR);
    uint16_t peer = 99;
    uint64_t size = 0;
    equal(ask(device, ASK_PEER, NULL, 0, &peer, 2), OK);
    equal(peer, 0);
    equal(ask(neighbour, ASK_PEER, NULL, 0, &peer, 2), OK);
    equal(peer, NEIGHBOUR_PEER);
    equal(ask(device, ASK_SIZE, NULL, 0, &size, 8), OK);
    equal(size, MAIN_SIZE);
    close_device(neighbour);
    end(device);
}

static void a_reply_of_another_size_is_refused(void)
{
    HANDLE device = begin();
    uint8_t bytes[64], mode = 1;
    for (DWORD size = 0; size <= 40; size++) {
        equal(ask(device, ASK_PEER, NULL, 0, bytes, size), size == 2 ? OK : WRONG_SIZE);
        equal(ask(device, ASK_SIZE, NULL, 0, bytes, size), size == 8 ? OK : WRONG_SIZE);
        if (size != map_size())
            equal(ask(device, MMAP, &mode, 1, bytes, size), WRONG_SIZE);
    }
    equal(state(MAIN, "mappings"), 0);
    end(device);
}

static void the_map_struct_has_its_fields_where_the_contract_says(void)
{
    HANDLE device = begin(), neighbour = open_device(NEIGHBOUR);
    uint8_t reply[32];
    uint16_t peer, vectors;
    uint64_t size, address = 0;
    bool narrow = map_size() == 24;
    /* The same memory: each device reads what the other one wrote. */
    volatile uint8_t *other = map(neighbour);
    equal(try_map(device, 2, reply), OK);
    memcpy(&peer, reply, 2);
    memcpy(&size, reply + 8, 8);
    memcpy(&address, reply + 16, narrow ? 4 : 8);
    memcpy(&vectors, reply + (narrow ? 20 : 24), 2);
    equal(peer, 0);
    equal(size, MAIN_SIZE);
    equal(vectors, MAIN_VECTORS);
    for (uint32_t at = 0; at < MAIN_SIZE; at += 4093) {
        ((volatile uint8_t *)(uintptr_t)address)[at] = (uint8_t)(at * 7);
        equal(other[at], (uint8_t)(at * 7));
    }
    equal(state(MAIN, "cache"), 2);
    close_device(neighbour);
    end(device);
}

static void every_cache_mode_maps_and_others_are_refused(void)
{
    HANDLE device = begin();
    uint8_t reply[32];
    for (int mode = 0; mode < 256; mode++) {
        equal(try_map(device, (uint8_t)mode, reply), mode <= 2 ? OK : INVALID_PARAMETER);
        if (mode > 2)
            continue;
        equal(state(MAIN, "cache"), mode);
        equal(ask(device, RELEASE, NULL, 0, NULL, 0), OK);
    }
    end(device);
}

static void mapping_is_checked_in_order(void)
{
    HANDLE device = begin();
    uint8_t reply[32], bad[2] = { 9, 9 };
    /* Each request is wrong in all later respects too. */
    equal(ask(device, MMAP, bad, 2, reply, 3), WRONG_SIZE);
    equal(ask(device, MMAP, bad, 0, reply, map_size()), WRONG_SIZE);
    equal(ask(device, MMAP, bad, 1, reply, 3), INVALID_PARAMETER);
    map(device);
    equal(ask(device, MMAP, bad, 2, reply, 3), ATTACHED);
    end(device);
}

static void ringing_and_events_need_the_own_mapping(void)
{
    HANDLE device = begin(), other = open_device(MAIN), event = CreateEventA(NULL, TRUE, FALSE, NULL);
    uint8_t bytes[24] = { 0 };
    equal(ring(device, 0, 0), INVALID_HANDLE);
    equal(add_event(device, 0, event, false), INVALID_HANDLE);
    /* The driver checks the caller before the size. */
    equal(ask(device, RING, bytes, 3, NULL, 0), INVALID_HANDLE);
    equal(ask(device, EVENT, bytes, 3, NULL, 0), INVALID_HANDLE);
    map(other);
    equal(ring(device, 0, 0), INVALID_HANDLE);
    equal(add_event(device, 0, event, false), INVALID_HANDLE);
    equal(ring(other, 0, 0), OK);
    equal(add_event(other, 0, event, false), OK);
    equal(ask(other, RELEASE, NULL, 0, NULL, 0), OK);
    equal(ring(other, 0, 0), INVALID_HANDLE);
    equal(add_event(other, 0, event, false), INVALID_HANDLE);
    close_device(other);
    CloseHandle(event);
    end(device);
}

static void requests_of_another_size_are_refused(void)
{
    HANDLE device = begin();
    uint8_t bytes[64] = { 0 };
    map(device);
    for (DWORD size = 0; size <= 40; size++) {
        equal(ask(device, RING, bytes, size, NULL, 0), size == 4 ? OK : WRONG_SIZE);
        /* A request of the right size contains no event: handle 0. One for the other generation is refused before that. */
        equal(ask(device, EVENT, bytes, size, NULL, 0), size == event_size() ? INVALID_HANDLE : WRONG_SIZE);
    }
    equal(state(MAIN, "events"), 0);
    end(device);
}

static void nobody_checks_who_is_rung(void)
{
    HANDLE device = begin();
    map(device);
    equal(ring(device, 65535, 65535), OK);
    equal(ring(device, 0, MAIN_VECTORS), OK);
    end(device);
}

static void unknown_codes_are_refused(void)
{
    HANDLE device = begin();
    uint8_t bytes[32];
    static const DWORD codes[] = { 0x22201c, 0x222001, 0x22200b, 0x221ffc, 0, 0xffffffff };
    for (int i = 0; i < 6; i++)
        equal(ask(device, codes[i], bytes, 8, bytes, 8), INVALID_FUNCTION);
    check(ask(device, KMAP, bytes, 1, bytes, 32) != OK);
    end(device);
}

static void a_device_that_is_not_ready_says_so_to_every_code(void)
{
    HANDLE device = open_device(UNREADY);
    uint8_t bytes[64] = { 1 };
    for (DWORD code = ASK_PEER; code <= KMAP + 4; code += 4)
        equal(ask(device, code, bytes, 1, bytes, 32), NOT_READY);
    command("ready %d 1", UNREADY);
    map(device);
    command("ready %d 0", UNREADY);
    equal(ring(device, 0, 0), NOT_READY);
    equal(ask(device, RELEASE, NULL, 0, NULL, 0), NOT_READY);
    close_device(device);
    wait_state(UNREADY, "mappings", 0);
}

const struct test request_tests[] = {
    { "the_own_peer_id_and_the_size_need_no_mapping", the_own_peer_id_and_the_size_need_no_mapping },
    { "a_reply_of_another_size_is_refused", a_reply_of_another_size_is_refused },
    { "the_map_struct_has_its_fields_where_the_contract_says", the_map_struct_has_its_fields_where_the_contract_says },
    { "every_cache_mode_maps_and_others_are_refused", every_cache_mode_maps_and_others_are_refused },
    { "mapping_is_checked_in_order", mapping_is_checked_in_order },
    { "ringing_and_events_need_the_own_mapping", ringing_and_events_need_the_own_mapping },
    { "requests_of_another_size_are_refused", requests_of_another_size_are_refused },
    { "nobody_checks_who_is_rung", nobody_checks_who_is_rung },
    { "unknown_codes_are_refused", unknown_codes_are_refused },
    { "a_device_that_is_not_ready_says_so_to_every_code", a_device_that_is_not_ready_says_so_to_every_code },
    { NULL, NULL },
};
