package main

import (
	"errors"
	"fmt"
	"sync"

	"github.com/miekg/pkcs11"
)

type miekg struct {
	ctx     *pkcs11.Ctx
	slot    uint
	session pkcs11.SessionHandle
}

func openMiekg(module, label string) (*miekg, error) {
	ctx := pkcs11.New(module)
	if ctx == nil {
		return nil, errors.New("the module did not load")
	}
	check(ctx.Initialize())
	for _, slot := range must(ctx.GetSlotList(true)) {
		if must(ctx.GetTokenInfo(slot)).Label == label {
			session := must(ctx.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION))
			return &miekg{ctx, slot, session}, nil
		}
	}
	return nil, fmt.Errorf("no token %s", label)
}

func mechanism(kind uint, parameter any) []*pkcs11.Mechanism {
	return []*pkcs11.Mechanism{pkcs11.NewMechanism(kind, parameter)}
}

func (m *miekg) pair(kind uint, more ...*pkcs11.Attribute) (public, private pkcs11.ObjectHandle) {
	ofSession := pkcs11.NewAttribute(pkcs11.CKA_TOKEN, false)
	publicHalf := append([]*pkcs11.Attribute{ofSession, pkcs11.NewAttribute(pkcs11.CKA_VERIFY, true)}, more...)
	privateHalf := []*pkcs11.Attribute{ofSession, pkcs11.NewAttribute(pkcs11.CKA_SIGN, true)}
	public, private, err := m.ctx.GenerateKeyPair(m.session, mechanism(kind, nil), publicHalf, privateHalf)
	check(err)
	return public, private
}

func (m *miekg) sign(session pkcs11.SessionHandle, kind uint, key pkcs11.ObjectHandle) string {
	check(m.ctx.SignInit(session, mechanism(kind, nil), key))
	return toHex(must(m.ctx.Sign(session, []byte(data))))
}

func (m *miekg) read(object pkcs11.ObjectHandle, kind uint) string {
	template := []*pkcs11.Attribute{pkcs11.NewAttribute(kind, nil)}
	return toHex(must(m.ctx.GetAttributeValue(m.session, object, template))[0].Value)
}

func (m *miekg) keep(kind uint, value []byte, uses ...uint) pkcs11.ObjectHandle {
	template := []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, kind),
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, false),
		pkcs11.NewAttribute(pkcs11.CKA_VALUE, value),
	}
	for _, use := range uses {
		template = append(template, pkcs11.NewAttribute(use, true))
	}
	return must(m.ctx.CreateObject(m.session, template))
}

// Goroutines with a session each; gives how many signed as the first did.
func (m *miekg) signAtOnce(key pkcs11.ObjectHandle, expected string) int {
	var all sync.WaitGroup
	var lock sync.Mutex
	same := 0
	for i := 0; i < 8; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			own := must(m.ctx.OpenSession(m.slot, pkcs11.CKF_SERIAL_SESSION))
			for j := 0; j < 100; j++ {
				if m.sign(own, pkcs11.CKM_SHA256_RSA_PKCS, key) != expected {
					return
				}
			}
			check(m.ctx.CloseSession(own))
			lock.Lock()
			same++
			lock.Unlock()
		}()
	}
	all.Wait()
	return same
}

func counting(length int) []byte {
	bytes := make([]byte, length)
	for i := range bytes {
		bytes[i] = byte(i)
	}
	return bytes
}

func useMiekg(module, label, pin string) (report, error) {
	m, err := openMiekg(module, label)
	if err != nil {
		return nil, err
	}
	out := report{"refused": fmt.Sprint(m.ctx.Login(m.session, pkcs11.CKU_USER, "wrong"))}
	check(m.ctx.Login(m.session, pkcs11.CKU_USER, pin))

	bits := pkcs11.NewAttribute(pkcs11.CKA_MODULUS_BITS, 2048)
	exponent := pkcs11.NewAttribute(pkcs11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1})
	public, private := m.pair(pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN, bits, exponent)
	signature := m.sign(m.session, pkcs11.CKM_SHA256_RSA_PKCS, private)
	out["rsa"] = report{
		"n": m.read(public, pkcs11.CKA_MODULUS), "e": m.read(public, pkcs11.CKA_PUBLIC_EXPONENT), "signature": signature,
	}
	out["threads"] = m.signAtOnce(private, signature)

	p256 := pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7})
	public, private = m.pair(pkcs11.CKM_EC_KEY_PAIR_GEN, p256)
	out["ec"] = report{
		"point": m.read(public, pkcs11.CKA_EC_POINT), "signature": m.sign(m.session, pkcs11.CKM_ECDSA_SHA256, private),
	}

	aes := m.keep(pkcs11.CKK_AES, counting(32), pkcs11.CKA_ENCRYPT, pkcs11.CKA_DECRYPT)
	gcm := func() []*pkcs11.Mechanism {
		return mechanism(pkcs11.CKM_AES_GCM, pkcs11.NewGCMParams(counting(12), []byte("aad"), 128))
	}
	check(m.ctx.EncryptInit(m.session, gcm(), aes))
	sealed := must(m.ctx.Encrypt(m.session, []byte(data)))
	check(m.ctx.DecryptInit(m.session, gcm(), aes))
	out["gcm"], out["opened"] = toHex(sealed), toHex(must(m.ctx.Decrypt(m.session, sealed)))
	secret := m.keep(pkcs11.CKK_GENERIC_SECRET, []byte("a key for a code"), pkcs11.CKA_SIGN)
	out["hmac"] = m.sign(m.session, pkcs11.CKM_SHA256_HMAC, secret)

	check(m.ctx.Logout(m.session))
	check(m.ctx.Finalize())
	m.ctx.Destroy()
	return out, nil
}
