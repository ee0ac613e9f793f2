// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import static org.junit.Assert.assertEquals;

import io.jprobe.classfile.MethodFacts;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.junit.Test;

public class NamesTest {
  private static List<String> methodNames(String... names) {
    List<MethodFacts> methods = new ArrayList<>();
    for (String name : names) {
      methods.add(new MethodFacts(0, name, "()V", Set.of(), List.of()));
    }
    return Names.methodNames(methods);
  }

  @Test
  public void whatIsNoLetterOrDigitIsAnUnderscore() {
    Names names = new Names();
    assertEquals("com_acme_Orders_Line", names.provider("com.acme.Orders$Line", 1));
    assertEquals("com_acme__ber", names.provider("com.acme.Über", 1));
  }

  @Test
  public void theSameClassInASecondLoaderGetsTheLoadersId() {
    Names names = new Names();
    assertEquals("com_acme_Orders", names.provider("com.acme.Orders", 1));
    assertEquals("com_acme_Orders_2", names.provider("com.acme.Orders", 2));
  }

  @Test
  public void classesThatLookAlikeStayApart() {
    Names names = new Names();
    assertEquals("a_b", names.provider("a.b", 1));
    assertEquals("a_b_1", names.provider("a_b", 1));
    assertEquals("a_b_2", names.provider("a$b", 1));
  }

  @Test
  public void overloadsAreNumberedInClassFileOrder() {
    assertEquals(
        List.of("init", "place", "place__2", "other", "place__3", "clinit", "init__2"),
        methodNames("<init>", "place", "place", "other", "place", "<clinit>", "<init>"));
    assertEquals(List.of("lambda_a_0", "lambda_a_0__2"), methodNames("lambda$a$0", "lambda_a_0"));
  }
}
