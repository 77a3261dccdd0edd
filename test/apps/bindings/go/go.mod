module sidekey.test/bindings

go 1.26.0

require (
	github.com/ThalesGroup/crypto11 v1.6.2
	github.com/google/go-pkcs11 v0.3.0
	github.com/letsencrypt/pkcs11key/v4 v4.0.1
	github.com/miekg/pkcs11 v1.1.2
)

require (
	github.com/pkg/errors v0.9.1 // indirect
	github.com/thales-e-security/pool v0.0.2 // indirect
)
