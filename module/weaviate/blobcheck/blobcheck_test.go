package blobcheck

import (
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// weaviatesExpression compiles the expression that Weaviate's source holds, in the version that go.mod names.
func weaviatesExpression(tb testing.TB) *regexp.Regexp {
	tb.Helper()
	list := exec.Command("go", "list", "-find", "-f", "{{.Dir}}", "github.com/weaviate/weaviate/usecases/objects/validation")
	list.Stderr = os.Stderr
	folder, err := list.Output()
	if err != nil {
		tb.Fatal(err)
	}
	file := filepath.Join(strings.TrimSpace(string(folder)), "properties_validation.go")
	source, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	found := regexp.MustCompile("base64Regex := regexp.MustCompile\\(`(.*)`\\)").FindAllSubmatch(source, -1)
	if len(found) != 1 {
		tb.Fatalf("%s: %d expressions for base64, want 1", file, len(found))
	}
	return regexp.MustCompile(string(found[0][1]))
}

func FuzzValidAgreesWithWeaviate(f *testing.F) {
	expression := weaviatesExpression(f)
	for _, seed := range []string{
		"", "=", "==", "====", "a", "ab", "abc", "abcd", "ab==", "abc=", "a===", "ab=c", "=abc", "abcd=", "abcdef==",
		"ab==abcd", "abc=abc=", "abcd\n", "abc\n", "ab\n=", "ab-_", "ab+/", "aé==", "abcd\x00abc", "ab= ", "/9j/4AAQ",
		"////", "++==", "zz==", "data:image/png;base64,abcd",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, text := range []string{text, base64.StdEncoding.EncodeToString([]byte(text))} {
			if got, want := Valid(text), expression.MatchString(text); got != want {
				t.Errorf("Valid(%q) = %v, Weaviate's expression says %v", text, got, want)
			}
		}
	})
}

// TestValidAgreesOnEveryShortText covers what random texts seldom hit: padding in all places.
func TestValidAgreesOnEveryShortText(t *testing.T) {
	expression := weaviatesExpression(t)
	texts := []string{""}
	for range 8 {
		for _, text := range texts {
			if got, want := Valid(text), expression.MatchString(text); got != want {
				t.Errorf("Valid(%q) = %v, Weaviate's expression says %v", text, got, want)
			}
		}
		var longer []string
		for _, text := range texts {
			for _, char := range "a/=\n-" {
				longer = append(longer, text+string(char))
			}
		}
		texts = longer
	}
}

func TestValidAgreesOnEveryByte(t *testing.T) {
	expression := weaviatesExpression(t)
	for char := range 256 {
		for place := range 8 {
			text := []byte("abcdefgh")
			text[place] = byte(char)
			if got, want := Valid(string(text)), expression.Match(text); got != want {
				t.Errorf("Valid(%q) = %v, Weaviate's expression says %v", text, got, want)
			}
		}
	}
}

func BenchmarkValid(b *testing.B) {
	text := base64.StdEncoding.EncodeToString(make([]byte, 50_000))
	b.Run("table", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			Valid(text)
		}
	})
	b.Run("expression", func(b *testing.B) {
		expression := weaviatesExpression(b)
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			expression.MatchString(text)
		}
	})
}
