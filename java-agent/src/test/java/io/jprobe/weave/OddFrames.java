// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Consumer;
import org.objectweb.asm.ClassWriter;
import org.objectweb.asm.Label;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;

/**
 * Classes whose methods use their variables in ways that the verifier allows and javac never
 * generates, but shrinkers and the compilers of Kotlin, Scala and Groovy do. Each class has a field
 * "id". The unusual code is in its constructor "(I)V", which sets the field to its argument, or in
 * its method "run(IJLjava/lang/Object;)I".
 */
final class OddFrames {
  private static final Object UNINITIALIZED = Opcodes.UNINITIALIZED_THIS;
  private static final Object INT = Opcodes.INTEGER;
  private static final Object[] NOTHING = {};

  /** Argument for which a constructor throws before it calls super(). */
  static final int EARLY = 100;

  private final String odd;
  private final MethodVisitor code;
  private final boolean hasFrames;

  private OddFrames(String className, MethodVisitor code, boolean hasFrames) {
    this.odd = className;
    this.code = code;
    this.hasFrames = hasFrames;
  }

  /** Returns the unusual constructors, by a description. */
  static Map<String, Consumer<OddFrames>> constructors() {
    Map<String, Consumer<OddFrames>> all = new LinkedHashMap<>();
    all.put("this is dropped at the return", OddFrames::dropped);
    all.put("this is overwritten by a number", OddFrames::overwritten);
    all.put("this is overwritten by another object of the class", OddFrames::exchanged);
    all.put("this moves before super()", OddFrames::moved);
    all.put("super() is called in two places", OddFrames::twice);
    all.put("the code is out of order", OddFrames::outOfOrder);
    all.put("exceptions are caught before super()", OddFrames::guarded);
    all.put("there is a loop before super()", OddFrames::looped);
    all.put("this is an Object at the return", OddFrames::widened);
    all.put("super() stands between a new and its constructor", OddFrames::interleaved);
    all.put("an object is made and not used", OddFrames::unused);
    all.put("this lies on the stack across a branch", OddFrames::branched);
    all.put("something is left on the stack at the return", OddFrames::littered);
    all.put("returns are never reached", OddFrames::dead);
    return all;
  }

  /** Returns the unusual methods, by a description. */
  static Map<String, Consumer<OddFrames>> methods() {
    Map<String, Consumer<OddFrames>> all = new LinkedHashMap<>();
    all.put("all variables are dropped", OddFrames::runDropped);
    all.put("all variables are overwritten", OddFrames::runOverwritten);
    all.put("returns are never reached", OddFrames::runDead);
    return all;
  }

  /** Returns a class with such a constructor and an ordinary method. */
  static byte[] withConstructor(String className, int version, Consumer<OddFrames> body) {
    return write(className, version, body, OddFrames::runPlainly);
  }

  /** Returns a class with such a method and an ordinary constructor. */
  static byte[] withMethod(String className, int version, Consumer<OddFrames> body) {
    return write(className, version, OddFrames::plain, body);
  }

  private static byte[] write(
      String className, int version, Consumer<OddFrames> constructor, Consumer<OddFrames> method) {
    ClassWriter writer = new ClassWriter(ClassWriter.COMPUTE_MAXS);
    writer.visit(
        version, Opcodes.ACC_PUBLIC | Opcodes.ACC_SUPER, className, null, "java/lang/Object", null);
    writer.visitField(Opcodes.ACC_PUBLIC, "id", "I", null, null).visitEnd();
    boolean hasFrames = version >= Opcodes.V1_6;
    write(
        writer,
        "<init>",
        "(I)V",
        code -> constructor.accept(new OddFrames(className, code, hasFrames)));
    write(writer, "<init>", "()V", code -> new OddFrames(className, code, hasFrames).other());
    write(
        writer,
        "run",
        "(IJLjava/lang/Object;)I",
        code -> method.accept(new OddFrames(className, code, hasFrames)));
    writer.visitEnd();
    return writer.toByteArray();
  }

  private static void write(
      ClassWriter writer, String name, String descriptor, Consumer<MethodVisitor> body) {
    MethodVisitor code = writer.visitMethod(Opcodes.ACC_PUBLIC, name, descriptor, null, null);
    code.visitCode();
    body.accept(code);
    code.visitMaxs(0, 0);
    code.visitEnd();
  }

  // ---- parts of bodies ----

  private void frame(Object[] locals, Object... stack) {
    if (hasFrames) {
      code.visitFrame(Opcodes.F_NEW, locals.length, locals, stack.length, stack);
    }
  }

  private static Object[] locals(Object... types) {
    return types;
  }

  private void load(int local) {
    code.visitVarInsn(Opcodes.ALOAD, local);
  }

  private void initialize() {
    code.visitMethodInsn(Opcodes.INVOKESPECIAL, "java/lang/Object", "<init>", "()V", false);
  }

