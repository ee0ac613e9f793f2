// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import java.io.ByteArrayOutputStream;
import java.jprobe.Fire;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;

/** Renders objects as a probe does, and has objects whose methods must not be called. */
final class RenderedObjects {
  static final int LIMIT = 128;

  private RenderedObjects() {}

  static void bindFire() throws Exception {
    Woven.bindFire();
    Fire.prepareObjects();
  }

  enum State {
    PAID,
    OPEN {
      @Override
      public String toString() {
        throw new AssertionError("called");
      }
    }
  }

  /** All methods that a careless reader would call fail. */
  static class Trap {
    @Override
    public String toString() {
      throw new AssertionError("called");
    }

    @Override
    public int hashCode() {
      throw new AssertionError("called");
    }

    @Override
    public boolean equals(Object other) {
      throw new AssertionError("called");
    }
  }

  static class Failure extends RuntimeException {
    private static final long serialVersionUID = 1;

    Failure(String message) {
      super(message);
    }

    @Override
    public String getMessage() {
      throw new AssertionError("called");
    }
  }

  static class OwnList extends ArrayList<String> {
    private static final long serialVersionUID = 1;

    @Override
    public int size() {
      throw new AssertionError("called");
    }
  }

  static class OwnText extends Trap implements CharSequence {
    @Override
    public int length() {
      throw new AssertionError("called");
    }

    @Override
    public char charAt(int index) {
      throw new AssertionError("called");
    }

    @Override
    public CharSequence subSequence(int start, int end) {
      throw new AssertionError("called");
    }
  }

  /** Returns the text of an object, with "…" if it was truncated. */
  static String rendered(Object object) {
    long address = Fire.object(object, 3);
    if (address == 0) {
      return null;
    }
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    for (long at = address; Fire.fieldByte(null, at) != 0; at++) {
      bytes.write(Fire.fieldByte(null, at));
    }
    assertTrue(bytes.size() <= LIMIT);
    String text = new String(bytes.toByteArray(), StandardCharsets.UTF_8);
    return address % 2 == 0 ? text : text + "…";
  }

  static String identity(Object object) {
    return object.getClass().getName() + "@" + Integer.toHexString(System.identityHashCode(object));
  }

  static void assertIdentity(Object object) {
    assertEquals(identity(object), rendered(object));
  }
}
