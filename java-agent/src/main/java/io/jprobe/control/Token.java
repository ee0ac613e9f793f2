// SPDX-License-Identifier: Apache-2.0
package io.jprobe.control;

import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;

/** The secret that authenticates a client: 256 random bits, as hexadecimal digits. */
final class Token {
  private static final int BYTES = 32;

  final String digits;

  private Token(String digits) {
    this.digits = digits;
  }

  /**
   * Returns a new token, made from the kernel's random numbers. SecureRandom would load the
   * security providers before the application can choose them.
   */
  static Token random() throws IOException {
    try (InputStream random = new FileInputStream("/dev/urandom")) {
      byte[] bytes = random.readNBytes(BYTES);
      if (bytes.length != BYTES) {
        throw new IOException("/dev/urandom ended after " + bytes.length + " bytes");
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

  /** Compares in constant time, which does not reveal where the two differ. */
  boolean matches(String given) {
    return MessageDigest.isEqual(
        digits.getBytes(StandardCharsets.US_ASCII), given.getBytes(StandardCharsets.UTF_8));
  }
}
