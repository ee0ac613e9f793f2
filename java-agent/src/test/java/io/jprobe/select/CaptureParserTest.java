// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import java.util.List;
import org.junit.Test;

/** Distinguishes captures from types. */
public class CaptureParserTest {
  private static List<String> captures(String methods) throws SelectorException {
    return Rendering.of(Selector.parse("A#m" + methods).captures());
  }

  @Test
  public void aListOfPathsIsCaptures() throws Exception {
    assertEquals(List.of("arg0"), captures("(arg0)"));
    assertEquals(List.of("arg12.a.b()"), captures("( arg12.a.b( ) )"));
    assertEquals(List.of("this.x", "return"), captures("(this.x,return)"));
    assertEquals(List.of("x=exception.message"), captures("(x=exception.message)"));
    assertEquals(List.of("thread.name", "id=order.id"), captures("(thread.name,id = order.id)"));
    assertEquals(List.of("order", "arg0"), captures("(order, arg0)"));
  }

  @Test
  public void aListOfOtherNamesIsTypes() throws Exception {
    assertEquals(List.of(), captures("(long,String)"));
    assertEquals(List.of(), captures("(order.id)"));
    assertEquals(List.of(), captures("(argument, args, arg)"));
    assertEquals(List.of(), captures("()"));
    assertEquals(List.of(), captures("(int[],this_one)"));
  }

  @Test
  public void typesAndCapturesFollowEachOther() throws Exception {
    assertEquals(List.of("order.id"), captures("(Order)(order.id)"));
    assertEquals(List.of("id=arg1.id"), captures("(long,String):boolean(id=arg1.id)"));
    assertEquals(List.of("order"), captures("():int[](order)"));
    assertEquals(List.of("order"), captures(":int(order)"));
    assertEquals(List.of("order"), captures(":int[][order]"));
  }

  @Test
  public void aStackIsACaptureWithOrWithoutANumberOfFrames() throws Exception {
    assertEquals(List.of("stack"), captures("(stack)"));
    assertEquals(List.of("stack=stack(16)"), captures("( stack( 16 ) )"));
    assertEquals(List.of("who=stack(1024)", "arg0"), captures("[who=stack[1024], arg0]"));
    assertEquals(List.of("stack=order.id"), captures("(stack=order.id)"));
    assertEquals(List.of(), captures("(stacks)"));
  }

  @Test
  public void bracketsMayBeSquare() throws Exception {
    assertEquals(List.of("id=arg0.id()"), captures("[int[]][id=arg0.id[]]"));
    assertEquals(List.of("arg0.id()", "this"), captures("[arg0.id(),this]"));
  }

  @Test
  public void annotatedMethodsHaveCapturesOnly() throws Exception {
    assertEquals(
        List.of("order", "a=b"), Rendering.of(Selector.parse("@a.B(order,a=b)").captures()));
    assertEquals(List.of("order"), Rendering.of(Selector.parse("@a.B [order]").captures()));
  }

  @Test
  public void pathsKnowTheirColumns() throws Exception {
    Path path = Selector.parse("A#m(id=arg0.customer().city)").captures().get(0).path;
    assertEquals("arg0", path.root);
    assertEquals(7, path.column);
    assertEquals("customer", path.steps.get(0).name);
    assertEquals(12, path.steps.get(0).column);
    assertTrue(path.steps.get(0).isCall());
    assertEquals(23, path.steps.get(1).column);
    assertFalse(path.steps.get(1).isCall());
  }
}
