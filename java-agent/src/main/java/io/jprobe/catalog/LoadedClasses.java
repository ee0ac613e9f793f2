// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

/** What the JVM has loaded: Instrumentation's view, which this package does not hold. */
public interface LoadedClasses {
  Class<?>[] all();
}
