// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import io.jprobe.capture.ProbeKind;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.ClassVisitor;
import org.objectweb.asm.ClassWriter;
import org.objectweb.asm.MethodTooLargeException;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.tree.analysis.AnalyzerException;

/**
 * Weaves the armed methods of a class. A function of the class file and of what is armed: nothing
 * is kept between calls, and no class is loaded.
 */
public final class ClassWeaver {
  /** The woven class file, and the methods that could not be woven, with the reason. */
  public static final class Result {
    public final byte[] classFile;
    public final Map<TracedMethod, String> failures;

    Result(byte[] classFile, Map<TracedMethod, String> failures) {
      this.classFile = classFile;
      this.failures = Map.copyOf(failures);
    }
  }

  private final FieldOffsets offsets = new FieldOffsets();

  /**
   * Prepares for weaving methods of a linked class, by code of the class's loader. Not while the
   * class is being transformed: this may load others.
   *
   * @return why the class cannot be woven; null if it can
   */
  public String prepare(TracedClass traced, Class<?> host, Set<TracedMethod> methods) {
    String problem = References.problem(Injection.FIRE, host);
    if (problem != null) {
      return problem;
    }
    for (TracedMethod method : methods) {
      if (!traced.isPrepared(method)) {
        offsets.find(host, method);
        traced.setPrepared(method, problem(method, host));
      }
    }
    return null;
  }

  private String problem(TracedMethod method, Class<?> host) {
    for (String name : References.of(method)) {
      String problem = References.problem(name, host);
      if (problem != null) {
        return problem;
      }
    }
    return offsets.problem(method);
  }

  /** Weaves these probes of the class into its class file. */
  public Result weave(
      TracedClass traced, Map<TracedMethod, EnumSet<ProbeKind>> wanted, byte[] classFile) {
    Map<TracedMethod, EnumSet<ProbeKind>> armed = new HashMap<>(wanted);
    Map<TracedMethod, String> failures = new HashMap<>();
    ClassReader reader = new ClassReader(classFile);
    Map<String, MethodShape> shapes = MethodShape.read(reader);
    armed
        .keySet()
        .removeIf(method -> isRefused(traced, method, armed.get(method), shapes, failures));
    Map<TracedMethod, List<List<Integer>>> leftovers = leftovers(reader, armed, failures);
    while (true) {
      try {
        return new Result(write(reader, traced, armed, shapes, leftovers), failures);
      } catch (MethodTooLargeException e) {
        TracedMethod large = find(armed, e.getMethodName(), e.getDescriptor());
        failures.put(large, "with the probes it would exceed 65535 bytes of bytecode");
        armed.remove(large);
      }
    }
  }

  private boolean isRefused(
      TracedClass traced,
      TracedMethod method,
      EnumSet<ProbeKind> kinds,
      Map<String, MethodShape> shapes,
      Map<TracedMethod, String> failures) {
    MethodShape shape = shapes.get(method.toString());
    if (shape == null) {
      failures.put(method, "the class no longer has this method");
      return true;
    }
    if (method.isConstructor()
        && shape.hasUnclearInitialization()
        && kinds.contains(ProbeKind.THROW)) {
      failures.put(method, "the constructor calls super() or this() in several places");
      return true;
    }
    if (traced.problem(method) != null) {
      failures.put(method, traced.problem(method));
      return true;
    }
    if (offsets.problem(method) != null) {
      // Weaving that is no more than a rehearsal comes before the fields are looked for.
      failures.put(method, offsets.problem(method));
      return true;
    }
    return false;
  }

  private static TracedMethod find(
      Map<TracedMethod, EnumSet<ProbeKind>> armed, String name, String descriptor) {
    for (TracedMethod method : armed.keySet()) {
      if (method.name.equals(name) && method.descriptor.equals(descriptor)) {
        return method;
      }
    }
    throw new IllegalStateException(name + descriptor + " is too large, and was not woven");
  }

  /** What the returns of methods leave behind whose injection wants to know; fails the others. */
  private static Map<TracedMethod, List<List<Integer>>> leftovers(
      ClassReader reader,
      Map<TracedMethod, EnumSet<ProbeKind>> armed,
      Map<TracedMethod, String> failures) {
    Map<TracedMethod, List<List<Integer>>> found = new HashMap<>();
    Leftovers leftovers = null;
    for (TracedMethod method : armed.keySet()) {
      if (!method.captures.isPlain) {
        try {
          leftovers = leftovers == null ? new Leftovers(reader) : leftovers;
          found.put(method, leftovers.of(method.toString()));
        } catch (AnalyzerException e) {
          failures.put(method, "its bytecode cannot be followed: " + e.getMessage());
        }
      }
    }
    armed.keySet().removeAll(failures.keySet());
    return found;
  }

  private byte[] write(
      ClassReader reader,
      TracedClass traced,
      Map<TracedMethod, EnumSet<ProbeKind>> armed,
      Map<String, MethodShape> shapes,
      Map<TracedMethod, List<List<Integer>>> leftovers) {
    Map<String, TracedMethod> bySignature = new HashMap<>();
    armed.keySet().forEach(method -> bySignature.put(method.toString(), method));
    // The reader's constant pool is taken over, and methods that are not visited are copied.
    ClassWriter writer = new ClassWriter(reader, 0);
    ClassVisitor weaver =
        new ClassVisitor(Opcodes.ASM9, writer) {
          private int version;

          @Override
          public void visit(
              int version,
              int access,
              String name,
              String signature,
              String superName,
              String[] interfaces) {
            this.version = version;
            super.visit(version, access, name, signature, superName, interfaces);
          }

          @Override
          public MethodVisitor visitMethod(
              int access, String name, String descriptor, String signature, String[] exceptions) {
            MethodVisitor next = super.visitMethod(access, name, descriptor, signature, exceptions);
            TracedMethod method = bySignature.get(name + descriptor);
            if (method == null) {
              return next;
            }
            boolean hasFrames = (version & 0xffff) >= Opcodes.V1_6;
            MethodShape shape = shapes.get(name + descriptor);
            Injection injection =
                method.captures.isPlain
                    ? new PlainInjection(traced, method, armed.get(method), shape)
                    : new RichInjection(
                        traced,
                        method,
                        armed.get(method),
                        shape,
                        leftovers.get(method),
                        offsets::of);
            return new MethodWeaver(next, injection, hasFrames);
          }
        };
    reader.accept(weaver, ClassReader.EXPAND_FRAMES);
    return writer.toByteArray();
  }
}
