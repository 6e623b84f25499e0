package id.betang.purse;

import javacard.framework.ISOException;

/** The 32 receipts the card keeps; nothing that is not acknowledged is ever overwritten. */
final class Ring {
    static final short SLOTS = 32;
    static final short RECEIPT_BYTES = 210;

    final byte[] v;
    private final Card card;
    private final Ram ram;
    private final Store store;

    Ring(Card card, Ram ram, Store store) {
        this.card = card;
        this.ram = ram;
        this.store = store;
        v = store.array((short) (SLOTS * RECEIPT_BYTES));
    }

    /** Slots whose receipt is acknowledged, or that never held one. */
    short free() {
        return (short) (SLOTS - card.unacknowledged(ram.work, Ram.SCRATCH));
    }

    /** Where the receipt of that sequence begins, -1 when it is not shown (SPEC.md#read). */
    short find(byte[] a, short at) {
        byte[] w = ram.work;
        if (U32.zero(a, at) || U32.subtract(card.v, Card.SEQUENCE, a, at, w, Ram.SCRATCH)
            || !Bytes.zero(w, Ram.SCRATCH, (short) 3)) {
            return -1;
        }
        short age = (short) (w[(short) (Ram.SCRATCH + 3)] & 0xFF);
        if (age >= SLOTS
            || (age == SLOTS - 1 && U32.compare(a, at, card.v, Card.ACKNOWLEDGED) <= 0)) {
            return -1;
        }
        return slot((short) (a[(short) (at + 3)] - 1));
    }

    /** Write the next receipt, in work[0], into the slot it will have. */
    void putNext() {
        if (free() < 1) {
            ISOException.throwIt(Sw.FAULT);
        }
        short next = slot(card.v[(short) (Card.SEQUENCE + 3)]);
        store.bulk(v, next, ram.work, (short) 0, RECEIPT_BYTES);
    }

    private static short slot(short sequence) {
        return (short) ((short) (sequence & 0x1F) * RECEIPT_BYTES);
    }
}
