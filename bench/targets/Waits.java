// SPDX-License-Identifier: Apache-2.0

import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** Waits repeatedly for 40 ms in one thread, to measure the CPU time of waiting. */
public class Waits {
  public static void main(String[] arguments) throws Exception {
    BlockingQueue<Object> nothing = new LinkedBlockingQueue<>();
    Thread thread =
        new Thread("jprobe-watcher's equal") {
          @Override
          public void run() {
            try {
              while (nothing.poll(40, TimeUnit.MILLISECONDS) == null) {}
            } catch (InterruptedException e) {
              // Exits.
            }
          }
        };
    thread.setDaemon(true);
    thread.start();
    System.out.println("warm");
    while (System.in.read() >= 0) {}
  }
}
