package id.betang.purse;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.math.BigInteger;
import java.util.Arrays;
import java.util.HexFormat;

import javacard.framework.ISOException;
import javacard.security.AESKey;
import javacard.security.ECPrivateKey;
import javacard.security.ECPublicKey;
import javacard.security.KeyBuilder;
import javacard.security.KeyPair;
import org.junit.jupiter.api.Test;

/** CMAC against RFC 4493; raw signatures against the platform's DER and at the edges of r and s. */
class CryptoTest {
    private static final HexFormat HEX = HexFormat.of();
    private static final String MESSAGE = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
        + "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710";
    private static final short ZERO = 0;

    private final byte[] work = new byte[Ram.WORK_BYTES];
    private final Ecdsa ecdsa = new Ecdsa(work);
    private final Store store = new Store();

    private static AESKey aes(String hex) {
        AESKey key = (AESKey) KeyBuilder.buildKey(
            KeyBuilder.TYPE_AES, KeyBuilder.LENGTH_AES_128, false);
        key.setKey(HEX.parseHex(hex), ZERO);
        return key;
    }

    @Test
    void cmacIsThatOfRfc4493() {
        AESKey key = aes("2b7e151628aed2a6abf7158809cf4f3c");
        Cmac cmac = new Cmac();
        byte[] k1 = new byte[16];
        cmac.subkey(key, k1, ZERO);
        assertEquals("fbeed618357133667c85e08f7236a8de", HEX.formatHex(k1));
        String[] wanted = {"bb1d6929e95937287fa37d129b756746", "070a16b46b4d4144f79bdd9dd04a287c",
            "dfa66747de9ae63030ca32611497c827", "51f0bebf7e3b9d92fc49741779363cfe"};
        int[] lengths = {0, 16, 40, 64};
        for (int i = 0; i < 4; i++) {
            byte[] buffer = new byte[96];
            Arrays.fill(buffer, (byte) 0x77);
            System.arraycopy(HEX.parseHex(MESSAGE), 0, buffer, 0, lengths[i]);
            byte[] mac = new byte[20];
            cmac.mac(key, k1, ZERO, buffer, (short) lengths[i], mac, (short) 2);
            assertEquals(wanted[i], HEX.formatHex(Arrays.copyOfRange(mac, 2, 18)));
            assertEquals("fbeed618357133667c85e08f7236a8de", HEX.formatHex(k1), "K1 came back");
        }
    }

    /** jCardSim mixes a private key below 2^248 with the bytes of the key before it. */
    private KeyPair pair() {
        while (true) {
            KeyPair pair = store.keyPair();
            pair.genKeyPair();
            byte[] scalar = new byte[32];
            if (((ECPrivateKey) pair.getPrivate()).getS(scalar, ZERO) == 32) {
                return pair;
            }
        }
    }

    @Test
    void whatIsSignedVerifies() {
        KeyPair pair = pair();
        ECPublicKey key = (ECPublicKey) pair.getPublic();
        for (int i = 0; i < 300; i++) {  // some r and s begin with zero bytes
            work[0] = (byte) i;
            ecdsa.sign(pair.getPrivate(), (short) 50);
            byte[] signed = Arrays.copyOf(work, 114);
            ecdsa.verify(key, signed, ZERO, (short) 50, (short) 50);
            signed[i % 114] ^= 0x04;
            assertRefused(key, signed);
        }
    }

    @Test
    void valuesOutOfRangeAreRefused() {
        KeyPair pair = pair();
        ECPublicKey key = (ECPublicKey) pair.getPublic();
        ecdsa.sign(pair.getPrivate(), (short) 50);
        byte[] good = Arrays.copyOf(work, 114);
        BigInteger n = new BigInteger(1, Curve.N);
        for (int half : new int[] {50, 82}) {
            for (BigInteger bad : new BigInteger[] {BigInteger.ZERO, n, n.add(BigInteger.ONE)}) {
                byte[] changed = good.clone();
                Arrays.fill(changed, half, half + 32, (byte) 0);
                CurveTest.copy(bad, changed, half);
                assertRefused(key, changed);
            }
        }
        byte[] other = good.clone();  // the other valid signature (r, n - s) counts
        Arrays.fill(other, 82, 114, (byte) 0);
        CurveTest.copy(n.subtract(new BigInteger(1, Arrays.copyOfRange(good, 82, 114))), other, 82);
        ecdsa.verify(key, other, ZERO, (short) 50, (short) 50);
    }

    private void assertRefused(ECPublicKey key, byte[] signed) {
        ISOException refused = assertThrows(ISOException.class,
            () -> ecdsa.verify(key, signed, ZERO, (short) 50, (short) 50));
        assertEquals(Sw.SECURITY, refused.getReason());
    }

    @Test
    void cbcInPlaceIsWhatAPlainCipherGives() throws Exception {
        byte[] raw = HEX.parseHex("2b7e151628aed2a6abf7158809cf4f3c");
        byte[] iv = HEX.parseHex("000102030405060708090a0b0c0d0e0f");
        byte[] text = HEX.parseHex(MESSAGE);
        var plain = javax.crypto.Cipher.getInstance("AES/CBC/NoPadding");
        plain.init(javax.crypto.Cipher.ENCRYPT_MODE, new javax.crypto.spec.SecretKeySpec(raw, "AES"),
            new javax.crypto.spec.IvParameterSpec(iv));
        byte[] buffer = text.clone();
        Cmac cmac = new Cmac();
        AESKey key = aes(HEX.formatHex(raw));
        cmac.encrypt(key, iv, ZERO, buffer, ZERO, (short) 64);
        assertArrayEquals(plain.doFinal(text), buffer);
        cmac.decrypt(key, iv, ZERO, buffer, ZERO, (short) 64);
        assertArrayEquals(text, buffer);
    }
}
