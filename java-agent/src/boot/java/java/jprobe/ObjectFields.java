// SPDX-License-Identifier: Apache-2.0
package java.jprobe;

import java.lang.reflect.Field;
import jdk.internal.misc.Unsafe;

/**
 * Reads fields of any object by their offset, for fields that woven code may not name because they
 * are private to another class. The object must be an instance of the class that declares the
 * field.
 */
abstract class ObjectFields {
  static final Unsafe UNSAFE = Unsafe.getUnsafe();

  /** Read instead of calling Thread.getId(), which applications can override before JDK 19. */
  private static final long THREAD_ID = UNSAFE.objectFieldOffset(Thread.class, "tid");

  /** The superclass of virtual threads; null before JDK 21. */
  private static final Class<?> VIRTUAL_THREAD = virtualThread();

  ObjectFields() {}

  private static Class<?> virtualThread() {
    try {
      return Class.forName("java.lang.BaseVirtualThread", false, null);
    } catch (ClassNotFoundException e) {
      return null;
    }
  }

  /**
   * Returns the Java thread ID of the calling thread, with the highest bit set for a virtual one:
   * native code takes that out again.
   */
  public static long threadId() {
    Thread thread = Thread.currentThread();
    long id = UNSAFE.getLong(thread, THREAD_ID);
    return VIRTUAL_THREAD != null && VIRTUAL_THREAD.isInstance(thread) ? id | Long.MIN_VALUE : id;
  }

  /** Returns the offset of a field. Throws InternalError if the class does not declare it. */
  public static long offset(Class<?> declaring, String field) {
    return UNSAFE.objectFieldOffset(declaring, field);
  }

  /**
   * Returns the offset of a static field in the object of its class. Throws InternalError if this
   * JVM keeps it elsewhere.
   */
  public static long staticOffset(Field field) {
    if (UNSAFE.staticFieldBase(field) != field.getDeclaringClass()) {
      throw new InternalError("the fields of a class are not in its object");
    }
    return UNSAFE.staticFieldOffset(field);
  }

  public static boolean fieldBoolean(Object object, long offset) {
    return UNSAFE.getBoolean(object, offset);
  }

  public static byte fieldByte(Object object, long offset) {
    return UNSAFE.getByte(object, offset);
  }

  public static short fieldShort(Object object, long offset) {
    return UNSAFE.getShort(object, offset);
  }

  public static char fieldChar(Object object, long offset) {
    return UNSAFE.getChar(object, offset);
  }

  public static int fieldInt(Object object, long offset) {
    return UNSAFE.getInt(object, offset);
  }

  public static long fieldLong(Object object, long offset) {
    return UNSAFE.getLong(object, offset);
  }

  public static float fieldFloat(Object object, long offset) {
    return UNSAFE.getFloat(object, offset);
  }

  public static double fieldDouble(Object object, long offset) {
    return UNSAFE.getDouble(object, offset);
  }

  public static Object fieldReference(Object object, long offset) {
    return UNSAFE.getReference(object, offset);
  }
}
