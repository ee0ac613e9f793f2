// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

/** A class file that waits to be read. */
final class QueuedClass {
  private static final long TIMEOUT_NANOS = 5_000_000_000L;

  final byte[] classFile;
  final boolean inJdk;
  private final long since = System.nanoTime();

  QueuedClass(byte[] classFile, boolean inJdk) {
    this.classFile = classFile;
    this.inJdk = inJdk;
  }

  /** Returns true if the class, provided that it is not defined yet, will not be any more. */
  boolean isExpired() {
    return System.nanoTime() - since > TIMEOUT_NANOS;
  }
}
