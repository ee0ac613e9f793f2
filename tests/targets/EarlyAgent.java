// SPDX-License-Identifier: Apache-2.0

import java.lang.instrument.Instrumentation;

/**
 * An agent that the JVM starts before jprobe's. Loads the given classes (separated by commas) and
 * com.acme.parcels.Broken, which cannot be linked.
 */
public class EarlyAgent {
  static final class Generating extends ClassLoader {
    Class<?> broken(String name) {
      byte[] file = GeneratedClass.broken(name);
      return defineClass(name, file, 0, file.length);
    }
  }

  static Class<?> broken;

  public static void premain(String options, Instrumentation instrumentation) throws Exception {
    broken = new Generating().broken("com.acme.parcels.Broken");
    for (String name : options.split(",")) {
      Class.forName(name, false, EarlyAgent.class.getClassLoader());
    }
  }
}
