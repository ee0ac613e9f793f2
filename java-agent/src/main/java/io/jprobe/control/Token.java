// SPDX-License-Identifier: Apache-2.0
package io.jprobe.control;

import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;

/** What a client has to know: 256 random bits, as hexadecimal digits. */
final class Token {
  private static final int BYTES = 32;

  final String digits;

  private Token(String digits) {
    this.digits = digits;
  }

  /**
   * A new one. From the kernel: SecureRandom would load the security providers, which the
   * application may want to choose first.
   */
  static Token random() throws IOException {
    try (InputStream random = new FileInputStream("/dev/urandom")) {
      byte[] bytes = random.readNBytes(BYTES);
      if (bytes.length != BYTES) {
        throw new IOException("/dev/urandom has ended after " + bytes.length + " bytes");
      }
      StringBuilder digits = new StringBuilder();
      for (byte one : bytes) {
        digits
            .append(Character.forDigit(one >> 4 & 15, 16))
            .append(Character.forDigit(one & 15, 16));
      }
      return new Token(digits.toString());
    }
  }

  /** In a time that says nothing about where the two differ. */
  boolean matches(String given) {
    return MessageDigest.isEqual(
        digits.getBytes(StandardCharsets.US_ASCII), given.getBytes(StandardCharsets.UTF_8));
  }
}
