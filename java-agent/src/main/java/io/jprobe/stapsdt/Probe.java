// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stapsdt;

import io.jprobe.stub.NativeProvider;
import io.jprobe.stub.Shape;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.lang.ref.Reference;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;

/**
 * A place in the program where values can be handed to whoever traces it; {@link Provider#addProbe}
 * makes one.
 *
 * <p>While nobody listens, firing is a look at a counter in memory, which the kernel raises for
 * every tracer that attaches: a nanosecond or two. While somebody does, it is a trap into the
 * kernel: some hundreds of nanoseconds. Where the values themselves are dear, ask {@link
 * #isEnabled} first.
 *
 * <p>Values have to be of the kinds of the probe's {@link ArgumentType arguments}, in their order:
 * a {@code long}, or what Java widens to one, for the integer types, which keeps as many of the
 * lowest bits as the argument has; a {@code double} for DOUBLE and, rounded, for FLOAT; a {@code
 * String}, or null, for STRING, whose text is cut at 1,024 bytes of UTF-8. Anything else is an
 * {@link IllegalArgumentException}, whether or not somebody listens.
 *
 * <p>Up to six integers, and up to three values of any kinds, are passed without boxing or
 * allocation; for more there is {@link #fire(Object...)}. Any thread may fire, virtual threads
 * included; tracers find the Java thread id in the word after the arguments. Once the provider is
 * closed, firing and asking throw {@link IllegalStateException}; a call that is under way at that
 * moment may do nothing instead.
 */
public final class Probe {
  private static final VarHandle COUNT =
      MethodHandles.byteBufferViewVarHandle(short[].class, ByteOrder.nativeOrder());

  /** In place of a semaphore: nobody can have attached yet. */
  private static final ByteBuffer NOT_LOADED = ByteBuffer.allocateDirect(Short.BYTES);

  /** In place of a semaphore: raised, so that who fires looks closer, and need not before. */
  private static final ByteBuffer CLOSED = ByteBuffer.allocateDirect(Short.BYTES).put(0, (byte) 1);

  private static final int L = Shape.LONG;
  private static final int D = Shape.DOUBLE;
  private static final int S = Shape.STRING;

  private final Provider provider;
  private final String name;
  private final List<ArgumentType> arguments;
  private final int shape;
  private final long handle;
  private volatile ByteBuffer semaphore = NOT_LOADED;

  Probe(Provider provider, String name, List<ArgumentType> arguments, long handle) {
    this.provider = provider;
    this.name = name;
    this.arguments = arguments;
    this.shape = ArgumentType.shape(arguments);
    this.handle = handle;
  }

  /** What tracers call it. */
  public String name() {
    return name;
  }

  /** The name of the provider that it belongs to. */
  public String providerName() {
    return provider.name();
  }

  /** The types of the values that it passes. */
  public List<ArgumentType> arguments() {
    return arguments;
  }

  /**
   * Whether a tracer is attached to this probe. For values that cost something to come by:
   *
   * <pre>{@code
   * if (placed.isEnabled()) {
   *   placed.fire(order.id(), order.describe());
   * }
   * }</pre>
   *
   * @throws IllegalStateException if the provider is closed
   */
  public boolean isEnabled() {
    ByteBuffer semaphore = this.semaphore;
    // Opaque: a plain read could be moved out of a loop, which would never hear of a tracer then.
    boolean raised = (short) COUNT.getOpaque(semaphore, 0) != 0;
    // The semaphore's memory is there for as long as the provider is.
    Reference.reachabilityFence(this);
    return raised && isOpen(semaphore);
  }

  private boolean isOpen(ByteBuffer semaphore) {
    if (semaphore == CLOSED) {
      throw provider.closedException();
    }
    return true;
  }

  /** Fires a probe without arguments. */
  public void fire() {
    if (isWanted(0)) {
      send(0, 0, 0, 0, 0, 0);
    }
  }

  /** Fires with an integer. */
  public void fire(long a) {
    if (isWanted(L)) {
      send(a, 0, 0, 0, 0, 0);
    }
  }

  /** Fires with a floating-point number. */
  public void fire(double a) {
    if (isWanted(D)) {
      send(bits(a), 0, 0, 0, 0, 0);
    }
  }

  /** Fires with a string. */
  public void fire(String a) {
    if (isWanted(S)) {
      sendStrings(0, 0, 0, a, null, null);
    }
  }

  /** Fires with two integers. */
  public void fire(long a, long b) {
    if (isWanted(L | L << 2)) {
      send(a, b, 0, 0, 0, 0);
    }
  }

  /** Fires with an integer and a floating-point number. */
  public void fire(long a, double b) {
    if (isWanted(L | D << 2)) {
      send(a, bits(b), 0, 0, 0, 0);
    }
  }

  /** Fires with an integer and a string. */
  public void fire(long a, String b) {
    if (isWanted(L | S << 2)) {
      sendStrings(a, 0, 0, null, b, null);
    }
  }

  /** Fires with a floating-point number and an integer. */
  public void fire(double a, long b) {
    if (isWanted(D | L << 2)) {
      send(bits(a), b, 0, 0, 0, 0);
    }
  }

