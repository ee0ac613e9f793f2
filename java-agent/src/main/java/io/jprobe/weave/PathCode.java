// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import io.jprobe.capture.CapturedValue;
import io.jprobe.capture.ProbeKind;
import io.jprobe.capture.TypedPath;
import io.jprobe.capture.TypedPath.Root;
import io.jprobe.capture.ValueType;
import io.jprobe.layout.AbsenceLayout;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.objectweb.asm.Label;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;

/**
 * Generates the code that evaluates paths. Each path has a local variable for its value: the word,
 * or the object itself, whose text is made only when a probe fires. A path with steps has a second
 * variable that marks its value as absent, which also covers exceptions from the application's
 * getters and from linking. While a thread evaluates a path that calls methods, it has a slot in
 * Fire.EVALUATING.
 */
final class PathCode {
  private static final String STRING = "java/lang/String";
  private static final String OBJECT = "java/lang/Object";
  private static final String THROWABLE = "java/lang/Throwable";

  // Reasons of an absent value. Shifted left by the value's index, they are the bits of
  // jprobe.v1.VALUE_TYPE_ABSENCE.
  static final int NULL_IN_PATH = 1 << AbsenceLayout.NULL_SHIFT;
  static final int THREW = 1 << AbsenceLayout.THREW_SHIFT;

  /** Local variables of a path. */
  private static final class PathLocals {
    final int value;

    /** -1 if the value cannot be absent. */
    final int absence;

    PathLocals(int value, int absence) {
      this.value = value;
      this.absence = absence;
    }
  }

  private final AddedLocals locals;
  private final int returned;
  private final StepCode steps;
  private final Map<TypedPath, PathLocals> localsByPath = new LinkedHashMap<>();
  private int exception = -1;

  /** Local variable with the thread's slot in Fire.EVALUATING; -1 if no path calls a method. */
  private int evaluating = -1;

  /**
   * @param returned local variable with the returned value; -1 if the method returns none
   */
  PathCode(StepCode steps, AddedLocals locals, int returned) {
    this.steps = steps;
    this.locals = locals;
    this.returned = returned;
  }

  /** Assigns local variables to a path. All paths must be added before any code is generated. */
  void want(TypedPath path) {
    if (path.root == Root.EXCEPTION || path.root == Root.EXCEPTION_CLASS) {
      exceptionLocal();
    }
    if (isKept(path) && !localsByPath.containsKey(path)) {
      int value = locals.add(typeOfLocal(path));
      int absence = path.canBeAbsent() ? locals.add(Opcodes.INTEGER) : -1;
      localsByPath.put(path, new PathLocals(value, absence));
      if (path.calls() && evaluating < 0) {
        evaluating = locals.add(Opcodes.INTEGER);
      }
    }
  }

  private static Object typeOfLocal(TypedPath path) {
    if (path.valueType == ValueType.STRING) {
      return STRING;
    }
    return path.valueType.isText() ? OBJECT : Opcodes.LONG;
  }

  private static boolean isKept(TypedPath path) {
    return path.root != Root.EXCEPTION_CLASS && path.root != Root.DURATION;
  }

  /** Returns the local variable with the exception that the call throws. */
  int exceptionLocal() {
    if (exception < 0) {
      exception = locals.add(THROWABLE);
    }
    return exception;
  }

  /** Returns the paths that are read when the call begins. */
  List<TypedPath> early() {
    return localsByPath.keySet().stream()
        .filter(path -> !path.isLate && path.root != Root.STACK)
        .collect(Collectors.toList());
  }

  void setDefaults(MethodVisitor code) {
    if (exception >= 0) {
      code.visitInsn(Opcodes.ACONST_NULL);
      code.visitVarInsn(Opcodes.ASTORE, exception);
    }
    if (evaluating >= 0) {
      code.visitInsn(Opcodes.ICONST_0);
      code.visitVarInsn(Opcodes.ISTORE, evaluating);
    }
    localsByPath.forEach(
        (path, pathLocals) -> {
          boolean isReference = path.valueType.isText();
          code.visitInsn(isReference ? Opcodes.ACONST_NULL : Opcodes.LCONST_0);
          code.visitVarInsn(isReference ? Opcodes.ASTORE : Opcodes.LSTORE, pathLocals.value);
          if (pathLocals.absence >= 0) {
            code.visitInsn(Opcodes.ICONST_0);
            code.visitVarInsn(Opcodes.ISTORE, pathLocals.absence);
          }
        });
  }

