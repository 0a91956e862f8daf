package prism

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"prism.local/weaviate/prismv1"
)

const (
	isText  = prismv1.Modality_MODALITY_TEXT
	isImage = prismv1.Modality_MODALITY_IMAGE
	isVideo = prismv1.Modality_MODALITY_VIDEO
)

func TestAFullConfigIsRead(t *testing.T) {
	s, err := parseVectorizer(map[string]any{
		"textFields": []any{"title", "tags"}, "imageFields": []string{"still"}, "videoFields": []any{"clip"},
		"weights": map[string]any{
			"textFields": []any{json.Number("0.5"), int64(2)}, "imageFields": []any{1.5}, "videoFields": []any{0},
		},
		"model": "big", "instruction": "store", "queryInstruction": "find", "fusion": "mean", "dimensions": json.Number("32"),
		"requireVector": true, "vectorizeClassName": false, "vectorizePropertyName": false,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := settings{
		fields:   []field{{"title", isText, 0.5}, {"tags", isText, 2}, {"still", isImage, 1.5}, {"clip", isVideo, 0}},
		weighted: true, model: "big", instruction: "store", queryInstruction: "find",
		fusion: prismv1.Fusion_FUSION_MEAN, dimensions: 32, requireVector: true,
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
}

func TestDimensionsMayBeAnyKindOfNumber(t *testing.T) {
	for _, value := range []any{64.0, float32(64), 64, int64(64), json.Number("64")} {
		s, err := parseVectorizer(map[string]any{"textFields": []any{"title"}, "dimensions": value})
		if err != nil || s.dimensions != 64 {
			t.Errorf("%T: %d, %v", value, s.dimensions, err)
		}
	}
}

func TestWrongConfigsAreRefusedByKeyAndExpectation(t *testing.T) {
	for name, c := range map[string]struct {
		config map[string]any
		want   []string
	}{
		"nothing":            {map[string]any{}, []string{"textFields", "imageFields", "videoFields"}},
		"unknown key":        {map[string]any{"imagefields": []any{"still"}}, []string{"imagefields: no such key", "imageFields", "dimensions"}},
		"source properties":  {map[string]any{"properties": []any{"title"}}, []string{"properties", "name the properties in textFields"}},
		"not a list":         {map[string]any{"textFields": "title"}, []string{`textFields: want a list of property names, got "title"`}},
		"not a name":         {map[string]any{"textFields": []any{1}}, []string{"textFields: want a list of property names, got [1]"}},
		"listed twice":       {map[string]any{"imageFields": []any{"a"}, "videoFields": []any{"a"}}, []string{`videoFields: property "a" is listed twice`}},
		"model":              {map[string]any{"model": 3}, []string{"model: want a text, got 3"}},
		"fusion":             {map[string]any{"fusion": "both"}, []string{`fusion: want "joint" or "mean", got "both"`}},
		"dimensions zero":    {map[string]any{"dimensions": 0}, []string{"dimensions: want a whole number from 1 to 65535, got 0"}},
		"dimensions broken":  {map[string]any{"dimensions": 1.5}, []string{"dimensions", "got 1.5"}},
		"dimensions text":    {map[string]any{"dimensions": "64"}, []string{"dimensions", `got "64"`}},
		"require":            {map[string]any{"requireVector": "yes"}, []string{"requireVector: want true or false"}},
		"weights joint":      {weighted("joint", []any{1.0, 2.0}), []string{`weights: need "fusion": "mean"`}},
		"weights unsaid":     {weighted(nil, []any{1.0, 2.0}), []string{`weights: need "fusion": "mean"`}},
		"weights count":      {weighted("mean", []any{1.0}), []string{"weights.textFields: want a list of 2 numbers", "got [1]"}},
		"weights below zero": {weighted("mean", []any{1.0, -1.0}), []string{"weights.textFields[1]: want a number of at least 0, got -1"}},
		"weights all zero":   {weighted("mean", []any{0.0, 0.0}), []string{"weights: at least one must be above 0"}},
		"weights no object":  {map[string]any{"weights": []any{1}}, []string{"weights: want an object"}},
		"weights missing": {
			map[string]any{"textFields": []any{"a"}, "imageFields": []any{"b"}, "fusion": "mean", "weights": map[string]any{"textFields": []any{1.0}}},
			[]string{"weights.imageFields: want a list of 1 numbers"},
		},
		"weights unknown": {
			map[string]any{"textFields": []any{"a"}, "fusion": "mean", "weights": map[string]any{"textFields": []any{1.0}, "depthFields": []any{1.0}}},
			[]string{"weights.depthFields: no such key"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseVectorizer(c.config)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in %q", want, err)
				}
			}
		})
	}
}

func weighted(fusion any, weights []any) map[string]any {
	return map[string]any{"textFields": []any{"a", "b"}, "fusion": fusion, "weights": map[string]any{"textFields": weights}}
}

func TestEverythingWrongIsToldAtOnce(t *testing.T) {
	_, err := parseVectorizer(map[string]any{"textFields": []any{"a"}, "model": 1, "dimension": 3, "fusion": true})
	for _, key := range []string{"model:", "dimension:", "fusion:"} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s is not in %v", key, err)
		}
	}
}

func TestTheKeysThatAreNamedAreThoseThatMeanSomething(t *testing.T) {
	config := map[string]any{"textFields": []any{"a"}, "vectorizeClassName": true, "dimension": 3}
	_, err := parseVectorizer(config)
	if err == nil || !strings.HasSuffix(err.Error(), "dimension: no such key; the keys are textFields, imageFields, videoFields, "+
		"model, instruction, queryInstruction, fusion, dimensions, requireVector, weights") {
		t.Error(err)
	}
	config["vectorizePropertyName"] = "no"
	if _, err := parseVectorizer(config); !strings.Contains(err.Error(), "vectorizePropertyName: want true or false") {
		t.Error(err)
	}
}

func TestARerankerMayHaveNoFieldsButNoKeysOfVectors(t *testing.T) {
	if s, err := parseReranker(nil); err != nil || len(s.fields) != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := parseReranker(map[string]any{"dimensions": 3}); err == nil || !strings.Contains(err.Error(), "dimensions: no such key") {
		t.Error(err)
	}
}