  /** Fires with two floating-point numbers. */
  public void fire(double a, double b) {
    if (isWanted(D | D << 2)) {
      send(bits(a), bits(b), 0, 0, 0, 0);
    }
  }

  /** Fires with a floating-point number and a string. */
  public void fire(double a, String b) {
    if (isWanted(D | S << 2)) {
      sendStrings(bits(a), 0, 0, null, b, null);
    }
  }

  /** Fires with a string and an integer. */
  public void fire(String a, long b) {
    if (isWanted(S | L << 2)) {
      sendStrings(0, b, 0, a, null, null);
    }
  }

  /** Fires with a string and a floating-point number. */
  public void fire(String a, double b) {
    if (isWanted(S | D << 2)) {
      sendStrings(0, bits(b), 0, a, null, null);
    }
  }

  /** Fires with two strings. */
  public void fire(String a, String b) {
    if (isWanted(S | S << 2)) {
      sendStrings(0, 0, 0, a, b, null);
    }
  }

  /** Fires with three integers. */
  public void fire(long a, long b, long c) {
    if (isWanted(L | L << 2 | L << 4)) {
      send(a, b, c, 0, 0, 0);
    }
  }

  /** Fires with an integer, an integer and a floating-point number. */
  public void fire(long a, long b, double c) {
    if (isWanted(L | L << 2 | D << 4)) {
      send(a, b, bits(c), 0, 0, 0);
    }
  }

  /** Fires with an integer, an integer and a string. */
  public void fire(long a, long b, String c) {
    if (isWanted(L | L << 2 | S << 4)) {
      sendStrings(a, b, 0, null, null, c);
    }
  }

  /** Fires with an integer, a floating-point number and an integer. */
  public void fire(long a, double b, long c) {
    if (isWanted(L | D << 2 | L << 4)) {
      send(a, bits(b), c, 0, 0, 0);
    }
  }

  /** Fires with an integer, a floating-point number and a floating-point number. */
  public void fire(long a, double b, double c) {
    if (isWanted(L | D << 2 | D << 4)) {
      send(a, bits(b), bits(c), 0, 0, 0);
    }
  }

  /** Fires with an integer, a floating-point number and a string. */
  public void fire(long a, double b, String c) {
    if (isWanted(L | D << 2 | S << 4)) {
      sendStrings(a, bits(b), 0, null, null, c);
    }
  }

  /** Fires with an integer, a string and an integer. */
  public void fire(long a, String b, long c) {
    if (isWanted(L | S << 2 | L << 4)) {
      sendStrings(a, 0, c, null, b, null);
    }
  }

  /** Fires with an integer, a string and a floating-point number. */
  public void fire(long a, String b, double c) {
    if (isWanted(L | S << 2 | D << 4)) {
      sendStrings(a, 0, bits(c), null, b, null);
    }
  }

  /** Fires with an integer, a string and a string. */
  public void fire(long a, String b, String c) {
    if (isWanted(L | S << 2 | S << 4)) {
      sendStrings(a, 0, 0, null, b, c);
    }
  }

  /** Fires with a floating-point number, an integer and an integer. */
  public void fire(double a, long b, long c) {
    if (isWanted(D | L << 2 | L << 4)) {
      send(bits(a), b, c, 0, 0, 0);
    }
  }

  /** Fires with a floating-point number, an integer and a floating-point number. */
  public void fire(double a, long b, double c) {
    if (isWanted(D | L << 2 | D << 4)) {
      send(bits(a), b, bits(c), 0, 0, 0);
    }
  }

  /** Fires with a floating-point number, an integer and a string. */
  public void fire(double a, long b, String c) {
    if (isWanted(D | L << 2 | S << 4)) {
      sendStrings(bits(a), b, 0, null, null, c);
    }
  }

  /** Fires with a floating-point number, a floating-point number and an integer. */
  public void fire(double a, double b, long c) {
    if (isWanted(D | D << 2 | L << 4)) {
      send(bits(a), bits(b), c, 0, 0, 0);
    }
  }

  /** Fires with three floating-point numbers. */
  public void fire(double a, double b, double c) {
    if (isWanted(D | D << 2 | D << 4)) {
      send(bits(a), bits(b), bits(c), 0, 0, 0);
    }
  }

  /** Fires with a floating-point number, a floating-point number and a string. */
  public void fire(double a, double b, String c) {
    if (isWanted(D | D << 2 | S << 4)) {
      sendStrings(bits(a), bits(b), 0, null, null, c);
    }
  }

  /** Fires with a floating-point number, a string and an integer. */
  public void fire(double a, String b, long c) {
    if (isWanted(D | S << 2 | L << 4)) {
      sendStrings(bits(a), 0, c, null, b, null);
    }
  }

  /** Fires with a floating-point number, a string and a floating-point number. */
  public void fire(double a, String b, double c) {
    if (isWanted(D | S << 2 | D << 4)) {
      sendStrings(bits(a), 0, bits(c), null, b, null);
    }
  }

