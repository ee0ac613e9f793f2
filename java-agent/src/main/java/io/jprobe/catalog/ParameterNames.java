// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.classfile.ClassFile;
import io.jprobe.classfile.MethodParameters;
import io.jprobe.stub.LoadedParameters;
import java.io.IOException;
import java.io.InputStream;
import java.jprobe.Fire;

/**
 * Keeps what reflection tells of the parameters of methods, on JVMs with JDK-8240908: they leave
 * the attribute MethodParameters out of the class file with which a retransformation begins, and
 * take it from the class file with which it ends.
 *
 * <p>What a class has of it is read from the JVM's own copy at each retransformation, so that a
 * class file that the program has redefined it with counts. Where that copy cannot be read, or has
 * been lost (the JVM retransforms without asking agents where its heap is full), it is what the
 * class had when it was read. On other JVMs all of this does nothing.
 */
public final class ParameterNames {
  private static final boolean ARE_FORGOTTEN = JvmBug.PARAMETER_NAMES.isIn(Runtime.version());

  /** Whether the JVM's own copy can be read; null as long as that was not tried. */
  private static Boolean canBeRead;

  private ParameterNames() {}

  /**
   * Whether the JVM tells what it has of a class. Tried once, by a class whose class file is at
   * hand: java.jprobe.Fire is compiled with -parameters for that.
   */
  static synchronized boolean canBeRead() {
    if (canBeRead == null) {
      canBeRead = isTold(Fire.class, "java/jprobe/Fire.classdata");
    }
    return canBeRead;
  }

  private static boolean isTold(Class<?> type, String resource) {
    try (InputStream in = ParameterNames.class.getClassLoader().getResourceAsStream(resource)) {
      MethodParameters told = MethodParameters.of(in.readAllBytes());
      return !told.isEmpty() && LoadedParameters.open() && read(type).equals(told);
    } catch (IOException | RuntimeException | LinkageError e) {
      return false;
    }
  }

  /** What the JVM has. */
  private static MethodParameters read(Class<?> type) {
    byte[] packed = LoadedParameters.of(type);
    return packed == null ? MethodParameters.NONE : new MethodParameters(packed);
  }

  /** Remembers what a class file has of it, for as long as the class is known. */
  static void remember(TracedClass traced, byte[] classFile) {
    if (ARE_FORGOTTEN && ClassFile.namesMethodParameters(classFile)) {
      MethodParameters parameters = MethodParameters.of(classFile);
      if (!parameters.isEmpty()) {
        traced.setParameters(parameters);
      }
    }
  }

  /**
   * The class file with what it lacks of the attribute; the same array where it lacks nothing. To
   * be called by a transformer that the JVM asks about a loaded class.
   *
   * @param remembered what the class had when it was read
   */
  public static byte[] complete(Class<?> type, byte[] classFile, MethodParameters remembered) {
    if (!ARE_FORGOTTEN || !ClassFile.namesMethodParameters(classFile)) {
      return classFile;
    }
    MethodParameters present = canBeRead() ? read(type) : MethodParameters.NONE;
    return (present.isEmpty() ? remembered : present).addTo(classFile);
  }
}
