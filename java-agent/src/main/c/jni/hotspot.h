/* SPDX-License-Identifier: Apache-2.0
 *
 * What HotSpot keeps of the attribute MethodParameters (JVMS 4.7.24) of a loaded class.
 *
 * Retransforming shows a class file without the attribute on JVMs with JDK-8240908, and no
 * interface tells the rest: reflection resolves the types of the parameters, which asks the class's
 * loader, may load classes or fail, and cannot be done in a transformer. So it is read where the
 * JVM has it, as the JDK's own Serviceability Agent reads it: by the tables gHotSpotVMStructs,
 * which every HotSpot exports, with the layout that it was compiled with. Only the order of a
 * ConstMethod's inlined tables is not in them; it is the same in all versions with the bug, which
 * are of the past and do not change any more (JDK 11 to 18).
 *
 * The caller sees to it that nobody redefines the class meanwhile: in a transformer that is asked
 * about a loaded class, the JVM itself lets no other thread do so.
 */
#ifndef HOTSPOT_H
#define HOTSPOT_H

#include <jni.h>
#include <stddef.h>

/* Finds the tables. Once; not by several threads at once. Returns 0, or -1 where this JVM has no
 * such tables, or other than are known here. */
int hotspot_open(JNIEnv *env);

/* The place of the field of java.lang.Class that has the JVM's description of the class. */
int hotspot_klass_offset(void);

/* Writes, for each method of the class that has the attribute, its name and its descriptor, the
 * count of its parameters in a byte, and for each of these whether it has a name, in a byte, the
 * name if so, and its flags in two bytes. A text is its length in two bytes and its modified UTF-8;
 * numbers are big-endian.
 *
 * Writes no more than `limit` bytes, and returns how many there are; -1 if what is read makes no
 * sense. */
ptrdiff_t hotspot_parameters(const void *klass, unsigned char *packed, size_t limit);

#endif
