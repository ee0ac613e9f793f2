// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;

/**
 * Writes the two protobuf wire types that the agent's messages use
 * (protobuf.dev/programming-guides/encoding).
 *
 * <p>Replaces protobuf-javalite. On JDK 25 its version 4.36.2 makes the JVM print four lines of
 * warnings to the application's stderr (sun.misc.Unsafe) and needs 100 ms for its first message. It
 * is four times the size of the whole agent. The tests read the output with the real protobuf.
 */
public final class ProtoWriter {
  private final ByteArrayOutputStream out = new ByteArrayOutputStream();

  /** Writes a number unless it is 0, the default. */
  public ProtoWriter number(int field, long value) {
    if (value != 0) {
      varint(field << 3);
      varint(value);
    }
    return this;
  }

  public ProtoWriter text(int field, String value) {
    return bytes(field, value.getBytes(StandardCharsets.UTF_8));
  }

  /** Writes a text unless it is empty, the default. */
  public ProtoWriter textIfAny(int field, String value) {
    return value.isEmpty() ? this : text(field, value);
  }

  public ProtoWriter message(int field, ProtoWriter message) {
    return bytes(field, message.toByteArray());
  }

  private ProtoWriter bytes(int field, byte[] value) {
    varint(field << 3 | 2);
    varint(value.length);
    out.write(value, 0, value.length);
    return this;
  }

  private void varint(long value) {
    while ((value & ~0x7fL) != 0) {
      out.write((int) (value & 0x7f | 0x80));
      value >>>= 7;
    }
    out.write((int) value);
  }

  /** Returns the size of the message in bytes. */
  public int size() {
    return out.size();
  }

  public byte[] toByteArray() {
    return out.toByteArray();
  }
}
