// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import io.jprobe.classfile.ClassFile;
import java.util.Set;
import java.util.function.Supplier;

/** A class to match selectors against. For one thread. */
public final class SelectableClass {
  private final ClassFile file;
  private final String name;
  private final boolean inJdk;
  private final Supplier<Set<String>> supplier;
  private Set<String> supertypes;

  /**
   * @param inJdk true for classes of the JDK, which only selectors that name their package match
   * @param supertypes returns the binary names, with dots, of all classes and interfaces that the
   *     class extends and implements, directly or not, without the class itself; called at most
   *     once, and only if a selector needs them
   */
  public SelectableClass(ClassFile file, boolean inJdk, Supplier<Set<String>> supertypes) {
    this.file = file;
    this.name = file.name();
    this.inJdk = inJdk;
    this.supplier = supertypes;
  }

  public ClassFile file() {
    return file;
  }

  public boolean inJdk() {
    return inJdk;
  }

  public Set<String> supertypes() {
    if (supertypes == null) {
      supertypes = supplier.get();
    }
    return supertypes;
  }

  String name() {
    return name;
  }
}
