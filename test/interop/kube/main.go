// The API server's own code for encryption at rest, without the server: it reads an EncryptionConfiguration, polls the KMS, makes its data
// keys and writes what would stand in etcd. One command per line on stdin, one answer per line of JSON on stdout.
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/server/options/encryptionconfig"
	"k8s.io/apiserver/pkg/storage/value"
)

type answer struct {
	Error string `json:"error,omitempty"`
	Value string `json:"value,omitempty"`
	Stale bool   `json:"stale"`
}

type server struct {
	config  *encryptionconfig.EncryptionConfiguration
	secrets value.Transformer
}

func say(a answer) {
	line, _ := json.Marshal(a)
	fmt.Println(string(line))
}

// Stored values are bound to the key under which etcd has them.
func (s *server) put(ctx context.Context, name, text string) answer {
	stored, err := s.secrets.TransformToStorage(ctx, []byte(text), value.DefaultContext(name))
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{Value: base64.StdEncoding.EncodeToString(stored)}
}

func (s *server) get(ctx context.Context, name, stored string) answer {
	bytes, err := base64.StdEncoding.DecodeString(stored)
	if err != nil {
		return answer{Error: err.Error()}
	}
	text, stale, err := s.secrets.TransformFromStorage(ctx, bytes, value.DefaultContext(name))
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{Value: string(text), Stale: stale}
}

func (s *server) health(ctx context.Context) answer {
	request, _ := http.NewRequestWithContext(ctx, "GET", "http://localhost/healthz", nil)
	for _, check := range s.config.HealthChecks {
		if err := check.Check(request); err != nil {
			return answer{Error: err.Error()}
		}
	}
	return answer{Value: "ok"}
}

func (s *server) run(ctx context.Context, words []string) answer {
	switch {
	case len(words) == 3 && words[0] == "put":
		return s.put(ctx, words[1], words[2])
	case len(words) == 3 && words[0] == "get":
		return s.get(ctx, words[1], words[2])
	case len(words) == 1 && words[0] == "health":
		return s.health(ctx)
	}
	return answer{Error: "unknown command"}
}

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	config, err := encryptionconfig.LoadEncryptionConfig(ctx, os.Args[1], false, "sidekey-test")
	if err != nil {
		say(answer{Error: err.Error()})
		os.Exit(1)
	}
	s := server{config, config.Transformers[schema.GroupResource{Resource: "secrets"}]}
	say(answer{Value: "loaded"})
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		say(s.run(ctx, strings.Fields(lines.Text())))
	}
}