  /** Fires with a floating-point number, a string and a string. */
  public void fire(double a, String b, String c) {
    if (isWanted(D | S << 2 | S << 4)) {
      sendStrings(bits(a), 0, 0, null, b, c);
    }
  }

  /** Fires with a string, an integer and an integer. */
  public void fire(String a, long b, long c) {
    if (isWanted(S | L << 2 | L << 4)) {
      sendStrings(0, b, c, a, null, null);
    }
  }

  /** Fires with a string, an integer and a floating-point number. */
  public void fire(String a, long b, double c) {
    if (isWanted(S | L << 2 | D << 4)) {
      sendStrings(0, b, bits(c), a, null, null);
    }
  }

  /** Fires with a string, an integer and a string. */
  public void fire(String a, long b, String c) {
    if (isWanted(S | L << 2 | S << 4)) {
      sendStrings(0, b, 0, a, null, c);
    }
  }

  /** Fires with a string, a floating-point number and an integer. */
  public void fire(String a, double b, long c) {
    if (isWanted(S | D << 2 | L << 4)) {
      sendStrings(0, bits(b), c, a, null, null);
    }
  }

  /** Fires with a string, a floating-point number and a floating-point number. */
  public void fire(String a, double b, double c) {
    if (isWanted(S | D << 2 | D << 4)) {
      sendStrings(0, bits(b), bits(c), a, null, null);
    }
  }

  /** Fires with a string, a floating-point number and a string. */
  public void fire(String a, double b, String c) {
    if (isWanted(S | D << 2 | S << 4)) {
      sendStrings(0, bits(b), 0, a, null, c);
    }
  }

  /** Fires with a string, a string and an integer. */
  public void fire(String a, String b, long c) {
    if (isWanted(S | S << 2 | L << 4)) {
      sendStrings(0, 0, c, a, b, null);
    }
  }

  /** Fires with a string, a string and a floating-point number. */
  public void fire(String a, String b, double c) {
    if (isWanted(S | S << 2 | D << 4)) {
      sendStrings(0, 0, bits(c), a, b, null);
    }
  }

  /** Fires with three strings. */
  public void fire(String a, String b, String c) {
    if (isWanted(S | S << 2 | S << 4)) {
      sendStrings(0, 0, 0, a, b, c);
    }
  }

  /** Fires with four integers. */
  public void fire(long a, long b, long c, long d) {
    if (isWanted(L | L << 2 | L << 4 | L << 6)) {
      send(a, b, c, d, 0, 0);
    }
  }

  /** Fires with five integers. */
  public void fire(long a, long b, long c, long d, long e) {
    if (isWanted(L | L << 2 | L << 4 | L << 6 | L << 8)) {
      send(a, b, c, d, e, 0);
    }
  }

  /** Fires with six integers. */
  public void fire(long a, long b, long c, long d, long e, long f) {
    if (isWanted(L | L << 2 | L << 4 | L << 6 | L << 8 | L << 10)) {
      send(a, b, c, d, e, f);
    }
  }

  /**
   * Fires with any values that the probe takes. Allocates, as the other forms do not. Integers can
   * also be {@link Boolean}, as 0 and 1.
   */
  public void fire(Object... values) {
    if (Shape.of(values) != shape) {
      throw wrongShape(Shape.text(values));
    }
    if (isEnabled()) {
      sendAll(values);
    }
  }

  private boolean isWanted(int shape) {
    if (shape != this.shape) {
      throw wrongShape(Shape.text(shape));
    }
    return isEnabled();
  }

  private IllegalArgumentException wrongShape(String values) {
    return new IllegalArgumentException(
        "the probe " + this + " takes " + Shape.text(shape) + " and was fired with " + values);
  }

  private static long bits(double value) {
    return Double.doubleToRawLongBits(value);
  }

  private static long thread() {
    return Thread.currentThread().getId();
  }

  private void send(long a, long b, long c, long d, long e, long f) {
    NativeProvider.fire(handle, thread(), a, b, c, d, e, f);
    Reference.reachabilityFence(this);
  }

  private void sendStrings(long a, long b, long c, String x, String y, String z) {
    NativeProvider.fireStrings(handle, thread(), a, b, c, x, y, z);
    Reference.reachabilityFence(this);
  }

  private void sendAll(Object[] values) {
    long[] words = new long[values.length];
    String[] strings = new String[values.length];
    for (int i = 0; i < values.length; i++) {
      if (values[i] instanceof String) {
        strings[i] = (String) values[i];
      } else {
        words[i] = Shape.word(values[i]);
      }
    }
    NativeProvider.fireAll(handle, thread(), words, strings);
    Reference.reachabilityFence(this);
  }

  /** The C side's, for as long as the provider is reachable. */
  long handle() {
    return handle;
  }

  /** The probe has been loaded: from now on this says whether somebody listens. */
  void listenTo(ByteBuffer semaphore) {
    this.semaphore = semaphore;
  }

  void close() {
    semaphore = CLOSED;
  }

  /** As in "orders:placed(INT64, STRING)". */
  @Override
  public String toString() {
    String types = arguments.toString();
    return provider.name() + ":" + name + "(" + types.substring(1, types.length() - 1) + ")";
  }
}
