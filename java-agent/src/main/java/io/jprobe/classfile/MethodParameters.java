// SPDX-License-Identifier: Apache-2.0
package io.jprobe.classfile;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import org.objectweb.asm.ClassReader;

/**
 * The attribute MethodParameters (JVMS 4.7.24) of a class's methods, without its class file. Packed
 * into one byte array, because thousands are kept. Each method with the attribute has an entry: its
 * name, its descriptor and the number of its parameters (1 byte), then for each parameter 1 byte
 * that is 1 if it has a name, the name if so, and its flags (2 bytes). Texts are encoded as in
 * class files.
 */
public final class MethodParameters {
  public static final MethodParameters NONE = new MethodParameters(new byte[0]);

  static final String ATTRIBUTE = "MethodParameters";

  private final byte[] packed;

  /**
   * @param packed packed entries; must not change any more
   */
  public MethodParameters(byte[] packed) {
    this.packed = packed;
  }

  /** Reads the attributes of a class file. */
  public static MethodParameters of(byte[] classFile) {
    ByteArrayOutputStream packed = new ByteArrayOutputStream();
    MethodTable table = new MethodTable(new ClassReader(classFile));
    try (DataOutputStream out = new DataOutputStream(packed)) {
      while (table.next()) {
        int attribute = table.attribute(ATTRIBUTE);
        if (attribute != 0) {
          out.writeUTF(table.name());
          out.writeUTF(table.descriptor());
          pack(table, attribute, out);
        }
      }
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
    return new MethodParameters(packed.toByteArray());
  }

  private static void pack(MethodTable table, int attribute, DataOutputStream out)
      throws IOException {
    int count = table.reader.readByte(attribute);
    out.writeByte(count);
    for (int i = 0; i < count; i++) {
      int at = attribute + 1 + 4 * i;
      // Null for no name.
      String name = table.text(at);
      out.writeBoolean(name != null);
      if (name != null) {
        out.writeUTF(name);
      }
      out.writeShort(table.reader.readUnsignedShort(at + 2));
    }
  }

  public boolean isEmpty() {
    return packed.length == 0;
  }

  /**
   * Returns the class file with the missing attributes added. Nothing else changes, except that the
   * constant pool may grow. Returns the same array if nothing is missing.
   */
  public byte[] addTo(byte[] classFile) {
    if (isEmpty()) {
      return classFile;
    }
    MethodTable table = new MethodTable(new ClassReader(classFile));
    Map<String, byte[]> attributes = byMethod();
    ClassFileAdditions additions = new ClassFileAdditions(classFile, table.reader);
    while (table.next()) {
      byte[] attribute = attributes.get(table.name() + table.descriptor());
      if (attribute != null && table.attribute(ATTRIBUTE) == 0) {
        additions.addAttribute(table, ATTRIBUTE, content(attribute, additions));
      }
    }
    return additions.toByteArray();
  }

  /** Returns the packed parameters of each method, by name and descriptor. */
  private Map<String, byte[]> byMethod() {
    Map<String, byte[]> attributes = new LinkedHashMap<>();
    ByteArrayInputStream bytes = new ByteArrayInputStream(packed);
    try (DataInputStream in = new DataInputStream(bytes)) {
      while (bytes.available() > 0) {
        String method = in.readUTF() + in.readUTF();
        int from = packed.length - bytes.available();
        int count = in.readUnsignedByte();
        for (int i = 0; i < count; i++) {
          if (in.readBoolean()) {
            in.skipBytes(in.readUnsignedShort());
          }
          in.readUnsignedShort();
        }
        int to = packed.length - bytes.available();
        attributes.put(method, Arrays.copyOfRange(packed, from, to));
      }
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
    return attributes;
  }

  /** Returns the attribute in class file format. */
  private static byte[] content(byte[] attribute, ClassFileAdditions additions) {
    ByteArrayOutputStream content = new ByteArrayOutputStream();
    try (DataInputStream in = new DataInputStream(new ByteArrayInputStream(attribute));
        DataOutputStream out = new DataOutputStream(content)) {
      int count = in.readUnsignedByte();
      out.writeByte(count);
      for (int i = 0; i < count; i++) {
        out.writeShort(in.readBoolean() ? additions.text(in.readUTF()) : 0);
        out.writeShort(in.readUnsignedShort());
      }
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
    return content.toByteArray();
  }

  private Map<String, String> readable() {
    Map<String, String> readable = new LinkedHashMap<>();
    byMethod().forEach((method, attribute) -> readable.put(method, Arrays.toString(attribute)));
    return readable;
  }

  /** Ignores the order of the methods. */
  @Override
  public boolean equals(Object other) {
    return other instanceof MethodParameters
        && readable().equals(((MethodParameters) other).readable());
  }

  @Override
  public int hashCode() {
    return readable().hashCode();
  }
}
