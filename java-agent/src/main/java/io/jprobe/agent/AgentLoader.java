// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.security.ProtectionDomain;
import java.util.HashMap;
import java.util.Map;
import java.util.zip.DataFormatException;
import java.util.zip.Inflater;

/**
 * Loads the rest of the agent, and its ASM, from entries of the jar that no other class loader
 * treats as classes: {@code inst/…​.classdata}. The application sees none of them and can have its
 * own ASM.
 *
 * <p>Reads the jar at once, so that it may be replaced while the program runs. Inflates an entry on
 * demand, because most of them are not needed before a tracer attaches. This delays the program's
 * start less than JarFile, and does not load the NIO file system. The jar must have fewer than
 * 65,536 entries, each stored or deflated (ZIP specification, APPNOTE 4.3.7 to 4.3.16).
 */
final class AgentLoader extends ClassLoader {
  static {
    registerAsParallelCapable();
  }

  private static final String PREFIX = "inst/";
  private static final int END_SIZE = 22;
  private static final int END_SIGNATURE = 0x06054b50;
  private static final int DIRECTORY_SIZE = 46;
  private static final int HEADER_SIZE = 30;
  private static final int STORED = 0;

  private final byte[] jar;

  /** The jar's domain: a policy that grants the jar permissions grants them to the whole agent. */
  private final ProtectionDomain domain;

  /** Offsets of the entries in the central directory, by name without the prefix. */
  private final Map<String, Integer> entries = new HashMap<>();

  private AgentLoader(File file, ProtectionDomain domain) throws IOException {
    super("jprobe", ClassLoader.getPlatformClassLoader());
    this.domain = domain;
    try (InputStream content = new FileInputStream(file)) {
      jar = content.readAllBytes();
    }
    try {
      readDirectory();
    } catch (IndexOutOfBoundsException e) {
      throw new IOException(file + " is not a jar");
    }
  }

  /** Returns a loader for the jar that the class was loaded from. */
  static AgentLoader ofJarOf(Class<?> type) throws Exception {
    ProtectionDomain domain = type.getProtectionDomain();
    return new AgentLoader(new File(domain.getCodeSource().getLocation().toURI()), domain);
  }

  private void readDirectory() {
    int end = jar.length - END_SIZE;
    while (number(end) != END_SIGNATURE) {
      end--;
    }
    int at = number(end + 16);
    for (int left = half(end + 10); left > 0; left--) {
      String name = new String(jar, at + DIRECTORY_SIZE, half(at + 28), StandardCharsets.UTF_8);
      if (name.startsWith(PREFIX)) {
        entries.put(name.substring(PREFIX.length()), at);
      }
      at += DIRECTORY_SIZE + half(at + 28) + half(at + 30) + half(at + 32);
    }
  }

  /** Returns the entry's content; null if there is none. */
  private byte[] read(String name) {
    Integer at = entries.get(name);
    if (at == null) {
      return null;
    }
    int header = number(at + 42);
    int start = header + HEADER_SIZE + half(header + 26) + half(header + 28);
    byte[] content = new byte[number(at + 24)];
    if (half(at + 10) == STORED) {
      System.arraycopy(jar, start, content, 0, content.length);
      return content;
    }
    Inflater inflater = new Inflater(true);
    try {
      inflater.setInput(jar, start, number(at + 20));
      return inflater.inflate(content) == content.length ? content : null;
    } catch (DataFormatException e) {
      return null;
    } finally {
      inflater.end();
    }
  }

  private int number(int at) {
    return half(at) | half(at + 2) << 16;
  }

  private int half(int at) {
    return jar[at] & 0xff | (jar[at + 1] & 0xff) << 8;
  }

  /**
   * Loads the agent's classes without asking the parents first. No other loader can have them, and
   * each failed lookup would cost an exception while the program starts.
   */
  @Override
  protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
    if (name.startsWith("java.") || !entries.containsKey(entry(name))) {
      return super.loadClass(name, resolve);
    }
    synchronized (getClassLoadingLock(name)) {
      Class<?> loaded = findLoadedClass(name);
      return loaded == null ? findClass(name) : loaded;
    }
  }

  private static String entry(String className) {
    return className.replace('.', '/') + ".classdata";
  }

  @Override
  protected Class<?> findClass(String name) throws ClassNotFoundException {
    byte[] bytes = read(entry(name));
    if (bytes == null) {
      throw new ClassNotFoundException(name);
    }
    return defineClass(name, bytes, 0, bytes.length, domain);
  }

  @Override
  public InputStream getResourceAsStream(String name) {
    byte[] bytes = read(name);
    return bytes == null ? null : new ByteArrayInputStream(bytes);
  }
}
