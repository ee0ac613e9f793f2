// SPDX-License-Identifier: Apache-2.0
package io.jprobe.capture;

import io.jprobe.capture.TypedPath.Step;
import io.jprobe.classfile.ClassFile;
import io.jprobe.classfile.FieldFacts;
import io.jprobe.classfile.MethodFacts;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.Type;

/**
 * Finds fields and methods without arguments in classes and their supertypes, if code of the traced
 * class can access them. Fields of application classes are read regardless of their access. Fields
 * of the JDK's classes must be public, because private ones may change between versions.
 */
final class Members {
  /** Maximum number of names for an error message. */
  private static final int MAX_NAMES = 200;

  private static final String OBJECT = "java/lang/Object";

  private final ClassFiles files;
  private final String host;

  /**
   * @param host internal name of the class whose code accesses the members
   */
  Members(ClassFiles files, String host) {
    this.files = files;
    this.host = host;
  }

  /** Returns the step from an object to its field, or null if there is no such instance field. */
  Step field(ClassFile type, String name) {
    for (ClassFile at = type; at != null; at = superclass(at)) {
      for (FieldFacts field : at.fields) {
        if (field.name.equals(name) && !field.isStatic()) {
          boolean accessible = isAccessible(at, field.access);
          if (!accessible && isOfJdk(at.internalName)) {
            return null;
          }
          // Names the static type as the owner, so that the verifier need not load it.
          boolean byType = accessible && isAccessible(type, Opcodes.ACC_PUBLIC);
          return new Step(
              accessible ? Step.Kind.FIELD : Step.Kind.HIDDEN_FIELD,
              byType ? type.internalName : at.internalName,
              name,
              field.type,
              false);
        }
      }
    }
    return null;
  }

  /** Returns the step to a static field of a class, or null if it has none that can be read. */
  Step staticField(ClassFile type, String name) {
    for (ClassFile at = type; at != null; at = superclass(at)) {
      for (FieldFacts field : at.fields) {
        if (field.name.equals(name) && field.isStatic()) {
          boolean isHidden = isOfJdk(at.internalName) && !isAccessible(at, field.access);
          return isHidden || !isNameable(at)
              ? null
              : new Step(Step.Kind.STATIC_FIELD, at.internalName, name, field.type, false);
        }
      }
    }
    return null;
  }

  /** Returns true if code of the traced class can name the class. */
  boolean isNameable(ClassFile type) {
    return isAccessible(type, Opcodes.ACC_PUBLIC);
  }

  /**
   * Returns the step from an object to its method's return value, or null if the method cannot be
   * called.
   */
  Step method(ClassFile type, String name) {
    Set<String> seen = new HashSet<>();
    Deque<ClassFile> left = new ArrayDeque<>();
    left.add(type);
    while (!left.isEmpty()) {
      ClassFile at = left.remove();
      if (!seen.add(at.internalName)) {
        continue;
      }
      MethodFacts method = getter(at, name);
      if (method != null) {
        return call(type, at, method);
      }
      // Searches superclasses first, like the JVM. The methods of an interface include those of
      // Object.
      addIfKnown(left, at.superName == null && at.isInterface() ? OBJECT : at.superName, true);
      at.interfaces.forEach(each -> addIfKnown(left, each, false));
    }
    return null;
  }

  private Step call(ClassFile type, ClassFile declaring, MethodFacts method) {
    // Names the static type if it is accessible, because the declaring class may not be.
    boolean ofObject = declaring.internalName.equals(OBJECT);
    ClassFile owner = ofObject || !isAccessible(type, Opcodes.ACC_PUBLIC) ? declaring : type;
    if (!isAccessible(owner, Opcodes.ACC_PUBLIC) || !isAccessible(declaring, owner, method)) {
      return null;
    }
    return new Step(
        Step.Kind.METHOD,
        owner.internalName,
        method.name,
        method.returnType(),
        owner.isInterface());
  }

