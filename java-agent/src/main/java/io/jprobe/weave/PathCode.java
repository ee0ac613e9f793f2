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
 * The code that follows paths. Each path has a local for its value: the word, or the string itself,
 * whose text is copied only when a probe fires. A path with steps has another that says whether
 * there is a value: whatever an application's getter throws, and whatever the linker does, ends
 * here. While a path is followed that calls methods, the thread has a place in Fire.FOLLOWING.
 */
final class PathCode {
  private static final String STRING = "java/lang/String";
  private static final String OBJECT = "java/lang/Object";
  private static final String THROWABLE = "java/lang/Throwable";

  // What the local of a path's absence says; shifted by the value's index, the bits of
  // jprobe.v1.VALUE_TYPE_ABSENCE.
  static final int NULL_IN_PATH = 1 << AbsenceLayout.NULL_SHIFT;
  static final int THREW = 1 << AbsenceLayout.THREW_SHIFT;

  /** Where a path is kept. */
  private static final class Place {
    final int value;

    /** -1 where the value cannot be absent. */
    final int absence;

    Place(int value, int absence) {
      this.value = value;
      this.absence = absence;
    }
  }

  private final AddedLocals locals;
  private final int returned;
  private final StepCode steps;
  private final Map<TypedPath, Place> places = new LinkedHashMap<>();
  private int exception = -1;

  /** The local with the place of a thread that follows a path; -1 where no path calls anything. */
  private int evaluating = -1;

  /**
   * @param returned the local with what is returned; -1 where nothing is
   */
  PathCode(StepCode steps, AddedLocals locals, int returned) {
    this.steps = steps;
    this.locals = locals;
    this.returned = returned;
  }

  /** Gives a path its locals. All paths have to be told of before any code is made. */
  void want(TypedPath path) {
    if (path.root == Root.EXCEPTION || path.root == Root.EXCEPTION_CLASS) {
      exceptionLocal();
    }
    if (isKept(path) && !places.containsKey(path)) {
      int value = locals.add(path.valueType == ValueType.STRING ? STRING : Opcodes.LONG);
      int absence = path.canBeAbsent() ? locals.add(Opcodes.INTEGER) : -1;
      places.put(path, new Place(value, absence));
      if (path.calls() && evaluating < 0) {
        evaluating = locals.add(Opcodes.INTEGER);
      }
    }
  }

  private static boolean isKept(TypedPath path) {
    return path.root != Root.EXCEPTION_CLASS && path.root != Root.DURATION;
  }

  /** The local with what was thrown, while the call ends with it. */
  int exceptionLocal() {
    if (exception < 0) {
      exception = locals.add(THROWABLE);
    }
    return exception;
  }

  /** The paths that are read when the call begins. */
  List<TypedPath> early() {
    return places.keySet().stream().filter(path -> !path.isLate).collect(Collectors.toList());
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
    places.forEach(
        (path, place) -> {
          boolean isString = path.valueType == ValueType.STRING;
          code.visitInsn(isString ? Opcodes.ACONST_NULL : Opcodes.LCONST_0);
          code.visitVarInsn(isString ? Opcodes.ASTORE : Opcodes.LSTORE, place.value);
          if (place.absence >= 0) {
            code.visitInsn(Opcodes.ICONST_0);
            code.visitVarInsn(Opcodes.ISTORE, place.absence);
          }
        });
  }

  /** The paths read at one place in the method, each once. */
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

    /** Whether there never is such a value where the call ends like this. */
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
   * @param end how the call ends; null where it begins
   */
  Pass pass(MethodVisitor code, Frames frames, ProbeKind end) {
    return new Pass(code, frames, end);
  }

  private void read(MethodVisitor code, Frames frames, TypedPath path) {
    Place place = places.get(path);
    if (!path.canBeAbsent()) {
      steps.walk(code, path, returned, exception, null);
      store(code, path, place);
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
    store(code, path, place);
    code.visitLabel(to);
    code.visitJumpInsn(Opcodes.GOTO, done);
    code.visitLabel(isNull);
    frames.visit(code, OBJECT);
    code.visitInsn(Opcodes.POP);
    setAbsent(code, place, NULL_IN_PATH);
    code.visitJumpInsn(Opcodes.GOTO, done);
    code.visitLabel(threw);
    frames.visit(code, THROWABLE);
    code.visitInsn(Opcodes.POP);
    setAbsent(code, place, THREW);
    code.visitLabel(done);
    frames.visit(code);
    if (path.calls()) {
      endEvaluation(code);
    }
  }

  /** Goes on, or as if something had been thrown. Stack: unchanged, empty. */
  private void beginEvaluation(MethodVisitor code, Frames frames, Label threw) {
    Label follows = new Label();
    // So that endEvaluation has nothing left to resolve, which could fail at the end of the stack
    // too.
    pushPlaces(code);
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

  /** Without a call, which could fail at the end of the stack. */
  private void endEvaluation(MethodVisitor code) {
    pushPlaces(code);
    code.visitVarInsn(Opcodes.ILOAD, evaluating);
    code.visitInsn(Opcodes.LCONST_0);
    code.visitInsn(Opcodes.LASTORE);
    code.visitInsn(Opcodes.ICONST_0);
    code.visitVarInsn(Opcodes.ISTORE, evaluating);
  }

  private static void pushPlaces(MethodVisitor code) {
    code.visitFieldInsn(Opcodes.GETSTATIC, Injection.FIRE, "EVALUATING", "[J");
  }

  private static void setAbsent(MethodVisitor code, Place place, int why) {
    Injection.pushInt(code, why);
    code.visitVarInsn(Opcodes.ISTORE, place.absence);
  }

  /** Stack: ..., value → ... */
  private static void store(MethodVisitor code, TypedPath path, Place place) {
    if (path.valueType == ValueType.STRING) {
      code.visitVarInsn(Opcodes.ASTORE, place.value);
    } else {
      Words.convert(code, path.valueType);
      code.visitVarInsn(Opcodes.LSTORE, place.value);
    }
  }

  /**
   * Pushes the word that a probe passes.
   *
   * @param text the place for the text of the next string
   * @return whether that place was used
   */
  boolean push(MethodVisitor code, TypedPath path, int text) {
    if (path.root == Root.EXCEPTION_CLASS) {
      code.visitVarInsn(Opcodes.ALOAD, exception);
      Injection.pushInt(code, text);
      Injection.callFire(code, "className", "(Ljava/lang/Object;I)J");
      return true;
    }
    load(code, path);
    if (path.valueType != ValueType.STRING) {
      return false;
    }
    Injection.pushInt(code, text);
    Injection.callFire(code, "text", "(Ljava/lang/String;I)J");
    return true;
  }

  /** Pushes the word, or the string. */
  void load(MethodVisitor code, TypedPath path) {
    boolean isString = path.valueType == ValueType.STRING;
    code.visitVarInsn(isString ? Opcodes.ALOAD : Opcodes.LLOAD, places.get(path).value);
  }

  /** Pushes what the absence of a path is: 0, {@link #NULL_IN_PATH} or {@link #THREW}. */
  void loadAbsence(MethodVisitor code, TypedPath path) {
    code.visitVarInsn(Opcodes.ILOAD, places.get(path).absence);
  }

  /** Pushes the word that says which of the values, one of which can be, are absent. */
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
