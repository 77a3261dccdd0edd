package main

import (
	"bytes"
	"crypto"
	"crypto/cipher"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"time"

	"github.com/ThalesGroup/crypto11"
)

func useCrypto11(module, label, pin string) (report, error) {
	_, wrong := crypto11.Configure(&crypto11.Config{Path: module, TokenLabel: label, Pin: "wrong"})
	out := report{"refused": wrong.Error()}
	ctx, err := crypto11.Configure(&crypto11.Config{Path: module, TokenLabel: label, Pin: pin})
	if err != nil {
		return nil, err
	}
	defer ctx.Close()
	// Both pairs stay in the token, for the programs of signers.go.
	web := must(ctx.GenerateRSAKeyPairWithLabel([]byte("rsa"), []byte("rsa"), 2048))
	leaf := must(ctx.GenerateECDSAKeyPairWithLabel([]byte("ec"), []byte("ec"), elliptic.P256()))
	out["rsa"], out["ec"] = signed(web), signed(leaf)

	hidden := must(rsa.EncryptOAEP(sha256.New(), rand.Reader, web.Public().(*rsa.PublicKey), []byte(data), nil))
	out["opened"] = toHex(must(web.Decrypt(nil, hidden, &rsa.OAEPOptions{Hash: crypto.SHA256})))
	out["tls"] = shakeHands(ctx, leaf)
	out["sealed"] = seals(must(must(ctx.GenerateSecretKey([]byte("aes"), 256, crypto11.CipherAES)).NewGCM()))
	return out, nil
}

func signed(key crypto.Signer) report {
	digest := sha256.Sum256([]byte(data))
	return report{
		"spki":      toHex(must(x509.MarshalPKIXPublicKey(key.Public()))),
		"signature": toHex(must(key.Sign(rand.Reader, digest[:], crypto.SHA256))),
	}
}

// A message comes back, and not after a bit of it was turned.
func seals(gcm cipher.AEAD) bool {
	nonce := counting(gcm.NonceSize())
	sealed := gcm.Seal(nil, nonce, []byte(data), []byte("aad"))
	opened := must(gcm.Open(nil, nonce, sealed, []byte("aad")))
	sealed[0] ^= 1
	_, err := gcm.Open(nil, nonce, sealed, []byte("aad"))
	return err != nil && bytes.Equal(opened, []byte(data))
}

// A server whose key and certificate come from the token; the client trusts that certificate alone.
func shakeHands(ctx *crypto11.Context, key crypto.Signer) string {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	check(ctx.ImportCertificateWithLabel([]byte("ec"), []byte("ec"), must(x509.ParseCertificate(der))))
	pairs := must(ctx.FindAllPairedCertificates())

	server, client := net.Pipe()
	defer server.Close()
	go tls.Server(server, &tls.Config{Certificates: pairs}).Handshake()
	roots := x509.NewCertPool()
	roots.AddCert(must(x509.ParseCertificate(der)))
	conn := tls.Client(client, &tls.Config{RootCAs: roots, ServerName: "localhost"})
	check(conn.Handshake())
	if conn.ConnectionState().Version != tls.VersionTLS13 {
		return "another version"
	}
	return "TLS 1.3"
}
