// SPDX-License-Identifier: Apache-2.0
package io.jprobe.calls;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.After;
import org.junit.Test;

public class ApplicationCallsTest {
  private static final long NANOS = 400_000_000L;

  private final ApplicationCalls calls = new ApplicationCalls();

  @After
  public void close() {
    calls.close();
  }

  @Test
  public void aCallThatRunsHasMoreTimeThanItsDeadline() throws ApplicationException {
    long until = System.nanoTime() + 3 * NANOS / 2;
    Call.Body<String> spinning =
        () -> {
          while (System.nanoTime() < until) {
            Thread.onSpinWait();
          }
          return "done";
        };
    assertEquals("done", calls.start(null, NANOS, spinning).get());
  }

  @Test
  public void aCallThatWaitsHasNone() throws ApplicationException {
    CountDownLatch released = new CountDownLatch(1);
    Call.Body<String> waiting =
        () -> {
          released.await();
          return "late";
        };
    Call<String> call = calls.start(getClass().getClassLoader(), NANOS, waiting);
    assertThrows(ApplicationException.class, call::get);
    assertThrows(
        ApplicationException.class,
        () -> calls.start(getClass().getClassLoader(), NANOS, () -> "refused"));
    released.countDown();
  }

  @Test
  public void aCallIsLateWhileItCanRunAndStuckWhileItWaits() throws Exception {
    ClassLoader loader = getClass().getClassLoader();
    AtomicBoolean mayWait = new AtomicBoolean();
    CountDownLatch released = new CountDownLatch(1);
    Call.Body<String> body =
        () -> {
          while (!mayWait.get()) {
            Thread.onSpinWait();
          }
          released.await();
          return "done";
        };
    assertFalse(calls.isLate(loader));
    Call<String> call = calls.start(loader, NANOS / 100, body);
    assertThrows(ApplicationException.class, call::get);
    assertTrue(calls.isLate(loader));
    assertFalse(calls.isLate(loader.getParent()));
    mayWait.set(true);
    while (calls.isLate(loader)) {
      Thread.onSpinWait();
    }
    assertTrue(calls.isStuck(loader));
    released.countDown();
    while (calls.isStuck(loader)) {
      Thread.onSpinWait();
    }
    assertEquals("done", call.get());
  }
}
