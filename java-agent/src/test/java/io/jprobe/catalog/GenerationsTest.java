// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.jprobe.stub.StubException;
import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.ref.WeakReference;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.objectweb.asm.ClassWriter;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;

/** A burst of more probes than one library may have. */
public class GenerationsTest {
  private static final ClassLoader LOADER = GenerationsTest.class.getClassLoader();
  private static final String NAME = "Huge";

  /** With their three probes each, more than a library takes. */
  private static final int METHODS = 30_000;

  private static final byte[] HUGE = huge();

  private static byte[] huge() {
    ClassWriter writer = new ClassWriter(0);
    writer.visit(Opcodes.V11, Opcodes.ACC_PUBLIC, NAME, null, "java/lang/Object", null);
    for (int i = 0; i < METHODS; i++) {
      MethodVisitor method = writer.visitMethod(Opcodes.ACC_STATIC, "m" + i, "()V", null, null);
      method.visitCode();
      method.visitInsn(Opcodes.RETURN);
      method.visitMaxs(0, 0);
      method.visitEnd();
    }
    writer.visitEnd();
    return writer.toByteArray();
  }

  /** Has a probe in the library that {@link #HUGE} leaves room in. */
  static class Beside {
    static void method() {}
  }

  @Rule public final TemporaryFolder folder = new TemporaryFolder();

  private static Catalog catalog(String directory) throws Exception {
    return PublishedClass.catalog(NAME + "#*;**Beside#method", directory, METHODS + 1);
  }

  private static TracedClass offer(Catalog catalog) throws Exception {
    return offer(catalog, LOADER);
  }

  private static TracedClass offer(Catalog catalog, ClassLoader loader) throws Exception {
    return PublishedClass.offer(catalog, loader, NAME, HUGE, new PublishedClass.Complaints());
  }

  @Test
  public void severalLibrariesAreMadeOfIt() throws Exception {
    Catalog catalog = catalog(null);
    TracedClass traced = offer(catalog);
    assertEquals(METHODS, traced.methods().size());
    assertEquals("the one that opens, and two", 3, catalog.nextGeneration());
    TracedMethod first = traced.methods().get(0);
    TracedMethod last = traced.methods().get(METHODS - 1);
    assertEquals("1:0", first.place());
    assertTrue(last.place(), last.place().startsWith("2:"));
    assertSame(first, catalog.findPlace(first.place()).getValue());
    assertEquals(Map.entry(traced, last), catalog.findPlace(last.place()));
    assertNull(catalog.findPlace("3:0"));
    catalog.clear();
    catalog.close();
  }

  /** A shell that sets the limit on this process's descriptors, which can then start no other. */
  private static final class Limiter implements AutoCloseable {
    private final Process shell = new ProcessBuilder("sh").redirectErrorStream(true).start();
    private final BufferedReader answers =
        new BufferedReader(new InputStreamReader(shell.getInputStream()));
    private final String before;

    Limiter() throws IOException {
      before = ask("prlimit --nofile --output SOFT --noheadings --pid $PPID; echo");
      assertTrue(before, before.matches("\\d+"));
    }

    private String ask(String command) throws IOException {
      shell.getOutputStream().write((command + "\n").getBytes());
      shell.getOutputStream().flush();
      String answer = answers.readLine().trim();
      answers.readLine();
      return answer;
    }

    /** Leaves so many descriptors; the kernel's limit is on their numbers, which may have gaps. */
    void leave(int descriptors) throws IOException {
      int limit = 0;
      for (int free = 0; free < descriptors; limit++) {
        free += Files.isSymbolicLink(Path.of("/proc/self/fd/" + limit)) ? 0 : 1;
      }
      assertEquals("", ask("prlimit --pid $PPID --nofile=" + limit + ":; echo; echo"));
    }

    @Override
    public void close() throws IOException {
      assertEquals("", ask("prlimit --pid $PPID --nofile=" + before + ":; echo; echo"));
      shell.destroy();
    }
  }

  private static int openDescriptors() {
    // One of them lists the others.
    return new File("/proc/self/fd").list().length - 1;
  }

  @Test
  public void ifOneCannotBeMadeNoneIsLeft() throws Exception {
    Catalog rehearsal = catalog(null);
    offer(rehearsal);
    rehearsal.clear();
    rehearsal.close();
    Catalog catalog = catalog(null);
    try (Limiter limiter = new Limiter()) {
      int before = openDescriptors();
      // Enough to map one library, which keeps one.
      limiter.leave(2);
      StubException thrown = assertThrows(StubException.class, () -> offer(catalog));
      assertTrue(thrown.getMessage(), thrown.getMessage().contains("Too many open files"));
      assertEquals(before, openDescriptors());
      assertEquals("the first of two was made", 2, catalog.nextGeneration());
      assertNull(catalog.find(LOADER, NAME));
      assertNull(catalog.findPlace("1:0"));
    }
    assertEquals(METHODS, offer(catalog).methods().size());
    catalog.clear();
    catalog.close();
  }

  private static final class Loader extends ClassLoader {}

  /** Whether the library has a probe of Huge's last method under the provider's own name. */
  private boolean hasOwnName(String library) throws IOException {
    byte[] file = Files.readAllBytes(folder.getRoot().toPath().resolve(library));
    String text = new String(file, StandardCharsets.ISO_8859_1);
    String probe = "\0m" + (METHODS - 1) + "__entry\0";
    assertTrue(text.contains(probe));
    return text.contains(NAME + probe);
  }

  /** Waits until the loaders are gone, which nothing may refer to any more. */
  private static void retire(Catalog catalog, List<WeakReference<ClassLoader>> loaders)
      throws Exception {
    while (loaders.stream().anyMatch(loader -> loader.get() != null)) {
      System.gc();
      Thread.sleep(10);
    }
    catalog.retireGone();
  }

  @Test
  public void aNameIsFreeWhenTheLastLibraryThatHasItIsGone() throws Exception {
    Catalog catalog = catalog(folder.getRoot().getPath());
    ClassLoader first = new Loader();
    ClassLoader second = new Loader();
    String beside = Beside.class.getName();
    catalog.offer(first, NAME, false, HUGE);
    catalog.offer(second, beside.replace('.', '/'), false, PublishedClass.classFile(beside));
    offer(catalog, first);
    assertTrue(hasOwnName("2.so"));
    WeakReference<ClassLoader> gone = new WeakReference<>(first);
    first = null;
    retire(catalog, List.of(gone));
    assertFalse(Files.exists(folder.getRoot().toPath().resolve("1.so")));
    ClassLoader third = new Loader();
    offer(catalog, third);
    assertFalse("2.so still has that name", hasOwnName("4.so"));
    List<WeakReference<ClassLoader>> rest =
        List.of(new WeakReference<>(second), new WeakReference<>(third));
    second = null;
    third = null;
    retire(catalog, rest);
    assertArrayEquals(new String[] {"0.so"}, folder.getRoot().list());
    offer(catalog, new Loader());
    assertTrue(hasOwnName("6.so"));
    catalog.clear();
    catalog.close();
  }
}
