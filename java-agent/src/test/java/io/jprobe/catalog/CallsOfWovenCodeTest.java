// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import io.jprobe.stub.FireBinding;
import java.io.IOException;
import java.net.URI;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.junit.runners.Parameterized;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.ClassVisitor;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;

/**
 * Follows all calls of woven code, except those of captured paths, through the JDK's class files.
 * Each called method is native or in a class that is never traced, so none can reach a probe.
 */
@RunWith(Parameterized.class)
public class CallsOfWovenCodeTest {
  /**
   * Called by the weaver, which makes the result a constant of woven code, or by the agent before
   * anything is woven.
   */
  private static final Set<String> NOT_WOVEN =
      Set.of(
          "java/jprobe/ObjectFields.offset(Ljava/lang/Class;Ljava/lang/String;)J",
          "java/jprobe/ObjectFields.virtualThread()Ljava/lang/Class;",
          "java/jprobe/ObjectFields.staticOffset(Ljava/lang/reflect/Field;)J",
          "java/jprobe/Fire.prepareObjects()V",
          "java/jprobe/Fire.prepareStacks(I)V");

  /** Called by Unsafe.shouldBeInitialized for null, which woven code never passes. */
  private static final String UNREACHABLE = "java/lang/NullPointerException.<init>()V";

  /** Called while the thread is registered as evaluating a path: traced methods do not fire. */
  private static final Set<String> EVALUATED =
      Set.of(
          "java/jprobe/Rendering.compound(JJLjava/lang/Object;IIZ)J",
          "java/jprobe/StackText.describe(ILjava/lang/Throwable;IIZ)J");

  /** Called on objects that this code has made, of exactly this class or one that is excluded. */
  private static final Set<String> EXACT =
      Set.of(
          "java/lang/Throwable.fillInStackTrace()Ljava/lang/Throwable;",
          "java/lang/ref/Reference.get()Ljava/lang/Object;");

  @Parameterized.Parameters(name = "{0}")
  public static List<Path> jdks() throws IOException {
    Set<Path> homes = new TreeSet<>(List.of(Path.of(System.getProperty("java.home"))));
    try (Stream<Path> installed = Files.list(Path.of("/usr/lib/jvm"))) {
      for (Path home : installed.collect(Collectors.toList())) {
        if (Files.exists(home.resolve("lib/modules"))) {
          homes.add(home.toRealPath());
        }
      }
    }
    return List.copyOf(homes);
  }

  private final Path home;

  public CallsOfWovenCodeTest(Path home) {
    this.home = home;
  }

  /** The calls that a method's code makes. */
  private static final class Code {
    final boolean isNative;

    /** True if a call through the class's type can only call this method, not one of a subclass. */
    final boolean isFinal;

    final List<String> calls = new ArrayList<>();

    Code(int classAccess, int access, String name) {
      isNative = (access & Opcodes.ACC_NATIVE) != 0;
      int settled = Opcodes.ACC_FINAL | Opcodes.ACC_STATIC | Opcodes.ACC_PRIVATE;
      boolean isOfFinal = (classAccess & Opcodes.ACC_FINAL) != 0 || name.equals("<init>");
      isFinal = isOfFinal || (access & settled) != 0;
    }
  }

