// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import io.jprobe.classfile.ClassFile;
import java.util.ArrayList;
import java.util.List;
import org.junit.Test;
import org.objectweb.asm.ClassWriter;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.RecordComponentVisitor;
import org.objectweb.asm.TypeReference;

public class JvmBugTest {
  /** Versions with their bugs: P for PARAMETER_NAMES, R for ANNOTATED_RECORD. */
  private static final String[][] VERSIONS = {
    {"11.0.31", "P", "R"},
    {"17", "P", "R"},
    {"17.0.15+6-Debian-1deb12u1", "P", "R"},
    {"17.0.19.0.1", "P", "R"},
    {"17.0.20-ea+3", "P", "R"},
    {"17.0.20+8", "", "R"},
    {"17.0.21", "", "R"},
    {"18.0.2", "P", "R"},
    {"19-ea+20", "P", "R"},
    {"19", "", "R"},
    {"21.0.9+10-LTS", "", "R"},
    {"24.0.2", "", "R"},
    {"25", "", "R"},
    {"25.0.3+9-LTS", "", "R"},
    {"25.0.4+7-LTS", "", ""},
    {"25.0.5", "", ""},
    {"26", "", "R"},
    {"26.0.1", "", "R"},
    {"26.0.2", "", ""},
    {"27-ea+30", "", "R"},
    {"27", "", ""},
    {"28-ea+1", "", ""},
    {"29.0.1", "", ""},
  };

  private static ClassWriter writer(String superName) {
    ClassWriter writer = new ClassWriter(0);
    writer.visit(Opcodes.V17, Opcodes.ACC_PUBLIC, "Sample", null, superName, null);
    return writer;
  }

  private static ClassFile withParameter() {
    ClassWriter writer = writer("java/lang/Object");
    MethodVisitor method = writer.visitMethod(Opcodes.ACC_ABSTRACT, "m", "(I)V", null, null);
    method.visitParameter("count", Opcodes.ACC_FINAL);
    method.visitEnd();
    return ClassFile.read(writer.toByteArray());
  }

  /**
   * Returns a class file as a JVM with the bug writes it: the pool still has the lost attribute's
   * name.
   */
  private static ClassFile withoutParameterThatItHad() {
    ClassWriter writer = writer("java/lang/Object");
    writer.newUTF8("MethodParameters");
    // Followed by an entry that uses two indices.
    writer.newConst(1L);
    return ClassFile.read(writer.toByteArray());
  }

  private static ClassFile recordWithAnnotatedType(boolean isVisible) {
    ClassWriter writer = writer("java/lang/Record");
    RecordComponentVisitor component =
        writer.visitRecordComponent("name", "Ljava/lang/String;", null);
    component.visitTypeAnnotation(
        TypeReference.newTypeReference(TypeReference.FIELD).getValue(), null, "LA;", isVisible);
    component.visitAnnotation("LB;", true).visitEnd();
    component.visitEnd();
    return ClassFile.read(writer.toByteArray());
  }

  private static String[] bugsIn(Runtime.Version version) {
    List<String> row = new ArrayList<>(List.of(version.toString()));
    row.add(JvmBug.PARAMETER_NAMES.isIn(version) ? "P" : "");
    row.add(JvmBug.ANNOTATED_RECORD.isIn(version) ? "R" : "");
    return row.toArray(new String[0]);
  }

  @Test
  public void eachVersionHasTheBugsThatItsReleaseDidNotFix() {
    for (String[] row : VERSIONS) {
      assertEquals(List.of(row), List.of(bugsIn(Runtime.Version.parse(row[0]))));
    }
  }

  @Test
  public void aClassIsRejectedIfItsParameterNamesAreHiddenAndCannotBeRead() {
    Runtime.Version version = Runtime.Version.parse("17.0.15+6-Debian-1deb12u1");
    String reason =
        "retransforming on JDK 17.0.15 would lose the names of its class's parameters"
            + " (JDK-8240908); start the program with -javaagent, or use JDK 17.0.20 or later";
    assertEquals(reason, JvmBug.reasonAgainst(withoutParameterThatItHad(), version, () -> false));
    assertNull(JvmBug.reasonAgainst(withoutParameterThatItHad(), version, () -> true));
    assertNull(JvmBug.reasonAgainst(withParameter(), version, () -> false));
    Runtime.Version fixed = Runtime.Version.parse("17.0.20");
    assertNull(JvmBug.reasonAgainst(withoutParameterThatItHad(), fixed, () -> false));
  }

  @Test
  public void theReasonNamesTheNextReleaseWithTheFix() {
    ClassFile file = withoutParameterThatItHad();
    for (String[] row : new String[][] {{"17.0.19", "17.0.20"}, {"18.0.2", "19"}}) {
      Runtime.Version version = Runtime.Version.parse(row[0]);
      String reason = JvmBug.reasonAgainst(file, version, () -> false);
      assertTrue(reason, reason.endsWith(" use JDK " + row[1] + " or later"));
    }
  }

  @Test
  public void aRecordIsRejectedForRuntimeVisibleTypeAnnotationsOnly() {
    Runtime.Version version = Runtime.Version.parse("25.0.3+9-LTS");
    assertEquals(
        "retransforming on JDK 25.0.3 could break a record with annotated types (JDK-8376185);"
            + " use JDK 25.0.4 or later",
        JvmBug.reasonAgainst(recordWithAnnotatedType(true), version, () -> true));
    assertNull(JvmBug.reasonAgainst(recordWithAnnotatedType(false), version, () -> true));
    Runtime.Version fixed = Runtime.Version.parse("25.0.4");
    assertNull(JvmBug.reasonAgainst(recordWithAnnotatedType(true), fixed, () -> true));
  }
}
