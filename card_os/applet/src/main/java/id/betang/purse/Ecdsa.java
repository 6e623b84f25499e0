package id.betang.purse;

import javacard.framework.ISOException;
import javacard.framework.Util;
import javacard.security.ECPublicKey;
import javacard.security.PrivateKey;
import javacard.security.Signature;

/** ECDSA on P-256 with SHA-256 as r, s of 32 bytes each (docs/wire.md#algorithms); Java Card has DER. */
final class Ecdsa {
    static final short BYTES = 64;

    private static final short HALF = 32;
    /** Where a signature to verify is made DER: at most 72 bytes. */
    private static final short DER = 200;

    private final byte[] w;
    private final Signature signature;

    Ecdsa(byte[] work) {
        w = work;
        signature = Signature.getInstance(Signature.ALG_ECDSA_SHA_256, false);
    }

    /** Sign w[0, n): the 64 bytes are appended. w up to n + 136 is used. */
    void sign(PrivateKey key, short n) {
        short der = (short) (n + BYTES);
        signature.init(key, Signature.MODE_SIGN);
        signature.sign(w, (short) 0, n, w, der);
        short r = (short) (der + 2);
        short s = (short) (r + 2 + w[(short) (r + 1)]);
        if (w[der] != 0x30 || w[r] != 0x02 || w[s] != 0x02) {
            ISOException.throwIt(Sw.FAULT);
        }
        raw(r, n);
        raw(s, (short) (n + HALF));
    }

    /** Throw 6982 unless a signature of 64 bytes signs n bytes of {@code a}. */
    void verify(ECPublicKey key, byte[] a, short at, short n, short signed) {
        if (!inRange(a, signed) || !inRange(a, (short) (signed + HALF))) {
            ISOException.throwIt(Sw.SECURITY);
        }
        w[DER] = 0x30;
        short end = der(a, signed, (short) (DER + 2));
        end = der(a, (short) (signed + HALF), end);
        w[(short) (DER + 1)] = (byte) (end - DER - 2);
        signature.init(key, Signature.MODE_VERIFY);
        boolean good = signature.verify(a, at, n, w, DER, (short) (end - DER));
        if (!good) {
            ISOException.throwIt(Sw.SECURITY);
        }
        signature.init(key, Signature.MODE_VERIFY);
        if (!signature.verify(a, at, n, w, DER, (short) (end - DER))) {
            ISOException.throwIt(Sw.FAULT);  // the second look differs from the first
        }
    }

    private static boolean inRange(byte[] a, short at) {
        return !Bytes.zero(a, at, HALF) && Bytes.compare(a, at, Curve.N, (short) 0, HALF) < 0;
    }

    /** The INTEGER at w[at] as 32 bytes to w[to]; {@code to} lies before it. */
    private void raw(short at, short to) {
        short length = w[(short) (at + 1)];
        short from = (short) (at + 2);
        if (length > HALF) {
            from = (short) (from + length - HALF);
            length = HALF;
        }
        short lead = (short) (HALF - length);
        Util.arrayFillNonAtomic(w, to, lead, (byte) 0);
        Util.arrayCopyNonAtomic(w, from, w, (short) (to + lead), length);
    }

    /** 32 bytes as a DER INTEGER to w[to]; returns the offset behind it. */
    private short der(byte[] a, short at, short to) {
        short skip = 0;
        while (a[(short) (at + skip)] == 0) {
            skip++;
        }
        short pad = a[(short) (at + skip)] < 0 ? (short) 1 : (short) 0;
        short length = (short) (HALF - skip);
        w[to] = 0x02;
        w[(short) (to + 1)] = (byte) (length + pad);
        w[(short) (to + 2)] = 0;
        short body = (short) (to + 2 + pad);
        Util.arrayCopyNonAtomic(a, (short) (at + skip), w, body, length);
        return (short) (body + length);
    }
}
