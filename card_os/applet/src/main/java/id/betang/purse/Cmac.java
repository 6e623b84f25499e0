package id.betang.purse;

import javacard.framework.Util;
import javacard.security.AESKey;
import javacardx.crypto.Cipher;

/** AES, and AES-CMAC (NIST SP 800-38B) out of AES-CBC: many cards lack the algorithm. */
final class Cmac {
    static final short BLOCK = 16;

    private static final byte[] NO_IV = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};

    private final Cipher cbc;

    Cmac() {
        cbc = Cipher.getInstance(Cipher.ALG_AES_BLOCK_128_CBC_NOPAD, false);
    }

    /** Encipher whole blocks in place. */
    void encrypt(AESKey key, byte[] iv, short ivAt, byte[] a, short at, short n) {
        cbc.init(key, Cipher.MODE_ENCRYPT, iv, ivAt, BLOCK);
        cbc.doFinal(a, at, n, a, at);
    }

    /** Decipher whole blocks in place. */
    void decrypt(AESKey key, byte[] iv, short ivAt, byte[] a, short at, short n) {
        cbc.init(key, Cipher.MODE_DECRYPT, iv, ivAt, BLOCK);
        cbc.doFinal(a, at, n, a, at);
    }

    /** Encipher one block to another place. */
    void block(AESKey key, byte[] from, short at, byte[] to, short tt) {
        cbc.init(key, Cipher.MODE_ENCRYPT, NO_IV, (short) 0, BLOCK);
        cbc.doFinal(from, at, BLOCK, to, tt);
    }

    /** The subkey K1 of a key. */
    void subkey(AESKey key, byte[] to, short tt) {
        block(key, NO_IV, (short) 0, to, tt);
        twice(to, tt);
    }

    /**
     * The MAC, 16 bytes, over a[0, n), which is destroyed up to the next whole block. {@code k1}
     * at {@code kt} is the key's subkey; it comes back as it was.
     */
    void mac(AESKey key, byte[] k1, short kt, byte[] a, short n, byte[] to, short tt) {
        short last = (short) (n & 0x0F);
        short whole = (short) (n - last);
        if (last != 0 || n == 0) {
            a[n] = (byte) 0x80;
            Util.arrayFillNonAtomic(a, (short) (n + 1), (short) (BLOCK - last - 1), (byte) 0);
            Util.arrayCopyNonAtomic(k1, kt, to, tt, BLOCK);
            twice(to, tt);
            mix(a, whole, to, tt);
            whole = (short) (whole + BLOCK);
        } else {
            mix(a, (short) (whole - BLOCK), k1, kt);
        }
        encrypt(key, NO_IV, (short) 0, a, (short) 0, whole);
        Util.arrayCopyNonAtomic(a, (short) (whole - BLOCK), to, tt, BLOCK);
    }

    private static void mix(byte[] a, short at, byte[] b, short bt) {
        for (short i = 0; i < BLOCK; i++) {
            a[(short) (at + i)] ^= b[(short) (bt + i)];
        }
    }

    /** Doubling in GF(2^128), without a branch on the key's bits. */
    private static void twice(byte[] a, short at) {
        short carry = 0;
        for (short i = 15; i >= 0; i--) {
            short two = (short) ((a[(short) (at + i)] & 0xFF) << 1 | carry);
            a[(short) (at + i)] = (byte) two;
            carry = (short) ((two >> 8) & 0x01);
        }
        a[(short) (at + 15)] ^= (byte) ((short) -carry & 0x87);
    }
}
