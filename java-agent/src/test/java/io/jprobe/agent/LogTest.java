// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import io.jprobe.stub.NativeLibrary;
import io.jprobe.stub.StubException;
import java.io.IOException;
import java.io.InputStream;
import java.lang.reflect.Constructor;
import java.nio.charset.StandardCharsets;
import org.junit.BeforeClass;
import org.junit.Test;

/** Lines of the log are safe to print, whatever names and messages the program uses. */
public class LogTest {
  private static final int MOST_BYTES = 4096;

  /** An exception of the program, whose methods must not be called. */
  @SuppressWarnings("serial")
  private static class Hostile extends RuntimeException {
    Hostile(String message) {
      super(message);
    }

    @Override
    public String getMessage() {
      throw new AssertionError("the program was called");
    }

    @Override
    public String getLocalizedMessage() {
      throw new AssertionError("the program was called");
    }

    @Override
    public String toString() {
      throw new AssertionError("the program was called");
    }
  }

  /** Loads the exception's class like the program's: not with the agent's loader. */
  private static class Loader extends ClassLoader {
    @Override
    protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
      if (!name.equals(Hostile.class.getName())) {
        return super.loadClass(name, resolve);
      }
      try (InputStream in = getResourceAsStream(name.replace('.', '/') + ".class")) {
        byte[] bytes = in.readAllBytes();
        return defineClass(name, bytes, 0, bytes.length);
      } catch (IOException e) {
        throw new ClassNotFoundException(name, e);
      }
    }
  }

  @BeforeClass
  public static void load() throws StubException {
    NativeLibrary.load(System.getProperty("java.io.tmpdir"));
  }

  private static String text(String message) {
    return new String(LogLine.of(message).bytes(), StandardCharsets.UTF_8);
  }

  @Test
  public void aLineEndsOnceAndIsUtf8() {
    assertEquals("jprobe: cannot weave für.Rīga#€\n", text("cannot weave für.Rīga#€"));
  }

  @Test
  public void charactersThatControlATerminalAreEscaped() {
    assertEquals("jprobe: a b c d\n", text("a\nb\rc\td"));
    assertEquals("jprobe: \\u001b[2J\\u0007\\u007f\\u009b\n", text("\u001b[2J\u0007\u007f\u009b"));
    assertEquals("jprobe: \\u202egnp\\u2069\\u2028\n", text("\u202egnp\u2069\u2028"));
    assertEquals("jprobe: a\\ud800b\\udc00\n", text("a\ud800b\udc00"));
    for (char c = 1; c < 0xffff; c++) {
      boolean acts =
          Character.getType(c) == Character.CONTROL
              || Character.getType(c) == Character.LINE_SEPARATOR
              || Character.getType(c) == Character.PARAGRAPH_SEPARATOR
              || Character.isSurrogate(c)
              || "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
                      .indexOf(c)
                  >= 0;
      boolean isBlank = c == '\n' || c == '\r' || c == '\t';
      String shown = isBlank ? " " : acts ? String.format("\\u%04x", (int) c) : "" + c;
      assertEquals("jprobe: <" + shown + ">\n", text("<" + c + ">"));
    }
  }

  @Test
  public void aLongLineIsTruncatedAtACharacter() {
    for (String one : new String[] {"x", "é", "€", "\ud83d\ude00"}) {
      for (String prefix : new String[] {"", ".", "..", "..."}) {
        byte[] bytes = LogLine.of(prefix + one.repeat(100_000)).bytes();
        String text = new String(bytes, StandardCharsets.UTF_8);
        assertTrue(bytes.length <= MOST_BYTES && bytes.length > MOST_BYTES - 8);
        assertTrue(text.endsWith(one + "…\n"));
        assertEquals(-1, text.indexOf('\ufffd'));
      }
    }
  }

  @Test
  public void aLineOfMaximumLengthIsNotTruncated() {
    int fits = MOST_BYTES - "jprobe: \n".length();
    assertEquals("jprobe: " + "x".repeat(fits) + "\n", text("x".repeat(fits)));
    assertTrue(text("x".repeat(fits + 1)).endsWith("x…\n"));
  }

  @Test
  public void anExceptionOfTheProgramIsNotCalled() throws Exception {
    Constructor<?> constructor =
        new Loader().loadClass(Hostile.class.getName()).getDeclaredConstructor(String.class);
    constructor.setAccessible(true);
    Throwable hostile = (Throwable) constructor.newInstance("of the program's\nown");
    assertEquals(Hostile.class.getName() + ": of the program's own", Log.describe(hostile));
  }

  @Test
  public void anExceptionOfTheJdkDescribesItself() {
    assertEquals("java.lang.Error", Log.describe(new Error()));
    assertEquals("java.lang.Error: two lines", Log.describe(new Error("two\nlines")));
    assertEquals("for users", Log.describe(new StubException("for users")));
  }
}
