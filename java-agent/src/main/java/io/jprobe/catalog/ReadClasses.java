// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import java.util.LinkedHashMap;
import java.util.Map;

/** Loaded classes that the JVM was made to show, to be read at once. */
public final class ShownClasses {
  final Map<ClassKey, Offer> offers = new LinkedHashMap<>();

  /**
   * @param inJdk whether the class belongs to the JDK
   */
  public void add(ClassLoader loader, String internalName, boolean inJdk, byte[] classFile) {
    offers.put(new ClassKey(loader, internalName), new Offer(classFile, inJdk));
  }
}
