// SPDX-License-Identifier: Apache-2.0
package io.jprobe.find;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import io.jprobe.calls.ApplicationCalls;
import io.jprobe.catalog.PublishedClass;
import io.jprobe.select.NearestNames;
import io.jprobe.select.Selector;
import io.jprobe.select.Selectors;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntBinaryOperator;
import java.util.stream.Collectors;
import org.junit.Test;

/** Explanations about com.acme, the program of docs/selectors.md. */
public class ExplainerTest {
  private static final String[] NAMES = {
    "Customer", "Order", "Order$Line", "Orders", "Job", "Import", "Service"
  };

  private static LoadedProgram program() throws Exception {
    List<Class<?>> classes = new ArrayList<>();
    for (String name : NAMES) {
      classes.add(Class.forName("com.acme." + name, false, ExplainerTest.class.getClassLoader()));
    }
    classes.add(Class.forName("com.acme.store.Shelf"));
    classes.addAll(List.of(java.util.HashMap.class, Runnable.class, Object.class));
    Runnable lambda = () -> {};
    classes.addAll(List.of(lambda.getClass(), Referring.SUM.getClass()));
    classes.addAll(List.of(ExplainerTest.class, Referring.class, Unimplemented.class));
    return new LoadedProgram(classes, ExplainerTest::read, new ApplicationCalls(), 10_000_000_000L);
  }

  private static Map<Class<?>, byte[]> read(List<Class<?>> types) {
    Map<Class<?>, byte[]> files = new HashMap<>();
    for (Class<?> type : types) {
      try {
        files.put(type, PublishedClass.classFile(type.getName()));
      } catch (Exception e) {
        throw new AssertionError(type.getName(), e);
      }
    }
    return files;
  }

  private static void assertExplained(String selector, String explanation) throws Exception {
    assertExplained(selector, explanation, Selectors.NONE);
  }

  private static void assertExplained(String selector, String explanation, Selectors inForce)
      throws Exception {
    assertEquals(explanation, new Explainer(program(), inForce).explain(Selector.parse(selector)));
  }

  @Test
  public void wrongClasses() throws Exception {
    assertExplained(
        "com.acme.Custommer#getCity", "matches no loaded class; did you mean com.acme.Customer?");
    assertExplained(
        "com.acme.Shelf#size", "matches no loaded class; did you mean com.acme.store.Shelf?");
    assertExplained(
        "com.acmee.**#place",
        "matches no loaded class; no loaded class is in package com.acmee; did you mean com.acme?");
    assertExplained(
        "com.acme.billing.Invoice#*",
        "matches no loaded class; no loaded class is in package com.acme.billing");
    assertExplained(
        "**HashMap#put",
        "matches no class that the program has loaded; for a class of the JDK, spell out its"
            + " package: java.util.HashMap");
    assertExplained(
        "com.acme.Orders.place#*",
        "matches no loaded class; write '#' before the method: com.acme.Orders#place");
    assertExplained(
        "com.acme.Order.Lien#total", "matches no loaded class; did you mean com.acme.Order$Line?");
    assertExplained(
        "java.**#put",
        "matches no class that the program has loaded; for classes of the JDK, spell out their"
            + " package, as in java.util.*");
    assertExplained("HashMap#put", "matches no loaded class; did you mean java.util.HashMap?");
  }

  @Test
  public void wrongMethods() throws Exception {
    assertExplained(
        "com.acme.Orders#plcae",
        "matches com.acme.Orders, which has no method 'plcae'; did you mean place?");
    assertExplained(
        "com.acme.Customer#frobnicate",
        "matches com.acme.Customer, which has no method 'frobnicate'; it has getCity, ...");
    assertExplained(
        "com.acme.*#placed",
        "matches 7 loaded classes, none of which has a method 'placed'; did you mean place?");
    assertExplained(
        "com.acme.Import#hashCode",
        "matches com.acme.Import, which does not define 'hashCode' but inherits it; write"
            + " 'java.lang.Object#hashCode'");
    assertExplained(
        "com.acme.Orders#place(String)",
        "has other arguments than the method; there is com.acme.Orders#place(Order),"
            + " com.acme.Orders#place(long,String)");
    assertExplained(
        "com.acme.Orders#place(order, by)",
        "has other arguments than the method; there is com.acme.Orders#place(Order),"
            + " com.acme.Orders#place(long,String); are these names of arguments? write arg0, or"
            + " order=order");
    assertExplained(
        "com.acme.Orders#place(int)",
        "has other arguments than the method; there is com.acme.Orders#place(Order),"
            + " com.acme.Orders#place(long,String)");
    assertExplained(
        "com.acme.Orders#place(Order):void",
        "has another type than the method returns; there is com.acme.Orders#place(Order):boolean");
    assertExplained(
        "public com.acme.Customer#getCity",
        "demands modifiers that the method does not have; without them, it matches"
            + " com.acme.Customer#getCity()");
    assertExplained(
        "@com.acme.Service com.acme.Customer#getCity",
        "demands an annotation that com.acme.Customer does not have; annotations are found if they"
            + " have retention CLASS or RUNTIME");
    assertExplained(
        "@com.acme.Servise", "matches no class or method; did you mean com.acme.Service?");
  }

