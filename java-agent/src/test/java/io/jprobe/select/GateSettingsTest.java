// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import org.junit.Test;

public class GateSettingsTest {
  private static void check(String written, long leastDuration, long every, long perSecond)
      throws Exception {
    GateSettings settings = GateSettings.parse(written);
    assertEquals(leastDuration, settings.leastDuration);
    assertEquals(every, settings.every);
    assertEquals(perSecond, settings.perSecond);
  }

  @Test
  public void settingsThatAreNotGivenStay() throws Exception {
    long same = GateSettings.UNCHANGED;
    check("duration > 20ms", 20_000_001, same, same);
    check("when duration >= 20ms", 20_000_000, same, same);
    check("5us <= duration", 5_000, same, same);
    check("every 100", same, 100, same);
    check("at most 20/s", same, same, 20);
    check(" duration>20ms  every 100, at most 20/s", 20_000_001, 100, 20);
    check("duration > 9223372036854775807ns", Long.MAX_VALUE, same, same);
    check("duration > 1ms and duration > 2ms", 2_000_001, same, same);
    check("always", 0, 1, 0);
    assertTrue(GateSettings.parse("as selected").asSelected);
  }

  private static void refused(String written, String problem) {
    SelectorException refusal =
        assertThrows(SelectorException.class, () -> GateSettings.parse(written));
    assertEquals(problem, refusal.getMessage());
  }

  @Test
  public void conditionsThatAGateCannotDecideAreRejected() {
    String only =
        "': only a minimum duration, every and at most can be set while the program runs;"
            + " for other conditions, select the method again";
    for (String other : new String[] {"arg0 > 5", "duration < 5ms", "duration > 5ms or arg0"}) {
      refused(other, "settings '" + other + "', column 1" + only.substring(1));
    }
    refused(
        "",
        "settings '', column 1: expected duration > 20ms, every 100, at most 20/s, always"
            + " or as selected");
    refused(
        "duration > 20", "settings 'duration > 20', column 12: a duration needs a unit, as in 5ms");
    refused("every 0", "settings 'every 0', column 7: expected a number of at least 1");
  }
}
