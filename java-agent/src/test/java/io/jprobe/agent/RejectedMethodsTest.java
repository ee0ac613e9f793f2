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

/** Of a thousand methods those are found with which a class is refused, in few tries. */
public class GuiltyMethodsTest {
  private static final int METHODS = 1_000;

  private TracedClass traced;
  private int tries;

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

  /** The names of the methods that are left out, with a JVM that refuses these. */
  private Set<String> leftOut(Set<String> guilty) {
    GuiltyMethods search =
        new GuiltyMethods(
            traced,
            () -> {
              tries++;
              boolean isTaken =
                  traced.armed().entrySet().stream()
                      .filter(each -> each.getKey().refusal(each.getValue()) == null)
                      .noneMatch(each -> guilty.contains(each.getKey().name));
              if (isTaken) {
                traced.setWoven(!traced.armed().isEmpty());
              }
              return isTaken;
            });
    assertTrue(search.areLeftOut("java.lang.VerifyError"));
    assertEquals(traced.all(), traced.armed());
    return traced.methods().stream()
        .filter(method -> method.refusal(method.captures.kinds()) != null)
        .map(method -> method.name)
        .collect(Collectors.toSet());
  }

  @Test
  public void oneIsFoundInAFewTries() {
    assertEquals(Set.of("m617"), leftOut(Set.of("m617")));
    assertTrue(tries + " tries", tries <= 22);
    TracedMethod guilty = traced.methods().get(617);
    assertEquals(
        "the JVM refuses the class with it: java.lang.VerifyError",
        guilty.refusal(guilty.captures.kinds()));
  }

  @Test
  public void threeAreFound() {
    assertEquals(Set.of("m0", "m500", "m999"), leftOut(Set.of("m0", "m500", "m999")));
    assertTrue(tries + " tries", tries <= 64);
  }

  @Test
  public void whatIsNotFoundInTimeIsLeftOutWithTheRest() {
    Set<String> all =
        traced.methods().stream().map(method -> method.name).collect(Collectors.toSet());
    assertEquals(all, leftOut(all));
    assertTrue(tries + " tries", tries <= 66);
  }

  @Test
  public void aClassThatIsRefusedAsItIsHasNoGuiltyMethods() {
    assertFalse(new GuiltyMethods(traced, () -> false).areLeftOut("java.lang.VerifyError"));
    assertEquals(traced.all(), traced.armed());
  }
}
