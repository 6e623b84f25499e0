package id.betang.purse;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.math.BigInteger;
import java.security.KeyPairGenerator;
import java.security.interfaces.ECPublicKey;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.ECPoint;
import java.util.Random;

import org.junit.jupiter.api.Test;

/** The point check against BigInteger: its arithmetic is ours, so it is tried at its edges. */
class CurveTest {
    private static final BigInteger P = new BigInteger(1, Curve.P);
    private static final BigInteger B = new BigInteger(1, Curve.B);
    private static final BigInteger THREE = BigInteger.valueOf(3);

    private final byte[] work = new byte[Ram.WORK_BYTES];
    private final Curve curve = new Curve(work);

    private static boolean expected(BigInteger x, BigInteger y) {
        BigInteger right = x.pow(3).subtract(x.multiply(THREE)).add(B).mod(P);
        return x.compareTo(P) < 0 && y.compareTo(P) < 0 && y.modPow(BigInteger.TWO, P).equals(right);
    }

    private static byte[] encode(BigInteger x, BigInteger y) {
        byte[] point = new byte[70];
        point[3] = 0x04;
        copy(x, point, 4);
        copy(y, point, 36);
        return point;
    }

    static void copy(BigInteger n, byte[] to, int at) {
        byte[] bytes = n.toByteArray();
        int skip = Math.max(0, bytes.length - 32);
        System.arraycopy(bytes, skip, to, at + 32 - (bytes.length - skip), bytes.length - skip);
    }

    @Test
    void parametersAreThoseOfThePlatform() throws Exception {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
        generator.initialize(new ECGenParameterSpec("secp256r1"));
        ECPublicKey key = (ECPublicKey) generator.generateKeyPair().getPublic();
        var spec = key.getParams();
        assertEquals(spec.getCurve().getA(), new BigInteger(1, Curve.A));
        assertEquals(spec.getCurve().getB(), B);
        assertEquals(spec.getOrder(), new BigInteger(1, Curve.N));
        ECPoint g = spec.getGenerator();
        assertTrue(curve.computes(encode(g.getAffineX(), g.getAffineY()), (short) 3));
        assertEquals(0x04, Curve.G[0]);
        assertEquals(g.getAffineX(), new BigInteger(1, java.util.Arrays.copyOfRange(Curve.G, 1, 33)));
        assertEquals(g.getAffineY(), new BigInteger(1, java.util.Arrays.copyOfRange(Curve.G, 33, 65)));
    }

    @Test
    void pointsOnTheCurveAreFoundAndTheirNeighboursRefused() throws Exception {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
        generator.initialize(new ECGenParameterSpec("secp256r1"));
        for (int i = 0; i < 200; i++) {
            ECPoint w = ((ECPublicKey) generator.generateKeyPair().getPublic()).getW();
            byte[] point = encode(w.getAffineX(), w.getAffineY());
            assertTrue(curve.computes(point, (short) 3));
            point[3 + 1 + i % 64] ^= (byte) (1 << i % 8);
            assertFalse(curve.computes(point, (short) 3));
        }
    }

    @Test
    void everyEdgeAgreesWithBigInteger() {
        Random random = new Random(7);
        BigInteger two256 = BigInteger.ONE.shiftLeft(256);
        BigInteger[] edges = {
            BigInteger.ZERO, BigInteger.ONE, P.subtract(BigInteger.ONE), P, P.add(BigInteger.ONE),
            two256.subtract(BigInteger.ONE), BigInteger.ONE.shiftLeft(224), BigInteger.ONE.shiftLeft(96),
            BigInteger.ONE.shiftLeft(192).subtract(BigInteger.ONE), new BigInteger(256, random),
        };
        for (BigInteger x : edges) {
            for (BigInteger y : edges) {
                assertEquals(expected(x, y), curve.computes(encode(x, y), (short) 3), x + " " + y);
            }
            // the y that belongs to an x, where there is one: p = 3 mod 4
            BigInteger right = x.pow(3).subtract(x.multiply(THREE)).add(B).mod(P);
            BigInteger y = right.modPow(P.add(BigInteger.ONE).shiftRight(2), P);
            assertEquals(expected(x, y), curve.computes(encode(x, y), (short) 3), x.toString());
            BigInteger other = P.subtract(y);
            assertEquals(expected(x, other), curve.computes(encode(x, other), (short) 3));
        }
        for (int i = 0; i < 2000; i++) {
            BigInteger x = sparse(random).mod(P);
            BigInteger right = x.pow(3).subtract(x.multiply(THREE)).add(B).mod(P);
            BigInteger y = right.modPow(P.add(BigInteger.ONE).shiftRight(2), P);
            assertEquals(expected(x, y), curve.computes(encode(x, y), (short) 3), x.toString());
        }
    }

    /** Long runs of ones and zeros, where carries travel far. */
    private static BigInteger sparse(Random random) {
        BigInteger n = BigInteger.ZERO;
        for (int i = 0; i < 4; i++) {
            BigInteger run = BigInteger.ONE.shiftLeft(random.nextInt(256));
            n = random.nextBoolean() ? n.add(run) : n.subtract(run);
        }
        return n;
    }

    @Test
    void onlyTheUncompressedFormIsAPoint() {
        byte[] point = new byte[65];
        System.arraycopy(Curve.G, 0, point, 0, 65);
        assertTrue(curve.computes(point, (short) 0));
        assertTrue(curve.contains(point, (short) 0));
        for (byte form : new byte[] {0, 2, 3, 5, 6, 7}) {
            point[0] = form;
            assertFalse(curve.computes(point, (short) 0));
            assertFalse(curve.contains(point, (short) 0));
        }
    }

    /** jCardSim's key agreement refuses what is no point, so a card there leaves it to that. */
    @Test
    void thePlatformAndOurArithmeticSayTheSame() throws Exception {
        assertTrue(curve.platformChecks);
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
        generator.initialize(new ECGenParameterSpec("secp256r1"));
        for (int i = 0; i < 64; i++) {
            ECPoint w = ((ECPublicKey) generator.generateKeyPair().getPublic()).getW();
            byte[] point = encode(w.getAffineX(), w.getAffineY());
            assertTrue(curve.contains(point, (short) 3));
            point[4 + i] ^= 0x20;
            assertFalse(curve.contains(point, (short) 3));
            assertFalse(curve.computes(point, (short) 3));
        }
    }
}