  /** Reads paths at one location in the method, each once. */
  final class Pass {
    private final MethodVisitor code;
    private final Frames frames;
    private final ProbeKind end;
    private final Set<TypedPath> read = new HashSet<>();

    private Pass(MethodVisitor code, Frames frames, ProbeKind end) {
      this.code = code;
      this.frames = frames;
      this.end = end;
    }

    /** Returns true if the path never has a value when the call ends this way. */
    boolean isMissing(TypedPath path) {
      return end == ProbeKind.THROW
          && (path.root == Root.RETURN || path.root == Root.THIS && path.isLate);
    }

    /** Stack: unchanged, empty. */
    void read(TypedPath path) {
      if (isKept(path) && path.isLate == (end != null) && !isMissing(path) && read.add(path)) {
        PathCode.this.read(code, frames, path);
      }
    }
  }

  /**
   * Takes the stack for a probe that is about to fire, unless the entry probe of the call has. Near
   * the end of the stack, the value stays 0. Stack: unchanged, empty.
   */
  void takeStack(MethodVisitor code, Frames frames, TypedPath path, ProbeKind kind) {
    int value = localsByPath.get(path).value;
    Label from = new Label();
    Label to = new Label();
    Label threw = new Label();
    Label done = new Label();
    code.visitTryCatchBlock(from, to, threw, null);
    if (kind != ProbeKind.ENTRY) {
      code.visitVarInsn(Opcodes.LLOAD, value);
      code.visitInsn(Opcodes.LCONST_0);
      code.visitInsn(Opcodes.LCMP);
      code.visitJumpInsn(Opcodes.IFNE, done);
    }
    code.visitLabel(from);
    steps.pushStack(code, path, kind);
    code.visitVarInsn(Opcodes.LSTORE, value);
    code.visitLabel(to);
    code.visitJumpInsn(Opcodes.GOTO, done);
    code.visitLabel(threw);
    frames.visit(code, THROWABLE);
    code.visitInsn(Opcodes.POP);
    code.visitLabel(done);
    frames.visit(code);
  }

  /**
   * @param end how the call ends; null at its beginning
   */
  Pass pass(MethodVisitor code, Frames frames, ProbeKind end) {
    return new Pass(code, frames, end);
  }

  private void read(MethodVisitor code, Frames frames, TypedPath path) {
    PathLocals pathLocals = localsByPath.get(path);
    if (!path.canBeAbsent()) {
      steps.walk(code, path, returned, exception, null);
      store(code, path, pathLocals);
      return;
    }
    Label from = new Label();
    Label to = new Label();
    Label isNull = new Label();
    Label threw = new Label();
    Label done = new Label();
    code.visitTryCatchBlock(from, to, threw, null);
    code.visitLabel(from);
    if (path.calls()) {
      beginEvaluation(code, frames, threw);
    }
    steps.walk(code, path, returned, exception, isNull);
    store(code, path, pathLocals);
    code.visitLabel(to);
    code.visitJumpInsn(Opcodes.GOTO, done);
    code.visitLabel(isNull);
    frames.visit(code, OBJECT);
    code.visitInsn(Opcodes.POP);
    setAbsent(code, pathLocals, NULL_IN_PATH);
    code.visitJumpInsn(Opcodes.GOTO, done);
    code.visitLabel(threw);
    frames.visit(code, THROWABLE);
    code.visitInsn(Opcodes.POP);
    setAbsent(code, pathLocals, THREW);
    code.visitLabel(done);
    frames.visit(code);
    if (path.calls()) {
      endEvaluation(code);
    }
  }

