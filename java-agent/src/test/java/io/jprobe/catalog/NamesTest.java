// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import io.jprobe.capture.ProbeKind;
import io.jprobe.classfile.MethodFacts;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
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
    return names.claim(key(className), loaderId, List.of("place"));
  }

  @Test
  public void moreProbesOfAClassHaveItsName() {
    Names names = new Names();
    ClassKey orders = key("com.acme.Orders");
    assertEquals("com_acme_Orders", names.claim(orders, 1, List.of("place")));
    assertEquals("com_acme_Orders", names.claim(orders, 1, List.of("cancel", "ship")));
    assertEquals("com_acme_Orders_1", names.claim(orders, 1, List.of("split", "ship")));
    assertEquals("com_acme_Orders", names.claim(orders, 1, List.of("split")));
  }

  @Test
  public void namesOfUnloadedClassesAreFree() {
    Names names = new Names();
    ClassKey unloaded = key("a.b");
    assertEquals("a_b", names.claim(unloaded, 1, List.of("place")));
    names.release(List.of(unloaded));
    assertEquals("a_b", provider(names, "a.b", 2));
  }

  @Test
  public void charactersOtherThanLettersAndDigitsBecomeUnderscores() {
    Names names = new Names();
    assertEquals("com_acme_Orders_Line", provider(names, "com.acme.Orders$Line", 1));
    assertEquals("com_acme__ber", provider(names, "com.acme.Über", 1));
  }

  @Test
  public void theSameClassInASecondLoaderGetsTheLoaderId() {
    Names names = new Names();
    assertEquals("com_acme_Orders", provider(names, "com.acme.Orders", 1));
    assertEquals("com_acme_Orders_2", provider(names, "com.acme.Orders", 2));
  }

  @Test
  public void classesWithTheSameSanitizedNameGetDifferentNames() {
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

  @Test
  public void aMethodKeepsItsNameAndTheOverloadGetsTheNextNumber() {
    assertEquals(List.of("f", "f__3", "f__2"), methodNames("f", "f", "f__2"));
    assertEquals(List.of("f__2", "f", "f__3"), methodNames("f__2", "f", "f"));
    assertEquals(
        List.of("f", "f__5", "f__3", "f__2", "f__4"), methodNames("f", "f", "f", "f__2", "f__4"));
    assertEquals(
        List.of("f", "f__4", "f__2", "f__2__2", "f__3"),
        methodNames("f", "f", "f__2", "f__2", "f__3"));
    assertEquals(
        List.of("f", "f__3", "f__2", "f__2__3", "f__2__2"),
        methodNames("f", "f", "f__2", "f__2", "f__2__2"));
    assertEquals(List.of("init", "init__3", "init__2"), methodNames("init", "<init>", "init__2"));
    assertEquals(List.of("a_b", "a_b__3", "a_b__2"), methodNames("a$b", "a_b", "a-b--2"));
  }

  @Test
  public void noTwoProbesHaveTheSameNameWhateverTheMethodsAreCalled() {
    String[] parts = {
      "f", "_", "__", "$", "2", "3", "init", "entry", "__return", "\u00fc", "\ud83d\ude00"
    };
    Random dice = new Random(7919);
    for (int round = 0; round < 2_000; round++) {
      String[] names = new String[1 + dice.nextInt(30)];
      for (int i = 0; i < names.length; i++) {
        StringBuilder name = new StringBuilder(parts[dice.nextInt(parts.length)]);
        for (int more = dice.nextInt(4); more > 0; more--) {
          name.append(parts[dice.nextInt(parts.length)]);
        }
        names[i] = dice.nextInt(9) == 0 ? "<init>" : name.toString();
      }
      List<String> given = methodNames(names);
      Set<String> probes = new HashSet<>();
      for (String name : given) {
        assertTrue(name, name.matches("[A-Za-z0-9_]+"));
        for (ProbeKind kind : ProbeKind.values()) {
          assertTrue(Arrays.toString(names), probes.add(name + "__" + kind.suffix));
        }
      }
      assertEquals(given, methodNames(names));
    }
  }

  @Test
  public void namesMayBeAsLongAsClassFilesAllow() {
    String longest = "m".repeat(65_535);
    assertEquals(List.of(longest, longest + "__2"), methodNames(longest, longest));
  }

  /** The JVM rejects class files with such names, but the agent may read them. */
  @Test
  public void invalidMethodNamesAreSanitizedToo() {
    assertEquals(List.of("_", "_a_", "___2", ""), methodNames("<", "<a>", ">", ""));
  }
}
