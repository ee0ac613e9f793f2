// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

/** A class that waits to be read. */
final class Offer {
  private static final long PATIENCE_NANOS = 5_000_000_000L;

  final byte[] classFile;
  final boolean inJdk;
  private final long since;

  Offer(byte[] classFile, boolean inJdk, long since) {
    this.classFile = classFile;
    this.inJdk = inJdk;
    this.since = since;
  }

  /** Whether the class, if it is not defined by now, will not be. */
  boolean isStale() {
    return System.nanoTime() - since > PATIENCE_NANOS;
  }
}
