// The part of a JVM that the native library uses.
#pragma once

#include <jni.h>

// Strings, arrays and all other objects that the library receives or creates.
struct object {
    char *text;
    int length;
    struct object **elements;
};

extern JNIEnv *jni;

// Loads the library and registers its methods as NativeLibrary.java does.
void load(const char *library);
// Returns a registered method; ends the program if there is none.
void *method(const char *name, const char *descriptor);
jstring string(const char *text);
// The kind and the text of the pending exception, or null.
const char *thrown(void);
// Whether an exception of this kind is pending; clears it if so.
int throws(const char *kind);
