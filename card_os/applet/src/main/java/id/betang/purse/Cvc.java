package id.betang.purse;

/**
 * A CV certificate (docs/wire.md#cvc). Every field has one length and one place, so each of the three
 * kinds has one encoding: reading is comparing, and nothing is counted.
 */
final class Cvc {
    // Kinds: the letter in the issuer's CA id (T, C, R), and I of a link's subject
    static final byte MALFORMED = 0;
    static final byte TERMINAL = 0x54;
    static final byte CARD = 0x43;
    static final byte LINK = 0x52;
    static final byte ISSUER = 0x49;

    static final byte[] DEMO = {0x44, 0x45, 0x4D, 0x4F};
    static final byte[] KHBS = {0x4B, 0x48, 0x42, 0x53};

    static final short MAX_BYTES = 250;
    static final short SIGNED = 4;
    static final short SERIAL = 6;
    static final short ISSUER_KIND = 16;
    static final short ISSUER_VERSION = 18;
    static final short SUBJECT = 23;
    static final short SUBJECT_KIND = 27;
    static final short SUBJECT_VERSION = 29;
    static final short EFFECTIVE = 37;
    static final short EXPIRES = 44;
    static final short ENVIRONMENT = 52;
    static final short ROLE = 55;
    static final short OFFICER = 58;
    static final short RECEIPT_KEY = 55;
    static final short LOWEST_KEPT = 55;
    static final short STEP_BACK = 59;

    /** Tags and lengths before tag 73's content; 00 stands for a byte of a value. */
    private static final byte[] HEAD = {
        0x7F, 0x21, (byte) 0x81, 0, (byte) 0x93, 4, 0, 0, 0, 0, 0x42, 8, 0, 0, 0, 0, 0, 0, 0, 0,
        0x5F, 0x20, 8, 0, 0, 0, 0, 0, 0, 0, 0, (byte) 0x95, 1, 0, 0x5F, 0x25, 4, 0, 0, 0, 0,
        0x5F, 0x24, 4, 0, 0, 0, 0, 0x73, 0, (byte) 0xC0, 1};
    private static final short HEAD_BYTES = 52;
    private static final byte[] KEY = {0x7F, 0x49, 0x46, (byte) 0xB0, 0x41};
    private static final byte[] TAIL = {(byte) 0xF0, 0x01, 0x00, 0x5F, 0x37, 0x40};
    private static final short EXTENSION_LENGTH = 49;
    private static final short EXTENSION = 50;

    private Cvc() {
    }

    /** The kind of n bytes at {@code at}, when every rule that needs no other object holds. */
    static byte parse(byte[] a, short at, short n, Card card) {
        byte kind = kind(a, at, n);
        if (kind == MALFORMED) {
            return MALFORMED;
        }
        for (short i = 0; i < HEAD_BYTES; i++) {
            byte want = HEAD[i];
            if (want != 0 && a[(short) (at + i)] != want) {
                return MALFORMED;
            }
        }
        short key = (short) (at + key(kind) - 5);
        short tail = (short) (key + 70);
        boolean good = a[(short) (at + 3)] == (byte) (n - SIGNED)
            && a[(short) (at + 12 + 5)] == 0
            && card.isMark(a, (short) (at + 12))
            && a[(short) (at + ISSUER_KIND)] == kind
            && a[(short) (at + 33)] == (kind == LINK ? (byte) 0x82 : (byte) 0x80)
            && a[(short) (at + ENVIRONMENT)] == card.env
            && Dates.valid(a, (short) (at + EFFECTIVE))
            && Dates.valid(a, (short) (at + EXPIRES))
            && Dates.compare(a, (short) (at + EFFECTIVE), a, (short) (at + EXPIRES)) <= 0
            && Bytes.compare(a, key, KEY, (short) 0, (short) 5) == 0
            && Bytes.compare(a, tail, TAIL, (short) 0, (short) 6) == 0
            && extension(a, at, kind);
        return good ? kind : MALFORMED;
    }

    /** Where the public key's 65 bytes begin. */
    static short key(byte kind) {
        return (short) (EXTENSION + extensionBytes(kind) + 5);
    }

    /** How many bytes from SIGNED are signed. */
    static short signedBytes(byte kind) {
        return (short) (key(kind) + 68 - SIGNED);
    }

    /** Where the signature begins. */
    static short signature(byte kind) {
        return (short) (key(kind) + 71);
    }

    private static byte kind(byte[] a, short at, short n) {
        if (n == 202) {
            return TERMINAL;
        }
        if (n == 228) {
            return CARD;
        }
        return n == 200 ? LINK : MALFORMED;
    }

    private static short extensionBytes(byte kind) {
        if (kind == TERMINAL) {
            return 12;
        }
        return kind == CARD ? (short) 38 : (short) 10;
    }

    private static boolean extension(byte[] a, short at, byte kind) {
        short x = (short) (at + ENVIRONMENT + 1);
        if (a[(short) (at + EXTENSION_LENGTH)] != (byte) extensionBytes(kind)) {
            return false;
        }
        if (kind == TERMINAL) {
            byte role = a[(short) (at + ROLE)];
            return a[x] == (byte) 0xC1 && a[(short) (x + 1)] == 1 && role >= 1 && role <= 4
                && a[(short) (x + 3)] == (byte) 0xC2 && a[(short) (x + 4)] == 4;
        }
        if (kind == CARD) {
            return a[x] == (byte) 0xC3 && a[(short) (x + 1)] == 33;
        }
        byte back = a[(short) (at + STEP_BACK)];
        return a[x] == (byte) 0xC4 && a[(short) (x + 1)] == 2 && a[(short) (x + 4)] == (byte) 0xC5
            && a[(short) (x + 5)] == 1 && (back == 0 || back == 1);
    }
}
