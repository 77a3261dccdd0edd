// Bindings that only sign, with the pairs that crypto11.go left in the token.
package main

import (
	"crypto"
	"errors"
	"sync"

	google "github.com/google/go-pkcs11/pkcs11"
	"github.com/letsencrypt/pkcs11key/v4"
)

func init() {
	programs["google/go-pkcs11"] = useGoogle
	programs["pkcs11key"] = usePkcs11key
}

// Public halves as google/go-pkcs11 reads them, by label. Its module must be closed before another binding opens it.
func publicKeys(slot *google.Slot) map[string]crypto.PublicKey {
	keys := map[string]crypto.PublicKey{}
	for _, object := range must(slot.Objects(google.Filter{Class: google.ClassPublicKey})) {
		keys[must(object.Label())] = must(object.PublicKey())
	}
	return keys
}

func withSlot(module, label, pin string, use func(*google.Slot)) error {
	opened := must(google.Open(module))
	defer opened.Close()
	for _, id := range must(opened.SlotIDs()) {
		if must(opened.SlotInfo(id)).Label == label {
			slot := must(opened.Slot(id, google.Options{PIN: pin}))
			defer slot.Close()
			use(slot)
			return nil
		}
	}
	return errors.New("no token")
}

func useGoogle(module, label, pin string) (report, error) {
	out := report{}
	err := withSlot(module, label, pin, func(slot *google.Slot) {
		public := publicKeys(slot)
		for _, object := range must(slot.Objects(google.Filter{Class: google.ClassPrivateKey})) {
			name := must(object.Label())
			out[name] = signed(must(object.PrivateKey(public[name])).(crypto.Signer))
		}
		certificate := must(must(slot.Objects(google.Filter{Class: google.ClassCertificate}))[0].Certificate())
		out["certificate"] = must(certificate.X509()).Subject.CommonName
	})
	return out, err
}

// As Boulder does: a pool of sessions that issues certificates from goroutines.
func usePkcs11key(module, label, pin string) (report, error) {
	var public map[string]crypto.PublicKey
	check(withSlot(module, label, pin, func(slot *google.Slot) { public = publicKeys(slot) }))
	out := report{}
	for name, key := range public {
		pool := must(pkcs11key.NewPool(4, module, label, pin, key))
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				for range 20 {
					signed(pool)
				}
			})
		}
		all.Wait()
		out[name] = signed(pool)
		check(pool.Destroy())
	}
	_, wrong := pkcs11key.New(module, label, "wrong", public["ec"])
	out["refused"] = wrong.Error()
	return out, nil
}
