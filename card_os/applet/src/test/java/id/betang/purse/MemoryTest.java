package id.betang.purse;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HexFormat;

import org.junit.jupiter.api.Test;

/** Sizes the documents state (docs/applet.md), and keys that differ between runs. */
class MemoryTest {
    private static final byte[] AID = HexFormat.of().parseHex("F0424554414E4701");
    /** S-ENC, S-MAC, S-RMAC; the ephemeral private key. */
    private static final int TRANSIENT_KEYS = 3 * 16 + 32;

    private static Chip chip() {
        byte[] parameters = new byte[66];
        parameters[0] = (byte) 0x81;
        System.arraycopy(Curve.G, 0, parameters, 1, 65);
        Chip chip = new Chip();
        assertEquals(0x9000, chip.install(AID, parameters));
        return chip;
    }

    @Test
    void transientMemoryIsBelowTwoKilobytes() {
        assertEquals(638, Ram.WORK_BYTES + Ram.SESSION_BYTES + TRANSIENT_KEYS);
    }

    @Test
    void persistentArraysAreWhatTheDocumentSays() {
        int sum = chip().store().arrays.stream().mapToInt(array -> array.length).sum();
        assertEquals(9420, sum);
    }

    @Test
    void keysDifferBetweenChips() {
        byte[] first = State.save(chip().store());
        byte[] second = State.save(chip().store());
        assertEquals(HexFormat.of().formatHex(first), HexFormat.of().formatHex(second), "blank");
        Chip a = chip();
        Chip b = chip();
        a.store().generate(a.store().pairs.get(0));
        b.store().generate(b.store().pairs.get(0));
        assertTrue(!HexFormat.of().formatHex(State.save(a.store()))
            .equals(HexFormat.of().formatHex(State.save(b.store()))));
    }

    @Test
    void selectShowsWorldAndVersionAndNothingElse() {
        assertEquals("6f128408f0424554414e4701a506c00181c101019000",
            HexFormat.of().formatHex(chip().select()));
    }

    @Test
    void aSavedStateComesBack() {
        Chip a = chip();
        a.store().generate(a.store().pairs.get(2));
        byte[] saved = State.save(a.store());
        Chip b = chip();
        State.restore(b.store(), saved);
        assertEquals(HexFormat.of().formatHex(saved), HexFormat.of().formatHex(State.save(b.store())));
    }
}
