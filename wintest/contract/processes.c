/* Concurrent programs, and programs that end without closing. */
#include "contract.h"
#include <stdio.h>

struct child start_child(const char *role)
{
    char line[600];
    struct child child;
    STARTUPINFOA start = { .cb = sizeof start, .dwFlags = STARTF_USESTDHANDLES };
    SECURITY_ATTRIBUTES inherited = { sizeof inherited, NULL, TRUE };
    PROCESS_INFORMATION process;
    check(CreatePipe(&child.out, &start.hStdOutput, &inherited, 0));
    check(CreatePipe(&start.hStdInput, &child.in, &inherited, 0));
    start.hStdError = start.hStdOutput;
    SetHandleInformation(child.out, HANDLE_FLAG_INHERIT, 0);
    SetHandleInformation(child.in, HANDLE_FLAG_INHERIT, 0);
    snprintf(line, sizeof line, "\"%s\" --role %s %d", own_path, role, driver_bits);
    check(CreateProcessA(NULL, line, NULL, NULL, TRUE, 0, NULL, NULL, &start, &process));
    CloseHandle(process.hThread);
    CloseHandle(start.hStdOutput);
    CloseHandle(start.hStdInput);
    child.process = process.hProcess;
    return child;
}

/* Lines of a child end with \n alone, because its output is binary. */
void expect_line(struct child *child, const char *line)
{
    char have[200];
    DWORD length = 0, one = 1;
    while (length < sizeof have - 1 && ReadFile(child->out, have + length, 1, &one, NULL) && one && have[length] != '\n')
        length++;
    have[length] = 0;
    if (strcmp(have, line))
        printf("the child said '%s', not '%s'\n", have, line);
    check(!strcmp(have, line));
}

void tell_child(struct child *child)
{
    DWORD length;
    check(WriteFile(child->in, "\n", 1, &length, NULL));
}

DWORD end_child(struct child *child)
{
    DWORD code = 99;
    equal(WaitForSingleObject(child->process, LIMIT), WAIT_OBJECT_0);
    check(GetExitCodeProcess(child->process, &code));
    CloseHandle(child->process);
    CloseHandle(child->in);
    CloseHandle(child->out);
    return code;
}

static void say(const char *line)
{
    DWORD length;
    WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), line, strlen(line), &length, NULL);
}

static void wait_until_told(void)
{
    char byte;
    DWORD length;
    ReadFile(GetStdHandle(STD_INPUT_HANDLE), &byte, 1, &length, NULL);
}

/* The child's code. Each role prints a line at each step and waits for input. */
int run_role(const char *role)
{
    uint8_t reply[32];
    HANDLE device = open_device(MAIN);
    if (!strcmp(role, "second")) {
        say(try_map(device, 1, reply) == ATTACHED ? "in use\n" : "not in use\n");
        wait_until_told();
        say(try_map(device, 1, reply) == OK ? "mapped\n" : "not mapped\n");
    } else if (!strcmp(role, "holder")) {
        HANDLE event = CreateEventA(NULL, TRUE, FALSE, NULL);
        volatile uint8_t *bytes = map(device);
        equal(add_event(device, 0, event, false), OK);
        bytes[77] = 77;
        say("mapped\n");
        /* Waits until it is killed. */
        wait_until_told();
    } else {
        return 2;
    }
    return 0;
}

static void a_second_process_is_told_that_the_device_is_in_use(void)
{
    wait_state(MAIN, "handles", 0);
    HANDLE device = open_device(MAIN);
    map(device);
    struct child child = start_child("second");
    expect_line(&child, mapping_per_handle ? "not in use" : "in use");
    if (mapping_per_handle) {
        close_device(device);
        tell_child(&child);
        expect_line(&child, "not mapped");
    } else {
        close_device(device);
        wait_state(MAIN, "mappings", 0);
        tell_child(&child);
        expect_line(&child, "mapped");
    }
    equal(end_child(&child), 0);
    wait_state(MAIN, "handles", 0);
}

static void a_killed_program_leaves_nothing(void)
{
    for (int i = 0; i < 5; i++) {
        struct child child = start_child("holder");
        expect_line(&child, "mapped");
        equal(state(MAIN, "events"), 1);
        check(TerminateProcess(child.process, 7));
        equal(end_child(&child), 7);
        wait_state(MAIN, "handles", 0);
        equal(state(MAIN, "mappings"), 0);
        equal(state(MAIN, "events"), 0);
        /* Its data is available to the next program. */
        HANDLE device = open_device(MAIN);
        volatile uint8_t *bytes = map(device);
        equal(bytes[77], 77);
        bytes[77] = 0;
        command("interrupt %d 0", MAIN);
        close_device(device);
        wait_state(MAIN, "handles", 0);
    }
}

const struct test process_tests[] = {
    { "a_second_process_is_told_that_the_device_is_in_use", a_second_process_is_told_that_the_device_is_in_use },
    { "a_killed_program_leaves_nothing", a_killed_program_leaves_nothing },
    { NULL, NULL },
};
