// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

/** The identity of a class in the JVM: its loader and its name. */
final class ClassKey {
  final LoaderKey loader;
  final String internalName;

  ClassKey(ClassLoader loader, String internalName) {
    this.loader = new LoaderKey(loader);
    this.internalName = internalName;
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof ClassKey
        && internalName.equals(((ClassKey) other).internalName)
        && loader.equals(((ClassKey) other).loader);
  }

  @Override
  public int hashCode() {
    return 31 * internalName.hashCode() + loader.hashCode();
  }
}
