// SPDX-License-Identifier: Apache-2.0

import org.openjdk.btrace.core.annotations.BTrace;
import org.openjdk.btrace.core.annotations.Duration;
import org.openjdk.btrace.core.annotations.Kind;
import org.openjdk.btrace.core.annotations.Location;
import org.openjdk.btrace.core.annotations.OnMethod;

/**
 * Adds up the calls of Lanes.add and their durations: the least that BTrace can do with a duration.
 * The sums are wrong if two threads call it.
 */
@BTrace
public class Timing {
  static long calls;
  static long nanos;

  @OnMethod(clazz = "Lanes", method = "add", location = @Location(Kind.RETURN))
  public static void returned(@Duration long duration) {
    calls++;
    nanos += duration;
  }
}
