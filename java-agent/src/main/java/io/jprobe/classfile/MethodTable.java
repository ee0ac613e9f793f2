// SPDX-License-Identifier: Apache-2.0
package io.jprobe.classfile;

import org.objectweb.asm.ClassReader;

/**
 * Iterates over the methods of a class file with the offsets of their attributes, which ASM does
 * not report.
 */
final class MethodTable {
  final ClassReader reader;
  private final char[] buffer;
  private int left;
  private int method;
  private int end;

  MethodTable(ClassReader reader) {
    this.reader = reader;
    this.buffer = new char[reader.getMaxStringLength()];
    int interfaces = reader.header + 6;
    int fields = interfaces + 2 + 2 * reader.readUnsignedShort(interfaces);
    int at = fields + 2;
    for (int i = reader.readUnsignedShort(fields); i > 0; i--) {
      at = endOf(at);
    }
    left = reader.readUnsignedShort(at);
    end = at + 2;
  }

  /** Returns the offset after a field or method. */
  private int endOf(int member) {
    int at = member + 8;
    for (int i = reader.readUnsignedShort(member + 6); i > 0; i--) {
      at += 6 + reader.readInt(at + 2);
    }
    return at;
  }

  /** Advances to the next method. Returns false if there is none. */
  boolean next() {
    if (left == 0) {
      return false;
    }
    left--;
    method = end;
    end = endOf(method);
    return true;
  }

  String name() {
    return text(method + 2);
  }

  String descriptor() {
    return text(method + 4);
  }

  /** Returns the text whose index is at that offset; null for index 0. */
  String text(int offset) {
    return reader.readUTF8(offset, buffer);
  }

  /**
   * Returns the offset of the contents of the method's attribute of that name; 0 if there is none.
   */
  int attribute(String name) {
    int at = method + 8;
    while (at < end) {
      if (name.equals(text(at))) {
        return at + 6;
      }
      at += 6 + reader.readInt(at + 2);
    }
    return 0;
  }

  /** Returns the offset of the method's number of attributes. */
  int attributeCount() {
    return method + 6;
  }

  /** Returns the offset of the method's end. */
  int end() {
    return end;
  }
}
