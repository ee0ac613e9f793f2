// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.jprobe.layout.DirectLayout;
import io.jprobe.select.SelectorException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
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
  public void commasInBracketsAndStringsBelongToTheSelectors() throws Exception {
    Options options =
        Options.parse(
            "probes=a.B#c(int,..)(x=arg0,y=arg1) when x == ',dir=/' and arg1 == \"(\""
                + ",max-methods=7");
    assertEquals(1, options.selectors.each().size());
    assertEquals(2, options.selectors.each().get(0).captures().size());
    assertEquals(7, options.maxMethods);
    assertEquals(2, Options.parse("probes=a.B::c[long,int],probes=a.C#*").selectors.each().size());
  }

  @Test
  public void selectorsComeFromSeveralOptionsAndFilesInTheirOrder() throws Exception {
    Path file = Files.createTempFile("selectors", ".conf");
    try {
      Files.write(file, List.of("# of the shop", "", "a.B#second  # a comment", "a.B#third;a.B#x"));
      Options options = Options.parse("probes=a.B#first,config=" + file + ",probes=!a.B#last");
      assertEquals(
          "[a.B#first, a.B#second, a.B#third, a.B#x, !a.B#last]",
          options.selectors.each().toString());
      Files.write(file, List.of("a.B#c", "\ta.B#", "a.B#d"));
      SelectorException mistake =
          assertThrows(SelectorException.class, () -> Options.parse("config=" + file));
      Files.write(file, List.of("shop.Main #mk"));
      SelectorException cut =
          assertThrows(SelectorException.class, () -> Options.parse("config=" + file));
      assertEquals(
          "config "
              + file
              + ", line 1: selector 'shop.Main', column 10: expected '#' and a method; a '#' after"
              + " a blank begins a comment, so write no blank before it",
          cut.getMessage());
      assertEquals(
          "config "
              + file
              + ", line 2: selector 'a.B#', column 5: expected a method after '#';"
              + " * stands for every one",
          mistake.getMessage());
    } finally {
      Files.delete(file);
    }
  }

  @Test
  public void theSizeOfTheRingBuffersMayHaveASuffix() throws Exception {
    assertEquals(16 << 20, Options.parse("").ringBytes);
    assertEquals(1_000_000, Options.parse("ring-size=1000000").ringBytes);
    assertEquals(DirectLayout.MIN_BYTES, Options.parse("ring-size=256k").ringBytes);
    assertEquals(DirectLayout.MAX_BYTES, Options.parse("ring-size=1024M").ringBytes);
    for (String wrong : List.of("255k", "1025m", "m", "16g", "-16m", "", "4096m", "\u0661m")) {
      assertMistake(
          "ring-size=" + wrong,
          "ring-size is '" + wrong + "'; expected a number of bytes from 256k to 1024m, as in 16m");
    }
  }

  @Test
  public void noOptionsSelectNothing() throws Exception {
    assertTrue(Options.parse(null).selectors.each().isEmpty());
    assertTrue(Options.parse("").selectors.each().isEmpty());
  }

  @Test
  public void anErrorNamesTheOptionAndWhatIsExpected() {
    assertMistake("probe=a#b", "unknown option 'probe'; expected one of probes,");
    assertMistake("probes=a#b,c#d", "'c#d' is no option; selectors are separated by ';', as in");
    assertMistake(
        "probes=a#b,c::d when x=1", "'c::d when x' is no option; selectors are separated");
    assertMistake("probes", "option 'probes' has no value; expected name=value");
    assertMistake("string-limit=9999", "string-limit is '9999'; expected a number");
    assertMistake("max-methods=0", "max-methods is '0'; expected a number of methods from 1 to");
    assertMistake("config=/no/such", "cannot read config=/no/such: ");
    assertMistake("string-limit=x", "string-limit is 'x'; expected a number");
    assertMistake("max-methods=\u0663", "max-methods is '\u0663'; expected a number");
    assertThrows(SelectorException.class, () -> Options.parse("probes=a.B"));
  }

  @Test
  public void theErrorNamesTheOptionsOfTheDocumentation() throws Exception {
    List<String> documented = new ArrayList<>();
    for (String line : Files.readAllLines(Path.of("../docs/agent-options.md"))) {
      if (line.startsWith("| `") && !line.startsWith("| `-")) {
        documented.add(line.substring(3, line.indexOf('`', 3)));
      }
    }
    assertMistake(
        "probe=x", "unknown option 'probe'; expected one of " + String.join(", ", documented));
  }

  private static void assertMistake(String written, String message) {
    OptionsException mistake = assertThrows(OptionsException.class, () -> Options.parse(written));
    assertTrue(mistake.getMessage(), mistake.getMessage().startsWith(message));
  }
}
