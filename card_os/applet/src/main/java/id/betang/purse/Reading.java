package id.betang.purse;

import javacard.framework.ISOException;
import javacard.framework.Util;

/** READ (SPEC.md#read): state, entitlements, receipts, statements, each to the work buffer. */
final class Reading {
    private static final short STATE_BYTES = 43;

    private final Card card;
    private final Ram ram;
    private final Store store;
    private final Wallets wallets;
    private final Ring ring;
    private final Bodies bodies;
    private final Pins pins;

    Reading(Card card, Ram ram, Store store, Wallets wallets, Ring ring, Bodies bodies, Pins pins) {
        this.card = card;
        this.ram = ram;
        this.store = store;
        this.wallets = wallets;
        this.ring = ring;
        this.bodies = bodies;
        this.pins = pins;
    }

    /** Both identities and every counter; commits own date and certificate cache first. */
    short state() {
        commitCertificate();
        byte[] w = ram.work;
        byte[] v = card.v;
        Util.arrayCopyNonAtomic(v, Card.ID, w, (short) 0, Card.ID_BYTES);
        Util.arrayCopyNonAtomic(ram.session, Ram.SUBJECT, w, (short) 8, Card.ID_BYTES);
        w[16] = card.life();
        w[17] = v[Card.FLAGS];
        Util.arrayCopyNonAtomic(v, Card.SEQUENCE, w, (short) 18, Card.COUNTS_BYTES);
        w[36] = pins.tries();
        w[37] = v[Card.UNBLOCKS];
        Util.arrayCopyNonAtomic(v, Card.DATE, w, (short) 38, Dates.SIZE);
        w[42] = (byte) wallets.count();
        short to = STATE_BYTES;
        for (short i = 0; i < wallets.count(); i++) {
            short from = (short) (i * Wallets.BYTES);
            Util.arrayCopyNonAtomic(wallets.v, from, w, to, Wallets.SHOWN_BYTES);
            to = (short) (to + Wallets.SHOWN_BYTES);
        }
        ram.session[Ram.STATE_READ] = Bytes.YES;
        return to;
    }

    private void commitCertificate() {
        byte[] s = ram.session;
        boolean later = card.isLater(s, Ram.EFFECTIVE);
        boolean other = Bytes.compare(s, Ram.DIGEST, card.v, Card.CACHE, Card.HASH_BYTES) != 0;
        if (later || other) {
            store.begin();
            card.moveDate(s, Ram.EFFECTIVE);
            card.set(Card.CACHE, s, Ram.DIGEST, Card.HASH_BYTES);
            store.commit();
        }
    }

    /** The entitlement in force of the wallet at that index. */
    short entitlement(byte p2) {
        short index = (short) (p2 & 0xFF);
        if (index >= wallets.count()) {
            ISOException.throwIt(Sw.NOT_FOUND);
        }
        byte slot = wallets.v[(short) (index * Wallets.BYTES + Wallets.SLOT)];
        return answer(bodies.entitlements, Bodies.entitlement(slot), Bodies.ENTITLEMENT_BYTES);
    }

    short receipt(byte[] a, short at) {
        short found = ring.find(a, at);
        if (found < 0) {
            ISOException.throwIt(Sw.NOT_FOUND);
        }
        return answer(ring.v, found, Ring.RECEIPT_BYTES);
    }

    /** The newest statement that the index at {@code at} of the card refers to. */
    short statement(short at) {
        byte slot = card.v[at];
        if (slot == Card.NONE) {
            ISOException.throwIt(Sw.NOT_FOUND);
        }
        return answer(bodies.statements, Bodies.statement(slot), Bodies.STATEMENT_BYTES);
    }

    private short answer(byte[] from, short at, short n) {
        Util.arrayCopyNonAtomic(from, at, ram.work, (short) 0, n);
        return n;
    }
}
