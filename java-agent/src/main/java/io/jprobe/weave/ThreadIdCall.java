// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;

/**
 * How woven code asks for the Java thread id. Thread.threadId(), final and free, is there since
 * JDK 19; before that only getId(), which an application may have overridden, so that the field
 * behind it is read instead.
 */
public enum ThreadIdCall {
  THREAD_ID {
    @Override
    void push(MethodVisitor code) {
      code.visitMethodInsn(
          Opcodes.INVOKEVIRTUAL, "java/lang/Thread", "threadId", "()J", false);
    }
  },
  FIELD {
    @Override
    void push(MethodVisitor code) {
      code.visitMethodInsn(
          Opcodes.INVOKESTATIC, Injection.FIRE, "threadId", "(Ljava/lang/Thread;)J", false);
    }
  };

  /** Takes the current thread from the stack and leaves its id. */
  abstract void push(MethodVisitor code);

  /** The call for a Java feature version. */
  public static ThreadIdCall of(int javaVersion) {
    return javaVersion >= 19 ? THREAD_ID : FIELD;
  }
}
