package id.betang.purse;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.time.DateTimeException;
import java.time.LocalDate;
import java.util.HexFormat;
import java.util.Random;

import javacard.framework.ISOException;
import org.junit.jupiter.api.Test;

/** Numbers, dates, PIN rules and comparisons against the JDK's own arithmetic. */
class ArithmeticTest {
    private static final long[] EDGES = {
        0, 1, 2, 0xFE, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFFL, 0x80000000L,
        0xFFFFFFFEL, 0xFFFFFFFFL};

    private static byte[] u32(long n) {
        return ByteBuffer.allocate(4).putInt((int) n).array();
    }

    private static long of(byte[] a) {
        return ByteBuffer.wrap(a).getInt() & 0xFFFFFFFFL;
    }

    @Test
    void additionSubtractionAndOrderAreUnsigned() {
        Random random = new Random(3);
        byte[] to = new byte[4];
        short zero = 0;
        for (int i = 0; i < 5000; i++) {
            long a = i < 196 ? EDGES[i / 14] : random.nextInt() & 0xFFFFFFFFL;
            long b = i < 196 ? EDGES[i % 14] : random.nextInt() & 0xFFFFFFFFL;
            assertEquals(a + b > 0xFFFFFFFFL, U32.add(u32(a), zero, u32(b), zero, to, zero));
            assertEquals((a + b) & 0xFFFFFFFFL, of(to));
            assertEquals(b > a, U32.subtract(u32(a), zero, u32(b), zero, to, zero));
            assertEquals((a - b) & 0xFFFFFFFFL, of(to));
            assertEquals(Long.compare(a, b), U32.compare(u32(a), zero, u32(b), zero));
            assertEquals(a == 0xFFFFFFFFL, U32.next(u32(a), zero, to, zero));
            assertEquals((a + 1) & 0xFFFFFFFFL, of(to));
            byte[] same = u32(a);  // the sum may take an addend's place
            U32.add(same, zero, u32(b), zero, same, zero);
            assertEquals((a + b) & 0xFFFFFFFFL, of(same));
        }
    }

    @Test
    void datesAreRealDaysOfThisCentury() {
        byte[] date = new byte[4];
        for (int n = 0; n < 0x10000; n++) {
            date[0] = 0x20;
            date[1] = 0x24;
            date[2] = (byte) (n >> 8);
            date[3] = (byte) n;
            assertEquals(isDay(date), Dates.valid(date, (short) 0), HexFormat.of().formatHex(date));
        }
        for (int n = 0; n < 0x10000; n++) {
            date[0] = (byte) (n >> 8);
            date[1] = (byte) n;
            date[2] = 0x02;
            date[3] = 0x29;
            assertEquals(isDay(date), Dates.valid(date, (short) 0), HexFormat.of().formatHex(date));
        }
    }

    private static boolean isDay(byte[] date) {
        String digits = HexFormat.of().formatHex(date);
        try {
            int year = Integer.parseInt(digits.substring(0, 4));
            LocalDate.of(year, Integer.parseInt(digits.substring(4, 6)),
                Integer.parseInt(digits.substring(6)));
            return year >= 2000 && year <= 2099;
        } catch (NumberFormatException | DateTimeException e) {
            return false;
        }
    }

    @Test
    void fourHundredDaysFromEveryDay() {
        byte[] to = new byte[4];
        LocalDate last = LocalDate.of(2099, 12, 31);
        for (LocalDate day = LocalDate.of(2000, 1, 1); !day.isAfter(last); day = day.plusDays(1)) {
            Dates.plus400(bcd(day), (short) 0, to, (short) 0);
            LocalDate then = day.plusDays(400);
            assertArrayEquals(bcd(then.isAfter(last) ? last : then), to, day.toString());
        }
    }

    private static byte[] bcd(LocalDate day) {
        return HexFormat.of().parseHex(day.toString().replace("-", ""));
    }

    @Test
    void everyPinIsJudgedAsTheRuleSays() {
        for (int n = 0; n < 1_000_000; n++) {
            String pin = String.format("%06d", n);
            assertEquals(simple(pin), Pins.tooSimple(pin.getBytes(), (short) 0), pin);
        }
    }

    private static boolean simple(String pin) {
        int step = pin.charAt(1) - pin.charAt(0);
        boolean run = Math.abs(step) <= 1;
        for (int i = 1; i < 5 && run; i++) {
            run = pin.charAt(i + 1) - pin.charAt(i) == step;
        }
        int a = Integer.parseInt(pin.substring(0, 2));
        int b = Integer.parseInt(pin.substring(2, 4));
        int c = Integer.parseInt(pin.substring(4));
        return run || day(a) && month(b) || month(a) && day(b) || month(b) && day(c);
    }

    private static boolean day(int n) {
        return 1 <= n && n <= 31;
    }

    private static boolean month(int n) {
        return 1 <= n && n <= 12;
    }

    @Test
    void comparisonsSeeEveryByte() {
        byte[] a = new byte[20];
        byte[] b = new byte[20];
        new Random(1).nextBytes(a);
        for (int i = 0; i < 8; i++) {
            System.arraycopy(a, 4, b, 6, 8);
            assertTrue(Bytes.same(a, (short) 4, b, (short) 6, (short) 8));
            b[6 + i] ^= 0x10;
            assertFalse(Bytes.same(a, (short) 4, b, (short) 6, (short) 8));
        }
        assertTrue(Bytes.zero(new byte[3], (short) 0, (short) 3));
        assertFalse(Bytes.zero(new byte[] {0, 0, -128}, (short) 0, (short) 3));
    }

    @Test
    void aFlippedBitInACounterIsAFault() {
        byte[] a = new byte[16];
        byte[] not = new byte[16];
        new Random(2).nextBytes(a);
        Bytes.complement(a, (short) 0, not, (short) 0, (short) 16);
        Bytes.complementary(a, (short) 0, not, (short) 0, (short) 16);
        for (int bit = 0; bit < 128; bit++) {
            a[bit / 8] ^= (byte) (1 << bit % 8);
            ISOException fault = assertThrows(ISOException.class,
                () -> Bytes.complementary(a, (short) 0, not, (short) 0, (short) 16));
            assertEquals(Sw.FAULT, fault.getReason());
            a[bit / 8] ^= (byte) (1 << bit % 8);
        }
    }
}
