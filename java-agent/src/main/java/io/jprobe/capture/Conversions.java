// SPDX-License-Identifier: Apache-2.0
package io.jprobe.capture;

import io.jprobe.capture.TypedPath.Step;
import io.jprobe.classfile.ClassFile;
import java.util.Set;
import org.objectweb.asm.Type;

/**
 * Steps that make a string, a number or a boolean of an object whose class is known at run time
 * only: an element of a list, an argument of type Object. If the object has another class, the
 * value is absent.
 */
final class Conversions {
  private static final String LANG = "java/lang/";
  private static final String OBJECT = LANG + "Object";
  private static final Set<String> TEXTS = Set.of(OBJECT, LANG + "Enum");
  private static final Set<String> NUMBERS = Set.of(OBJECT, LANG + "Number");
  private static final Set<String> DECIMALS = Set.of(LANG + "Float", LANG + "Double");
  private static final Set<String> TRUTHS = Set.of(OBJECT, LANG + "Boolean");
  private static final Set<String> WHOLE =
      Set.of(
          LANG + "Integer",
          LANG + "Long",
          LANG + "Short",
          LANG + "Byte",
          "java/util/concurrent/atomic/AtomicInteger",
          "java/util/concurrent/atomic/AtomicLong");

  private final ClassFiles files;

  Conversions(ClassFiles files) {
    this.files = files;
  }

  /** Returns null if no object of this type is a string or an enum's constant. */
  Step toText(Type type) {
    Type string = Type.getObjectType(LANG + "String");
    return mayBe(type, TEXTS) ? step(Step.Kind.TEXT, "string", string) : null;
  }

  /**
   * Returns null if no object of this type is a number.
   *
   * @param isDecimal true if it is compared with a number that may have decimals
   */
  Step toNumber(Type type, boolean isDecimal) {
    boolean hasDecimals = isOneOf(type, DECIMALS);
    if (!hasDecimals && !mayBe(type, NUMBERS) && !isOneOf(type, WHOLE)) {
      return null;
    }
    return isDecimal || hasDecimals
        ? step(Step.Kind.DECIMAL, "decimal", Type.DOUBLE_TYPE)
        : step(Step.Kind.NUMBER, "number", Type.LONG_TYPE);
  }

  /** Returns null if no object of this type is a Boolean. */
  Step toTruth(Type type) {
    return mayBe(type, TRUTHS) ? step(Step.Kind.TRUTH, "truth", Type.BOOLEAN_TYPE) : null;
  }

  private static Step step(Step.Kind kind, String name, Type type) {
    return new Step(kind, OBJECT, name, type, false);
  }

  /** Returns true for one of the classes, and for an interface, which they may implement. */
  private boolean mayBe(Type type, Set<String> classes) {
    if (type.getSort() != Type.OBJECT) {
      return false;
    }
    ClassFile file = files.find(type.getInternalName());
    return isOneOf(type, classes) || file != null && file.isInterface();
  }

  private static boolean isOneOf(Type type, Set<String> classes) {
    return type.getSort() == Type.OBJECT && classes.contains(type.getInternalName());
  }
}
