// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import java.lang.ref.WeakReference;

/**
 * A weak reference to a class loader that compares by identity: equals and hashCode of a loader are
 * the application's code, which must not run here. Null is the boot loader.
 */
final class LoaderKey {
  private final WeakReference<ClassLoader> loader;
  private final int hash;

  LoaderKey(ClassLoader loader) {
    this.loader = loader == null ? null : new WeakReference<>(loader);
    this.hash = System.identityHashCode(loader);
  }

  boolean isLoaderOf(Class<?> candidate) {
    return !isCollected() && candidate.getClassLoader() == get();
  }

  boolean isBoot() {
    return loader == null;
  }

  boolean isCollected() {
    return loader != null && loader.get() == null;
  }

  /** Returns the loader; null for the boot loader, or if it was collected. */
  ClassLoader get() {
    return loader == null ? null : loader.get();
  }

  @Override
  public boolean equals(Object other) {
    if (this == other) {
      return true;
    }
    if (!(other instanceof LoaderKey)) {
      return false;
    }
    LoaderKey key = (LoaderKey) other;
    return hash == key.hash && !isCollected() && !key.isCollected() && get() == key.get();
  }

  @Override
  public int hashCode() {
    return hash;
  }
}
