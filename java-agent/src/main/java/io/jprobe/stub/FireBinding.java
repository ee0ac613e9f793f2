// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

import java.nio.charset.StandardCharsets;
import java.util.List;

/** Defines the class that woven methods call in the boot loader and binds its native methods. */
public final class FireBinding {
  public static final String FIRE = "java/jprobe/Fire";

  /**
   * Internal names of the classes that Fire needs, of its superclasses and of Fire, in the order in
   * which to define them.
   */
  public static final List<String> CLASSES =
      List.of(
          "java/jprobe/StackText$Walked",
          "java/jprobe/StackText",
          "java/jprobe/SeenStacks$Entry",
          "java/jprobe/SeenStacks",
          "java/jprobe/Stacks",
          "java/jprobe/Utf8",
          "java/jprobe/JdkTypes",
          "java/jprobe/Rendering",
          "java/jprobe/RenderedElements",
          "java/jprobe/RenderedMaps",
          "java/jprobe/ObjectFields",
          "java/jprobe/Elements",
          "java/jprobe/PathEvaluation",
          "java/jprobe/CallGate",
          FIRE);

  private FireBinding() {}

  /**
   * Defines one of the {@link #CLASSES}, once in a JVM's lifetime. Does not initialize the class:
   * Fire must be bound before its first use, and its module must be given access to
   * jdk.internal.misc.
   *
   * @throws LinkageError if the class exists already
   */
  public static Class<?> define(String internalName, byte[] classFile) {
    return Native.defineInBootLoader(internalName.getBytes(StandardCharsets.UTF_8), classFile);
  }

  /** Changes the maximum length of captured strings in bytes of UTF-8, at most 1024. */
  public static void limitText(int captureLimit) {
    Native.limitText(captureLimit);
  }

  /**
   * Binds the native methods.
   *
   * @param captureLimit maximum length of captured strings in bytes of UTF-8, at most 1024
   */
  public static void bind(Class<?> fire, int captureLimit) {
    Native.bindFire(fire, captureLimit);
  }
}
