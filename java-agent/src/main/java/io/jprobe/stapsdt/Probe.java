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
 * Passes values of the program to tracers. {@link Provider#addProbe} creates probes.
 *
 * <p>Without a tracer, firing reads a counter in memory, which costs 1 to 2 ns. The kernel
 * increments the counter for every tracer that attaches. With a tracer, firing costs a trap into
 * the kernel, several hundred ns. If computing the values is expensive, call {@link #isEnabled}
 * first.
 *
 * <p>Values must match the probe's {@link ArgumentType arguments} in number, order and kind:
 *
 * <ul>
 *   <li>integer types: a {@code long}, or a value that Java widens to one; the lowest bits that fit
 *       the argument are passed
 *   <li>DOUBLE: a {@code double}
 *   <li>FLOAT: a {@code double}, which is rounded
 *   <li>STRING: a {@code String} or null; the text is truncated at 1,024 bytes of UTF-8
 * </ul>
 *
 * <p>Other values raise {@link IllegalArgumentException}, with or without a tracer.
 *
 * <p>Up to six integers, and up to three values of any kinds, are passed without boxing or
 * allocation; {@link #fire(Object...)} passes more. Any thread may fire, including virtual threads.
 * Tracers find the Java thread ID in the word after the arguments. After {@link Provider#close},
 * firing and {@link #isEnabled} throw {@link IllegalStateException}; a concurrent call may do
 * nothing instead.
 */
public final class Probe {
  private static final VarHandle COUNT =
      MethodHandles.byteBufferViewVarHandle(short[].class, ByteOrder.nativeOrder());

  /** Semaphore of a probe that has not been loaded: always 0. */
  private static final ByteBuffer NOT_LOADED = ByteBuffer.allocateDirect(Short.BYTES);

  /** Semaphore of a closed probe: never 0, so that only enabled probes check for closing. */
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

  /** Returns the name by which tracers find the probe. */
  public String name() {
    return name;
  }

  /** Returns the name of the probe's provider. */
  public String providerName() {
    return provider.name();
  }

  /** Returns the types of the values that the probe passes. */
  public List<ArgumentType> arguments() {
    return arguments;
  }

  /**
   * Returns true if a tracer is attached to this probe. Use it if computing the values is
   * expensive:
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
    // Opaque, because a plain read could be moved out of a loop, which would then miss a tracer.
    boolean raised = (short) COUNT.getOpaque(semaphore, 0) != 0;
    // The semaphore's memory is freed when the provider and this probe become unreachable.
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
    send(0, 0, 0, 0, 0, 0, 0);
  }

  /** Fires with an integer. */
  public void fire(long a) {
    send(L, a, 0, 0, 0, 0, 0);
  }

  /** Fires with a floating-point number. */
  public void fire(double a) {
    send(D, bits(a), 0, 0, 0, 0, 0);
  }

  /** Fires with a string. */
  public void fire(String a) {
    sendStrings(S, 0, 0, 0, a, null, null);
  }

  /** Fires with two integers. */
  public void fire(long a, long b) {
    send(L | L << 2, a, b, 0, 0, 0, 0);
  }

  /** Fires with an integer and a floating-point number. */
  public void fire(long a, double b) {
    send(L | D << 2, a, bits(b), 0, 0, 0, 0);
  }

  /** Fires with an integer and a string. */
  public void fire(long a, String b) {
    sendStrings(L | S << 2, a, 0, 0, null, b, null);
  }

  /** Fires with a floating-point number and an integer. */
  public void fire(double a, long b) {
    send(D | L << 2, bits(a), b, 0, 0, 0, 0);
  }

  /** Fires with two floating-point numbers. */
  public void fire(double a, double b) {
    send(D | D << 2, bits(a), bits(b), 0, 0, 0, 0);
  }

  /** Fires with a floating-point number and a string. */
  public void fire(double a, String b) {
    sendStrings(D | S << 2, bits(a), 0, 0, null, b, null);
  }

  /** Fires with a string and an integer. */
  public void fire(String a, long b) {
    sendStrings(S | L << 2, 0, b, 0, a, null, null);
  }

  /** Fires with a string and a floating-point number. */
  public void fire(String a, double b) {
    sendStrings(S | D << 2, 0, bits(b), 0, a, null, null);
  }

  /** Fires with two strings. */
  public void fire(String a, String b) {
    sendStrings(S | S << 2, 0, 0, 0, a, b, null);
  }

  /** Fires with three integers. */
  public void fire(long a, long b, long c) {
    send(L | L << 2 | L << 4, a, b, c, 0, 0, 0);
  }

  /** Fires with an integer, an integer and a floating-point number. */
  public void fire(long a, long b, double c) {
    send(L | L << 2 | D << 4, a, b, bits(c), 0, 0, 0);
  }

  /** Fires with an integer, an integer and a string. */
  public void fire(long a, long b, String c) {
    sendStrings(L | L << 2 | S << 4, a, b, 0, null, null, c);
  }

  /** Fires with an integer, a floating-point number and an integer. */
  public void fire(long a, double b, long c) {
    send(L | D << 2 | L << 4, a, bits(b), c, 0, 0, 0);
  }

  /** Fires with an integer, a floating-point number and a floating-point number. */
  public void fire(long a, double b, double c) {
    send(L | D << 2 | D << 4, a, bits(b), bits(c), 0, 0, 0);
  }

  /** Fires with an integer, a floating-point number and a string. */
  public void fire(long a, double b, String c) {
    sendStrings(L | D << 2 | S << 4, a, bits(b), 0, null, null, c);
  }

  /** Fires with an integer, a string and an integer. */
  public void fire(long a, String b, long c) {
    sendStrings(L | S << 2 | L << 4, a, 0, c, null, b, null);
  }

  /** Fires with an integer, a string and a floating-point number. */
  public void fire(long a, String b, double c) {
    sendStrings(L | S << 2 | D << 4, a, 0, bits(c), null, b, null);
  }

  /** Fires with an integer, a string and a string. */
  public void fire(long a, String b, String c) {
    sendStrings(L | S << 2 | S << 4, a, 0, 0, null, b, c);
  }

  /** Fires with a floating-point number, an integer and an integer. */
  public void fire(double a, long b, long c) {
    send(D | L << 2 | L << 4, bits(a), b, c, 0, 0, 0);
  }

  /** Fires with a floating-point number, an integer and a floating-point number. */
  public void fire(double a, long b, double c) {
    send(D | L << 2 | D << 4, bits(a), b, bits(c), 0, 0, 0);
  }

  /** Fires with a floating-point number, an integer and a string. */
  public void fire(double a, long b, String c) {
    sendStrings(D | L << 2 | S << 4, bits(a), b, 0, null, null, c);
  }

  /** Fires with a floating-point number, a floating-point number and an integer. */
  public void fire(double a, double b, long c) {
    send(D | D << 2 | L << 4, bits(a), bits(b), c, 0, 0, 0);
  }

  /** Fires with three floating-point numbers. */
  public void fire(double a, double b, double c) {
    send(D | D << 2 | D << 4, bits(a), bits(b), bits(c), 0, 0, 0);
  }

  /** Fires with a floating-point number, a floating-point number and a string. */
  public void fire(double a, double b, String c) {
    sendStrings(D | D << 2 | S << 4, bits(a), bits(b), 0, null, null, c);
  }

  /** Fires with a floating-point number, a string and an integer. */
  public void fire(double a, String b, long c) {
    sendStrings(D | S << 2 | L << 4, bits(a), 0, c, null, b, null);
  }

  /** Fires with a floating-point number, a string and a floating-point number. */
  public void fire(double a, String b, double c) {
    sendStrings(D | S << 2 | D << 4, bits(a), 0, bits(c), null, b, null);
  }

  /** Fires with a floating-point number, a string and a string. */
  public void fire(double a, String b, String c) {
    sendStrings(D | S << 2 | S << 4, bits(a), 0, 0, null, b, c);
  }

  /** Fires with a string, an integer and an integer. */
  public void fire(String a, long b, long c) {
    sendStrings(S | L << 2 | L << 4, 0, b, c, a, null, null);
  }

  /** Fires with a string, an integer and a floating-point number. */
  public void fire(String a, long b, double c) {
    sendStrings(S | L << 2 | D << 4, 0, b, bits(c), a, null, null);
  }

  /** Fires with a string, an integer and a string. */
  public void fire(String a, long b, String c) {
    sendStrings(S | L << 2 | S << 4, 0, b, 0, a, null, c);
  }

  /** Fires with a string, a floating-point number and an integer. */
  public void fire(String a, double b, long c) {
    sendStrings(S | D << 2 | L << 4, 0, bits(b), c, a, null, null);
  }

  /** Fires with a string, a floating-point number and a floating-point number. */
  public void fire(String a, double b, double c) {
    sendStrings(S | D << 2 | D << 4, 0, bits(b), bits(c), a, null, null);
  }

  /** Fires with a string, a floating-point number and a string. */
  public void fire(String a, double b, String c) {
    sendStrings(S | D << 2 | S << 4, 0, bits(b), 0, a, null, c);
  }

  /** Fires with a string, a string and an integer. */
  public void fire(String a, String b, long c) {
    sendStrings(S | S << 2 | L << 4, 0, 0, c, a, b, null);
  }

  /** Fires with a string, a string and a floating-point number. */
  public void fire(String a, String b, double c) {
    sendStrings(S | S << 2 | D << 4, 0, 0, bits(c), a, b, null);
  }

  /** Fires with three strings. */
  public void fire(String a, String b, String c) {
    sendStrings(S | S << 2 | S << 4, 0, 0, 0, a, b, c);
  }

  /** Fires with four integers. */
  public void fire(long a, long b, long c, long d) {
    send(L | L << 2 | L << 4 | L << 6, a, b, c, d, 0, 0);
  }

  /** Fires with five integers. */
  public void fire(long a, long b, long c, long d, long e) {
    send(L | L << 2 | L << 4 | L << 6 | L << 8, a, b, c, d, e, 0);
  }

  /** Fires with six integers. */
  public void fire(long a, long b, long c, long d, long e, long f) {
    send(L | L << 2 | L << 4 | L << 6 | L << 8 | L << 10, a, b, c, d, e, f);
  }

  /**
   * Fires with values of any number and kinds. Allocates memory, unlike the other forms. Integers
   * may also be {@link Boolean}, passed as 0 or 1.
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

  private void send(int shape, long a, long b, long c, long d, long e, long f) {
    if (isWanted(shape)) {
      NativeProvider.fire(handle, thread(), a, b, c, d, e, f);
      Reference.reachabilityFence(this);
    }
  }

  private void sendStrings(int shape, long a, long b, long c, String x, String y, String z) {
    if (isWanted(shape)) {
      NativeProvider.fireStrings(handle, thread(), a, b, c, x, y, z);
      Reference.reachabilityFence(this);
    }
  }

  private void sendAll(Object[] values) {
    NativeProvider.fireAll(handle, thread(), Shape.words(values), Shape.strings(values));
    Reference.reachabilityFence(this);
  }

  /** Returns the native handle, which is valid while the provider is reachable. */
  long handle() {
    return handle;
  }

  /** Sets the semaphore of a probe that has been loaded. */
  void setSemaphore(ByteBuffer semaphore) {
    this.semaphore = semaphore;
  }

  void close() {
    semaphore = CLOSED;
  }

  /** Returns a text such as "orders:placed(INT64, STRING)". */
  @Override
  public String toString() {
    String types = arguments.toString();
    return provider.name() + ":" + name + "(" + types.substring(1, types.length() - 1) + ")";
  }
}
