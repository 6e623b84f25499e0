package id.betang.purse;

import javacard.framework.ISOException;
import javacard.framework.Util;
import javacard.security.ECPublicKey;
import javacard.security.MessageDigest;

/**
 * Whom the card believes (SPEC.md#trust-on-the-card): the root, two slots each for terminal CA and
 * issuer, links, and the date rule.
 *
 * <p>Five key objects stand behind four slots: a link's key goes to the one that no slot names, the
 * transaction then names it, and verifying writes nothing.
 */
final class Trust {
    private static final short SLOT_BYTES = 3;
    private static final short SLOTS = 4;
    private static final short HIGHEST = 12;
    private static final short DATA_BYTES = 16;
    private static final short KEYS = 5;
    /** Both kinds have two slots: T at 0 and 1, I at 2 and 3. */
    private static final short PER_KIND = 2;

    private final Card card;
    private final Ram ram;
    private final Store store;
    private final Ecdsa ecdsa;
    private final MessageDigest sha;
    private final byte[] v;
    private final ECPublicKey[] keys;
    private final ECPublicKey root;

    Trust(Card card, Ram ram, Store store, Ecdsa ecdsa, MessageDigest sha, byte[] a, short rootAt) {
        this.card = card;
        this.ram = ram;
        this.store = store;
        this.ecdsa = ecdsa;
        this.sha = sha;
        v = store.array(DATA_BYTES);
        keys = new ECPublicKey[KEYS];
        for (short i = 0; i < KEYS; i++) {
            keys[i] = store.publicKey();
        }
        root = store.publicKey();
        store.point(root, a, rootAt);
    }

    /** Hold a terminal certificate, or refuse it; {@code known}: {@link #isKnown}. Writes nothing. */
    void hold(byte[] a, short at, boolean known) {
        ECPublicKey key = key(Cvc.TERMINAL, a, (short) (at + Cvc.ISSUER_VERSION));
        if (Dates.compare(a, (short) (at + Cvc.EXPIRES), card.v, Card.DATE) < 0) {
            ISOException.throwIt(Sw.DATE);
        }
        checkStep(a, (short) (at + Cvc.EFFECTIVE));
        byte[] s = ram.session;
        if (!known || !Bytes.same(card.v, Card.CACHE, s, Ram.DIGEST, Card.HASH_BYTES)) {
            verify(key, a, at, Cvc.TERMINAL);
        }
        s[Ram.ROLE] = a[(short) (at + Cvc.ROLE)];
        s[Ram.ROLE_NOT] = (byte) (s[Ram.ROLE] ^ 0xFF);
        Util.arrayCopyNonAtomic(a, (short) (at + Cvc.SERIAL), s, Ram.SERIAL, (short) 4);
        Util.arrayCopyNonAtomic(a, (short) (at + Cvc.OFFICER), s, Ram.OFFICER, (short) 4);
        Util.arrayCopyNonAtomic(a, (short) (at + Cvc.SUBJECT), s, Ram.SUBJECT, Card.ID_BYTES);
        Util.arrayCopyNonAtomic(a, (short) (at + Cvc.EFFECTIVE), s, Ram.EFFECTIVE, Dates.SIZE);
        Util.arrayCopyNonAtomic(
            a, (short) (at + Cvc.key(Cvc.TERMINAL)), s, Ram.KEY, Curve.POINT_BYTES);
        s[Ram.HELD] = Bytes.YES;
    }

    /**
     * Whether the certificate of n bytes is the one verified last, signature and all: its point was
     * looked at then. Its hash stays in RAM.
     */
    boolean isKnown(byte[] a, short at, short n) {
        sha.doFinal(a, at, n, ram.session, Ram.DIGEST);
        return !Bytes.zero(card.v, Card.CACHE, Card.HASH_BYTES)
            && Bytes.same(card.v, Card.CACHE, ram.session, Ram.DIGEST, Card.HASH_BYTES);
    }

