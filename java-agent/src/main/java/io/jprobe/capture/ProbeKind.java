// SPDX-License-Identifier: Apache-2.0
package io.jprobe.capture;

import io.jprobe.layout.ProbeKindLayout;

/** The point of a call at which a probe fires. Numbers are those of jprobe.v1.ProbeKind. */
public enum ProbeKind {
  ENTRY(ProbeKindLayout.ENTRY, "entry"),
  RETURN(ProbeKindLayout.RETURN, "return"),
  THROW(ProbeKindLayout.THROW, "throw");

  public final int number;
  public final String suffix;

  ProbeKind(int number, String suffix) {
    this.number = number;
    this.suffix = suffix;
  }
}
