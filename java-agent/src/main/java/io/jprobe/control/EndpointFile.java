// SPDX-License-Identifier: Apache-2.0
package io.jprobe.control;

import io.jprobe.stapsdt.ProtoWriter;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Set;

/**
 * The file "control" in the stub directory: a jprobe.v1.ControlEndpoint
 * (proto/jprobe/v1/control.proto), there as long as the gateway listens. The C side knows its two
 * names, and removes what a killed process has left.
 */
final class EndpointFile {
  private static final String NAME = "control";
  private static final String UNFINISHED = "control.new";
  private static final FileAttribute<?> OWNER_ONLY =
      PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------"));

  private final Path path;

  private EndpointFile(Path path) {
    this.path = path;
  }

  /** Writes it: complete before it has its name, and its owner's alone before it has content. */
  static EndpointFile write(String directory, int port, Token token) throws IOException {
    byte[] message = new ProtoWriter().number(1, port).text(2, token.digits).toByteArray();
    Path unfinished = Path.of(directory, UNFINISHED);
    Files.deleteIfExists(unfinished);
    try (FileChannel file =
        FileChannel.open(
            unfinished,
            Set.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE),
            OWNER_ONLY)) {
      ByteBuffer rest = ByteBuffer.wrap(message);
      while (rest.hasRemaining()) {
        file.write(rest);
      }
    }
    Path path = Path.of(directory, NAME);
    Files.move(unfinished, path, StandardCopyOption.ATOMIC_MOVE);
    return new EndpointFile(path);
  }

  void remove() throws IOException {
    Files.deleteIfExists(path);
  }
}
