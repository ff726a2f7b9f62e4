#include "jvm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#define PREFIX "Java_io_github_alexanderschuetz97_ivshmem4j_internal_NativeLibrary_"

static JNINativeMethod methods[256];
static int registered;
static struct object *exception;

// Any function that the library has not needed so far.
static void JNICALL missing(void)
{
    printf("FAILED: the library calls a function of the JVM that jvm.c does not have\n");
    exit(1);
}

static struct object *new(const char *text, int length)
{
    struct object *object = calloc(1, sizeof *object);
    object->text = text ? strdup(text) : NULL;
    object->length = length;
    object->elements = calloc(length + 1, sizeof *object->elements);
    return object;
}

static jint JNICALL version(JNIEnv *env)
{
    (void)env;
    return JNI_VERSION_1_8;
}

static jint JNICALL attach(JavaVM *vm, void **env, void *arguments)
{
    (void)vm, (void)arguments;
    *env = (void *)jni;
    return JNI_OK;
}

static jint JNICALL get_env(JavaVM *vm, void **env, jint asked)
{
    (void)asked;
    return attach(vm, env, NULL);
}

static const struct JNIInvokeInterface_ vm_functions = {
    .AttachCurrentThread = attach, .AttachCurrentThreadAsDaemon = attach, .GetEnv = get_env};
static JavaVM vm = &vm_functions;

static jint JNICALL get_vm(JNIEnv *env, JavaVM **result)
{
    (void)env;
    *result = &vm;
    return JNI_OK;
}

static jclass JNICALL find_class(JNIEnv *env, const char *name)
{
    (void)env;
    return (jclass)new(name, 0);
}

static jint JNICALL register_natives(JNIEnv *env, jclass class, const JNINativeMethod *some, jint count)
{
    (void)env, (void)class;
    for (int i = 0; i < count; i++) {
        JNINativeMethod copy = {strdup(some[i].name), strdup(some[i].signature), some[i].fnPtr};
        methods[registered++] = copy;
    }
    return JNI_OK;
}

static jstring JNICALL new_string(JNIEnv *env, const char *text)
{
    (void)env;
    return (jstring)new(text, 0);
}

static const char *JNICALL string_chars(JNIEnv *env, jstring text, jboolean *is_copy)
{
    (void)env;
    if (is_copy)
        *is_copy = JNI_FALSE;
    return ((struct object *)text)->text;
}

static void JNICALL release_chars(JNIEnv *env, jstring text, const char *chars)
{
    (void)env, (void)text, (void)chars;
}

static jsize JNICALL string_length(JNIEnv *env, jstring text)
{
    (void)env;
    return (jsize)strlen(((struct object *)text)->text);
}

static jobjectArray JNICALL new_array(JNIEnv *env, jsize length, jclass class, jobject first)
{
    (void)env, (void)class, (void)first;
    return (jobjectArray)new(NULL, length);
}

static void JNICALL set_element(JNIEnv *env, jobjectArray array, jsize index, jobject element)
{
    (void)env;
    ((struct object *)array)->elements[index] = (struct object *)element;
}

static jint JNICALL push_frame(JNIEnv *env, jint capacity)
{
    (void)env, (void)capacity;
    return JNI_OK;
}

// Objects live as long as this program: a reference is the object itself, and nothing is freed.
static jobject JNICALL same(JNIEnv *env, jobject object)
{
    (void)env;
    return object;
}

static void JNICALL forget(JNIEnv *env, jobject object)
{
    (void)env, (void)object;
}

// The methods that the library looks up in advance.
static jmethodID JNICALL any_method(JNIEnv *env, jclass class, const char *name, const char *descriptor)
{
    (void)env, (void)class, (void)descriptor;
    return (jmethodID)new(name, 0);
}

// Only NativeFailure.exception(kind, text) needs a result; other calls look up classes.
static jobject JNICALL call_static(JNIEnv *env, jclass class, jmethodID method, const jvalue *arguments)
{
    (void)env, (void)class;
    if (strcmp(((struct object *)method)->text, "exception"))
        return (jobject)method;
    struct object *kind = (struct object *)arguments[0].l, *text = (struct object *)arguments[1].l;
    char both[4096];
    snprintf(both, sizeof both, "%s: %s", kind->text, text->text);
    return (jobject)new(both, 0);
}

