/* contract.exe [--bits 32] [--mapping-per-handle] GROUP...: runs groups of tests and prints results like cargo's tests. */
#include "contract.h"
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

int driver_bits = 64;
bool mapping_per_handle;
const char *own_path;

static jmp_buf end_of_test;
static const struct { const char *name; const struct test *tests; } groups[] = {
    { "listing", listing_tests }, { "requests", request_tests }, { "mappings", mapping_tests }, { "events", event_tests },
    { "processes", process_tests }, { "stops", stop_tests }, { "counts", count_tests },
    { "linux", linux_tests },
};

void fail(const char *file, int line, const char *what, uint64_t have, uint64_t want)
{
    printf("%s:%d: %s is %lld, not %lld\n", file, line, what, (long long)have, (long long)want);
    longjmp(end_of_test, 1);
}

static bool passes(const struct test *test)
{
    if (setjmp(end_of_test)) {
        close_devices();
        return false;
    }
    test->run();
    return true;
}

int main(int count, char **arguments)
{
    int passed = 0, failed = 0;
    own_path = arguments[0];
    setvbuf(stdout, NULL, _IONBF, 0);
    if (count == 4 && !strcmp(arguments[1], "--role")) {
        driver_bits = atoi(arguments[3]);
        if (setjmp(end_of_test))
            return 1;
        return run_role(arguments[2]);
    }
    for (int i = 1; i < count; i++) {
        const struct test *test = NULL;
        if (!strcmp(arguments[i], "--bits") && i + 1 < count)
            driver_bits = atoi(arguments[++i]);
        else if (!strcmp(arguments[i], "--mapping-per-handle"))
            mapping_per_handle = true;
        for (size_t group = 0; group < sizeof groups / sizeof *groups; group++)
            if (!strcmp(arguments[i], groups[group].name))
                test = groups[group].tests;
        for (; test && test->name; test++) {
            bool good = passes(test);
            printf("test %s_bit_%s ... %s\n", sizeof(void *) == 4 ? "32" : "64", test->name, good ? "ok" : "FAILED");
            good ? passed++ : failed++;
        }
    }
    printf("test result: %s. %d passed; %d failed; 0 ignored\n", failed || !passed ? "FAILED" : "ok", passed, failed);
    return failed || !passed;
}
