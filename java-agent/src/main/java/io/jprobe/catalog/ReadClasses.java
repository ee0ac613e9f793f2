// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import java.util.LinkedHashMap;
import java.util.Map;

/** Loaded classes whose class files were read from the JVM. */
public final class ReadClasses {
  final Map<ClassKey, QueuedClass> classes = new LinkedHashMap<>();

  /**
   * Adds a class.
   *
   * @param inJdk whether the class belongs to the JDK
   */
  public void add(ClassLoader loader, String internalName, boolean inJdk, byte[] classFile) {
    classes.put(new ClassKey(loader, internalName), new QueuedClass(classFile, inJdk));
  }
}
