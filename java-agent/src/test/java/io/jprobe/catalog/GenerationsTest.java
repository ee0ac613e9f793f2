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
import java.io.File;
import java.io.IOException;
import java.lang.ref.WeakReference;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
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

  /** Number of methods that, with three probes each, do not fit into one library. */
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

  /** A class with a probe in the library that {@link #HUGE} does not fill. */
  static class Beside {
    static void method() {}
  }

  @Rule public final TemporaryFolder folder = new TemporaryFolder();

  private static Catalog catalog(String directory) throws Exception {
    return PublishedClass.catalog(NAME + "#*;**Beside#method", directory, METHODS + 1);
  }

  private static TracedClass enqueue(Catalog catalog) throws Exception {
    return enqueue(catalog, LOADER);
  }

  private static TracedClass enqueue(Catalog catalog, ClassLoader loader) throws Exception {
    return PublishedClass.enqueue(catalog, loader, NAME, HUGE, new PublishedClass.NoFindings());
  }

  @Test
  public void itIsSplitIntoSeveralLibraries() throws Exception {
    Catalog catalog = catalog(null);
    TracedClass traced = enqueue(catalog);
    assertEquals(METHODS, traced.methods().size());
    assertEquals("the first one, and two more", 3, catalog.nextGeneration());
    TracedMethod first = traced.methods().get(0);
    TracedMethod last = traced.methods().get(METHODS - 1);
    assertEquals("1:0", first.id());
    assertTrue(last.id(), last.id().startsWith("2:"));
    assertSame(first, catalog.findMethod(first.id()).getValue());
    assertEquals(Map.entry(traced, last), catalog.findMethod(last.id()));
    assertNull(catalog.findMethod("3:0"));
    catalog.retireAll();
    catalog.close();
  }

  private static int openDescriptors() {
    // One descriptor is used for listing the others.
    return new File("/proc/self/fd").list().length - 1;
  }

  @Test
  public void ifOneLibraryCannotBeMadeNoneIsKept() throws Exception {
    Catalog rehearsal = catalog(null);
    enqueue(rehearsal);
    rehearsal.retireAll();
    rehearsal.close();
    Catalog catalog = catalog(null);
    try (DescriptorLimit limit = new DescriptorLimit()) {
      int before = openDescriptors();
      // Enough for one library, which keeps one descriptor.
      limit.leave(2);
      StubException thrown = assertThrows(StubException.class, () -> enqueue(catalog));
      assertTrue(thrown.getMessage(), thrown.getMessage().contains("Too many open files"));
      assertEquals(before, openDescriptors());
      assertEquals("the first of two was made", 2, catalog.nextGeneration());
      assertNull(catalog.find(LOADER, NAME));
      assertNull(catalog.findMethod("1:0"));
    }
    assertEquals(METHODS, enqueue(catalog).methods().size());
    catalog.retireAll();
    catalog.close();
  }

  private static final class Loader extends ClassLoader {}

  /** Returns true if the library has Huge's last method under the class's own provider name. */
  private boolean hasOwnName(String library) throws IOException {
    byte[] file = Files.readAllBytes(folder.getRoot().toPath().resolve(library));
    String text = new String(file, StandardCharsets.ISO_8859_1);
    String probe = "\0m" + (METHODS - 1) + "__entry\0";
    assertTrue(text.contains(probe));
    return text.contains(NAME + probe);
  }

  /** Waits until the loaders are collected, to which no reference may be left. */
  private static void unload(Catalog catalog, List<WeakReference<ClassLoader>> loaders)
      throws Exception {
    while (loaders.stream().anyMatch(loader -> loader.get() != null)) {
      System.gc();
      Thread.sleep(10);
    }
    catalog.dropUnloaded();
  }

  @Test
  public void aNameIsFreeWhenTheLastLibraryWithItIsUnmapped() throws Exception {
    Catalog catalog = catalog(folder.getRoot().getPath());
    ClassLoader first = new Loader();
    ClassLoader second = new Loader();
    String beside = Beside.class.getName();
    catalog.enqueue(first, NAME, false, HUGE);
    catalog.enqueue(second, beside.replace('.', '/'), false, PublishedClass.classFile(beside));
    enqueue(catalog, first);
    assertTrue(hasOwnName("2.so"));
    WeakReference<ClassLoader> collected = new WeakReference<>(first);
    first = null;
    unload(catalog, List.of(collected));
    assertFalse(Files.exists(folder.getRoot().toPath().resolve("1.so")));
    ClassLoader third = new Loader();
    enqueue(catalog, third);
    assertFalse("2.so still has that name", hasOwnName("4.so"));
    List<WeakReference<ClassLoader>> rest =
        List.of(new WeakReference<>(second), new WeakReference<>(third));
    second = null;
    third = null;
    unload(catalog, rest);
    assertArrayEquals(new String[] {"0.so"}, folder.getRoot().list());
    enqueue(catalog, new Loader());
    assertTrue(hasOwnName("6.so"));
    catalog.retireAll();
    catalog.close();
  }
}
