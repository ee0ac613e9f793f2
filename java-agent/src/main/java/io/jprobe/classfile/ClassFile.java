// SPDX-License-Identifier: Apache-2.0
package io.jprobe.classfile;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.objectweb.asm.AnnotationVisitor;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.ClassVisitor;
import org.objectweb.asm.FieldVisitor;
import org.objectweb.asm.Label;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.RecordComponentVisitor;
import org.objectweb.asm.Type;
import org.objectweb.asm.TypePath;

/**
 * Properties of a class, read from its class file without loading a class. Methods are in the
 * file's order.
 */
public final class ClassFile {
  /** Tag of a constant pool entry (JVMS 4.4.7). */
  private static final int CONSTANT_UTF8 = 1;

  private static final String INVISIBLE_ANNOTATIONS = "RuntimeInvisibleAnnotations";

  /** ACC_ flags (JVMS 4.1). */
  public final int access;

  /** Internal name, with slashes. */
  public final String internalName;

  /** Internal name, with slashes; null for java.lang.Object. */
  public final String superName;

  /** Internal names, with slashes. */
  public final List<String> interfaces;

  /** Binary names, with dots, of the annotations on the class, of every retention except SOURCE. */
  public final Set<String> annotations;

  public final List<FieldFacts> fields;
  public final List<MethodFacts> methods;

  /** Names of a record's components; empty if the class is not a record. */
  public final Set<String> recordComponents;

  /** True if the type of a record component has an annotation that is visible to reflection. */
  public final boolean hasAnnotatedRecordTypes;

  /**
   * True if the constant pool contains the name of the attribute MethodParameters. When the JVM
   * writes the class file of a loaded class, it may omit the attribute but never the name.
   */
  public final boolean namesMethodParameters;

  /** True if a method has the attribute. */
  public final boolean hasMethodParameters;

  /** True if the class, a method or a field has an annotation of retention CLASS. */
  public final boolean hasInvisibleAnnotations;

  private ClassFile(Reader reader, boolean namesMethodParameters) {
    this.access = reader.access;
    this.internalName = reader.internalName;
    this.superName = reader.superName;
    this.interfaces = List.copyOf(reader.interfaces);
    this.annotations = Set.copyOf(reader.annotations);
    this.fields = List.copyOf(reader.fields);
    this.methods = List.copyOf(reader.methods);
    this.hasInvisibleAnnotations = reader.hasInvisibleAnnotations;
    this.recordComponents = Set.copyOf(reader.recordComponents);
    this.hasAnnotatedRecordTypes = reader.hasAnnotatedRecordTypes;
    this.namesMethodParameters = namesMethodParameters;
    this.hasMethodParameters = reader.hasMethodParameters;
  }

  private ClassFile(ClassFile from, Reader merged) {
    this.access = from.access;
    this.internalName = from.internalName;
    this.superName = from.superName;
    this.interfaces = from.interfaces;
    this.annotations = Set.copyOf(merged.annotations);
    this.fields = from.fields;
    this.methods = List.copyOf(merged.methods);
    this.hasInvisibleAnnotations = true;
    this.recordComponents = from.recordComponents;
    this.hasAnnotatedRecordTypes = from.hasAnnotatedRecordTypes;
    this.namesMethodParameters = from.namesMethodParameters;
    this.hasMethodParameters = from.hasMethodParameters;
  }

  /**
   * Throws a RuntimeException for a file that ASM cannot read, such as one of a later Java version.
   */
  public static ClassFile read(byte[] bytes) {
    Reader reader = new Reader();
    ClassReader classReader = new ClassReader(bytes);
    classReader.accept(reader, ClassReader.SKIP_FRAMES);
    return new ClassFile(reader, hasText(classReader, MethodParameters.ATTRIBUTE));
  }

  /** See {@link #namesMethodParameters}. */
  public static boolean namesMethodParameters(byte[] bytes) {
    return hasText(new ClassReader(bytes), MethodParameters.ATTRIBUTE);
  }

  /**
   * Returns true if the class file that the JVM has written of a loaded class may lack annotations
   * of retention CLASS: the JVM omits the attribute, but not its name.
   */
  public boolean lacksInvisibleAnnotations(byte[] bytes) {
    return !hasInvisibleAnnotations && hasText(new ClassReader(bytes), INVISIBLE_ANNOTATIONS);
  }

  /**
   * Returns this class with the annotations of another class file of it; null if that belongs to
   * another version of the class, with other methods.
   */
  public ClassFile withAnnotationsOf(ClassFile original) {
    Map<String, MethodFacts> known = new HashMap<>();
    original.methods.forEach(method -> known.put(method.name + method.descriptor, method));
    Reader merged = new Reader();
    merged.annotations.addAll(annotations);
    merged.annotations.addAll(original.annotations);
    for (MethodFacts method : methods) {
      MethodFacts other = known.remove(method.name + method.descriptor);
      merged.methods.add(other == null ? method : method.withAnnotations(other.annotations));
    }
    // Other agents may have added methods, but none is missing.
    boolean isSame = internalName.equals(original.internalName) && known.isEmpty();
    return isSame ? new ClassFile(this, merged) : null;
  }