  /**
   * Returns true if the call can name this class, which may be more accessible than the declaring
   * one.
   */
  private boolean isAccessible(ClassFile declaring, ClassFile owner, MethodFacts method) {
    if ((method.access & Opcodes.ACC_PUBLIC) != 0) {
      return isAccessible(owner, Opcodes.ACC_PUBLIC);
    }
    // A class may call inherited protected methods on itself, whatever their package.
    boolean isInherited =
        (method.access & Opcodes.ACC_PROTECTED) != 0 && owner.internalName.equals(host);
    return isInherited || isAccessible(declaring, method.access);
  }

  /**
   * Returns a method without arguments that returns a value; the declared method, not its bridge.
   */
  private static MethodFacts getter(ClassFile type, String name) {
    MethodFacts found = null;
    for (MethodFacts method : type.methods) {
      if (method.name.equals(name)
          && method.descriptor.startsWith("()")
          && !method.isStatic()
          && method.returnType().getSort() != Type.VOID
          && (found == null || (method.access & Opcodes.ACC_BRIDGE) == 0)) {
        found = method;
      }
    }
    return found;
  }

  /**
   * Returns the names that steps from an object of this class may have, at most {@link #MAX_NAMES}:
   * of methods without arguments, or of fields and getters. Not all of them are accessible.
   */
  List<String> names(ClassFile type, boolean areCalls) {
    Set<String> names = new LinkedHashSet<>();
    for (ClassFile at = type; at != null && names.size() < MAX_NAMES; at = superclass(at)) {
      if (!areCalls) {
        at.fields.stream()
            .filter(field -> !field.isStatic())
            .forEach(field -> names.add(field.name));
      }
      for (MethodFacts method : at.methods) {
        boolean isRead = method.descriptor.startsWith("()") && !method.isStatic();
        if (isRead && !at.internalName.equals(OBJECT)) {
          names.add(areCalls ? method.name : property(method.name));
        }
      }
    }
    names.remove("");
    return new ArrayList<>(names).subList(0, Math.min(names.size(), MAX_NAMES));
  }

  /** Returns the name by which a path reads the getter; empty if it is not one. */
  private static String property(String method) {
    int prefix = method.startsWith("get") ? 3 : method.startsWith("is") ? 2 : 0;
    return prefix == 0 || method.length() == prefix
        ? ""
        : Character.toLowerCase(method.charAt(prefix)) + method.substring(prefix + 1);
  }

  private void addIfKnown(Deque<ClassFile> left, String internalName, boolean first) {
    ClassFile file = internalName == null ? null : files.find(internalName);
    if (file != null && first) {
      left.addFirst(file);
    } else if (file != null) {
      left.addLast(file);
    }
  }

  /** Returns true if a call on one class may execute the other's method. */
  boolean areRelated(String one, String other) {
    return isSubtype(one, other) || isSubtype(other, one);
  }

  private boolean isSubtype(String type, String supertype) {
    Set<String> seen = new HashSet<>();
    Deque<String> left = new ArrayDeque<>(List.of(type));
    while (!left.isEmpty()) {
      String at = left.remove();
      ClassFile file = seen.add(at) ? files.find(at) : null;
      if (at.equals(supertype)) {
        return true;
      }
      if (file != null) {
        left.addAll(file.interfaces);
        left.addAll(file.superName == null ? List.of() : List.of(file.superName));
      }
    }
    return false;
  }

  ClassFile superclass(ClassFile file) {
    return file.superName == null ? null : files.find(file.superName);
  }

  private boolean isAccessible(ClassFile owner, int access) {
    if (owner.internalName.equals(host)) {
      return true;
    }
    boolean samePackage = packageOf(owner.internalName).equals(packageOf(host));
    if ((owner.access & Opcodes.ACC_PUBLIC) == 0 && !samePackage) {
      return false;
    }
    return (access & Opcodes.ACC_PUBLIC) != 0 || samePackage && (access & Opcodes.ACC_PRIVATE) == 0;
  }

  private static String packageOf(String internalName) {
    return internalName.substring(0, Math.max(internalName.lastIndexOf('/'), 0));
  }

  static boolean isOfJdk(String internalName) {
    return internalName.startsWith("java/")
        || internalName.startsWith("javax/")
        || internalName.startsWith("jdk/")
        || internalName.startsWith("sun/")
        || internalName.startsWith("com/sun/");
  }
}
