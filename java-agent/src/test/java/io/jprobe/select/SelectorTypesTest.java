// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import io.jprobe.classfile.MethodFacts;
import java.util.List;
import java.util.Set;
import org.junit.Test;

/** Matches overloads by types. */
public class SelectorTypesTest {
  private static boolean typesMatch(String types, String descriptor) throws Exception {
    return Selector.parse("com.acme.Orders#m" + types)
        .matches(
            Program.candidate("com.acme.Orders"),
            new MethodFacts(0, "m", descriptor, Set.of(), List.of()));
  }

  @Test
  public void typesDistinguishOverloads() throws Exception {
    String descriptor = "(JLjava/lang/String;)Z";
    assertTrue(typesMatch("", descriptor));
    assertTrue(typesMatch("(long,String)", descriptor));
    assertTrue(typesMatch("( long , java.lang.String ) : boolean", descriptor));
    assertTrue(typesMatch("(long,java.lang.*)", descriptor));
    assertTrue(typesMatch("(l*g,Str*)", descriptor));
    assertFalse(typesMatch("(long)", descriptor));
    assertFalse(typesMatch("(int,String)", descriptor));
    assertFalse(typesMatch("()", descriptor));
    assertFalse(typesMatch("(long,lang.String)", descriptor));
    assertTrue(typesMatch("()", "()V"));
    assertTrue(typesMatch(":void", "()V"));
    assertFalse(typesMatch(":int", "()V"));
    assertTrue(typesMatch("(*,*)", descriptor));
    assertFalse(typesMatch("(*,*,*)", descriptor));
  }

  @Test
  public void twoDotsAreAnyNumberOfTypes() throws Exception {
    assertTrue(typesMatch("(..)", "()V"));
    assertTrue(typesMatch("(..)", "(IJ)V"));
    assertTrue(typesMatch("(int,..)", "(I)V"));
    assertTrue(typesMatch("(..,int)", "(IJI)V"));
    assertTrue(typesMatch("(..,int,..,long,..)", "(ZIZZJZ)V"));
    assertTrue(typesMatch("(..,int,long)", "(IZIJ)V"));
    assertFalse(typesMatch("(..,int,..,long,..)", "(ZJZZIZ)V"));
    assertFalse(typesMatch("(int,..,int)", "(I)V"));
    assertTrue(typesMatch("(..,..)", "()V"));
  }

  @Test
  public void arraysHaveTheirBrackets() throws Exception {
    assertTrue(typesMatch("(int[])", "([I)V"));
    assertFalse(typesMatch("(int[])", "(I)V"));
    assertFalse(typesMatch("(int)", "([I)V"));
    assertFalse(typesMatch("(int[])", "([[I)V"));
    assertTrue(typesMatch("(int[][])", "([[I)V"));
    assertTrue(typesMatch("(String...)", "([Ljava/lang/String;)V"));
    assertTrue(typesMatch("(String[]...)", "([[Ljava/lang/String;)V"));
    assertTrue(typesMatch("(*)", "([I)V"));
    assertTrue(typesMatch("(*[])", "([[I)V"));
    assertFalse(typesMatch("(*[])", "(I)V"));
    assertTrue(typesMatch(":int[]", "()[I"));
    assertTrue(typesMatch("[int[]]", "([I)V"));
    assertTrue(typesMatch("[]", "()V"));
    assertFalse(typesMatch("[]", "(I)V"));
    assertTrue(typesMatch(":int[][id=arg0]", "(I)[I"));
  }

  @Test
  public void nestedTypesHaveShortNames() throws Exception {
    String descriptor = "(Ljava/util/Map$Entry;)V";
    assertTrue(typesMatch("(Entry)", descriptor));
    assertTrue(typesMatch("(Map.Entry)", descriptor));
    assertTrue(typesMatch("(Map$Entry)", descriptor));
    assertTrue(typesMatch("(java.util.Map.Entry)", descriptor));
    assertFalse(typesMatch("(Map)", descriptor));
    assertFalse(typesMatch("(util.Map.Entry)", descriptor));
  }

  @Test(timeout = 5_000)
  public void manyDotsNeedLittleTime() throws Exception {
    assertFalse(typesMatch("(" + "..,int,".repeat(100) + "long)", "(" + "I".repeat(250) + ")V"));
  }
}
