/*
 * The other side of tests/linux.rs, a Linux program that uses the same server. Both take turns through a word in the
 * memory: the program whose turn it is checks the block that the other one filled, fills it again, passes the turn on and
 * rings the other one. The vector changes with each turn, so each vector is rung in both directions.
 */
#include "contract.h"
#include <stdio.h>

enum { TURN = 0, PEER_OF_LINUX = 8, TURNS = 16, BLOCK = 4096, BLOCK_SIZE = 4096 };

static uint8_t pattern(uint32_t turn, uint32_t at)
{
    return (uint8_t)(turn * 31 + at * 7 + (at >> 8));
}

static void take_turns_with_a_linux_program(void)
{
    uint8_t reply[32];
    uint16_t vectors, peer;
    uintptr_t address = 0;
    uint32_t turns;
    HANDLE device = open_device(MAIN), events[32];
    equal(try_map(device, 1, reply), OK);
    memcpy(&address, reply + 16, map_size() == 24 ? 4 : 8);
    memcpy(&vectors, reply + (map_size() == 24 ? 20 : 24), 2);
    check(vectors > 0 && vectors <= 32);
    for (uint16_t i = 0; i < vectors; i++) {
        events[i] = CreateEventA(NULL, FALSE, FALSE, NULL);
        equal(add_event(device, i, events[i], false), OK);
    }
    volatile uint8_t *memory = (volatile uint8_t *)address;
    LONG volatile *turn = (LONG volatile *)(memory + TURN);
    peer = *(volatile uint16_t *)(memory + PEER_OF_LINUX);
    turns = *(volatile uint32_t *)(memory + TURNS);
    /* Even turns are Linux's; 0 is the initial value. */
    equal(InterlockedCompareExchange(turn, 2, 0), 0);
    equal(ring(device, peer, (uint16_t)(2 % vectors)), OK);
    for (uint32_t mine = 3; mine < turns; mine += 2) {
        /* An interrupt is a hint, and only the word is reliable. No interrupt may be lost, so this waits for nothing
           else. */
        while ((uint32_t)InterlockedCompareExchange(turn, 0, 0) != mine)
            check(fires(events[mine % vectors]));
        for (uint32_t at = 0; at < BLOCK_SIZE; at++)
            if (memory[BLOCK + at] != pattern(mine - 1, at))
                equal(memory[BLOCK + at], pattern(mine - 1, at));
        for (uint32_t at = 0; at < BLOCK_SIZE; at++)
            memory[BLOCK + at] = pattern(mine, at);
        InterlockedExchange(turn, (LONG)mine + 1);
        equal(ring(device, peer, (uint16_t)((mine + 1) % vectors)), OK);
    }
    printf("%u turns\n", turns);
    close_device(device);
    wait_state(MAIN, "handles", 0);
}

const struct test linux_tests[] = {
    { "takes_turns_with_a_linux_program", take_turns_with_a_linux_program },
    { NULL, NULL },
};
