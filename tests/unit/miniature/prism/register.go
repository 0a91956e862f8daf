// Package prism stands for the modules.
package prism

import (
	"context"
	"fmt"

	"github.com/weaviate/weaviate/entities/models"
	"github.com/weaviate/weaviate/entities/multi"
	"github.com/weaviate/weaviate/entities/search"
)

// Host has what the hook fills.
type Host struct {
	Class   func(name string) *models.Class
	Objects func(ctx context.Context, ids []multi.Identifier, tenant string) ([]search.Result, error)
}

// Register tells that it was called.
func Register(enabled string, _ func(string), _ Host) error {
	fmt.Println("Prism's modules of", enabled)
	return nil
}
