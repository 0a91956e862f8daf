package prism

import (
	"fmt"
	"slices"

	"github.com/weaviate/weaviate/entities/models"
	"github.com/weaviate/weaviate/entities/schema"

	"prism.local/weaviate/prismv1"
)

// rerankerConfig is the collection's own config of reranker-prism; it may have none.
func rerankerConfig(class *models.Class) (map[string]any, error) {
	modules, _ := class.ModuleConfig.(map[string]any)
	switch config := modules[rerankerName].(type) {
	case nil:
		return nil, nil
	case map[string]any:
		return config, nil
	default:
		return nil, fmt.Errorf("moduleConfig.%s of %s: must be an object, not %T", rerankerName, class.Class, config)
	}
}

// configuredReranker reads the config and checks its fields; Weaviate does not call modules when a schema is changed.
func configuredReranker(class *models.Class) (settings, error) {
	config, err := rerankerConfig(class)
	if err != nil {
		return settings{}, err
	}
	s, err := parseReranker(config)
	if err != nil {
		return settings{}, err
	}
	if len(s.fields) > 0 { // without fields, the search names what is ranked
		err = s.validate(class)
	}
	return s, err
}

// rerankSettings decides what a search is ranked by: its `properties`, else the fields of the collection, else its
// `property`. The last is last because gRPC searches cannot leave it out; but it must be one of the collection's
// fields, if there are any, since whoever names another expects that to be ranked.
func rerankSettings(class *models.Class, a *rerankArguments) (settings, error) {
	if class == nil {
		return settings{}, fmt.Errorf("only a search in one collection can be reranked")
	}
	s, err := configuredReranker(class)
	if err != nil {
		return settings{}, fmt.Errorf("%s of %s: %w", rerankerName, class.Class, err)
	}
	switch {
	case len(a.properties) > 0:
		s.fields, err = chosenFields(class, s.fields, a.properties)
	case len(s.fields) > 0 && a.property != "":
		_, err = chosenFields(class, s.fields, []string{a.property})
	case len(s.fields) > 0:
	case a.property != "":
		s.fields, err = chosenFields(class, nil, []string{a.property})
	default:
		err = fmt.Errorf("nothing to rank: name a property, or set textFields, imageFields or videoFields "+
			"of %s in the moduleConfig of %s", rerankerName, class.Class)
	}
	return s, err
}

// chosenFields finds fields by name: among the configured ones if there are any, else among the properties.
func chosenFields(class *models.Class, configured []field, chosen []string) ([]field, error) {
	fields := make([]field, len(chosen))
	for i, name := range chosen {
		if slices.Contains(chosen[:i], name) {
			return nil, fmt.Errorf("property %q is named twice", name)
		}
		if len(configured) == 0 {
			var err error
			if fields[i], err = propertyField(class, name); err != nil {
				return nil, err
			}
			continue
		}
		at := slices.IndexFunc(configured, func(f field) bool { return f.name == name })
		if at < 0 {
			return nil, fmt.Errorf("property %q is not among the fields of %s in %s: %q",
				name, rerankerName, class.Class, settings{fields: configured}.names())
		}
		fields[i] = configured[at]
	}
	return fields, nil
}

// propertyField makes a field of any property that can be ranked. The service recognises pictures and clips itself.
func propertyField(class *models.Class, name string) (field, error) {
	property, err := schema.GetPropertyByName(class, name)
	if err != nil {
		return field{}, fmt.Errorf("collection %s has no property %q", class.Class, name)
	}
	switch dataType := schema.DataType(property.DataType[0]); dataType {
	case schema.DataTypeText, schema.DataTypeTextArray:
		return field{name: name, modality: prismv1.Modality_MODALITY_TEXT}, nil
	case schema.DataTypeBlob, schema.DataTypeBlobHash:
		return field{name: name, modality: prismv1.Modality_MODALITY_UNSPECIFIED}, nil
	default:
		return field{}, fmt.Errorf("property %q of %s is of type %s; only text, text[], blob and blobHash can be ranked",
			name, class.Class, dataType)
	}
}
