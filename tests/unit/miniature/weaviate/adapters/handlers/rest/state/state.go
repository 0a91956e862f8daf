package state

import (
	"context"

	"github.com/weaviate/weaviate/entities/additional"
	"github.com/weaviate/weaviate/entities/models"
	"github.com/weaviate/weaviate/entities/multi"
	"github.com/weaviate/weaviate/entities/search"
)

// State has what the hook reads.
type State struct {
	ServerConfig struct {
		Config struct{ EnableModules string }
	}
	Modules       Modules
	SchemaManager SchemaManager
	DB            DB
}

type (
	Modules       struct{}
	SchemaManager struct{}
	DB            struct{}
)

func (Modules) Register(string) {}

func (SchemaManager) ReadOnlyClass(string) *models.Class { return nil }

func (DB) MultiGet(context.Context, []multi.Identifier, additional.Properties, string) ([]search.Result, error) {
	return nil, nil
}
