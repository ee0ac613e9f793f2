// SPDX-License-Identifier: Apache-2.0
package io.jprobe.control;

import io.jprobe.stub.ProtoWriter;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;

/**
 * The file "control" in the stub directory: a jprobe.v1.ControlEndpoint
 * (proto/jprobe/v1/control.proto), which exists as long as the gateway listens. The C code knows
 * its two names and removes the files of killed processes.
 *
 * <p>Does not use java.nio.file: its file system may be the application's own, and would be loaded
 * before main.
 */
final class EndpointFile {
  private static final String NAME = "control";
  private static final String UNFINISHED = "control.new";

  private final File file;

  private EndpointFile(File file) {
    this.file = file;
  }

  /** Writes the file: readable by its owner only before it has content, renamed when complete. */
  static EndpointFile write(String directory, int port, Token token) throws IOException {
    File unfinished = new File(directory, UNFINISHED);
    remove(unfinished);
    if (!unfinished.createNewFile()) {
      throw new IOException(unfinished + " exists already");
    }
    restrictToOwner(unfinished);
    try (FileOutputStream out = new FileOutputStream(unfinished)) {
      out.write(new ProtoWriter().number(1, port).text(2, token.digits).toByteArray());
    }
    File file = new File(directory, NAME);
    if (!unfinished.renameTo(file)) {
      throw new IOException("cannot rename " + unfinished + " to " + NAME);
    }
    return new EndpointFile(file);
  }

  private static void restrictToOwner(File file) throws IOException {
    // java.io.File restricts a permission by removing it for all and granting it to the owner.
    boolean done =
        file.setReadable(false, false)
            && file.setReadable(true, true)
            && file.setWritable(false, false)
            && file.setWritable(true, true);
    if (!done) {
      throw new IOException("cannot restrict " + file + " to its owner");
    }
  }

  void remove() throws IOException {
    remove(file);
  }

  private static void remove(File file) throws IOException {
    if (!file.delete() && file.exists()) {
      throw new IOException("cannot remove " + file);
    }
  }
}
