/*
 * A JVM agent that records the classes, methods and fields that the library libivshmem4j.so looks up by name. A native
 * image needs this list when it is built. The option of the agent is the output file. GraalVM's own agent does the same
 * and more, but is not in any package registry.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <jvmti.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static jvmtiEnv *jvmti;
static FILE *out;
static jniNativeInterface plain;

/* Whether the code at an address belongs to the library. */
static int ours(void *caller) {
    Dl_info info;
    return dladdr(caller, &info) != 0 && strstr(info.dli_fname, "libivshmem4j.so") != NULL;
}

/* Writes one line in the format of the metadata: Lpackage/Class; and optionally a member with its type. */
static void note(const char *kind, jclass of, const char *name, const char *type) {
    char *class = NULL;
    (*jvmti)->GetClassSignature(jvmti, of, &class, NULL);
    fprintf(out, "%s %s %s%s\n", kind, class, name, type);
    fflush(out);
    (*jvmti)->Deallocate(jvmti, (unsigned char *)class);
}

static jclass JNICALL find_class(JNIEnv *env, const char *name) {
    if (ours(__builtin_return_address(0))) {
        fprintf(out, "class %s%s%s\n", *name == '[' ? "" : "L", name, *name == '[' ? "" : ";");
        fflush(out);
    }
    return plain.FindClass(env, name);
}

static jmethodID JNICALL get_method(JNIEnv *env, jclass class, const char *name, const char *type) {
    if (ours(__builtin_return_address(0))) {
        note("method", class, name, type);
    }
    return plain.GetMethodID(env, class, name, type);
}

static jmethodID JNICALL get_static_method(JNIEnv *env, jclass class, const char *name, const char *type) {
    if (ours(__builtin_return_address(0))) {
        note("method", class, name, type);
    }
    return plain.GetStaticMethodID(env, class, name, type);
}

static jfieldID JNICALL get_field(JNIEnv *env, jclass class, const char *name, const char *type) {
    if (ours(__builtin_return_address(0))) {
        note("field", class, name, type);
    }
    return plain.GetFieldID(env, class, name, type);
}

static jfieldID JNICALL get_static_field(JNIEnv *env, jclass class, const char *name, const char *type) {
    if (ours(__builtin_return_address(0))) {
        note("field", class, name, type);
    }
    return plain.GetStaticFieldID(env, class, name, type);
}

static void JNICALL started(jvmtiEnv *agent, JNIEnv *env, jthread thread) {
    (void)env;
    (void)thread;
    jniNativeInterface *table = NULL;
    if ((*agent)->GetJNIFunctionTable(agent, &table) != JVMTI_ERROR_NONE) {
        abort();
    }
    plain = *table;
    table->FindClass = find_class;
    table->GetMethodID = get_method;
    table->GetStaticMethodID = get_static_method;
    table->GetFieldID = get_field;
    table->GetStaticFieldID = get_static_field;
    if ((*agent)->SetJNIFunctionTable(agent, table) != JVMTI_ERROR_NONE) {
        abort();
    }
}

JNIEXPORT jint JNICALL Agent_OnLoad(JavaVM *vm, char *options, void *reserved) {
    (void)reserved;
    jvmtiEventCallbacks callbacks;
    memset(&callbacks, 0, sizeof callbacks);
    callbacks.VMInit = started;
    out = fopen(options, "w");
    if (out == NULL || (*vm)->GetEnv(vm, (void **)&jvmti, JVMTI_VERSION_1_2) != JNI_OK
        || (*jvmti)->SetEventCallbacks(jvmti, &callbacks, sizeof callbacks) != JVMTI_ERROR_NONE
        || (*jvmti)->SetEventNotificationMode(jvmti, JVMTI_ENABLE, JVMTI_EVENT_VM_INIT, NULL) != JVMTI_ERROR_NONE) {
        return JNI_ERR;
    }
    return JNI_OK;
}
