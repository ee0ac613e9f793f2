// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import java.util.ArrayList;
import java.util.List;

/** Keeps the findings of a selection until it is known that it is made. */
final class DeferredFindings implements Catalog.Listener {
  private final Catalog.Listener listener;
  private final List<Runnable> findings = new ArrayList<>();

  DeferredFindings(Catalog.Listener listener) {
    this.listener = listener;
  }

  @Override
  public void unreadable(String className, Throwable problem) {
    findings.add(() -> listener.unreadable(className, problem));
  }

  @Override
  public void untraceable(String selector, String method, String problem) {
    findings.add(() -> listener.untraceable(selector, method, problem));
  }

  @Override
  public void disabled(String reason) {
    findings.add(() -> listener.disabled(reason));
  }

  /** Passes the findings on. */
  void report() {
    findings.forEach(Runnable::run);
  }
}
