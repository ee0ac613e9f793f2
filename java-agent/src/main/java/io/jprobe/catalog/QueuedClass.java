// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

/** A class that waits to be read. */
final class Offer {
  private static final long PATIENCE_NANOS = 5_000_000_000L;

  final byte[] classFile;
  final boolean inJdk;
  private final long since = System.nanoTime();

  Offer(byte[] classFile, boolean inJdk) {
    this.classFile = classFile;
    this.inJdk = inJdk;
  }

  /** Whether the class, if it is not defined by now, will not be. */
  boolean isStale() {
    return System.nanoTime() - since > PATIENCE_NANOS;
  }
}
