package prism

import (
	"strings"
	"testing"

	"github.com/weaviate/weaviate/entities/modulecapabilities"
)

func registered(t *testing.T, enabled string) (string, error) {
	t.Helper()
	before := host
	t.Cleanup(func() { host = before })
	var names []string
	err := Register(enabled, func(m modulecapabilities.Module) { names = append(names, m.Name()) }, Host{})
	return strings.Join(names, " "), err
}

func TestEnabledModulesAreRegistered(t *testing.T) {
	for enabled, want := range map[string]string{
		"": "", "text2vec-openai": "", "multi2vec-prism": "multi2vec-prism", "reranker-prism, multi2vec-prism,reranker-prism": "reranker-prism multi2vec-prism",
	} {
		if got, err := registered(t, enabled); got != want || err != nil {
			t.Errorf("%q: %q, %v", enabled, got, err)
		}
	}
}

func TestAModuleThatIsNotInTheBuildIsAnError(t *testing.T) {
	if _, err := registered(t, "rerank-prism"); err == nil || !strings.Contains(err.Error(), "reranker-prism") {
		t.Error(err)
	}
}
