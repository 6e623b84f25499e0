package id.betang.purse;

/** Dates as four BCD bytes YYYYMMDD, 2000 to 2099 (docs/wire.md#dates): they sort as numbers. */
final class Dates {
    static final short SIZE = 4;

    private static final byte[] MONTH_DAYS = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    private Dates() {
    }

    static short compare(byte[] a, short at, byte[] b, short bt) {
        return Bytes.compare(a, at, b, bt, SIZE);
    }

    /** Whether it is a real day of 2000 to 2099. */
    static boolean valid(byte[] a, short at) {
        for (short i = 0; i < SIZE; i++) {
            byte two = a[(short) (at + i)];
            if ((two & 0x0F) > 9 || ((two >> 4) & 0x0F) > 9) {
                return false;
            }
        }
        if (a[at] != 0x20) {
            return false;
        }
        short month = two(a, (short) (at + 2));
        short day = two(a, (short) (at + 3));
        return month >= 1 && month <= 12 && day >= 1
            && day <= days(two(a, (short) (at + 1)), month);
    }

    /** to := a + 400 days, at most 2099-12-31 (SPEC.md, the date rule). */
    static void plus400(byte[] a, short at, byte[] to, short tt) {
        short year = two(a, (short) (at + 1));
        short month = two(a, (short) (at + 2));
        short day = (short) (two(a, (short) (at + 3)) + 400);
        short length = days(year, month);
        while (day > length) {
            day = (short) (day - length);
            month++;
            if (month > 12) {
                month = 1;
                year++;
            }
            length = days(year, month);
        }
        if (year > 99) {
            year = 99;
            month = 12;
            day = 31;
        }
        to[tt] = 0x20;
        to[(short) (tt + 1)] = bcd(year);
        to[(short) (tt + 2)] = bcd(month);
        to[(short) (tt + 3)] = bcd(day);
    }

    private static short days(short year, short month) {
        if (month == 2 && (year & 3) == 0) {
            return 29;
        }
        return MONTH_DAYS[(short) (month - 1)];
    }

    private static short two(byte[] a, short at) {
        return (short) ((short) (((a[at] >> 4) & 0x0F) * 10) + (a[at] & 0x0F));
    }

    private static byte bcd(short value) {
        return (byte) ((short) (value / 10) << 4 | (short) (value % 10));
    }
}
