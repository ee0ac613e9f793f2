// SPDX-License-Identifier: Apache-2.0

import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;

/**
 * Generates a class file that no compiler wrote: an IntUnaryOperator that adds 1. Its constructor
 * has a boolean parameter and calls super() at two offsets. The class file version is too old to
 * need stack maps.
 */
final class GeneratedClass {
  private static final int VERSION = 49;

  private GeneratedClass() {}

  static byte[] named(String name) {
    // iload_1, iconst_1, iadd, ireturn.
    return named(name, 0x1b, 0x04, 0x60, 0xac);
  }

  /** Returns a class that the JVM loads but fails to link, because it returns a missing value. */
  static byte[] broken(String name) {
    return named(name, 0xac);
  }

  private static byte[] named(String name, int... code) {
    ByteArrayOutputStream file = new ByteArrayOutputStream();
    try (DataOutputStream out = new DataOutputStream(file)) {
      write(out, name.replace('.', '/'), code);
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
    return file.toByteArray();
  }

  private static void write(DataOutputStream out, String name, int... code) throws IOException {
    out.writeInt(0xCAFEBABE);
    out.writeInt(VERSION);
    out.writeShort(15);
    className(out, 2, name);
    className(out, 4, "java/lang/Object");
    className(out, 6, "java/util/function/IntUnaryOperator");
    text(out, "<init>");
    text(out, "()V");
    out.writeByte(12);
    out.writeInt(7 << 16 | 8);
    out.writeByte(10);
    out.writeInt(3 << 16 | 9);
    text(out, "(Z)V");
    text(out, "applyAsInt");
    text(out, "(I)I");
    text(out, "Code");
    // Access flags (public, super), this class, superclass, 1 interface, 0 fields, 2 methods.
    shorts(out, 0x21, 1, 3, 1, 5, 0, 2);
    // iload_1, ifeq to the second part; aload_0, invokespecial #10, return; the same three again.
    method(out, 7, 11, 0x1b, 0x99, 0, 8, 0x2a, 0xb7, 0, 10, 0xb1, 0x2a, 0xb7, 0, 10, 0xb1);
    method(out, 12, 13, code);
    shorts(out, 0);
  }

  /** Writes a class constant and its name, which gets the index {@code text}. */
  private static void className(DataOutputStream out, int text, String name) throws IOException {
    out.writeByte(7);
    out.writeShort(text);
    text(out, name);
  }

  private static void text(DataOutputStream out, String text) throws IOException {
    out.writeByte(1);
    out.writeUTF(text);
  }

  private static void shorts(DataOutputStream out, int... values) throws IOException {
    for (int value : values) {
      out.writeShort(value);
    }
  }

  private static void method(DataOutputStream out, int name, int descriptor, int... code)
      throws IOException {
    shorts(out, 1, name, descriptor, 1, 14);
    out.writeInt(12 + code.length);
    shorts(out, 2, 2);
    out.writeInt(code.length);
    for (int each : code) {
      out.writeByte(each);
    }
    shorts(out, 0, 0);
  }
}
