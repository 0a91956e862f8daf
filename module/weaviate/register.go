// Package prism holds the Weaviate modules multi2vec-prism and reranker-prism, which speak gRPC to a Prism service.
package prism

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/weaviate/weaviate/entities/models"
	"github.com/weaviate/weaviate/entities/modulecapabilities"
	"github.com/weaviate/weaviate/entities/multi"
	"github.com/weaviate/weaviate/entities/search"
)

// Host is what the modules need of Weaviate beyond its module interfaces. Its functions work once Weaviate has started.
//
// Functions rather than Weaviate's state keep the server out of this package's dependencies and test binaries.
type Host struct {
	// Class returns a collection of the schema, nil if there is none of that name.
	Class func(name string) *models.Class
	// Objects reads objects by UUID, in the order of ids.
	Objects func(ctx context.Context, ids []multi.Identifier, tenant string) ([]search.Result, error)
}

// host is set by Register, once, before any module is initialised.
var host Host

// registry holds the constructors of this package's modules.
var registry = []func() modulecapabilities.Module{
	func() modulecapabilities.Module { return newVectorizer() },
	func() modulecapabilities.Module { return newReranker() },
}

// Register hands the modules that `enabled` names, as ENABLE_MODULES does, to `add`. It fails for a name of ours that
// does not exist: Weaviate would start without the module, and drop its collections from the schema.
func Register(enabled string, add func(modulecapabilities.Module), h Host) error {
	host = h
	modules, known := map[string]modulecapabilities.Module{}, []string{}
	for _, create := range registry {
		module := create()
		modules[module.Name()] = module
		known = append(known, module.Name())
	}
	for name := range strings.SplitSeq(enabled, ",") {
		name = strings.TrimSpace(name)
		if module, ok := modules[name]; ok {
			add(module)
			delete(modules, name) // named twice
		} else if strings.HasSuffix(name, "-prism") && !slices.Contains(known, name) {
			return fmt.Errorf("ENABLE_MODULES: no module %q in this build, which has %s", name, strings.Join(known, ", "))
		}
	}
	return nil
}
