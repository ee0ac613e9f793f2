// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

import java.nio.ByteBuffer;

/** Native methods of providers (src/main/c/jni/provider_jni.c). Paths and names are UTF-8 bytes. */
public final class NativeProvider {
  private NativeProvider() {}

  public static native long create(byte[] name, byte[] directory);

  public static native long add(long provider, byte[] name, byte[] types);

  public static native void load(long provider) throws StubException;

  /** Returns the two bytes of a probe's semaphore, readable until the provider is destroyed. */
  public static native ByteBuffer semaphore(long probe);

  public static native void unload(long provider);

  public static native void destroy(long provider);

  /** Fires a probe without strings. Uses as many of the words as the probe has arguments. */
  public static native void fire(
      long probe, long thread, long a, long b, long c, long d, long e, long f);

  /** Fires a probe with at most three arguments, each a string or a word. */
  public static native void fireStrings(
      long probe, long thread, long a, long b, long c, String x, String y, String z);

  /** Fires any probe. Each argument is a string or a word. */
  public static native void fireAll(long probe, long thread, long[] words, String[] strings);
}
