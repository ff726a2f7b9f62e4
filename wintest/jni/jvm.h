// As much of a JVM as the native library asks for.
#pragma once

#include <jni.h>

// Strings, arrays and everything else that the library gets or makes.
struct object {
    char *text;
    int length;
    struct object **elements;
};

extern JNIEnv *jni;

// Loads the library and registers its methods as NativeLibrary.java does.
void load(const char *library);
// A registered method; there is no return without one.
void *method(const char *name, const char *descriptor);
jstring string(const char *text);
// The kind of the exception on its way and its text, or null.
const char *thrown(void);
// Whether an exception of this kind is on its way; afterwards there is none.
int throws(const char *kind);