  /** Calls super(), as compilers do. */
  private void initializeFirst() {
    load(0);
    initialize();
  }

  private void setId(int self) {
    load(self);
    code.visitVarInsn(Opcodes.ILOAD, 1);
    code.visitFieldInsn(Opcodes.PUTFIELD, odd, "id", "I");
  }

  private void throwNew(String type) {
    code.visitTypeInsn(Opcodes.NEW, type);
    code.visitInsn(Opcodes.DUP);
    code.visitMethodInsn(Opcodes.INVOKESPECIAL, type, "<init>", "()V", false);
    code.visitInsn(Opcodes.ATHROW);
  }

  /** Throws for a negative argument; otherwise continues with such a frame. */
  private void throwIfNegative(Object... frame) {
    Label positive = new Label();
    code.visitVarInsn(Opcodes.ILOAD, 1);
    code.visitJumpInsn(Opcodes.IFGE, positive);
    throwNew("java/lang/IllegalStateException");
    code.visitLabel(positive);
    frame(frame);
  }

  /** Throws for {@link #EARLY}; otherwise continues with such a frame. */
  private void throwIfEarly(Object... frame) {
    Label otherwise = new Label();
    code.visitVarInsn(Opcodes.ILOAD, 1);
    code.visitIntInsn(Opcodes.BIPUSH, EARLY);
    code.visitJumpInsn(Opcodes.IF_ICMPNE, otherwise);
    throwNew("java/lang/IllegalArgumentException");
    code.visitLabel(otherwise);
    frame(frame);
  }

  private void returnVoid() {
    code.visitInsn(Opcodes.RETURN);
  }

  // ---- constructors ----

  private void plain() {
    initializeFirst();
    setId(0);
    throwIfNegative(odd, INT);
    returnVoid();
  }

  /** The constructor "()V", which sets id to 99. */
  private void other() {
    initializeFirst();
    load(0);
    code.visitIntInsn(Opcodes.BIPUSH, 99);
    code.visitFieldInsn(Opcodes.PUTFIELD, odd, "id", "I");
    returnVoid();
  }

  private void dropped() {
    initializeFirst();
    setId(0);
    throwIfNegative();
    returnVoid();
  }

  private void overwritten() {
    initializeFirst();
    setId(0);
    code.visitInsn(Opcodes.ICONST_5);
    code.visitVarInsn(Opcodes.ISTORE, 0);
    throwIfNegative(INT, INT);
    returnVoid();
  }

  private void exchanged() {
    initializeFirst();
    setId(0);
    code.visitTypeInsn(Opcodes.NEW, odd);
    code.visitInsn(Opcodes.DUP);
    code.visitMethodInsn(Opcodes.INVOKESPECIAL, odd, "<init>", "()V", false);
    code.visitVarInsn(Opcodes.ASTORE, 0);
    throwIfNegative(odd, INT);
    returnVoid();
  }

  private void moved() {
    load(0);
    code.visitVarInsn(Opcodes.ASTORE, 2);
    code.visitInsn(Opcodes.ICONST_0);
    code.visitVarInsn(Opcodes.ISTORE, 0);
    throwIfEarly(INT, INT, UNINITIALIZED);
    load(2);
    initialize();
    setId(2);
    throwIfNegative(Opcodes.TOP, INT, odd);
    returnVoid();
  }

  private void twice() {
    Label second = new Label();
    Label both = new Label();
    throwIfEarly(UNINITIALIZED, INT);
    code.visitVarInsn(Opcodes.ILOAD, 1);
    code.visitJumpInsn(Opcodes.IFLT, second);
    initializeFirst();
    code.visitJumpInsn(Opcodes.GOTO, both);
    code.visitLabel(second);
    frame(locals(UNINITIALIZED, INT));
    initializeFirst();
    code.visitLabel(both);
    frame(locals(odd, INT));
    setId(0);
    throwIfNegative(odd, INT);
    returnVoid();
  }

  private void outOfOrder() {
    Label before = new Label();
    Label after = new Label();
    code.visitJumpInsn(Opcodes.GOTO, before);
    code.visitLabel(after);
    frame(locals(odd, INT));
    setId(0);
    throwIfNegative(odd, INT);
    returnVoid();
    code.visitLabel(before);
    frame(locals(UNINITIALIZED, INT));
    throwIfEarly(UNINITIALIZED, INT);
    initializeFirst();
    code.visitJumpInsn(Opcodes.GOTO, after);
  }

