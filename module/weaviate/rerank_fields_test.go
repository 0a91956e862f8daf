package prism

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"github.com/weaviate/weaviate/entities/models"

	"prism.local/weaviate/prismv1"
)

// filmClass is a collection with a property of each kind, and the given config of the reranker.
func filmClass(config any) *models.Class {
	class := &models.Class{Class: "Film"}
	for _, property := range [][2]string{
		{"title", "text"}, {"plot", "text"}, {"tags", "text[]"}, {"still", "blob"}, {"trailer", "blob"},
		{"poster", "blobHash"}, {"year", "int"}, {"director", "Person"},
	} {
		class.Properties = append(class.Properties, &models.Property{Name: property[0], DataType: property[1:]})
	}
	if config != nil {
		class.ModuleConfig = map[string]any{rerankerName: config}
	}
	return class
}

func TestFieldsArePropertiesElseConfiguredOnesElseProperty(t *testing.T) {
	const (
		text    = prismv1.Modality_MODALITY_TEXT
		image   = prismv1.Modality_MODALITY_IMAGE
		unknown = prismv1.Modality_MODALITY_UNSPECIFIED
	)
	type wanted map[string]prismv1.Modality
	configured := map[string]any{"textFields": []any{"title"}, "imageFields": []any{"still"}, "model": "m", "instruction": "i"}
	for name, test := range map[string]struct {
		config    map[string]any
		arguments rerankArguments
		names     []string
		want      wanted
	}{
		"configured": {configured, rerankArguments{}, []string{"title", "still"}, wanted{"title": text, "still": image}},
		"all the configured ones, whichever of them the property is": {
			configured, rerankArguments{property: "title"}, []string{"title", "still"}, wanted{"title": text, "still": image},
		},
		"properties out of the configured ones, in their own order": {
			configured, rerankArguments{properties: []string{"still", "title"}, property: "plot"},
			[]string{"still", "title"}, wanted{"title": text, "still": image},
		},
		"properties without configured ones": {
			nil, rerankArguments{properties: []string{"trailer", "tags", "poster"}, property: "plot"},
			[]string{"trailer", "tags", "poster"}, wanted{"trailer": unknown, "tags": text, "poster": unknown},
		},
		"property": {nil, rerankArguments{property: "plot"}, []string{"plot"}, wanted{"plot": text}},
		"property beside a config without fields": {
			map[string]any{"model": "m"}, rerankArguments{property: "plot"}, []string{"plot"}, wanted{"plot": text},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := rerankSettings(filmClass(test.config), &test.arguments)
			if err != nil {
				t.Fatal(err)
			}
			got := wanted{}
			for _, f := range s.fields {
				got[f.name] = f.modality
			}
			if !reflect.DeepEqual(s.names(), test.names) || !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %q %v, want %q %v", s.names(), got, test.names, test.want)
			}
		})
	}
}

func TestModelAndInstructionOfTheConfigHoldForAnyFields(t *testing.T) {
	s, err := rerankSettings(filmClass(map[string]any{"model": "m", "instruction": "i"}), &rerankArguments{property: "plot"})
	if err != nil || s.model != "m" || s.instruction != "i" {
		t.Errorf("got %+v, %v", s, err)
	}
}

func TestFieldsThatCannotBeRankedAreErrorsThatNameThem(t *testing.T) {
	configured := map[string]any{"textFields": []any{"title"}}
	for name, test := range map[string]struct {
		config    any
		arguments rerankArguments
		want      string
	}{
		"nothing named":           {nil, rerankArguments{}, "nothing to rank: name a property, or set textFields, imageFields or videoFields"},
		"unknown property":        {nil, rerankArguments{property: "nope"}, `collection Film has no property "nope"`},
		"a number":                {nil, rerankArguments{property: "year"}, `property "year" of Film is of type int`},
		"a reference":             {nil, rerankArguments{property: "director"}, `property "director" of Film is of type Person`},
		"unknown properties":      {nil, rerankArguments{properties: []string{"title", "nope"}}, `collection Film has no property "nope"`},
		"not configured":          {configured, rerankArguments{properties: []string{"plot"}}, `property "plot" is not among the fields of reranker-prism in Film: ["title"]`},
		"property not configured": {configured, rerankArguments{property: "trailer"}, `property "trailer" is not among the fields of reranker-prism in Film: ["title"]`},
		"twice":                   {configured, rerankArguments{properties: []string{"title", "title"}}, `property "title" is named twice`},
		"config changed to text":  {"on", rerankArguments{property: "title"}, "moduleConfig.reranker-prism of Film: must be an object, not string"},
		"config with a key that is not known": {
			map[string]any{"imagefields": []any{"still"}}, rerankArguments{property: "title"}, "imagefields",
		},
		"config with a property that is gone": {
			map[string]any{"textFields": []any{"gone"}}, rerankArguments{property: "title"}, "gone",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := rerankSettings(filmClass(test.config), &test.arguments)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestAClassIsValidatedWithoutItsModuleConfigOfWeaviate(t *testing.T) {
	for name, test := range map[string]struct {
		config any
		want   string
	}{
		"no config":       {nil, ""},
		"empty":           {map[string]any{}, ""},
		"fields":          {map[string]any{"textFields": []any{"title", "tags"}, "videoFields": []any{"trailer"}}, ""},
		"only a model":    {map[string]any{"model": "m"}, ""},
		"unknown field":   {map[string]any{"textFields": []any{"nope"}}, "nope"},
		"unsuitable":      {map[string]any{"imageFields": []any{"title"}}, "title"},
		"unknown key":     {map[string]any{"audioFields": []any{"trailer"}}, "audioFields"},
		"not an object":   {[]any{"title"}, "must be an object"},
		"not for ranking": {map[string]any{"dimensions": float64(64)}, "dimensions"},
	} {
		t.Run(name, func(t *testing.T) {
			err := (&reranker{}).ValidateClass(context.Background(), filmClass(test.config), nil)
			if (err == nil) != (test.want == "") || (err != nil && !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
