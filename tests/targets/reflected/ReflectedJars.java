// SPDX-License-Identifier: Apache-2.0

import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.lang.reflect.Executable;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;

/**
 * Loads all classes of the jars on the class path and reads the parameters of all their methods
 * through reflection.
 *
 * <p>Commands on stdin, one per line: {@code tell FILE} writes the current parameters to the file
 * and prints "told"; {@code exit} exits. Prints "ready" and the number of classes first.
 */
public class ReflectedJars {
  private static final List<Class<?>> CLASSES = new ArrayList<>();

  private static void load(File jar) throws Exception {
    try (JarFile file = new JarFile(jar)) {
      List<JarEntry> entries = new ArrayList<>();
      file.stream().forEach(entries::add);
      for (JarEntry entry : entries) {
        String name = entry.getName();
        if (name.endsWith(".class") && !name.contains("META-INF") && !name.contains("-info")) {
          load(name.substring(0, name.length() - ".class".length()).replace('/', '.'));
        }
      }
    }
  }

  /** Loads a class, unless it needs a missing class. */
  private static void load(String name) {
    try {
      CLASSES.add(Class.forName(name, false, ReflectedJars.class.getClassLoader()));
    } catch (ClassNotFoundException | LinkageError e) {
      return;
    }
  }

  private static void tell(Path file) throws Exception {
    List<String> lines = new ArrayList<>();
    for (Class<?> type : CLASSES) {
      lines.add(type.getName());
      tell(lines, type::getDeclaredMethods);
      tell(lines, type::getDeclaredConstructors);
    }
    Files.write(file, lines);
  }

  private static void tell(List<String> lines, Supplier<Executable[]> members) {
    List<String> told = new ArrayList<>();
    try {
      for (Executable one : members.get()) {
        told.add(describe(one));
      }
    } catch (LinkageError e) {
      // A referenced class is missing. The message is omitted, because it may name any of several
      // missing classes.
      told.add("  " + e.getClass());
    }
    told.sort(null);
    lines.addAll(told);
  }

  private static String describe(Executable one) {
    try {
      return "  " + Parameters.describe(one);
    } catch (RuntimeException | LinkageError e) {
      // A type is missing, or a compiler counted the parameters wrongly.
      return "  " + one + ": " + e;
    }
  }

  public static void main(String[] arguments) throws Exception {
    for (String part : System.getProperty("java.class.path").split(":")) {
      if (part.endsWith(".jar")) {
        load(new File(part));
      }
    }
    System.out.println("ready " + CLASSES.size());
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
    for (String command; (command = commands.readLine()) != null && !command.equals("exit"); ) {
      tell(Path.of(command.split(" ", 2)[1]));
      System.out.println("told");
    }
  }
}
