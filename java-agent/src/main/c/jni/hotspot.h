/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads HotSpot's copy of the attribute MethodParameters (JVMS 4.7.24) of a loaded class.
 *
 * JVMs with JDK-8240908 pass transformers a class file without the attribute, and no interface
 * returns it completely. Reflection resolves the types of the parameters, which asks the class's
 * loader, may load classes or fail, and cannot be done in a transformer. So the attribute is read
 * from the JVM's memory, as the JDK's Serviceability Agent does it. Every HotSpot exports the
 * layout that it was compiled with in the tables gHotSpotVMStructs. They lack only the order of a
 * ConstMethod's inlined tables. It is the same in all versions with the bug (JDK 11 to 18), which
 * do not change any more.
 *
 * The caller must prevent redefinitions of the class during the call. In a transformer for a loaded
 * class, the JVM allows no other thread to redefine it.
 */
#ifndef HOTSPOT_H
#define HOTSPOT_H

#include <jni.h>
#include <stddef.h>

/* Finds the tables. Call once, on one thread. Returns 0, or -1 if this JVM has no such tables or
 * unknown ones. */
int hotspot_open(JNIEnv *env);

/* Returns the offset of the field of java.lang.Class that points to the JVM's description of the
 * class. */
int hotspot_klass_offset(void);

/* Writes an entry for each method of the class that has the attribute: its name, its descriptor and
 * the number of its parameters (1 byte), then for each parameter 1 byte that is 1 if it has a name,
 * the name if so, and its flags (2 bytes). A text is its length (2 bytes) and its modified UTF-8.
 * Numbers are big-endian.
 *
 * Writes at most `limit` bytes and returns the size of all entries; -1 if the data is malformed. */
ptrdiff_t hotspot_parameters(const void *klass, unsigned char *packed, size_t limit);

#endif
