// SPDX-License-Identifier: Apache-2.0

import java.io.File;
import java.lang.instrument.ClassFileTransformer;
import java.lang.instrument.Instrumentation;
import java.util.ArrayList;
import java.util.List;

/**
 * An agent that retransforms all loaded classes with a given name prefix without changing them.
 * Options: the prefix, and a file. Creating the file starts a retransformation, after which the
 * agent removes it.
 */
public class Again {
  public static void premain(String options, Instrumentation instrumentation) {
    String[] parts = options.split(",");
    instrumentation.addTransformer(new ClassFileTransformer() {}, true);
    Thread thread = new Thread(() -> obey(parts[0], new File(parts[1]), instrumentation));
    thread.setDaemon(true);
    thread.start();
  }

  static void obey(String start, File request, Instrumentation instrumentation) {
    try {
      while (true) {
        if (request.exists()) {
          List<Class<?>> classes = new ArrayList<>();
          for (Class<?> type : instrumentation.getAllLoadedClasses()) {
            if (type.getName().startsWith(start) && instrumentation.isModifiableClass(type)) {
              classes.add(type);
            }
          }
          instrumentation.retransformClasses(classes.toArray(new Class<?>[0]));
          request.delete();
        }
        Thread.sleep(10);
      }
    } catch (Exception e) {
      throw new IllegalStateException(e);
    }
  }
}
