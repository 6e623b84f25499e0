package id.betang.purse;

import java.lang.ref.WeakReference;
import java.lang.reflect.Array;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;

import com.licel.jcardsim.base.SimulatorRuntime;
import com.licel.jcardsim.base.TransientMemory;

import javacard.framework.AID;
import javacard.framework.APDU;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.SystemException;

/** One simulated chip with one purse on it. */
final class Chip {
    private static final int SELECT_HEAD = 5;

    private final WeakMemory memory = new WeakMemory();
    private final SimulatorRuntime runtime = new SimulatorRuntime(memory);
    private byte[] markedState = new byte[0];
    private Map<Object, Object> markedRam = Map.of();
    private HostPurse purse;
    private byte[] aid = new byte[0];

    /** INSTALL; the status word. */
    int install(byte[] instance, byte[] parameters) {
        byte[] a = new byte[3 + instance.length + parameters.length];
        a[0] = (byte) instance.length;
        System.arraycopy(instance, 0, a, 1, instance.length);
        a[2 + instance.length] = (byte) parameters.length;
        System.arraycopy(parameters, 0, a, 3 + instance.length, parameters.length);
        AID name = new AID(instance, (short) 0, (byte) instance.length);
        try {
            runtime.loadApplet(name, HostPurse.class);
            runtime.installApplet(name, a, (short) 0, (byte) a.length);
        } catch (ISOException e) {
            return e.getReason() & 0xFFFF;
        } catch (SystemException e) {
            return ISO7816.SW_UNKNOWN;  // an exception within the applet
        }
        purse = HostPurse.LAST.get();
        aid = instance;
        store().writes = 0;
        return 0x9000;
    }

    boolean installed() {
        return purse != null;
    }

    TearingStore store() {
        return purse.testStore;
    }

    HostGate gate() {
        return purse.testGate;
    }

    Purse purse() {
        return purse;
    }

    void contactless(boolean on) {
        byte media = on ? APDU.PROTOCOL_MEDIA_CONTACTLESS_TYPE_A : 0;
        runtime.changeProtocol((byte) (media | APDU.PROTOCOL_T1));
    }

    byte[] select() {
        byte[] command = Arrays.copyOf(
            new byte[] {0, (byte) 0xA4, 4, 0, (byte) aid.length}, SELECT_HEAD + aid.length + 1);
        System.arraycopy(aid, 0, command, SELECT_HEAD, aid.length);
        return transmit(command);
    }

    byte[] transmit(byte[] command) {
        return runtime.transmitCommand(command);
    }

    /** Power goes and comes: RAM is gone, an open transaction never happened. */
    void reset() {
        if (installed()) {
            store().rollBack();
            store().tearBefore = -1;
        }
        runtime.reset();
    }

    /** Note this moment, RAM included; {@link #rewind} comes back to it as often as wanted. */
    void mark() {
        markedState = State.save(store());
        markedRam = new IdentityHashMap<>();
        for (Object array : memory.live()) {
            if (array instanceof byte[] bytes) {
                markedRam.put(array, bytes.clone());
            } else if (array instanceof boolean[] flags) {
                markedRam.put(array, flags.clone());
            }
        }
    }

    void rewind() {
        State.restore(store(), markedState);
        markedRam.forEach((array, was) -> System.arraycopy(was, 0, array, 0, Array.getLength(was)));
    }

    /** jCardSim keeps every transient array it ever made; its ciphers make one per use. */
    private static final class WeakMemory extends TransientMemory {
        private final List<WeakReference<Object>> kept = new ArrayList<>();
        private int sweepAt = 256;

        @Override
        protected void storeArray(Object array, byte event) {
            if (kept.size() > sweepAt) {
                kept.removeIf(reference -> reference.get() == null);
                sweepAt = kept.size() + 256;
            }
            kept.add(new WeakReference<>(array));
        }

        @Override
        protected void clearOnDeselect() {
            zero(live());
        }

        @Override
        protected void clearOnReset() {
            zero(live());
        }

        private List<Object> live() {
            List<Object> live = new ArrayList<>();
            for (WeakReference<Object> reference : kept) {
                Object array = reference.get();
                if (array != null) {
                    live.add(array);
                }
            }
            return live;
        }
    }
}
