// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import io.jprobe.capture.ProbeKind;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.ClassTooLargeException;
import org.objectweb.asm.ClassVisitor;
import org.objectweb.asm.ClassWriter;
import org.objectweb.asm.MethodTooLargeException;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.tree.MethodNode;
import org.objectweb.asm.tree.analysis.AnalyzerException;

/**
 * Weaves the armed methods of a class. The result depends only on the class file and the armed
 * probes: nothing is kept between calls, and no class is loaded.
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
   * Prepares to weave methods of a linked class, which runs code of the class's loader. Must not
   * run during a transformation of the class, because it may load other classes.
   *
   * @return the reason why the class cannot be woven; null if it can
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

  /** Weaves probes of the class into its class file. */
  public Result weave(
      TracedClass traced, Map<TracedMethod, EnumSet<ProbeKind>> wanted, byte[] classFile) {
    Map<TracedMethod, String> failures = new HashMap<>();
    byte[] woven = classFile;
    for (Map<TracedMethod, EnumSet<ProbeKind>> layer : Layers.of(traced.methods(), wanted)) {
      try {
        woven = weave(traced, layer, woven, woven != classFile, failures);
      } catch (RuntimeException e) {
        if (woven == classFile) {
          throw e;
        }
        // The layers below stay as they are.
        layer.keySet().forEach(method -> failures.put(method, "it cannot be woven again: " + e));
      }
    }
    return new Result(woven, failures);
  }

  /**
   * Weaves at most one set of probes of each method.
   *
   * @param isOuter whether each of these methods has an inner set, which is woven already
   * @param failures receives the methods that could not be woven, with the reason
   */
  private byte[] weave(
      TracedClass traced,
      Map<TracedMethod, EnumSet<ProbeKind>> armed,
      byte[] classFile,
      boolean isOuter,
      Map<TracedMethod, String> failures) {
    ClassReader reader = new ClassReader(classFile);
    Map<String, MethodShape> shapes = MethodShape.read(reader);
    armed
        .keySet()
        .removeIf(method -> isRefused(traced, method, armed.get(method), shapes, failures));
    Map<TracedMethod, List<List<Integer>>> leftovers = leftovers(reader, armed, failures);
    while (true) {
      Weaving weaving = new Weaving(reader, traced, armed, shapes, leftovers, isOuter);
      try {
        return weaving.write(reader);
      } catch (MethodTooLargeException e) {
        TracedMethod large = find(armed, e.getMethodName(), e.getDescriptor());
        failures.put(large, "with the probes it would exceed 65535 bytes of bytecode");
      } catch (ClassTooLargeException e) {
        if (armed.isEmpty()) {
          throw e;
        }
        firstHalf(armed.keySet())
            .forEach(method -> failures.put(method, "the constant pool of its class is full"));
      } catch (RuntimeException e) {
        if (weaving.underWay == null) {
          throw e;
        }
        failures.put(weaving.underWay, "its bytecode cannot be analyzed: " + e.getMessage());
      }
      armed.keySet().removeAll(failures.keySet());
    }
  }

  /**
   * Returns methods to leave out of a class that is too large, instead of searching for a minimum.
   */
  private static List<TracedMethod> firstHalf(Set<TracedMethod> methods) {
    return new ArrayList<>(methods).subList(0, (methods.size() + 1) / 2);
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
    if (method.rejection(kinds) != null) {
      failures.put(method, method.rejection(kinds));
      return true;
    }
    if (traced.problem(method) != null) {
      failures.put(method, traced.problem(method));
      return true;
    }
    if (offsets.problem(method) != null) {
      // Also rejects methods whose fields have not been searched for yet, in a trial run.
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

  /**
   * Returns the leftovers of the methods whose injection needs them. Records a failure for methods
   * that cannot be analyzed.
   */
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
          failures.put(method, "its bytecode cannot be analyzed: " + e.getMessage());
        }
      }
    }
    armed.keySet().removeAll(failures.keySet());
    return found;
  }

  /** One pass over the class. */
  private final class Weaving extends ClassVisitor {
    private final ClassWriter writer;
    private final TracedClass traced;
    private final Map<TracedMethod, EnumSet<ProbeKind>> armed;
    private final Map<String, MethodShape> shapes;
    private final Map<TracedMethod, List<List<Integer>>> leftovers;
    private final Map<String, TracedMethod> bySignature = new HashMap<>();
    private final boolean isOuter;
    private boolean hasFrames;

    /** Method that is being woven, to which exceptions are attributed. */
    private TracedMethod underWay;

    Weaving(
        ClassReader reader,
        TracedClass traced,
        Map<TracedMethod, EnumSet<ProbeKind>> armed,
        Map<String, MethodShape> shapes,
        Map<TracedMethod, List<List<Integer>>> leftovers,
        boolean isOuter) {
      // Copies the reader's constant pool and all methods that are not visited.
      this(new ClassWriter(reader, 0), traced, armed, shapes, leftovers, isOuter);
    }

    private Weaving(
        ClassWriter writer,
        TracedClass traced,
        Map<TracedMethod, EnumSet<ProbeKind>> armed,
        Map<String, MethodShape> shapes,
        Map<TracedMethod, List<List<Integer>>> leftovers,
        boolean isOuter) {
      super(Opcodes.ASM9, writer);
      this.writer = writer;
      this.traced = traced;
      this.armed = armed;
      this.shapes = shapes;
      this.leftovers = leftovers;
      this.isOuter = isOuter;
      armed.keySet().forEach(method -> bySignature.put(method.toString(), method));
    }

    byte[] write(ClassReader reader) {
      reader.accept(this, ClassReader.EXPAND_FRAMES);
      underWay = null;
      return writer.toByteArray();
    }

    @Override
    public void visit(
        int version,
        int access,
        String name,
        String signature,
        String superName,
        String[] interfaces) {
      hasFrames = (version & 0xffff) >= Opcodes.V1_6;
      super.visit(version, access, name, signature, superName, interfaces);
    }

    @Override
    public MethodVisitor visitMethod(
        int access, String name, String descriptor, String signature, String[] exceptions) {
      MethodVisitor next = super.visitMethod(access, name, descriptor, signature, exceptions);
      underWay = bySignature.get(name + descriptor);
      if (underWay == null) {
        return next;
      }
      Injection injection = injection(underWay, shapes.get(name + descriptor));
      if (!injection.needsConstruction) {
        return new MethodWeaver(next, injection, isOuter, hasFrames, null);
      }
      return new MethodNode(Opcodes.ASM9, access, name, descriptor, signature, exceptions) {
        @Override
        public void visitEnd() {
          try {
            Construction construction = Construction.of(traced.internalName, this);
            accept(new MethodWeaver(next, injection, isOuter, hasFrames, construction));
          } catch (AnalyzerException e) {
            throw new IllegalArgumentException(e.getMessage(), e);
          }
        }
      };
    }

    private Injection injection(TracedMethod method, MethodShape shape) {
      EnumSet<ProbeKind> kinds = armed.get(method);
      return method.captures.isPlain
          ? new PlainInjection(traced, method, kinds, shape)
          : new RichInjection(traced, method, kinds, shape, leftovers.get(method), offsets::of);
    }
  }
}
