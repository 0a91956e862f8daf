package prism

import (
	"runtime"
	"sync"
	"weak"

	"github.com/weaviate/weaviate/usecases/modulecomponents/arguments/nearImage"
	"github.com/weaviate/weaviate/usecases/modulecomponents/arguments/nearText"
	"github.com/weaviate/weaviate/usecases/modulecomponents/arguments/nearVideo"
)

// tenants maps the parameters of a near* search to its tenant. Weaviate tells the tenant to the vectorizer alone, but
// hands the same pointer to the reranker. Keys are weak pointers, so an entry lives as long as its search.
var tenants sync.Map

// rememberTenant notes the tenant that a search runs in.
func rememberTenant(params any, tenant string) {
	if tenant == "" {
		return
	}
	switch p := params.(type) {
	case *nearText.NearTextParams:
		remember(p, tenant)
	case *nearImage.NearImageParams:
		remember(p, tenant)
	case *nearVideo.NearVideoParams:
		remember(p, tenant)
	}
}

// tenantOf returns the tenant of a search by its near* parameters, empty if it is not known.
func tenantOf(near map[string]any) string {
	for _, params := range near {
		if tenant, ok := tenants.Load(weakKey(params)); ok {
			return tenant.(string)
		}
	}
	return ""
}

func remember[T any](params *T, tenant string) {
	key := any(weak.Make(params))
	if _, known := tenants.Swap(key, tenant); !known {
		runtime.AddCleanup(params, func(key any) { tenants.Delete(key) }, key)
	}
}

// weakKey is nil, which is never a key, for parameters that have no vectorizer.
func weakKey(params any) any {
	switch p := params.(type) {
	case *nearText.NearTextParams:
		return weak.Make(p)
	case *nearImage.NearImageParams:
		return weak.Make(p)
	case *nearVideo.NearVideoParams:
		return weak.Make(p)
	}
	return nil
}