    /** Check a link and write it at once. */
    void link(byte[] a, short at) {
        byte kind = a[(short) (at + Cvc.SUBJECT_KIND)];
        short version = (short) (at + Cvc.SUBJECT_VERSION);
        short lowest = (short) (at + Cvc.LOWEST_KEPT);
        if ((kind != Cvc.TERMINAL && kind != Cvc.ISSUER)
            || a[(short) (at + Cvc.SUBJECT_KIND + 1)] != 0
            || !card.isMark(a, (short) (at + Cvc.SUBJECT))
            || Bytes.compare(a, lowest, a, version, (short) 2) > 0) {
            ISOException.throwIt(Sw.DATA);
        }
        short highest = kind == Cvc.TERMINAL ? HIGHEST : (short) (HIGHEST + 2);
        if (Bytes.compare(a, version, v, highest, (short) 2) <= 0) {
            ISOException.throwIt(Sw.NOT_NEWER);
        }
        verify(root, a, at, Cvc.LINK);
        byte spare = spare();
        store.point(keys[spare], a, (short) (at + Cvc.key(Cvc.LINK)));
        short first = slot(kind);
        short second = (short) (first + SLOT_BYTES);
        boolean useFirst = Bytes.compare(v, first, v, second, (short) 2) <= 0;
        short place = useFirst ? first : second;
        short other = useFirst ? second : first;
        store.begin();
        store.put(v, place, a, version, (short) 2);
        store.put(v, (short) (place + 2), spare);
        if (Bytes.compare(v, other, a, lowest, (short) 2) < 0) {
            store.putShort(v, other, (short) 0);
        }
        store.put(v, highest, a, version, (short) 2);
        if (a[(short) (at + Cvc.STEP_BACK)] == 1) {
            card.set(Card.DATE, a, (short) (at + Cvc.EFFECTIVE), Dates.SIZE);
        } else {
            card.moveDate(a, (short) (at + Cvc.EFFECTIVE));
        }
        card.clear(Card.CACHE, Card.HASH_BYTES);
        store.commit();
    }

    /**
     * Slot (6A88), signature (6982) and date rule (940B) of an object of the issuer: the body's
     * length, and where in it key version and issue date stand.
     */
    void fromIssuer(byte[] a, short at, short body, short version, short issued) {
        ECPublicKey key = key(Cvc.ISSUER, a, (short) (at + version));
        ecdsa.verify(key, a, at, body, (short) (at + body));
        checkStep(a, (short) (at + issued));
    }

    private void verify(ECPublicKey key, byte[] a, short at, byte kind) {
        ecdsa.verify(key, a, (short) (at + Cvc.SIGNED), Cvc.signedBytes(kind),
            (short) (at + Cvc.signature(kind)));
    }

    /** No step of more than 400 days, once the card has a date of its own. */
    private void checkStep(byte[] a, short date) {
        if (!card.personalised()) {
            return;
        }
        Dates.plus400(card.v, Card.DATE, ram.work, Ram.SCRATCH);
        if (Dates.compare(a, date, ram.work, Ram.SCRATCH) > 0) {
            ISOException.throwIt(Sw.DATE);
        }
    }

    /** The key of that kind and version; version 0 marks an empty slot. */
    private ECPublicKey key(byte kind, byte[] a, short version) {
        short at = slot(kind);
        if (!Bytes.zero(a, version, (short) 2)) {
            for (short i = 0; i < PER_KIND; i++) {
                if (Bytes.compare(v, at, a, version, (short) 2) == 0) {
                    return keys[v[(short) (at + 2)]];
                }
                at = (short) (at + SLOT_BYTES);
            }
        }
        ISOException.throwIt(Sw.NOT_FOUND);
        return null;
    }

    private static short slot(byte kind) {
        return kind == Cvc.TERMINAL ? (short) 0 : (short) (PER_KIND * SLOT_BYTES);
    }

    /** The key object that no slot in force names. */
    private byte spare() {
        for (byte i = 0; i < KEYS; i++) {
            boolean used = false;
            for (short at = 0; at < (short) (SLOTS * SLOT_BYTES); at = (short) (at + SLOT_BYTES)) {
                used |= v[(short) (at + 2)] == i && !Bytes.zero(v, at, (short) 2);
            }
            if (!used) {
                return i;
            }
        }
        ISOException.throwIt(Sw.FAULT);
        return 0;
    }
}
