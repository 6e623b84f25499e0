package id.betang.purse;

import javacard.framework.ISOException;
import javacard.framework.Util;

/** LOAD: the issuer says "L of this wallet is now x" (docs/wire.md#entitlement). */
final class Loading {
    private static final short CARD_ID = 5;
    private static final short CERTIFICATE_HASH = 13;
    private static final short WALLET = 29;
    private static final short SEQUENCE = 33;
    private static final short LOADED = 37;
    private static final short LOT_COUNT = 41;
    private static final short LOTS = 42;
    private static final short FORFEITED_THROUGH = 74;
    private static final short CAP = 78;
    private static final short ISSUED = 82;
    private static final short ACKNOWLEDGED = 86;
    private static final short SETTLED_DEBITED = 90;
    private static final short SETTLED_REVERSED = 94;
    private static final short BYPASS_TOTAL = 98;
    private static final short KEY_VERSION = 100;
    private static final short BODY = 102;
    private static final short LOT_BYTES = 8;

    private final Card card;
    private final Ram ram;
    private final Store store;
    private final Trust trust;
    private final Wallets wallets;
    private final Bodies bodies;
    private final Signed signed;

    Loading(Card card, Ram ram, Store store, Trust trust, Wallets wallets, Bodies bodies,
        Signed signed) {
        this.card = card;
        this.ram = ram;
        this.store = store;
        this.trust = trust;
        this.wallets = wallets;
        this.bodies = bodies;
        this.signed = signed;
    }

    short load(byte[] a, short at) {
        if (!parses(a, at) || !isForThisCard(a, at)) {
            ISOException.throwIt(Sw.DATA);
        }
        trust.fromIssuer(a, at, BODY, KEY_VERSION, ISSUED);
        if (U32.compare(a, (short) (at + ACKNOWLEDGED), card.v, Card.SEQUENCE) > 0) {
            ISOException.throwIt(Sw.ACKNOWLEDGED);
        }
        short index = wallets.find(a, (short) (at + WALLET));
        if (index >= 0) {
            wallets.read(index);
            short order = U32.compare(a, (short) (at + SEQUENCE),
                ram.work, (short) (Ram.RECORD + Wallets.SEQUENCE));
            if (order <= 0) {
                return again(a, at, order);
            }
        } else {
            index = wallets.count();
            if (index >= Wallets.MAX) {
                ISOException.throwIt(Sw.NO_SPACE);
            }
            wallets.blank();
        }
        take(a, at);
        ram.work[(short) (Ram.RECORD + Wallets.SLOT)] = bodies.putEntitlement(a, at);
        answer();
        signed.statementDate(a, (short) (at + ISSUED));
        signed.signStatement();
        commit(a, at, index);
        return Bodies.STATEMENT_BYTES;
    }

    /** A sequence the wallet has already: the same body is answered, nothing is written. */
    private short again(byte[] a, short at, short order) {
        if (order < 0) {
            ISOException.throwIt(Sw.NOT_NEWER);
        }
        short stored = Bodies.entitlement(ram.work[(short) (Ram.RECORD + Wallets.SLOT)]);
        if (Bytes.compare(a, at, bodies.entitlements, stored, BODY) != 0) {
            ISOException.throwIt(Sw.DIFFERS);
        }
        answer();
        signed.signStatement();
        return Bodies.STATEMENT_BYTES;
    }

    private void answer() {
        signed.statement(Signed.LOAD);
        signed.statementWallet();
    }

