package id.betang.purse;

import javacard.framework.ISOException;
import javacard.security.ECPublicKey;
import javacard.security.KeyPair;
import javacard.security.PrivateKey;

/** Two sets of channel and receipt key; the card names one, a new one is made in the other. */
final class KeySets {
    static final short SETS = 2;

    private final KeyPair[] channels;
    private final KeyPair[] receipts;
    private final Card card;
    private final Store store;

    KeySets(Card card, Store store) {
        this.card = card;
        this.store = store;
        channels = new KeyPair[SETS];
        receipts = new KeyPair[SETS];
        for (short i = 0; i < SETS; i++) {
            channels[i] = store.keyPair();
            receipts[i] = store.keyPair();
        }
    }

    /** Make both keys anew in the spare set; the set. */
    byte make() {
        byte spare = card.v[Card.KEY_SET] == 0 ? (byte) 1 : (byte) 0;
        store.generate(channels[spare]);
        store.generate(receipts[spare]);
        return spare;
    }

    PrivateKey channel() {
        return channels[inForce()].getPrivate();
    }

    PrivateKey receipt() {
        return receipts[inForce()].getPrivate();
    }

    /** Copy the channel's public point, 65 bytes. */
    void channelPoint(byte set, byte[] to, short at) {
        ((ECPublicKey) channels[set].getPublic()).getW(to, at);
    }

    /** Copy the receipt key's public point, 65 bytes. */
    void receiptPoint(byte set, byte[] to, short at) {
        ((ECPublicKey) receipts[set].getPublic()).getW(to, at);
    }

    byte inForce() {
        byte set = card.v[Card.KEY_SET];
        if (set != 0 && set != 1) {
            ISOException.throwIt(Sw.FAULT);
        }
        return set;
    }
}
