package id.betang.purse;

import javacard.framework.JCSystem;
import javacard.framework.OwnerPIN;
import javacard.framework.Util;
import javacard.security.ECPrivateKey;
import javacard.security.ECPublicKey;
import javacard.security.KeyBuilder;
import javacard.security.KeyPair;
import javacard.security.PrivateKey;

/**
 * Every persistent object and every persistent write of the applet (SPEC.md#tears).
 *
 * <p>Small values change between {@link #begin} and {@link #commit}, all of them or none; at most
 * 384 bytes. Bulk bodies go by {@link #bulk}, {@link #point} or {@link #generate} to places that
 * nothing refers to. The tests put another Store here, which counts, limits, rolls back and stops.
 */
class Store {
    /** Bytes that one transaction may change (SPEC.md#sizes). */
    static final short TRANSACTION_BYTES = 384;

    // Objects: all made at INSTALL

    byte[] array(short size) {
        return new byte[size];
    }

    OwnerPIN pin(byte tries, byte digits) {
        return new OwnerPIN(tries, digits);
    }

    ECPublicKey publicKey() {
        ECPublicKey key = (ECPublicKey) KeyBuilder.buildKey(
            KeyBuilder.TYPE_EC_FP_PUBLIC, KeyBuilder.LENGTH_EC_FP_256, false);
        Curve.domain(key);
        return key;
    }

    KeyPair keyPair() {
        ECPrivateKey key = (ECPrivateKey) KeyBuilder.buildKey(
            KeyBuilder.TYPE_EC_FP_PRIVATE, KeyBuilder.LENGTH_EC_FP_256, false);
        Curve.domain(key);
        return new KeyPair(publicKey(), key);
    }

    /**
     * A pair for one session. The private key lies in RAM where the chip can do that; a public key
     * has no such place on Java Card, so making a pair writes 65 bytes that are no state.
     */
    KeyPair ephemeralPair(PrivateKey inRam) {
        return inRam == null ? keyPair() : new KeyPair(publicKey(), inRam);
    }

    // Transactions

    void begin() {
        JCSystem.beginTransaction();
    }

    void commit() {
        JCSystem.commitTransaction();
    }

    /** Roll back, if a transaction is open: a command that was refused leaves none behind. */
    void abandon() {
        if (JCSystem.getTransactionDepth() != 0) {
            JCSystem.abortTransaction();
        }
    }

    /** Copy; within a transaction a part of it. */
    void put(byte[] to, short tt, byte[] from, short at, short n) {
        Util.arrayCopy(from, at, to, tt, n);
    }

    /** Write one byte; within a transaction a part of it. */
    void put(byte[] to, short tt, byte value) {
        to[tt] = value;
    }

    /** Write two bytes; within a transaction a part of it. */
    void putShort(byte[] to, short tt, short value) {
        Util.setShort(to, tt, value);
    }

    /** A new PIN with all its tries; within a transaction a part of it. */
    void update(OwnerPIN pin, byte[] from, short at, byte digits) {
        pin.update(from, at, digits);
    }

    /** All tries again; within a transaction a part of it. */
    void unblock(OwnerPIN pin) {
        pin.resetAndUnblock();
    }

    // Outside transactions

    /** The PIN's counter falls before the comparison; a match restores it. */
    boolean check(OwnerPIN pin, byte[] given, short at, byte digits) {
        return pin.check(given, at, digits);
    }

    /** Write a body where nothing refers to it. */
    void bulk(byte[] to, short tt, byte[] from, short at, short n) {
        Util.arrayCopyNonAtomic(from, at, to, tt, n);
    }

    /** Write a public point into a key that nothing refers to. */
    void point(ECPublicKey key, byte[] from, short at) {
        key.setW(from, at, Curve.POINT_BYTES);
    }

    /** Make a key pair that nothing refers to. */
    void generate(KeyPair pair) {
        pair.genKeyPair();
    }
}
