// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

/** Provides the classes that the JVM has loaded, as Instrumentation lists them. */
public interface LoadedClasses {
  Class<?>[] all();
}
