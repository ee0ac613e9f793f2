// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import io.jprobe.classfile.ClassFile;
import java.util.Set;
import java.util.function.Supplier;

/** A class as selectors see it. For one thread. */
public final class SelectableClass {
  private final ClassFile file;
  private final String name;
  private final boolean inJdk;
  private final Supplier<Set<String>> supplier;
  private Set<String> supertypes;

  /**
   * @param inJdk whether it is one of the JDK's own: those only a selector matches that names their
   *     package
   * @param supertypes gives the binary names, with dots, of all that the class extends and
   *     implements, directly or not, without the class itself; asked once at most, and only if a
   *     selector must know
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
