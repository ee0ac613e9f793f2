// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import static org.junit.Assert.assertEquals;

import io.jprobe.capture.ProbeKind;
import io.jprobe.catalog.Gate;
import io.jprobe.catalog.PublishedClass;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.junit.BeforeClass;
import org.junit.Test;

/** Captured paths that call traced methods, whose paths call traced methods in turn. */
public class EvaluationTest {
  /**
   * The woven class. With the selectors of this test each of the three methods calls the other two.
   */
  public static class Person implements Callable<Integer> {
    static int named;
    static int aged;
    static int described;

    public String name() {
      named++;
      return "Ada";
    }

    public int age() {
      aged++;
      return 36;
    }

    @Override
    public String toString() {
      described++;
      String text = name() + ", " + age();
      if (described % 2 == 0) {
        throw new IllegalStateException(text);
      }
      return text;
    }

    /** Calls both, and returns the numbers of calls of all three. */
    @Override
    public Integer call() {
      name();
      age();
      return 10_000 * described + 100 * named + aged;
    }
  }

  private static final String NAME = Person.class.getName();

  private Map<String, TracedMethod> methods;
  private Callable<?> person;

  @BeforeClass
  public static void bindFire() throws Exception {
    Woven.bindFire();
  }

  private void weave(String selectors) throws Exception {
    byte[] bytes = PublishedClass.classFile(NAME);
    TracedClass traced = PublishedClass.publish(NAME, bytes, selectors);
    Map<TracedMethod, EnumSet<ProbeKind>> wanted = new LinkedHashMap<>();
    traced.methods().forEach(method -> wanted.put(method, EnumSet.copyOf(method.kinds())));
    ClassWeaver.Result result = new ClassWeaver().weave(traced, wanted, bytes);
    assertEquals(Map.of(), result.failures);
    Woven loader = new Woven();
    loader.add(NAME, result.classFile);
    methods =
        traced.methods().stream().collect(Collectors.toMap(TracedMethod::toString, each -> each));
    person = (Callable<?>) loader.loadClass(NAME).getConstructor().newInstance();
  }

  private List<Long> suppressed(String method) {
    return EnumSet.allOf(ProbeKind.class).stream()
        .map(kind -> methods.get(method).gateWord(Gate.filtered(kind)))
        .collect(Collectors.toList());
  }

  @Test
  public void methodsThatAPathCallsAreCalledOnceAndFireNothing() throws Exception {
    weave("**Person#name(me=this.toString());**Person#age(me=this.toString())");
    for (int round = 1; round <= 1_000; round++) {
      // The program's own call of each, and two calls of toString, which calls both.
      assertEquals((10_000 * 2 + 100 * 3 + 3) * round, person.call());
      assertEquals(List.of(2L * round, 2L * round, 0L), suppressed("name()Ljava/lang/String;"));
      assertEquals(List.of(2L * round, 2L * round, 0L), suppressed("age()I"));
    }
  }

  @Test
  public void theirConditionsAreNotEvaluated() throws Exception {
    weave(
        "**Person#name when this.toString() != 'x';**Person#age when return > 3 and this.toString()"
            + " == null");
    assertEquals(10_000 * 2 + 100 * 3 + 3, person.call());
    assertEquals(List.of(2L, 2L, 0L), suppressed("name()Ljava/lang/String;"));
    // A condition on the returned value is evaluated at the end and rules out an entry probe.
    assertEquals(List.of(0L, 3L, 0L), suppressed("age()I"));
  }

  @Test
  public void methodsWithoutPathsFireNothingThen() throws Exception {
    weave("**Person#name(me=this.toString());**Person#age");
    assertEquals(10_000 + 100 * 2 + 2, person.call());
    assertEquals(List.of(1L, 1L, 0L), suppressed("age()I"));
  }
}
