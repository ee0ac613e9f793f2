// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.classfile.ClassFile;
import io.jprobe.classfile.MethodParameters;
import io.jprobe.stub.LoadedParameters;
import java.io.IOException;
import java.io.InputStream;
import java.jprobe.Fire;

/**
 * Preserves the names of method parameters on JVMs with JDK-8240908. The class files that these
 * pass to transformers lack the attribute MethodParameters, but the JVM uses the one in the class
 * file that transformers return. Does nothing on other JVMs.
 *
 * <p>The attribute is read from the JVM's own copy at each retransformation, so a class file with
 * which the program has redefined the class counts. If that copy cannot be read, the attribute of
 * the class file that the agent has read is used. The same applies if the copy was lost: if its
 * heap is full, the JVM retransforms without calling the agents.
 */
public final class ParameterNames {
  private static final boolean ARE_LOST = JvmBug.PARAMETER_NAMES.isIn(Runtime.version());

  /** True if the JVM's own copy can be read; null before the first attempt. */
  private static Boolean canBeRead;

  private ParameterNames() {}

  /**
   * Returns true if the JVM's own copy can be read. Tested once, on a class whose class file is
   * available: java.jprobe.Fire is compiled with -parameters for this.
   */
  static synchronized boolean canBeRead() {
    if (canBeRead == null) {
      canBeRead = isReadCorrectly(Fire.class, "java/jprobe/Fire.classdata");
    }
    return canBeRead;
  }

  private static boolean isReadCorrectly(Class<?> type, String resource) {
    try (InputStream in = ParameterNames.class.getClassLoader().getResourceAsStream(resource)) {
      MethodParameters expected = MethodParameters.of(in.readAllBytes());
      return !expected.isEmpty() && LoadedParameters.open() && read(type).equals(expected);
    } catch (IOException | RuntimeException | LinkageError e) {
      return false;
    }
  }

  /** Returns the JVM's own copy. */
  private static MethodParameters read(Class<?> type) {
    byte[] packed = LoadedParameters.of(type);
    return packed == null ? MethodParameters.NONE : new MethodParameters(packed);
  }

  /** Keeps the attribute of a class file for as long as the class is known. */
  static void remember(TracedClass traced, byte[] classFile) {
    if (ARE_LOST && ClassFile.namesMethodParameters(classFile)) {
      MethodParameters parameters = MethodParameters.of(classFile);
      if (!parameters.isEmpty()) {
        traced.setParameters(parameters);
      }
    }
  }

  /**
   * Returns the class file with the attribute added; the same array if nothing is missing. To be
   * called by a transformer for a loaded class.
   *
   * @param remembered the parameters of the class file that the agent has read
   */
  public static byte[] complete(Class<?> type, byte[] classFile, MethodParameters remembered) {
    if (!ARE_LOST || !ClassFile.namesMethodParameters(classFile)) {
      return classFile;
    }
    MethodParameters present = canBeRead() ? read(type) : MethodParameters.NONE;
    return (present.isEmpty() ? remembered : present).addTo(classFile);
  }
}
