// SPDX-License-Identifier: Apache-2.0
package io.jprobe.capture;

/** The point of a call at which a probe fires. Numbers are those of jprobe.v1.ProbeKind. */
public enum ProbeKind {
  ENTRY(1, "entry"),
  RETURN(2, "return"),
  THROW(3, "throw");

  public final int number;
  public final String suffix;

  ProbeKind(int number, String suffix) {
    this.number = number;
    this.suffix = suffix;
  }
}
