// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

/** Determines which classes belong to the JDK. */
public final class JdkClasses {
  private static final ClassLoader PLATFORM = ClassLoader.getPlatformClassLoader();

  private JdkClasses() {}

  public static boolean has(Class<?> type) {
    return has(type.getModule(), type.getClassLoader());
  }

  /** Returns true if a class of this module and loader belongs to the JDK. */
  public static boolean has(Module module, ClassLoader loader) {
    if (loader == null || loader == PLATFORM) {
      return true;
    }
    // Compilers and other tools of the JDK have the application's class loader.
    return module.isNamed()
        && (module.getName().startsWith("java.") || module.getName().startsWith("jdk."));
  }
}
