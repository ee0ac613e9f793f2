// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.jprobe.catalog.PublishedClass;
import io.jprobe.layout.SlotLayout;
import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import org.junit.BeforeClass;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

public class StubLibraryTest {
  @Rule public final TemporaryFolder folder = new TemporaryFolder();

  private static final List<ProbeDefinition> PROBES =
      List.of(
          new ProbeDefinition("orders", "placed", List.of(ArgumentSize.INT64)),
          new ProbeDefinition("orders", "paid", List.of()));

  @BeforeClass
  public static void loadNative() {
    PublishedClass.loadNative();
  }

  private static String permissions(String path) throws Exception {
    return PosixFilePermissions.toString(Files.getPosixFilePermissions(Path.of(path)));
  }

  @Test
  public void aLibraryIsAFileForItsOwnerAlone() throws Exception {
    StubDirectory directory = StubDirectory.create(folder.getRoot().getPath());
    String name = folder.getRoot() + "/jprobe-" + ProcessHandle.current().pid() + "-[0-9a-f]{16}";
    assertTrue(directory.path(), directory.path().matches(name));
    assertEquals("rwx------", permissions(directory.path()));
    StubLibrary library = StubLibrary.load(directory.path(), 3, PROBES, 1, new byte[] {1, 2});
    assertEquals(directory.path() + "/3.so", library.path());
    assertEquals("rw-------", permissions(library.path()));
    library.unload();
    assertFalse(new File(directory.path(), "3.so").exists());
    directory.remove();
    assertFalse(new File(directory.path()).exists());
  }

  @Test
  public void semaphoresStartAtZeroAndStatesDormant() throws Exception {
    StubLibrary library = StubLibrary.load(null, 0, PROBES, 1, new byte[0]);
    assertEquals("/memfd:jprobe-0", library.path());
    assertEquals(4, library.semaphores().capacity());
    assertEquals(0, library.semaphores().getShort(0));
    assertEquals(0, library.semaphores().getShort(SlotLayout.SEMAPHORE_BYTES));
    assertEquals(1, library.state(0));
    library.setState(1, 3);
    assertEquals(1, library.state(0));
    assertEquals(3, library.state(1));
    assertEquals(library.stub(0) + 32, library.stub(1));
    library.unload();
  }

  @Test
  public void aDirectoryThatCannotBeWrittenIsReplacedByMemory() throws Exception {
    StubLibrary library = StubLibrary.load("/proc/self", 1, PROBES, 1, new byte[0]);
    assertEquals("/memfd:jprobe-1", library.path());
    library.unload();
  }

  @Test
  public void staleDirectoriesAreRemovedAndLiveOnesAreKept() throws Exception {
    File dead = folder.newFolder("jprobe-999999999-0123456789abcdef");
    assertTrue(new File(dead, "0.so").createNewFile());
    File foreign = folder.newFolder("jprobe-notes");
    assertTrue(new File(foreign, "diary.txt").createNewFile());
    StubDirectory living = StubDirectory.create(folder.getRoot().getPath());
    assertFalse(dead.exists());
    assertTrue(new File(foreign, "diary.txt").exists());
    StubDirectory second = StubDirectory.create(folder.getRoot().getPath());
    assertTrue(new File(living.path()).exists());
    assertNotEquals(living.path(), second.path());
    living.remove();
    second.remove();
  }

  @Test
  public void aMissingParentIsNamed() {
    StubException problem =
        assertThrows(StubException.class, () -> StubDirectory.create("/no/such/parent"));
    assertEquals(
        "cannot create a stub directory in /no/such/parent: No such file or directory",
        problem.getMessage());
  }

  /** JNI's own encoding of this character differs from UTF-8. */
  @Test
  public void textsFromCHaveEveryCharacter() {
    StubException problem =
        assertThrows(StubException.class, () -> StubDirectory.create("/no/\ud83d\ude00"));
    assertEquals(
        "cannot create a stub directory in /no/\ud83d\ude00: No such file or directory",
        problem.getMessage());
  }

  @Test
  public void moreArgumentsThanTracersReadAreRejected() {
    assertThrows(
        IllegalArgumentException.class,
        () -> new ProbeDefinition("p", "n", java.util.Collections.nCopies(13, ArgumentSize.INT64)));
  }
}
