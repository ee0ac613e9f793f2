// SPDX-License-Identifier: Apache-2.0

import java.lang.instrument.ClassFileTransformer;
import java.lang.instrument.Instrumentation;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.ProtectionDomain;

/**
 * An agent that leaves Reflected in the state after the simplest retransformations. One class is
 * unchanged; the record gets a class file that differs only in the order of its constant pool.
 * Options: the folder of that class file.
 */
public class Altering {
  static final String RECORD = "Reflected$Marked";

  public static void premain(String folder, Instrumentation instrumentation) throws Exception {
    byte[] other = Files.readAllBytes(Path.of(folder, RECORD + ".class"));
    instrumentation.addTransformer(
        new ClassFileTransformer() {
          @Override
          public byte[] transform(
              ClassLoader loader,
              String name,
              Class<?> type,
              ProtectionDomain domain,
              byte[] classFile) {
            return type != null && name.equals(RECORD) ? other : null;
          }
        },
        true);
    for (String name : new String[] {"Reflected$Named", RECORD}) {
      instrumentation.retransformClasses(Class.forName(name));
    }
  }
}