  @Test
  public void nothingThatWovenCodeCallsCanBeTraced() throws Exception {
    try (FileSystem image =
        FileSystems.newFileSystem(URI.create("jrt:/"), Map.of("java.home", home.toString()))) {
      Map<String, Map<String, Code>> classes = new HashMap<>();
      Deque<String> left = new ArrayDeque<>(callsOfTheWeaver());
      assertTrue(
          left.toString(), left.contains("java/lang/Thread.currentThread()Ljava/lang/Thread;"));
      int first = FireBinding.CLASSES.indexOf("java/jprobe/ObjectFields");
      for (String name : FireBinding.CLASSES.subList(first, FireBinding.CLASSES.size())) {
        for (String method : read(classFile(image, name)).keySet()) {
          if (!method.startsWith("<")) {
            left.add(name + "." + method);
          }
        }
      }
      assertTrue(left.removeAll(NOT_WOVEN));
      Set<String> seen = new LinkedHashSet<>();
      Set<String> open = new TreeSet<>();
      while (!left.isEmpty()) {
        String method = left.remove();
        if (seen.add(method) && !EVALUATED.contains(method) && !method.equals(UNREACHABLE)) {
          String owner = method.substring(0, method.indexOf('.'));
          Map<String, Code> methods = classes.get(owner);
          if (methods == null) {
            methods = read(classFile(image, owner));
            classes.put(owner, methods);
          }
          Code code = methods.get(method.substring(owner.length() + 1));
          int inherited = FireBinding.CLASSES.indexOf(owner);
          if (code == null && inherited > 0) {
            String superclass = FireBinding.CLASSES.get(inherited - 1);
            left.add(superclass + method.substring(owner.length()));
            continue;
          }
          boolean isExcluded = Exclusions.isExcluded(owner.replace('/', '.'));
          if (code == null
              || !code.isNative && !(isExcluded && (code.isFinal || EXACT.contains(method)))) {
            open.add(method);
          } else {
            left.addAll(code.calls);
          }
        }
      }
      assertEquals(Set.of(), open);
      assertTrue(seen.toString(), seen.containsAll(EVALUATED));
      assertTrue(seen.toString(), seen.contains("java/lang/String.equals(Ljava/lang/Object;)Z"));
    }
  }

  private static byte[] classFile(FileSystem image, String internalName) throws Exception {
    return FireBinding.CLASSES.contains(internalName)
        ? PublishedClass.classFile(internalName.replace('/', '.'))
        : Files.readAllBytes(image.getPath("modules", "java.base", internalName + ".class"));
  }

  /** Returns the methods of a class, by name and descriptor. */
  private static Map<String, Code> read(byte[] classFile) {
    Map<String, Code> methods = new HashMap<>();
    int classAccess = new ClassReader(classFile).getAccess();
    new ClassReader(classFile)
        .accept(
            new ClassVisitor(Opcodes.ASM9) {
              @Override
              public MethodVisitor visitMethod(
                  int access, String name, String descriptor, String signature, String[] thrown) {
                Code code = new Code(classAccess, access, name);
                methods.put(name + descriptor, code);
                return new MethodVisitor(Opcodes.ASM9) {
                  @Override
                  public void visitMethodInsn(
                      int opcode, String owner, String called, String of, boolean isInterface) {
                    code.calls.add(owner + "." + called + of);
                  }

                  @Override
                  public void visitInvokeDynamicInsn(
                      String called,
                      String of,
                      org.objectweb.asm.Handle bootstrap,
                      Object... arguments) {
                    code.calls.add(bootstrap.getOwner() + "." + bootstrap.getName());
                  }
                };
              }
            },
            ClassReader.SKIP_DEBUG);
    return methods;
  }

  /** Returns all methods that the weaver passes to Injection.callStatic. */
  private static Set<String> callsOfTheWeaver() throws Exception {
    Set<String> calls = new TreeSet<>();
    for (String name :
        List.of("Injection", "PlainInjection", "RichInjection", "StepCode", "Words")) {
      new ClassReader(PublishedClass.classFile("io.jprobe.weave." + name))
          .accept(
              new ClassVisitor(Opcodes.ASM9) {
                @Override
                public MethodVisitor visitMethod(
                    int access, String method, String of, String signature, String[] thrown) {
                  return new MethodVisitor(Opcodes.ASM9) {
                    private final Deque<String> texts = new ArrayDeque<>();

                    @Override
                    public void visitLdcInsn(Object value) {
                      texts.addLast(value.toString());
                    }

                    @Override
                    public void visitMethodInsn(
                        int opcode, String owner, String called, String of, boolean isInterface) {
                      if (called.equals("callStatic") && texts.size() >= 3) {
                        String descriptor = texts.removeLast();
                        String target = texts.removeLast();
                        calls.add(texts.removeLast() + "." + target + descriptor);
                      }
                    }
                  };
                }
              },
              ClassReader.SKIP_DEBUG);
    }
    return calls;
  }
}
