// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import static io.jprobe.weave.RenderedObjects.assertIdentity;
import static io.jprobe.weave.RenderedObjects.rendered;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import io.jprobe.weave.RenderedObjects.Failure;
import io.jprobe.weave.RenderedObjects.State;
import java.io.File;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.net.URI;
import java.net.URL;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.MonthDay;
import java.time.OffsetDateTime;
import java.time.OffsetTime;
import java.time.Period;
import java.time.Year;
import java.time.YearMonth;
import java.time.ZoneId;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.util.Date;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.BeforeClass;
import org.junit.Test;

/** What single captured objects look like. */
public class RenderingTest {
  @BeforeClass
  public static void bindFire() throws Exception {
    RenderedObjects.bindFire();
  }

  @Test
  public void numbersAreTheirDigits() {
    Object[] numbers = {
      0,
      42,
      -70_000,
      Integer.MIN_VALUE,
      Integer.MAX_VALUE,
      Long.MIN_VALUE,
      Long.MAX_VALUE,
      (short) -1,
      (byte) -128,
      1.5f,
      -0.0,
      Double.NaN,
      Float.NEGATIVE_INFINITY,
      1e300,
      new AtomicInteger(7),
      new AtomicLong(-8),
      true,
      false,
      new AtomicBoolean(true),
      new BigInteger("-123456789012345678901234567890"),
      new BigDecimal("1.10"),
      new BigDecimal("12.50"),
      new BigDecimal("0.00"),
      new BigDecimal("-1E+5"),
      new BigDecimal("1E+400"),
      BigDecimal.ZERO
    };
    for (Object number : numbers) {
      assertEquals(number.toString(), rendered(number));
    }
    assertIdentity(BigInteger.ONE.shiftLeft(100_000));
    assertIdentity(new BigDecimal(BigInteger.ONE.shiftLeft(100_000)));
  }

  @Test
  public void textIsInQuotes() {
    assertEquals("\"a \"b\" ž€😀\"", rendered("a \"b\" ž€😀"));
    assertEquals("\"\"", rendered(""));
    assertEquals("\"\ufffd\"", rendered("\ud83d"));
    assertEquals("\"ab\"", rendered(new StringBuilder("ab")));
    assertEquals("\"až😀\"", rendered(new StringBuffer("až😀")));
    assertEquals("\"xy\"", rendered(new char[] {'x', 'y'}));
    assertEquals("'ž'", rendered('ž'));
  }

  @Test
  public void enumsAreTheirNames() {
    assertEquals("PAID", rendered(State.PAID));
    assertEquals("OPEN", rendered(State.OPEN));
  }

  @Test
  public void valuesOfTheJdkAreTheirText() throws Exception {
    Object[] values = {
      UUID.fromString("0123abcd-0000-4000-8000-00000000000f"),
      Duration.ofMillis(1500),
      LocalDate.of(2024, 2, 29),
      ZonedDateTime.of(2024, 2, 29, 1, 2, 3, 4, ZoneId.of("Europe/Riga")),
      ZoneId.of("Europe/Riga"),
      ZoneId.of("Z"),
      new File("/a/ž"),
      Path.of("/a/b"),
      URI.create("http://a/b?c#d"),
      new URL("http://u@a:80/b?c#d"),
      new URL("file:/a/b"),
      Optional.empty(),
      Optional.of(5),
      OptionalInt.of(6),
      OptionalLong.of(7),
      OptionalDouble.of(0.5),
    };
    for (Object value : values) {
      assertEquals(value.toString(), rendered(value));
    }
    assertEquals("OptionalInt.empty", rendered(OptionalInt.empty()));
    assertEquals("AtomicReference[\"x\"]", rendered(new AtomicReference<>("x")));
    assertEquals("2001-09-09T01:46:40.005Z", rendered(Instant.ofEpochMilli(1_000_000_000_005L)));
    assertEquals("1969-12-31T23:59:59.999Z", rendered(new Date(-1)));
    assertEquals("java.lang.String", rendered(String.class));
    assertEquals("[I", rendered(int[].class));
  }

  @Test
  public void timesAreTheirTextWithAllDigits() {
    Object[] times = {
      Instant.EPOCH,
      Instant.ofEpochSecond(60),
      Instant.ofEpochSecond(-60),
      Instant.ofEpochSecond(1, 500_000_000),
      Instant.ofEpochSecond(0, 1_000),
      Instant.ofEpochSecond(-1, 1),
      Instant.parse("-0001-01-01T00:00:00Z"),
      Instant.parse("-12345-02-28T23:59:59Z"),
      Instant.parse("0000-01-01T00:00:00Z"),
      Instant.parse("+12345-02-28T00:00:00Z"),
      Instant.parse("+999999999-12-31T23:59:59.999999999Z"),
      Instant.parse("+1000000000-01-01T00:00:00Z"),
      Instant.parse("-1000000000-12-31T00:00:00Z"),
      Instant.MAX,
      Instant.MIN,
      LocalTime.MIDNIGHT,
      LocalTime.of(1, 2, 3, 4),
      LocalDateTime.of(2024, 2, 29, 0, 0),
      OffsetDateTime.of(2024, 2, 29, 0, 0, 0, 0, ZoneOffset.UTC),
      OffsetTime.of(LocalTime.MIDNIGHT, ZoneOffset.ofHours(2)),
      ZonedDateTime.of(2024, 2, 29, 0, 0, 0, 0, ZoneId.of("Europe/Riga")),
      LocalDate.MAX,
      Year.of(7),
      YearMonth.of(2024, 2),
      MonthDay.of(2, 29),
      Period.of(1, 2, 3),
      Duration.ZERO,
    };
    for (Object time : times) {
      assertEquals(time.toString(), rendered(time));
    }
    assertEquals("1970-01-01T00:00:00Z", rendered(Instant.EPOCH));
    assertEquals("1970-01-01T00:00:00Z", rendered(new Date(0)));
    for (long millis : new long[] {60_000, 1, -60_000, Long.MAX_VALUE, Long.MIN_VALUE}) {
      assertEquals(Instant.ofEpochMilli(millis).toString(), rendered(new Date(millis)));
    }
  }

  @Test
  public void threadsAndExceptionsShowTheirFieldsAndNotTheirMethods() {
    Thread thread =
        new Thread("worker, 1") {
          @Override
          public long getId() {
            throw new AssertionError("called");
          }

          @Override
          public String toString() {
            throw new AssertionError("called");
          }
        };
    assertTrue(rendered(thread), rendered(thread).matches("Thread\\[#\\d+,worker, 1\\]"));
    assertEquals(Failure.class.getName() + ": no", rendered(new Failure("no")));
    assertEquals(Failure.class.getName(), rendered(new Failure(null)));
  }
}
