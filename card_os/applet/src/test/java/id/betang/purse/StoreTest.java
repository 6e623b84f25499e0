package id.betang.purse;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import javacard.framework.OwnerPIN;
import javacard.framework.TransactionException;
import org.junit.jupiter.api.Test;

/** The tests' Store does what a chip's transactions do, or nothing it shows would mean anything. */
class StoreTest {
    private static final byte[] ONES = new byte[400];

    static {
        java.util.Arrays.fill(ONES, (byte) 1);
    }

    private final TearingStore store = new TearingStore();
    private final byte[] a = store.array((short) 400);

    @Test
    void aTransactionIsWholeOrNothing() {
        for (int tear = 0; tear < 3; tear++) {
            store.tearBefore = tear;
            assertThrows(TearException.class, this::twoPuts);
            assertArrayEquals(new byte[400], a, "tear before write " + tear);
        }
        store.tearBefore = 3;
        twoPuts();
        assertEquals(1, a[0]);
        assertEquals(1, a[9]);
        assertEquals(0, store.tearBefore);
    }

    private void twoPuts() {
        store.begin();
        store.put(a, (short) 0, ONES, (short) 0, (short) 5);
        store.put(a, (short) 9, (byte) 1);
        store.commit();
    }

    @Test
    void aTransactionHas384Bytes() {
        store.begin();
        store.put(a, (short) 0, ONES, (short) 0, (short) 384);
        assertThrows(TransactionException.class, () -> store.put(a, (short) 384, (byte) 1));
        assertArrayEquals(new byte[400], a);
        store.begin();
        assertThrows(TransactionException.class, store::begin);
    }

    @Test
    void whatIsAbandonedNeverHappened() {
        store.begin();
        store.put(a, (short) 0, ONES, (short) 0, (short) 5);
        store.abandon();
        assertArrayEquals(new byte[400], a);
        store.abandon();  // none is open: nothing happens
        twoPuts();
        assertEquals(1, a[0]);
    }

    @Test
    void aBulkBodyTearsInTheMiddle() {
        store.tearBefore = 1;
        assertThrows(TearException.class,
            () -> store.bulk(a, (short) 0, ONES, (short) 0, (short) 210));
        assertEquals(1, a[TearingStore.PAGE + 31]);
        assertEquals(0, a[TearingStore.PAGE + 33]);
    }

    @Test
    void aTornPinCheckCostsATryAndAPinChangeIsWholeOrNothing() {
        OwnerPIN pin = store.pin((byte) 3, (byte) 4);
        store.update(pin, "1234".getBytes(), (short) 0, (byte) 4);
        store.tearBefore = 0;
        assertThrows(TearException.class, () -> check(pin, "1234"));
        assertEquals(3, pin.getTriesRemaining());
        store.tearBefore = 1;
        assertThrows(TearException.class, () -> check(pin, "1234"));
        assertEquals(2, pin.getTriesRemaining());
        store.tearBefore = -1;
        store.begin();
        store.update(pin, "5678".getBytes(), (short) 0, (byte) 4);
        store.rollBack();
        assertEquals(true, check(pin, "1234"));
        assertEquals(3, pin.getTriesRemaining());
    }

    private boolean check(OwnerPIN pin, String digits) {
        return store.check(pin, digits.getBytes(), (short) 0, (byte) 4);
    }
}
