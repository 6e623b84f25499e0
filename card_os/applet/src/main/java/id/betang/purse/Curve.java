package id.betang.purse;

import javacard.framework.Util;
import javacard.security.ECKey;
import javacard.security.ECPrivateKey;
import javacard.security.KeyAgreement;
import javacard.security.KeyBuilder;
import javacard.security.PrivateKey;

/**
 * P-256: its parameters, set by hand because platforms have no agreed defaults, whether a point lies
 * on it, and key agreement with points that do.
 *
 * <p>What a platform does with a bad point is not said by its interface, so it is asked at INSTALL:
 * when its key agreement refuses every one of {@link #PROBES}, it checks the points from then on;
 * else our own arithmetic does, some hundred thousand byte codes a point.
 */
final class Curve {
    static final short FIELD_BYTES = 32;
    static final short POINT_BYTES = 65;

    static final byte[] P = {
        -1, -1, -1, -1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    static final byte[] A = {
        -1, -1, -1, -1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, (byte) 0xFC};
    static final byte[] B = {
        0x5A, (byte) 0xC6, 0x35, (byte) 0xD8, (byte) 0xAA, 0x3A, (byte) 0x93, (byte) 0xE7,
        (byte) 0xB3, (byte) 0xEB, (byte) 0xBD, 0x55, 0x76, (byte) 0x98, (byte) 0x86, (byte) 0xBC,
        0x65, 0x1D, 0x06, (byte) 0xB0, (byte) 0xCC, 0x53, (byte) 0xB0, (byte) 0xF6,
        0x3B, (byte) 0xCE, 0x3C, 0x3E, 0x27, (byte) 0xD2, 0x60, 0x4B};
    static final byte[] G = {
        0x04,
        0x6B, 0x17, (byte) 0xD1, (byte) 0xF2, (byte) 0xE1, 0x2C, 0x42, 0x47,
        (byte) 0xF8, (byte) 0xBC, (byte) 0xE6, (byte) 0xE5, 0x63, (byte) 0xA4, 0x40, (byte) 0xF2,
        0x77, 0x03, 0x7D, (byte) 0x81, 0x2D, (byte) 0xEB, 0x33, (byte) 0xA0,
        (byte) 0xF4, (byte) 0xA1, 0x39, 0x45, (byte) 0xD8, (byte) 0x98, (byte) 0xC2, (byte) 0x96,
        0x4F, (byte) 0xE3, 0x42, (byte) 0xE2, (byte) 0xFE, 0x1A, 0x7F, (byte) 0x9B,
        (byte) 0x8E, (byte) 0xE7, (byte) 0xEB, 0x4A, 0x7C, 0x0F, (byte) 0x9E, 0x16,
        0x2B, (byte) 0xCE, 0x33, 0x57, 0x6B, 0x31, 0x5E, (byte) 0xCE,
        (byte) 0xCB, (byte) 0xB6, 0x40, 0x68, 0x37, (byte) 0xBF, 0x51, (byte) 0xF5};
    static final byte[] N = {
        -1, -1, -1, -1, 0, 0, 0, 0, -1, -1, -1, -1, -1, -1, -1, -1,
        (byte) 0xBC, (byte) 0xE6, (byte) 0xFA, (byte) 0xAD, (byte) 0xA7, 0x17, (byte) 0x9E,
        (byte) 0x84, (byte) 0xF3, (byte) 0xB9, (byte) 0xCA, (byte) 0xC2, (byte) 0xFC, 0x63, 0x25,
        0x51};

    private static final short LAST = 31;
    // 2^256 = 2^224 - 2^192 - 2^96 + 1 mod p: the bytes, counted from the lowest, it touches
    private static final byte[] FOLD_AT = {0, 12, 24, 28};
    private static final byte[] FOLD_SIGN = {1, -1, -1, 1};

    /** Bytes of G replaced to make points that are none: offset, value. */
    private static final byte[] PROBES = {64, (byte) 0xF4, 1, 0x6A, 33, 0x4E, 0, 0x02, 0, 0x00};
    /** A private key that keeps nothing secret: points are tried with it. */
    private static final byte[] TRIAL = {
        0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,
        0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,
        0x11, 0x13};

    private final byte[] w;
    private final KeyAgreement agreement;
    private final ECPrivateKey trial;
    /** Whether the platform's key agreement refuses what is no point. */
    final boolean platformChecks;

    /**
     * {@code work}: 100 bytes from offset 0 are used. Needs ALG_EC_SVDP_DH_PLAIN, the x coordinate
     * itself: ALG_EC_SVDP_DH hashes it with SHA-1, and no key of X9.63 with SHA-256 comes out of
     * that. A chip without PLAIN refuses the installation.
     */
    Curve(byte[] work) {
        w = work;
        agreement = KeyAgreement.getInstance(KeyAgreement.ALG_EC_SVDP_DH_PLAIN, false);
        trial = (ECPrivateKey) KeyBuilder.buildKey(
            KeyBuilder.TYPE_EC_FP_PRIVATE, KeyBuilder.LENGTH_EC_FP_256, false);
        domain(trial);
        trial.setS(TRIAL, (short) 0, FIELD_BYTES);
        platformChecks = refusesProbes();
    }

    private boolean refusesProbes() {
        boolean refused = true;
        for (short i = 0; i < (short) PROBES.length; i = (short) (i + 2)) {
            Util.arrayCopyNonAtomic(G, (short) 0, w, FIELD_BYTES, POINT_BYTES);
            w[(short) (FIELD_BYTES + PROBES[i])] = PROBES[(short) (i + 1)];
            refused &= !agree(trial, w, FIELD_BYTES, w, (short) 0);
        }
        Util.arrayFillNonAtomic(w, FIELD_BYTES, POINT_BYTES, (byte) 0);
        w[FIELD_BYTES] = 0x04;
        return refused && !agree(trial, w, FIELD_BYTES, w, (short) 0)
            && agree(trial, G, (short) 0, w, (short) 0);
    }

    /** The shared x coordinate, 32 bytes; false when the platform refuses the point. */
    boolean agree(PrivateKey key, byte[] a, short at, byte[] to, short tt) {
        try {
            agreement.init(key);
            return agreement.generateSecret(a, at, POINT_BYTES, to, tt) == FIELD_BYTES;
        } catch (RuntimeException e) {  // CryptoException, or what else a platform throws
            return false;
        }
    }

    /** Whether 65 bytes are an uncompressed point on the curve; destroys 96 bytes of work. */
    boolean contains(byte[] a, short at) {
        if (platformChecks) {
            return isUncompressed(a, at) && agree(trial, a, at, w, (short) 0);
        }
        return computes(a, at);
    }

    /** Whether they are 04, x, y with x and y below p. */
    static boolean isUncompressed(byte[] a, short at) {
        return a[at] == 0x04
            && Bytes.compare(a, (short) (at + 1), P, (short) 0, FIELD_BYTES) < 0
            && Bytes.compare(a, (short) (at + 33), P, (short) 0, FIELD_BYTES) < 0;
    }

    static void domain(ECKey key) {
        key.setFieldFP(P, (short) 0, FIELD_BYTES);
        key.setA(A, (short) 0, FIELD_BYTES);
        key.setB(B, (short) 0, FIELD_BYTES);
        key.setG(G, (short) 0, POINT_BYTES);
        key.setR(N, (short) 0, FIELD_BYTES);
        key.setK((short) 1);
    }

    /** The same by our own arithmetic: y y = x x x - 3 x + b. */
    boolean computes(byte[] a, short at) {
        short x = (short) (at + 1);
        short y = (short) (at + 33);
        if (!isUncompressed(a, at)) {
            return false;
        }
        multiply(a, x, a, x, (short) 0);  // x x
        add(w, (short) 0, A, (short) 0);  // x x - 3
        multiply(a, x, w, (short) 0, (short) 32);  // x x x - 3 x
        add(w, (short) 32, B, (short) 0);
        multiply(a, y, a, y, (short) 64);
        return Bytes.compare(w, (short) 32, w, (short) 64, FIELD_BYTES) == 0;
    }

    /** w[to] := a b mod p, byte by byte of a from the highest; {@code to} overlaps neither. */
    private void multiply(byte[] a, short at, byte[] b, short bt, short to) {
        for (short i = 0; i < FIELD_BYTES; i++) {
            w[(short) (to + i)] = 0;
        }
        for (short i = 0; i < FIELD_BYTES; i++) {
            short factor = (short) (a[(short) (at + i)] & 0xFF);
            short carry = 0;
            short below = 0;
            for (short j = LAST; j >= 0; j--) {
                // at most 255 * 255 + 255 + 255 = 65535: fits 16 bits without a sign
                short digit = (short) (factor * (b[(short) (bt + j)] & 0xFF) + below + carry);
                below = (short) (w[(short) (to + j)] & 0xFF);
                w[(short) (to + j)] = (byte) digit;
                carry = (short) ((digit >> 8) & 0xFF);
            }
            fold(to, (short) (below + carry));
        }
        reduce(to);
    }

    /** w[a] := w[a] + b mod p, both below p. */
    private void add(byte[] a, short at, byte[] b, short bt) {
        short carry = 0;
        for (short j = LAST; j >= 0; j--) {
            carry = (short) (carry + (a[(short) (at + j)] & 0xFF) + (b[(short) (bt + j)] & 0xFF));
            a[(short) (at + j)] = (byte) carry;
            carry = (short) ((carry >> 8) & 0xFF);
        }
        fold(at, carry);
        reduce(at);
    }

    /** Add top * 2^256 mod p, until nothing stands above the 32 bytes. */
    private void fold(short to, short top) {
        while (top != 0) {
            short carry = 0;
            short place = 0;
            for (short k = 0; k < 4; k++) {
                place = FOLD_AT[k];
                carry = (short) (carry + (FOLD_SIGN[k] > 0 ? top : (short) -top));
                short end = k < 3 ? FOLD_AT[(short) (k + 1)] : FIELD_BYTES;
                while (place < end && carry != 0) {
                    short at = (short) (to + LAST - place);
                    carry = (short) (carry + (w[at] & 0xFF));
                    w[at] = (byte) carry;
                    carry = (short) (carry >> 8);
                    place++;
                }
            }
            top = carry;
        }
    }

    /** Bring a number below 2^256 (less than 2 p) below p. */
    private void reduce(short to) {
        if (Bytes.compare(w, to, P, (short) 0, FIELD_BYTES) < 0) {
            return;
        }
        short borrow = 0;
        for (short j = LAST; j >= 0; j--) {
            borrow = (short) ((w[(short) (to + j)] & 0xFF) - (P[j] & 0xFF) - borrow);
            w[(short) (to + j)] = (byte) borrow;
            borrow = (short) ((borrow >> 8) & 0x01);
        }
    }
}
