package id.betang.purse;

import javacard.framework.ISOException;

/** Comparisons whose time does not depend on the data, and flags that one flipped bit spoils. */
final class Bytes {
    /** A flag that is set; 0 is not set, anything else a fault. */
    static final byte YES = (byte) 0x5A;

    private Bytes() {
    }

    /** Whether n bytes agree; every byte is looked at, twice. */
    static boolean same(byte[] a, short at, byte[] b, short bt, short n) {
        short difference = 0;
        short seen = 0;
        for (short i = 0; i < n; i++) {
            difference |= (short) (a[(short) (at + i)] ^ b[(short) (bt + i)]);
            seen++;
        }
        if (seen != n) {
            ISOException.throwIt(Sw.FAULT);
        }
        short again = 0;
        for (short i = (short) (n - 1); i >= 0; i--) {
            again |= (short) (a[(short) (at + i)] ^ b[(short) (bt + i)]);
        }
        if (difference != again) {
            ISOException.throwIt(Sw.FAULT);
        }
        return difference == 0;
    }

    /** Whether n bytes are all zero. */
    static boolean zero(byte[] a, short at, short n) {
        short found = 0;
        for (short i = 0; i < n; i++) {
            found |= (short) a[(short) (at + i)];
        }
        return found == 0;
    }

    /** Unsigned: -1, 0 or 1 as a is below, equal to or above b. For values that are no secret. */
    static short compare(byte[] a, short at, byte[] b, short bt, short n) {
        for (short i = 0; i < n; i++) {
            short x = (short) (a[(short) (at + i)] & 0xFF);
            short y = (short) (b[(short) (bt + i)] & 0xFF);
            if (x != y) {
                return x < y ? (short) -1 : (short) 1;
            }
        }
        return 0;
    }

    /** Throw FAULT unless {@code b} is the complement of {@code a} over n bytes. */
    static void complementary(byte[] a, short at, byte[] b, short bt, short n) {
        short wrong = 0;
        for (short i = 0; i < n; i++) {
            wrong |= (short) ((byte) (a[(short) (at + i)] ^ b[(short) (bt + i)]) ^ (byte) 0xFF);
        }
        if (wrong != 0) {
            ISOException.throwIt(Sw.FAULT);
        }
    }

    /** Write the complement of n bytes. */
    static void complement(byte[] a, short at, byte[] to, short tt, short n) {
        for (short i = 0; i < n; i++) {
            to[(short) (tt + i)] = (byte) (a[(short) (at + i)] ^ 0xFF);
        }
    }
}
