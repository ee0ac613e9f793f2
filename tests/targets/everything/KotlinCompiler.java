// SPDX-License-Identifier: Apache-2.0

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Runs Kotlin's compiler. Arguments: its jar, the class path for the compiled source, the source,
 * and a folder. Commands on stdin, one per line: {@code load} loads all classes of the compiler;
 * {@code compile} compiles the source and prints the result; {@code exit} exits.
 */
public class KotlinCompiler {
  static int load(String jar) throws Exception {
    int count = 0;
    try (JarFile file = new JarFile(jar)) {
      for (JarEntry entry : Collections.list(file.entries())) {
        String name = entry.getName();
        if (name.startsWith("org/jetbrains/kotlin/") && name.endsWith(".class")) {
          String className = name.substring(0, name.length() - 6).replace('/', '.');
          try {
            Class.forName(className, false, KotlinCompiler.class.getClassLoader());
            count++;
          } catch (LinkageError e) {
            // An optional dependency is missing.
          }
        }
      }
    }
    return count;
  }

  static String compile(String classPath, Path source, Path folder) throws Exception {
    Class<?> compiler = Class.forName("org.jetbrains.kotlin.cli.jvm.K2JVMCompiler");
    String[] arguments = {
      "-no-stdlib", "-no-reflect", "-classpath", classPath, "-d", "" + folder, "" + source
    };
    Object exit =
        compiler
            .getMethod("exec", PrintStream.class, String[].class)
            .invoke(compiler.getConstructor().newInstance(), System.err, arguments);
    MessageDigest digest = MessageDigest.getInstance("SHA-256");
    List<Path> made;
    try (Stream<Path> files = Files.walk(folder)) {
      made =
          files
              .filter(Files::isRegularFile)
              .sorted(Comparator.naturalOrder())
              .collect(Collectors.toList());
    }
    for (Path file : made) {
      digest.update(Files.readAllBytes(file));
      Files.delete(file);
    }
    StringBuilder hex = new StringBuilder();
    for (byte each : digest.digest()) {
      hex.append(String.format("%02x", each));
    }
    return exit + " " + made.size() + " files " + hex;
  }

  public static void main(String[] arguments) throws Exception {
    System.out.println("ready");
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
    for (String command; !(command = commands.readLine()).equals("exit"); ) {
      if (command.equals("load")) {
        System.out.println("loaded " + load(arguments[0]));
      } else {
        System.out.println(
            "compiled " + compile(arguments[1], Path.of(arguments[2]), Path.of(arguments[3])));
      }
    }
    // The compiler leaves threads running.
    System.exit(0);
  }
}