static jobject JNICALL call_method(JNIEnv *env, jobject object, jmethodID method, const jvalue *arguments)
{
    (void)env, (void)object, (void)arguments;
    return (jobject)method;
}

static jobject JNICALL class_of(JNIEnv *env, jobject object)
{
    (void)env;
    return object;
}

static jboolean JNICALL is_instance(JNIEnv *env, jobject object, jclass class)
{
    (void)env, (void)object, (void)class;
    return JNI_TRUE;
}

static jboolean JNICALL is_assignable(JNIEnv *env, jclass class, jclass other)
{
    (void)env, (void)class, (void)other;
    return JNI_TRUE;
}

static jint JNICALL throw_it(JNIEnv *env, jthrowable object)
{
    (void)env;
    exception = (struct object *)object;
    return JNI_OK;
}

static jboolean JNICALL is_thrown(JNIEnv *env)
{
    (void)env;
    return exception != NULL;
}

static jthrowable JNICALL get_thrown(JNIEnv *env)
{
    (void)env;
    return (jthrowable)exception;
}

static void JNICALL clear(JNIEnv *env)
{
    (void)env;
    exception = NULL;
}

static struct JNINativeInterface_ functions;
static const struct JNINativeInterface_ *pointer = &functions;
JNIEnv *jni = &pointer;

void load(const char *library)
{
    void **slots = (void **)&functions;
    for (size_t i = 0; i < sizeof functions / sizeof *slots; i++)
        slots[i] = (void *)missing;
    functions.GetVersion = version;
    functions.GetJavaVM = get_vm;
    functions.FindClass = find_class;
    functions.RegisterNatives = register_natives;
    functions.NewStringUTF = new_string;
    functions.GetStringUTFChars = string_chars;
    functions.ReleaseStringUTFChars = release_chars;
    functions.GetStringUTFLength = string_length;
    functions.NewObjectArray = new_array;
    functions.SetObjectArrayElement = set_element;
    functions.PushLocalFrame = push_frame;
    functions.PopLocalFrame = same;
    functions.NewGlobalRef = same;
    functions.NewLocalRef = same;
    functions.NewWeakGlobalRef = same;
    functions.DeleteLocalRef = forget;
    functions.DeleteGlobalRef = forget;
    functions.DeleteWeakGlobalRef = forget;
    functions.GetStaticMethodID = any_method;
    functions.GetMethodID = any_method;
    functions.CallStaticObjectMethodA = call_static;
    functions.CallObjectMethodA = call_method;
    functions.GetObjectClass = class_of;
    functions.IsAssignableFrom = is_assignable;
    functions.IsInstanceOf = is_instance;
    functions.Throw = throw_it;
    functions.ExceptionCheck = is_thrown;
    functions.ExceptionOccurred = get_thrown;
    functions.ExceptionClear = clear;

    HMODULE module = LoadLibraryA(library);
    // A JVM finds these two by their names, whose long form has no @ suffix of 32-bit Windows.
    jint(JNICALL * abi)(JNIEnv *, jclass) = (void *)GetProcAddress(module, PREFIX "abi__");
    void(JNICALL * registering)(JNIEnv *, jclass) = (void *)GetProcAddress(module, PREFIX "register__");
    if (!module || !abi || !registering || abi(jni, NULL) < 1) {
        printf("FAILED: %s does not load (error %lu), or is another library\n", library, GetLastError());
        exit(1);
    }
    registering(jni, NULL);
}

void *method(const char *name, const char *descriptor)
{
    for (int i = 0; i < registered; i++)
        if (!strcmp(methods[i].name, name) && !strcmp(methods[i].signature, descriptor))
            return methods[i].fnPtr;
    printf("FAILED: there is no method %s%s\n", name, descriptor);
    exit(1);
}

jstring string(const char *text)
{
    return (jstring)new(text, 0);
}

const char *thrown(void)
{
    return exception ? exception->text : NULL;
}

int throws(const char *kind)
{
    int is = exception && !strncmp(exception->text, kind, strlen(kind)) && exception->text[strlen(kind)] == ':';
    if (is)
        exception = NULL;
    return is;
}
