package id.betang.purse;

import javacard.framework.ISOException;
import javacard.security.MessageDigest;

/** GENERATE KEYS and PERSONALISE: the desk's commands. */
final class Issue {
    static final short PUBLIC_KEYS_BYTES = 130;

    private final Card card;
    private final Ram ram;
    private final Store store;
    private final KeySets keys;
    private final Pins pins;
    private final Bodies bodies;
    private final MessageDigest sha;

    Issue(Card card, Ram ram, Store store, KeySets keys, Pins pins, Bodies bodies,
        MessageDigest sha) {
        this.card = card;
        this.ram = ram;
        this.store = store;
        this.keys = keys;
        this.pins = pins;
        this.bodies = bodies;
        this.sha = sha;
    }

    /** New key pairs; both public points in work. */
    short generateKeys() {
        byte set = keys.make();
        store.begin();
        card.set(Card.KEY_SET, set);
        card.setLife(Card.KEYED);
        store.commit();
        keys.channelPoint(set, ram.work, (short) 0);
        keys.receiptPoint(set, ram.work, Curve.POINT_BYTES);
        return PUBLIC_KEYS_BYTES;
    }

    /** Transport code and card certificate: the card has a name and is INERT. */
    short personalise(byte[] a, short at, short n) {
        Pins.digits(a, at, Pins.CODE_DIGITS);
        short certificate = (short) (at + Pins.CODE_DIGITS);
        if (Cvc.parse(a, certificate, (short) (n - Pins.CODE_DIGITS), card) != Cvc.CARD
            || !isOwn(a, certificate) || !card.isMark(a, (short) (certificate + Cvc.SUBJECT))) {
            ISOException.throwIt(Sw.DATA);
        }
        byte[] w = ram.work;
        sha.doFinal(a, certificate, Bodies.CERTIFICATE_BYTES, w, (short) 0);
        bodies.putCertificate(a, certificate);
        store.begin();
        store.update(pins.code, a, at, Pins.CODE_DIGITS);
        card.setLife(Card.INERT);
        card.set(Card.ID, a, (short) (certificate + Cvc.SUBJECT), Card.ID_BYTES);
        card.moveDate(a, (short) (certificate + Cvc.EFFECTIVE));
        card.set(Card.HEAD, w, (short) 0, Card.HASH_BYTES);
        card.set(Card.CERTIFICATE_HASH, w, (short) 0, Card.CERTIFICATE_HASH_BYTES);
        card.set(Card.UNBLOCKS, Pins.UNBLOCKS);
        store.commit();
        w[0] = Card.INERT;
        return 1;
    }

    /** Whether both public keys of the certificate are this card's. */
    private boolean isOwn(byte[] a, short at) {
        byte[] w = ram.work;
        byte set = keys.inForce();
        keys.channelPoint(set, w, (short) 0);
        if (Bytes.compare(a, (short) (at + Cvc.key(Cvc.CARD)), w, (short) 0,
            Curve.POINT_BYTES) != 0) {
            return false;
        }
        keys.receiptPoint(set, w, (short) 0);
        w[0] = (byte) (0x02 | w[(short) (Curve.POINT_BYTES - 1)] & 0x01);
        return Bytes.compare(a, (short) (at + Cvc.RECEIPT_KEY), w, (short) 0,
            (short) (Curve.FIELD_BYTES + 1)) == 0;
    }
}