  /**
   * Registers the thread, or jumps as if the path had thrown an exception. Stack: unchanged, empty.
   */
  private void beginEvaluation(MethodVisitor code, Frames frames, Label threw) {
    Label follows = new Label();
    // Resolves the field now, because resolution in endEvaluation could fail close to a stack
    // overflow.
    pushTable(code);
    code.visitInsn(Opcodes.POP);
    Injection.callFire(code, "beginEvaluation", "()I");
    code.visitInsn(Opcodes.DUP);
    code.visitVarInsn(Opcodes.ISTORE, evaluating);
    code.visitJumpInsn(Opcodes.IFNE, follows);
    code.visitInsn(Opcodes.ACONST_NULL);
    code.visitJumpInsn(Opcodes.GOTO, threw);
    code.visitLabel(follows);
    frames.visit(code);
  }

  /** Frees the slot without a call, which could fail close to a stack overflow. */
  private void endEvaluation(MethodVisitor code) {
    pushTable(code);
    code.visitVarInsn(Opcodes.ILOAD, evaluating);
    code.visitInsn(Opcodes.LCONST_0);
    code.visitInsn(Opcodes.LASTORE);
    code.visitInsn(Opcodes.ICONST_0);
    code.visitVarInsn(Opcodes.ISTORE, evaluating);
  }

  private static void pushTable(MethodVisitor code) {
    code.visitFieldInsn(Opcodes.GETSTATIC, Injection.FIRE, "EVALUATING", "[J");
  }

  private static void setAbsent(MethodVisitor code, PathLocals pathLocals, int why) {
    Injection.pushInt(code, why);
    code.visitVarInsn(Opcodes.ISTORE, pathLocals.absence);
  }

  /** Stack: ..., value → ... */
  private static void store(MethodVisitor code, TypedPath path, PathLocals pathLocals) {
    if (path.valueType.isText()) {
      code.visitVarInsn(Opcodes.ASTORE, pathLocals.value);
    } else {
      Words.convert(code, path.valueType);
      code.visitVarInsn(Opcodes.LSTORE, pathLocals.value);
    }
  }

  /**
   * Pushes the word that a probe passes.
   *
   * @param text index of the next string among the strings of the event
   * @return true if the index was used
   */
  boolean push(MethodVisitor code, TypedPath path, int text) {
    if (path.root == Root.EXCEPTION_CLASS) {
      code.visitVarInsn(Opcodes.ALOAD, exception);
      Injection.pushInt(code, text);
      Injection.callFire(code, "className", "(Ljava/lang/Object;I)J");
      return true;
    }
    load(code, path);
    if (!path.valueType.isText()) {
      return false;
    }
    Injection.pushInt(code, text);
    if (path.valueType == ValueType.STRING) {
      Injection.callFire(code, "text", "(Ljava/lang/String;I)J");
    } else {
      Injection.callFire(code, "object", "(Ljava/lang/Object;I)J");
    }
    return true;
  }

  /** Pushes the word, or the string or other object. */
  void load(MethodVisitor code, TypedPath path) {
    boolean isReference = path.valueType.isText();
    code.visitVarInsn(isReference ? Opcodes.ALOAD : Opcodes.LLOAD, localsByPath.get(path).value);
  }

  /** Pushes 0, {@link #NULL_IN_PATH} or {@link #THREW}. */
  void loadAbsence(MethodVisitor code, TypedPath path) {
    code.visitVarInsn(Opcodes.ILOAD, localsByPath.get(path).absence);
  }

  /** Pushes the word that marks the absent values. At least one value must be able to be absent. */
  void pushAbsence(MethodVisitor code, List<CapturedValue> values) {
    boolean isFirst = true;
    for (int i = 0; i < values.size(); i++) {
      TypedPath path = values.get(i).path;
      if (path != null && path.canBeAbsent()) {
        loadAbsence(code, path);
        if (i > 0) {
          Injection.pushInt(code, i);
          code.visitInsn(Opcodes.ISHL);
        }
        if (!isFirst) {
          code.visitInsn(Opcodes.IOR);
        }
        isFirst = false;
      }
    }
    code.visitInsn(Opcodes.I2L);
  }
}
