// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

import java.nio.ByteBuffer;

/** Native methods of this package (src/main/c/jni). Paths and names are UTF-8 bytes. */
final class Native {
  private Native() {}

  static native long load(
      byte[] directory, int generation, int count, byte[] probes, int gates, byte[] manifest)
      throws StubException;

  static native void unload(long library);

  static native void retire(long library);

  static native long stubs(long library);

  static native ByteBuffer semaphores(long library);

  static native ByteBuffer directSemaphores(long library);

  static native ByteBuffer states(long library);

  static native ByteBuffer gates(long library);

  static native long gateAddress(long library);

  static native String path(long library);

  static native long createDirectory(byte[] parent) throws StubException;

  static native String directoryPath(long directory);

  static native void removeDirectory(long directory);

  static native Class<?> defineInBootLoader(byte[] internalName, byte[] bytes);

  static native void bindFire(Class<?> fire, int captureLimit);

  static native void limitText(int captureLimit);

  static native int openRings(long bytes) throws StubException;

  static native void closeRings();

  static native int openHistograms() throws StubException;

  static native int histogramCapacity();

  static native void closeHistograms();

  static native boolean releaseDirect();

  static native int openStacks(int bytes) throws StubException;

  static native int stacksGeneration();

  static native void closeStacks();

  static native void awaitChange(long most, long period);

  static native void wake();

  static native ByteBuffer fireGuard();

  static native long clockNanos();

  static native boolean isLinked(Class<?> type);

  static native void link(Class<?> type);

  static native Class<?> resolve(String name, ClassLoader loader, Class<?> from)
      throws ClassNotFoundException;

  static native int retransform(Class<?>[] classes);

  static native boolean reportPrepared(Class<?> receiver, boolean isOn);

  static native boolean reportMounts(long mount, long unmount, boolean isOn);

  static native void openStandardError();

  static native void writeLine(byte[] line);

  static native void countLostLine();

  static native void reportLostLines();

  static native String messageOf(Throwable problem);

  static native boolean openHotSpot();

  static native byte[] methodParameters(Class<?> type);

  static native long cpuQuota(byte[] root);

  static native long memoryHeadroom(byte[] root);

  static native long cpusAllowed();

  static native long cpuUsed();

  static native long processAge(byte[] root);
}
