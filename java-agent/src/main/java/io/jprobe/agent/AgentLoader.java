// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.util.Enumeration;
import java.util.HashMap;
import java.util.Map;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;

/**
 * Loads the rest of the agent, and its ASM, from entries of the jar that no other class loader
 * takes for classes: {@code inst/…​.classdata}. The application sees none of it and can bring an
 * ASM of its own. The entries are read at once, so that the jar may be replaced while the program
 * runs.
 */
final class AgentLoader extends ClassLoader {
  static {
    registerAsParallelCapable();
  }

  private static final String PREFIX = "inst/";

  private final Map<String, byte[]> entries = new HashMap<>();

  private AgentLoader(File jar) throws IOException {
    super("jprobe", ClassLoader.getPlatformClassLoader());
    try (JarFile file = new JarFile(jar, false)) {
      for (Enumeration<JarEntry> all = file.entries(); all.hasMoreElements(); ) {
        JarEntry entry = all.nextElement();
        if (entry.getName().startsWith(PREFIX) && !entry.isDirectory()) {
          try (InputStream content = file.getInputStream(entry)) {
            entries.put(entry.getName().substring(PREFIX.length()), content.readAllBytes());
          }
        }
      }
    }
  }

  /** A loader of what lies in the jar that the class came from. */
  static AgentLoader ofJarOf(Class<?> type) throws Exception {
    return new AgentLoader(
        new File(type.getProtectionDomain().getCodeSource().getLocation().toURI()));
  }

  @Override
  protected Class<?> findClass(String name) throws ClassNotFoundException {
    byte[] bytes = entries.get(name.replace('.', '/') + ".classdata");
    if (bytes == null) {
      throw new ClassNotFoundException(name);
    }
    return defineClass(name, bytes, 0, bytes.length);
  }

  @Override
  public InputStream getResourceAsStream(String name) {
    byte[] bytes = entries.get(name);
    return bytes == null ? null : new ByteArrayInputStream(bytes);
  }
}
