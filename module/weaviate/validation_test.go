package prism

import (
	"strings"
	"testing"

	"github.com/weaviate/weaviate/entities/models"
)

func filmProperties() []*models.Property {
	return []*models.Property{
		{Name: "title", DataType: []string{"text"}},
		{Name: "tags", DataType: []string{"text[]"}},
		{Name: "still", DataType: []string{"blob"}},
		{Name: "hashed", DataType: []string{"blobHash"}},
		{Name: "clip", DataType: []string{"blob"}},
		{Name: "year", DataType: []string{"int"}},
	}
}

func TestFieldsMustBePropertiesOfAFittingType(t *testing.T) {
	class := &models.Class{Class: "Film", Properties: filmProperties()}
	for name, c := range map[string]struct {
		fields []field
		want   string // empty: accepted
	}{
		"fitting": {[]field{{"title", isText, 0}, {"tags", isText, 0}, {"still", isImage, 0}, {"hashed", isImage, 0}, {"clip", isVideo, 0}}, ""},
		"absent":  {[]field{{"name", isText, 0}}, `textFields: collection Film has no property "name"`},
		"number":  {[]field{{"year", isText, 0}}, `textFields: property "year" is of type int, want text or text[]`},
		"text":    {[]field{{"title", isImage, 0}}, `imageFields: property "title" is of type text, want blob or blobHash`},
		"blob":    {[]field{{"still", isText, 0}}, `textFields: property "still" is of type blob, want text or text[]`},
		"video":   {[]field{{"tags", isVideo, 0}}, `videoFields: property "tags" is of type text[], want blob or blobHash`},
	} {
		t.Run(name, func(t *testing.T) {
			err := settings{fields: c.fields}.validate(class)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestAFieldThatIsSkippedByItsPropertyIsRefused(t *testing.T) {
	class := &models.Class{Class: "Film", Properties: filmProperties()}
	class.Properties[0].ModuleConfig = map[string]any{vectorizerName: map[string]any{"skip": true, "vectorizePropertyName": true}}
	_, err := vectorSettings(class, map[string]any{"textFields": []any{"title"}})
	if err == nil || !strings.Contains(err.Error(), `property "title" has skip: true`) {
		t.Error(err)
	}
	if _, err := vectorSettings(class, map[string]any{"textFields": []any{"tags"}}); err != nil {
		t.Error(err)
	}
}
