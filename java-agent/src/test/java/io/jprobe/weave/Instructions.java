// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import io.jprobe.catalog.TracedMethod;
import java.util.ArrayList;
import java.util.List;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.ClassVisitor;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.util.Textifier;
import org.objectweb.asm.util.TraceMethodVisitor;

/** Bytecode as text, for review and comparison. */
final class Instructions {
  private Instructions() {}

  /** Returns a method's instructions as text. */
  static String of(byte[] classFile, TracedMethod wanted) {
    Textifier text = new Textifier();
    new ClassReader(classFile)
        .accept(
            new ClassVisitor(Opcodes.ASM9) {
              @Override
              public MethodVisitor visitMethod(
                  int access, String name, String descriptor, String signature, String[] thrown) {
                return (name + descriptor).equals(wanted.toString())
                    ? new TraceMethodVisitor(text)
                    : null;
              }
            },
            ClassReader.SKIP_DEBUG);
    StringBuilder lines = new StringBuilder();
    List<Object> all = new ArrayList<>(text.getText());
    all.forEach(line -> append(lines, line));
    return lines.toString();
  }

  private static void append(StringBuilder lines, Object line) {
    if (line instanceof List) {
      ((List<?>) line).forEach(each -> append(lines, each));
    } else {
      lines.append(line);
    }
  }
}
