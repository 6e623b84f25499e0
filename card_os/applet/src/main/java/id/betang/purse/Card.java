package id.betang.purse;

import javacard.framework.ISOException;
import javacard.framework.Util;

/** Every small persistent value of the card; SEQUENCE to BYPASS_TOTAL stand as in STATE. */
final class Card {
    static final byte INSTALLED = 1;
    static final byte KEYED = 2;
    static final byte INERT = 3;
    static final byte ACTIVE = 4;

    static final byte BLOCKED = 1;
    static final byte RESET_PENDING = 2;
    static final byte CONFIRMED = 4;

    /** An index that refers to nothing. */
    static final byte NONE = (byte) 0xFF;

    static final short LIFE = 0;
    static final short LIFE_NOT = 1;
    static final short FLAGS = 2;
    static final short FLAGS_NOT = 3;
    static final short ID = 4;
    static final short SEQUENCE = 12;
    static final short ACKNOWLEDGED = 16;
    static final short SCRIPT_NUMBER = 20;
    static final short SCRIPT_COUNT = 22;
    static final short PIN_SETS = 24;
    static final short BYPASSES = 26;
    static final short BYPASS_TOTAL = 28;
    static final short RESET_OFFICER = 30;
    static final short DATE = 34;
    static final short HEAD = 38;
    static final short CACHE = 70;
    static final short KEY_SET = 102;
    static final short PIN_STATEMENT = 103;
    static final short SCRIPT_STATEMENT = 104;
    static final short WALLETS = 105;
    static final short UNBLOCKS = 106;
    static final short CERTIFICATE_HASH = 107;
    static final short BYTES = 123;

    static final short ID_BYTES = 8;
    static final short COUNTS_BYTES = 18;
    static final short HASH_BYTES = 32;
    static final short CERTIFICATE_HASH_BYTES = 16;

    private static final byte[] FIRST_DAY = {0x20, 0x00, 0x01, 0x01};
    private static final byte[] ZEROS = {
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0};

    final byte[] v;
    final byte env;
    private final Store store;

    Card(Store store, byte env) {
        this.store = store;
        this.env = env;
        v = store.array(BYTES);
        v[LIFE] = INSTALLED;
        v[LIFE_NOT] = (byte) ~INSTALLED;
        v[FLAGS_NOT] = (byte) 0xFF;
        v[KEY_SET] = NONE;
        v[PIN_STATEMENT] = NONE;
        v[SCRIPT_STATEMENT] = NONE;
        Util.arrayCopyNonAtomic(FIRST_DAY, (short) 0, v, DATE, Dates.SIZE);
    }

    /** The life state; FAULT unless its two encodings agree. */
    byte life() {
        Bytes.complementary(v, LIFE, v, LIFE_NOT, (short) 1);
        byte life = v[LIFE];
        if (life < INSTALLED || life > ACTIVE) {
            ISOException.throwIt(Sw.FAULT);
        }
        return life;
    }

    void setLife(byte life) {
        store.put(v, LIFE, life);
        store.put(v, LIFE_NOT, (byte) (life ^ 0xFF));
    }

    boolean personalised() {
        return life() >= INERT;
    }

    boolean flag(byte bit) {
        Bytes.complementary(v, FLAGS, v, FLAGS_NOT, (short) 1);
        return (v[FLAGS] & bit) != 0;
    }

    void setFlag(byte bit, boolean on) {
        byte flags = on ? (byte) (v[FLAGS] | bit) : (byte) (v[FLAGS] & ~bit);
        store.put(v, FLAGS, flags);
        store.put(v, FLAGS_NOT, (byte) (flags ^ 0xFF));
    }

    short count(short at) {
        return Util.getShort(v, at);
    }

    void setCount(short at, short value) {
        store.putShort(v, at, value);
    }

    void set(short at, byte value) {
        store.put(v, at, value);
    }

    void set(short at, byte[] from, short ft, short n) {
        store.put(v, at, from, ft, n);
    }

    /** n zeros, at most 32. */
    void clear(short at, short n) {
        store.put(v, at, ZEROS, (short) 0, n);
    }

    /** Whether that date is later than the card's own. */
    boolean isLater(byte[] date, short at) {
        return Dates.compare(date, at, v, DATE) > 0;
    }

    /** The own date moves forward only. */
    void moveDate(byte[] date, short at) {
        if (isLater(date, at)) {
            set(DATE, date, at, Dates.SIZE);
        }
    }

    /** Unacknowledged receipts: sequence - acknowledged, at most 32. */
    short unacknowledged(byte[] scratch, short at) {
        U32.subtract(v, SEQUENCE, v, ACKNOWLEDGED, scratch, at);
        short n = (short) (scratch[(short) (at + 3)] & 0xFF);
        if (!Bytes.zero(scratch, at, (short) 3) || n > Ring.SLOTS) {
            ISOException.throwIt(Sw.FAULT);
        }
        return n;
    }

    /** The environment's mark: DEMO or KHBS, four bytes. */
    boolean isMark(byte[] a, short at) {
        byte[] mark = env < 0 ? Cvc.DEMO : Cvc.KHBS;
        return Bytes.compare(a, at, mark, (short) 0, (short) 4) == 0;
    }
}