  private void guarded() {
    Label from = new Label();
    Label to = new Label();
    Label handler = new Label();
    Label caught = new Label();
    code.visitTryCatchBlock(from, to, handler, "java/lang/IllegalArgumentException");
    code.visitLabel(from);
    throwIfEarly(UNINITIALIZED, INT);
    code.visitLabel(to);
    code.visitJumpInsn(Opcodes.GOTO, caught);
    code.visitLabel(handler);
    frame(locals(UNINITIALIZED, INT), "java/lang/IllegalArgumentException");
    code.visitInsn(Opcodes.POP);
    code.visitLabel(caught);
    frame(locals(UNINITIALIZED, INT));
    throwIfEarly(UNINITIALIZED, INT);
    initializeFirst();
    setId(0);
    throwIfNegative(NOTHING);
    returnVoid();
  }

  private void looped() {
    Label loop = new Label();
    code.visitInsn(Opcodes.ICONST_0);
    code.visitVarInsn(Opcodes.ISTORE, 2);
    code.visitLabel(loop);
    frame(locals(UNINITIALIZED, INT, INT));
    code.visitIincInsn(2, 1);
    code.visitVarInsn(Opcodes.ILOAD, 2);
    code.visitInsn(Opcodes.ICONST_3);
    code.visitJumpInsn(Opcodes.IF_ICMPLT, loop);
    throwIfEarly(UNINITIALIZED, INT);
    initializeFirst();
    setId(0);
    throwIfNegative(odd, INT);
    returnVoid();
  }

  private void widened() {
    initializeFirst();
    setId(0);
    throwIfNegative("java/lang/Object", INT);
    returnVoid();
  }

  private void interleaved() {
    String type = "java/lang/StringBuilder";
    code.visitTypeInsn(Opcodes.NEW, type);
    code.visitInsn(Opcodes.DUP);
    initializeFirst();
    setId(0);
    code.visitMethodInsn(Opcodes.INVOKESPECIAL, type, "<init>", "()V", false);
    code.visitInsn(Opcodes.POP);
    throwIfNegative(odd, INT);
    returnVoid();
  }

  private void unused() {
    code.visitTypeInsn(Opcodes.NEW, "java/lang/StringBuilder");
    code.visitInsn(Opcodes.POP);
    throwIfEarly(UNINITIALIZED, INT);
    initializeFirst();
    setId(0);
    throwIfNegative(odd, INT);
    returnVoid();
  }

  private void branched() {
    Label positive = new Label();
    load(0);
    code.visitVarInsn(Opcodes.ILOAD, 1);
    code.visitJumpInsn(Opcodes.IFGE, positive);
    code.visitInsn(Opcodes.NOP);
    code.visitLabel(positive);
    frame(locals(UNINITIALIZED, INT), UNINITIALIZED);
    initialize();
    setId(0);
    throwIfNegative(NOTHING);
    returnVoid();
  }

  private void littered() {
    initializeFirst();
    setId(0);
    throwIfNegative(NOTHING);
    code.visitInsn(Opcodes.LCONST_1);
    code.visitInsn(Opcodes.ACONST_NULL);
    returnVoid();
  }

  private void dead() {
    initializeFirst();
    setId(0);
    throwIfNegative(odd, INT);
    returnVoid();
    if (hasFrames) {
      code.visitLabel(new Label());
      frame(NOTHING, INT, Opcodes.LONG);
      returnVoid();
      code.visitLabel(new Label());
      frame(locals(INT, UNINITIALIZED));
      code.visitInsn(Opcodes.ACONST_NULL);
      code.visitInsn(Opcodes.ATHROW);
    }
  }

  // ---- methods ----

  private void runPlainly() {
    throwIfNegative(odd, INT, Opcodes.LONG, "java/lang/Object");
    code.visitVarInsn(Opcodes.ILOAD, 1);
    code.visitInsn(Opcodes.IRETURN);
  }

  private void runDropped() {
    throwIfNegative();
    code.visitInsn(Opcodes.ICONST_4);
    code.visitInsn(Opcodes.IRETURN);
  }

  private void runOverwritten() {
    Label positive = new Label();
    code.visitVarInsn(Opcodes.ILOAD, 1);
    code.visitInsn(Opcodes.LCONST_1);
    code.visitVarInsn(Opcodes.LSTORE, 0);
    code.visitInsn(Opcodes.DCONST_1);
    code.visitVarInsn(Opcodes.DSTORE, 2);
    code.visitInsn(Opcodes.ICONST_4);
    code.visitVarInsn(Opcodes.ISTORE, 4);
    code.visitJumpInsn(Opcodes.IFGE, positive);
    throwNew("java/lang/IllegalStateException");
    code.visitLabel(positive);
    frame(locals(Opcodes.LONG, Opcodes.DOUBLE, INT));
    code.visitVarInsn(Opcodes.ILOAD, 4);
    code.visitInsn(Opcodes.IRETURN);
  }

  private void runDead() {
    runOverwritten();
    if (hasFrames) {
      code.visitLabel(new Label());
      frame(NOTHING, Opcodes.LONG, INT);
      code.visitInsn(Opcodes.IRETURN);
    }
  }
}
