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

  private static ClassKey key(String className) {
    return new ClassKey(new ClassLoader(null) {}, className.replace('.', '/'));
  }

  private static String provider(Names names, String className, int loaderId) {
    return names.provider(key(className), loaderId, List.of("place"));
  }

  @Test
  public void moreProbesOfAClassHaveItsName() {
    Names names = new Names();
    ClassKey orders = key("com.acme.Orders");
    assertEquals("com_acme_Orders", names.provider(orders, 1, List.of("place")));
    assertEquals("com_acme_Orders", names.provider(orders, 1, List.of("cancel", "ship")));
    assertEquals("com_acme_Orders_1", names.provider(orders, 1, List.of("split", "ship")));
    assertEquals("com_acme_Orders", names.provider(orders, 1, List.of("split")));
  }

  @Test
  public void namesOfWhatIsUnmappedAreFree() {
    Names names = new Names();
    ClassKey gone = key("a.b");
    assertEquals("a_b", names.provider(gone, 1, List.of("place")));
    names.release(List.of(gone));
    assertEquals("a_b", provider(names, "a.b", 2));
  }

  @Test
  public void whatIsNoLetterOrDigitIsAnUnderscore() {
    Names names = new Names();
    assertEquals("com_acme_Orders_Line", provider(names, "com.acme.Orders$Line", 1));
    assertEquals("com_acme__ber", provider(names, "com.acme.Über", 1));
  }

  @Test
  public void theSameClassInASecondLoaderGetsTheLoadersId() {
    Names names = new Names();
    assertEquals("com_acme_Orders", provider(names, "com.acme.Orders", 1));
    assertEquals("com_acme_Orders_2", provider(names, "com.acme.Orders", 2));
  }

  @Test
  public void classesThatLookAlikeStayApart() {
    Names names = new Names();
    assertEquals("a_b", provider(names, "a.b", 1));
    assertEquals("a_b_1", provider(names, "a_b", 1));
    assertEquals("a_b_2", provider(names, "a$b", 1));
  }

  @Test
  public void overloadsAreNumberedInClassFileOrder() {
    assertEquals(
        List.of("init", "place", "place__2", "other", "place__3", "clinit", "init__2"),
        methodNames("<init>", "place", "place", "other", "place", "<clinit>", "<init>"));
    assertEquals(List.of("lambda_a_0", "lambda_a_0__2"), methodNames("lambda$a$0", "lambda_a_0"));
  }
}
