package id.betang.purse;

/** Unsigned 32-bit numbers as four bytes, big-endian; the platform need not know int. */
final class U32 {
    static final short SIZE = 4;

    private U32() {
    }

    /** -1, 0 or 1 as a is below, equal to or above b. */
    static short compare(byte[] a, short at, byte[] b, short bt) {
        return Bytes.compare(a, at, b, bt, SIZE);
    }

    /** Whether it is 0. */
    static boolean zero(byte[] a, short at) {
        return Bytes.zero(a, at, SIZE);
    }

    /** to := a + b; true when it carried (then {@code to} is the sum without the carry). */
    static boolean add(byte[] a, short at, byte[] b, short bt, byte[] to, short tt) {
        short carry = 0;
        for (short i = 3; i >= 0; i--) {
            carry = (short) (carry + (a[(short) (at + i)] & 0xFF) + (b[(short) (bt + i)] & 0xFF));
            to[(short) (tt + i)] = (byte) carry;
            carry = (short) ((carry >> 8) & 0xFF);
        }
        return carry != 0;
    }

    /** to := a - b; true when it borrowed. */
    static boolean subtract(byte[] a, short at, byte[] b, short bt, byte[] to, short tt) {
        short borrow = 0;
        for (short i = 3; i >= 0; i--) {
            borrow = (short) ((a[(short) (at + i)] & 0xFF) - (b[(short) (bt + i)] & 0xFF) - borrow);
            to[(short) (tt + i)] = (byte) borrow;
            borrow = (short) ((borrow >> 8) & 0x01);
        }
        return borrow != 0;
    }

    /** to := a + 1; true when it carried. */
    static boolean next(byte[] a, short at, byte[] to, short tt) {
        short carry = 1;
        for (short i = 3; i >= 0; i--) {
            carry = (short) (carry + (a[(short) (at + i)] & 0xFF));
            to[(short) (tt + i)] = (byte) carry;
            carry = (short) ((carry >> 8) & 0xFF);
        }
        return carry != 0;
    }
}
