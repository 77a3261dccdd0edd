/*
 * A Java program that uses a token as its provider and knows nothing of Sidekey. It prints "name base64" for each thing it
 * made; test/apps/java.test.ts checks them without the token. Arguments: the provider's configuration, the PIN, an AES
 * key in hexadecimal, the DER of somebody's P-256 public key in hexadecimal.
 */
import java.security.*;
import java.security.spec.*;
import java.util.*;
import java.util.concurrent.*;
import javax.crypto.*;
import javax.crypto.spec.*;

class SunPkcs11 {
    static final byte[] DATA = "Sidekey and Java. ".repeat(50).getBytes();
    static Provider token;

    static void print(String name, byte[] value) {
        System.out.println(name + " " + Base64.getEncoder().encodeToString(value));
    }

    static byte[] sign(String algorithm, PrivateKey key, AlgorithmParameterSpec params) throws Exception {
        Signature s = Signature.getInstance(algorithm, token);
        if (params != null) s.setParameter(params);
        s.initSign(key);
        s.update(DATA);
        return s.sign();
    }

    static boolean verify(String algorithm, PublicKey key, byte[] signature) throws Exception {
        Signature s = Signature.getInstance(algorithm, token);
        s.initVerify(key);
        s.update(DATA);
        return s.verify(signature);
    }

    static void ciphers(SecretKey key) throws Exception {
        byte[] iv = new byte[16];
        String[] names = {"AES/CBC/PKCS5Padding", "AES/CTR/NoPadding"};
        for (String name : names) {
            Cipher c = Cipher.getInstance(name, token);
            c.init(Cipher.ENCRYPT_MODE, key, new IvParameterSpec(iv));
            print(name, c.doFinal(DATA));
        }
        Cipher c = Cipher.getInstance("AES/GCM/NoPadding", token);
        c.init(Cipher.ENCRYPT_MODE, key, new GCMParameterSpec(128, iv, 0, 12));
        c.updateAAD("header".getBytes());
        byte[] sealed = c.doFinal(DATA);
        print("AES/GCM/NoPadding", sealed);
        c.init(Cipher.DECRYPT_MODE, key, new GCMParameterSpec(128, iv, 0, 12));
        c.updateAAD("header".getBytes());
        print("opened", c.doFinal(sealed));
        sealed[0] ^= 1;
        c.init(Cipher.DECRYPT_MODE, key, new GCMParameterSpec(128, iv, 0, 12));
        c.updateAAD("header".getBytes());
        try {
            c.doFinal(sealed);
        } catch (AEADBadTagException e) {
            print("bad-tag", new byte[0]);
        }
    }

    /* The keys and certificates that keytool made. */
    static void keyStore(KeyStore store) throws Exception {
        PrivateKey rsa = (PrivateKey) store.getKey("rsa", null), ec = (PrivateKey) store.getKey("ec", null);
        print("SHA256withRSA", sign("SHA256withRSA", rsa, null));
        MGF1ParameterSpec mgf = MGF1ParameterSpec.SHA256;
        print("RSASSA-PSS", sign("RSASSA-PSS", rsa, new PSSParameterSpec("SHA-256", "MGF1", mgf, 32, 1)));
        print("SHA256withECDSA", sign("SHA256withECDSA", ec, null));
        Cipher c = Cipher.getInstance("RSA/ECB/PKCS1Padding", "SunJCE");
        c.init(Cipher.ENCRYPT_MODE, store.getCertificate("rsa"));
        byte[] sealed = c.doFinal("for the token only".getBytes());
        c = Cipher.getInstance("RSA/ECB/PKCS1Padding", token);
        c.init(Cipher.DECRYPT_MODE, rsa);
        print("RSA/ECB/PKCS1Padding", c.doFinal(sealed));
    }

    /* r and s of P-521 are written without the zero that both begin with in every fourth signature. */
    static void p521() throws Exception {
        KeyPairGenerator g = KeyPairGenerator.getInstance("EC", token);
        g.initialize(new ECGenParameterSpec("secp521r1"));
        KeyPair pair = g.generateKeyPair();
        for (int i = 0; i < 24; i++) {
            byte[] signature = sign("SHA512withECDSA", pair.getPrivate(), null);
            if (!verify("SHA512withECDSA", pair.getPublic(), signature)) throw new Exception("P-521 signature refused");
        }
        print("p521", new byte[0]);
    }

    static void agree(byte[] theirs) throws Exception {
        KeyPairGenerator g = KeyPairGenerator.getInstance("EC", token);
        g.initialize(new ECGenParameterSpec("secp256r1"));
        KeyPair mine = g.generateKeyPair();
        KeyAgreement a = KeyAgreement.getInstance("ECDH", token);
        a.init(mine.getPrivate());
        a.doPhase(KeyFactory.getInstance("EC", "SunEC").generatePublic(new X509EncodedKeySpec(theirs)), true);
        print("ECDH-public", mine.getPublic().getEncoded());
        print("ECDH", a.generateSecret());
    }

    static void threads(PrivateKey key, PublicKey publicKey) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(100);
        List<Future<Boolean>> all = new ArrayList<>();
        for (int i = 0; i < 300; i++)
            all.add(pool.submit(() -> verify("SHA256withECDSA", publicKey, sign("SHA256withECDSA", key, null))));
        for (Future<Boolean> one : all) if (!one.get()) throw new Exception("a thread's signature is wrong");
        pool.shutdown();
        print("threads", new byte[0]);
    }

    public static void main(String[] arguments) throws Exception {
        token = Security.getProvider("SunPKCS11").configure(arguments[0]);
        Security.addProvider(token);
        char[] pin = arguments[1].toCharArray();
        KeyStore store = KeyStore.getInstance("PKCS11", token);
        store.load(null, pin);
        byte[] bytes = HexFormat.of().parseHex(arguments[2]);

        store.setKeyEntry("aes", new SecretKeySpec(bytes, "AES"), null, null);
        KeyStore again = KeyStore.getInstance("PKCS11", token);
        again.load(null, pin);
        ciphers((SecretKey) again.getKey("aes", null));
        again.deleteEntry("aes");

        Mac mac = Mac.getInstance("HmacSHA256", token);
        mac.init(new SecretKeySpec(bytes, "HmacSHA256"));
        print("HmacSHA256", mac.doFinal(DATA));
        print("SHA-256", MessageDigest.getInstance("SHA-256", token).digest(DATA));
        byte[] random = new byte[32];
        SecureRandom.getInstance("PKCS11", token).nextBytes(random);
        print("random", random);
        keyStore(store);
        p521();
        agree(HexFormat.of().parseHex(arguments[3]));
        threads((PrivateKey) store.getKey("ec", null), store.getCertificate("ec").getPublicKey());
    }
}
