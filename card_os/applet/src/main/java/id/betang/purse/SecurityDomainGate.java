package id.betang.purse;

import javacard.framework.APDU;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import org.globalplatform.GPSystem;
import org.globalplatform.SecureChannel;

/**
 * The issuer security domain of a GlobalPlatform card. The only class that uses its API; it has not
 * run on a chip yet.
 */
final class SecurityDomainGate extends Gate {
    private static final byte INITIALIZE_UPDATE = 0x50;
    private static final byte EXTERNAL_AUTHENTICATE = (byte) 0x82;
    /** Authenticated, C-MAC, C-ENC, R-MAC, R-ENC. */
    private static final byte FULL = (byte) (SecureChannel.AUTHENTICATED | SecureChannel.C_MAC
        | SecureChannel.C_DECRYPTION | SecureChannel.R_MAC | SecureChannel.R_ENCRYPTION);
    private static final byte SECURED = 0x04;

    /** Whether EXTERNAL AUTHENTICATE is awaited: one byte of RAM, as every field is persistent. */
    private final byte[] opening;

    SecurityDomainGate() {
        opening = JCSystem.makeTransientByteArray((short) 1, JCSystem.CLEAR_ON_DESELECT);
    }

    private static SecureChannel channel() {
        return GPSystem.getSecureChannel();
    }

    @Override
    boolean opens(APDU apdu) {
        byte[] buf = apdu.getBuffer();
        byte ins = buf[ISO7816.OFFSET_INS];
        byte cla = buf[ISO7816.OFFSET_CLA];
        boolean first = cla == (byte) 0x80 && ins == INITIALIZE_UPDATE;
        boolean second = cla == (byte) 0x84 && ins == EXTERNAL_AUTHENTICATE
            && opening[0] == Bytes.YES;
        if (!first && !second) {
            return false;
        }
        opening[0] = first ? Bytes.YES : 0;
        short n = channel().processSecurity(apdu);
        if (n > 0) {
            apdu.setOutgoingAndSend(ISO7816.OFFSET_CDATA, n);
        }
        return true;
    }

    @Override
    boolean covers(byte[] buf) {
        byte level = channel().getSecurityLevel();
        if (level == SecureChannel.NO_SECURITY_LEVEL) {
            return false;
        }
        if ((buf[ISO7816.OFFSET_CLA] & SECURED) != 0 || level == SecureChannel.AUTHENTICATED) {
            return true;
        }
        reset();  // a command without secure messaging ends the channel
        return false;
    }

    @Override
    short unwrap(byte[] buf, short lc) {
        short n = (short) (lc + ISO7816.OFFSET_CDATA);
        try {
            n = channel().unwrap(buf, (short) 0, n);
        } catch (ISOException e) {
            reset();
            ISOException.throwIt(Sw.MESSAGING);
        }
        buf[ISO7816.OFFSET_CLA] &= (byte) ~SECURED;
        return (short) (n - ISO7816.OFFSET_CDATA);
    }

    @Override
    boolean full() {
        return (channel().getSecurityLevel() & FULL) == FULL;
    }

    /** The channel protects the status word too, which it takes from behind the data. */
    @Override
    short wrap(byte[] buf, short n) {
        Util.setShort(buf, n, ISO7816.SW_NO_ERROR);
        return channel().wrap(buf, (short) 0, (short) (n + 2));
    }

    @Override
    void reset() {
        opening[0] = 0;
        channel().resetSecurity();
    }
}
