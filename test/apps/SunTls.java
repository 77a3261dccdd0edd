/*
 * The key generators that JSSE asks a token for, of SSL 3.0 to TLS 1.2, each beside the JDK's own: the same premaster secret and
 * randoms must come to the same keys. It prints "name base64" (or "name -" for what the token does not let out), one for the token and
 * one for the JDK; test/apps/java.test.ts compares. Arguments: the provider's configuration, the PIN.
 */
import java.security.*;
import java.util.*;
import javax.crypto.*;
import javax.crypto.spec.*;
import sun.security.internal.spec.*;

@SuppressWarnings("deprecation")
class SunTls {
    static final byte[] CLIENT = bytes(32, 1), SERVER = bytes(32, 101), SECRET = bytes(48, 7);

    static byte[] bytes(int length, int from) {
        byte[] made = new byte[length];
        for (int i = 0; i < length; i++) made[i] = (byte) (from + i);
        return made;
    }

    static void print(String who, String name, byte[] value) {
        System.out.println(who + " " + name + " " + (value == null ? "-" : Base64.getEncoder().encodeToString(value)));
    }

    static SecretKey make(Provider p, String algorithm, java.security.spec.AlgorithmParameterSpec spec) throws Exception {
        KeyGenerator g = KeyGenerator.getInstance(algorithm, p);
        g.init(spec);
        return g.generateKey();
    }

    /** What a key enciphers, which says which key it is also where its bytes are not let out. */
    static byte[] used(Provider p, SecretKey key) throws Exception {
        Cipher c = Cipher.getInstance("AES/CBC/NoPadding", p);
        c.init(Cipher.ENCRYPT_MODE, key, new IvParameterSpec(new byte[16]));
        return c.doFinal(new byte[32]);
    }

    static byte[] code(Provider p, SecretKey key) throws Exception {
        Mac m = Mac.getInstance("HmacSHA1", p);
        m.init(key);
        return m.doFinal(CLIENT);
    }

    /** A handshake's keys; `premaster` is the provider's own. */
    static void handshake(String who, Provider p, int minor, SecretKey premaster) throws Exception {
        boolean new_ = minor == 3;
        String sun = new_ ? "SunTls12" : "SunTls", hash = new_ ? "SHA-256" : "", v = " 1." + (minor - 1);
        int length = new_ ? 32 : -1, block = new_ ? 64 : -1;
        SecretKey master = make(p, sun + "MasterSecret",
                new TlsMasterSecretParameterSpec(premaster, 3, minor, CLIENT, SERVER, hash, length, block));
        print(who, "master" + v, master.getEncoded());
        TlsKeyMaterialSpec keys = (TlsKeyMaterialSpec) make(p, sun + "KeyMaterial",
                new TlsKeyMaterialParameterSpec(master, 3, minor, CLIENT, SERVER, "AES", 16, 0, 16, 20, hash, length, block));
        print(who, "client cipher" + v, used(p, keys.getClientCipherKey()));
        print(who, "server cipher" + v, used(p, keys.getServerCipherKey()));
        print(who, "client mac" + v, code(p, keys.getClientMacKey()));
        print(who, "server mac" + v, code(p, keys.getServerMacKey()));
        if (keys.getClientIv() != null) {
            print(who, "client iv" + v, keys.getClientIv().getIV());
            print(who, "server iv" + v, keys.getServerIv().getIV());
        }
        if (minor == 0) {
            for (String name : new String[] {"SslMacMD5", "SslMacSHA1"}) {
                Mac m = Mac.getInstance(name, p);
                m.init(keys.getClientMacKey());
                print(who, name + v, m.doFinal(CLIENT));
            }
            return;
        }
        for (String label : new String[] {"client finished", "server finished"}) {
            byte[] seed = bytes(new_ ? 32 : 36, 50);
            SecretKey done = make(p, sun + "Prf", new TlsPrfParameterSpec(master, label, seed, 12, hash, length, block));
            print(who, label + v, done.getEncoded());
        }
    }

    /** Diffie-Hellman with the JDK on the other side, and a signature that the JDK verifies. */
    static void groups(Provider token) throws Exception {
        KeyPairGenerator g = KeyPairGenerator.getInstance("DH", token), other = KeyPairGenerator.getInstance("DH", "SunJCE");
        g.initialize(2048);
        KeyPair ours = g.generateKeyPair();
        other.initialize(((javax.crypto.interfaces.DHPublicKey) ours.getPublic()).getParams());
        KeyPair theirs = other.generateKeyPair();
        KeyAgreement inside = KeyAgreement.getInstance("DH", token), outside = KeyAgreement.getInstance("DH", "SunJCE");
        inside.init(ours.getPrivate());
        inside.doPhase(theirs.getPublic(), true);
        outside.init(theirs.getPrivate());
        outside.doPhase(KeyFactory.getInstance("DH", "SunJCE").translateKey(ours.getPublic()), true);
        print("token", "DH", inside.generateSecret());
        print("jdk", "DH", outside.generateSecret());
        g = KeyPairGenerator.getInstance("DSA", token);
        g.initialize(2048);
        KeyPair signing = g.generateKeyPair();
        Signature s = Signature.getInstance("SHA256withDSA", token), v = Signature.getInstance("SHA256withDSA", "SUN");
        s.initSign(signing.getPrivate());
        s.update(CLIENT);
        byte[] signature = s.sign();
        v.initVerify((PublicKey) KeyFactory.getInstance("DSA", "SUN").translateKey(signing.getPublic()));
        v.update(CLIENT);
        print("token", "DSA", v.verify(signature) ? CLIENT : SERVER);
        print("jdk", "DSA", CLIENT);
    }

    public static void main(String[] args) throws Exception {
        Provider token = Security.getProvider("SunPKCS11").configure(args[0]), jdk = Security.getProvider("SunJCE");
        KeyStore store = KeyStore.getInstance("PKCS11", token);
        store.load(null, args[1].toCharArray());
        SecretKey premaster = new SecretKeySpec(SECRET, "TlsRsaPremasterSecret");
        for (int minor = 0; minor <= 3; minor++) {
            handshake("jdk", jdk, minor, premaster);
            handshake("token", token, minor, premaster);
        }
        groups(token);
        for (String name : new String[] {"SunTlsRsaPremasterSecret", "SunTls12RsaPremasterSecret"}) {
            SecretKey made = make(token, name, new TlsRsaPremasterSecretParameterSpec(0x0303, 0x0303));
            handshake("made", token, 3, made);
        }
    }
}
