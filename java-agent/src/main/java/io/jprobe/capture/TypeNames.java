// SPDX-License-Identifier: Apache-2.0
package io.jprobe.capture;

import io.jprobe.classfile.ClassFile;
import java.util.ArrayList;
import java.util.List;

/**
 * Finds classes by the names that are written in paths. A name without its package means a class
 * that is nested in the traced class, or one of its package or of java.lang.
 */
final class TypeNames {
  /** Maximum number of parts of a name. Each is looked up, which may run code of the loader. */
  private static final int MAX_PARTS = 20;

  private final ClassFiles files;
  private final String host;

  /**
   * @param host internal name of the traced class
   */
  TypeNames(ClassFiles files, String host) {
    this.files = files;
    this.host = host;
  }

  /**
   * Returns the class of a name such as {@code Order}, {@code com.acme.Order} or {@code
   * Order.Line}; null if there is none.
   */
  ClassFile find(String written) {
    for (String internalName : candidates(written)) {
      ClassFile file = files.find(internalName);
      // A file system that ignores case finds the file of another class.
      if (file != null && file.internalName.equals(internalName)) {
        return file;
      }
    }
    return null;
  }

  private List<String> candidates(String written) {
    String[] parts = written.split("\\.");
    List<String> candidates = new ArrayList<>();
    if (parts.length > MAX_PARTS) {
      return candidates;
    }
    String nested = String.join("$", parts);
    for (String outer = host; ; outer = outer.substring(0, outer.lastIndexOf('$'))) {
      candidates.add(outer + "$" + nested);
      if (outer.lastIndexOf('$') <= outer.lastIndexOf('/') + 1) {
        break;
      }
    }
    candidates.add(host.substring(0, host.lastIndexOf('/') + 1) + nested);
    candidates.add("java/lang/" + nested);
    for (int packages = parts.length - 1; packages > 0; packages--) {
      StringBuilder name = new StringBuilder(parts[0]);
      for (int i = 1; i < parts.length; i++) {
        name.append(i <= packages ? '/' : '$').append(parts[i]);
      }
      candidates.add(name.toString());
    }
    return candidates;
  }
}