  /** Returns true if the ASCII text is an entry of the constant pool. */
  private static boolean hasText(ClassReader file, String text) {
    for (int i = 1; i < file.getItemCount(); i++) {
      int entry = file.getItem(i);
      // The second half of a long or double is not an entry.
      if (entry != 0 && file.readByte(entry - 1) == CONSTANT_UTF8 && isText(file, entry, text)) {
        return true;
      }
    }
    return false;
  }

  private static boolean isText(ClassReader file, int entry, String text) {
    if (file.readUnsignedShort(entry) != text.length()) {
      return false;
    }
    for (int i = 0; i < text.length(); i++) {
      if (file.readByte(entry + 2 + i) != text.charAt(i)) {
        return false;
      }
    }
    return true;
  }

  /** Returns the binary name, with dots. */
  public String name() {
    return internalName.replace('/', '.');
  }

  public boolean isInterface() {
    return (access & Opcodes.ACC_INTERFACE) != 0;
  }

  private static final class Reader extends ClassVisitor {
    int access;
    String internalName;
    String superName;
    List<String> interfaces = List.of();
    final Set<String> annotations = new HashSet<>();
    final List<FieldFacts> fields = new ArrayList<>();
    final List<MethodFacts> methods = new ArrayList<>();
    final Set<String> recordComponents = new HashSet<>();
    boolean hasAnnotatedRecordTypes;
    boolean hasMethodParameters;
    boolean hasInvisibleAnnotations;

    private final FieldVisitor fieldReader =
        new FieldVisitor(Opcodes.ASM9) {
          @Override
          public AnnotationVisitor visitAnnotation(String descriptor, boolean visible) {
            hasInvisibleAnnotations |= !visible;
            return null;
          }
        };

    Reader() {
      super(Opcodes.ASM9);
    }

    @Override
    public void visit(
        int version,
        int access,
        String name,
        String signature,
        String superName,
        String[] interfaces) {
      this.access = access;
      this.internalName = name;
      this.superName = superName;
      this.interfaces = interfaces == null ? List.of() : List.of(interfaces);
    }

    @Override
    public AnnotationVisitor visitAnnotation(String descriptor, boolean visible) {
      annotations.add(Type.getType(descriptor).getClassName());
      hasInvisibleAnnotations |= !visible;
      return null;
    }

    @Override
    public RecordComponentVisitor visitRecordComponent(
        String name, String descriptor, String signature) {
      recordComponents.add(name);
      return new RecordComponentVisitor(Opcodes.ASM9) {
        @Override
        public AnnotationVisitor visitAnnotation(String descriptor, boolean visible) {
          hasInvisibleAnnotations |= !visible;
          return null;
        }

        @Override
        public AnnotationVisitor visitTypeAnnotation(
            int typeRef, TypePath typePath, String descriptor, boolean visible) {
          hasAnnotatedRecordTypes |= visible;
          return null;
        }
      };
    }

    @Override
    public FieldVisitor visitField(
        int access, String name, String descriptor, String signature, Object value) {
      fields.add(new FieldFacts(access, name, Type.getType(descriptor)));
      return fieldReader;
    }

    @Override
    public MethodVisitor visitMethod(
        int access, String name, String descriptor, String signature, String[] exceptions) {
      return new MethodReader(this, access, name, descriptor);
    }
  }

  /** Collects argument names: MethodParameters where present, else the local variable table. */
  private static final class MethodReader extends MethodVisitor {
    private final Reader reader;
    private final int access;
    private final String name;
    private final String descriptor;
    private final Set<String> annotations = new HashSet<>();
    private final List<Integer> locals = new ArrayList<>();
    private final List<String> names = new ArrayList<>();
    private int parameters;
    private Label first;

    MethodReader(Reader reader, int access, String name, String descriptor) {
      super(Opcodes.ASM9);
      this.reader = reader;
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
    public AnnotationVisitor visitAnnotation(String descriptor, boolean visible) {
      annotations.add(Type.getType(descriptor).getClassName());
      reader.hasInvisibleAnnotations |= !visible;
      return null;
    }

    @Override
    public void visitParameter(String parameter, int parameterAccess) {
      reader.hasMethodParameters = true;
      if (parameter != null && parameters < names.size()) {
        names.set(parameters, parameter);
      }
      parameters++;
    }

    @Override
    public void visitLocalVariable(
        String variable, String type, String signature, Label start, Label end, int index) {
      int argument = parameters == 0 ? Collections.binarySearch(locals, index) : -1;
      // A slot may be reused for another variable; arguments are valid from the first
      // instruction.
      if (argument >= 0 && start == first) {
        names.set(argument, variable);
      }
    }

    @Override
    public void visitLabel(Label label) {
      // Ranges in the table start at labels. The range of an argument starts at the label before
      // all code.
      if (first == null) {
        first = label;
      }
    }

    @Override
    public void visitEnd() {
      reader.methods.add(new MethodFacts(access, name, descriptor, annotations, names));
    }
  }
}
