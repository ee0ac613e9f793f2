// SPDX-License-Identifier: Apache-2.0
package io.jprobe.calls;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;

import java.util.concurrent.CountDownLatch;
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
}
