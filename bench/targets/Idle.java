// SPDX-License-Identifier: Apache-2.0

import java.lang.instrument.ClassFileTransformer;
import java.lang.instrument.Instrumentation;

/**
 * An agent that does nothing; with the option "listening" it has the JVM show it each class file,
 * and changes none.
 */
public class Idle {
  public static void premain(String options, Instrumentation instrumentation) {
    if ("listening".equals(options)) {
      instrumentation.addTransformer(new ClassFileTransformer() {}, true);
    }
  }
}
