// SPDX-License-Identifier: Apache-2.0

import java.io.IOException;
import java.net.URI;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.jar.JarFile;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** Loads every class of java.base and of jars without initializing any. */
final class AllClasses {
  private final Map<String, Integer> loaded = new TreeMap<>();
  private final Map<String, Integer> refused = new TreeMap<>();

  static SortedSet<String> packagesOfJavaBase() throws IOException {
    return javaBase().stream()
        .map(name -> name.substring(0, name.lastIndexOf('.')))
        .collect(Collectors.toCollection(TreeSet::new));
  }

  private static List<String> javaBase() throws IOException {
    FileSystem runtime = FileSystems.getFileSystem(URI.create("jrt:/"));
    Path root = runtime.getPath("modules/java.base");
    try (Stream<Path> files = Files.walk(root)) {
      return files
          .map(file -> root.relativize(file).toString())
          .filter(AllClasses::isClass)
          .map(AllClasses::binaryName)
          .collect(Collectors.toList());
    }
  }

  private static boolean isClass(String file) {
    return file.endsWith(".class")
        && !file.endsWith("module-info.class")
        && !file.startsWith("META-INF");
  }

  private static String binaryName(String file) {
    return file.substring(0, file.length() - ".class".length()).replace('/', '.');
  }

  void loadJavaBase() throws IOException {
    for (String name : javaBase()) {
      load("java.base", name, null);
    }
  }

  void loadJar(Path jar) throws IOException {
    try (JarFile file = new JarFile(jar.toFile())) {
      List<String> names =
          file.stream()
              .map(entry -> entry.getName())
              .filter(AllClasses::isClass)
              .map(AllClasses::binaryName)
              .collect(Collectors.toList());
      for (String name : names) {
        load(jar.getFileName().toString(), name, AllClasses.class.getClassLoader());
      }
    }
  }

  private void load(String from, String name, ClassLoader loader) {
    try {
      Class.forName(name, false, loader);
      loaded.merge(from, 1, Integer::sum);
    } catch (ClassNotFoundException | LinkageError e) {
      refused.merge(from + ": " + e, 1, Integer::sum);
    }
  }

  void tell() {
    loaded.forEach((from, count) -> System.out.println("loaded " + count + " " + from));
    refused.forEach((why, count) -> System.out.println("refused " + count + " " + why));
  }
}
