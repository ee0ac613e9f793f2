// SPDX-License-Identifier: Apache-2.0

import java.lang.instrument.ClassFileTransformer;
import java.lang.instrument.Instrumentation;
import java.security.ProtectionDomain;

/**
 * An agent whose transformer runs after jprobe's and breaks woven methods that begin with {@link
 * #MARK}: the verifier rejects the result.
 */
public class SpoilingAgent {
  static final int MARK = 0x3039;

  private static final byte SIPUSH = 0x11;
  private static final byte ACONST_NULL = 0x01;

  public static void premain(String options, Instrumentation instrumentation) {
    instrumentation.addTransformer(
        new ClassFileTransformer() {
          @Override
          public byte[] transform(
              ClassLoader loader,
              String name,
              Class<?> type,
              ProtectionDomain domain,
              byte[] classFile) {
            return "Spoilt$Methods".equals(name) ? spoil(classFile.clone()) : null;
          }
        },
        true);
  }

  /**
   * Breaks marked methods that are woven. The code of an original method directly follows its
   * length, whose first two bytes are 0; the mark of a woven method follows other code.
   */
  static byte[] spoil(byte[] classFile) {
    for (int i = 4; i < classFile.length - 2; i++) {
      boolean isMark =
          classFile[i] == SIPUSH
              && classFile[i + 1] == (byte) (MARK >> 8)
              && classFile[i + 2] == (byte) MARK;
      if (isMark && (classFile[i - 4] != 0 || classFile[i - 3] != 0)) {
        classFile[i] = ACONST_NULL;
      }
    }
    return classFile;
  }
}
