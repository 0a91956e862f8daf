package prism

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/weaviate/weaviate/entities/models"
	"github.com/weaviate/weaviate/entities/schema"
)

// validate checks the fields against the collection's properties. It never asks the service: Weaviate validates on
// one node of a cluster, and must create collections while the service is down.
func (s settings) validate(class *models.Class) error {
	var errs []error
	for _, f := range s.fields {
		list := listOf(f)
		property, err := schema.GetPropertyByName(class, f.name)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: collection %s has no property %q", list.key, class.Class, f.name))
			continue
		}
		if dataType := strings.Join(property.DataType, ", "); !slices.Contains(list.dataTypes, dataType) {
			errs = append(errs, fmt.Errorf("%s: property %q is of type %s, want %s",
				list.key, f.name, dataType, strings.Join(list.dataTypes, " or ")))
		}
	}
	return errors.Join(errs...)
}

// validateSkips refuses properties that are listed as fields and excluded by their own moduleConfig.
func (s settings) validateSkips(class *models.Class) error {
	for _, f := range s.fields {
		property, err := schema.GetPropertyByName(class, f.name)
		if err != nil {
			return err
		}
		modules, _ := property.ModuleConfig.(map[string]any)
		own, _ := modules[vectorizerName].(map[string]any)
		if own["skip"] == true {
			return fmt.Errorf("%s: property %q has skip: true in its own moduleConfig.%s; drop one of them",
				listOf(f).key, f.name, vectorizerName)
		}
	}
	return nil
}

func listOf(f field) fieldList {
	return fieldLists[slices.IndexFunc(fieldLists, func(l fieldList) bool { return l.modality == f.modality })]
}
