// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import io.jprobe.catalog.PublishedClass;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.Before;
import org.junit.Test;
import org.objectweb.asm.ClassWriter;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;

/** Finds the methods with which the JVM rejects a class, among a thousand, in few attempts. */
public class RejectedMethodsTest {
  private static final int METHODS = 1_000;

  private TracedClass traced;
  private int attempts;

  @Before
  public void publish() throws Exception {
    ClassWriter writer = new ClassWriter(ClassWriter.COMPUTE_MAXS);
    writer.visit(Opcodes.V11, Opcodes.ACC_PUBLIC, "Many", null, "java/lang/Object", null);
    for (int i = 0; i < METHODS; i++) {
      MethodVisitor code =
          writer.visitMethod(Opcodes.ACC_PUBLIC | Opcodes.ACC_STATIC, "m" + i, "()V", null, null);
      code.visitCode();
      code.visitInsn(Opcodes.RETURN);
      code.visitMaxs(0, 0);
      code.visitEnd();
    }
    writer.visitEnd();
    traced = PublishedClass.publish("Many", writer.toByteArray());
    traced.arm(traced.all());
  }

  /** Returns the names of the excluded methods, given a JVM that rejects these methods. */
  private Set<String> excluded(Set<String> rejected) {
    RejectedMethods search =
        new RejectedMethods(
            traced,
            () -> {
              attempts++;
              boolean isAccepted =
                  traced.armed().entrySet().stream()
                      .filter(each -> each.getKey().rejection(each.getValue()) == null)
                      .noneMatch(each -> rejected.contains(each.getKey().name));
              if (isAccepted) {
                traced.setWoven(!traced.armed().isEmpty());
              }
              return isAccepted;
            });
    assertTrue(search.exclude("java.lang.VerifyError"));
    assertEquals(traced.all(), traced.armed());
    return traced.methods().stream()
        .filter(method -> method.rejection(method.captures.kinds()) != null)
        .map(method -> method.name)
        .collect(Collectors.toSet());
  }

  @Test
  public void oneIsFoundInAFewAttempts() {
    assertEquals(Set.of("m617"), excluded(Set.of("m617")));
    assertTrue(attempts + " attempts", attempts <= 22);
    TracedMethod rejected = traced.methods().get(617);
    assertEquals(
        "the JVM rejects the class when this method is woven: java.lang.VerifyError",
        rejected.rejection(rejected.captures.kinds()));
  }

  @Test
  public void threeAreFound() {
    assertEquals(Set.of("m0", "m500", "m999"), excluded(Set.of("m0", "m500", "m999")));
    assertTrue(attempts + " attempts", attempts <= 64);
  }

  @Test
  public void methodsThatWereNotTriedAreExcludedToo() {
    Set<String> all =
        traced.methods().stream().map(method -> method.name).collect(Collectors.toSet());
    assertEquals(all, excluded(all));
    assertTrue(attempts + " attempts", attempts <= 66);
  }

  @Test
  public void noMethodIsExcludedIfTheJvmRejectsTheOriginalClass() {
    assertFalse(new RejectedMethods(traced, () -> false).exclude("java.lang.VerifyError"));
    assertEquals(traced.all(), traced.armed());
  }
}
