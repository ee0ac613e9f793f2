// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.tree.AbstractInsnNode;
import org.objectweb.asm.tree.ClassNode;
import org.objectweb.asm.tree.MethodNode;
import org.objectweb.asm.tree.analysis.Analyzer;
import org.objectweb.asm.tree.analysis.AnalyzerException;
import org.objectweb.asm.tree.analysis.BasicInterpreter;
import org.objectweb.asm.tree.analysis.BasicValue;
import org.objectweb.asm.tree.analysis.Frame;

/**
 * Finds operand stack entries below the return value. javac leaves none, but other compilers may
 * (JVMS 2.6.2), and woven jumps need an empty stack.
 */
final class Leftovers {
  private final String className;
  private final Map<String, MethodNode> methods = new HashMap<>();

  Leftovers(ClassReader reader) {
    ClassNode node = new ClassNode();
    reader.accept(node, ClassReader.SKIP_DEBUG | ClassReader.SKIP_FRAMES);
    className = node.name;
    node.methods.forEach(method -> methods.put(method.name + method.desc, method));
  }

  /**
   * Returns for each return instruction of the method, in order, the sizes (1 or 2) of the entries
   * below its value, topmost first. Null for an unreachable one.
   */
  List<List<Integer>> of(String signature) throws AnalyzerException {
    MethodNode method = methods.get(signature);
    Frame<BasicValue>[] frames = new Analyzer<>(new BasicInterpreter()).analyze(className, method);
    List<List<Integer>> leftovers = new ArrayList<>();
    for (int i = 0; i < frames.length; i++) {
      AbstractInsnNode instruction = method.instructions.get(i);
      int opcode = instruction.getOpcode();
      if (opcode >= Opcodes.IRETURN && opcode <= Opcodes.RETURN) {
        leftovers.add(below(frames[i], opcode == Opcodes.RETURN ? 0 : 1));
      }
    }
    return leftovers;
  }

  private static List<Integer> below(Frame<BasicValue> frame, int values) {
    if (frame == null) {
      return null;
    }
    List<Integer> sizes = new ArrayList<>();
    for (int i = frame.getStackSize() - 1 - values; i >= 0; i--) {
      sizes.add(frame.getStack(i).getSize());
    }
    return sizes;
  }
}
