/* What a program can find out before it opens a device. */
#include "contract.h"
#include <stdio.h>

static void every_device_is_listed_with_its_pci_identity(void)
{
    char paths[DEVICES + 1][512], locations[DEVICES + 1][128], want[128];
    equal(list_paths(paths, locations, DEVICES + 1), DEVICES);
    for (int i = 0; i < DEVICES; i++) {
        equal(strncmp(paths[i], "\\\\?\\pci#ven_1af4&dev_1110&", 26), 0);
        check(strstr(paths[i], "#{df576976-569d-4672-95a0-f57e4ea0b210}"));
        snprintf(want, sizeof want, "PCI bus 0, device %d, function 0", 5 + i);
        equal(strcmp(locations[i], want), 0);
    }
}

static void a_device_that_went_away_is_not_listed(void)
{
    char paths[DEVICES + 1][512], locations[DEVICES + 1][128];
    command("offer %d 0", LARGE);
    equal(list_paths(paths, locations, DEVICES + 1), DEVICES - 1);
    command("offer %d 1", LARGE);
    equal(list_paths(paths, locations, DEVICES + 1), DEVICES);
}

static void two_devices_of_different_size_are_open_at_once(void)
{
    HANDLE small = open_device(MAIN), large = open_device(LARGE);
    uint64_t size;
    equal(ask(small, ASK_SIZE, NULL, 0, &size, 8), OK);
    equal(size, MAIN_SIZE);
    equal(ask(large, ASK_SIZE, NULL, 0, &size, 8), OK);
    equal(size, LARGE_SIZE);
    volatile uint8_t *first = map(small), *second = map(large);
    first[MAIN_SIZE - 1] = 1;
    second[LARGE_SIZE - 1] = 2;
    second[MAIN_SIZE - 1] = 3;
    equal(first[MAIN_SIZE - 1], 1);
    close_device(small);
    close_device(large);
    wait_state(MAIN, "handles", 0);
    wait_state(LARGE, "handles", 0);
}

const struct test listing_tests[] = {
    { "every_device_is_listed_with_its_pci_identity", every_device_is_listed_with_its_pci_identity },
    { "a_device_that_went_away_is_not_listed", a_device_that_went_away_is_not_listed },
    { "two_devices_of_different_size_are_open_at_once", two_devices_of_different_size_are_open_at_once },
    { NULL, NULL },
};
