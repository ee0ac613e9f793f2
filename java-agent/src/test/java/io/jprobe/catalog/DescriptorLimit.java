// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;

/** A shell that limits the file descriptors of this process, which then cannot start another. */
final class DescriptorLimit implements AutoCloseable {
  private final Process shell = new ProcessBuilder("sh").redirectErrorStream(true).start();
  private final BufferedReader answers =
      new BufferedReader(new InputStreamReader(shell.getInputStream()));
  private final String before;

  DescriptorLimit() throws IOException {
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

  /** Leaves some descriptors free. The kernel limits their numbers, which may have gaps. */
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