    /** The record in work as this entitlement leaves it: F += max(0, C - (D - R + F)), L := max. */
    private void take(byte[] a, short at) {
        byte[] w = ram.work;
        short consumed = Ram.SCRATCH;
        short lacking = (short) (Ram.SCRATCH + 4);
        short through = (short) (at + FORFEITED_THROUGH);
        short loaded = (short) (Ram.RECORD + Wallets.LOADED);
        short forfeited = (short) (Ram.RECORD + Wallets.FORFEITED);
        Util.arrayCopyNonAtomic(a, (short) (at + WALLET), w, Ram.RECORD, (short) 2);
        Util.arrayCopyNonAtomic(a, (short) (at + SEQUENCE),
            w, (short) (Ram.RECORD + Wallets.SEQUENCE), U32.SIZE);
        Util.arrayCopyNonAtomic(a, (short) (at + CAP),
            w, (short) (Ram.RECORD + Wallets.CAP), U32.SIZE);
        boolean good = wallets.consumed(consumed);
        if (good && U32.compare(a, through, w, consumed) > 0) {
            U32.subtract(a, through, w, consumed, w, lacking);
            good = !U32.add(w, forfeited, w, lacking, w, forfeited);
        }
        if (U32.compare(a, (short) (at + LOADED), w, loaded) > 0) {
            Util.arrayCopyNonAtomic(a, (short) (at + LOADED), w, loaded, U32.SIZE);
        }
        good &= wallets.consumed(consumed) && U32.compare(w, consumed, w, loaded) <= 0;
        if (!good) {
            ISOException.throwIt(Sw.DATA);
        }
        wallets.seal();
    }

    private void commit(byte[] a, short at, short index) {
        short acknowledged = (short) (at + ACKNOWLEDGED);
        short total = (short) (at + BYPASS_TOTAL);
        store.begin();
        wallets.write(index);
        if (index == wallets.count()) {
            card.set(Card.WALLETS, (byte) (index + 1));
        }
        if (U32.compare(a, acknowledged, card.v, Card.ACKNOWLEDGED) > 0) {
            card.set(Card.ACKNOWLEDGED, a, acknowledged, U32.SIZE);
        }
        if (Bytes.compare(a, total, card.v, Card.BYPASS_TOTAL, (short) 2) > 0) {
            card.set(Card.BYPASS_TOTAL, a, total, (short) 2);
        }
        card.moveDate(a, (short) (at + ISSUED));
        store.commit();
    }

    private boolean isForThisCard(byte[] a, short at) {
        return Bytes.compare(
                a, (short) (at + CARD_ID), card.v, Card.ID, Card.ID_BYTES) == 0
            && Bytes.compare(a, (short) (at + CERTIFICATE_HASH), card.v, Card.CERTIFICATE_HASH,
                Card.CERTIFICATE_HASH_BYTES) == 0;
    }

    /** Every rule of an entitlement that needs no other object. */
    private boolean parses(byte[] a, short at) {
        byte[] w = ram.work;
        short loaded = (short) (at + LOADED);
        short debited = (short) (at + SETTLED_DEBITED);
        short reversed = (short) (at + SETTLED_REVERSED);
        return isDomain(a, at, (byte) 0x45, card.env)
            && !Bytes.zero(a, (short) (at + WALLET), (short) 2)
            && !U32.zero(a, (short) (at + SEQUENCE))
            && a[loaded] >= 0
            && U32.compare(a, (short) (at + FORFEITED_THROUGH), a, loaded) <= 0
            && !U32.subtract(a, debited, a, reversed, w, Ram.SCRATCH)
            && U32.compare(w, Ram.SCRATCH, a, loaded) <= 0
            && Dates.valid(a, (short) (at + ISSUED))
            && lots(a, (short) (at + LOTS), a[(short) (at + LOT_COUNT)], loaded);
    }

    /** 1 to 4 lots, ends strictly rising to L, expiries not falling, what is unused zero. */
    private static boolean lots(byte[] a, short at, byte count, short loaded) {
        if (count < 1 || count > 4) {
            return false;
        }
        short used = (short) (count * LOT_BYTES);
        short last = (short) (at + used - LOT_BYTES);
        boolean good = Bytes.zero(a, (short) (at + used), (short) (4 * LOT_BYTES - used))
            && U32.compare(a, (short) (last + 4), a, loaded) == 0;
        for (short lot = at; lot < last; lot = (short) (lot + LOT_BYTES)) {
            short next = (short) (lot + LOT_BYTES);
            good &= U32.compare(a, lot, a, next) <= 0
                && U32.compare(a, (short) (lot + 4), a, (short) (next + 4)) < 0;
        }
        return good;
    }

    /** "BT", the type, version 01, the card's environment. */
    static boolean isDomain(byte[] a, short at, byte type, byte env) {
        return a[at] == 0x42 && a[(short) (at + 1)] == 0x54 && a[(short) (at + 2)] == type
            && a[(short) (at + 3)] == 0x01 && a[(short) (at + 4)] == env;
    }
}
