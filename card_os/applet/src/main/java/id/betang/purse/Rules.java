package id.betang.purse;

import javacard.framework.ISOException;

/** Roles, life states, P1/P2 and lengths of every protected command, as data (SPEC.md#roles). */
final class Rules {
    static final byte READ = 0x30;
    static final byte LOAD = 0x32;
    static final byte SCRIPT = 0x34;
    static final byte VERIFY = 0x20;
    static final byte CHANGE_PIN = 0x24;
    static final byte ACTIVATE = 0x36;
    static final byte DEBIT = 0x38;
    static final byte VOID = 0x3A;
    static final byte CONFIRM = 0x3C;
    static final byte PERSONALISE = 0x3E;

    // Bit n - 1: role n; bit n - 1: life n
    private static final byte T = 1;
    private static final byte S = 2;
    private static final byte H = 4;
    private static final byte P = 8;
    private static final byte ANY = 15;
    private static final byte KEYED = 2;
    private static final byte INERT = 4;
    private static final byte ACTIVE = 8;
    private static final byte ISSUED = 12;
    private static final byte SESSION = 14;

    /** INS, P1, P2 from, P2 to, roles, lives, least and most data. */
    private static final byte[] TABLE = {
        READ, 0, 0, 0, ANY, SESSION, 0, 0,
        READ, 1, 0, (byte) 0xFF, ANY, ISSUED, 0, 0,
        READ, 2, 0, 0, ANY, ISSUED, 4, 4,
        READ, 3, 0, 0, ANY, ISSUED, 0, 0,
        READ, 4, 0, 0, ANY, ISSUED, 0, 0,
        LOAD, 0, 0, 0, ANY, ISSUED, (byte) 166, (byte) 166,
        SCRIPT, 0, 0, 0, ANY, ISSUED, 90, 90,
        VERIFY, 0, (byte) 0x80, (byte) 0x80, T, ACTIVE, 6, 6,
        CHANGE_PIN, 0, (byte) 0x80, (byte) 0x80, T, ACTIVE, 12, 12,
        ACTIVATE, 0, 0, 0, H, INERT, 14, 14,
        ACTIVATE, 1, 0, 0, H, ISSUED, 6, 6,
        DEBIT, 0, 0, 0, T, ACTIVE, 52, 52,
        DEBIT, 1, 0, 0, S, ACTIVE, 52, 52,
        VOID, 0, 0, 0, S, ACTIVE, 44, 44,
        CONFIRM, 0, 0, 0, T + S, ISSUED, 4, 4,
        PERSONALISE, 0, 0, 0, P, KEYED, 9, (byte) 239,
    };
    private static final short ROW = 8;

    private Rules() {
    }

    /** Whether it is a protected command's INS. */
    static boolean known(byte ins) {
        for (short at = 0; at < (short) TABLE.length; at = (short) (at + ROW)) {
            if (TABLE[at] == ins) {
                return true;
            }
        }
        return false;
    }

    /** Role (6982), P1/P2 (6A86), life (6985 or 9405), length (6700), in this order. */
    static void check(byte ins, byte p1, byte p2, byte role, byte life, short n) {
        short row = -1;
        byte roles = 0;
        for (short at = 0; at < (short) TABLE.length; at = (short) (at + ROW)) {
            if (TABLE[at] == ins) {
                roles |= TABLE[(short) (at + 4)];
                if (TABLE[(short) (at + 1)] == p1) {
                    row = at;
                }
            }
        }
        if (row >= 0) {
            roles = TABLE[(short) (row + 4)];
        }
        if ((roles & (byte) ((short) 1 << (short) (role - 1))) == 0) {
            ISOException.throwIt(Sw.SECURITY);
        }
        if (row < 0 || !within(p2, row, (short) 2)) {
            ISOException.throwIt(Sw.P1P2);
        }
        if ((TABLE[(short) (row + 5)] & (byte) ((short) 1 << (short) (life - 1))) == 0) {
            boolean inert = ins == DEBIT || ins == VERIFY || ins == CHANGE_PIN;
            ISOException.throwIt(inert ? Sw.INERT : Sw.CONDITIONS);
        }
        if (!within((byte) n, row, (short) 6)) {
            ISOException.throwIt(Sw.LENGTH);
        }
    }

    private static boolean within(byte value, short row, short column) {
        short low = (short) (TABLE[(short) (row + column)] & 0xFF);
        short high = (short) (TABLE[(short) (row + column + 1)] & 0xFF);
        short given = (short) (value & 0xFF);
        return given >= low && given <= high;
    }
}
