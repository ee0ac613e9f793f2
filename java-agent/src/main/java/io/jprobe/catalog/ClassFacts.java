// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.ClassVisitor;
import org.objectweb.asm.Label;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.Type;

/** Reads the methods out of a class file, in its order. */
final class ClassFacts extends ClassVisitor {
  private final List<MethodFacts> methods = new ArrayList<>();

  private ClassFacts() {
    super(Opcodes.ASM9);
  }

  static List<MethodFacts> methodsOf(byte[] classFile) {
    ClassFacts facts = new ClassFacts();
    new ClassReader(classFile).accept(facts, ClassReader.SKIP_FRAMES);
    return facts.methods;
  }

  @Override
  public MethodVisitor visitMethod(
      int access, String name, String descriptor, String signature, String[] exceptions) {
    return new ArgumentNames(access, name, descriptor);
  }

  /** Collects argument names: MethodParameters where present, else the local variable table. */
  private final class ArgumentNames extends MethodVisitor {
    private final int access;
    private final String name;
    private final String descriptor;
    private final List<Integer> locals = new ArrayList<>();
    private final List<String> names = new ArrayList<>();
    private int parameters;
    private Label first;

    ArgumentNames(int access, String name, String descriptor) {
      super(Opcodes.ASM9);
      this.access = access;
      this.name = name;
      this.descriptor = descriptor;
      int local = (access & Opcodes.ACC_STATIC) != 0 ? 0 : 1;
      for (Type type : Type.getArgumentTypes(descriptor)) {
        locals.add(local);
        names.add("arg" + names.size());
        local += type.getSize();
      }
    }

    @Override
    public void visitParameter(String parameter, int parameterAccess) {
      if (parameter != null && parameters < names.size()) {
        names.set(parameters, parameter);
      }
      parameters++;
    }

    @Override
    public void visitLocalVariable(
        String variable, String type, String signature, Label start, Label end, int index) {
      int argument = parameters == 0 ? Collections.binarySearch(locals, index) : -1;
      // A slot may be used again for another variable; arguments live from the first instruction.
      if (argument >= 0 && start == first) {
        names.set(argument, variable);
      }
    }

    @Override
    public void visitLabel(Label label) {
      // The table's ranges start at labels, and an argument's at the one before all code.
      if (first == null) {
        first = label;
      }
    }

    @Override
    public void visitEnd() {
      methods.add(new MethodFacts(access, name, descriptor, names));
    }
  }
}
