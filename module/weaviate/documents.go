package prism

import (
	"context"
	"fmt"

	"github.com/weaviate/weaviate/entities/models"
	"github.com/weaviate/weaviate/entities/multi"
	"github.com/weaviate/weaviate/entities/search"

	"prism.local/weaviate/prismv1"
)

// candidates are the results of a search, to be ranked as the settings say.
type candidates struct {
	settings
	results    []search.Result
	properties []any // what is known of each
}

// documents turns some of them into items.
func (c candidates) documents(positions []int, media encoder) ([]*prismv1.Item, error) {
	items := make([]*prismv1.Item, len(positions))
	for i, position := range positions {
		found, err := parts(c.fields, c.properties[position], media)
		if err != nil {
			return nil, fmt.Errorf("object %s: %w", c.results[position].ID, err)
		}
		items[i] = &prismv1.Item{Id: c.results[position].ID.String(), Parts: found}
	}
	return items, nil
}

func textPart(text string) *prismv1.Part {
	return &prismv1.Part{Modality: prismv1.Modality_MODALITY_TEXT, Content: &prismv1.Part_Text{Text: text}}
}

// loadedProperties returns what Weaviate has read of each result.
func loadedProperties(results []search.Result) []any {
	properties := make([]any, len(results))
	for i, result := range results {
		properties[i] = result.Schema
	}
	return properties
}

// completeProperties adds to the properties of each result the fields that Weaviate has not read.
//
// A gRPC search reads what the user asked for and the one `property` of the rerank argument; the keyword search
// within it reads everything. So results are looked at one by one. What is read here stays out of result.Schema,
// which is sent to the user: blobs would come along that nobody asked for.
//
// In a multi-tenant collection reading needs the tenant. Results of bm25 carry it and near* searches are remembered
// (tenantOf), but nothing tells it for nearVector, nearObject and hybrid. Such a search is ranked by the fields that
// Weaviate has read, which puts results without any last, and fails if it has read none of them for any result.
func completeProperties(
	ctx context.Context, class *models.Class, results []search.Result, properties []any, fields []field, tenant string,
) error {
	missing, some := lacking(properties, fields)
	if len(missing) == 0 {
		return nil
	}
	names := settings{fields: fields}.names()
	if tenant == "" && multiTenant(class) {
		if !some {
			return fmt.Errorf("this kind of search does not tell modules its tenant, so that %q of %s cannot be read: "+
				"return one of them, or name one as the property of rerank", names, class.Class)
		}
		return nil
	}
	objects, err := host.Objects(ctx, identifiers(results, missing), tenant)
	if err != nil {
		return fmt.Errorf("read %q of %d objects of %s: %w", names, len(missing), class.Class, err)
	}
	if len(objects) != len(missing) {
		return fmt.Errorf("read %q of %d objects of %s: got %d", names, len(missing), class.Class, len(objects))
	}
	for i, position := range missing {
		if objects[i].Schema != nil { // nil: deleted since it was found
			properties[position] = objects[i].Schema
		}
	}
	return nil
}

// lacking lists the results without one of the fields, and tells whether any result has any of them. A field that
// was read and is null is there, as nil.
func lacking(properties []any, fields []field) (positions []int, some bool) {
	for i, each := range properties {
		values, _ := each.(map[string]any)
		complete := true
		for _, f := range fields {
			_, ok := values[f.name]
			complete = complete && ok
			some = some || ok
		}
		if !complete {
			positions = append(positions, i)
		}
	}
	return positions, some
}

func identifiers(results []search.Result, positions []int) []multi.Identifier {
	ids := make([]multi.Identifier, len(positions))
	for i, position := range positions {
		ids[i] = multi.Identifier{ID: results[position].ID.String(), ClassName: results[position].ClassName}
	}
	return ids
}

func multiTenant(class *models.Class) bool {
	return class.MultiTenancyConfig != nil && class.MultiTenancyConfig.Enabled
}

// searchedTenant is the tenant of a search as far as Weaviate tells it: by any of the results, or the near* parameters.
func searchedTenant(results []search.Result, near map[string]any) string {
	for _, result := range results {
		if result.Tenant != "" {
			return result.Tenant
		}
	}
	return tenantOf(near)
}
