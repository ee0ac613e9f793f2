// SPDX-License-Identifier: Apache-2.0
package com.acme.misfits;

import java.io.IOException;
import java.io.InputStream;
import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.nio.charset.StandardCharsets;
import java.util.Scanner;
import java.util.function.IntSupplier;

class Letter {
  final int weight = 20;
  Letter answer;

  Letter answer() {
    return answer;
  }

  int heavy() {
    throw new IllegalStateException("a getter's own trouble");
  }
}

/** The loader of {@link Reader} does not find this class. */
class Missing {
  private String word;
}

/** The loader of {@link Reader} fails with its own exception for this class. */
class Troubling {
  private String word;
}

/** The field has another type in the loader of {@link Reader} than in the class file. */
class Changed {
  private String word;
}

/** Loaded by {@link Misfits.Picky}. */
class Reader implements IntSupplier {
  static int missing(Missing missing) {
    return 42;
  }

  static int troubling(Troubling troubling) {
    return 42;
  }

  static int changed(Changed changed) {
    return 42;
  }

  static int plain() {
    return 42;
  }

  @Override
  public int getAsInt() {
    try {
      Changed changed = new Changed();
      Field word = Changed.class.getDeclaredField("word");
      word.setAccessible(true);
      word.setLong(changed, 0x5ca1ab1e);
      return missing(null) + troubling(null) + changed(changed) + plain();
    } catch (ReflectiveOperationException e) {
      throw new IllegalStateException(e);
    }
  }
}

/**
 * Methods whose captures fail in several ways; each call must return 42 anyway. A line on stdin
 * makes all calls and is answered with the sum of the results; "exit" exits.
 */
public class Misfits {
  static int weigh(Letter letter) {
    return 42;
  }

  static int weigh(int grams) {
    return 42;
  }

  static int weigh(String words) {
    return 42;
  }

  /** Called by a capture. */
  int total() {
    return 42;
  }

  int twice() {
    return 42;
  }

  /** Provides class files that differ from the classes it loads. */
  static class Picky extends ClassLoader {
    Picky() {
      super(Picky.class.getClassLoader());
    }

    @Override
    protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
      switch (name.substring(name.lastIndexOf('.') + 1)) {
        case "Missing":
          throw new ClassNotFoundException(name);
        case "Troubling":
          throw new IllegalStateException("no " + name);
        case "Reader":
        case "Changed":
          Class<?> loaded = findLoadedClass(name);
          return loaded != null ? loaded : define(name);
        default:
          return super.loadClass(name, resolve);
      }
    }

    /** Changes the type of Changed's field from String to long. */
    private Class<?> define(String name) {
      try (InputStream in = getResourceAsStream(name.replace('.', '/') + ".class")) {
        String file = new String(in.readAllBytes(), StandardCharsets.ISO_8859_1);
        if (name.endsWith("Changed")) {
          file = file.replace("\0\u0012Ljava/lang/String;", "\0\1J");
        }
        byte[] bytes = file.getBytes(StandardCharsets.ISO_8859_1);
        return defineClass(name, bytes, 0, bytes.length);
      } catch (IOException e) {
        throw new IllegalStateException(e);
      }
    }
  }

  public static void main(String[] arguments) throws Exception {
    Constructor<?> constructor =
        Class.forName("com.acme.misfits.Reader", true, new Picky()).getDeclaredConstructor();
    // The class has another loader, and therefore another package.
    constructor.setAccessible(true);
    IntSupplier reader = (IntSupplier) constructor.newInstance();
    Misfits misfits = new Misfits();
    System.out.println("ready");
    for (Scanner lines = new Scanner(System.in); !lines.nextLine().equals("exit"); ) {
      int sum = weigh(new Letter()) + weigh(1) + weigh("words");
      sum += misfits.total() + misfits.twice() + reader.getAsInt();
      System.out.println("called " + sum);
    }
  }
}
