package id.betang.purse;

import javacard.framework.ISOException;
import javacard.framework.Util;
import javacard.security.MessageDigest;

/** DEBIT, VOID and CONFIRM (SPEC.md#commands). */
final class Money {
    static final byte BYPASS = 1;

    private static final short DEBIT_AMOUNT = 2;
    private static final short DEBIT_EXPECTED = 6;
    private static final short DEBIT_TERMINAL = 10;
    private static final short DEBIT_BASKET = 18;
    private static final short DEBIT_INTENT = 20;
    private static final short VOID_TERMINAL = 4;
    private static final short VOID_INTENT = 12;
    private static final byte VERIFIED_PIN = 1;
    private static final byte VERIFIED_BYPASS = 2;
    /** Where the receipt's hash waits for the transaction. */
    private static final short HASH = 220;
    private static final byte[] END = {-1, -1, -1, -1};

    private final Card card;
    private final Ram ram;
    private final Store store;
    private final Wallets wallets;
    private final Ring ring;
    private final Signed signed;
    private final MessageDigest sha;

    Money(Card card, Ram ram, Store store, Wallets wallets, Ring ring, Signed signed,
        MessageDigest sha) {
        this.card = card;
        this.ram = ram;
        this.store = store;
        this.wallets = wallets;
        this.ring = ring;
        this.signed = signed;
        this.sha = sha;
    }

    short debit(byte[] a, short at, byte p1) {
        byte[] w = ram.work;
        holder(p1);
        short amount = (short) (at + DEBIT_AMOUNT);
        if (U32.compare(a, (short) (at + DEBIT_EXPECTED), card.v, Card.SEQUENCE) != 0) {
            ISOException.throwIt(Sw.SEQUENCE);
        }
        sequenceLeft((short) 2);
        if (ring.free() < 2) {
            ISOException.throwIt(Sw.RING_FULL);
        }
        short index = wallets.find(a, at);
        if (index < 0) {
            ISOException.throwIt(Sw.WALLET);
        }
        byte bit = (byte) ((short) 1 << index);
        if ((ram.session[Ram.DEBITED] & bit) != 0) {
            ISOException.throwIt(Sw.CONDITIONS);
        }
        wallets.read(index);
        take(a, amount);
        signed.receipt(Signed.DEBIT, p1 == BYPASS ? VERIFIED_BYPASS : VERIFIED_PIN,
            a, (short) (at + DEBIT_BASKET), amount);
        signed.receiptOrder(a, (short) (at + DEBIT_TERMINAL), (short) (at + DEBIT_INTENT));
        if (p1 == BYPASS) {
            Util.setShort(
                w, Signed.RECEIPT_BYPASSES, (short) (card.count(Card.BYPASSES) + 1));
        }
        holder(p1);  // a second look, before anything is written
        if (card.life() != Card.ACTIVE) {
            ISOException.throwIt(Sw.FAULT);
        }
        commit(index, p1 == BYPASS);
        ram.session[Ram.DEBITED] |= bit;
        return Ring.RECEIPT_BYTES;
    }

    /** Not BLOCKED, and a proved PIN or a bypass left. */
    private void holder(byte p1) {
        if (card.flag(Card.BLOCKED)) {
            ISOException.throwIt(Sw.BLOCKED);
        }
        if (p1 == BYPASS) {
            if (Bytes.compare(card.v, Card.BYPASSES, card.v, Card.BYPASS_TOTAL, (short) 2) >= 0) {
                ISOException.throwIt(Sw.NO_BYPASS);
            }
        } else if (!ram.pinOk()) {
            ISOException.throwIt(Sw.SECURITY);
        }
    }

    /** D + amount in the record in work, checked before and again after. */
    private void take(byte[] a, short amount) {
        byte[] w = ram.work;
        short consumed = Ram.SCRATCH;
        short left = (short) (Ram.SCRATCH + 4);
        short loaded = (short) (Ram.RECORD + Wallets.LOADED);
        short debited = (short) (Ram.RECORD + Wallets.DEBITED);
        if (U32.zero(a, amount)) {
            ISOException.throwIt(Sw.DATA);
        }
        if (U32.compare(a, amount, w, (short) (Ram.RECORD + Wallets.CAP)) > 0) {
            ISOException.throwIt(Sw.CAP);
        }
        if (!wallets.consumed(consumed) || U32.subtract(w, loaded, w, consumed, w, left)
            || U32.compare(a, amount, w, left) > 0
            || U32.add(w, debited, a, amount, w, debited)
            || !wallets.consumed(consumed)
            || U32.compare(w, consumed, w, loaded) > 0) {
            ISOException.throwIt(Sw.BALANCE);
        }
        wallets.seal();
        // D less the amount must be the D that memory still holds
        U32.subtract(w, debited, a, amount, w, left);
        short index = wallets.find(w, Ram.RECORD);
        if (index < 0 || U32.compare(w, left, wallets.v,
            (short) (index * Wallets.BYTES + Wallets.DEBITED)) != 0) {
            ISOException.throwIt(Sw.FAULT);
        }
    }

