// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import org.junit.Test;

public class LimitSettingsTest {
  @Test
  public void limitsThatAreNotGivenAreZero() throws Exception {
    LimitSettings both = LimitSettings.parse("max-methods=8000,string-limit=512");
    assertEquals(8_000, both.maxMethods);
    assertEquals(512, both.stringLimit);
    assertEquals(0, LimitSettings.parse("string-limit=1").maxMethods);
  }

  @Test
  public void mistakesAreExplained() {
    assertMistake("string-limit=1025", "string-limit is '1025'; expected a number of bytes");
    assertMistake("max-methods=0", "max-methods is '0'; expected a number of methods from 1 to");
    assertMistake("max-methods", "unknown limit 'max-methods'; expected max-methods=N");
    assertMistake("", "unknown limit ''");
  }

  private static void assertMistake(String written, String beginning) {
    OptionsException e = assertThrows(OptionsException.class, () -> LimitSettings.parse(written));
    assertTrue(e.getMessage(), e.getMessage().startsWith(beginning));
  }
}