  @Test
  public void methodsThatCannotBeTraced() throws Exception {
    assertExplained(
        "com.acme.Job#size",
        "matches 1 method, which cannot be traced; com.acme.Job#size(): it is abstract; write"
            + " '+com.acme.Job#size' for the methods that implement it");
    assertExplained(
        "+" + Unimplemented.class.getName() + "#run",
        "matches 1 method, which cannot be traced; "
            + Unimplemented.class.getName()
            + "#run(): it is abstract; no loaded class implements it");
    assertExplained(
        "com.acme.Order#customer(c=this.custmer)",
        "matches 1 method, which cannot be traced; com.acme.Order#customer(): column 32:"
            + " com.acme.Order has no 'custmer': no field or getter that a path can read has that"
            + " name; it has customer (com.acme.Customer)");
    assertExplained(
        "com.acme.Customer#getCity",
        "matches 1 method, which cannot be traced; com.acme.Customer#getCity(): it is excluded by"
            + " '!**#get*'",
        Selectors.parse("!**#get*"));
    assertExplained("com.acme.Customer#getCity", "");
  }

  private interface Unimplemented {
    void run();
  }

  /** Has a method reference, and no lambda with a body. */
  private static final class Referring {
    static final IntBinaryOperator SUM = Integer::sum;
  }

  @Test
  public void theBodyOfALambdaIsNamedIfThereIsOne() throws Exception {
    String own = ExplainerTest.class.getName();
    String lambda = explained(own + "$$Lambda*#run");
    assertTrue(
        lambda,
        lambda.endsWith(
            ", and it is a lambda's own class, which the JVM does not retransform; write '"
                + own
                + "#lambda$*' for the lambda's body"));
    String reference = explained(own + ".Referring$$Lambda*#applyAsInt");
    assertTrue(
        reference,
        reference.endsWith(
            ", and it is the class of a method reference, which the JVM does not retransform;"
                + " select the method that it refers to"));
  }

  private static String explained(String selector) throws Exception {
    return new Explainer(program(), Selectors.NONE).explain(Selector.parse(selector));
  }

  @Test
  public void foundMethodsSayWhetherTheyCanBeTraced() throws Exception {
    Finder finder = new Finder(program(), Selectors.NONE, 3);
    List<Found> found = finder.find(Selector.parse("com.acme.**#size"), false);
    assertEquals(
        List.of("com.acme.Import size ", "com.acme.Job size it is abstract"),
        found.stream()
            .map(each -> each.className + " " + each.method + " " + each.reason)
            .limit(2)
            .collect(Collectors.toList()));
    assertFalse(finder.hasMore());
    Finder limited = new Finder(program(), Selectors.NONE, 1);
    assertEquals(1, limited.find(Selector.parse("com.acme.**#size"), false).size());
    assertTrue(limited.hasMore());
    assertEquals(
        List.of("com.acme.Import", "com.acme.Job"),
        new Finder(program(), Selectors.NONE, 9)
            .find(Selector.parseOrClasses("+com.acme.Job"), true).stream()
                .map(each -> each.className + each.method)
                .collect(Collectors.toList()));
  }

  @Test
  public void nearestNamesAreFoundInTimeAmongMany() {
    List<String> names = new ArrayList<>();
    for (int i = 0; i < 40_000; i++) {
      names.add("SomeRatherLongNameOfAClass" + i);
    }
    names.add("OrderService");
    long begun = System.nanoTime();
    assertEquals(
        List.of("OrderService"),
        new NearestNames("OrderServcie").among(names, begun + 10_000_000_000L));
    long took = System.nanoTime() - begun;
    assertTrue(took + " ns", took < 3_000_000_000L);
    assertEquals(List.of(), new NearestNames("OrderServcie").among(names, System.nanoTime() - 1));
  }
}
