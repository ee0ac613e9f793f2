// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stapsdt;

import java.nio.ByteBuffer;

/** The C side of providers (src/main/c/provider_jni.c). Paths and names are UTF-8 bytes. */
final class NativeProvider {
  private NativeProvider() {}

  static native long create(byte[] name, byte[] directory);

  static native long add(long provider, byte[] name, byte[] types);

  static native void load(long provider) throws StapsdtException;

  /** The two bytes of a probe's semaphore; readable until the provider is destroyed. */
  static native ByteBuffer semaphore(long probe);

  static native void unload(long provider);

  static native void destroy(long provider);

  /** For probes without strings; takes as many of the words as the probe has arguments. */
  static native void fire(long probe, long thread, long a, long b, long c, long d, long e, long f);

  /** For probes of at most three arguments: of each a string, or else a word. */
  static native void fireStrings(
      long probe, long thread, long a, long b, long c, String x, String y, String z);

  /** For all probes: of each argument a string, or else a word. */
  static native void fireAll(long probe, long thread, long[] words, String[] strings);
}
