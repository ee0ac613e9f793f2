// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import io.jprobe.classfile.MethodParameters;
import io.jprobe.classfile.NamedParameters;
import io.jprobe.stub.LoadedParameters;
import java.lang.reflect.Method;
import java.lang.reflect.Parameter;
import java.util.Arrays;
import org.junit.Before;
import org.junit.Test;

/** Reads the parameter names of loaded classes from the memory of the JVM that runs the test. */
public class ParameterNamesTest {
  private static final class Loader extends ClassLoader {
    Class<?> define(byte[] classFile) {
      return defineClass(NamedParameters.NAME, classFile, 0, classFile.length);
    }
  }

  @Before
  public void open() {
    PublishedClass.loadNative();
    assertTrue(LoadedParameters.open());
  }

  @Test
  public void theJvmHasTheParametersOfTheClassFile() {
    byte[] classFile = NamedParameters.classFile();
    Class<?> type = new Loader().define(classFile);
    MethodParameters read = new MethodParameters(LoadedParameters.of(type));
    assertEquals(MethodParameters.of(classFile), read);
  }

  @Test
  public void aClassWithoutTheAttributeHasNone() {
    Class<?> type = new Loader().define(NamedParameters.hidden(NamedParameters.classFile()));
    for (Class<?> one : new Class<?>[] {type, Object.class, Runnable.class}) {
      assertEquals(0, LoadedParameters.of(one).length);
    }
    assertNull(LoadedParameters.of(int.class));
  }

  @Test
  public void theParametersReadAreThoseThatReflectionReturns() throws Exception {
    byte[] classFile = NamedParameters.classFile();
    Class<?> type = new Loader().define(classFile);
    byte[] hidden = NamedParameters.hidden(classFile);
    MethodParameters read = new MethodParameters(LoadedParameters.of(type));
    Class<?> complete = new Loader().define(read.addTo(hidden));
    for (String name : new String[] {"plain", "unnamed", "generic", "annotated", "all"}) {
      String expected = Arrays.toString(parameters(type, name));
      assertEquals(expected, Arrays.toString(parameters(complete, name)));
    }
    assertEquals("[int count, final long time]", Arrays.toString(parameters(complete, "plain")));
    assertTrue(parameters(complete, "unnamed")[0].isSynthetic());
    assertTrue(parameters(complete, "unnamed")[1].isImplicit());
  }

  private static Parameter[] parameters(Class<?> type, String name) {
    for (Method method : type.getDeclaredMethods()) {
      if (method.getName().equals(name)) {
        return method.getParameters();
      }
    }
    throw new AssertionError("there is no method " + name);
  }
}
