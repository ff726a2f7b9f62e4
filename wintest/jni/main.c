// Calls the native library of the Java library as a JVM does, in 64-bit and 32-bit programs: there is no 32-bit JVM for
// Windows among the packages that the tests may fetch. Prints a line for each passed check, and its errors.
//   jni32.exe LIBRARY TARGET
#include "jvm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

static void check(int right, const char *what)
{
    if (!right) {
        printf("FAILED: %s; the exception is %s\n", what, thrown() ? thrown() : "none");
        exit(1);
    }
    printf("%s\n", what);
}

// A native method by its name and its descriptor, which distinguishes overloads; it must match Java's declaration.
#define CALL(result, name, descriptor, ...) \
    ((result(JNICALL *)(JNIEnv *, jclass, ##__VA_ARGS__))method(name, descriptor))

static DWORD WINAPI ring_later(void *device)
{
    Sleep(200);
    CALL(void, "deviceRing", "(JII)V", jlong, jint, jint)(jni, NULL, *(jlong *)device, 7, 1);
    return 0;
}

static void rings(jlong device)
{
    check(CALL(jint, "deviceOwnId", "(J)I", jlong)(jni, NULL, device) == 7, "its id is the driver's");
    check(CALL(jint, "deviceVectors", "(J)I", jlong)(jni, NULL, device) == 2, "its vectors are counted");
    check(!CALL(jboolean, "deviceKnowsPeers", "(J)Z", jlong)(jni, NULL, device), "its peers are not known");
    CALL(void, "devicePeers", "(J)[I", jlong)(jni, NULL, device);
    check(throws("Unsupported"), "asking for them is unsupported");
    // The waiting thread must be the one that the library considers a thread of the JVM.
    HANDLE thread = CreateThread(NULL, 0, ring_later, &device, 0, NULL);
    check(CALL(jlong, "deviceWait", "(JIJJZJ)J", jlong, jint, jlong, jlong, jboolean, jlong)(
              jni, NULL, device, 1, 0, 0, JNI_TRUE, -1) == 1,
          "an interrupt ends a wait");
    check(CALL(jlong, "deviceReceived", "(JI)J", jlong, jint)(jni, NULL, device, 1) == 1, "the interrupt is received");
    CALL(void, "deviceCancel", "(JI)V", jlong, jint)(jni, NULL, device, 1);
    check(CALL(jlong, "deviceWait", "(JIJJZJ)J", jlong, jint, jlong, jlong, jboolean, jlong)(
              jni, NULL, device, 1, 1, 0, JNI_TRUE, -1) == -2,
          "a cancellation ends a wait");
    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
    CALL(void, "deviceRing", "(JII)V", jlong, jint, jint)(jni, NULL, device, 70000, 0);
    check(throws("UnknownPeer"), "a peer that cannot be is unknown");
}

static void accesses(jlong memory, volatile char *bytes, jlong size)
{
    memset((char *)bytes, 0, 512);
    bytes[64] = 5;
    check(CALL(jbyte, "getAndAdd", "(JJB)B", jlong, jlong, jbyte)(jni, NULL, memory, 64, 2) == 5 && bytes[64] == 7,
          "a byte is added to");
    check(!CALL(jboolean, "compareAndSet", "(JJII)Z", jlong, jlong, jint, jint)(jni, NULL, memory, 128, 1, 2) &&
              CALL(jboolean, "compareAndSet", "(JJII)Z", jlong, jlong, jint, jint)(jni, NULL, memory, 128, 0, 2) &&
              *(volatile jint *)(bytes + 128) == 2,
          "an int is compared and set");
    check(CALL(jlong, "getAndSet", "(JJJ)J", jlong, jlong, jlong)(jni, NULL, memory, 256, 0x123456789abcdefLL) == 0 &&
              *(volatile jlong *)(bytes + 256) == 0x123456789abcdefLL,
          "a long is exchanged");
    CALL(jint, "getAndAdd", "(JJI)I", jlong, jlong, jint)(jni, NULL, memory, size - 3, 1);
    check(throws("OutOfBounds"), "what is outside is refused");
    CALL(jint, "getAndAdd", "(JJI)I", jlong, jlong, jint)(jni, NULL, memory, -4, 1);
    check(throws("Argument"), "a negative offset is refused");
    // A 32-bit process accesses eight bytes atomically only where they are aligned; Java gets this error.
    CALL(jlong, "getAndAdd", "(JJJ)J", jlong, jlong, jlong)(jni, NULL, memory, 260, 1);
    check(sizeof(void *) == 8 ? !thrown() : throws("Misaligned"), "eight bytes that are not aligned are as documented");
}

int main(int count, char **words)
{
    check(count == 3, "it has a library to load and a device to open");
    setvbuf(stdout, NULL, _IONBF, 0);
    load(words[1]);
    check(1, "the library is loaded, and its methods are registered");

    struct object *list = CALL(struct object *, "windowsDevices", "()[Ljava/lang/String;")(jni, NULL);
    check(!thrown() && list->length >= 2 && strncmp(list->elements[0]->text, "\\\\?\\pci#ven_1af4&dev_1110", 25) == 0,
          "the devices are listed");
    check(atoll(list->elements[1]->text) == 65536, "their sizes are listed");

    jlong device = CALL(jlong, "open", "(Ljava/lang/String;)J", jstring)(jni, NULL, string(words[2]));
    check(!thrown() && device > 0, "the device is opened");
    CALL(jlong, "open", "(Ljava/lang/String;)J", jstring)(jni, NULL, string(words[2]));
    check(throws("Busy"), "a second time it is in use");
    jlong memory = CALL(jlong, "deviceMemory", "(J)J", jlong)(jni, NULL, device);
    jlong address = CALL(jlong, "memoryAddress", "(J)J", jlong)(jni, NULL, memory);
    jlong size = CALL(jlong, "memorySize", "(J)J", jlong)(jni, NULL, memory);
    check(!thrown() && address > 0 && size == 65536, "its memory has an address and a size");
    accesses(memory, (volatile char *)(uintptr_t)address, size);
    rings(device);

    CALL(void, "deviceClose", "(J)V", jlong)(jni, NULL, device);
    CALL(jint, "getAndAdd", "(JJI)I", jlong, jlong, jint)(jni, NULL, memory, 0, 1);
    check(throws("Closed"), "a closed device's memory is closed");
    CALL(void, "deviceFree", "(J)V", jlong)(jni, NULL, device);
    CALL(void, "memoryFree", "(J)V", jlong)(jni, NULL, memory);
    CALL(jlong, "memorySize", "(J)J", jlong)(jni, NULL, memory);
    check(throws("Closed"), "a handle that was freed is refused");
    CALL(jlong, "open", "(Ljava/lang/String;)J", jstring)(jni, NULL, string("nonsense"));
    check(throws("Argument"), "a target that is none is refused");
    printf("all of %d bits passed\n", (int)sizeof(void *) * 8);
    return 0;
}
