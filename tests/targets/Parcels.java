// SPDX-License-Identifier: Apache-2.0
package com.acme.parcels;

import java.io.InputStream;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.invoke.MethodHandles;
import java.lang.reflect.Array;
import java.util.List;
import java.util.function.Supplier;

/** Has the default retention, CLASS. */
@interface Timed {}

@Retention(RetentionPolicy.RUNTIME)
@interface Audited {}

interface Carrier {
  int carry(int parcels);
}

interface FastCarrier extends Carrier {}

abstract class Vehicle implements FastCarrier {
  abstract int wheels();

  native void fly();
}

class Truck extends Vehicle {
  @Override
  int wheels() {
    return 6;
  }

  @Override
  public int carry(int parcels) {
    return parcels - wheels();
  }
}

class Pigeon implements Carrier {
  static final class Homing extends Pigeon {
    @Override
    public int carry(int parcels) {
      return 0;
    }
  }

  @Override
  public int carry(int parcels) {
    return 1;
  }
}

@Audited
class Ledger {
  static long total;

  static {
    total = 1;
  }

  final String owner;

  Ledger(String owner) {
    this.owner = owner;
  }

  @Timed
  private synchronized void book(long amount) {
    total += amount;
  }

  public void book(String amount) {
    book(Long.parseLong(amount));
  }

  static Ledger of(List<String> owners) {
    return new Ledger(owners.get(0));
  }

  long[] amounts(int... which) {
    return new long[which.length];
  }

  String getOwner() {
    return owner;
  }

  class Line {
    int total(int price, int count) {
      return price * count;
    }
  }
}

/**
 * Keeps an instance of each class, a lambda and, with the argument "hidden", a hidden class. Prints
 * "ready" and waits for a line.
 */
public class Parcels {
  Supplier<String> greeting() {
    return () -> "hello " + this;
  }

  public static void main(String[] arguments) throws Exception {
    Ledger ledger = Ledger.of(List.of("Anna"));
    ledger.book("100");
    ledger.amounts(ledger.new Line().total(2, 3));
    ledger.getOwner();
    new Truck().carry(7);
    new Pigeon().carry(7);
    new Pigeon.Homing().carry(7);
    Supplier<String> greeting = new Parcels().greeting();
    Object hidden = arguments.length == 0 ? null : hidden();
    System.out.println("ready");
    System.in.read();
    if (greeting.get().isEmpty() || (hidden == null) != (arguments.length == 0)) {
      throw new IllegalStateException();
    }
  }

  /**
   * Returns an instance of a hidden copy of Counter. Uses reflection, because Java 11 compiles it
   * too.
   */
  static Object hidden() throws Exception {
    Object noOptions =
        Array.newInstance(Class.forName("java.lang.invoke.MethodHandles$Lookup$ClassOption"), 0);
    MethodHandles.Lookup defined =
        (MethodHandles.Lookup)
            MethodHandles.Lookup.class
                .getMethod("defineHiddenClass", byte[].class, boolean.class, noOptions.getClass())
                .invoke(MethodHandles.lookup(), classFile("Counter"), true, noOptions);
    return defined.lookupClass().getConstructor().newInstance();
  }

  static byte[] classFile(String name) throws Exception {
    try (InputStream in = Parcels.class.getResourceAsStream(name + ".class")) {
      return in.readAllBytes();
    }
  }
}
