// SPDX-License-Identifier: Apache-2.0
package io.jprobe.classfile;

import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.Map;
import org.objectweb.asm.ClassReader;

/**
 * Adds attributes to methods of a class file and preserves all other bytes. ASM would rewrite the
 * methods.
 */
final class ClassFileAdditions {
  /** Tag of a constant pool entry (JVMS 4.4.7). */
  private static final int CONSTANT_UTF8 = 1;

  /** Offset after the magic number and the version. */
  private static final int POOL_COUNT = 8;

  private static final int MAX_POOL_COUNT = 0xffff;

  private final byte[] classFile;
  private final ClassReader reader;

  /** Indices of the constant pool's texts, by length and bytes. Created on first use. */
  private Map<ByteBuffer, Integer> texts;

  private int poolCount;
  private final ByteArrayOutputStream pool = new ByteArrayOutputStream();
  private final ByteArrayOutputStream members = new ByteArrayOutputStream();

  /** Number of bytes of the class file that are in {@link #members} or precede it. */
  private int copied;

  ClassFileAdditions(byte[] classFile, ClassReader reader) {
    this.classFile = classFile;
    this.reader = reader;
    this.poolCount = reader.getItemCount();
    this.copied = reader.header;
  }

  /** Returns the index of the text in the constant pool, adding it if necessary. */
  int text(String text) {
    ByteBuffer bytes = ByteBuffer.wrap(encode(text));
    if (texts == null) {
      texts = readTexts();
    }
    Integer known = texts.get(bytes);
    if (known != null) {
      return known;
    }
    if (poolCount == MAX_POOL_COUNT) {
      throw new IllegalArgumentException("the constant pool is full");
    }
    pool.write(CONSTANT_UTF8);
    pool.writeBytes(bytes.array());
    texts.put(bytes, poolCount);
    return poolCount++;
  }

  private Map<ByteBuffer, Integer> readTexts() {
    Map<ByteBuffer, Integer> read = new HashMap<>();
    for (int i = 1; i < reader.getItemCount(); i++) {
      int entry = reader.getItem(i);
      // The second half of a long or double is not an entry.
      if (entry != 0 && reader.readByte(entry - 1) == CONSTANT_UTF8) {
        int size = 2 + reader.readUnsignedShort(entry);
        read.putIfAbsent(ByteBuffer.wrap(classFile, entry, size), i);
      }
    }
    return read;
  }

  /** Returns the length (2 bytes) and the text in modified UTF-8, as in class files. */
  private static byte[] encode(String text) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (DataOutputStream out = new DataOutputStream(bytes)) {
      out.writeUTF(text);
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
    return bytes.toByteArray();
  }

  /** Adds an attribute to the table's current method. Methods must be visited in order. */
  void addAttribute(MethodTable table, String name, byte[] content) {
    copyTo(table.attributeCount());
    writeShort(reader.readUnsignedShort(table.attributeCount()) + 1);
    copied += 2;
    copyTo(table.end());
    writeShort(text(name));
    writeShort(content.length >>> 16);
    writeShort(content.length);
    members.writeBytes(content);
  }

  private void copyTo(int offset) {
    members.write(classFile, copied, offset - copied);
    copied = offset;
  }

  private void writeShort(int value) {
    members.write(value >>> 8);
    members.write(value);
  }

  /** Returns the class file; the original array if nothing has been added. */
  byte[] toByteArray() {
    if (copied == reader.header) {
      return classFile;
    }
    copyTo(classFile.length);
    ByteBuffer result =
        ByteBuffer.allocate(reader.header + pool.size() + members.size())
            .put(classFile, 0, reader.header)
            .putShort(POOL_COUNT, (short) poolCount);
    return result.put(pool.toByteArray()).put(members.toByteArray()).array();
  }
}
