package id.betang.purse;

import javacard.framework.Util;

/**
 * The wallets' records: as STATE shows them (code, entitlement sequence, L, D, F, R), then cap, bulk
 * slot of the entitlement in force, and the complement of the four counters.
 */
final class Wallets {
    static final short MAX = 8;
    static final short CODE = 0;
    static final short SEQUENCE = 2;
    static final short LOADED = 6;
    static final short DEBITED = 10;
    static final short FORFEITED = 14;
    static final short REVERSED = 18;
    static final short CAP = 22;
    static final short SLOT = 26;
    static final short COUNTERS_NOT = 27;
    static final short BYTES = 43;
    static final short SHOWN_BYTES = 22;
    static final short COUNTERS_BYTES = 16;

    final byte[] v;
    private final Card card;
    private final Ram ram;
    private final Store store;

    Wallets(Card card, Ram ram, Store store) {
        this.card = card;
        this.ram = ram;
        this.store = store;
        v = store.array((short) (MAX * BYTES));
    }

    short count() {
        return card.v[Card.WALLETS];
    }

    /** The index of a wallet code, -1 when there is none. */
    short find(byte[] a, short at) {
        for (short i = 0; i < count(); i++) {
            if (Bytes.compare(v, (short) (i * BYTES), a, at, (short) 2) == 0) {
                return i;
            }
        }
        return -1;
    }

    /** Copy a record to the work buffer; FAULT when a counter and its complement differ. */
    void read(short index) {
        short at = (short) (index * BYTES);
        Util.arrayCopyNonAtomic(v, at, ram.work, Ram.RECORD, BYTES);
        check();
    }

    /** A record of a new wallet in the work buffer. */
    void blank() {
        Util.arrayFillNonAtomic(ram.work, Ram.RECORD, BYTES, (byte) 0);
    }

    /** Give the counters of the record in work their complement. */
    void seal() {
        Bytes.complement(ram.work, (short) (Ram.RECORD + LOADED),
            ram.work, (short) (Ram.RECORD + COUNTERS_NOT), COUNTERS_BYTES);
    }

    /** FAULT unless the counters of the record in work and their complement agree. */
    void check() {
        Bytes.complementary(ram.work, (short) (Ram.RECORD + LOADED),
            ram.work, (short) (Ram.RECORD + COUNTERS_NOT), COUNTERS_BYTES);
    }

    /** Write the record in work, within a transaction. */
    void write(short index) {
        check();
        store.put(v, (short) (index * BYTES), ram.work, Ram.RECORD, BYTES);
    }

    /** to := D - R + F of the record in work; false when it borrows or carries. */
    boolean consumed(short to) {
        byte[] w = ram.work;
        return !U32.subtract(w, (short) (Ram.RECORD + DEBITED), w, (short) (Ram.RECORD + REVERSED),
            w, to) && !U32.add(w, to, w, (short) (Ram.RECORD + FORFEITED), w, to);
    }
}
