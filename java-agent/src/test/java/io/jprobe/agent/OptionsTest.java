// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.jprobe.select.SelectorException;
import org.junit.Test;

public class OptionsTest {
  @Test
  public void optionsAreSeparatedByCommas() throws Exception {
    Options options = Options.parse("probes=a.B#c;d.E#f,dir=/run/x,string-limit=64");
    assertEquals(2, options.selectors.each().size());
    assertEquals("/run/x", options.directory);
    assertEquals(64, options.stringLimit);
  }

  @Test
  public void noOptionsSelectNothing() throws Exception {
    assertTrue(Options.parse(null).selectors.each().isEmpty());
    assertTrue(Options.parse("").selectors.each().isEmpty());
  }

  @Test
  public void aMistakeIsNamedWithWhatWouldBeRight() {
    assertMistake("probe=a#b", "there is no option 'probe'; there are probes,");
    assertMistake("probes", "option 'probes' has no value; expected name=value");
    assertMistake("string-limit=9999", "string-limit is '9999'; expected a number");
    assertMistake("string-limit=x", "string-limit is 'x'; expected a number");
    assertThrows(SelectorException.class, () -> Options.parse("probes=a.B"));
  }

  private static void assertMistake(String written, String message) {
    OptionsException mistake =
        assertThrows(OptionsException.class, () -> Options.parse(written));
    assertTrue(mistake.getMessage(), mistake.getMessage().startsWith(message));
  }
}