    short voidLatest(byte[] a, short at) {
        byte[] w = ram.work;
        if (U32.compare(a, at, card.v, Card.SEQUENCE) != 0) {
            ISOException.throwIt(Sw.SEQUENCE);
        }
        short latest = ring.find(card.v, Card.SEQUENCE);
        if (latest < 0 || ring.v[(short) (latest + Signed.RECEIPT_KIND)] != Signed.DEBIT
            || !isOurs(latest) || card.flag(Card.CONFIRMED)) {
            ISOException.throwIt(Sw.VOID);
        }
        sequenceLeft((short) 1);
        if (ring.free() < 1) {
            ISOException.throwIt(Sw.RING_FULL);
        }
        short index = wallets.find(ring.v, (short) (latest + Signed.RECEIPT_WALLET));
        if (index < 0) {
            ISOException.throwIt(Sw.FAULT);
        }
        wallets.read(index);
        short amount = (short) (latest + Signed.RECEIPT_AMOUNT);
        short reversed = (short) (Ram.RECORD + Wallets.REVERSED);
        if (U32.add(w, reversed, ring.v, amount, w, reversed)
            || U32.compare(w, reversed, w, (short) (Ram.RECORD + Wallets.DEBITED)) > 0) {
            ISOException.throwIt(Sw.VOID);
        }
        wallets.seal();
        signed.receipt(Signed.REVERSAL, (byte) 0, ring.v,
            (short) (latest + Signed.RECEIPT_BASKET), amount);
        signed.receiptOrder(a, (short) (at + VOID_TERMINAL), (short) (at + VOID_INTENT));
        if (card.flag(Card.CONFIRMED) || card.life() != Card.ACTIVE) {
            ISOException.throwIt(Sw.FAULT);
        }
        commit(index, false);
        return Ring.RECEIPT_BYTES;
    }

    short confirm(byte[] a, short at) {
        short latest = ring.find(card.v, Card.SEQUENCE);
        if (latest < 0 || U32.compare(a, at, card.v, Card.SEQUENCE) != 0 || !isOurs(latest)) {
            ISOException.throwIt(Sw.CONDITIONS);
        }
        if (!card.flag(Card.CONFIRMED)) {
            store.begin();
            card.setFlag(Card.CONFIRMED, true);
            store.commit();
        }
        Util.arrayCopyNonAtomic(a, at, ram.work, (short) 0, U32.SIZE);
        return U32.SIZE;
    }

    /** Whether the receipt names this session's terminal. */
    private boolean isOurs(short receipt) {
        return Bytes.compare(ring.v, (short) (receipt + Signed.RECEIPT_TERMINAL),
            ram.session, Ram.SUBJECT, Card.ID_BYTES) == 0;
    }

    /** Throw 940C unless the sequence is below 2^32 - n. */
    private void sequenceLeft(short n) {
        U32.subtract(END, (short) 0, card.v, Card.SEQUENCE, ram.work, Ram.SCRATCH);
        if (Bytes.zero(ram.work, Ram.SCRATCH, (short) 3)
            && (short) (ram.work[(short) (Ram.SCRATCH + 3)] & 0xFF) < n) {
            ISOException.throwIt(Sw.EXHAUSTED);
        }
    }

    /** Sign, write the body to the next slot, then everything that makes it count, at once. */
    private void commit(short index, boolean bypass) {
        byte[] w = ram.work;
        signed.signReceipt();
        ring.putNext();
        sha.doFinal(w, (short) 0, Signed.RECEIPT_BODY, w, HASH);
        U32.next(card.v, Card.SEQUENCE, w, Ram.SCRATCH);
        store.begin();
        wallets.write(index);
        card.set(Card.SEQUENCE, w, Ram.SCRATCH, U32.SIZE);
        card.set(Card.HEAD, w, HASH, Card.HASH_BYTES);
        card.setFlag(Card.CONFIRMED, false);
        if (bypass) {
            card.setCount(Card.BYPASSES, (short) (card.count(Card.BYPASSES) + 1));
        }
        store.commit();
    }
}
