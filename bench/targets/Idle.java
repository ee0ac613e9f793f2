// SPDX-License-Identifier: Apache-2.0

import java.lang.instrument.ClassFileTransformer;
import java.lang.instrument.Instrumentation;

/**
 * An agent that does nothing. With the option "listening" it registers a transformer that changes
 * no class.
 */
public class Idle {
  public static void premain(String options, Instrumentation instrumentation) {
    if ("listening".equals(options)) {
      instrumentation.addTransformer(new ClassFileTransformer() {}, true);
    }
  }
}
