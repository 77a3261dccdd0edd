// Go's bindings as programs use them: `bindings NAME MODULE TOKEN PIN` prints one line of JSON, which the test checks without a token.
// main.go, miekg.go and crypto11.go are also built by Debian 12's Go 1.19.
package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
)

const data = "signed by a token"

type report map[string]any

var programs = map[string]func(module, label, pin string) (report, error){
	"miekg/pkcs11": useMiekg,
	"crypto11":     useCrypto11,
}

// What the bindings below return with an error would be handled one by one in a program; here any of them ends it.
func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func toHex(bytes []byte) string {
	return hex.EncodeToString(bytes)
}

func main() {
	program := programs[os.Args[1]]
	out, err := program(os.Args[2], os.Args[3], os.Args[4])
	check(err)
	out["data"] = toHex([]byte(data))
	fmt.Println(string(must(json.Marshal(out))))
}
