// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.Before;
import org.junit.Test;

/** Tries every example of docs/selectors.md. */
public class SelectorsPageTest {
  private static final Pattern CODE = Pattern.compile("`([^`]+)`");

  private String page;
  private Program program;

  @Before
  public void read() throws Exception {
    page = Files.readString(Path.of("../docs/selectors.md"));
    program = new Program();
  }

  /** Returns the rows of the table with that heading, by cells. */
  private List<String[]> table(String heading) {
    List<String[]> rows = new ArrayList<>();
    int start = page.indexOf(heading + "\n|---");
    assertTrue(heading, start > 0);
    for (String line : page.substring(start).split("\n")) {
      if (!line.startsWith("|")) {
        break;
      }
      String[] cells = line.substring(1).split("(?<!\\\\)\\|");
      for (int i = 0; i < cells.length; i++) {
        cells[i] = cells[i].trim().replace("\\|", "|");
      }
      rows.add(cells);
    }
    return rows.subList(2, rows.size());
  }

  private static List<String> codes(String cell) {
    return CODE.matcher(cell).results().map(each -> each.group(1)).collect(Collectors.toList());
  }

  private static String code(String cell) {
    Matcher code = CODE.matcher(cell);
    assertTrue(cell, code.matches());
    return code.group(1);
  }

  @Test
  public void theProgramIsTheOneThatIsCompiled() throws Exception {
    for (String file : List.of("Shop.java", "store/Shelf.java")) {
      String source = Files.readString(Path.of("src/test/java/com/acme", file));
      String shown = source.substring(source.indexOf('\n') + 1);
      assertTrue(file, page.contains("```java\n" + shown + "```\n"));
    }
  }

  @Test
  public void selectorsSelectTheMethodsThatThePageLists() throws Exception {
    List<String[]> rows = table("| selector | selects |");
    assertTrue(rows.size() >= 30);
    for (String[] row : rows) {
      Set<String> expected = new TreeSet<>();
      for (String name : codes(row[1])) {
        if (name.endsWith(".*")) {
          expected.addAll(program.methodsOf(name.substring(0, name.length() - 2)));
        } else {
          expected.add(name);
        }
      }
      assertTrue(row[1], !expected.isEmpty() || row[1].startsWith("nothing"));
      String selector = code(row[0]);
      assertEquals(selector, expected, program.selectedBy(Selectors.parse(selector)));
    }
  }

  @Test
  public void mistakesAreAtTheColumnsOnThePage() {
    for (String[] row : table("| selector | column | problem |")) {
      String selector = code(row[0]);
      SelectorException mistake =
          assertThrows(selector, SelectorException.class, () -> Selectors.parse(selector));
      assertEquals(
          "selector '" + selector + "', column " + row[1] + ": " + code(row[2]),
          mistake.getMessage());
      assertTrue(!row[1].equals("16") || page.contains("jprobe: " + mistake.getMessage()));
    }
  }

  @Test
  public void capturesAreThoseOnThePage() throws Exception {
    for (String[] row : table("| selector | captures |")) {
      List<Capture> captures = Selector.parse(code(row[0])).captures();
      assertEquals(codes(row[1]), Rendering.of(captures));
    }
  }

  @Test
  public void clausesAreThoseOnThePage() throws Exception {
    for (String[] row : table("| selector | clauses |")) {
      assertEquals(code(row[1]), Selector.parse(code(row[0])).conditionText());
    }
  }

  @Test
  public void otherSpellingsMeanTheSame() throws Exception {
    for (String[] row : table("| selector | the same as | for |")) {
      Selectors one = Selectors.parse(code(row[0]));
      Selectors other = Selectors.parse(code(row[1]));
      assertEquals(row[0], program.selectedBy(other), program.selectedBy(one));
      assertTrue(row[0], !program.selectedBy(one).isEmpty());
      assertEquals(other.each().size(), one.each().size());
      for (int i = 0; i < one.each().size(); i++) {
        Selector first = one.each().get(i);
        Selector second = other.each().get(i);
        assertEquals(second.excludes(), first.excludes());
        assertEquals(Rendering.of(second.captures()), Rendering.of(first.captures()));
        assertEquals(Rendering.of(second.condition()), Rendering.of(first.condition()));
      }
    }
  }

  @Test
  public void truncatedOrChangedSelectorsParseOrHaveAnErrorWithinTheText() {
    Pattern columns = Pattern.compile("column (\\d+): ");
    for (String example : codes(page.substring(page.indexOf("## Examples")))) {
      for (int i = 0; i < example.length(); i++) {
        for (String odd : List.of("", " ", "(", "]", "'", ".", "=", "!", "and", "\uffff", "\0")) {
          String spoilt = example.substring(0, i) + odd + example.substring(i + 1);
          for (String text : List.of(spoilt, example.substring(0, i) + odd)) {
            try {
              Selector.parse(text);
            } catch (SelectorException e) {
              Matcher column = columns.matcher(e.getMessage());
              assertTrue(e.getMessage(), column.find());
              int at = Integer.parseInt(column.group(1));
              assertTrue(e.getMessage(), at >= 1 && at <= text.length() + 1);
            }
          }
        }
      }
    }
  }

  @Test
  public void theFileOnThePageSelectsTheMethodsThatItNames() throws Exception {
    int start = page.indexOf("    # jprobe.conf\n");
    String file = page.substring(start, page.indexOf("\n\n", start));
    Selectors selectors =
        Selectors.parseLines(
            file.lines().map(line -> line.substring(4)).collect(Collectors.toList()), "x");
    assertEquals(3, selectors.each().size());
    assertEquals(program.methodsOf("Orders"), program.selectedBy(selectors));
  }
}
