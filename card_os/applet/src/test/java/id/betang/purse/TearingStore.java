package id.betang.purse;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;

import javacard.framework.OwnerPIN;
import javacard.framework.TransactionException;
import javacard.security.ECPrivateKey;
import javacard.security.ECPublicKey;
import javacard.security.KeyPair;
import javacard.security.PrivateKey;

/**
 * The Store of the tests: it counts writes and bytes, refuses a transaction above 384 bytes, rolls
 * back, and power can be made to fail before any write. jCardSim models none of this.
 *
 * <p>Writes: every put, every PIN operation, every commit, every 64 bytes of a bulk body (torn in
 * the middle of them), both counter writes of a PIN check, every key made or point set.
 */
final class TearingStore extends Store {
    static final int PAGE = 64;

    /** Power fails before the n-th further write; negative: it does not. */
    int tearBefore = -1;
    int writes;
    int bytes;
    int largestTransaction;
    /** Whether anything but an ephemeral key was written. */
    boolean changed;
    /** Whether power has failed. */
    boolean torn;
    /** The planted bug: the first write of a transaction is none of it. */
    boolean firstPutOutside;

    final List<byte[]> arrays = new ArrayList<>();
    final List<PinCopy> pins = new ArrayList<>();
    final List<KeyPair> pairs = new ArrayList<>();
    final List<ECPublicKey> points = new ArrayList<>();

    private final Deque<Runnable> undo = new ArrayDeque<>();
    private final List<Runnable> atCommit = new ArrayList<>();
    private boolean inTransaction;
    private boolean plantOpen;
    private int transactionBytes;
    private KeyPair ephemeral;

    /** What an OwnerPIN holds: the API shows no value. */
    static final class PinCopy {
        final OwnerPIN pin;
        final byte limit;
        byte[] value = new byte[0];

        PinCopy(OwnerPIN pin, byte limit) {
            this.pin = pin;
            this.limit = limit;
        }

        void update(byte[] fresh) {
            value = fresh;
            pin.update(fresh, (short) 0, (byte) fresh.length);
        }

        /** Count one try, as a check that power interrupts before its comparison does. */
        void fail() {
            byte[] wrong = value.clone();
            wrong[0] ^= 0x40;
            pin.check(wrong, (short) 0, (byte) wrong.length);
        }
    }

    @Override
    byte[] array(short size) {
        byte[] made = super.array(size);
        arrays.add(made);
        return made;
    }

    @Override
    OwnerPIN pin(byte tries, byte digits) {
        OwnerPIN made = super.pin(tries, digits);
        pins.add(new PinCopy(made, tries));
        return made;
    }

    @Override
    ECPublicKey publicKey() {
        ECPublicKey made = super.publicKey();
        points.add(made);
        return made;
    }

    @Override
    KeyPair keyPair() {
        KeyPair made = super.keyPair();
        points.remove(made.getPublic());
        pairs.add(made);
        return made;
    }

    @Override
    KeyPair ephemeralPair(PrivateKey inRam) {
        ephemeral = super.ephemeralPair(inRam);
        pairs.remove(ephemeral);
        points.remove(ephemeral.getPublic());
        return ephemeral;
    }

    @Override
    void begin() {
        if (inTransaction) {
            TransactionException.throwIt(TransactionException.IN_PROGRESS);
        }
        inTransaction = true;
        plantOpen = firstPutOutside;
        transactionBytes = 0;
    }

    @Override
    void commit() {
        if (!inTransaction) {
            TransactionException.throwIt(TransactionException.NOT_IN_PROGRESS);
        }
        tick(0);
        atCommit.forEach(Runnable::run);
        largestTransaction = Math.max(largestTransaction, transactionBytes);
        end();
    }

    @Override
    void abandon() {
        rollBack();
    }

    @Override
    void put(byte[] to, short tt, byte[] from, short at, short n) {
        tick(n);
        counted(n);
        byte[] before = Arrays.copyOfRange(to, tt, tt + n);
        if (plantOpen) {
            plantOpen = false;
        } else if (inTransaction) {
            undo.push(() -> System.arraycopy(before, 0, to, tt, before.length));
        }
        System.arraycopy(from, at, to, tt, n);
    }

    @Override
    void put(byte[] to, short tt, byte value) {
        put(to, tt, new byte[] {value}, (short) 0, (short) 1);
    }

    @Override
    void putShort(byte[] to, short tt, short value) {
        put(to, tt, new byte[] {(byte) (value >> 8), (byte) value}, (short) 0, (short) 2);
    }

    @Override
    void update(OwnerPIN pin, byte[] from, short at, byte digits) {
        tick(digits);
        counted(digits + 1);
        byte[] fresh = Arrays.copyOfRange(from, at, at + digits);
        atCommitOrNow(() -> copyOf(pin).update(fresh));
    }

    @Override
    void unblock(OwnerPIN pin) {
        tick(1);
        counted(1);
        atCommitOrNow(pin::resetAndUnblock);
    }

    @Override
    boolean check(OwnerPIN pin, byte[] given, short at, byte digits) {
        PinCopy copy = copyOf(pin);
        if (pin.getTriesRemaining() == 0) {
            return super.check(pin, given, at, digits);
        }
        tick(1);
        if (Arrays.equals(copy.value, Arrays.copyOfRange(given, at, at + digits))) {
            if (tearBefore == 0) {
                copy.fail();
            }
            tick(1);
        }
        return super.check(pin, given, at, digits);
    }

    @Override
    void bulk(byte[] to, short tt, byte[] from, short at, short n) {
        for (int done = 0; done < n; done += PAGE) {
            int some = Math.min(PAGE, n - done);
            if (tearBefore == 0) {
                System.arraycopy(from, at + done, to, tt + done, some / 2);
            }
            tick(some);
            System.arraycopy(from, at + done, to, tt + done, some);
        }
    }

    @Override
    void point(ECPublicKey key, byte[] from, short at) {
        tick(Curve.POINT_BYTES);
        super.point(key, from, at);
    }

    @Override
    void generate(KeyPair pair) {
        boolean before = changed;
        tick(Curve.POINT_BYTES);
        changed = before || pair != ephemeral;
        // jCardSim mixes a private key below 2^248 with the bytes of the key before it
        byte[] scalar = new byte[Curve.FIELD_BYTES];
        do {
            super.generate(pair);
        } while (((ECPrivateKey) pair.getPrivate()).getS(scalar, (short) 0) < scalar.length);
    }

    /** One write: the switch, then the counters. */
    private void tick(int size) {
        if (tearBefore == 0) {
            rollBack();
            torn = true;
            throw new TearException();
        }
        tearBefore--;
        writes++;
        bytes += size;
        changed = true;
    }

    private void counted(int size) {
        if (!inTransaction) {
            return;
        }
        transactionBytes += size;
        if (transactionBytes > TRANSACTION_BYTES) {
            rollBack();
            TransactionException.throwIt(TransactionException.BUFFER_FULL);
        }
    }

    private void atCommitOrNow(Runnable work) {
        if (inTransaction) {
            atCommit.add(work);
        } else {
            work.run();
        }
    }

    /** What power-on does with a transaction that was not committed. */
    void rollBack() {
        undo.forEach(Runnable::run);
        end();
    }

    private void end() {
        undo.clear();
        atCommit.clear();
        inTransaction = false;
    }

    private PinCopy copyOf(OwnerPIN pin) {
        return pins.stream().filter(copy -> copy.pin == pin).findFirst().orElseThrow();
    }
}
