/*
 * Tests of the contract of virtio-win's driver for ivshmem: every code, size, refusal and lifetime rule, tested with raw
 * bytes that do not depend on the double's structures. scripts/test-wine runs them with the double; the program also runs
 * on real Windows, except for tests that use the double's control device.
 */
#ifndef CONTRACT_H
#define CONTRACT_H

#include <stdbool.h>
#include <stdint.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#define LIMIT 20000 /* Milliseconds; against hanging only. */

enum { ASK_PEER = 0x222000, ASK_SIZE = 0x222004, MMAP = 0x222008, RELEASE = 0x22200c, RING = 0x222010, EVENT = 0x222014,
       KMAP = 0x222018 };
enum { OK = 0, INVALID_FUNCTION = 1, ACCESS_DENIED = 5, INVALID_HANDLE = 6, NOT_READY = 21, INVALID_PARAMETER = 87,
       ATTACHED = 548, IO_DEVICE = 1117, NO_RESOURCES = 1450, WRONG_SIZE = 1784 };

/* The devices that scripts/test-wine creates. Each test opens a device by its index in this list. */
enum { MAIN = 0, LARGE = 1, NEIGHBOUR = 2, UNREADY = 3, HUGE = 4, DEVICES = 5 };
#define MAIN_SIZE (1u << 20)
#define LARGE_SIZE (4u << 20)
#define MAIN_VECTORS 70
#define NEIGHBOUR_PEER 7

/* The configuration of the driver and of this program. */
extern int driver_bits;
extern bool mapping_per_handle;
extern const char *own_path;

/* main.c: a failed check ends the test and prints file and line. */
void fail(const char *file, int line, const char *what, uint64_t have, uint64_t want);
#define equal(have, want) \
    do { uint64_t have_ = (uint64_t)(have), want_ = (uint64_t)(want); \
         if (have_ != want_) fail(__FILE__, __LINE__, #have, have_, want_); } while (0)
#define check(condition) equal(!!(condition), true)

/* device.c */
int list_paths(char paths[][512], char locations[][128], int most);
HANDLE open_path(const char *path, DWORD access);
HANDLE open_device(int index);
void close_device(HANDLE device);
void close_devices(void);
DWORD ask(HANDLE device, DWORD code, const void *in, DWORD in_size, void *out, DWORD out_size); /* OK or the error */
DWORD try_map(HANDLE device, uint8_t cache_mode, uint8_t reply[32]);
volatile uint8_t *map(HANDLE device);
DWORD ring(HANDLE device, uint16_t peer, uint16_t vector);
DWORD add_event(HANDLE device, uint16_t vector, HANDLE event, bool single_shot);
DWORD map_size(void);
DWORD event_size(void);
bool fires(HANDLE event);
bool quiet(HANDLE event);

/* double.c: the control device of the double. */
void command(const char *format, ...);
uint64_t state(int device, const char *name);
void wait_state(int device, const char *name, uint64_t value);

/* process.c */
struct child { HANDLE process, in, out; };
struct child start_child(const char *role);
void expect_line(struct child *child, const char *line);
void tell_child(struct child *child);
DWORD end_child(struct child *child);
int run_role(const char *role);

/* The tests; each file lists its own. */
struct test { const char *name; void (*run)(void); };
extern const struct test listing_tests[], request_tests[], mapping_tests[], event_tests[], process_tests[], stop_tests[],
    count_tests[], linux_tests[];

#endif
